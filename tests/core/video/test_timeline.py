"""One clock for picture and sound: the start, joins, wraps, and the distance between flash and click in the output."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rvm_studio.core.video.container import picture_stream
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.timeline import Timeline
from rvm_studio.core.video.writer import FrameWriter

from .flashing_clips import clicks, flashes, flashing_clip

RATE = Fraction(25)


def copied(source: Path, output: Path, **part) -> tuple[list[str], list[str]]:
    """The clip unchanged through reader and writer; (damage, notes)."""
    with open_reader(source, **part) as reader:
        info = reader.info
        writer = FrameWriter(output, info, content="rgb", copy_from=source, copy_span=(info.begins, info.ends))
        for frame in reader:
            writer.write(frame.image, frame.pts, frame.number)
        writer.finish()
        return reader.damage, [*reader.notes, *writer.notes]


def times_of(path: Path, **part) -> list[Fraction]:
    with open_reader(path, **part) as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
        assert reader.damage == []
    return times


def assert_in_step(output: Path, count: int) -> None:
    heard, seen = clicks(output), flashes(output)
    assert len(heard) == len(seen) == count
    assert heard == pytest.approx(seen, abs=0.003)


@pytest.mark.parametrize("offset", [0, 1.4, 36000])
def test_a_transport_stream_begins_at_zero(tmp_path, offset):
    source = flashing_clip(tmp_path / "in.ts", delay=0.2, output_ts_offset=str(offset))
    assert copied(source, tmp_path / "out.mov") == ([], [])
    early = 1024 / 48000  # the sound begins with the encoder's delay
    assert flashes(tmp_path / "out.mov") == pytest.approx([early + second + 0.2 for second in range(3)], abs=1e-4)
    assert clicks(tmp_path / "out.mov") == pytest.approx([early + second for second in range(3)], abs=0.003)


@pytest.mark.parametrize("suffix", [".mkv", ".flv"])
def test_a_clock_that_runs_for_long_begins_at_zero(tmp_path, suffix):
    source = flashing_clip(tmp_path / f"in{suffix}", output_ts_offset="7200")
    assert copied(source, tmp_path / "out.mov") == ([], [])
    assert_in_step(tmp_path / "out.mov", 3)
    assert flashes(tmp_path / "out.mov")[0] < 0.05


def test_an_edit_list_is_the_authors(tmp_path):
    """The picture begins later than the film itself: that is kept, also without sound."""
    source = flashing_clip(tmp_path / "in.mp4", delay=0.5, sound=None)
    assert times_of(source)[0] == Fraction(1, 2)


def test_a_fragmented_file_begins_at_zero(tmp_path):
    source = flashing_clip(tmp_path / "in.mp4", output_ts_offset="500", movflags="frag_keyframe+empty_moov+delay_moov")
    with av.open(str(source)) as container:
        late = container.start_time > 400 * av.time_base
    copied(source, tmp_path / "out.mov")
    assert_in_step(tmp_path / "out.mov", 3)
    assert flashes(tmp_path / "out.mov")[0] < 0.05
    assert late


@pytest.mark.parametrize(("name", "sound"), [("in.ts", "aac"), ("in.mpg", "mp2")])
@pytest.mark.parametrize("later", [0, 5000])
def test_joined_recordings(tmp_path, name, sound, later):
    """The second one's clock begins again, or far ahead."""
    codec = "libx264" if name == "in.ts" else "mpeg2video"
    parts = [
        flashing_clip(tmp_path / f"{offset}{name}", 2, codec=codec, sound=sound, output_ts_offset=str(offset))
        for offset in (10, 10 + later)
    ]
    joined = tmp_path / name
    joined.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())
    damage, notes = copied(joined, tmp_path / "out.mov")
    assert damage == []
    assert len(notes) - ("re-encoded" in notes[-1]) == 1
    assert "where recordings were joined" in notes[0]
    times = times_of(joined)
    assert {b - a for a, b in itertools.pairwise(times)} == {1 / RATE}
    assert len(times) == 100
    assert_in_step(tmp_path / "out.mov", 4)


def test_a_clock_that_wraps_around(tmp_path):
    """33 bits of 1/90000 s: in the middle of the clip the clock goes back to 0."""
    source = flashing_clip(tmp_path / "in.ts", output_ts_offset=str(2**33 / 90000 - 1.5))
    assert copied(source, tmp_path / "out.mov") == ([], [])
    assert_in_step(tmp_path / "out.mov", 3)
    times = times_of(source)
    assert {b - a for a, b in itertools.pairwise(times)} == {1 / RATE}


class Stub:
    """A file whose packets are what a test says."""

    def __init__(self, path: Path):
        self.container = av.open(str(path))
        self.video, self.sound = self.container.streams.video[0], self.container.streams.audio[0]
        self.timeline = Timeline(self.container, picture_stream(self.container))

    def packet(self, stream, seconds: float, length: float) -> av.Packet:
        packet = av.Packet(b"x")
        packet.stream, packet.time_base = stream, Fraction(1, 90000)
        packet.pts = packet.dts = round(seconds * 90000)
        packet.duration = round(length * 90000)
        return packet

    def run(self, packets) -> dict[str, list[float]]:
        passed = [timed for packet in packets for timed in self.timeline.packets(packet)]
        end = av.Packet()
        end.stream = self.video
        passed += self.timeline.packets(end)
        found: dict[str, list[float]] = {"video": [], "audio": []}
        for packet in passed:
            found[packet.stream.type].append(round(float(packet.pts * packet.time_base), 4))
        return found


def test_a_wrap_that_libav_does_not_see(tmp_path):
    """Hours after the beginning, where it does not expect one."""
    wrap = 2**33 / 90000
    stub = Stub(flashing_clip(tmp_path / "in.ts", 1))
    zero = float(stub.timeline.zero)
    seconds = [zero + i * 0.04 + wrap - 0.1 for i in range(5)]
    given = [stub.packet(stub.video, s if s < wrap else s - wrap, 0.04) for s in seconds]
    found = stub.run(given)["video"]
    assert np.diff(found) == pytest.approx([0.04] * 4, abs=1e-4)
    assert stub.timeline.joins == []


def test_sound_that_jumps_before_the_picture_waits_for_it(tmp_path):
    stub = Stub(flashing_clip(tmp_path / "in.ts", 1))
    zero = float(stub.timeline.zero)
    video, sound = stub.video, stub.sound
    given = [stub.packet(video, zero + i * 0.04, 0.04) for i in range(10)]
    given += [stub.packet(sound, zero + i * 0.02, 0.02) for i in range(20)]
    given += [stub.packet(sound, 9000 + i * 0.02, 0.02) for i in range(5)]
    given += [stub.packet(video, 9000 + i * 0.04, 0.04) for i in range(5)]
    given += [stub.packet(sound, 9000.1 + i * 0.02, 0.02) for i in range(5)]
    found = stub.run(given)
    assert np.diff(found["video"]) == pytest.approx([0.04] * 14, abs=1e-4)
    assert np.diff(found["audio"]) == pytest.approx([0.02] * 29, abs=1e-4)


def test_sound_alone_may_jump(tmp_path):
    stub = Stub(flashing_clip(tmp_path / "in.ts", 1))
    zero = float(stub.timeline.zero)
    given = [stub.packet(stub.video, zero + i * 0.04, 0.04) for i in range(20)]
    given += [stub.packet(stub.sound, zero + i * 0.02, 0.02) for i in range(20)]
    given += [stub.packet(stub.sound, 500 + i * 0.02, 0.02) for i in range(5)]
    found = stub.run(given)
    assert len(found["audio"]) == 25
    assert all(a < b for a, b in zip(found["audio"], found["audio"][1:], strict=False))
    assert found["audio"][-1] < 1.2


def test_a_part_of_a_late_clip_keeps_its_sound(tmp_path):
    source = flashing_clip(tmp_path / "in.mkv", 4, options={"g": "25"}, output_ts_offset="7200")
    copied(source, tmp_path / "out.mov", start=Fraction(3, 2), duration=2)
    assert_in_step(tmp_path / "out.mov", 2)
    assert flashes(tmp_path / "out.mov")[0] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".flv"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])
def test_milliseconds_leave_as_a_constant_rate(tmp_path, suffix, rate):
    codec, sound = ("libvpx-vp9", "libopus") if suffix == ".webm" else ("libx264", "aac")
    options = {"deadline": "realtime", "cpu-used": "8"} if suffix == ".webm" else {"bf": "2"}
    source = flashing_clip(tmp_path / f"in{suffix}", 1.5, rate, codec, sound=sound, options=options)
    times = times_of(source)
    assert {b - a for a, b in itertools.pairwise(times)} == {1 / rate}
    copied(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as container:
        stream = container.streams.video[0]
        shown = [packet.pts * packet.time_base for packet in container.demux(stream) if packet.size]
        assert Fraction(stream.average_rate.numerator, stream.average_rate.denominator) == rate
    assert {b - a for a, b in itertools.pairwise(shown)} == {1 / rate}
    assert_in_step(tmp_path / "out.mov", 2)
    part = times_of(source, start=times[7], duration=times[20] - times[7])
    assert part == [time - times[7] for time in times[7:20]]


def test_b_frames_in_avi(tmp_path):
    """AVI knows no times of showing; the picture is whole, in order, at equal distances."""
    source = flashing_clip(tmp_path / "in.avi", options={"bf": "3", "b-adapt": "0"}, sound="libmp3lame")
    assert times_of(source) == [i / RATE for i in range(75)]
    copied(source, tmp_path / "out.mov")
    assert flashes(tmp_path / "out.mov") == pytest.approx([0, 1, 2])


def test_sound_that_outlasts_the_picture_is_no_damage(tmp_path):
    for name in ("in.mkv", "in.ts", "in.mp4"):
        source = flashing_clip(tmp_path / name, 4, times=[Fraction(i, 25) for i in range(20)])
        damage, _ = copied(source, tmp_path / f"{name}.mov")
        assert damage == [], name
        assert len(clicks(tmp_path / f"{name}.mov")) == 4


def test_frames_with_the_same_time(tmp_path, monkeypatch):
    source = flashing_clip(tmp_path / "in.mkv", 1, sound=None, options={"bf": "0"})
    from rvm_studio.core.video import video_reader

    decode = video_reader.VideoReader._decode

    def repeated(reader):
        for number, frame in enumerate(decode(reader)):
            if number == 10:
                frame.pts -= 40
            yield frame

    monkeypatch.setattr(video_reader.VideoReader, "_decode", repeated)
    with open_reader(source) as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
    assert reader.damage == []
    assert "have the same time" in reader.notes[0]
    assert times[9:12] == [Fraction(9, 25), Fraction(19, 50), Fraction(11, 25)]
