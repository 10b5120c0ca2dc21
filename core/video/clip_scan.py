"""What must be known about a video before its first frame is read: how its frames are spaced, and its largest size.

Only packets are read, nothing is decoded but the odd key frame. Ordinary MP4 and MOV files with an exact clock are not
scanned at all.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.container
from av.error import FFmpegError

from .codec_names import sample_entries
from .container import known, open_to_read, video_stream
from .frame_clock import FrameClock, clock_for
from .picture_sizes import PictureSizes
from .timeline import Timeline

_FRAMES = 240  # whose times are looked at
_MOST_BYTES = 1 << 30  # of packets whose sizes are looked at; a longer clip keeps its largest size up to there


@dataclass
class ClipScan:
    """The findings.

    Attributes:
        clock: Gives the frames their exact times.
        sizes: The stored sizes (height, width) that the packets declare.
        frames: The number of packets, if all were read.
    """

    clock: FrameClock
    sizes: set[tuple[int, int]] = field(default_factory=set)
    frames: int | None = None


def scan_clip(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, default: Fraction
) -> ClipScan:
    """Scans a file, if it needs to be, through a second handle.

    Args:
        container: The open file; its position does not change.
        stream: The picture's stream.
        path: The file.
        default: The frame rate of a file that does not tell it.
    """
    time_base = known(stream.time_base)
    assert time_base is not None  # libav gives every stream one
    names = container.format.name.split(",")
    context = stream.codec_context
    claimed = known(stream.average_rate) or known(stream.guessed_rate)
    is_plain_mov = "mov" in names and stream.frames > 0
    sizes = PictureSizes(context.codec.canonical_name, context.extradata, context.name)
    wants_sizes = sizes.knows_codec and not is_plain_mov
    is_exact = claimed is not None and (1 / (claimed * time_base)).denominator == 1
    has_no_times = "avi" in names
    wants_times = not has_no_times and not (is_exact and is_plain_mov)
    times: list[int] = []
    found: set[tuple[int, int]] = set()
    if is_plain_mov:  # a change needs another description of the samples
        sizes_told = [entry.size for entry in sample_entries(path) if entry.track == stream.index]
        found.update(sizes_told if len(sizes_told) > 1 else [])
    frames = None
    if wants_times or wants_sizes:
        try:
            with open_to_read(path) as own:
                frames = _read(own, path, times, sizes if wants_sizes else None, found)
        except (FFmpegError, OSError):
            pass  # the reader will report what it finds
    roundings = 2 if "flv" in names else 1
    clock = clock_for(times if wants_times else [], time_base, claimed, roundings=roundings, default=default)
    return ClipScan(clock, found, frames)


def _read(
    container: av.container.InputContainer,
    path: Path,
    times: list[int],
    sizes: PictureSizes | None,
    found: set[tuple[int, int]],
) -> int | None:
    picture = video_stream(container, path)
    timeline = Timeline(container, picture)
    read = count = 0
    for given in container.demux(timeline.streams):
        for packet in timeline.packets(given):
            if packet.stream.index != picture.index or not packet.size:
                continue
            read += packet.size
            count += 1
            if len(times) < _FRAMES and packet.pts is not None:
                times.append(packet.pts)
            if sizes is not None and (size := sizes.of(packet)) is not None:
                found.add(size)
        if read > _MOST_BYTES or (sizes is None and len(times) >= _FRAMES):
            return None
    return count
