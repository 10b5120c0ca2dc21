"""What the writer says beside the pixels: colour tags, the kind of alpha, the pixel shape, times."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from rvm_studio.core.video.color import ColorTags

from .written_clips import BT709, LOSSY, check_pixels, decode, make_image, make_writer, read_back, to_rgba, write_clip

BT601 = ColorTags(6, 1, 6, 6)


# --- colour tags


@pytest.mark.parametrize(
    ("suffix", "content", "tags", "written"),
    [
        (".mov", "rgba", BT601, (6, 1)),
        (".mov", "rgba", ColorTags(9, 1, 9, 14), (9, 1)),
        (".mov", "rgba", ColorTags(0, 2, 1, 13), (1, 1)),  # RGB source: BT.709
        (".mov", "rgb", ColorTags(7, 1, 7, 7), (1, 1)),
        (".webm", "rgba", BT601, (6, 1)),
        (".mp4", "rgb", ColorTags(1, 2, 1, 1), (1, 1)),  # a full-range source becomes limited
        (".mkv", "rgba", BT709, (0, 2)),
    ],
)
def test_what_is_written_is_tagged(tmp_path, suffix, content, tags, written):
    path, images = write_clip(tmp_path / f"out{suffix}", content, tags=tags)
    frames, _ = decode(path)
    assert {(int(f.colorspace), int(f.color_range)) for f in frames} == {written}
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc) == (tags.primaries, tags.transfer)
    check_pixels([to_rgba(frame) for frame in frames], images, LOSSY.get(suffix, 1e-9), 1)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_composites_become_10_bit_hevc(tmp_path, transfer):
    tags = ColorTags(9, 1, 9, transfer)
    path, images = write_clip(tmp_path / "out.mp4", "rgb", depth=10, tags=tags)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.codec_tag) == ("hevc", "yuv420p10le", "hvc1")
        assert context.color_trc == transfer
    check_pixels(read_back(path), images, LOSSY[".mp4"], 0)
    assert make_writer(tmp_path / "sdr.mp4", "rgb", bit_depth=10).bit_depth == 8


@pytest.mark.parametrize("suffix", [".mov", ".webm", ".mkv"])
@pytest.mark.parametrize("premultiplied", [False, True])
def test_the_kind_of_alpha_is_said(tmp_path, suffix, premultiplied):
    path, _ = write_clip(tmp_path / f"out{suffix}", premultiplied=premultiplied)
    with av.open(str(path)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["comment"] == ("alpha: premultiplied" if premultiplied else "alpha: straight")
        if suffix == ".webm":  # what browsers look for
            assert {k.lower(): v for k, v in container.streams.video[0].metadata.items()}["alpha_mode"] == "1"


@pytest.mark.parametrize("suffix", [".png", ".apng", ".webp", ".mov", ".webm", ".mkv"])
def test_premultiplied_where_the_file_cannot_say_it(tmp_path, suffix):
    silent = suffix in (".png", ".apng", ".webp")
    writer = make_writer(tmp_path / f"a{suffix}", premultiplied=True)
    assert [note for note in writer.notes if f"{suffix} cannot store" in note and "premultiplied" in note] == (
        writer.notes if silent else []
    )
    assert len(writer.notes) == silent
    assert make_writer(tmp_path / f"b{suffix}").notes == []
    assert make_writer(tmp_path / f"c{suffix}", "rgb", premultiplied=True).notes == []


def test_long_webp_is_warned_of(tmp_path):
    image = make_image(size=(2, 2))
    for suffix in (".webp", ".apng"):
        writer = make_writer(tmp_path / f"out{suffix}", size=(2, 2))
        for i in range(302):
            if i <= 300:
                assert writer.notes == []
            writer.write(image, 1001 * i, i)
        writer.finish()
        assert ["held in memory" in note for note in writer.notes] == ([True] if suffix == ".webp" else [])


def test_pixels_that_are_not_square(tmp_path):
    for suffix in (".mov", ".mp4"):
        path, _ = write_clip(tmp_path / f"out{suffix}", "rgb", sample_aspect_ratio=Fraction(4, 3))
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    writer = make_writer(tmp_path / "out.webp", sample_aspect_ratio=Fraction(4, 3))
    assert any("pixel aspect ratio 4/3" in note for note in writer.notes)


# --- times


@pytest.mark.parametrize("first", [0, 5005, -3003])
@pytest.mark.parametrize("time_base", [Fraction(1, 30000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 25)])
@pytest.mark.parametrize(
    ("suffix", "content"), [(".mov", "rgba"), (".mp4", "rgb"), (".mkv", "rgba"), (".webm", "rgba")]
)
def test_times_come_back(tmp_path, suffix, content, time_base, first):
    """Variable rate, a start that is not zero: exact in MOV and MP4, to a millisecond in Matroska."""
    steps = np.cumsum([0, 1, 3, 1, 1, 7, 2, 1, 1, 1, 5, 1]) * (
        1001 if time_base.denominator > 1000 * time_base.numerator else 1
    )
    start = first if abs(first * time_base) < 1 else first // 1001
    pts = [start + int(step) for step in steps]
    writer = make_writer(tmp_path / f"out{suffix}", content, time_base=time_base)
    for number, time in enumerate(pts):
        writer.write(make_image(content, step=number), time, number)
    frames, unit = decode(writer.finish())
    pts = [time - min(pts[0], 0) for time in pts]  # a clip that begins before zero is moved to zero
    times = [frame.pts * unit for frame in frames]
    if suffix in (".mov", ".mp4"):
        assert times == [time * time_base for time in pts]
        if time_base.numerator == 1:
            assert unit == time_base
            assert [frame.pts for frame in frames] == pts
    else:
        assert max(abs(a - b * time_base) for a, b in zip(times, pts, strict=True)) <= Fraction(1, 2000)


def test_delays_of_animated_pictures(tmp_path):
    for suffix in (".apng", ".webp"):
        writer = make_writer(tmp_path / f"out{suffix}")
        for number, time in enumerate([5005, 6006, 9009, 10010]):
            writer.write(make_image(step=number), time, number)
        durations = []
        with Image.open(writer.finish()) as picture:
            assert picture.n_frames == 4
            assert picture.info["loop"] == 0
            for i in range(4):
                picture.seek(i)
                picture.load()
                durations.append(picture.info["duration"])
        # the last frame has no end: libav repeats the previous duration (APNG) or takes the mean (WebP)
        assert durations[:3] == pytest.approx([33.37, 100.1, 33.37], abs=0.02 if suffix == ".apng" else 1)
        assert durations[3] > 30


def test_times_that_stand_still_are_moved_by_a_tick(tmp_path):
    writer = make_writer(tmp_path / "out.mov")
    for number, time in enumerate([0, 1001, 1001, 900, 4004]):
        writer.write(make_image(step=number), time, number)
    frames, _ = decode(writer.finish())
    assert [frame.pts for frame in frames] == [0, 1001, 1002, 1003, 4004]
    assert any("2 frames" in note for note in writer.notes)
