"""`rvm-studio info`: prints what this machine has and what works on it; "works" means that it was just tested."""

import argparse
import contextlib
import functools
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..clips.self_check import in_words
from ..machine.process_tuning import loading


def add_parser(subparsers) -> None:
    """Adds `info` to the command line's subparsers."""
    parser = subparsers.add_parser("info", help="show devices, versions, formats and weights, and test what works")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Prints the report. It never fails, because people send it when something else fails."""
    print(f"rvm-studio   {_version('rvm-studio')}, Python {platform.python_version()}, {platform.platform()}")
    for package in ("torch", "torchvision", "av", "numpy", "safetensors", "pillow", "openvino", "numba"):
        print(f"{package:<12} {_version(package)}")
    for heading, lines in (
        ("devices", _devices),
        ("formats", _formats),
        ("decoding on a device (matte --hwaccel)", _decoding_devices),
        ("weights", _weights),
    ):
        print(f"\n{heading}", flush=True)  # flushed, to show which part crashes the process
        try:
            with loading():
                for line in lines():
                    print(f"  {line}", flush=True)
        except Exception as error:
            print(f"  unavailable: {in_words(error)}")
    print(f"\ninterpreter  {sys.executable}")
    return 0


def _version(package: str) -> str:
    try:
        installed = version(package)
    except PackageNotFoundError:
        return "not installed"
    if package == "torch":  # the package's metadata may lack the build, such as +cpu or +cu126
        with contextlib.suppress(Exception):
            import torch

            return torch.__version__
    return installed


def _tried(work: Callable[[], None]) -> str:
    """Runs `work` and returns "works", or the reason why it does not."""
    try:
        work()
    except Exception as error:
        return f"unavailable: {in_words(error)}"
    return "works"


def _devices() -> Iterator[str]:
    import torch

    from ..clips.self_check import run_engine
    from ..engines import choose
    from ..engines.small_network.inductor import compile_problem
    from ..machine.device import bf16_works, choose_device, describe

    best = choose_device("auto")
    for device in dict.fromkeys((best, torch.device("cpu"))):
        choice = choose(device)
        bf16 = "supported" if bf16_works(device) else "not supported"
        yield f"{device}: {describe(device)}; precision {choice.precision} (bf16 {bf16})"
        yield f"{device}: engine {choice}: {_tried(functools.partial(run_engine, choice))}"
    yield f"--engine compile: {compile_problem(best.type) or 'not tried (it takes minutes); see the README'}"


def _formats() -> Iterator[str]:
    import av

    from ..clips.self_check import write_and_read
    from ..video.output_formats import FORMATS

    with tempfile.TemporaryDirectory(prefix="rvm-info-") as folder:
        for row in FORMATS:
            encoders = sorted({e.codec for e in row.encodings.values()})
            state = _tried(functools.partial(write_and_read, row, Path(folder)))
            yield f"{row.suffix:<6} {row.name} ({', '.join(encoders)}): {state}"
        for codec in dict.fromkeys(name for row in FORMATS for name in row.choices):
            rows = [row for row in FORMATS if codec in row.choices]
            state = _tried(functools.partial(write_and_read, rows[0], Path(folder), codec))
            yield f"--codec {codec} ({', '.join(row.suffix for row in rows)}): {state}"
    read = [name for name in ("h264", "hevc", "av1", "vp9", "prores", "mjpeg") if _has_decoder(name)]
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    yield f"decoders: {', '.join(read)} and others (libavcodec {libavcodec}; not tried)"


def _decoding_devices() -> Iterator[str]:
    from ..clips.self_check import decode_on
    from ..video.hardware_decoding import built_in

    devices = built_in()
    for device in devices:
        yield f"{device}: {_tried(functools.partial(decode_on, device))}"
    if not devices:
        yield "none: this PyAV was built without device support"


def _has_decoder(name: str) -> bool:
    import av

    try:
        av.Codec(name, "r")
    except ValueError:  # UnknownCodecError
        return False
    return True


def _weights() -> list[str]:
    from ..machine.cache_folder import models_dir
    from ..weights.download import CATALOGUE

    folder = models_dir()
    lines = [f"models folder: {folder}"]
    for entry in CATALOGUE.values():
        there = (folder / entry.installed_name).is_file()
        state = "installed" if there else f"not installed (rvm-studio weights fetch {entry.name})"
        lines.append(f"{entry.name}: {state}")
    if chosen := os.environ.get("RVM_WEIGHTS"):
        exists = "" if os.path.exists(chosen) else " (which does not exist)"
        lines.append(f"used instead: RVM_WEIGHTS={chosen}{exists}")
    return lines
