"""Compares what came out of the command with what is right."""

# N frames, H, W

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import measure
from .inputs import Input
from .stand_in import Ran, hole

_ROUGH = 40  # of 255: by how much a frame may differ from how it was drawn: compression, quarter colour resolution
_FLASH = 230  # of 255


def faults(item: Input, given: Path | str, out: Path, ran: Ran) -> list[str]:
    """What is wrong: an empty list if all is right. given: the input; out: the output's path."""
    found = _messages(item, ran)
    if item.size is None:
        left = [path.name for path in out.parent.iterdir() if not path.name.startswith(".")]
        return found + ([f"it left {left}"] if left else [])
    if ran.code != item.code:
        return found
    said, video = {}, {}
    if out.suffix in (".png", ".tif", ".exr"):
        files = [out] if out.is_file() else sorted(out.with_suffix("").glob(f"*{out.suffix}"))
        shown = [_picture(path) for path in files]
    else:
        if not out.is_file():
            return [*found, f"no {out.name}"]
        said = measure.probe(out)
        video = measure.streams(said, "video")[0]
        if item.damaged is None:
            found += _container(item, given, out, said)
        shown = list(measure.frames(out, (video["width"], video["height"]), alpha=True))
    if item.damaged is not None:
        return found + _readable_part(item, shown, measure.packet_times(said, video))
    if len(shown) != item.frames:
        return [*found, f"{len(shown)} frames instead of {item.frames}"]
    found += _pixels(item, given, shown)
    if item.beeps is not None:
        found += _beeps(item, out, shown, shown_at(item, given))
    return found


def _readable_part(item: Input, shown: list[np.ndarray], times: list[float]) -> list[str]:
    """Of a damaged clip: whether enough frames came out, each at the time of the drawn one."""
    assert item.drawn is not None
    assert item.damaged is not None
    drawn = item.drawn()
    places = [round(time * float(item.rate)) for time in times]
    if len(times) != len(shown) or len(set(places)) != len(places) or max(places) >= len(drawn):
        return [f"{len(shown)} frames at the times {times}"]
    pane = np.ones(drawn[0].shape[:2], bool)
    pane[hole(*pane.shape)] = False
    off = [np.abs(_eight(f[..., :3]) - _eight(drawn[k]))[pane].mean() for f, k in zip(shown, places, strict=True)]
    right = sum(each < _ROUGH / 2 for each in off)
    return [] if right >= item.damaged * len(drawn) else [f"only {right} of {len(drawn)} frames are right"]


def _messages(item: Input, ran: Ran) -> list[str]:
    found = []
    text = ran.err + ran.out
    if ran.code != item.code:
        found.append(f"exit code {ran.code} instead of {item.code}: {ran.err.strip()[-300:]}")
    found += [f"{word!r} in the messages" for word in ("Traceback", "internal error") if word in text]
    errors = [line for line in ran.err.splitlines() if line.startswith("rvm-studio: ")]
    if item.code and len(errors) != 1:
        found.append(f"{len(errors)} lines of error instead of one: {ran.err.strip()[-300:]}")
    return found + [
        f"nothing about {word!r} in: {text.strip()[-400:]}" for word in item.says if not re.search(word, text)
    ]


def shown_at(item: Input, given: Path | str) -> list[float]:
    """When each frame is shown, in seconds of the clip."""
    times = [float(time) for time in item.shown_at]
    if item.probed:
        said = measure.probe(given)
        video = measure.streams(said, "video")[0]
        tracks = [video, *measure.streams(said, "audio")]
        zero = max(0, min(float(track["start_time"]) for track in tracks))
        found = [time - zero for time in measure.packet_times(said, video)]
        times = found if item.probed == "all" else [time + found[0] for time in times]
    return times


def _container(item: Input, given: Path | str, out: Path, said: dict[str, Any]) -> list[str]:
    """What ffprobe says of the output."""
    found = []
    video = measure.streams(said, "video")[0]
    times, wanted = measure.packet_times(said, video), shown_at(item, given)
    exact = 0.0011 if item.probed or out.suffix != ".mov" else 0.00002
    if len(times) == len(wanted):
        wrong = [k for k, (a, b) in enumerate(zip(times, wanted, strict=True)) if not abs(a - b) <= exact]
        if wrong:
            k = wrong[0]
            found.append(f"{len(wrong)} times are wrong: frame {k} at {times[k]} instead of {wanted[k]:.6f}")
    else:
        found.append(f"{len(times)} packets of the picture instead of {len(wanted)}")
    if (sar := _sar(video)) != item.sar:
        found.append(f"pixel aspect ratio {sar} instead of {item.sar}")
    if item.tags is not None:
        tags = tuple(video.get(key, "unknown") for key in ("color_space", "color_primaries", "color_transfer"))
        if tags != item.tags:
            found.append(f"colour tags {tags} instead of {item.tags}")
    if item.field_order and (order := video.get("field_order", "progressive")) != item.field_order:
        found.append(f"field order {order} instead of {item.field_order}")
    timecode = next((t for t in map(_timecode, [*said["streams"], said["format"]]) if t), None)
    if timecode != item.timecode:
        found.append(f"timecode {timecode} instead of {item.timecode}")
    sound = measure.streams(said, "audio")
    tracks = tuple((stream["channels"], int(stream["sample_rate"])) for stream in sound)
    if tracks != item.tracks:
        found.append(f"sound {tracks} instead of {item.tracks}")
    elif item.packets:
        before = measure.probe(given)
        for old, new in zip(measure.streams(before, "audio"), sound, strict=True):
            if measure.packet_hashes(before, old) != measure.packet_hashes(said, new):
                found.append("the packets of the sound differ")
    length = float(video.get("duration") or said["format"]["duration"])
    if out.suffix == ".mov" and len(wanted) > 1:
        end = wanted[-1] - wanted[0]  # of the track; its last frame may be shown for any time
        if not end < length < end + max(3, 4 * end / (len(wanted) - 1)):
            found.append(f"the picture lasts {length} s, its last frame is shown at {end:.6f}")
    return found


def _sar(video: dict[str, Any]) -> Fraction:
    above, below = map(int, video.get("sample_aspect_ratio", "1:1").split(":"))
    return Fraction(above, below) if above and below else Fraction(1)


def _timecode(part: dict[str, Any]) -> str | None:
    return next((value for key, value in part.get("tags", {}).items() if key.lower() == "timecode"), None)


def _picture(path: Path) -> np.ndarray:
    """[H, W, 4] uint16 of a still, by Pillow; of 16 bits, by ffmpeg."""
    image = Image.open(path)
    if path.suffix != ".png" or image.mode != "RGBA" or _is_deep(path):
        return measure.frames(path, image.size, alpha=True)[0]
    return np.asarray(image).astype(np.uint16) * 257


def _is_deep(path: Path) -> bool:
    return path.read_bytes()[24] == 16


def _eight(frame: np.ndarray) -> np.ndarray:
    """As float, 0 to 255."""
    return frame.astype(np.float32) * (1 if frame.dtype == np.uint8 else 255 / 65535)


def _pixels(item: Input, given: Path | str, shown: list[np.ndarray]) -> list[str]:
    assert item.size is not None
    width, height = item.size
    sizes = {frame.shape[1::-1] for frame in shown}
    if sizes != {(width, height)}:
        return [f"sizes {sizes} instead of {item.size}"]
    right = _reference(item, given)
    if len(right) != len(shown):
        return [f"the second decoder has {len(right)} frames, the output {len(shown)}"]
    pane = np.ones((height, width), bool)
    pane[hole(height, width)] = False
    if item.code:
        pane[height // 4 :] = False  # how far a decoder gets in a damaged picture is its own affair
    found = []
    for k, (frame, wanted) in enumerate(zip(shown, right, strict=True)):
        alpha = _eight(frame[..., 3])
        clear = alpha[hole(height, width)]
        if abs(alpha[pane] - 255).max() > 2 or (clear.size and clear.max() > 2):
            found.append(f"the alpha of frame {k} is not the matte")
        off = np.abs(_eight(frame[..., :3]) - _eight(wanted))[pane]
        if off.mean() > item.difference:
            found.append(f"frame {k} differs by {off.mean():.2f} of 255 from what the second decoder sees")
    if item.drawn is not None and not found:
        found += _as_drawn(item, shown, pane)
    return found[:3]


def _reference(item: Input, given: Path | str) -> list[np.ndarray]:
    """The frames as they are shown, [H, W, 3]."""
    if item.reference is not None:
        return [item.turn(frame) for frame in item.reference(Path(given))]
    video = measure.streams(measure.probe(given), "video")[0]
    return [item.turn(frame) for frame in measure.frames(given, (video["width"], video["height"]))]


def _as_drawn(item: Input, shown: list[np.ndarray], pane: np.ndarray) -> list[str]:
    """Whether each frame is most like the one that was drawn for it: libav's decoders may share a fault."""
    assert item.drawn is not None
    drawn = item.drawn()
    if len(drawn) != len(shown):
        return [f"{len(drawn)} frames were drawn, {len(shown)} came out"]
    for k, frame in enumerate(shown):
        off = [float(np.abs(_eight(frame[..., :3]) - _eight(other))[pane].mean()) for other in drawn]
        best = int(np.argmin(off))
        if off[k] > off[best] + 0.5 or off[k] > _ROUGH:
            return [f"frame {k} is most like frame {best} as drawn (off by {off[k]:.1f} and {off[best]:.1f})"]
    return []


def _beeps(item: Input, out: Path, shown: list[np.ndarray], times: list[float]) -> list[str]:
    """Whether each beep is as far from its flash as the input's maker put it."""
    assert item.beeps is not None
    found = []
    flashes = [
        time for time, frame in zip(times, shown, strict=True) if _eight(frame[..., :3]).min(-1)[0].mean() > _FLASH
    ]
    for track in range(len(item.tracks)):
        beeps = measure.beep_times(out, track)
        if len(beeps) != len(item.beeps) or len(flashes) != len(beeps):
            found.append(
                f"{len(beeps)} beeps and {len(flashes)} flashes instead of {len(item.beeps)}: {beeps}, {flashes}"
            )
            continue
        off = [beep - flash - apart for beep, flash, apart in zip(beeps, flashes, item.beeps, strict=True)]
        if max(map(abs, off)) > item.beep_tolerance:
            found.append(f"the beeps are {', '.join(f'{1000 * each:.0f}' for each in off)} ms late")
    return found
