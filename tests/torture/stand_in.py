"""`rvm-studio` in a process of its own, with an engine whose matte is known instead of a network."""

import os
import sys
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120  # seconds


def hole(height: int, width: int) -> tuple[slice, slice]:
    """The part of a frame that is transparent: its lower right corner, of a quarter of each side."""
    return slice(height - height // 4, height), slice(width - width // 4, width)


def load(arguments):
    """The engine: alpha is 0 in the hole and 1 elsewhere, the foreground is the picture."""
    import torch
    from rvm_studio.core.engines import Engine, EngineOutput
    from rvm_studio.core.pictures.pixel_format import quantise, to_float

    class PaneEngine(Engine):
        name, variant, device, dtype = "pane", "mobilenetv3", torch.device("cpu"), torch.float32

        def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
            src = to_float(frames)
            pha = torch.ones_like(src[:, :1])
            pha[(..., *hole(*src.shape[-2:]))] = 0
            state = torch.zeros(1, 1, 1, 1)
            fgr = quantise(src, wanted.out) if wanted.foreground else None
            return EngineOutput(fgr, quantise(pha, wanted.out), (state, state, state, state))

    torch.set_num_threads(1)
    return PaneEngine()


def _command(arguments: list[str], folder: str, out: str, err: str) -> None:
    """The process: runs the command in `folder`, with its messages in files."""
    for number, name in ((1, out), (2, err)):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
    sys.stdout, sys.stderr = open(1, "w", buffering=1, closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    from rvm_studio.core.cli import main, matte

    matte.load_engine = load
    try:
        code = main.main(arguments)
    except SystemExit as error:  # argparse
        code = error.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


class Ran(NamedTuple):
    """What a command came to. code: negative if a signal killed it."""

    code: int | None
    out: str
    err: str


def run_command(arguments: list[str], folder: Path, messages: Path) -> Ran:
    """Runs `rvm-studio ARGUMENTS` in a fresh process. Where the system can fork, it has the imports already."""
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["torture.preloaded"])
    out, err = messages / "out.txt", messages / "err.txt"
    process = context.Process(target=_command, args=(arguments, str(folder), str(out), str(err)))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        return Ran(None, "", f"it did not end within {PATIENCE} s")
    read = [path.read_text("utf-8", "replace") if path.exists() else "" for path in (out, err)]
    return Ran(process.exitcode, *read)
