"""How far the CPU engine is from this machine's limits: the multiply-adds of the small network at the measured matrix
rate, and the bytes of the full-size pass at the measured copy rate.

    python bench/engine_floor.py [--sizes 720p 1080p 4K] [--rounds 40]

The matrix rate is that of a large product of square matrices in PyTorch (oneDNN), in float32 and bf16. The copy rate is
that of a large copy by all threads, with both read and written bytes counted. All values are the best of many short
interleaved rounds, because a limit should not depend on what else the machine does.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from clips import SIZES
from engine_speed import RATIOS, load_frames
from rvm_studio.core import build_engine, choose_engine, find_weights, load_network, small_size, tune_process
from rvm_studio.core.engines.full_size import full_size
from rvm_studio.core.engines.full_size.row_threads import over_rows
from rvm_studio.core.engines.small_network.small_network import Decoder, Encoder, first_states, folded

SIDE = 2048  # of the matrices
MEGABYTES = 256  # copied at once: more than any cache holds


def count_multiply_adds(network, height: int, width: int) -> int:
    """The multiply-adds of all convolutions of the small network for an input of this size."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    network = folded(network)
    handles = [
        module.register_forward_hook(count) for module in network.modules() if isinstance(module, torch.nn.Conv2d)
    ]
    with torch.inference_mode():
        small = torch.zeros(1, 3, height, width)
        features = Encoder(network)(small)
        Decoder(network, foreground=True, hidden=False)(small, *features, *first_states(network, height, width))
    for handle in handles:
        handle.remove()
    return total


def best(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each task: the best of many interleaved rounds."""
    seconds = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    tune_process()
    network = load_network(find_weights())
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    half_a, half_b = a.bfloat16(), b.bfloat16()
    source = np.ones(MEGABYTES * 2**20 // 8)
    target = np.empty_like(source)

    def copy() -> None:
        over_rows(len(source), lambda begin, end: np.copyto(target[begin:end], source[begin:end]))

    machine = best(
        {"fp32": lambda: torch.mm(a, b), "bf16": lambda: torch.mm(half_a, half_b), "copy": copy}, arguments.rounds // 2
    )
    rates = {name: SIDE**3 / machine[name] for name in ("fp32", "bf16")}
    bandwidth = 2 * source.nbytes / machine["copy"]
    print(
        f"matrix rate {rates['fp32'] / 1e9:.0f} GMAC/s in fp32, {rates['bf16'] / 1e9:.0f} in bf16; copy rate "
        f"{bandwidth / 1e9:.1f} GB/s; {torch.get_num_threads()} threads"
    )
    print("| size | part | floor ms | best ms | distance |")
    print("|---|---|---|---|---|")
    engines = {
        precision: build_engine(network, choose_engine(torch.device("cpu"), "auto", precision))
        for precision in ("fp32", "bf16")
    }
    for size in arguments.sizes:
        measure(size, network, engines, rates, bandwidth, arguments.rounds)


def measure(size: str, network, engines: dict, rates: dict[str, float], bandwidth: float, rounds: int) -> None:
    """Prints the rows for one size."""
    (width, height), ratio = SIZES[size], RATIOS[size]
    h, w = small_size(height, width, ratio)
    frames = load_frames(size)[0][None]
    small, states, matte = full_size.reduce(frames, ratio), first_states(network, h, w), torch.rand(1, 8, h, w)

    def run_small(engine) -> None:
        engine.parts.run(small, states, foreground=True, hidden=False)

    def run_full(foreground: bool) -> None:
        full_size.reduce(frames, ratio)
        full_size.apply(matte, frames, torch.uint8, foreground)

    multiply_adds, pixels = count_multiply_adds(network, h, w), height * width
    tasks: dict[str, Callable[[], object]] = {}
    floors = []
    for precision, engine in engines.items():
        tasks[f"small part, {engine.name}, {multiply_adds / 1e9:.2f} GMAC"] = partial(run_small, engine)
        floors.append(multiply_adds / rates[precision])
    for foreground, moved in ((False, 4), (True, 7)):  # bytes per pixel
        what = "alpha and foreground" if foreground else "alpha"
        tasks[f"full size, {what}, {moved * pixels / 1e6:.0f} MB"] = partial(run_full, foreground)
        floors.append(moved * pixels / bandwidth)
    with torch.inference_mode():
        seconds = best(tasks, rounds)
    for (name, took), floor in zip(seconds.items(), floors, strict=True):
        print(f"| {size} | {name} | {1000 * floor:.2f} | {1000 * took:.2f} | {took / floor:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
