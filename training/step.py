"""One pass of a training step: forward, loss in float32, backward over the micro-batches, one step of Adam.

A pass whose loss is not finite or far above the usual is undone and reported, never trained on.
"""

# B clips, T frames, h, w

import logging
import math
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core import MattingNetwork
from .augmentation import MattingBatch, SegmentationBatch
from .distributed import World
from .losses import matting_loss, segmentation_loss
from .recipe import LearningRates

logger = logging.getLogger(__name__)

GROUPS = {
    "backbone": ("backbone",),
    "aspp": ("aspp",),
    "decoder": ("decoder", "project_mat", "project_seg"),
    "refiner": ("refiner",),
}
EXPLODING = 20.0  # times the usual loss of a pass
_USUAL_AFTER = 20  # passes until the usual loss is known
_SMOOTHING = 0.98


class PassResult(NamedTuple):
    terms: dict[str, float]  # means over the batch, over all processes
    trouble: str | None = None  # why the pass was not trained on

    @property
    def skipped(self) -> bool:
        return self.trouble is not None


def make_optimiser(
    network: MattingNetwork, rates: LearningRates, frozen: Collection[str] = ()
) -> torch.optim.Adam | None:
    """Adam with a group per rate. Groups with rate 0 and `frozen` ones are left out and need no gradient.

    None if there is nothing to train.
    """
    groups = []
    for name, modules in GROUPS.items():
        parameters = [x for module in modules for x in getattr(network, module).parameters()]
        rate = 0.0 if name in frozen else getattr(rates, name)
        for parameter in parameters:
            parameter.requires_grad_(rate > 0)
        if rate > 0 and parameters:
            groups.append({"params": parameters, "lr": rate, "name": name})
    return torch.optim.Adam(groups) if groups else None


def train_mode(network: MattingNetwork, fixed_statistics: Collection[str] = ()) -> None:
    """Sets training mode, but eval mode for the batch normalisation of the modules in `fixed_statistics`."""
    network.train()
    for name in fixed_statistics:
        for module in getattr(network, name).modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def pass_loss(
    network: MattingNetwork, batch: MattingBatch | SegmentationBatch, ratio: float = 1.0, foreground: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its terms) of one forward pass. foreground: whether the foreground terms are part of the loss; they are
    reported in any case."""
    if isinstance(batch, SegmentationBatch):
        loss = segmentation_loss(network.segment(batch.src).seg, batch.seg)
        return loss, {"total": loss}
    output = network(batch.src, downsample_ratio=ratio)
    loss = matting_loss(output.fgr, output.pha, batch.fgr, batch.pha)
    terms = loss._asdict()
    if not foreground:
        terms["total"] = loss.pha_l1 + loss.pha_laplacian + loss.pha_coherence
    return terms["total"], terms


@dataclass
class Trainer:
    """A network with its optimiser, and the state that is kept between passes."""

    network: MattingNetwork
    optimiser: torch.optim.Optimizer
    world: World
    precision: torch.dtype = torch.float32
    foreground: bool = True
    usual: dict[str, tuple[int, float]] = field(default_factory=dict)  # part -> (number of passes, smoothed loss)
    skipped: int = 0
    skipped_in_a_row: int = 0

    def __post_init__(self) -> None:
        half = self.precision == torch.float16
        self.scaler = torch.amp.GradScaler(self.world.device.type, enabled=half)

    def run_pass(
        self,
        part: str,
        batches: Iterable[tuple[MattingBatch | SegmentationBatch, Sequence[str]]],
        count: int,
        ratio: float = 1.0,
    ) -> PassResult:
        """One optimiser step over `count` micro-batches of this process, each with the names of its samples.

        part: such as "segmentation/video"; the loss is compared with the usual loss of this part.
        """
        statistics = [x.clone() for x in self.network.buffers()]
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        named: list[tuple[float, Sequence[str]]] = []
        for batch, names in batches:
            kind = self.world.device.type
            half = self.precision != torch.float32
            with torch.autocast(kind, self.precision) if half else nullcontext():
                loss, terms = pass_loss(self.network, batch, ratio, self.foreground)
            self.scaler.scale(loss / count).backward()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach() / count
            named.append((float(loss.detach()), names))
        assert len(named) == count, f"{len(named)} micro-batches, not {count}"
        self.world.average(list(sums.values()))
        result = dict(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))
        trouble = self._trouble(part, result["total"]) or self._finish()
        if trouble:
            with torch.no_grad():
                for kept, now in zip(statistics, self.network.buffers(), strict=True):
                    now.copy_(kept)
            self.optimiser.zero_grad(set_to_none=True)
            self.skipped += 1
            self.skipped_in_a_row += 1
            self._report(part, trouble, named)
            return PassResult(result, trouble)
        self.skipped_in_a_row = 0
        passes, usual = self.usual.get(part, (0, result["total"]))
        self.usual[part] = passes + 1, _SMOOTHING * usual + (1 - _SMOOTHING) * result["total"]
        if self.world.size > 1:
            self.world.average_statistics(self.network)
        return PassResult(result)

    def _trouble(self, part: str, total: float) -> str | None:
        if not math.isfinite(total):
            return f"its loss is {total}"
        passes, usual = self.usual.get(part, (0, 0.0))
        if passes >= _USUAL_AFTER and total > EXPLODING * usual:
            return f"its loss is {total:.3g}, the usual loss is {usual:.3g}"
        return None

    def _finish(self) -> str | None:
        """Runs the optimiser's step. Returns the trouble if the gradients are not finite."""
        gradients = [x.grad for group in self.optimiser.param_groups for x in group["params"] if x.grad is not None]
        self.world.average(gradients)
        if self.scaler.is_enabled():  # the scaler itself skips steps while it searches for a scale
            self.scaler.step(self.optimiser)
            self.scaler.update()
            return None
        norms = torch.stack([x.norm() for x in gradients])
        if not bool(norms.isfinite().all()):
            return "its gradient is not finite"
        self.optimiser.step()
        return None

    def _report(self, part: str, trouble: str, named: list[tuple[float, Sequence[str]]]) -> None:
        unusual = [names for loss, names in named if not math.isfinite(loss)] or [
            max(named, key=lambda pair: pair[0])[1]
        ]
        samples = ", ".join(name for names in unusual for name in names[:8])
        logger.warning("A %s batch was skipped (%d so far): %s. Its samples: %s", part, self.skipped, trouble, samples)
