"""Decoding on a device: the same frames as in software, whatever the device does. It is played by libav's own decoder,
whose frames are handed over as a card's; what really is on this machine is tried where a test says so."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import hardware_decoding, video_reader, video_track
from rvm_studio.core.video.hardware_decoding import FORMATS, HWACCELS, DeviceTrouble, open_on_device
from rvm_studio.core.video.reader import open_reader

open_in_software = av.open


class Device:
    """What it decodes and how it fails. fails_at: the frame it breaks down at, in order. wrong_at: a frame it gets
    wrong. other_at: one that comes in another pixel format."""

    def __init__(self, fails_at=None, wrong_at=None, other_at=None, opens=True):
        self.fails_at, self.wrong_at, self.other_at, self.opens = fails_at, wrong_at, other_at, opens
        self.given = 0
        self.opened: list[DeviceContainer] = []

    def open(self, name, *arguments, hwaccel=None, **options):
        """In place of av.open."""
        container = open_in_software(name, *arguments, **options)
        if hwaccel is None:
            return container
        if not self.opens:
            raise av.error.ExternalError(-542398533, "Generic error in an external library", name)
        self.given = 0
        self.opened.append(DeviceContainer(self, container))
        return self.opened[-1]

    def handed_over(self, frame: av.VideoFrame) -> av.VideoFrame:
        number = self.given
        if number == self.fails_at:
            raise av.error.ExternalError(-542398533, "Generic error in an external library")
        self.given += 1
        if number == self.other_at:
            return frame
        other = frame.reformat(format=FORMATS[frame.format.name])
        other.pts = frame.pts
        if number == self.wrong_at:
            np.frombuffer(other.planes[0], np.uint8)[:] ^= 64
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            if hasattr(frame, name):
                setattr(other, name, getattr(frame, name))
        return other


class Wrapped:
    def __init__(self, device: Device, inner):
        self.__dict__.update(device=device, inner=inner)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __setattr__(self, name, value):
        setattr(self.inner, name, value)


class DeviceContext(Wrapped):
    def decode(self, packet) -> list[av.VideoFrame]:
        return [self.device.handed_over(frame) for frame in self.inner.decode(packet)]


class DeviceStream(Wrapped):
    @property
    def codec_context(self):
        return DeviceContext(self.device, self.inner.codec_context)


class DeviceContainer(Wrapped):
    @property
    def streams(self):
        streams = [DeviceStream(self.device, stream) for stream in self.inner.streams.video]
        return type("Streams", (), {"video": streams, "audio": self.inner.streams.audio})()

    def demux(self, streams) -> Iterator[av.Packet]:
        given = streams if isinstance(streams, list) else [streams]
        return self.inner.demux([getattr(stream, "inner", stream) for stream in given])

    def seek(self, tick, stream):
        self.inner.seek(tick, stream=stream.inner)


@pytest.fixture
def plug_in(monkeypatch):
    """`plug_in(**how it fails)`: this machine has such a device from now on."""

    def plug(**faults) -> Device:
        device = Device(**faults)
        monkeypatch.setattr(av, "open", device.open)
        monkeypatch.setattr(hardware_decoding, "built_in", lambda: ["cuda"])
        monkeypatch.setattr(hardware_decoding, "_decoders_of", lambda codec: {"cuda"})
        return device

    return plug


def write_clip(path: Path, frames=30, codec="libx264", pix_fmt="yuv420p", size=(98, 66), g=10, b=2) -> Path:
    """Noise that moves, B frames, a key frame every `g`: 25 frames a second."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (size[1] + frames, size[0], 3), dtype=np.uint8)
    options = {"g": str(g), "bf": str(b)} if codec == "libx264" else {}
    if codec == "libvpx-vp9":
        options = {"deadline": "realtime", "cpu-used": "8", "b": "0", "crf": "30"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for index in range(frames):
            picture = noise[index : index + size[1]] // 2 + 4 * index
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path, hwaccel: str, **part):
    with open_reader(path, hwaccel=hwaccel, **part) as reader:
        return reader, list(reader)


def assert_same(path: Path, frames: int | None = None, **part) -> None:
    """With a device (here `auto`) as without."""
    (software, expected), (reader, found) = read(path, "none", **part), read(path, "auto", **part)
    assert reader.info == software.info
    assert reader.damage == software.damage
    assert [frame.pts for frame in found] == [frame.pts for frame in expected]
    assert [frame.number for frame in found] == list(range(len(expected)))
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.image, theirs.image)
    if frames is not None:
        assert len(found) == frames


# ---- where all goes well


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("o.mp4", "libx264", "yuv420p"), ("o.mkv", "libx264", "yuv420p10le"), ("o.ts", "libx264", "yuv420p"),
     ("o.webm", "libvpx-vp9", "yuv420p")],
)  # fmt: skip
def test_a_device_gives_softwares_frames(tmp_path, plug_in, name, codec, pix_fmt):
    clip = write_clip(tmp_path / name, codec=codec, pix_fmt=pix_fmt)
    device = plug_in()
    assert_same(clip, frames=30)
    assert device.given == 30
    assert len(device.opened) == 1


@pytest.mark.parametrize("name", ["o.mp4", "o.ts"])
def test_a_part_of_a_clip(tmp_path, plug_in, name):
    clip = write_clip(tmp_path / name)
    device = plug_in()
    start = Fraction(13, 25) + (Fraction(0) if name == "o.mp4" else Fraction(read(clip, "none")[1][0].pts, 90000))
    assert_same(clip, frames=9, start=start, duration=Fraction(9, 25))
    assert device.given >= 9


def test_a_session_asks_for_it_by_the_job(tmp_path, plug_in, red_engine):
    from rvm_studio.core.clips.matte_clip import ClipOptions, Output, matte_clip
    from rvm_studio.core.stream.session import MattingSession

    clip = write_clip(tmp_path / "in.mp4")
    device, made = plug_in(), {}
    for hwaccel in ("none", "cuda"):
        output = Output(tmp_path / f"{hwaccel}.mkv", "matte")
        matte_clip(clip, [output], MattingSession(red_engine, warm_up=3), ClipOptions(hwaccel=hwaccel))
        with open_in_software(str(output.path)) as container:
            made[hwaccel] = [bytes(packet) for packet in container.demux(video=0)]
    assert len(device.opened) == 1
    assert made["cuda"] == made["none"]


# ---- where it does not


@pytest.mark.parametrize("at", [0, 1, 2, 9, 10, 11, 17, 29])
@pytest.mark.parametrize("name", ["o.mp4", "o.mkv", "o.ts"])
def test_software_goes_on_from_where_the_device_broke_down(tmp_path, plug_in, caplog, name, at):
    clip = write_clip(tmp_path / name)
    device = plug_in(fails_at=at)
    assert_same(clip, frames=30)
    assert device.given == at
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert "Generic error in an external library" in said[0]


@pytest.mark.parametrize("at", [0, 12, 13, 14, 18])
@pytest.mark.parametrize("name", ["o.mp4", "o.ts"])
def test_within_a_part_of_a_clip(tmp_path, plug_in, name, at):
    clip = write_clip(tmp_path / name)
    plug_in(fails_at=at)
    zero = Fraction(0) if name == "o.mp4" else Fraction(read(clip, "none")[1][0].pts, 90000)
    assert_same(clip, frames=9, start=zero + Fraction(13, 25), duration=Fraction(9, 25))


def test_software_begins_at_a_key_frame_before_the_breakdown(tmp_path, plug_in, monkeypatch):
    clip = write_clip(tmp_path / "o.mp4", frames=60)
    plug_in(fails_at=47)
    decoded, decode = [], video_reader.VideoReader._decode

    def counted(reader):
        for frame in decode(reader):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(video_reader.VideoReader, "_decode", counted)
    _, frames = read(clip, "cuda")
    assert len(frames) == 60
    assert len(decoded) <= 1 + 13 + 10  # the first, for comparison; those from there on; from a key frame 10 before


def test_frames_without_times_are_counted(tmp_path, plug_in, monkeypatch):
    clip = write_clip(tmp_path / "o.mp4")
    device = plug_in(fails_at=17)
    plain = device.handed_over

    def timeless(frame):
        other = plain(frame)
        other.pts = None
        return other

    device.handed_over = timeless
    expected, found = (read(clip, hwaccel)[1] for hwaccel in ("none", "cuda"))
    assert len(found) == len(expected) == 30
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.image, theirs.image)


@pytest.mark.parametrize(("fault", "given"), [({"wrong_at": 0}, 1), ({"other_at": 0}, 1), ({"other_at": 12}, 13)])
def test_a_frame_that_is_not_what_it_should_be(tmp_path, plug_in, caplog, fault, given):
    clip = write_clip(tmp_path / "o.mp4")
    device = plug_in(**fault)
    assert_same(clip, frames=30)
    assert device.given >= given
    assert "o.mp4" in caplog.text


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_a_damaged_file_is_read_as_in_software(tmp_path, plug_in, monkeypatch, where):
    # with frame threads libav itself mends a damaged picture now in one way, now in another
    monkeypatch.setattr(video_track, "MAX_DECODER_THREADS", 1)
    clip = write_clip(tmp_path / "o.ts", frames=60)
    content = bytearray(clip.read_bytes())
    middle = int(len(content) * where)
    content[middle : middle + 3000] = bytes(3000)
    clip.write_bytes(content)
    device = plug_in()
    assert read(clip, "none")[0].damage
    assert_same(clip)
    assert device.given < 60


def test_a_file_that_is_cut_off(tmp_path, plug_in, monkeypatch):
    monkeypatch.setattr(video_track, "MAX_DECODER_THREADS", 1)
    clip = write_clip(tmp_path / "o.mkv", frames=60)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    plug_in()
    assert read(clip, "none")[0].damage
    assert_same(clip)


def test_a_device_that_cannot_be_opened(tmp_path, plug_in, caplog):
    clip = write_clip(tmp_path / "o.mp4")
    plug_in(opens=False)
    assert_same(clip, frames=30)
    assert "o.mp4 is decoded in software: cuda cannot be opened (Generic error" in caplog.text


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "reason"),
    [("libx264", "yuv444p", "its pixel format yuv444p is not"),
     ("libx264", "yuvj420p", "its pixel format yuvj420p is not"),
     ("libx264", "yuv422p10le", "its pixel format yuv422p10le is not"), ("ffv1", "yuv420p", "ffv1 is not one of"),
     ("mpeg4", "yuv420p", "mpeg4 is not one of")],
)  # fmt: skip
def test_what_a_device_would_not_give_back_the_same_stays_in_software(
    tmp_path, plug_in, caplog, codec, pix_fmt, reason
):
    clip = write_clip(tmp_path / "o.mkv", codec=codec, pix_fmt=pix_fmt)
    device = plug_in()
    assert_same(clip, frames=30)
    assert not device.opened
    assert reason in caplog.text


# ---- this machine, this PyAV


@pytest.mark.parametrize("hwaccel", HWACCELS[1:])
def test_whatever_this_machine_has_the_frames_are_softwares(tmp_path, hwaccel):
    clip = write_clip(tmp_path / "o.mp4")
    expected, found = (read(clip, which)[1] for which in ("none", hwaccel))
    assert len(found) == 30
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.image, theirs.image)


def test_a_device_that_this_libav_does_not_know_is_told_so(tmp_path):
    clip = write_clip(tmp_path / "o.mp4")
    missing = [name for name in HWACCELS[2:] if name not in hardware_decoding.built_in()]
    assert missing, "no libav is built for Windows, macOS and Linux at once"
    with av.open(str(clip)) as container, pytest.raises(DeviceTrouble, match=f"{missing[0]} does not decode h264"):
        open_on_device(clip, container.streams.video[0], missing[0])


def test_the_devices_that_may_be_asked_for_are_libavs():
    from av.codec.hwaccel import HWDeviceType

    assert set(HWACCELS[2:]) <= {device.name for device in HWDeviceType}
    assert set(hardware_decoding.built_in()) <= set(HWACCELS)


def test_nothing_else_may_be_asked_for(tmp_path):
    clip = write_clip(tmp_path / "o.mp4")
    with pytest.raises(StudioError, match="Unknown decoder 'gpu'"):
        open_reader(clip, hwaccel="gpu")


def test_on_the_command_line(red_studio, tmp_path):
    clip = write_clip(tmp_path / "in.mp4")
    code, _, err = red_studio("matte", clip, "-o", tmp_path / "o.mkv", "--hwaccel", "auto")
    assert (code, (tmp_path / "o.mkv").exists()) == (0, True)
    assert err.count("decoded by software") <= 1
    code, _, err = red_studio("matte", clip, "-o", tmp_path / "p.mkv", "--hwaccel", "gpu")
    assert code == 2
    assert "--hwaccel" in err
    out = red_studio("info").out
    lines = out.split("decoding on a device (matte --hwaccel)\n")[1].split("\n\n")[0].splitlines()
    assert [line.split(":")[0].strip() for line in lines] == (hardware_decoding.built_in() or ["none"])
