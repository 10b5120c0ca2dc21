"""The engine for GPUs: the network cut at its refiner, BatchNorm folded, channels-last; recorded once for each size as
a CUDA graph and replayed, since launching its 300 operations one by one takes longer than computing them.

Nothing here waits for the GPU: `transfers` uploads frames, and results are waited for when they are read. Only a
stream's first state, zeros, is copied from the CPU synchronously.

Experimental: not tested on a GPU yet. It is compared with eager PyTorch when it is built (`agrees_with_eager`); if the
results differ, the eager engine is used instead.
"""

# T frames of one stream, C channels, H, W full size, h, w small size

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from ..machine.device import DTYPE_NAMES, is_out_of_memory
from ..network import MattingNetwork, Rec, small_size
from ..network.guided_filter import DeepGuidedFilterRefiner
from ..pictures.view import View
from .eager import EagerEngine
from .engine import Engine, EngineOutput, Wanted
from .full_size import FullSizePass, full_size_gpu
from .full_size.guided_coefficients import coefficients
from .full_size.kernel_runner import compiled_kernels
from .small_network.inductor import Compute
from .small_network.small_network import NetworkParts, first_states, folded
from .transfers import Transfers

log = logging.getLogger(__name__)

GRAPHS_KEPT = 4  # each holds the memory of one run
TOLERANCE = 0.03  # largest mean difference between two half-precision results


class Recorded(Protocol):
    """A computation on tensors of fixed shapes, recorded."""

    def __call__(self, given: Sequence[Tensor]) -> list[Tensor]: ...


class CudaGraph:
    """`compute` recorded with inputs like `given`; it must not write to them."""

    def __init__(self, compute: Compute, given: Sequence[Tensor]):
        self._compute = compute  # keeps the kernels that the graph runs alive
        self._inputs = [x.clone() for x in given]
        device = given[0].device
        beside = torch.cuda.Stream(device)
        beside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(beside):
            for _ in range(3):  # libraries select kernels and Triton compiles before the recording
                compute(*self._inputs)
        torch.cuda.current_stream(device).wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: another thread may wait for a download during the recording without invalidating it.
        with torch.cuda.graph(self._graph, stream=beside, capture_error_mode="thread_local"):
            self._outputs = compute(*self._inputs)

    def __call__(self, given: Sequence[Tensor]) -> list[Tensor]:
        for own, x in zip(self._inputs, given, strict=True):
            own.copy_(x, non_blocking=True)
        self._graph.replay()
        return [output.clone() for output in self._outputs]  # the next replay overwrites the graph's own


@functools.cache
def triton_kernels() -> FullSizePass | None:
    """The module triton_kernels; None without Triton."""
    try:
        from .full_size import triton_kernels
    except ImportError:
        return None
    return triton_kernels


class GraphEngine(Engine):
    """Runs a network on a GPU in `dtype`, which is also the dtype of its states.

    record: records a computation; None: computations run directly, on any device.
    kernels: the full-size pass: triton_kernels, full_size_gpu, or on a CPU full_size.
    compile: compiles a computation at the small size; see inductor.py.
    transfers: uploads frames; None: ordinary copies, which wait.
    Runs one call at a time; calls from several threads wait for each other.
    """

    def __init__(
        self,
        network: MattingNetwork,
        device: torch.device,
        dtype: torch.dtype = torch.float16,
        *,
        record: Callable[[Compute, Sequence[Tensor]], Recorded] | None = CudaGraph,
        kernels: FullSizePass | None = None,
        compile: Callable[[Compute], Compute] | None = None,
        transfers: Transfers | None = None,
    ):
        self.name = f"{'compile' if compile else 'graph'} {DTYPE_NAMES[dtype]}"
        self.transfers = transfers
        self.variant, self.device, self.dtype = network.variant, device, dtype
        self._parts = NetworkParts(folded(network).to(device, dtype), dtype)
        self._record, self._compile = record, compile
        self._kernels = kernels or full_size_gpu
        self._graphs: OrderedDict[tuple, Recorded] = OrderedDict()
        self._longest: dict[tuple, int] = {}  # chunk of each kind
        self._rests: set[tuple] = set()  # shorter chunks seen once
        self._lock = threading.Lock()

    @property
    def network(self) -> MattingNetwork:
        return self._parts.network

    def _run(self, frames: Tensor, rec: Rec | None, downsample_ratio: float, wanted: Wanted) -> EngineOutput:
        H, W = frames.shape[-2:]  # noqa: N806
        with self._lock, self._current_device():
            frames = self._on_device(frames)
            if rec is None:
                rec = first_states(self.network, *small_size(H, W, downsample_ratio))
            order = torch.channels_last  # of the first states too: compiled and recorded computations expect one order
            given = [frames, *(r.to(self.device, self.dtype, memory_format=order) for r in rec)]
            pha, r1, r2, r3, r4, *fgr = self._recorded(
                (downsample_ratio, wanted.out, wanted.foreground, wanted.view), given
            )(given)
        return EngineOutput(fgr[0] if wanted.foreground else None, pha, (r1, r2, r3, r4))

    def _current_device(self) -> AbstractContextManager:
        """Triton and CUDA graphs use the current GPU."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    def _on_device(self, frames: Tensor) -> Tensor:
        """The frames as uint8, uint16 or float32 on the device, in the same memory order."""
        if frames.is_floating_point():
            frames = frames.float()
        if self.transfers is None or frames.device.type != "cpu":
            return frames.to(self.device)
        frames = self.transfers.upload(frames)
        self.transfers.pace()
        return frames

    def _recorded(self, how: tuple[float, torch.dtype, bool, View | None], given: Sequence[Tensor]) -> Recorded:
        """The graph for this size, recorded when first needed; the plain computation if recording fails."""
        frames = given[0]
        key = (*how, frames.shape, frames.stride(), frames.dtype)
        if key not in self._graphs:
            compiles = self._compile is not None and not self._is_rest(key, len(frames))
            compute = self._computation(*how, compiles)
            recorded = None
            if self._record and (compiles or not self._compile):
                recorded = self._new_graph(compute, given)
            if recorded is None:
                recorded = _as_it_is(compute)
                if not compiles:
                    return recorded
            self._graphs[key] = recorded
        self._graphs.move_to_end(key)
        while len(self._graphs) > GRAPHS_KEPT:
            self._graphs.popitem(last=False)
        return self._graphs[key]

    def _new_graph(self, compute: Compute, given: Sequence[Tensor]) -> Recorded | None:
        assert self._record is not None
        while len(self._graphs) >= GRAPHS_KEPT:  # frees memory before the recording
            self._graphs.popitem(last=False)
        try:
            return self._record(compute, given)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            log.warning("recording a CUDA graph failed (%s): the network runs without one, slower", error)
            self._record = None
            return None

    def _is_rest(self, key: tuple, count: int) -> bool:
        """Whether a chunk is shorter than earlier ones, such as the last one of a clip, and has not been seen before:
        compiling for it would take far longer than running it uncompiled."""
        kind = (*key[:4], key[4][1:], key[6])
        longest = self._longest[kind] = max(count, self._longest.get(kind, 0))
        if count == longest or key in self._rests:
            return False
        self._rests.add(key)
        return True

    def _computation(
        self, downsample_ratio: float, out: torch.dtype, foreground: bool, view: View | None, compiles: bool
    ) -> Compute:
        """frames, r1..r4 -> [pha, r1..r4, and with `foreground` fgr], all on the device."""
        refiner = None if downsample_ratio == 1 else self.network.refiner
        learned = isinstance(refiner, DeepGuidedFilterRefiner)
        encoder, decoder = self._parts.encoder, self._parts.decoder(foreground or learned, learned)
        slope = self._parts.slope(foreground) if learned else None

        def matted(small: Tensor, *rec: Tensor) -> list[Tensor]:
            x = small.to(self.dtype, memory_format=torch.channels_last)
            return [*decoder(x, *encoder(x), *rec)]

        def solved(small: Tensor, matte: Tensor, *hid: Tensor) -> list[Tensor]:
            def by_network(x: Tensor) -> Tensor:
                assert slope is not None
                return slope(x.to(self.dtype), *hid).float()

            return [coefficients(refiner, small, matte.float(), by_network if learned else None)]

        network: Compute = matted
        solve: Compute = solved
        if compiles:
            assert self._compile is not None
            network = self._compile(matted)
            if self.device.type != "cpu" or compiled_kernels() is None:  # else numba does it
                solve = self._compile(solved)

        def compute(frames: Tensor, *rec: Tensor) -> list[Tensor]:
            small = self._kernels.reduce(frames, downsample_ratio)
            seen = small if view is None else view(small)
            matte, *rest = network(seen, *rec)
            if view is not None:
                matte = view.matte_of_source(matte, seen)
            hid = [rest.pop(0)] if learned else []
            (maps,) = solve(small, matte, *hid)
            fgr, pha = self._kernels.apply(maps, frames, out, foreground)
            return [pha, *rest, *([] if fgr is None else [fgr])]

        return compute


def _as_it_is(compute: Compute) -> Recorded:
    return lambda given: compute(*given)


def agrees_with_eager(engine: GraphEngine, network: MattingNetwork) -> str | None:
    """Compares three small frames of an odd size with the eager engine. None if they agree, else the problem."""
    eager = EagerEngine(network, engine.device, engine.dtype)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (3, 135, 201, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    rec = expected_rec = None
    try:
        for frame in frames.split(1):
            for foreground in (True, False):
                output = engine.run(frame, rec, 0.5, out=torch.uint8, foreground=foreground)
                expected = eager.run(frame, expected_rec, 0.5, out=torch.uint8, foreground=foreground)
                pairs = [(output.pha, expected.pha)]
                if output.fgr is not None and expected.fgr is not None:
                    pairs.append((output.fgr, expected.fgr))
                for result, truth in pairs:
                    if engine.transfers:
                        result = engine.transfers.download(result.contiguous()).tensor()
                    difference = (result.cpu().float() - truth.cpu().float()).abs().mean().item() / 255
                    if not difference < TOLERANCE:
                        return f"its results differ from those of eager PyTorch by {difference:.3f} on average"
            rec, expected_rec = output.rec, expected.rec
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"{type(error).__name__}: {error}"
    return None
