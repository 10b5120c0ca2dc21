"""Pictures and sound from memory to files and back."""

# T frames, C channels, H, W

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from rvm_studio.core.clips import write_frames as frame_clip
from rvm_studio.core.clips.write_frames import write_frames
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import Stopped

RATE = Fraction(25)


def moving(count, height=48, width=66, channels=3) -> torch.Tensor:
    """[T, H, W, C] float on 8-bit levels: gradients, the fourth channel from 0 to 1 with bands of nothing."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    t = torch.arange(count)[:, None, None] / 10
    planes = [0.5 + 0.5 * torch.sin(4 * x + t), 0.5 + 0.5 * torch.cos(3 * y - t), (x + y + 0 * t) / 2]
    pha = (1.4 * x - 0.2 + 0 * t).clamp(0, 1)
    return (torch.stack([*planes, pha][:channels], -1) * 255).round() / 255


def decoded(path, format="rgba") -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format=format) for frame in container.decode(video=0)])


def tone(seconds, channels=2, rate=48000) -> torch.Tensor:
    t = torch.arange(int(seconds * rate)) / rate
    return 0.5 * torch.sin(2 * torch.pi * 440 * t).repeat(channels, 1)


def heard(path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        resampler = av.AudioResampler(format="fltp", layout=frames[0].layout.name, rate=frames[0].sample_rate)
        parts = [part.to_ndarray() for frame in frames for part in resampler.resample(frame)]
        return np.concatenate(parts, 1), frames[0].sample_rate


def expected_rgba(pictures: torch.Tensor) -> np.ndarray:
    rounded = (pictures * 255).round()
    rounded[..., :3] *= rounded[..., 3:] > 0
    return rounded.to(torch.uint8).numpy()


@pytest.mark.parametrize("suffix", [".mkv", ".apng"])
def test_rgba_is_exact_where_it_can_be_seen(tmp_path, suffix):
    pictures = moving(5, channels=4)
    path, notes = write_frames(tmp_path / f"a{suffix}", pictures, frame_rate=RATE)
    assert np.array_equal(decoded(path), expected_rgba(pictures))
    assert notes == []
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_sequence(tmp_path):
    pictures = moving(3, channels=4)
    folder, _ = write_frames(tmp_path / "a.png", pictures, frame_rate=RATE)
    assert folder == tmp_path / "a"
    assert sorted(entry.name for entry in folder.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    assert np.array_equal(decoded(f"{folder}/%05d.png"), expected_rgba(pictures))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 53)])
def test_odd_sizes_and_one_picture(tmp_path, size):
    pictures = moving(1, *size, channels=4)
    path, _ = write_frames(tmp_path / "a.mkv", pictures, frame_rate=RATE)
    assert np.array_equal(decoded(path), expected_rgba(pictures))


def test_premultiplied(tmp_path):
    pictures = moving(2, channels=4)
    path, _ = write_frames(tmp_path / "a.mkv", pictures, frame_rate=RATE, premultiplied=True)
    colors = (pictures[..., :3] * pictures[..., 3:] * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(decoded(path)[..., :3], colors)
    with av.open(str(path)) as container:
        assert "premultiplied" in " ".join(container.metadata.values())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float16, torch.float64])
def test_other_types(tmp_path, dtype):
    pictures = moving(2)
    scale = {torch.uint8: 255, torch.uint16: 65535}.get(dtype, 1)
    given = (pictures * scale).round().to(torch.int32).to(dtype) if scale > 1 else pictures.to(dtype)
    path, _ = write_frames(tmp_path / "a.mkv", given, frame_rate=RATE)
    difference = decoded(path, "rgb24").astype(int) - (pictures * 255).round().numpy()
    assert np.abs(difference).max() <= (0 if dtype in (torch.uint8, torch.float64) else 1)


def test_more_than_8_bits(tmp_path):
    pictures = moving(2, channels=4)
    pictures[..., 3] = 1
    path, _ = write_frames(tmp_path / "a.mkv", pictures, frame_rate=RATE, bit_depth=16)
    result = decoded(path, "rgba64le").astype(int)
    assert np.abs(result - (pictures * 65535).round().numpy()).max() <= 1


def test_grey(tmp_path):
    pictures = moving(2)[..., :1]
    path, _ = write_frames(tmp_path / "a.mkv", pictures, frame_rate=RATE)
    assert np.array_equal(decoded(path, "gray"), (pictures[..., 0] * 255).round().to(torch.uint8).numpy())


def test_pictures_that_are_made_one_by_one(tmp_path):
    made = []

    def pictures():
        for picture in moving(4).numpy():
            made.append(1)
            yield (picture * 255).round().astype(np.uint8)

    seen = []
    path, _ = write_frames(
        tmp_path / "a.mkv", pictures(), frame_rate=RATE, on_progress=lambda *now: seen.append((*now, len(made)))
    )
    assert len(decoded(path, "rgb24")) == 4
    assert seen == [(1, None, 1), (2, None, 2), (3, None, 3), (4, None, 4)]  # none was asked for ahead of its time


def test_times_and_tags(tmp_path):
    path, _ = write_frames(tmp_path / "a.mp4", moving(4, 720, 64), frame_rate=Fraction(30000, 1001))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert [float(f.time) for f in container.decode(stream)] == pytest.approx([t * 1001 / 30000 for t in range(4)])
        assert stream.average_rate == Fraction(30000, 1001)
        assert int(stream.codec_context.colorspace) == 1


@pytest.mark.parametrize(("suffix", "tolerance"), [(".mkv", 1e-6), (".mov", 1e-6), (".webm", 0.1), (".mp4", 0.1)])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_cut_to_the_pictures(tmp_path, suffix, tolerance, channels):
    samples = tone(2, channels)
    path, _ = write_frames(tmp_path / f"a{suffix}", moving(10), frame_rate=RATE, audio=(samples, 48000))
    result, rate = heard(path)
    assert rate == 48000
    assert len(result) == channels
    assert result.shape[1] / rate == pytest.approx(0.4, abs=0.03)
    middle = slice(4800, 14400)
    assert np.abs(result[:, middle] - samples[:, middle].numpy()).max() < max(tolerance, 1e-6) or suffix in (
        ".webm",
        ".mp4",
    )
    assert np.abs(result[:, middle]).max() == pytest.approx(0.5, abs=0.1)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_sound_shorter_than_the_pictures(tmp_path):
    path, _ = write_frames(tmp_path / "a.mkv", moving(25), frame_rate=RATE, audio=(tone(0.2), 48000))
    result, rate = heard(path)
    assert result.shape[1] / rate == pytest.approx(0.2, abs=1e-3)


def test_a_format_without_sound_says_so(tmp_path):
    _, notes = write_frames(tmp_path / "a.png", moving(2), frame_rate=RATE, audio=(tone(1), 48000))
    assert notes == [".png cannot hold sound: it was left out"]


@pytest.mark.parametrize("samples", [torch.zeros(48000), torch.zeros(9, 100), torch.zeros(0, 100)])
def test_what_is_no_sound(tmp_path, samples):
    with pytest.raises(StudioError, match=r"The sound has the shape .*; expected \[channels, samples\]"):
        write_frames(tmp_path / "a.mkv", moving(2), frame_rate=RATE, audio=(samples, 48000))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pictures", [torch.zeros(0, 8, 8, 3), [], iter(())])
def test_no_pictures(tmp_path, pictures):
    with pytest.raises(StudioError, match="There are no pictures to write"):
        write_frames(tmp_path / "a.mkv", pictures, frame_rate=RATE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2), (2, 3, 8, 8, 3)])
def test_what_is_no_picture(tmp_path, shape):
    with pytest.raises(StudioError, match=r"A picture has the shape .*; expected \[height, width, 1, 3 or 4\]"):
        write_frames(tmp_path / "a.mkv", torch.zeros(shape), frame_rate=RATE)


def test_pictures_that_differ_leave_nothing_behind(tmp_path):
    with pytest.raises(StudioError, match="but this output has frames of"):
        write_frames(
            tmp_path / "a.mkv", [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], frame_rate=RATE
        )
    assert not list(tmp_path.iterdir())


def test_a_stop_leaves_nothing_behind(tmp_path):
    calls = []
    with pytest.raises(Stopped):
        write_frames(
            tmp_path / "a.mkv",
            moving(9),
            frame_rate=RATE,
            audio=(tone(1), 48000),
            stopped=lambda: calls.append(1) or len(calls) > 4,
        )
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_unless_told(tmp_path):
    (tmp_path / "a.mkv").write_bytes(b"mine")
    with pytest.raises(StudioError, match="exists already"):
        write_frames(tmp_path / "a.mkv", moving(2), frame_rate=RATE)
    assert (tmp_path / "a.mkv").read_bytes() == b"mine"
    write_frames(tmp_path / "a.mkv", moving(2), frame_rate=RATE, overwrite=True)
    assert len(decoded(tmp_path / "a.mkv")) == 2


def test_a_tensor_is_not_copied_as_a_whole(tmp_path, monkeypatch):
    """Every picture that is converted is a view of the given tensor."""
    pictures = moving(4, channels=4)
    convert, seen = frame_clip._converted, []
    monkeypatch.setattr(
        frame_clip, "_converted", lambda x, *rest: seen.append(x.untyped_storage().data_ptr()) or convert(x, *rest)
    )
    write_frames(tmp_path / "a.mkv", pictures, frame_rate=RATE)
    assert set(seen) == {pictures.untyped_storage().data_ptr()}
