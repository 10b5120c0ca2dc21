"""Audio, chapters and tags on their way from the source into the output."""

import hashlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video import track_copy
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.writer import FrameWriter

RATE = 48000
TIME_BASE = Fraction(1, 30000)
FRAMES = 30  # one second


def tone(start: int, length: int, rate: int) -> np.ndarray:
    """[2, length] float: 440 Hz, and a click at every tenth of a second on the left."""
    n = np.arange(start, start + length)
    wave = 0.3 * np.sin(2 * np.pi * 440 * n / rate)
    return np.stack([wave + 0.6 * (n % (rate // 10) < 48), wave]).astype(np.float32)


def make_source(
    path: Path, codecs=("aac",), first=0, rate=RATE, seconds=1.0, audio_first=0, chapters=False, tags=None, **more
) -> Path:
    """A clip of one second, 64x48, 29.97 frames, with the audio tracks named. `first`: pts of the first frame."""
    options = (
        {"video_track_timescale": "30000", "movie_timescale": "240000"} if path.suffix in (".mp4", ".mov") else more
    )
    with av.open(str(path), "w", container_options=options) as container:
        video = container.add_stream("libx264", rate=Fraction(30000, 1001), options={"preset": "ultrafast"})
        video.width, video.height, video.codec_context.time_base = 64, 48, TIME_BASE
        tracks = [container.add_stream(codec, rate=rate) for codec in codecs]
        for track, language in zip(tracks, ("deu", "fra"), strict=False):
            track.codec_context.layout = "stereo"
            track.metadata["language"] = language
        container.metadata.update(tags or {})
        if chapters:
            container.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                    {"id": 2, "start": 400, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
                ]
            )
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = first + 1001 * i, TIME_BASE
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track in tracks:
            for start in range(0, int(seconds * rate), 1024):
                samples = av.AudioFrame.from_ndarray(tone(start, 1024, rate), format="fltp", layout="stereo")
                samples.sample_rate, samples.pts, samples.time_base = rate, audio_first + start, Fraction(1, rate)
                container.mux(track.encode(samples))
            container.mux(track.encode(None))
    return path


def begin(path: Path, source: Path | None, content="rgba", **more) -> FrameWriter:
    if path.suffix == ".mp4":
        content = "rgb"
    spec = PictureSpec(
        height=48, width=64, frame_rate=Fraction(30000, 1001), time_base=TIME_BASE, tags=ColorTags(1, 1, 1, 1)
    )
    return FrameWriter(path, spec, content=content, copy_from=source, **more)


def write_frames(writer: FrameWriter, count=FRAMES, first=0) -> None:
    for i in range(count):
        image = np.full((48, 64, 3 if writer.path.suffix == ".mp4" else 4), 8 * i, np.uint8)
        writer.write(image, first + 1001 * i, i)


def convert(source: Path, path: Path, first=0) -> FrameWriter:
    writer = begin(path, source)
    write_frames(writer, first=first)
    assert writer.finish() == path
    return writer


def packets(path: Path, kind="audio", index=0) -> list[tuple[Fraction, str]]:
    """(time in seconds, digest) of every packet of one track."""
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][index]
        found = [p for p in container.demux(stream) if p.size]
        return [(p.pts * p.time_base, hashlib.sha256(bytes(p)).hexdigest()) for p in found]


def digests(path: Path, index=0) -> list[str]:
    return [digest for _, digest in packets(path, index=index)]


def codec_names(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [s.codec_context.codec.canonical_name for s in container.streams.audio]


def click_times(path: Path) -> list[float]:
    """When the clicks sound, in seconds, by decoding."""
    with av.open(str(path)) as container:
        stream, clicks, last = container.streams.audio[0], [], -1.0
        for frame in container.decode(stream):
            samples = frame.to_ndarray()
            channels = len(frame.layout.channels)
            left = samples[0] if frame.format.is_planar else samples.reshape(-1, channels)[:, 0]
            left = left / 32768 if left.dtype == np.int16 else left
            right = samples[-1] if frame.format.is_planar else samples.reshape(-1, channels)[:, 1]
            right = right / 32768 if right.dtype == np.int16 else right
            for n in np.flatnonzero(left - right > 0.3):
                time = float(frame.pts * frame.time_base) + n / frame.sample_rate
                if time - last > 0.05:
                    clicks.append(time)
                last = time
        return clicks


@pytest.mark.parametrize("first", [0, 5005, 12012])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_aac_is_copied_bit_for_bit(tmp_path, suffix, first):
    source = make_source(tmp_path / "in.mp4", first=first)
    before = packets(source)
    assert before[0][0] == Fraction(-1024, RATE)  # encoder delay, hidden by an edit list
    writer = convert(source, tmp_path / f"out{suffix}", first)
    after = packets(writer.path)
    assert [digest for _, digest in after] == [digest for _, digest in before]
    picture = [time for time, _ in packets(writer.path, "video")]
    if suffix == ".mkv":
        assert max(abs(a - b) for (a, _), (b, _) in zip(after, before, strict=True)) <= Fraction(1, 1000)
        assert abs(min(picture) - first * TIME_BASE) <= Fraction(1, 2000)
    else:
        assert after == before
        assert sorted(picture) == [(first + 1001 * i) * TIME_BASE for i in range(FRAMES)]
    assert writer.notes == []


def test_sound_and_picture_stay_together(tmp_path):
    source = make_source(tmp_path / "in.mp4", first=5005)
    true = click_times(source)
    assert len(true) == 11
    for suffix in (".mp4", ".mov", ".mkv", ".webm"):
        writer = convert(source, tmp_path / f"out{suffix}", 5005)
        # 1 ms of Matroska; the codec of WebM smears a click over a few more samples
        assert click_times(writer.path) == pytest.approx(true, abs=0.002), suffix


def test_a_picture_before_zero_takes_the_sound_along(tmp_path):
    source = make_source(tmp_path / "in.mp4")
    for suffix in (".mp4", ".mov", ".mkv"):
        writer = convert(source, tmp_path / f"out{suffix}", first=-3000)
        assert min(time for time, _ in packets(writer.path, "video")) == 0
        assert click_times(writer.path) == pytest.approx([t + 0.1 for t in click_times(source)], abs=0.002), suffix
        assert digests(writer.path) == digests(source)


def test_opus_is_copied_to_webm(tmp_path):
    source = make_source(tmp_path / "in.mkv", ["libopus"])
    writer = convert(source, tmp_path / "out.webm")
    assert packets(writer.path) == packets(source)
    assert codec_names(writer.path) == ["opus"]
    assert writer.notes == []


@pytest.mark.parametrize(
    ("codec", "suffix", "expected"),
    [
        ("aac", ".webm", "opus"),
        ("pcm_s16le", ".mp4", "aac"),
        ("libopus", ".mov", "pcm_s16le"),
        ("flac", ".mov", "pcm_s16le"),
    ],
)
@pytest.mark.parametrize("rate", [48000, 44100])
def test_what_a_container_cannot_hold_is_encoded_again(tmp_path, codec, suffix, expected, rate):
    if codec == "libopus" and rate != 48000:
        pytest.skip("Opus knows no 44.1 kHz")
    source = make_source(tmp_path / "in.mkv", [codec], rate=rate)
    writer = convert(source, tmp_path / f"out{suffix}")
    assert codec_names(writer.path) == [expected]
    assert len(writer.notes) == 1
    assert expected in writer.notes[0]
    assert click_times(writer.path) == pytest.approx(click_times(source), abs=0.003)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_every_track_is_copied_with_its_language(tmp_path, suffix):
    source = make_source(tmp_path / "in.mkv", ["aac", "ac3"])
    writer = convert(source, tmp_path / f"out{suffix}")
    assert codec_names(writer.path) == ["aac", "ac3"]
    for index in range(2):
        assert digests(writer.path, index) == digests(source, index)
    with av.open(str(writer.path)) as container:
        assert [s.metadata["language"] for s in container.streams.audio] == [
            "ger" if suffix == ".mov" else "deu",
            "fra",
        ]  # older codes in MOV


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_titles_are_copied(tmp_path, suffix):
    tags = {"title": "Träume", "artist": "Somebody", "comment": "take 3"}
    writer = convert(make_source(tmp_path / "in.mp4", tags=tags), tmp_path / f"out{suffix}")
    with av.open(str(writer.path)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert (found["title"], found["artist"]) == ("Träume", "Somebody")
    assert found["comment"] == ("take 3" if suffix == ".mp4" else "take 3; alpha: straight")
    if suffix in (".mkv", ".webm"):
        assert "major_brand" not in found


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_titles_in_an_old_encoding_are_copied_as_text(tmp_path, suffix):
    """Those of the file, and of its chapters where PyAV knows any."""
    has_chapters = hasattr(av.container.OutputContainer, "set_chapters")
    source = make_source(tmp_path / "in.mkv", tags={"title": "Tr#ume", "artist": "Träger"}, chapters=has_chapters)
    old = source.read_bytes().replace(b"Tr#ume", "Träume".encode("latin-1")).replace(b"Two", "Zwö".encode("latin-1"))
    source.write_bytes(old)
    with av.open(str(convert(source, tmp_path / f"out{suffix}").path)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
        assert (found["title"], found["artist"]) == ("Träume", "Träger")
        if has_chapters:
            assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Zwö"]


def test_the_remark_on_alpha_is_of_this_file(tmp_path):
    source = make_source(tmp_path / "in.mkv", tags={"comment": "take 3; alpha: premultiplied"})
    for suffix, expected in ((".mov", "take 3; alpha: straight"), (".mp4", "take 3")):
        with av.open(str(convert(source, tmp_path / f"out{suffix}").path)) as container:
            assert container.metadata["comment"] == expected


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_pictures_do_not_pile_up_when_the_sound_is_over(tmp_path, suffix):
    """libav waits for every track before it writes; a long picture behind a short sound must not stay in memory."""
    writer = begin(tmp_path / f"out{suffix}", make_source(tmp_path / "in.mp4", seconds=0.2), quality=1)
    rng = np.random.RandomState(0)
    sizes = []
    for i in range(60):
        writer.write(rng.randint(0, 256, (48, 64, 4)).astype(np.uint8), 1001 * i, i)
        sizes.append(next(tmp_path.glob(f"out.*.partial{suffix}")).stat().st_size)
    total = writer.finish().stat().st_size
    assert sizes[-1] > 0.7 * total
    if suffix == ".mov":  # Matroska gathers clusters of up to 5 MB besides
        assert sizes[30] > 0.25 * total


@pytest.mark.skipif(not hasattr(av.container.Container, "chapters"), reason="this PyAV knows no chapters")
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_chapters_are_copied(tmp_path, suffix):
    writer = convert(make_source(tmp_path / "in.mkv", chapters=True), tmp_path / f"out{suffix}")
    with av.open(str(writer.path)) as container:
        found = [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
            for c in container.chapters()
        ]
    assert found == [
        (0, pytest.approx(0.4, abs=1e-3), "One"),
        (pytest.approx(0.4, abs=1e-3), pytest.approx(1, abs=1e-3), "Two"),
    ]


def test_pictures_without_sound(tmp_path):
    source = make_source(tmp_path / "in.mp4")
    for name in ("out.apng", "out.webp"):
        writer = convert(source, tmp_path / name)
        assert any("the audio is not copied" in note for note in writer.notes)
    writer = begin(tmp_path / "out.png", source)
    assert any("the audio is not copied" in note for note in writer.notes)
    writer.abandon(keep=False)


def test_a_source_without_sound(tmp_path):
    writer = convert(make_source(tmp_path / "in.mp4", []), tmp_path / "out.mov")
    assert codec_names(writer.path) == []
    assert writer.notes == []


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".webm", ".mp4"])
def test_abandoned_the_sound_ends_with_the_picture(tmp_path, suffix):
    source = make_source(tmp_path / "in.mp4", seconds=4)
    writer = begin(tmp_path / f"out{suffix}", source)
    write_frames(writer, 15)
    partial = writer.abandon(keep=True)
    assert partial is not None
    assert len(packets(partial, "video")) == 15
    times = [time for time, _ in packets(partial)]
    end = 15 * 1001 * TIME_BASE
    assert end - Fraction(1, 20) < times[-1] <= end + Fraction(1, 50)
    whole = convert(source, tmp_path / f"whole{suffix}")
    assert packets(whole.path)[-1][0] > Fraction(39, 10)  # finished, all of it is there


# --- a part of the clip


def convert_part(source: Path, path: Path, begins: Fraction, ends: Fraction | None, count: int) -> FrameWriter:
    writer = begin(path, source, copy_span=(begins, ends))
    write_frames(writer, count)
    assert writer.finish() == path
    return writer


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("ends", [None, Fraction(205, 100), Fraction(1235, 1000)])
def test_of_a_trimmed_clip_the_sound_within_is_copied(tmp_path, suffix, ends):
    source = make_source(tmp_path / "in.mp4", seconds=4)
    begins = 17 * 1001 * TIME_BASE  # between two packets
    writer = convert_part(source, tmp_path / f"out{suffix}", begins, ends, 10)
    length = Fraction(1024, RATE)
    wanted = [
        (time - begins, digest)
        for time, digest in packets(source)
        if time + length > begins and (ends is None or time < ends)
    ]
    found = packets(writer.path)
    assert [digest for _, digest in found] == [digest for _, digest in wanted]
    unit = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, RATE)
    assert max(abs(a - b) for (a, _), (b, _) in zip(found, wanted, strict=True)) <= unit
    assert -length < found[0][0] <= 0
    assert writer.notes == []
    clicks = [time - begins for time in click_times(source) if begins <= time < (ends or 9)]
    assert [t for t in click_times(writer.path) if t >= 0] == pytest.approx(list(map(float, clicks)), abs=0.002)


def test_of_a_trimmed_clip_re_encoded_sound_stays_in_time(tmp_path):
    source = make_source(tmp_path / "in.mp4", seconds=4)
    begins, ends = Fraction(55, 100), Fraction(305, 100)
    writer = convert_part(source, tmp_path / "out.webm", begins, ends, 20)
    clicks = [time - begins for time in click_times(source) if begins <= time < ends]
    assert len(clicks) == 25
    found = [t for t in click_times(writer.path) if t >= 0]
    assert found == pytest.approx(list(map(float, clicks)), abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.ts"])
def test_far_into_a_clip_the_same_packets_are_found_by_searching(tmp_path, name, monkeypatch):
    source = make_source(tmp_path / name, seconds=30)
    begins, ends = Fraction(21), Fraction(22)
    monkeypatch.setattr(track_copy, "_SEEK_EARLY", 2)
    found = packets(convert_part(source, tmp_path / "out.mkv", begins, ends, 10).path)
    monkeypatch.setattr(track_copy, "_SEEK_EARLY", 1000)
    assert packets(convert_part(source, tmp_path / "all.mkv", begins, ends, 10).path) == found
    assert 46 <= len(found) <= 48


@pytest.mark.slow
@pytest.mark.parametrize("early", [0, 8])
def test_sound_that_lies_before_its_picture_is_found(tmp_path, early):
    """In this file sound comes up to 8 seconds before the picture of its time, as from a writer that waits for its
    video encoder; a search goes by the picture."""
    plain, source = make_long(tmp_path / "plain.mkv"), tmp_path / "in.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w", container_options={"max_interleave_delta": "1"}) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        kinds = {stream.index: stream.type for stream in old.streams}
        all_packets = [packet for packet in old.demux() if packet.size]
        place = lambda packet: packet.dts * packet.time_base - early * (kinds[packet.stream.index] == "audio")  # noqa: E731
        for packet in sorted(all_packets, key=place):
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    with av.open(str(source)) as container:
        first_picture = next(p for p in container.demux() if p.stream.type == "video" and p.pts * p.time_base >= 30)
        following = next(p for p in container.demux() if p.stream.type == "audio" and p.size)
        assert following.pts * following.time_base - first_picture.pts * first_picture.time_base >= early - 1
    begins, ends = Fraction(30), Fraction(32)
    found = packets(convert_part(source, tmp_path / "out.mkv", begins, ends, 10).path)
    expected = [(time, digest) for time, digest in packets(source) if begins <= time < ends]
    assert [digest for _, digest in found][-len(expected) :] == [digest for _, digest in expected]
    assert found[-len(expected)][0] == expected[0][0] - begins
    assert len(found) - len(expected) <= 1  # one that sounds across the beginning


def make_long(path: Path) -> Path:
    """45 seconds of a picture a second, each a key frame, and sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=1)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        sound = container.add_stream("aac", rate=RATE)
        sound.codec_context.layout = "stereo"
        for second in range(45):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * second, np.uint8), format="rgb24")
            frame.pts, frame.time_base = second, Fraction(1)
            container.mux(video.encode(frame.reformat(format="yuvj420p")))
            for start in range(-(-second * RATE // 1024) * 1024, (second + 1) * RATE, 1024):
                samples = av.AudioFrame.from_ndarray(tone(start, 1024, RATE), format="fltp", layout="stereo")
                samples.sample_rate, samples.pts, samples.time_base = RATE, start, Fraction(1, RATE)
                container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def test_the_sound_is_left_out_where_it_is_not_wanted(tmp_path):
    source = make_source(tmp_path / "in.mp4", tags={"title": "Träume"})
    writer = begin(tmp_path / "out.mov", source, copy_audio=False)
    write_frames(writer, 3)
    with av.open(str(writer.finish())) as container:
        assert not container.streams.audio
        assert container.metadata["title"] == "Träume"
    assert writer.notes == []


@pytest.mark.skipif(not hasattr(av.container.Container, "chapters"), reason="this PyAV knows no chapters")
def test_chapters_of_a_trimmed_clip(tmp_path):
    source = make_source(tmp_path / "in.mkv", chapters=True)  # 0 - 0.4 - 1

    def chapters(begins, ends):
        writer = convert_part(source, tmp_path / f"{begins.numerator}{ends}.mkv".replace("/", "-"), begins, ends, 5)
        with av.open(str(writer.path)) as container:
            return [
                (round(float(c["start"] * c["time_base"]), 3), round(float(c["end"] * c["time_base"]), 3))
                for c in container.chapters()
            ]

    assert chapters(Fraction(1, 10), Fraction(8, 10)) == [(0, 0.3), (0.3, 0.7)]
    assert chapters(Fraction(5, 10), None) == [(0, 0.5)]
    assert chapters(Fraction(1, 10), Fraction(2, 10)) == [(0, 0.1)]


def test_damaged_audio_is_left_out(tmp_path):
    source = make_source(tmp_path / "in.mkv", cluster_time_limit="200")
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [p.pos for p in container.demux(container.streams.audio[0]) if p.size and p.pos]
    for place in places[10:12]:  # overwrites the headers of blocks
        data[place - 8 : place + 60] = bytes(68)
    (tmp_path / "bad.mkv").write_bytes(data)
    for suffix in (".mkv", ".mov", ".webm"):
        writer = convert(tmp_path / "bad.mkv", tmp_path / f"out{suffix}")
        times = [time for time, _ in packets(writer.path)]
        assert 30 < len(times) < 60
        assert times == sorted(times)
        assert times[-1] > Fraction(9, 10)  # it went on behind the damage


def test_sound_that_cannot_be_decoded_is_counted(tmp_path):
    """WebM takes no AAC: each packet is decoded, and those that are noise are left out."""
    source, rng = make_source(tmp_path / "in.mkv"), np.random.default_rng(0)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        sound = [(p.pos, p.size) for p in container.demux(container.streams.audio[0]) if p.size and p.pos]
    for place, size in sound[10:16]:
        data[place + 40 : place + size - 8] = rng.bytes(size - 48)  # behind the block's header
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(data)
    failed = 0
    with av.open(str(bad)) as container:
        stream = container.streams.audio[0]
        for packet in container.demux(stream):
            try:
                stream.decode(packet)
            except av.FFmpegError:
                failed += 1
    assert failed
    assert f"{failed} damaged audio packets were skipped" in convert(bad, tmp_path / "out.webm").notes


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".mp4"])
def test_transport_streams(tmp_path, suffix):
    """Their AAC has headers of its own in every packet, which these containers do not want."""
    source = make_source(tmp_path / "in.ts", output_ts_offset="36000")
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        zero = min(s.start_time * s.time_base for s in container.streams)
        first = round((stream.start_time * stream.time_base - zero) / TIME_BASE)
    assert zero > 35999
    writer = convert(source, tmp_path / f"out{suffix}", first)
    assert click_times(writer.path) == pytest.approx([t - float(zero) for t in click_times(source)], abs=0.002)


def test_the_sound_of_joined_recordings_goes_on(tmp_path):
    data = make_source(tmp_path / "in.ts", seconds=0.95).read_bytes()
    (tmp_path / "twice.ts").write_bytes(data + data)  # as cameras do that split and join files
    writer = convert(tmp_path / "twice.ts", tmp_path / "out.mov")
    assert writer.notes == []
    single = click_times(convert(tmp_path / "in.ts", tmp_path / "one.mov").path)
    # the second picture follows the first at the distance of a frame
    length = FRAMES * 1001 / 30000
    assert click_times(writer.path) == pytest.approx([*single, *(t + length for t in single)], abs=0.003)


def test_a_source_that_cannot_be_opened(tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"no video")
    for source in (tmp_path / "in.mp4", tmp_path / "missing.mp4"):
        with pytest.raises(StudioError, match=r"audio of .* cannot be read"):
            begin(tmp_path / "out.mov", source)
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_the_output_is_the_input(tmp_path):
    source = make_source(tmp_path / "in.mp4")
    data = source.read_bytes()
    with pytest.raises(StudioError, match="is the input itself"):
        begin(tmp_path / "x" / ".." / "in.mp4" if (tmp_path / "x").exists() else source, source, overwrite=True)
    assert source.read_bytes() == data


def test_what_else_is_left_out_is_said():
    kinds = ["video", "audio", "data", "attachment"]
    streams = [SimpleNamespace(type=kind, metadata={}) for kind in kinds]
    subtitled = SimpleNamespace(streams=Streams(streams, subtitles=[1]))
    assert list(track_copy._left_out(subtitled)) == ["subtitles", "data tracks", "attachments"]
    timecode = SimpleNamespace(type="data", metadata={"timecode": "01:00:00:00"})
    assert list(track_copy._left_out(SimpleNamespace(streams=Streams([timecode])))) == []


class Streams(list):
    def __init__(self, streams, subtitles=()):
        super().__init__(streams)
        self.subtitles = subtitles


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_sound_long_before_the_beginning_is_left_out(tmp_path, suffix):
    """As a cut without decoding leaves it: an edit list hides half a second."""
    source = make_source(tmp_path / "in.mp4", seconds=1.5, audio_first=-24000)
    assert packets(source)[0][0] < Fraction(-1, 2)
    writer = convert(source, tmp_path / f"out{suffix}")
    assert Fraction(-1, 8) < first_sound(writer.path) <= 0
    if suffix == ".mov" or not says_padding(source):
        assert Fraction(-1, 8) < packets(writer.path)[0][0] < 0
    heard = [time for time in click_times(source) if time >= 0]
    assert [time for time in click_times(writer.path) if time >= 0] == pytest.approx(heard, abs=0.003)


def first_sound(path: Path) -> Fraction:
    """When the first sound is played, in seconds."""
    with av.open(str(path)) as container:
        frame = next(container.decode(audio=0))
        return frame.pts * Fraction(frame.time_base.numerator, frame.time_base.denominator)


def says_padding(path: Path) -> bool:
    """Whether this PyAV knows how much of a track's beginning is padding, as Matroska then stores it."""
    with av.open(str(path)) as container:
        return getattr(container.streams.audio[0].codec_context, "initial_padding", 0) > 0
