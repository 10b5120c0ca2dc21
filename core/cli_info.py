"""`rvm-studio info`: what this machine has, and what works with it."""

import argparse
import contextlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Literal


def add_parser(subparsers) -> None:
    """Add `info` to the command line's subparsers."""
    parser = subparsers.add_parser("info", help="device, versions, codecs found, weights")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Prints it; fails on nothing, since it is what people send when something fails."""
    print(f"rvm-studio   {_version('rvm-studio')}, Python {platform.python_version()}, {platform.platform()}")
    for package in ("torch", "torchvision", "av", "numpy", "safetensors", "pillow", "openvino", "numba"):
        print(f"{package:<12} {_version(package)}")
    for heading, lines in (
        ("devices", _devices),
        ("formats", _formats),
        ("decoding on a device (matte --hwaccel)", _decoding_devices),
        ("weights", _weights),
    ):
        print(f"\n{heading}")
        try:
            for line in lines():
                print(f"  {line}")
        except Exception as error:
            print(f"  cannot be told: {type(error).__name__}: {error}")
    print(f"\ninterpreter  {sys.executable}")
    return 0


def _version(package: str) -> str:
    try:
        installed = version(package)
    except PackageNotFoundError:
        return "not installed"
    if package == "torch":  # the package's own number may lack what it was built for, such as +cpu or +cu126
        with contextlib.suppress(Exception):
            import torch

            return torch.__version__
    return installed


def _devices() -> list[str]:
    import torch

    from .device import bf16_works, choose_device, describe
    from .engines import choose
    from .engines.inductor import compile_problem

    best = choose_device("auto")
    lines = []
    for device in dict.fromkeys((best, torch.device("cpu"))):
        precision = choose(device).precision
        bf16 = "works" if bf16_works(device) else "not supported"
        lines.append(f"{device}: {describe(device)}; precision {precision} (bf16 {bf16})")
    lines.append(f"used: engine {choose(best)}")
    lines.append(f"--engine compile: {compile_problem(best.type) or 'can be used, see the README'}")
    return lines


def _formats() -> list[str]:
    import av

    from .output_formats import FORMATS

    lines = []
    for row in FORMATS:
        encoders = sorted({e.codec for e in row.encodings.values()})
        missing = [name for name in encoders if not _has_codec(name, "w")]
        state = f"NOT available: this PyAV lacks {', '.join(missing)}" if missing else "works"
        lines.append(f"{row.suffix:<6} {row.name} ({', '.join(encoders)}): {state}")
    read = [name for name in ("h264", "hevc", "av1", "vp9", "prores", "mjpeg") if _has_codec(name, "r")]
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    lines.append(f"read:  {', '.join(read)} and others (libavcodec {libavcodec})")
    return lines


def _decoding_devices() -> list[str]:
    from .hardware_decoding import built_in, state_of

    return [f"{device}: {state_of(device)}" for device in built_in()] or ["none: this PyAV was built without"]


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    import av

    try:
        av.Codec(name, mode)
    except ValueError:  # UnknownCodecError
        return False
    return True


def _weights() -> list[str]:
    from .weights_download import CATALOGUE, models_dir

    folder = models_dir()
    lines = [f"models folder: {folder}"]
    for entry in CATALOGUE.values():
        there = (folder / entry.installed_name).is_file()
        lines.append(f"{entry.name}: {'there' if there else f'not there (rvm-studio weights fetch {entry.name})'}")
    if chosen := os.environ.get("RVM_WEIGHTS"):
        exists = "" if os.path.exists(chosen) else " (which does not exist)"
        lines.append(f"used instead: RVM_WEIGHTS={chosen}{exists}")
    return lines
