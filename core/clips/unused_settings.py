"""Notes about settings that had nothing to act on, so that none is ignored in silence. (Those that a file format cannot
hold, such as a quality of a lossless one, are noted by its writer.)"""

from collections.abc import Iterator, Sequence

from .options import ClipOptions, Output

_SHOWS_BACKGROUND = ("composite", "preview")


def unused_settings(kind: str, outputs: Sequence[Output], options: ClipOptions, over_background: bool) -> Iterator[str]:
    """A note for each setting that a clip of this kind ("video", "sequence", "still"; see ClipInfo), or these outputs,
    do not use. over_background: whether the user has named a background."""
    if options.frame_rate is not None and kind == "video":
        yield "the frame rate (fps) was not used: it is for image sequences, and a video has frame times of its own"
    if options.frame_rate is not None and kind == "still":
        yield "the frame rate (fps) was not used: the input is a single picture"
    if kind != "video":
        if options.hwaccel != "none":
            yield "hwaccel was not used: pictures are decoded in software"
        if options.cfr is not None:
            yield "cfr was not used: it is for videos; the rate of an image sequence is its fps"
        if options.deinterlace != "no":
            yield "deinterlace was not used: it is for videos"
    if options.premultiplied and not any(output.kind == "matte" for output in outputs):
        yield "premultiplied was not used: no output has transparency"
    if over_background and not any(output.kind in _SHOWS_BACKGROUND for output in outputs):
        yield "the background was not used: no output shows it"
