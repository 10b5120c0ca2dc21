"""The product's worker, held at work until a test lets it go on.

    held_worker.py loading|matting GATE ARENA

Held while it loads, or with each picture while it mattes: it works all that time, so that what a busy worker does can
be seen on any machine. GATE is a file: a byte in it lets one through. GATE.held has a byte for each that was ever held.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "obs_plugin"))
import rvm_worker


def hold(gate: str, work) -> None:
    with open(gate + ".held", "ab") as file:
        file.write(b".")
    while os.path.getsize(gate) < os.path.getsize(gate + ".held"):
        work()


def main(where: str, gate: str, arena: str) -> None:
    load = rvm_worker.load

    def held_load():
        if where == "loading":
            hold(gate, lambda: sum(range(100_000)))
        slots = load()
        if where == "matting":
            hold_matting(slots.LiveStream, gate)
        return slots

    rvm_worker.load = held_load
    rvm_worker.main([arena])


def hold_matting(stream_class, gate: str) -> None:
    matte = stream_class.matte

    def held(stream, picture, time_ns, epoch):
        def run_the_network():
            stream._prepared.clear()
            stream.prepare(*picture.shape[:2])

        hold(gate, run_the_network)
        return matte(stream, picture, time_ns, epoch)

    stream_class.matte = held


if __name__ == "__main__":
    main(*sys.argv[1:])
