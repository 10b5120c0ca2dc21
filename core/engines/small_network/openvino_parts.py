"""Runs the small network in OpenVINO: compiled per size, cached in memory for the last few sizes and on disk for the
next start. The shapes are static, since dynamic ones are 12 to 19 % slower.
"""

# N frames of one stream, C channels, h, w small size

import functools
import hashlib
import inspect
import io
import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import openvino
import torch
from torch import Tensor, nn

from ...network import MattingNetwork, Rec
from ...pictures.pixel_format import interleaved
from ..full_size.kernel_runner import compiled_kernels, run_rows
from . import artefact_cache
from .openvino_network import ChannelsLastSlope, SmallNetwork
from .small_network import folded

log = logging.getLogger(__name__)

Precision = Literal["fp32", "mixed", "bf16"]
"""mixed: bf16 except for the encoder, which causes nearly all of the error of bf16."""

PART_DTYPES = {
    "fp32": {"encoder": torch.float32, "decoder": torch.float32},
    "mixed": {"encoder": torch.float32, "decoder": torch.bfloat16},
    "bf16": {"encoder": torch.bfloat16, "decoder": torch.bfloat16},
}

PARTS_KEPT = 4  # compiled parts in memory: enough for two sizes


@functools.cache
def core() -> openvino.Core:
    return openvino.Core()


def bf16_is_native() -> bool:
    """Whether OpenVINO computes bfloat16 faster than float32 on this CPU."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINOParts:
    """The parts of a network (see small_network.py); tensors in and out are float32. Runs one call at a time; calls
    from several threads wait for each other."""

    def __init__(self, network: MattingNetwork, precision: Precision = "fp32"):
        self.network = folded(network)
        self.precision: Precision = precision
        self._whole = functools.cache(
            lambda *how: Part(lambda: SmallNetwork(self.network, *how, **PART_DTYPES[precision]), ("network", *how))
        )
        self._slope = functools.cache(
            lambda foreground: Part(lambda: ChannelsLastSlope(self.network, foreground), ("slope", foreground))
        )
        self._compiled: OrderedDict[tuple, CompiledPart] = OrderedDict()
        self._lock = threading.Lock()
        self._digest = _digest(self.network)

    def run(self, small: Tensor, rec: Rec, foreground: bool, hidden: bool) -> tuple[Tensor, Tensor | None, Rec]:
        """small [N, 3, h, w] -> matte [N, 4 or 1, h, w], hid (None unless asked for), rec after the last frame."""
        states = [interleaved(r) for r in rec]
        mattes, hids = [], []
        with self._lock:
            for frame in interleaved(small).split(1):
                inputs = *_halved_thrice(frame, self.network.decoder.pool), *states
                matte, *states = self._run(self._whole(foreground, hidden), inputs, "f32")
                mattes.append(matte)
                if hidden:
                    hids.append(states.pop(0))
        r1, r2, r3, r4 = (r.permute(0, 3, 1, 2) for r in states)
        return _joined(mattes), _joined(hids) if hidden else None, (r1, r2, r3, r4)

    def slope(self, statistics: Tensor, hid: Tensor, foreground: bool) -> Tensor:
        """statistics [N, 8, h, w] and hid -> A [N, 4 or 1, h, w]."""
        part, hint = self._slope(foreground), "f32" if self.precision == "fp32" else "bf16"
        with self._lock:
            pairs = zip(interleaved(statistics).split(1), interleaved(hid).split(1), strict=True)
            return _joined([self._run(part, pair, hint)[0] for pair in pairs])

    def _run(self, part: "Part", inputs: tuple[Tensor, ...], hint: str) -> list[Tensor]:
        threads = torch.get_num_threads()
        shapes = tuple(tuple(x.shape) for x in inputs)
        key = (part.name, shapes, threads)
        if key not in self._compiled:
            config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
            self._compiled[key] = CompiledPart(part, shapes, config, (self.precision, self._digest))
        self._compiled.move_to_end(key)
        while len(self._compiled) > PARTS_KEPT:
            self._compiled.popitem(last=False)
        return self._compiled[key](inputs)


def _joined(frames: list[Tensor]) -> Tensor:
    """[1, h, w, C] each -> [N, C, h, w]"""
    return (torch.cat(frames) if len(frames) > 1 else frames[0]).permute(0, 3, 1, 2)


def _halved_thrice(small: Tensor, pool: nn.Module) -> list[Tensor]:
    """[1, h, w, 3] -> itself, and at 1/2, 1/4, 1/8, reduced like the decoder's `pool`: OpenVINO takes five times as
    long for three channels."""
    pictures = [small]
    kernels = compiled_kernels()
    for _ in range(3):
        larger = pictures[-1]
        if kernels is None:
            pictures.append(interleaved(pool(larger.permute(0, 3, 1, 2))))
            continue
        height, width = (-(-size // 2) for size in larger.shape[1:3])
        pictures.append(torch.empty(1, height, width, 3))
        run_rows(kernels.halve, height, larger[0].numpy(), pictures[-1][0].numpy())
    return pictures


class Part:
    """A part of a network, as an OpenVINO model: converted from PyTorch when first needed, once for all sizes."""

    def __init__(self, make: Callable[[], nn.Module], name: tuple):
        self.name = name
        self._make = make
        self._converted: openvino.Model | None = None

    def model(self, shapes: Sequence[tuple[int, ...]]) -> openvino.Model:
        """The model for inputs of these static shapes."""
        if self._converted is None:
            self._converted = _converted(self._make(), shapes)
        model = self._converted.clone()
        model.reshape({index: openvino.PartialShape(list(shape)) for index, shape in enumerate(shapes)})
        return model


class CompiledPart:
    """A part compiled for one size: loaded from disk, or compiled and stored there. key: all that it depends on besides
    the part's name and the shapes."""

    def __init__(self, part: Part, shapes: Sequence[tuple[int, ...]], config: dict[str, Any], key: tuple):
        stored_as = (part.name, *key, tuple(shapes), config["INFERENCE_PRECISION_HINT"], *_environment())
        compiled = _imported(stored_as, config)
        if compiled is None:
            compiled = core().compile_model(part.model(shapes), "CPU", config)
            artefact = io.BytesIO()
            compiled.export_model(artefact)  # without a stream it returns bytes in older versions, a stream in newer
            artefact_cache.store(stored_as, artefact.getvalue())
        self._request = compiled.create_infer_request()
        self.threads: int = compiled.get_property("INFERENCE_NUM_THREADS")
        self._shapes = [tuple(output.shape) for output in compiled.outputs]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        # OpenVINO reads and writes the tensors in place and does not keep them alive: these lists do.
        given = [x.contiguous() for x in inputs]
        results = [torch.empty(shape) for shape in self._shapes]  # new memory each time: results outlive the next call
        for index, x in enumerate(given):
            self._request.set_input_tensor(index, openvino.Tensor(x.numpy(), shared_memory=True))
        for index, result in enumerate(results):
            self._request.set_output_tensor(index, openvino.Tensor(result.numpy(), shared_memory=True))
        self._request.infer()
        return results


def _imported(key: tuple, config: dict[str, Any]) -> openvino.CompiledModel | None:
    artefact = artefact_cache.load(key)
    if artefact is None:
        return None
    try:
        return core().import_model(artefact, "CPU", config)
    except Exception as error:
        log.warning("a compiled network on disk cannot be used (%s); compiling again", error)
        return None


def _converted(part: nn.Module, shapes: Sequence[tuple[int, ...]]) -> openvino.Model:
    """The part as an OpenVINO model; traced with inputs of these shapes, which may be changed afterwards.

    Uses the PyTorch frontend directly: `openvino.convert_model` does the same and sends telemetry.
    """
    from openvino.frontend import FrontEndManager  # pyright: ignore[reportAttributeAccessIssue]
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about shapes that become constants, as intended
        traced = torch.jit.trace(part, tuple(torch.zeros(shape) for shape in shapes), check_trace=False)
        decoder = TorchScriptPythonDecoder(traced, shared_memory=False)  # must live until the conversion is finished
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


@functools.cache
def _environment() -> tuple:
    """What compiled artefacts depend on besides the network: OpenVINO, PyTorch, the processor, our own source."""
    ours = [Path(inspect.getfile(ours)) for ours in (folded, SmallNetwork, OpenVINOParts)]
    files = [*sorted(Path(inspect.getfile(MattingNetwork)).parent.glob("*.py")), *ours]
    source = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return openvino.get_version(), torch.__version__, core().get_property("CPU", "FULL_DEVICE_NAME"), source


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256(network.__class__.__name__.encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
