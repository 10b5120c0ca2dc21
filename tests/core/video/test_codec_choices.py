"""The codecs that can be chosen instead of a format's own: each is written, and read back by two decoders."""

import json
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine.root import SAMPLE
from rvm_studio.core.video import codec_choices
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.encoder_setup import EncoderSetup
from rvm_studio.core.video.output_formats import FORMATS, format_for
from rvm_studio.core.video.picture_spec import PictureSpec
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.writer import FrameWriter

HEIGHT, WIDTH, FRAMES = 144, 256, 2
# PyAV 14 opens these two only, as the profiles that libav chooses by itself
NEEDS_PROFILES = {*codec_choices.PRORES, *codec_choices.DNXHR} - {"prores-hq", "prores-4444"}


@pytest.fixture(autouse=True)
def _profiles(request):
    codec = request.node.callspec.params.get("codec") if hasattr(request.node, "callspec") else None
    options = request.node.callspec.params.get("options", {}) if hasattr(request.node, "callspec") else {}
    if av.__version__ < "15" and {codec, options.get("codec")} & NEEDS_PROFILES:
        pytest.skip("PyAV 14 cannot choose a profile")


SOFTWARE = [
    pytest.param(row, codec, content, id=f"{codec}-{content}{row.suffix}")
    for row in FORMATS
    for codec in row.codecs
    if row.choices and codec not in codec_choices.HARDWARE
    for content in ("rgba", "rgb", "gray")
    if row.has(content, codec)
]
# mean and largest error of the colours allowed, in steps of 1/255; about 1.4 times what was measured
ERRORS = {
    "prores-proxy": (4, 80),
    "prores-lt": (1.8, 40),
    "dnxhr-lb": (3.5, 60),
    "dnxhr-sq": (1.6, 40),
    "h264": (2.7, 70),
    "hevc": (2.2, 60),
    "av1": (2.7, 90),
    "vp9": (2, 60),
}
PROFILES = {
    "prores": ("4444", "ap4h"),
    "prores-proxy": ("Proxy", "apco"),
    "prores-lt": ("LT", "apcs"),
    "prores-422": ("Standard", "apcn"),
    "prores-hq": ("HQ", "apch"),
    "prores-4444": ("4444", "ap4h"),
    "prores-4444xq": ("XQ", "ap4x"),
    "dnxhr-lb": ("DNXHR LB", "AVdh"),
    "dnxhr-sq": ("DNXHR SQ", "AVdh"),
    "dnxhr-hq": ("DNXHR HQ", "AVdh"),
    "dnxhr-hqx": ("DNXHR HQX", "AVdh"),
    "dnxhr-444": ("DNXHR 444", "AVdh"),
    "h264": ("High", "avc1"),
    "hevc": ("Main", "hvc1"),
    "av1": ("Main", "av01"),
}


def spec_of(height=HEIGHT, width=WIDTH, bit_depth=8, tags=None, **more) -> PictureSpec:
    rate = Fraction(30000, 1001)
    tags = tags or ColorTags(1, 1, 1, 1)
    return PictureSpec(
        height=height, width=width, frame_rate=rate, time_base=1 / rate, tags=tags, bit_depth=bit_depth, **more
    )


@pytest.fixture(scope="module")
def colours() -> list[np.ndarray]:
    with open_reader(SAMPLE) as reader:
        return [np.ascontiguousarray(frame.image[60:204, 200:456]) for frame in islice(reader, FRAMES)]


def pictures_of(content: str, colours: list[np.ndarray]) -> list[np.ndarray]:
    if content == "rgb":
        return colours
    alpha = [colour[..., 1:2].copy() for colour in colours]
    if content == "gray":
        return alpha
    return [np.concatenate(pair, axis=2) for pair in zip(colours, alpha, strict=True)]


def write(path, pictures, content, spec=None, **options) -> FrameWriter:
    writer = FrameWriter(path, spec or spec_of(), content=content, **options)
    for number, picture in enumerate(pictures):
        writer.write(picture, number, number)
    writer.finish()
    return writer


def probed(path) -> dict:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    command = ["ffprobe", "-v", "error", "-show_streams", "-select_streams", "v", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["streams"][0]


@pytest.mark.parametrize(("row", "codec", "content"), SOFTWARE)
def test_what_is_written_comes_back(tmp_path, colours, row, codec, content):
    pictures = pictures_of(content, colours)
    path = tmp_path / f"cut{row.suffix}"
    writer = write(path, pictures, content, codec=codec)
    assert writer.notes == []
    with open_reader(path) as reader:
        back = [frame.image for frame in reader]
        assert (reader.info.height, reader.info.width, reader.info.frame_rate) == (HEIGHT, WIDTH, Fraction(30000, 1001))
        assert reader.info.tags == ColorTags(1, 1, 1, 1) or row.suffix == ".mkv"  # FFV1 is RGB
    assert len(back) == FRAMES
    scale = 257 if back[0].dtype == np.uint16 else 1
    wanted = [np.broadcast_to(picture[..., :3], back[0].shape) for picture in pictures]
    error = np.abs(np.stack(back) / scale - np.stack(wanted).astype(float))
    mean, largest = ERRORS.get(codec, (0.9, 40))
    assert error.mean() < mean
    assert error.max() < largest


@pytest.mark.parametrize("codec", ["prores", "prores-4444", "prores-4444xq"])
def test_alpha_comes_back_exactly(tmp_path, colours, codec):
    pictures = pictures_of("rgba", colours)
    write(tmp_path / "cut.mov", pictures, "rgba", codec=codec)
    with av.open(str(tmp_path / "cut.mov")) as container:
        for frame, picture in zip(container.decode(video=0), pictures, strict=True):
            planes = frame.reformat(format="yuva444p16le" if frame.format.name != "yuva444p10le" else None)
            alpha = np.frombuffer(planes.planes[3], "<u2").reshape(HEIGHT, -1)[:, :WIDTH]
            most = 65535 if planes.format.name.endswith("16le") else 1023
            assert np.abs(alpha / most * 255 - picture[..., 3]).max() <= 0.6


@pytest.mark.parametrize("codec", sorted(PROFILES))
def test_ffprobe_finds_profile_tag_and_colours(tmp_path, colours, codec):
    suffix = ".mp4" if codec == "av1" else ".mov"
    path = tmp_path / f"cut{suffix}"
    tags = ColorTags(9, 1, 9, 14)
    write(path, colours, "rgb", spec_of(tags=tags, sample_aspect_ratio=Fraction(4, 3)), codec=codec)
    found = probed(path)
    assert (found["profile"], found["codec_tag_string"]) == PROFILES[codec]
    assert (found["width"], found["height"], found["sample_aspect_ratio"]) == (WIDTH, HEIGHT, "4:3")
    assert (found["color_space"], found["color_range"]) == ("bt2020nc", "tv")
    if hasattr(av.VideoFrame, "color_primaries") or not codec.startswith("prores"):  # ProRes has them in every frame
        assert (found["color_primaries"], found["color_transfer"]) == ("bt2020", "bt2020-10")
    assert (found["nb_frames"], found["r_frame_rate"]) == (str(FRAMES), "30000/1001")


@pytest.mark.parametrize("codec", ["prores-hq", "dnxhr-hqx", "hevc"])
def test_ffmpeg_sees_the_same_pictures(tmp_path, colours, codec):
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / "cut.mov"
    write(path, colours, "rgb", codec=codec)
    command = [ffmpeg, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    seen = np.frombuffer(raw, np.uint8).reshape(FRAMES, HEIGHT, WIDTH, 3)
    assert np.abs(seen.astype(float) - np.stack(colours)).mean() < 3  # it converts 4:2:2 less exactly


@pytest.mark.parametrize(
    ("codec", "suffix", "found"),
    [
        ("hevc", ".mp4", "yuv420p10le"),
        ("av1", ".webm", "yuv420p10le"),
        ("dnxhr-hqx", ".mov", "yuv422p10le"),
        ("dnxhr-444", ".mov", "yuv444p10le"),
    ],
)
def test_ten_bits_stay_ten_bits(tmp_path, codec, suffix, found):
    ramp = np.ascontiguousarray(np.broadcast_to(np.linspace(0, 65535, WIDTH)[None, :, None], (HEIGHT, WIDTH, 3)))
    write(tmp_path / f"a{suffix}", [np.uint16(ramp)] * 2, "rgb", spec_of(bit_depth=10), codec=codec, quality=None)
    with open_reader(tmp_path / f"a{suffix}") as reader:
        assert reader.info.bit_depth == 10
        image = next(iter(reader)).image
    assert len(np.unique(image[HEIGHT // 2, :, 1])) > 200
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == found


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_a_bitrate_replaces_the_quality(tmp_path, codec):
    noise = np.random.default_rng(0).integers(0, 255, (12, HEIGHT, WIDTH, 3), np.uint8)
    sizes = []
    for bitrate in (200_000, 3_000_000):
        write(tmp_path / f"{bitrate}.mp4", list(noise), "rgb", codec=codec, bitrate=bitrate)
        sizes.append((tmp_path / f"{bitrate}.mp4").stat().st_size)
    assert sizes[0] * 3 < sizes[1]


def test_a_hardware_encoder_that_does_not_open_is_replaced(tmp_path, colours):
    """On every machine, whatever it has: an encoder that libav does not know."""
    unknown = {
        content: replace(encoding, codec="h264_of_nobody")
        for content, encoding in codec_choices.HARDWARE["h264-nvenc"].items()
    }
    row = format_for(tmp_path / "a.mp4")
    object.__setattr__(row, "choices", {**(before := row.choices), "h264-nvenc": unknown})
    try:
        writer = write(tmp_path / "a.mp4", colours, "rgb", codec="h264-nvenc")
    finally:
        object.__setattr__(row, "choices", before)
    assert writer.notes == [
        "h264-nvenc does not work here (this PyAV is built without it): encoded with libx264 instead"
    ]
    with open_reader(tmp_path / "a.mp4") as reader:
        assert len(list(reader)) == FRAMES


@pytest.mark.parametrize("codec", sorted(codec_choices.HARDWARE))
def test_hardware_is_used_or_replaced_with_a_note(tmp_path, colours, codec):
    content = "gray" if codec.endswith("qsv") else "rgb"
    writer = write(tmp_path / "a.mp4", pictures_of(content, colours), content, codec=codec.replace("-", "_").upper())
    assert all("does not work here" in note and "instead" in note for note in writer.notes)
    with open_reader(tmp_path / "a.mp4") as reader:
        assert len(list(reader)) == FRAMES


def test_a_picture_too_small_for_the_codec(tmp_path):
    with pytest.raises(StudioError, match=r"codec dnxhr-hqx: pictures must be at least 256x120\. Use another codec \("):
        FrameWriter(tmp_path / "a.mov", spec_of(64, 96), content="rgb", codec="dnxhr-hqx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("codec", "suffix"), [("hevc", ".mov"), ("av1", ".mkv"), ("dnxhr-hqx", ".mov")])
def test_odd_sizes(tmp_path, codec, suffix):
    picture = np.full((145, 301, 3), 90, np.uint8)
    write(tmp_path / f"a{suffix}", [picture] * 2, "rgb", spec_of(145, 301), codec=codec)
    with open_reader(tmp_path / f"a{suffix}") as reader:
        image = next(iter(reader)).image
        scale = 257 if image.dtype == np.uint16 else 1
        even = codec != "dnxhr-hqx"
        assert image.shape[:2] == ((146, 302) if even else (145, 301))
    assert np.abs(image / scale - 90).max() < 3


# What is not used is said


@pytest.mark.parametrize(
    ("name", "options", "note"),
    [
        ("a.mkv", {"quality": 9}, "the quality was not used: .mkv (ffv1) is lossless"),
        ("a.mov", {"quality": 9, "codec": "dnxhr-sq"}, "the quality was not used: .mov (dnxhd) has a fixed rate"),
        ("a.mov", {"bitrate": 10**7, "codec": "dnxhr-sq"}, "the bitrate was not used: .mov (dnxhd) has a fixed rate"),
        ("a.mov", {"bitrate": 10**7}, "the bitrate was not used: .mov (prores_ks) takes a quality instead"),
        ("a.mkv", {"bitrate": 10**7}, "the bitrate was not used: .mkv (ffv1) is lossless"),
    ],
)
def test_settings_that_are_not_used_are_noted(tmp_path, colours, name, options, note):
    assert write(tmp_path / name, colours, "rgb", **options).notes == [note]


def test_quality_and_bitrate_contradict_each_other(tmp_path):
    with pytest.raises(StudioError, match="Both a quality and a bitrate were given"):
        FrameWriter(tmp_path / "a.mp4", spec_of(), content="rgb", quality=9, bitrate=10**6)
    with pytest.raises(StudioError, match="The bitrate is 8 bits per second"):
        FrameWriter(tmp_path / "a.mp4", spec_of(), content="rgb", bitrate=8)


@pytest.mark.parametrize(
    ("name", "options", "noted"),
    [
        ("a.webm", {}, ".webm (libvpx-vp9) holds 8 bits, in which {} shows bands"),
        ("a.mp4", {"codec": "h264"}, ".mp4 (libx264) holds 8 bits, in which {} shows bands"),
        ("a.mp4", {}, None),
        ("a.mov", {}, None),
        ("a.webm", {"codec": "av1"}, None),
    ],
)
@pytest.mark.parametrize(("transfer", "hdr"), [(16, "PQ"), (18, "HLG")])
def test_hdr_in_eight_bits_is_noted(tmp_path, name, options, noted, transfer, hdr):
    spec = spec_of(bit_depth=10, tags=ColorTags(9, 1, 9, transfer))
    writer = FrameWriter(tmp_path / name, spec, content="rgb", **options)
    writer.abandon(keep=False)
    notes = [note for note in writer.notes if "bits" in note]
    assert notes == [] if noted is None else notes[0].startswith(noted.format(hdr))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_short_hevc_clip_has_sensible_times(tmp_path, count):
    """x265 leaves the decoding times of such a clip uninitialised."""
    tick = 1001
    spec = replace(spec_of(64, 64), time_base=Fraction(1, 30000))
    for turn in range(4):
        made = FrameWriter(tmp_path / f"{turn}.mp4", spec, content="rgb", codec="hevc")
        for step in range(count):
            made.write(np.full((64, 64, 3), 40 * step, np.uint8), tick * step, step)
        made.finish()
        with av.open(str(tmp_path / f"{turn}.mp4")) as container:
            times = [(packet.pts or 0, packet.dts or 0) for packet in container.demux(video=0) if packet.size]
        assert sorted(pts for pts, _ in times) == [tick * step for step in range(count)]
        assert all(pts - 5 * tick <= dts <= pts for pts, dts in times)


def test_a_profile_that_pyav_cannot_choose_is_refused(tmp_path, monkeypatch):
    """Not written as another one in silence, as PyAV 14 would."""
    monkeypatch.setattr(EncoderSetup, "profile_of", lambda self, context: "HQ")
    with pytest.raises(StudioError, match=r"codec prores-proxy: (the encoder opened with the profile HQ|PyAV)"):
        FrameWriter(tmp_path / "a.mov", spec_of(), content="rgb", codec="prores-proxy")


@pytest.mark.parametrize("codec", ["prores-4444", "prores-lt", "dnxhr-hqx"])
def test_frames_do_not_depend_on_those_before(tmp_path, colours, codec):
    """So a stopped run can be resumed, with the same result."""
    pictures = [colours[0], colours[1] // 3, 255 - colours[0], colours[1]]
    packets = []
    for begin in (0, 2):
        writer = write(tmp_path / f"{begin}.mov", pictures[begin:], "rgb", codec=codec)
        assert writer.resumable
        with av.open(str(tmp_path / f"{begin}.mov")) as container:
            packets.append([bytes(packet) for packet in container.demux(video=0) if packet.size])
    assert packets[0][2:] == packets[1]


def test_frames_of_other_codecs_do(tmp_path):
    for codec in ("h264", "hevc", "av1"):
        writer = FrameWriter(tmp_path / "a.mp4", spec_of(), content="rgb", codec=codec)
        assert not writer.resumable
        writer.abandon(keep=False)
