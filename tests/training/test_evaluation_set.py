"""Test clips: the same again, layers that fit together, motion, going on after a kill, faults."""

# H, W

import itertools
import json
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from patience import PATIENCE
from PIL import Image
from rvm_studio.core.evaluation.clips import find_clips, score_clip
from rvm_studio.training import evaluation_frames, evaluation_set
from rvm_studio.training.evaluation_set import main

SIZE = ["--size", "32x18"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The command sets it for itself; put back afterwards."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def disc(height: int, width: int, x: float = 0.5) -> np.ndarray:
    """[H, W] uint8: a soft round person."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    distance = np.hypot(rows - height / 2, columns - x * width) / height
    return np.round(255 * np.clip((0.35 - distance) * 8, 0, 1)).astype(np.uint8)


def picture(path, array: np.ndarray):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def video(path, frames: list[np.ndarray]):
    """Without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for k, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def flat(value: int, height=18, width=32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def data(tmp_path):
    """Persons: clip 0000 of frames and 0001 of videos in VideoMatte240K's test, a picture; 2 pictures and a short video
    behind."""
    noise = np.random.default_rng(0)
    for t in range(4):
        picture(tmp_path / f"vm/test/pha/0000/{t:05d}.png", disc(18, 32, 0.3 + 0.1 * t))
        picture(tmp_path / f"vm/test/fgr/0000/{t:05d}.png", flat(50 + 20 * t))
    video(tmp_path / "vm/test/fgr/0001.mkv", [flat(50 + 20 * t) for t in range(4)])
    video(tmp_path / "vm/test/pha/0001.mkv", [np.repeat(disc(18, 32)[..., None], 3, 2)] * 4)
    picture(tmp_path / "im/pha/ann.png", disc(60, 40))
    picture(tmp_path / "im/fgr/ann.png", flat(200, 60, 40))
    for name in "ab":
        picture(tmp_path / f"places/{name}.png", noise.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    video(tmp_path / "films/f.mkv", [flat(10 + 40 * t, 36, 64) for t in range(3)])
    return tmp_path


def everything(data, out, *more) -> list[str]:
    words = [
        "--output",
        out,
        "--videomatte",
        data / "vm",
        "--imagematte",
        data / "im",
        "--backgrounds",
        2,
        "--frames",
        6,
    ]
    words += ["--background-images", data / "places", "--background-videos", data / "films"]
    words += ["--backgrounds", 2, "--frames", 6, *SIZE, *more]
    return [str(word) for word in words]


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def layer(clip, name: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((clip / name).iterdir())])


def test_the_layout_is_what_eval_takes(data, tmp_path, capsys):
    assert main(everything(data, tmp_path / "out")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "6/6 ImageMatte/0001"
    clips = find_clips(tmp_path / "out")
    assert [clip.name for clip in clips] == [
        *(f"ImageMatte/000{k}" for k in range(2)),
        *(f"VideoMatte240K/000{k}" for k in range(4)),
    ]
    for clip in clips:
        folder = tmp_path / "out" / clip.name
        length = 6 if clip.dataset == "ImageMatte" else 4  # a filmed clip ends where it ends
        assert {name: layer(folder, name).shape for name in ("com", "pha", "fgr", "bgr")} == {
            "com": (length, 18, 32, 3),
            "pha": (length, 18, 32),
            "fgr": (length, 18, 32, 3),
            "bgr": (length, 18, 32, 3),
        }
        perfect = clip._replace(pred=clip.true)
        assert set(score_clip(perfect).metrics.values()) == {0.0}


def test_com_is_fgr_over_bgr(data, tmp_path):
    assert main(everything(data, tmp_path / "out", "--synthetic", 1)) == 0
    clips = list((tmp_path / "out").glob("*/*"))
    assert len(clips) == 7
    for clip in clips:
        com, pha, fgr, bgr = (layer(clip, name).astype(float) for name in ("com", "pha", "fgr", "bgr"))
        alpha = pha[..., None] / 255
        assert np.abs(com - (fgr * alpha + bgr * (1 - alpha))).max() <= 0.5001
        assert pha.max() > 200
        assert pha.min() == 0


def test_filmed_persons_keep_their_frames_and_their_pace(data, tmp_path):
    """As they are where the size is theirs; behind them a picture stands still, and a short video goes to and fro."""
    main(everything(data, tmp_path / "out"))
    for name, alphas in (("0000", [disc(18, 32, 0.3 + 0.1 * t) for t in range(4)]), ("0002", [disc(18, 32)] * 4)):
        clip = tmp_path / "out/VideoMatte240K" / name
        assert np.array_equal(layer(clip, "pha"), np.stack(alphas))
        assert [frame.mean() for frame in layer(clip, "fgr")] == [50, 70, 90, 110]
        assert len(np.unique(layer(clip, "bgr"), axis=0)) == 1
        assert json.loads((clip / "clip.json").read_text())["background"] in ("a.png", "b.png")
    for name in ("0001", "0003"):
        clip = tmp_path / "out/VideoMatte240K" / name
        assert [frame.mean() for frame in layer(clip, "bgr")] == [10, 50, 90, 50]
        assert json.loads((clip / "clip.json").read_text())["background"] == "f.mkv"


def test_pictures_get_a_motion(data, tmp_path):
    """Every frame is another one, and the person stays round (no stretching to a square) and much as large."""
    words = ["--output", tmp_path / "out", "--imagematte", data / "im", "--background-images", data / "places"]
    assert main([str(w) for w in [*words, "--backgrounds", 8, "--frames", 5, "--size", "128x72"]]) == 0
    spans = []
    for clip in sorted((tmp_path / "out/ImageMatte").iterdir()):
        pha = layer(clip, "pha") / 255
        assert all(not np.array_equal(a, b) for a, b in itertools.combinations(pha, 2))
        bgr = layer(clip, "bgr")
        assert all(not np.array_equal(a, b) for a, b in itertools.combinations(bgr, 2))
        for frame in pha:
            rows, columns = np.mgrid[0:72, 0:128]
            y, x = (frame * rows).sum() / frame.sum(), (frame * columns).sum() / frame.sum()
            high = np.sqrt((frame * (rows - y) ** 2).sum() / frame.sum())
            wide = np.sqrt((frame * (columns - x) ** 2).sum() / frame.sum())
            spans.append((high, wide, x - 63.5, y - 35.5))
    high, wide, x, y = np.array(spans).T
    # of a motion's own range: scale .9 to 1.1 and shear of 5 degrees
    assert (high / wide).min() > 0.88
    assert (high / wide).max() < 1.12
    assert high.max() / high.min() < 1.35
    # the shift is up to a tenth of the longer side each way
    assert np.abs(x).max() < 0.1 * 128 + 3
    assert np.ptp(x) > 5
    assert np.ptp(y) > 5


def test_portrait_pictures_stand_at_the_bottom_whole(data, tmp_path):
    person = evaluation_set.Person("x", "x", (), ())
    pha = torch.ones(1, 1, 60, 40)
    fgr, placed = evaluation_frames._placed(person, pha.expand(-1, 3, -1, -1), pha, (48, 30))
    assert (fgr.shape, placed.shape) == ((1, 3, 30, 48), (1, 1, 30, 48))
    assert torch.equal(placed[0, 0], torch.nn.functional.pad(torch.ones(30, 20), (14, 14)))
    _, wide = evaluation_frames._placed(person, torch.ones(1, 3, 10, 40), torch.ones(1, 1, 10, 40), (20, 9))
    assert wide[0, 0].sum(1).tolist() == [0, 0, 0, 0, 20, 20, 20, 20, 20]


def test_deterministic_in_the_seed(data, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert main(everything(data, tmp_path / name, "--seed", seed, "--synthetic", 1)) == 0
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert a["ImageMatte/0000/pha/0002.png"] != c["ImageMatte/0000/pha/0002.png"]
    assert a["synthetic/0000/com/0000.png"] != c["synthetic/0000/com/0000.png"]


def test_more_clips_leave_the_first_as_they_are(tmp_path):
    main(["--output", str(tmp_path / "a"), "--synthetic", "2", "--frames", "2", *SIZE])
    main(["--output", str(tmp_path / "b"), "--synthetic", "3", "--frames", "2", *SIZE])
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert a.items() < b.items()


def test_complete_clips_are_left_alone(data, tmp_path):
    words = everything(data, tmp_path / "out")
    main(words)
    whole = contents(tmp_path / "out")
    marked = tmp_path / "out/ImageMatte/0000/com/0000.png"
    marked.write_bytes(b"mine")
    for path in (tmp_path / "out/ImageMatte/0001").rglob("*.png"):
        path.unlink()
    for path in (tmp_path / "out/ImageMatte/0001").iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "out/ImageMatte/0001").rmdir()
    assert main(words) == 0
    assert contents(tmp_path / "out") == whole | {"ImageMatte/0000/com/0000.png": b"mine"}


@pytest.mark.parametrize("change", [["--frames", "5"], ["--size", "34x18"], ["--seed", "1"]])
def test_clips_made_otherwise_are_not_taken_for_these(tmp_path, capsys, change):
    words = ["--output", str(tmp_path), "--synthetic", "1", "--frames", "2", *SIZE]
    assert main(words) == 0
    before = contents(tmp_path)
    assert main([*words, *change]) == 1
    assert "exists, but was made from other files or with another size" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_stopped_in_the_middle_of_a_clip(tmp_path, monkeypatch, capsys):
    words = ["--output", str(tmp_path / "out"), "--synthetic", "2", "--frames", "3", *SIZE]
    write, calls = evaluation_set._write, itertools.count()

    def interrupted(*arguments):
        if next(calls) == 4:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(evaluation_set, "_write", interrupted)
    assert main(words) == 130
    assert "Run it again" in capsys.readouterr().err
    assert [clip.name for clip in find_clips(tmp_path / "out")] == ["synthetic/0000"]
    monkeypatch.setattr(evaluation_set, "_write", write)
    assert main(words) == 0
    main(["--output", str(tmp_path / "unbroken"), *words[2:]])
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken")


KILLED = """
import itertools, os, signal, sys
from PIL import Image
from rvm_studio.training.evaluation_set import main
save, calls = Image.Image.save, itertools.count()

def killed(image, file, *arguments, **options):
    if next(calls) == int(sys.argv[1]):
        open(file, "wb").write(b"half a picture")
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    save(image, file, *arguments, **options)

Image.Image.save = killed
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("picture", "clips"), [(0, 0), (13, 1), (24, 2)])
def test_killed_at_any_moment_and_gone_on_with(tmp_path, picture, clips):
    """While it writes that picture, of twelve in a clip."""
    words = ["--output", str(tmp_path / "out"), "--synthetic", "3", "--frames", "3", *SIZE]
    done = subprocess.run([sys.executable, "-c", KILLED, str(picture), *words], capture_output=True, timeout=PATIENCE)
    assert done.returncode, "it was to be killed"
    finished = [path for path in (tmp_path / "out/synthetic").iterdir() if not path.name.startswith(".")]
    assert len(finished) == clips
    for clip in finished:
        assert all(len(list((clip / name).iterdir())) == 3 for name in ("com", "pha", "fgr", "bgr"))
    assert main(words) == 0
    main(["--output", str(tmp_path / "unbroken"), *words[2:]])
    assert contents(tmp_path / "out") == contents(tmp_path / "unbroken")


# What goes wrong


def test_a_broken_source_costs_its_own_clips(data, tmp_path, capsys):
    path = data / "vm/test/pha/0000/00002.png"
    path.write_bytes(path.read_bytes()[:40])
    assert main(everything(data, tmp_path / "out")) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["VideoMatte240K/0000", "VideoMatte240K/0001"]
    assert "00002.png" in err
    assert [line.split()[1] for line in out.splitlines()] == [
        *("VideoMatte240K/0002", "VideoMatte240K/0003"),
        *("ImageMatte/0000", "ImageMatte/0001"),
    ]
    assert not (tmp_path / "out/VideoMatte240K/0000").exists()
    assert not list((tmp_path / "out").rglob("*partial*"))


def test_layers_of_different_sizes(data, tmp_path, capsys):
    picture(data / "im/fgr/ann.png", flat(200, 60, 44))
    assert main(["--output", str(tmp_path / "out"), "--imagematte", str(data / "im"), "--backgrounds", "1", *SIZE]) == 1
    assert "ann: fgr is 44x60, pha 40x60" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "No persons were given"),
        (["--videomatte", "nowhere"], "fgr and pha"),
        (["--imagematte", "nowhere"], "fgr"),
        (["--synthetic", "1", "--background-images", "nowhere"], "nowhere"),
        (["--synthetic", "1", "--size", "1920x1080", "--frames", "1000"], "GB of memory"),
    ],
)
def test_wrong_use(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["--output", "out", *words]) == 1
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("size", ["12", "0x5", "8x8", "axb", "-4x20"])
def test_a_size_that_is_none(tmp_path, size, capsys):
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path), "--synthetic", "1", f"--size={size}"])
    assert "is not a size" in capsys.readouterr().err


def test_the_sizes_of_the_paper():
    assert evaluation_set._size("low") == (512, 288)
    assert evaluation_set._size("high") == (1920, 1080)


def test_an_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["--output", str(tmp_path / "file"), "--synthetic", "1", "--frames", "1", *SIZE]) == 1
    assert "cannot be written" in capsys.readouterr().err
