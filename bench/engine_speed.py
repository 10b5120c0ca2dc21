"""Milliseconds per frame of each engine, compared with plain eager float32; 8-bit frames in, 8-bit alpha out.

    python bench/engine_speed.py [--sizes 720p 1080p 4K] [--rounds 15] [--engines openvino-mixed ...] [--foreground]
        [--passive]

Every kind runs in its own process with its own settings: the baseline with the default allocator and with a tuned one
(environment variables), the engines as the command line runs them (core/machine/process_tuning.py). They alternate
frame by frame (A B C A B C ...), so that other load on the machine affects all of them; only one computes at a time,
and the others sleep. The results are medians, and medians of the ratios frame by frame. Peak memory is that of the
process. On a busy machine PyTorch's threads, which spin while they wait, make the baseline several times slower:
--passive lets them sleep, too, for ratios that are valid on an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
from clips import SAMPLE, SIZES

TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
RATIOS = {"720p": 0.375, "1080p": 0.25, "4K": 0.125}
BASELINES = {"eager": {}, "eager, tuned allocator": TUNED}
ENGINES = ("folded-fp32", "openvino-fp32", "openvino-mixed", "openvino-bf16")
WARM_UP = 3  # frames of each process that do not count


class Runner:
    """A process that mattes one frame on request and reports how long that took."""

    def __init__(self, kind: str, size: str, foreground: bool, passive: bool):
        command = [sys.executable, __file__, "--child", kind, "--sizes", size]
        command += ["--foreground"] if foreground else []
        environment = {**os.environ, **BASELINES.get(kind, {}), **({"OMP_WAIT_POLICY": "PASSIVE"} if passive else {})}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.milliseconds: list[float] = []
        self.ready = self.ask("ready")

    def ask(self, what: str) -> dict:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"the process ended with {self.process.wait()}")
        return json.loads(answer)

    def frame(self) -> None:
        self.milliseconds.append(self.ask("frame")["ms"])

    def end(self) -> float:
        """Peak memory in MB."""
        peak = self.ask("end")["peak"]
        self.process.wait()
        return peak


def load_frames(size: str) -> list:
    """A few frames of the sample at this size, [3, H, W] uint8, in the memory layout of decoded videos."""
    import av
    import torch

    with av.open(str(SAMPLE)) as container:
        pictures = [
            frame.reformat(*SIZES[size], format="rgb24", interpolation="BICUBIC").to_ndarray()
            for frame, _ in zip(container.decode(video=0), range(4), strict=False)
        ]
    return [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]


def child(kind: str, size: str, foreground: bool) -> None:
    """Answers each line of standard input with a line on standard output."""
    from rvm_studio.core import tune_process

    is_baseline = kind in BASELINES
    if not is_baseline:
        tune_process()
    import torch
    from rvm_studio.core import build_engine, choose_engine, find_weights, load_network

    network, ratio, rec = load_network(find_weights()), RATIOS[size], None
    frames = load_frames(size)
    if not is_baseline:
        engine = build_engine(network, choose_engine(torch.device("cpu"), *kind.split("-")))

    def plain(frame):
        with torch.inference_mode():
            src = frame[None].float() / 255
            fgr, pha, state = network(src, rec, ratio)
            result = (pha * 255).round().byte()
            return (result, (fgr * 255).round().byte() if foreground else None), state

    def fast(frame):
        output = engine.run(frame[None], rec, ratio, out=torch.uint8, foreground=foreground)
        return (output.pha, output.fgr), output.rec

    matte = plain if is_baseline else fast
    for count, line in enumerate(sys.stdin):
        if line.startswith("end"):
            print(json.dumps({"peak": peak_megabytes()}), flush=True)
            return
        started = time.perf_counter()
        result, rec = matte(frames[count % len(frames)])
        took = time.perf_counter() - started
        print(json.dumps({"ms": 1000 * took, "mean": result[0].float().mean().item()}), flush=True)


def peak_megabytes() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--engines", nargs="+", choices=(*ENGINES, "compile-fp32"), default=ENGINES)
    parser.add_argument("--foreground", action="store_true", help="compute the foreground, too, not only alpha")
    parser.add_argument("--passive", action="store_true", help="waiting threads sleep in all kinds; for a busy machine")
    parser.add_argument("--child", metavar="KIND", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.sizes[0], arguments.foreground)
        return
    print(f"8-bit {'alpha and foreground' if arguments.foreground else 'alpha'}, {arguments.rounds} rounds, medians")
    print("| size (ratio) | engine | ms per frame | against eager | against eager, tuned allocator | first, ms | MB |")
    print("|---|---|---|---|---|---|---|")
    for size in arguments.sizes:
        kinds = [*BASELINES, *arguments.engines]
        runners = {kind: Runner(kind, size, arguments.foreground, arguments.passive) for kind in kinds}
        for number in range(WARM_UP + arguments.rounds):
            for runner in runners.values():
                runner.frame()
            if number == WARM_UP - 1:
                for runner in runners.values():
                    runner.milliseconds.clear()
        base = [runners[kind].milliseconds for kind in BASELINES]
        for kind, runner in runners.items():
            pairs = [zip(theirs, runner.milliseconds, strict=True) for theirs in base]
            ratios = [f"{median(a / b for a, b in pair):.2f}x" for pair in pairs]
            cells = [f"{size} ({RATIOS[size]:g})", kind, f"{median(runner.milliseconds):.1f}", *ratios]
            print(f"| {' | '.join(cells)} | {runner.ready['ms']:.0f} | {runner.end():.0f} |", flush=True)


if __name__ == "__main__":
    main()
