"""Milliseconds per frame of each stage of `rvm-studio matte` on its own, and of the whole pipeline.

    python bench/pipeline_stages.py [--size 1080p] [--frames 48] [--rounds 3] [--formats prores vp9 ffv1 png h264]

Decode: the file to the decoder's frames. Convert: these to RGB. Matte: RGB to the output's pictures, drawn by the
engine as in the pipeline. Encode: pictures to the finished file. Each stage runs alone, with all cores. The pipeline
runs them in parallel, so it cannot be faster than the slowest stage or than their total processor time divided by the
cores, which is also printed. Stages and pipeline take turns; the results are medians.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av
import torch
from clips import SIZES, make_clip
from rvm_studio.core import (
    ClipOptions,
    FrameRenderer,
    FrameWriter,
    Output,
    Session,
    build_engine,
    choose_engine,
    find_weights,
    load_network,
    matte_clip,
    open_reader,
    tune_process,
)

FORMATS = {
    "prores": ("out.mov", "matte", "rgba"),
    "vp9": ("out.webm", "matte", "rgba"),
    "ffv1": ("out.mkv", "matte", "rgba"),
    "png": ("out_%05d.png", "matte", "rgba"),
    "h264": ("out.mp4", "composite", "rgb"),
}


class Stages:
    """The stages for one clip and one output."""

    def __init__(self, clip: Path, folder: Path, engine, format: str):
        name, self.kind, self.content = FORMATS[format]
        self.clip, self.engine, self.output = clip, engine, Output(folder / name, self.kind)
        self.frames = list(self.read())
        self.pictures = [pictures.images[0] for pictures in self.rendered()]

    def read(self):
        with open_reader(self.clip) as reader:
            self.info = reader.info
            yield from reader

    def rendered(self):
        session = Session(self.engine)
        renderer = FrameRenderer(self.info, session, [self.output], ClipOptions(), keeps_results=False)
        for frame in self.frames:
            yield from renderer.render([frame], [], [8])
        renderer.close()

    def decode(self) -> None:
        with av.open(str(self.clip)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = os.cpu_count() or 1
            for _ in container.decode(stream):
                pass

    def decode_and_convert(self) -> None:
        for _ in self.read():
            pass

    def matte(self) -> None:
        for _ in self.rendered():
            pass

    def encode(self) -> None:
        spec = replace(self.info, time_base=Fraction(1, 24), bit_depth=8, sample_aspect_ratio=Fraction(1))
        writer = FrameWriter(self.output.path, spec, content=self.content, overwrite=True)
        for number, picture in enumerate(self.pictures):
            writer.write(picture, number, number)
        writer.finish()

    def pipeline(self) -> None:
        options = ClipOptions(overwrite=True)
        matte_clip(self.clip, [self.output], Session(self.engine), options)


def timed(task: Callable[[], None], frames: int) -> tuple[float, float]:
    """Milliseconds per frame: (wall-clock time, processor time)."""
    started, used = time.perf_counter(), time.process_time()
    task()
    return 1000 * (time.perf_counter() - started) / frames, 1000 * (time.process_time() - used) / frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1080p")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    arguments = parser.parse_args()
    tune_process()
    engine = build_engine(load_network(find_weights()), choose_engine(torch.device("cpu")))
    cores, count = os.cpu_count() or 1, arguments.frames
    print(f"{arguments.size}, {engine.name}, {cores} cores, {arguments.rounds} rounds, milliseconds per frame, medians")
    print(
        "| output | decode | convert | matte | encode | pipeline (fps) | to its slowest stage | all stages' processor "
        "time / cores | to that |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4", SIZES[arguments.size], count)
        for format in arguments.formats:
            stages = Stages(clip, folder, engine, format)
            tasks = [stages.decode, stages.decode_and_convert, stages.matte, stages.encode, stages.pipeline]
            rounds = [[timed(task, count) for task in tasks] for _ in range(arguments.rounds)]
            wall, used = ([median(r[k][which] for r in rounds) for k in range(len(tasks))] for which in (0, 1))
            decode, both, matte, encode, pipeline = wall
            work = (used[1] + used[2] + used[3]) / cores
            slowest = max(both, matte, encode)
            cells = [format, *(f"{x:.1f}" for x in (decode, both - decode, matte, encode))]
            cells += [f"{pipeline:.1f} ({1000 / pipeline:.1f})", f"{pipeline / slowest:.2f}x"]
            print(f"| {' | '.join(cells)} | {work:.1f} | {pipeline / work:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
