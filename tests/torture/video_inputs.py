"""Videos without sound: codecs, containers, times, shapes, pixel formats, colours, fields, and what lies beside them."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from .drawing import draw, drawn, encode, ffmpeg
from .inputs import Input

X264 = "-c:v libx264 -preset veryfast -crf 8"
NTSC = Fraction(30000, 1001)


def inputs() -> list[Input]:
    return [*_codecs(), *_times(), *_shapes(), *_pixels(), *_colors(), *_fields_and_streams()]


def _movie(
    name: str,
    group: str,
    about: str,
    arguments: str = X264,
    *,
    size: tuple[int, int] = (96, 64),
    frames: int = 12,
    rate: str = "25",
    more: Callable[[Path], None] | None = None,
    expect: dict | None = None,
    **how,
) -> Input:
    """A clip of drawn frames. more: changes the file. expect: further fields of Input."""

    def make(folder: Path) -> Path:
        path = encode(folder / name, arguments, frames=drawn(frames, *size), rate=rate, **how)
        if more is not None:
            more(path)
        return path

    known = {"size": size, "frames": frames, "rate": Fraction(rate), "drawn": lambda: drawn(frames, *size)}
    return Input(name, group, about, make, **(known | (expect or {})))


def _codecs() -> list[Input]:
    group = "containers and codecs"
    rows = [
        ("h264.mp4", "H.264 with B-frames in MP4", f"{X264} -bf 2", {}, {}),
        ("hevc.mp4", "HEVC in MP4", "-c:v libx265 -preset veryfast -crf 8 -x265-params log-level=error -tag:v hvc1", {}, {}),
        ("hevc_open_gop.mkv", "HEVC with open GOPs", "-c:v libx265 -preset veryfast -crf 8 -x265-params log-level=error:keyint=5:open-gop=1", {"frames": 20}, {}),
        ("open_gop.mkv", "H.264 with open GOPs", f"{X264} -bf 2 -g 5 -x264-params open-gop=1", {"frames": 20}, {}),
        ("intra_refresh.mp4", "H.264 without key frames after the first (intra refresh)", f"{X264} -x264-params intra-refresh=1:keyint=250", {"frames": 20}, {}),
        ("av1.mp4", "AV1 in MP4", "-c:v libsvtav1 -preset 10 -crf 12", {}, {"difference": 2}),
        ("av1.webm", "AV1 in WebM", "-c:v libaom-av1 -cpu-used 8 -crf 10 -b:v 0", {}, {}),
        ("vp8.webm", "VP8 in WebM, with hidden frames", "-c:v libvpx -b:v 2M -crf 4 -auto-alt-ref 1 -lag-in-frames 8", {"frames": 20}, {}),
        ("vp9.webm", "VP9 in WebM, with hidden frames", "-c:v libvpx-vp9 -b:v 0 -crf 10 -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 12", {"frames": 20}, {}),
        ("prores.mov", "ProRes HQ", "-c:v prores_ks -profile:v 3", {"pix_fmt": "yuv422p10le"}, {}),
        ("prores4444.mov", "ProRes 4444", "-c:v prores_ks -profile:v 4", {"pix_fmt": "yuv444p10le"}, {}),
        ("dnxhr.mov", "DNxHR HQX, 10 bits", "-c:v dnxhd -profile:v dnxhr_hqx", {"pix_fmt": "yuv422p10le", "size": (256, 128)}, {}),
        ("dnxhd.mxf", "DNxHD in MXF", "-c:v dnxhd -b:v 36M", {"pix_fmt": "yuv422p", "size": (1920, 1080), "frames": 3}, {"timecode": "00:00:00:00"}),
        ("mjpeg.avi", "Motion JPEG in AVI", "-c:v mjpeg -q:v 2", {"pix_fmt": "yuvj420p", "full": True}, {}),
        ("mpeg1.mpg", "MPEG-1 in a program stream", "-c:v mpeg1video -q:v 2 -bf 2", {"frames": 20}, {}),
        ("mpeg2.mpg", "MPEG-2 in a program stream", "-c:v mpeg2video -q:v 2 -bf 2", {"frames": 20}, {}),
        ("mpeg2.vob", "MPEG-2 in a VOB file", "-c:v mpeg2video -q:v 2 -bf 2 -f vob", {"frames": 20}, {}),
        ("mpeg4.mp4", "MPEG-4 ASP in MP4", "-c:v mpeg4 -q:v 2 -bf 2", {"frames": 20}, {}),
        ("packed.avi", "MPEG-4 ASP in AVI (Xvid)", "-c:v mpeg4 -vtag XVID -q:v 2 -bf 2", {"frames": 20}, {}),
        ("h264_bframes.avi", "H.264 with B-frames in AVI, which has no times of showing", f"{X264} -bf 3", {"frames": 20}, {}),
        ("msmpeg4.avi", "MS-MPEG-4 (DivX 3)", "-c:v msmpeg4 -q:v 2", {}, {}),
        ("h263.3gp", "H.263 in 3GP, whose pixels are 12:11", "-c:v h263 -q:v 2", {"size": (128, 96)}, {"sar": Fraction(12, 11)}),
        ("wmv2.wmv", "Windows Media Video 8", "-c:v wmv2 -q:v 2", {}, {}),
        ("wmv1.asf", "Windows Media Video 7 in ASF", "-c:v wmv1 -q:v 2", {}, {}),
        ("theora.ogv", "Theora in Ogg", "-c:v libtheora -q:v 10", {}, {}),
        ("sorenson.flv", "Flash video (Sorenson)", "-c:v flv -q:v 2", {}, {}),
        ("h264.flv", "H.264 in FLV", f"{X264} -bf 2", {}, {}),
        ("h264.ts", "H.264 in a transport stream", f"{X264} -bf 2", {}, {}),
        ("h264.mts", "H.264 in an AVCHD file (.mts)", f"{X264} -bf 2 -f mpegts -mpegts_m2ts_mode 1", {}, {}),
        ("mpeg2.m2ts", "MPEG-2 in .m2ts", "-c:v mpeg2video -q:v 2 -bf 2", {}, {}),
        ("ffv1.mkv", "FFV1, lossless", "-c:v ffv1 -level 3", {}, {}),
        ("huffyuv.avi", "HuffYUV", "-c:v huffyuv", {"pix_fmt": "yuv422p"}, {}),
        ("utvideo.avi", "Ut Video, RGB", "-c:v utvideo", {"pix_fmt": "gbrp"}, {}),
        ("raw.avi", "uncompressed BGR in AVI", "-c:v rawvideo", {"pix_fmt": "bgr24"}, {}),
        ("raw.mov", "uncompressed 4:2:2 in MOV (2vuy)", "-c:v rawvideo", {"pix_fmt": "uyvy422"}, {}),
        ("v210.mov", "uncompressed 10-bit 4:2:2 (v210)", "-c:v v210", {"pix_fmt": "yuv422p10le"}, {}),
        ("raw.y4m", "YUV4MPEG", "-f yuv4mpegpipe", {}, {}),
        ("raw.nut", "NUT", "-c:v rawvideo", {}, {}),
        ("animation.mov", "QuickTime Animation", "-c:v qtrle", {"pix_fmt": "rgb24"}, {}),
        ("cinepak.mov", "Cinepak", "-c:v cinepak", {"pix_fmt": "rgb24"}, {}),
        ("svq1.mov", "Sorenson Video 1", "-c:v svq1 -q:v 2", {"pix_fmt": "yuv410p"}, {"difference": 4}),
        ("dv.dv", "DV, PAL", "-c:v dvvideo", {"pix_fmt": "yuv420p", "size": (720, 576), "frames": 4}, {"sar": Fraction(16, 15), "timecode": "00:00:00:00"}),
        ("cineform.mov", "CineForm", "-c:v cfhd -quality film3+", {"pix_fmt": "yuv422p10le"}, {}),
        ("jpeg2000.mxf", "JPEG 2000 in MXF", "-c:v jpeg2000 -pred 1", {"pix_fmt": "yuv422p"}, {"timecode": "00:00:00:00"}),
        ("png.mov", "PNG in MOV", "-c:v png", {"pix_fmt": "rgb24"}, {}),
        ("raw.h264", "H.264 without a container", f"{X264} -f h264", {}, {}),
        ("raw.ivf", "VP8 in IVF", "-c:v libvpx -b:v 2M -crf 4 -lag-in-frames 0", {}, {}),
    ]  # fmt: skip
    return [_movie(name, group, about, args, **how, expect=expect) for name, about, args, how, expect in rows]


def _times() -> list[Input]:
    group = "times"
    uneven = (0, 1, 2, 4, 5, 9, 10, 20, 21, 22, 23, 40)  # in 1/50 s
    shown = tuple(Fraction(k, 50) for k in uneven)
    vfr = f"settb=1/90000,setpts='{_choose(uneven)}/50/TB'"

    frag = f"{X264} -bf 2 -movflags frag_keyframe+empty_moov+default_base_moof -g 5"
    rows = [
        ("vfr.mp4", "variable frame rate in MP4", f"{X264} -bf 2 -vsync passthrough -enc_time_base 1:90000 -video_track_timescale 90000", {"filters": vfr}, {"times": shown}),
        ("vfr.mkv", "variable frame rate in Matroska", f"{X264} -vsync passthrough -enc_time_base 1:1000", {"filters": vfr}, {"times": shown}),
        ("vfr.webm", "variable frame rate in WebM, into WebM", "-c:v libvpx -b:v 2M -crf 4 -vsync passthrough -enc_time_base 1:1000", {"filters": vfr}, {"times": shown, "out": "cut.webm"}),
        ("ntsc_film.mkv", "24000/1001 in millisecond ticks", X264, {"rate": "24000/1001", "frames": 30}, {}),
        ("ntsc.mp4", "30000/1001", f"{X264} -bf 2", {"rate": "30000/1001"}, {}),
        ("ntsc.flv", "30000/1001 in milliseconds (FLV)", X264, {"rate": "30000/1001", "frames": 30}, {}),
        ("fast.mp4", "240 frames per second", X264, {"rate": "240"}, {}),
        ("slow.mp4", "one frame per second", X264, {"rate": "1", "frames": 4}, {}),
        ("lapse.mkv", "one frame in ten seconds", X264, {"rate": "1/10", "frames": 3}, {}),
        ("ten_hours.ts", "a transport stream whose clock begins at ten hours", f"{X264} -bf 2 -output_ts_offset 36000", {}, {}),
        ("wrap.ts", "a transport stream whose clock wraps around", f"{X264} -bf 2 -output_ts_offset 95443.5", {"frames": 30}, {}),
        ("fragmented.mp4", "fragmented MP4", frag, {"frames": 20}, {}),
        ("negative.mp4", "B-frames with negative offsets", f"{X264} -bf 2 -movflags negative_cts_offsets", {}, {}),
        ("one_frame.mp4", "a video of one frame", X264, {"frames": 1}, {}),
        ("live.webm", "a live WebM, without length, index and Cues", "-c:v libvpx -b:v 2M -crf 4 -lag-in-frames 0 -live 1 -f webm", {}, {}),
        ("no_length.flv", "an FLV without its length", f"{X264} -flvflags no_duration_filesize", {}, {}),
        ("ticks.mp4", "a clock of ten million ticks per second", f"{X264} -video_track_timescale 10000000", {}, {}),
        ("coarse.mp4", "29.97 frames per second in a clock of 1/600 s", f"{X264} -video_track_timescale 600", {"rate": "30000/1001", "frames": 30}, {}),
    ]  # fmt: skip
    found = [_movie(name, group, about, args, **how, expect=expect) for name, about, args, how, expect in rows]

    def trimmed(folder: Path) -> Path:  # the edit list leaves out what comes before: shown are frames 6 ... 19
        whole = encode(folder.parent / "whole.mp4", f"{X264} -g 20", frames=drawn(20))
        ffmpeg("-ss 0.24 -i {0} -c copy {1}", whole, folder / "edit_list.mp4")
        return folder / "edit_list.mp4"

    def delayed(folder: Path) -> Path:
        whole = encode(folder.parent / "whole.mp4", X264, frames=drawn(12))
        ffmpeg("-itsoffset 0.4 -i {0} -c copy {1}", whole, folder / "empty_edit.mp4")
        return folder / "empty_edit.mp4"

    def joined(folder: Path) -> Path:
        one = encode(folder.parent / "one.ts", f"{X264} -bf 2", frames=drawn(10))
        two = encode(folder.parent / "two.ts", f"{X264} -bf 2", frames=drawn(20)[10:])
        (folder / "joined.ts").write_bytes(one.read_bytes() + two.read_bytes())
        return folder / "joined.ts"

    found += [
        Input("edit_list.mp4", group, "an edit list that leaves out the beginning", trimmed, frames=14, drawn=lambda: drawn(20)[6:]),
        Input("empty_edit.mp4", group, "an edit list that begins with a pause of 0.4 s", delayed, times=tuple(Fraction(2, 5) + Fraction(k, 25) for k in range(12)), drawn=lambda: drawn(12)),
        Input("joined.ts", group, "two recordings joined, whose clock jumps back", joined, frames=20, drawn=lambda: drawn(20), says=("note",)),
    ]  # fmt: skip
    return found


def _choose(values: tuple[int, ...]) -> str:
    """ffmpeg's expression for values[N]."""
    text = str(values[-1])
    for number, value in reversed(list(enumerate(values[:-1]))):
        text = rf"if(eq(N\,{number})\,{value}\,{text})"
    return f"({text})"


def _with_matrix(matrix: tuple[int, ...]) -> Callable[[Path], None]:
    """Writes a display matrix [a b c d] into the header of the track."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 44
        a, b, c, d = (value * 65536 for value in matrix)
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)

    return change


def _shapes() -> list[Input]:
    group = "shape and orientation"
    turns = [
        ("90", (0, 1, -1, 0), lambda f: np.rot90(f, -1), True),
        ("180", (-1, 0, 0, -1), lambda f: np.rot90(f, 2), False),
        ("270", (0, -1, 1, 0), lambda f: np.rot90(f, 1), True),
        ("mirrored", (-1, 0, 0, 1), lambda f: f[:, ::-1], False),
        ("flipped", (1, 0, 0, -1), lambda f: f[::-1], False),
        ("transposed", (0, 1, 1, 0), lambda f: f.swapaxes(0, 1), True),
        ("transversed", (0, -1, -1, 0), lambda f: np.rot90(f, 2).swapaxes(0, 1), True),
    ]
    found = []
    for word, matrix, turn, turned in turns:
        about = f"rotated by {word}°" if word.isdigit() else f"{word} by the display matrix"
        expect = {"turn": turn, "size": (64, 96) if turned else (96, 64)}
        expect["drawn"] = lambda turn=turn: [turn(frame) for frame in drawn(6)]
        found.append(_movie(f"{word}.mp4", group, about, frames=6, more=_with_matrix(matrix), expect=expect))
    for width, height in ((1, 1), (2, 2), (3, 3), (1, 64), (64, 1), (3, 2)):
        name = f"{width}x{height}.mkv"
        found.append(_movie(name, group, f"{width}x{height} pixels", "-c:v ffv1", size=(width, height), pix_fmt="bgr0", expect={"out": "cut.mkv"}))  # fmt: skip
    rows = [
        ("odd.mp4", "an odd size, 97x65, H.264 4:4:4", X264, {"size": (97, 65), "pix_fmt": "yuv444p"}, {}),
        ("odd420.mkv", "an odd size, 97x65, in 4:2:0", "-c:v ffv1", {"size": (97, 65)}, {"difference": 2.5}),
        ("odd410.avi", "an odd size in 4:1:0", "-c:v ffv1", {"size": (97, 65), "pix_fmt": "yuv410p"}, {"difference": 6}),
        ("cropped.mp4", "90x50 pixels, which H.264 crops from whole blocks", X264, {"size": (90, 50)}, {}),
        ("wide.mkv", "1920x8 pixels", X264, {"size": (1920, 8)}, {"difference": 5}),
        ("sar.mp4", "pixels of 16:15 in MP4", X264, {"filters": "setsar=16/15"}, {"sar": Fraction(16, 15)}),
        ("sar.mkv", "pixels of 4:3 in Matroska, into Matroska", X264, {"filters": "setsar=4/3"}, {"sar": Fraction(4, 3), "out": "cut.mkv"}),
        ("sar.mpg", "pixels of MPEG-2 for 16:9", "-c:v mpeg2video -q:v 2 -aspect 16:9", {"size": (96, 72)}, {"sar": Fraction(4, 3)}),
        ("sar.avi", "pixels of 2:1 in the codec (AVI)", "-c:v mpeg4 -q:v 2", {"filters": "setsar=2/1"}, {"sar": Fraction(2)}),
    ]  # fmt: skip
    found += [_movie(name, group, about, args, **how, expect=expect) for name, about, args, how, expect in rows]

    def rotated_sar(path: Path) -> None:
        _with_matrix((0, 1, -1, 0))(path)

    expect = {"turn": lambda f: np.rot90(f, -1), "size": (64, 96), "sar": Fraction(3, 4), "drawn": None}
    found.append(
        _movie(
            "sar90.mp4", group, "pixels of 4:3, rotated by 90°", filters="setsar=4/3", more=rotated_sar, expect=expect
        )
    )

    def grows(folder: Path) -> Path:
        small = encode(folder.parent / "small.h264", f"{X264} -bf 0", frames=drawn(6, 48, 32))
        large = encode(folder.parent / "large.h264", f"{X264} -bf 0", frames=drawn(12)[6:])
        (folder.parent / "both.h264").write_bytes(small.read_bytes() + large.read_bytes())
        ffmpeg("-r 25 -i {0} -c copy {1}", folder.parent / "both.h264", folder / "grows.ts")
        return folder / "grows.ts"

    def as_seen(path: Path) -> list[np.ndarray]:
        return [*(np.asarray(_scaled(frame, 96, 64)) for frame in drawn(6, 48, 32)), *drawn(12)[6:]]

    found.append(
        Input(
            "grows.ts",
            group,
            "48x32 pixels at first, 96x64 later",
            grows,
            reference=as_seen,
            difference=5,
            says=("size",),
        )
    )
    return found


def _scaled(frame: np.ndarray, width: int, height: int):
    from PIL import Image

    return Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)


def _pixels() -> list[Input]:
    group = "pixel formats and colours"
    rows = [
        ("gray", "ffv1", "grey, 8 bits", {"difference": 1.5}),
        ("gray10le", "ffv1", "grey, 10 bits", {}),
        ("gray16le", "ffv1", "grey, 16 bits", {}),
        ("yuv411p", "ffv1", "4:1:1", {"difference": 4}),
        ("yuv410p", "ffv1", "4:1:0", {"difference": 4}),
        ("yuv440p", "ffv1", "4:4:0", {"difference": 2.5}),
        ("yuv422p", "ffv1", "4:2:2", {}),
        ("yuv444p", "ffv1", "4:4:4", {}),
        ("yuv420p10le", "ffv1", "4:2:0, 10 bits", {}),
        ("yuv422p12le", "ffv1", "4:2:2, 12 bits", {}),
        ("yuv444p16le", "ffv1", "4:4:4, 16 bits", {}),
        ("yuva420p", "ffv1", "with transparency, 8 bits", {"says": ("transparency",)}),
        ("yuva444p10le", "ffv1", "with transparency, 10 bits", {}),
        ("bgra", "ffv1", "RGB with transparency", {}),
        ("bgr0", "ffv1", "RGB, 8 bits", {}),
        ("gbrp10le", "ffv1", "RGB, 10 bits", {}),
        ("gbrp16le", "ffv1", "RGB, 16 bits", {}),
        ("monow", "rawvideo", "black and white, 1 bit", {"name": "monow.nut"}),
        ("pal8", "qtrle", "a palette", {"name": "pal8.mov", "args": "-c:v qtrle"}),
        ("rgb565le", "rawvideo", "RGB of 16 bits a pixel", {"name": "rgb565.nut"}),
        ("gray", "libx264", "H.264, grey", {"name": "gray.mp4", "args": X264}),
        ("nv12", "rawvideo", "NV12", {"name": "nv12.nut"}),
        ("yuvj420p", "libx264", "full range", {"name": "full.mp4", "args": X264, "how": {"full": True}}),
        ("yuv420p10le", "libx265", "HEVC, 10 bits", {"name": "hevc10.mp4", "args": "-c:v libx265 -preset veryfast -crf 8 -x265-params log-level=error"}),
        ("yuv420p10le", "libvpx-vp9", "VP9, 10 bits (profile 2)", {"name": "vp9_10.webm", "args": "-c:v libvpx-vp9 -b:v 0 -crf 8 -cpu-used 8"}),
        ("yuv422p10le", "libx264", "H.264 4:2:2, 10 bits", {"name": "h264_10.mp4", "args": X264}),
    ]  # fmt: skip
    found = []
    for pix_fmt, codec, about, expect in rows:
        expect = dict(expect)
        name, args = expect.pop("name", f"{pix_fmt}.mkv"), expect.pop("args", f"-c:v {codec}")
        how = expect.pop("how", {})
        expect.setdefault("out", "cut.mkv")
        if pix_fmt in ("gray", "gray10le", "gray16le", "monow", "pal8", "rgb565le"):
            expect["drawn"] = None
        found.append(_movie(name, group, about, args, frames=6, pix_fmt=pix_fmt, **how, expect=expect))

    def clear(folder: Path) -> Path:
        return encode(
            folder / "alpha.webm",
            "-c:v libvpx-vp9 -b:v 0 -crf 8 -cpu-used 8 -auto-alt-ref 0",
            frames=drawn(6),
            pix_fmt="yuva420p",
        )

    found.append(
        Input(
            "alpha.webm",
            group,
            "WebM with transparency",
            clear,
            frames=6,
            drawn=lambda: drawn(6),
            says=("transparency",),
        )
    )
    return found


def _colors() -> list[Input]:
    """The tags of H.273: matrix as ffmpeg's scale names it, and the three tags as ffprobe names them."""
    group = "pixel formats and colours"
    rows = [
        ("bt709", "bt709", "bt709", "bt709", "BT.709"),
        ("smpte170m", "smpte170m", "smpte170m", "smpte170m", "BT.601, 525 lines"),
        ("bt470bg", "bt470bg", "bt470bg", "gamma28", "BT.601, 625 lines"),
        ("fcc", "fcc", "bt470m", "gamma22", "FCC"),
        ("smpte240m", "smpte240m", "smpte240m", "smpte240m", "SMPTE 240M"),
        ("bt2020", "bt2020nc", "bt2020", "bt2020-10", "BT.2020, SDR"),
        ("bt2020", "bt2020nc", "bt2020", "smpte2084", "PQ"),
        ("bt2020", "bt2020nc", "bt2020", "arib-std-b67", "HLG"),
        ("bt709", "bt709", "smpte432", "bt709", "Display P3 in BT.709"),
        ("bt709", "bt709", "bt709", "iec61966-2-1", "BT.709 with sRGB's curve"),
    ]
    found = []
    for matrix, space, primaries, transfer, about in rows:
        for container, deep in ((".mp4", True), (".mkv", False)):
            if not deep and transfer not in ("bt709", "smpte170m", "smpte2084"):
                continue
            pix_fmt = "yuv420p10le" if transfer in ("smpte2084", "arib-std-b67", "bt2020-10") else "yuv420p"
            args = f"{X264} -colorspace {space} -color_primaries {primaries} -color_trc {transfer} -color_range tv"
            kind = "MP4" if deep else "Matroska"
            # the matrices that ProRes cannot name are converted
            written = "bt709" if space in ("fcc", "smpte240m") else space
            probed = {"gamma28": "bt470bg", "gamma22": "bt470m"}.get(transfer, transfer)
            expect = {"tags": (written, primaries, probed), "out": "cut.mov" if deep else "cut.mkv"}
            if not deep:
                expect["tags"] = None  # a matte in RGB has no matrix
            name = about.replace(".", "").replace(",", "").replace(" ", "_").lower() + container
            found.append(
                _movie(name, group, f"{about} ({kind})", args, frames=4, pix_fmt=pix_fmt, matrix=matrix, expect=expect)
            )
    full = f"{X264} -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc"
    found.append(_movie("full709.mp4", group, "BT.709, full range", full, frames=4, matrix="bt709", full=True, pix_fmt="yuvj420p", expect={"tags": ("bt709",) * 3}))  # fmt: skip
    return found


def _fields_and_streams() -> list[Input]:
    group = "interlaced, timecode and other streams"
    # lines of both fields in turn are 9 ("tb" in ffprobe's words) or 14 ("bt") in QuickTime's atom `fiel`
    tff = "-flags +ilme+ildct -top 1"
    fields = "setfield=tff"
    rows = [
        ("interlaced.mpg", "interlaced MPEG-2, top field first", f"-c:v mpeg2video -q:v 2 {tff}", {"filters": fields}, {"field_order": "tb", "difference": 3, "says": ("interlaced",)}),
        ("interlaced.mp4", "interlaced H.264, bottom field first", f"{X264} -x264opts bff=1", {"filters": "setfield=bff"}, {"field_order": "bt", "difference": 3, "says": ("interlaced",)}),
        ("deinterlaced.mp4", "interlaced, made whole by --deinterlace frame", f"{X264} -x264opts tff=1", {"filters": fields}, {"field_order": "progressive", "difference": 12, "options": ("--deinterlace", "frame"), "drawn": None}),
        ("timecode.mov", "timecode 10:00:00:00", f"{X264} -timecode 10:00:00:00", {}, {"timecode": "10:00:00:00"}),
        ("drop_frame.mov", "timecode with drop frames", f"{X264} -timecode 01:00:00;02", {"rate": "30000/1001"}, {"timecode": "01:00:00;02"}),
        ("timecode.mxf", "timecode in MXF", "-c:v mpeg2video -q:v 2 -timecode 02:03:04:05", {}, {"timecode": "02:03:04:05"}),
        ("timecode.mkv", "timecode in Matroska's tags", f"{X264} -timecode 03:00:00:00", {}, {"timecode": "03:00:00:00", "out": "cut.mkv"}),
    ]  # fmt: skip
    found = [_movie(name, group, about, args, **how, expect=expect) for name, about, args, how, expect in rows]

    def beside(
        name: str,
        about: str,
        inputs: str,
        arguments: str,
        *files: Callable[[Path], Path],
        stream: str = "v:0",
        **expect,
    ) -> Input:
        def make(folder: Path) -> Path:
            names = [file(folder.parent) for file in files]
            return encode(folder / name, f"{X264} {arguments}", *names, frames=drawn(12), inputs=inputs, stream=stream)

        return Input(name, group, about, make, drawn=lambda: drawn(12), **expect)

    def cover(folder: Path) -> Path:
        from PIL import Image

        Image.fromarray(draw(40, 300, 300)).save(folder / "cover.jpg")
        return folder / "cover.jpg"

    def text(folder: Path) -> Path:
        (folder / "text.srt").write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n")
        return folder / "text.srt"

    def chapters(folder: Path) -> Path:
        parts = "".join(
            f"[CHAPTER]\nTIMEBASE=1/100\nSTART={20 * k}\nEND={20 * k + 20}\ntitle=Part {k}\n" for k in range(2)
        )
        (folder / "chapters.txt").write_text(";FFMETADATA1\ntitle=A clip\n" + parts)
        return folder / "chapters.txt"

    def preview(folder: Path) -> Path:
        return encode(folder / "preview.mp4", X264, frames=drawn(6, 32, 16)[::-1])

    found += [
        beside("cover.mp4", "a cover picture, larger than the video", "-i {1}", "-map 0:v -map 1:v -c:v:1 copy -disposition:v:1 attached_pic", cover),
        beside("cover_first.mp4", "a cover picture before the video", "-i {1}", "-map 1:v -map 0:v -c:v:0 mjpeg -disposition:v:0 attached_pic", cover, stream="v:1", reference=lambda _: drawn(12), difference=4),
        beside("cover.mkv", "a cover attached in Matroska", "", "-attach {1} -metadata:s:t mimetype=image/jpeg", cover),
        beside("subtitles.mp4", "subtitles", "-i {1}", "-map 0:v -map 1:s -c:s mov_text", text),
        beside("subtitles.mkv", "subtitles before the video", "-i {1}", "-map 1:s -map 0:v -c:s srt", text),
        beside("chapters.mp4", "chapters", "-i {1}", "-map 0:v -map_metadata 1", chapters),
        beside("two_videos.mp4", "a small preview as the first video track, the default second", "-i {1}", "-map 1:v -map 0:v -disposition:v:0 0 -disposition:v:1 default", preview, stream="v:1", reference=lambda _: drawn(12), difference=4),
    ]  # fmt: skip
    return found
