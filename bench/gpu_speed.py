"""Frames per second on a GPU, 8-bit frames in, 8-bit alpha and foreground out: the engines graph and compile, compared
with the plain network (eager and frozen TorchScript, both fp16). All run in one process and take turns.

    python bench/gpu_speed.py [--sizes 720p 1080p 4K] [--rounds 5] [--frames 60] [--chunks 1 12] [--alpha-only]
        [--engines graph compile compile-max] [--save [FOLDER]] [--device cpu]

There are three tables. The network: frames and results are in GPU memory; every kind mattes `frames` frames per round,
timed from the first launch until the GPU is done. There and back: frames, as from a decoder, and results are in CPU
memory, which is what users see; with and without overlapping transfers. The kernels: the full-size pass, compared with
the time that moving its bytes takes at the measured copy rate.

The results are medians, and medians of the ratios round by round. Peak memory is the allocator's, for one kind at a
time. "ready" is the time of the first round, including recording and compiling (all sizes reduce to the same one, so
only the first is slow). With the engines graph and compile it takes less than five minutes in total; compile-max
(Inductor's autotuning) takes longer. --save writes the output to bench/results/, named after the date and the device.
--device cpu, with few frames, runs the script without a GPU.
"""

import argparse
import datetime
import functools
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
import torch
from clips import SIZES
from engine_speed import RATIOS, load_frames
from rvm_studio.core import (
    DTYPE_NAMES,
    EagerEngine,
    ExportedNetwork,
    Transfers,
    describe_device,
    find_weights,
    load_network,
    quantise,
    small_size,
    to_float,
)
from rvm_studio.core.engines.cuda_graph import CudaGraph, GraphEngine, agrees_with_eager, triton_kernels
from rvm_studio.core.engines.full_size import full_size_gpu
from rvm_studio.core.engines.small_network.inductor import Compiled, by_inductor, compile_problem

ENGINES = ("graph", "compile", "compile-max")
RESULTS = Path(__file__).parent / "results"
COPIED = 2**30  # bytes for measuring the copy rate; on a CPU a sixteenth of that


class Report:
    """Prints lines and keeps them."""

    def __init__(self):
        self.lines: list[str] = []

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def row(self, *cells) -> None:
        self(f"| {' | '.join(map(str, cells))} |")

    def head(self, title: str, *cells: str) -> None:
        self(f"\n{title}\n")
        self.row(*cells)
        self("|" + "---|" * len(cells))

    def save(self, folder: Path, device_name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
        path = folder / f"gpu_speed_{datetime.date.today()}_{name}.md"
        path.write_text("\n".join(["# bench/gpu_speed.py", "", *self.lines, ""]), encoding="utf-8")
        return path


def new_engine(name: str, network, device, dtype, overlaps: bool) -> GraphEngine:
    """An engine as core.engines.choice builds it, except for the transfers and Inductor's mode."""
    is_gpu = device.type == "cuda"
    more = {"record": CudaGraph if is_gpu else None, "kernels": triton_kernels() if is_gpu else None}
    if overlaps:
        more["transfers"] = Transfers(device)
    if name != "graph":
        options = None
        if name == "compile-max":
            import torch._inductor

            options = torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
        more["compile"] = functools.partial(Compiled, compiler=functools.partial(by_inductor, options=options))
    return GraphEngine(network, device, dtype, **more)


def usable_engines(network, device, dtype, names, report) -> list[str]:
    """The engines that work here. Reports why others do not."""
    problem = agrees_with_eager(new_engine("graph", network, device, dtype, device.type == "cuda"), network)
    if problem:
        report(f"The engines graph and compile cannot be used here: {problem}")
        return []
    missing = compile_problem(device.type) if any(name != "graph" for name in names) else None
    if missing:
        report(f"The engine compile cannot be used here: {missing}")
    return [name for name in names if name == "graph" or not missing]


def torchscript_of(network, dtype, frames, ratio: float, foreground: bool) -> Callable:
    """Runs a frozen TorchScript of the plain network frame by frame."""
    module = ExportedNetwork(network, ratio, is_static=True, onnx=False).eval()
    example = [x.to(frames.device, dtype) for x in module.example(*frames.shape[-2:])]
    module.to(frames.device, dtype)
    with torch.no_grad():
        program = torch.jit.freeze(torch.jit.trace(module, tuple(example), check_trace=False).eval())
    first = example[1:]

    def run(state):
        states = first if state is None else state
        for frame in frames:
            fgr, pha, *states = program(to_float(frame[None], frames.device, dtype), *states)
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


def there_and_back(engine, frames, ratio: float, foreground: bool, chunk: int) -> Callable:
    """Runs an engine with frames and results in CPU memory."""

    def run(state):
        def outputs():
            nonlocal state
            for part in frames.split(chunk):
                output = engine.run(part, state, ratio, out=torch.uint8, foreground=foreground)
                state = output.rec
                yield output

        transfers = getattr(engine, "transfers", None)
        for output in transfers.downloads(outputs()) if transfers else outputs():
            output.pha.cpu()
            if output.fgr is not None:
                output.fgr.cpu()
        return state

    return run


def settle(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(device, run: Callable, state) -> tuple[float, object]:
    settle(device)
    started = time.perf_counter()
    with torch.inference_mode():
        state = run(state)
    settle(device)
    return time.perf_counter() - started, state


def milliseconds_of(device, task: Callable[[], object], repeats: int = 50) -> float:
    """Milliseconds of one launch on the device: the best of five rounds."""
    task()
    best = float("inf")
    for _ in range(5):
        if device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(repeats):
                task()
            end.record()
            torch.cuda.synchronize(device)
            best = min(best, begin.elapsed_time(end) / repeats)
        else:
            started = time.perf_counter()
            task()
            best = min(best, 1000 * (time.perf_counter() - started))
    return best


def compare(device, kinds: dict[str, Callable], baselines: int, frames: int, rounds: int, title: str, report) -> None:
    """Reports the rows of a table. The kinds take turns; all are compared with the first `baselines` kinds."""
    peaks, ready, states, times = {}, {}, {}, {kind: [] for kind in kinds}
    for kind, run in kinds.items():  # the first round, one kind at a time
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        ready[kind], states[kind] = seconds_of(device, run, None)
        if device.type == "cuda":
            peaks[kind] = f"{(torch.cuda.max_memory_allocated(device) - before) / 2**20:.0f}"
        _, states[kind] = seconds_of(device, run, states[kind])
    for _ in range(rounds):
        for kind, run in kinds.items():
            took, states[kind] = seconds_of(device, run, states[kind])
            times[kind].append(took / frames)
    base = [times[kind] for kind in list(kinds)[:baselines]]
    for kind, took in times.items():
        ratios = [f"{median(a / b for a, b in zip(other, took, strict=True)):.2f}x" for other in base]
        speed = f"{1 / median(took):.0f}" if median(took) < 0.1 else f"{1 / median(took):.1f}"
        cells = [title, kind, speed, f"{1000 * median(took):.3f}", *ratios]
        report.row(*cells, f"{ready[kind]:.1f}", peaks.get(kind, "-"))


def frames_for(size: str, count: int):
    """[count, 3, H, W] uint8 on the CPU, in the memory layout of decoded pictures."""
    pictures = torch.stack([frame.permute(1, 2, 0) for frame in load_frames(size)])
    return pictures.repeat(-(-count // len(pictures)), 1, 1, 1)[:count].permute(0, 3, 1, 2)


def chunks_for(chunks: list[int], size: str) -> list[int]:
    """The requested numbers of frames at once, but at most as many as a session would use."""
    W, H = SIZES[size]  # noqa: N806
    return list(dict.fromkeys(min(chunk, max(1, 24_000_000 // (H * W))) for chunk in chunks))


def round_of(arguments, size: str):
    """The frames of a round: a multiple of the largest chunk, because a smaller rest would be recorded separately."""
    largest = max(chunks_for(arguments.chunks, size))
    return frames_for(size, max(1, arguments.frames // largest) * largest)


def network_speeds(network, device, dtype, engines, arguments, report) -> None:
    precision, foreground = DTYPE_NAMES[dtype], not arguments.alpha_only
    report.head(
        "The network",
        *("size (ratio)", "kind", "frames per second", "ms per frame", "against eager", "against TorchScript"),
        *("ready s", "peak MB"),
    )
    for size in arguments.sizes:
        ratio, frames = RATIOS[size], round_of(arguments, size).to(device)
        how = ratio, foreground
        kinds = {
            f"eager {precision}": engine_of(EagerEngine(network, device, dtype), frames, *how, 1),
            f"frozen TorchScript {precision}": torchscript_of(network, dtype, frames, *how),
        }
        for name in engines:
            for chunk in chunks_for(arguments.chunks, size):
                engine = new_engine(name, network, device, dtype, overlaps=False)
                kinds[f"{name} {precision}, {chunk} at once"] = engine_of(engine, frames, *how, chunk)
        compare(device, kinds, 2, len(frames), arguments.rounds, f"{size} ({ratio:g})", report)


def round_trips(network, device, dtype, engines, arguments, report) -> None:
    precision, foreground = DTYPE_NAMES[dtype], not arguments.alpha_only
    report.head(
        "There and back",
        *("size (ratio)", "kind", "frames per second", "ms per frame", "against eager", "ready s", "peak MB"),
    )
    for size in arguments.sizes:
        ratio, frames = RATIOS[size], round_of(arguments, size)
        how = ratio, foreground
        eager = EagerEngine(network, device, dtype)
        kinds = {f"eager {precision}": there_and_back(eager, frames, *how, 1)}
        for name in engines[:1]:  # the transfers are the same for all
            for chunk in chunks_for(arguments.chunks, size):
                for overlaps in (False, True) if device.type == "cuda" else (False,):
                    engine = new_engine(name, network, device, dtype, overlaps)
                    kind = f"{name} {precision}, {chunk} at once, {'with' if overlaps else 'without'} overlap"
                    kinds[kind] = there_and_back(engine, frames, *how, chunk)
        compare(device, kinds, 1, len(frames), arguments.rounds, f"{size} ({ratio:g})", report)


def kernels(device, arguments, report) -> None:
    is_gpu = device.type == "cuda"
    full_size = (triton_kernels() if is_gpu else None) or full_size_gpu
    by = "plain PyTorch" if full_size is full_size_gpu else "Triton"
    count = COPIED if is_gpu else COPIED // 16
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    rate = 2 * count / milliseconds_of(device, lambda: target.copy_(source), 10)  # bytes per millisecond
    report.head(
        f"The full-size pass by {by}; copy rate {rate / 1e9:.3f} TB/s (read and written bytes)",
        *("size", "kernel", "bytes to move, MB", "at that rate, us", "takes, us", "distance"),
    )
    for size in arguments.sizes:
        frames = frames_for(size, 1).to(device)
        H, W = frames.shape[-2:]  # noqa: N806
        ratio = RATIOS[size]
        h, w = small_size(H, W, ratio)
        solved = torch.rand(1, 8, h, w, device=device)
        used = min(1.0, 2 * ratio)  # share of the rows and columns that the reduction reads
        tasks = {
            "reduce": (3 * H * W * used + 12 * h * w, lambda f=frames, r=ratio: full_size.reduce(f, r)),
            "alpha": (4 * H * W + 8 * h * w, lambda f=frames, s=solved: full_size.apply(s, f, torch.uint8, False)),
            "alpha and foreground": (
                7 * H * W + 32 * h * w,
                lambda f=frames, s=solved: full_size.apply(s, f, torch.uint8),
            ),
        }
        for name, (count, task) in tasks.items():
            floor, took = 1000 * count / rate, 1000 * milliseconds_of(device, task)
            report.row(size, name, f"{count / 1e6:.1f}", f"{floor:.1f}", f"{took:.1f}", f"{took / floor:.1f}x")


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 12])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["graph", "compile"])
    parser.add_argument("--alpha-only", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--save", nargs="?", type=Path, const=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args(given)
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no NVIDIA or AMD GPU here.")
    started = time.perf_counter()
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    report = Report()
    what = "alpha" if arguments.alpha_only else "alpha and foreground"
    report(f"{datetime.date.today()}, {describe_device(device)}, PyTorch {torch.__version__}, 8-bit {what},")
    report(f"{arguments.frames} frames per round, {arguments.rounds} rounds, medians")
    network = load_network(find_weights())
    engines = usable_engines(network, device, dtype, arguments.engines, report)
    network_speeds(network, device, dtype, engines, arguments, report)
    round_trips(network, device, dtype, engines, arguments, report)
    with torch.inference_mode():
        kernels(device, arguments, report)
    report(f"\n{time.perf_counter() - started:.0f} s in total")
    if arguments.save:
        print(f"saved as {report.save(arguments.save, name)}")


if __name__ == "__main__":
    main()
