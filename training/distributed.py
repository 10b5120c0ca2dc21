"""The processes of one run: one alone, or those that torchrun started, with what they tell each other.

Gradients are averaged here in one go per optimiser step rather than by DistributedDataParallel: each pass leaves other
parameters without a gradient, and accumulation ends in one exchange anyway.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..core import choose_device

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """This process among those of the run."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @property
    def first(self) -> bool:
        """Whether this is the one process that writes files and talks."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor (same shapes and order in every process) becomes its mean over the processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([x.detach().flatten().float() for x in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for x, mean in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
            x.detach().copy_(mean.view_as(x))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag: whether it is set in any process."""
        if self.size == 1:
            return flags
        joined = torch.tensor([float(flag) for flag in flags], device=self.device)
        dist.all_reduce(joined, dist.ReduceOp.MAX)
        return tuple(bool(x) for x in joined.tolist())

    def total(self, *counts: float) -> tuple[float, ...]:
        """Each count summed over the processes."""
        if self.size == 1:
            return counts
        joined = torch.tensor(counts, dtype=torch.float64, device=self.device)
        dist.all_reduce(joined)
        return tuple(joined.tolist())

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def copy_from_first(self, network: nn.Module) -> None:
        """Every process gets the first one's parameters and buffers."""
        if self.size > 1:
            for x in network.state_dict().values():
                dist.broadcast(x, 0)

    def prepare(self, network: nn.Module) -> tuple[nn.Module, str | None]:
        """The network on this process's device, and a note for the user, or None.

        On graphics cards batch statistics are taken over all processes (SyncBatchNorm); it does not exist on CPUs, so
        there each process takes its own, as it would from one accumulated part of a batch.
        """
        network = network.to(self.device)
        if self.size == 1:
            return network, None
        if self.device.type == "cuda":
            return nn.SyncBatchNorm.convert_sync_batchnorm(network), None
        return network, "Batch statistics are each process's own: PyTorch has no SyncBatchNorm on CPUs."

    def average_statistics(self, network: nn.Module) -> None:
        """Running statistics become their mean over the processes: the same weights everywhere."""
        self.average([x for name, x in network.named_buffers() if name.endswith(("running_mean", "running_var"))])


def join_world(wanted_device: str = "auto") -> World:
    """The world as torchrun's environment tells it, else of one process. Raises StudioError for a device not there."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(wanted_device)
    if size == 1:
        return World(device=device)
    rank, place = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        device = choose_device(f"cuda:{place}")
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        # the first process validates alone, while the others wait
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=2))
    return World(rank, size, device)


def leave_world(world: World) -> None:
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()
