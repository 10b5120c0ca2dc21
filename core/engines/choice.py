"""Chooses the engine for a device and the installed libraries, or checks the requested one; gives the reason."""

import functools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ..errors import StudioError
from ..machine.device import DTYPE_NAMES, DTYPES, choose_dtype
from ..machine.install_advice import command_for_extra
from ..network import MattingNetwork
from .cuda_graph import CudaGraph, GraphEngine, agrees_with_eager, triton_kernels
from .eager import EagerEngine
from .engine import Engine
from .full_size import FullSizePass, full_size
from .full_size.kernel_runner import compiled_kernels, load_kernels_ahead
from .small_network.folded import FoldedParts
from .small_network.inductor import Compiled, Compute, compile_problem
from .split import SplitEngine
from .transfers import Transfers

log = logging.getLogger(__name__)

ENGINES = ("auto", "eager", "folded", "openvino", "graph", "compile")
ON_CPU = ("folded", "openvino")
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "mixed")
ON_GPU = ("graph", "compile")  # not tested on a GPU yet: used only on request


class Choice(NamedTuple):
    """An engine by name, its precision ("fp32", "fp16", "bf16", "mixed"), and why it was chosen."""

    engine: str
    device: torch.device
    precision: str
    why: str

    def __str__(self) -> str:
        full_size = note = ""
        if self.engine in ON_GPU and self.device.type != "cpu":
            full_size = f", full size by {'Triton' if _triton_for(self.device) else 'plain PyTorch'}"
            note = ", experimental"
        elif self.engine != "eager":
            full_size = f", full size by {'numba' if compiled_kernels() else 'plain PyTorch'}"
        return f"{self.engine} on {self.device}, {self.precision}{full_size} ({self.why}{note})"


def choose(device: torch.device, engine: str = "auto", precision: str | torch.dtype = "auto") -> Choice:
    """The requested engine and precision for a device, or for "auto" the fastest that keeps the quality:

    CPU: OpenVINO if it is installed, else folded PyTorch; bf16 except for the encoder ("mixed") if OpenVINO computes
    bf16 natively, else fp32. Other devices, GPUs included: eager, in the precision that core.machine.device chooses.
    Raises StudioError for what does not work here.
    """
    if engine not in ENGINES:
        raise StudioError(f"Unknown engine {engine!r}. Use {', '.join(ENGINES)}.")
    if isinstance(precision, torch.dtype):
        precision = DTYPE_NAMES.get(precision, str(precision))
    if precision not in PRECISIONS:
        raise StudioError(f"Unknown precision {precision!r}. Use {', '.join(PRECISIONS)}.")
    if device.type == "cpu" and engine == "graph":
        raise StudioError("The engine graph needs a GPU.", use=("engine auto",))
    if device.type != "cpu" and engine in ON_CPU:
        raise StudioError(f"The engine {engine} runs on the CPU, not on {device}.", use=("device cpu", "engine auto"))
    why = "as requested"
    if engine == "auto":
        engine, why = _automatic(device)
    elif engine == "compile" and (missing := compile_problem(device.type)):
        raise StudioError(
            f"The engine compile cannot be used: {missing}.", use=("engine auto",), or_else="install what is missing"
        )
    elif engine == "openvino" and (missing := openvino_problem()):
        get_it = f"install it: {command_for_extra('fast')}"
        raise StudioError(f"The engine openvino cannot be used: {missing}.", use=("engine auto",), or_else=get_it)
    if engine == "openvino":
        return Choice(engine, device, _openvino_precision(device, precision), why)
    if precision == "mixed":
        raise StudioError(
            f"Precision mixed needs the engine openvino; the engine here is {engine}. "
            f"Use {', '.join(['auto', *DTYPES])}."
        )
    return Choice(engine, device, DTYPE_NAMES[choose_dtype(precision, device)], why)


def load_ahead(choice: Choice) -> None:
    """Starts loading what the engine needs in a thread, while the caller reads the weights."""
    if choice.engine != "eager" and choice.device.type == "cpu":
        load_kernels_ahead()


def build(network: MattingNetwork, choice: Choice) -> Engine:
    """The chosen engine for a network, which it copies. If an engine for GPUs fails its check, a warning is logged and
    the eager engine is returned."""
    if choice.engine in ON_GPU:
        engine = _graph_engine(network, choice)
        problem = agrees_with_eager(engine, network)
        if (
            problem is None and choice.engine == "compile"
        ):  # compiled parts are checked when they are made, for each size
            engine = _graph_engine(network, choice, Compiled)
        if problem is None:
            return engine
        log.warning("the engine %s does not work here (%s): falling back to eager PyTorch", choice.engine, problem)
    if choice.engine in ("eager", *ON_GPU):
        return EagerEngine(network, choice.device, DTYPES[choice.precision])
    name = f"{choice.engine} {choice.precision}"
    if choice.engine == "folded":
        return SplitEngine(FoldedParts(network, DTYPES[choice.precision]), name)
    return SplitEngine(_openvino_parts().OpenVINOParts(network, choice.precision), name)


def _automatic(device: torch.device) -> tuple[str, str]:
    if device.type == "cuda":
        return "eager", (
            "plain PyTorch; the engines graph and compile may be faster but are experimental: not tested on a GPU yet"
        )
    if device.type != "cpu":
        return "eager", f"plain PyTorch: there is no faster engine for {device.type} yet"
    if problem := openvino_problem():
        return "folded", f"{problem}; to install it, which is faster: {command_for_extra('fast')}"
    return "openvino", "the fastest on a CPU"


def _graph_engine(
    network: MattingNetwork, choice: Choice, compile: Callable[[Compute], Compute] | None = None
) -> GraphEngine:
    record = CudaGraph if choice.device.type == "cuda" else None
    dtype = DTYPES[choice.precision]
    transfers = Transfers(choice.device) if choice.device.type == "cuda" else None
    kernels = full_size if choice.engine == "compile" and choice.device.type == "cpu" else _triton_for(choice.device)
    return GraphEngine(
        network, choice.device, dtype, record=record, kernels=kernels, compile=compile, transfers=transfers
    )


def _triton_for(device: torch.device) -> FullSizePass | None:
    return triton_kernels() if device.type == "cuda" else None


def _openvino_precision(device: torch.device, precision: str) -> str:
    native = _openvino_parts().bf16_is_native()
    if precision == "auto":
        return "mixed" if native else "fp32"
    if precision == "mixed":
        if not native:
            raise StudioError("Precision mixed needs a CPU with native bf16. Use auto or fp32.")
        return precision
    return DTYPE_NAMES[choose_dtype(precision, device)]


@functools.cache
def openvino_problem() -> str | None:
    """Why OpenVINO cannot be used; None if it can."""
    try:
        _openvino_parts().core().get_property("CPU", "FULL_DEVICE_NAME")
    except ModuleNotFoundError:
        return "openvino is not installed"
    except Exception as error:
        return f"openvino does not work here ({type(error).__name__}: {error})"
    return None


def _openvino_parts() -> Any:
    """The module, imported when first needed."""
    from .small_network import openvino_parts

    return openvino_parts
