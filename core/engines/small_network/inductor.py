"""Computations compiled by PyTorch's Inductor: for one set of shapes each, checked when they are made.

They are traced operation by operation, not by way of `torch.compile`, which keeps a handful of shapes of a function,
never lets go of them, and looks at each call whether they fit. Inductor keeps what it generates on disk by itself: a
later start takes seconds where the first takes a minute or two. CUDA graphs stay with cuda_graph.py: Inductor's own are
off unless one of the modes that have them is asked for.
"""

import functools
import importlib.util
import logging
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ...machine.device import is_out_of_memory
from ...machine.install_advice import pip_command

log = logging.getLogger(__name__)

TOLERANCE = 0.03  # of half precision against half precision: of the mean difference to the mean

Compute = Callable[..., list[Tensor]]


def by_inductor(program: Any, given: list[Any], options: dict[str, Any] | None = None) -> Callable:
    """options: of torch.compile."""
    import torch._inductor  # a second of work, for whoever compiles

    compiled: Any = torch._inductor.compile(program, given, options)
    return compiled


class Compiled:
    """`compute`, compiled at its first call for tensors of just those shapes and memory orders; the only ones it may
    get. What cannot be compiled, or comes out wrong, runs as it is, with a warning."""

    def __init__(self, compute: Compute, compiler: Callable[[Any, list[Any]], Callable] = by_inductor):
        self._plain, self._compiler = compute, compiler
        self._run: Callable | None = None

    def __call__(self, *given: Tensor) -> list[Tensor]:
        if self._run is None:
            self._run = self._compiled(given)
        return list(self._run(*given))

    def _compiled(self, given: Sequence[Tensor]) -> Callable:
        from torch.fx.experimental.proxy_tensor import make_fx

        shape = "x".join(map(str, given[0].shape))
        log.info("compiling a part of the network for %s; the first time this takes a minute or two", shape)
        started = time.perf_counter()
        expected = self._plain(*given)
        try:
            program = self._compiler(make_fx(self._plain)(*given), list(given))
            found = program(*given)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split("\n")[:2])
            log.warning("cannot be compiled (%s: %s): it runs as it is, slower", type(error).__name__, reason)
            return self._plain
        for result, truth in zip(found, expected, strict=True):
            difference = (result.float() - truth.float()).abs().mean() / truth.float().abs().mean().clamp_(min=1e-3)
            if not difference.item() < TOLERANCE:
                log.warning("compiled it is off by %.3f: it runs as it is, slower", difference.item())
                return self._plain
        log.info("compiled for %s in %.0f s", shape, time.perf_counter() - started)
        return program


@functools.cache
def compile_problem(kind: str) -> str | None:
    """Why nothing can be compiled for a device of this kind, and what helps; None where it can."""
    if kind not in ("cuda", "cpu"):
        return f"it is for NVIDIA cards and CPUs, not for {kind}"
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        package = "triton-windows" if sys.platform == "win32" else "triton"
        return f"Triton is not installed ({pip_command(package)})"
    if problem := _compiler_problem(kind):
        return problem
    if sys.platform != "win32" and not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers are missing (the package python3-dev, or python3-devel)"
    return None


def _compiler_problem(kind: str) -> str | None:
    """As Inductor and Triton look for a compiler."""
    if sys.platform == "win32":
        if kind == "cuda" or shutil.which("cl"):  # triton-windows has its own
            return None
        return "there is no C++ compiler (the Build Tools for Visual Studio)"
    if kind == "cuda":
        names = [os.environ.get("CC"), "gcc", "clang", "cc"]
    else:
        names = [os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")]
    if any(name and shutil.which(name.split()[0]) for name in names):
        return None
    if sys.platform == "darwin":
        return "there is no C++ compiler (xcode-select --install)"
    return "there is no C++ compiler (the package g++, or gcc-c++)"
