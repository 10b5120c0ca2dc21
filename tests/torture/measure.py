"""What a second decoder says of a file: ffprobe, and ffmpeg's command line."""

# N frames, H, W

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from .drawing import BEEP, SOUND_RATE

_FLAGS = "accurate_rnd+full_chroma_int+full_chroma_inp+bicubic"


def probe(path: Path | str) -> dict[str, Any]:
    """ffprobe's streams, format and packets (with a checksum of their data)."""
    wanted = ["-show_streams", "-show_format", "-show_packets", "-show_data_hash", "md5"]
    command = ["ffprobe", "-v", "error", "-of", "json", *wanted]
    return json.loads(subprocess.run([*command, "-i", f"file:{path}"], capture_output=True, check=True).stdout)


def streams(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [
        stream
        for stream in found["streams"]
        if stream["codec_type"] == kind and not stream.get("disposition", {}).get("attached_pic")
    ]


def packet_times(found: dict[str, Any], stream: dict[str, Any]) -> list[float]:
    packets = [packet for packet in found["packets"] if packet["stream_index"] == stream["index"]]
    return sorted(float(packet.get("pts_time", packet.get("dts_time", "nan"))) for packet in packets)


def packet_hashes(found: dict[str, Any], stream: dict[str, Any]) -> list[str]:
    return [packet["data_hash"] for packet in found["packets"] if packet["stream_index"] == stream["index"]]


def frames(path: Path | str, size: tuple[int, int], alpha: bool = False, stream: str = "V:0") -> np.ndarray:
    """[N, H, W, 3 or 4] uint16: every frame as it is stored, without its orientation. size: (W, H)."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-noautorotate"]
    if alpha and str(path).endswith(".webm"):
        command += ["-c:v", "libvpx-vp9"]  # ffmpeg's own decoder leaves alpha out
    command += ["-i", f"file:{path}"]
    command += ["-map", f"0:{stream}", "-vsync", "passthrough", "-sws_flags", _FLAGS, "-f", "rawvideo"]
    command += ["-pix_fmt", "rgba64le" if alpha else "rgb48le", "-"]
    ran = subprocess.run(command, capture_output=True)
    samples = np.frombuffer(ran.stdout, "<u2")
    shape = (-1, size[1], size[0], 4 if alpha else 3)
    assert samples.size > 0, (path, ran.stderr.decode()[-300:])
    assert samples.size % np.prod(shape[1:]) == 0, (path, size, ran.stderr.decode()[-300:])
    return samples.reshape(shape)


def beep_times(path: Path | str, track: int = 0) -> list[float]:
    """When each beep begins, by the file's clock; gaps of the sound count."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-copyts", "-i", f"file:{path}", "-map", f"0:a:{track}"]
    command += ["-af", "aresample=async=1:min_hard_comp=0.005:first_pts=0", "-ac", "1", "-ar", str(SOUND_RATE)]
    samples = np.frombuffer(subprocess.run([*command, "-f", "f32le", "-"], capture_output=True).stdout, "<f4")
    if not samples.size:
        return []
    loud = np.flatnonzero(np.abs(samples) > 0.35 * np.abs(samples).max()) if np.abs(samples).max() > 0.02 else []
    begins, last = [], -1e9
    for n in loud:
        if n - last > 2 * BEEP * SOUND_RATE:
            begins.append(n / SOUND_RATE)
        last = n
    return begins
