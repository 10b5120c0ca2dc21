"""Runs that are killed, stopped twice or filled up at random moments, and then resumed: is anything lost?

    python bench/kill_runs.py [--runs 500] [--seed 0] [--formats mov mkv ...]

Every run mattes the same short clip with sound, in a process of its own, into one format or several. Its end is one of
three: SIGKILL; SIGINT twice within a few milliseconds; a disk that is full (a limit of the file's size, or an error at
a random picture of a sequence). Afterwards the final name must be absent or hold the whole result, and no input may
have changed. Then the same job is resumed, and the result must be that of a run without an end: frames, times and
sound; and nothing else may lie in the folder. Records are saved ten times as often as usual, so that a run of two
seconds has some. POSIX only.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from rvm_studio.core import (
    ClipOptions,
    Engine,
    EngineOutput,
    Output,
    Session,
    StudioError,
    matte_clip,
    quantise,
    stop_on_signal,
    to_float,
)
from rvm_studio.core.clips import checkpoints
from tqdm import tqdm

FRAMES, PACE = 60, 0.025  # seconds a frame
RESUMABLE = {"mov", "mkv", "webm", "png", "mov+mkv", "png+webm"}
FORMATS = [*sorted(RESUMABLE), "mp4", "apng", "webp"]
ENDS = ("killed", "stopped", "full")


class Remembering(Engine):
    """Its alpha is a mean over all frames so far: a wrong state shows in every frame."""

    name, variant, device, dtype = "remembering", "mobilenetv3", torch.device("cpu"), torch.float32

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        time.sleep(PACE * len(frames))
        src = to_float(frames)
        memory = rec[0] if rec else torch.zeros(1, 1, 1, 1)
        alphas = []
        for frame in src.split(1):
            memory = 0.7 * memory + 0.3 * frame[:, :1].mean()
            alphas.append((0.6 * frame[:, :1] + 0.4 * memory).clamp(0, 1))
        fgr = quantise(src, wanted.out) if wanted.foreground else None
        return EngineOutput(fgr, quantise(torch.cat(alphas), wanted.out), (memory,) * 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    arguments = parser.parse_args()
    checkpoints.REMEMBER_EVERY /= 10
    checkpoints.SAVE_EVERY /= 10
    chance = random.Random(arguments.seed)
    counts: dict[str, Counter] = {end: Counter() for end in ENDS}
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        clip = make_clip(home / "in.mkv")
        before = digest_of(clip)
        whole = {format: reference(home, clip, format) for format in arguments.formats}
        for number in tqdm(range(arguments.runs)):
            format = arguments.formats[number % len(arguments.formats)]
            end = ENDS[number // len(arguments.formats) % len(ENDS)]
            folder = home / f"run{number}"
            folder.mkdir()
            try:
                one_run(folder, clip, format, end, chance, whole[format], counts[end])
                assert digest_of(clip) == before, "the input has changed"
            except AssertionError as error:
                faults.append(f"run {number}, {format}, {end}: {error}")
                tqdm.write(faults[-1])
            shutil.rmtree(folder)
    for end, count in counts.items():
        print(f"{end}: {', '.join(f'{what} {n}' for what, n in sorted(count.items()))}")
    print(f"runs {arguments.runs}, faults {len(faults)}")
    return 1 if faults else 0


def one_run(folder: Path, clip: Path, format: str, end: str, chance: random.Random, whole, count: Counter) -> None:
    """Ends a run early and resumes it. Raises AssertionError if anything is lost."""
    duration, results, sizes = whole
    count["runs"] += 1
    limit = chance.randrange(1000, max(sizes)) if end == "full" else None
    process = begin(folder, clip, format, resume=False, limit=limit)
    if end != "full":
        time.sleep(chance.uniform(0, duration))
        for gap in (0.0,) if end == "killed" else (0.0, chance.choice([0.0, 0.0002, 0.005])):
            time.sleep(gap)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if end == "killed" else signal.SIGINT)
    wait(process)
    finals = [output.path for output in outputs(folder, format)]
    done = 0
    for path, result in zip(finals, results, strict=True):
        if final(path).exists():
            assert contents(path) == result, f"{path.name} is incomplete"
            done += 1
    if done == len(finals):
        count["had finished"] += 1
        return
    if done:  # between two outputs: they are not one step
        count["had finished in part"] += 1
        return
    plays = [path for path in folder.glob("*.partial.*") if path.suffix in (".mov", ".mkv", ".webm", ".mp4")]
    plays = [path for path in plays if path.stat().st_size > 20_000]
    count["unfinished files over 20 kB"] += len(plays)
    count["of these playing"] += sum(frames_in(path) > 0 for path in plays)
    resumed = wait(begin(folder, clip, format, resume=True))
    assert resumed >= 0, "the resumed run failed"
    if resumed:
        assert format in RESUMABLE, "was resumed"
        count["resumed"] += 1
        count["frames not done again"] += resumed
    else:
        count["started over" if format in RESUMABLE else "started over (not resumable)"] += 1
    for path, result in zip(finals, results, strict=True):
        assert final(path).exists(), f"{path.name} is missing"
        assert contents(path) == result, f"{path.name} differs from a run without an end"
    left = {path.name for path in folder.iterdir()} - {final(path).name for path in finals}
    assert not left, f"left behind: {', '.join(sorted(left))}"


def begin(folder: Path, clip: Path, format: str, *, resume: bool, limit: int | None = None) -> int:
    """A process that mattes the clip; its exit code is the frame at which it went on, plus 1."""
    process = os.fork()
    if process:
        return process
    code = 0
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        if limit is not None:
            fill_up(limit, format)
        with stop_on_signal() as (stop, _):
            session = Session(Remembering(), chunk=1, warm_up=2)
            options = ClipOptions(resume=resume, background="red")
            report = matte_clip(clip, outputs(folder, format), session, options, stopped=stop.is_set)
        code = 0 if report.stopped else report.resumed + 1
    except StudioError:
        code = 0
    finally:
        os._exit(code)


def fill_up(limit: int, format: str) -> None:
    """Makes the disk full: for files by a limit of their size, for pictures at a random one."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if "png" not in format.split("+"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return
    write, written = Path.write_bytes, []

    def full(path: Path, content: bytes) -> int:
        written.append(path)
        if path.suffix == ".png" and len(written) > limit % FRAMES:
            write(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(path, content)

    Path.write_bytes = full


def wait(process: int) -> int:
    """The frame at which the process went on; -1 if it did not finish."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code - 1 if code > 0 else -1


def outputs(folder: Path, format: str) -> list[Output]:
    names = ["pictures/o_%03d.png" if suffix == "png" else f"o.{suffix}" for suffix in format.split("+")]
    return [Output(folder / name, "composite" if name == "o.mp4" else "matte") for name in names]


def reference(home: Path, clip: Path, format: str) -> tuple[float, list, list[int]]:
    """(seconds, contents, bytes) of a run without an end."""
    folder = home / f"whole_{format}"
    folder.mkdir()
    started = time.perf_counter()
    assert wait(begin(folder, clip, format, resume=False)) == 0
    duration = time.perf_counter() - started
    paths = [final(output.path) for output in outputs(folder, format)]
    sizes = [path.stat().st_size if path.is_file() else 10**6 for path in paths]
    return duration, [contents(output.path) for output in outputs(folder, format)], sizes


def final(path: Path) -> Path:
    return path.parent if "%" in path.name else path


def contents(path: Path) -> list:
    """Frames with their times, and the sound; of pictures the files."""
    path = final(path)
    if path.is_dir():
        return [(picture.name, digest_of(picture)) for picture in sorted(path.iterdir())]
    if path.suffix in (".apng", ".webp"):
        return [digest_of(path)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if decoder.name == "vp9":  # libav's own decoder drops alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = container.demux(stream)
        frames = [frame for packet in packets for frame in decoder.decode(packet if packet.size else None)]
        exact = path.suffix != ".mp4"  # its encoder's threads change the last bits
        found = [(frame.pts * stream.time_base, exact and digest_of_planes(frame)) for frame in frames]
    with av.open(str(path)) as container:
        for sound in container.streams.audio[:1]:
            found += [(p.pts * p.time_base, bytes(p)) for p in container.demux(sound) if p.size]
    return found


def digest_of_planes(frame: av.VideoFrame) -> bytes:
    digest = hashlib.sha256(frame.format.name.encode())
    for plane in frame.planes:
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        step = 1 + (max(component.bits for component in frame.format.components) > 8)
        packed = 4 if frame.format.name in ("bgra", "bgr0", "rgba") else 1
        digest.update(lines[:, : plane.width * step * packed].tobytes())
    return digest.digest()


def frames_in(path: Path) -> int:
    with suppress(OSError, av.error.FFmpegError), av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
    return 0


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_clip(path: Path) -> Path:
    """A person-like blot that moves, with frames of varying length, and a sound."""
    rng, y, x = np.random.default_rng(0), *np.mgrid[0:96, 0:160]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "bgr0"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("pcm_s16le", rate=48000)
        sound.codec_context.layout = "mono"
        for index in range(FRAMES):
            blot = 200 * np.exp(-((x - 40 - index) ** 2 + (y - 48) ** 2) / 600)
            picture = np.stack([blot, 200 - blot, rng.integers(0, 255, x.shape)], -1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = 40 * index + 7 * (index % 3)
            container.mux(stream.encode(frame))
            wave = (8000 * np.sin(np.arange(1920) * index / 50)).astype(np.int16)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            samples.sample_rate, samples.pts = 48000, 1920 * index
            container.mux(sound.encode(samples))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    sys.exit(main())
