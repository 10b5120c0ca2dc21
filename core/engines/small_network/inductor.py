"""Compiles computations with PyTorch's Inductor, each for one set of shapes, and checks the results.

Computations are traced operation by operation, not by `torch.compile`, which keeps a few shapes per function, never
frees them, and checks at each call whether they fit. Inductor caches its output on disk: a later start takes seconds
where the first takes a minute or two. CUDA graphs are the task of cuda_graph.py: Inductor's own are off unless one of
the modes that use them is chosen.
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

TOLERANCE = 0.03  # largest ratio of the mean difference of two half-precision results to their mean

Compute = Callable[..., list[Tensor]]


def by_inductor(program: Any, given: list[Any], options: dict[str, Any] | None = None) -> Callable:
    """options: of torch.compile."""
    import torch._inductor  # takes a second, so only when compiling

    compiled: Any = torch._inductor.compile(program, given, options)
    return compiled


class Compiled:
    """`compute`, compiled at its first call for the shapes and memory orders of those tensors, which later calls must
    have too. If compiling fails or the results differ, `compute` runs uncompiled, with a warning."""

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
            log.warning("compiling failed (%s: %s): running uncompiled, slower", type(error).__name__, reason)
            return self._plain
        for result, truth in zip(found, expected, strict=True):
            difference = (result.float() - truth.float()).abs().mean() / truth.float().abs().mean().clamp_(min=1e-3)
            if not difference.item() < TOLERANCE:
                log.warning("the compiled results are off by %.3f: running uncompiled, slower", difference.item())
                return self._plain
        log.info("compiled for %s in %.0f s", shape, time.perf_counter() - started)
        return program


@functools.cache
def compile_problem(kind: str) -> str | None:
    """Why compiling for a device of this kind is impossible, and what helps; None if it is possible."""
    if kind not in ("cuda", "cpu"):
        return f"it supports NVIDIA GPUs and CPUs, not {kind}"
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        package = "triton-windows" if sys.platform == "win32" else "triton"
        return f"Triton is not installed ({pip_command(package)})"
    if problem := _compiler_problem(kind):
        return problem
    if sys.platform != "win32" and not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers are missing (the package python3-dev, or python3-devel)"
    return None


def _compiler_problem(kind: str) -> str | None:
    """Looks for a compiler in the way of Inductor and Triton."""
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
