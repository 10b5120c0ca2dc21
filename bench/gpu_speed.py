"""Frames per second on a GPU, 8-bit frames on the card in, 8-bit alpha and foreground out: the graph engine beside the
same network run plainly (eager and frozen TorchScript, both fp16), in one process, in turns.

    python bench/gpu_speed.py [--sizes 720p 1080p 4K] [--rounds 5] [--frames 60] [--chunks 1 12] [--alpha-only]

Every kind mattes `frames` frames in a round; a round's time runs from the first launch to the card's being done.
Medians, and the median of the ratios round by round. Then the two kernels of the full-size pass beside the bytes that
they must move at the measured rate of a copy. Peak memory is the allocator's, of one kind at a time. A few minutes in
all; what comes out belongs into bench/results/ with date and card.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
import torch
from clips import SIZES
from engine_speed import RATIOS, load_frames
from rvm_studio.core.engines import EagerEngine, build, choose
from rvm_studio.core.engines.cuda_graph import GraphEngine, triton_kernels
from rvm_studio.core.export import ExportedNetwork
from rvm_studio.core.network import small_size
from rvm_studio.core.pixel_format import quantise, to_float
from rvm_studio.core.weights import find, load_network

HALF = torch.float16


def torchscript_of(network, frames, ratio: float, foreground: bool) -> Callable:
    """A frozen TorchScript of the plain network in half precision, called frame by frame."""
    module = ExportedNetwork(network, ratio, is_static=True, onnx=False).eval()
    example = [x.to(frames.device, HALF) for x in module.example(*frames.shape[-2:])]
    module.to(frames.device, HALF)
    with torch.no_grad():
        program = torch.jit.freeze(torch.jit.trace(module, tuple(example), check_trace=False).eval())
    first = example[1:]

    def run(state):
        states = first if state is None else state
        for frame in frames:
            fgr, pha, *states = program(to_float(frame[None], frames.device, HALF), *states)
            quantise(pha, torch.uint8)
            if foreground:
                quantise(fgr, torch.uint8)
        return states

    return run


def engine_of(engine, frames, ratio: float, foreground: bool, chunk: int) -> Callable:
    def run(state):
        for part in frames.split(chunk):
            state = engine.run(part, state, ratio, out=torch.uint8, foreground=foreground).rec
        return state

    return run


def seconds_of(run: Callable, state) -> tuple[float, object]:
    torch.cuda.synchronize()
    started = time.perf_counter()
    with torch.inference_mode():
        state = run(state)
    torch.cuda.synchronize()
    return time.perf_counter() - started, state


def milliseconds_of(task: Callable[[], object], repeats: int = 50) -> float:
    """Of one launch on the card: the best of five rounds."""
    task()
    best = float("inf")
    for _ in range(5):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(repeats):
            task()
        end.record()
        torch.cuda.synchronize()
        best = min(best, begin.elapsed_time(end) / repeats)
    return best


def speeds(network, device, arguments) -> None:
    print("| size (ratio) | kind | frames a second | ms a frame | against eager | against TorchScript | peak MB |")
    print("|---|---|---|---|---|---|---|")
    foreground = not arguments.alpha_only
    graph = build(network, choose(device, "graph"))
    if not isinstance(graph, GraphEngine):
        print(f"(the engine chosen here is {graph.name})")
    for size in arguments.sizes:
        ratio, pictures = RATIOS[size], torch.stack([f.permute(1, 2, 0) for f in load_frames(size)]).to(device)
        frames = pictures.repeat(-(-arguments.frames // len(pictures)), 1, 1, 1)[: arguments.frames].permute(0, 3, 1, 2)
        kinds = {
            "eager fp16": engine_of(EagerEngine(network, device, HALF), frames, ratio, foreground, 1),
            "frozen TorchScript fp16": torchscript_of(network, frames, ratio, foreground),
        }
        for chunk in arguments.chunks:
            kinds[f"{graph.name}, {chunk} at once"] = engine_of(graph, frames, ratio, foreground, chunk)
        peaks, states, times = {}, {}, {kind: [] for kind in kinds}
        for kind, run in kinds.items():  # warm-up, one at a time
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            _, states[kind] = seconds_of(run, None)
            peaks[kind] = (torch.cuda.max_memory_allocated() - before) / 2**20
        for _ in range(arguments.rounds):
            for kind, run in kinds.items():
                took, states[kind] = seconds_of(run, states[kind])
                times[kind].append(took / len(frames))
        base = [times[kind] for kind in list(kinds)[:2]]
        for kind, took in times.items():
            ratios = [f"{median(a / b for a, b in zip(other, took, strict=True)):.1f}x" for other in base]
            cells = [f"{size} ({ratio:g})", kind, f"{1 / median(took):.0f}", f"{1000 * median(took):.2f}", *ratios]
            print(f"| {' | '.join(cells)} | {peaks[kind]:.0f} |", flush=True)


def kernels(device, arguments) -> None:
    full_size = triton_kernels()
    if full_size is None:
        print("\nno Triton here: the full-size pass is plain PyTorch")
        return
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rate = 2 * 2**30 / milliseconds_of(lambda: target.copy_(source), 10)  # bytes a millisecond
    print(f"\ncopies at {rate / 1e9:.2f} TB/s, read and written bytes counted")
    print("| size | kernel | bytes it must move, MB | at that rate, us | takes, us | distance |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        frames = load_frames(size)[0][None].to(device)
        H, W = frames.shape[-2:]  # noqa: N806
        ratio = RATIOS[size]
        h, w = small_size(H, W, ratio)
        solved = torch.rand(1, 8, h, w, device=device)
        used = min(1.0, 2 * ratio)  # of the rows and columns, those that the reduction looks at
        tasks = {
            "reduce": (3 * H * W * used + 12 * h * w, lambda f=frames, r=ratio: full_size.reduce(f, r)),
            "alpha": (4 * H * W + 8 * h * w, lambda f=frames, s=solved: full_size.apply(s, f, torch.uint8, False)),
            "alpha and foreground": (
                7 * H * W + 32 * h * w,
                lambda f=frames, s=solved: full_size.apply(s, f, torch.uint8),
            ),
        }
        for name, (count, task) in tasks.items():
            floor, took = 1000 * count / rate, 1000 * milliseconds_of(task)
            print(
                f"| {size} | {name} | {count / 1e6:.1f} | {floor:.1f} | {took:.1f} | {took / floor:.1f}x |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 12])
    parser.add_argument("--alpha-only", action="store_true")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no NVIDIA or AMD card here.")
    device = torch.device("cuda")
    name = torch.cuda.get_device_name(device)
    print(f"{datetime.date.today()}, {name}, PyTorch {torch.__version__}, {arguments.rounds} rounds, medians")
    network = load_network(find())
    speeds(network, device, arguments)
    with torch.inference_mode():
        kernels(device, arguments)


if __name__ == "__main__":
    main()
