"""What an output does not keep of its source, or does not use of its settings: said in notes, never in silence."""

from .encoder_setup import KEEPS_FIELDS
from .encodings import Content, Encoding
from .output_formats import HDR_TRANSFERS, OutputFormat
from .picture_spec import PictureSpec
from .timecode import has_timecode_rate


def output_notes(
    format: OutputFormat,
    encoding: Encoding,
    content: Content,
    spec: PictureSpec,
    bits: int,
    quality: float | None,
    bitrate: int | None,
    premultiplied: bool,
) -> list[str]:
    """A note for each of them. bits: of the encoded samples. quality, bitrate: as requested; None: not."""
    notes, what = [], f"{format.suffix} ({encoding.codec})"
    if spec.field_order != "progressive" and encoding.codec not in KEEPS_FIELDS:
        notes.append(f"{what} is not marked as interlaced, though its frames are")
    if spec.timecode is not None and not format.carries_timecode:
        notes.append(f"{format.suffix} cannot hold the timecode {spec.timecode}")
    elif spec.timecode is not None and not has_timecode_rate(spec.frame_rate):
        rate = f"{float(spec.frame_rate):.6g}"
        notes.append(f"the timecode {spec.timecode} is left out: there is none at {rate} frames per second")
    elif spec.timecode is not None:
        notes.append(f"timecode {spec.timecode} (of the first frame)")
    if quality is not None and encoding.quality is None:
        notes.append(f"the quality was not used: {what} {encoding.fixed}")
    if bitrate is not None and not encoding.takes_bitrate:
        notes.append(f"the bitrate was not used: {what} {encoding.bitrate_remark}")
    if spec.tags.transfer in HDR_TRANSFERS and bits == 8 and content != "gray":
        name = HDR_TRANSFERS[spec.tags.transfer]
        notes.append(f"{what} holds 8 bits, in which {name} shows bands: .mov and .mkv keep 10 bits or more")
    if spec.sample_aspect_ratio != 1 and not format.carries_pixel_shape:
        notes.append(f"{format.suffix} cannot store the pixel aspect ratio {spec.sample_aspect_ratio}")
    if premultiplied and content == "rgba" and not format.carries_comment:
        notes.append(
            f"{format.suffix} cannot store that its colours are premultiplied: most programs will treat them as "
            "straight"
        )
    if format.suffix == ".gif":
        notes.append(
            "GIF has 256 colours a frame, hard edges and times in 0.01 s; .webp and .apng keep colours and edges"
        )
    return notes
