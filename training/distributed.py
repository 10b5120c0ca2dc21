"""The processes of a run (one, or those started by torchrun) and their communication.

Gradients are averaged here once per optimiser step, not by DistributedDataParallel: each pass leaves different
parameters without a gradient, and with accumulation one exchange is enough anyway.
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
    """This process and the number of processes in the run."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints messages."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its mean over the processes, in place. Every process passes the same shapes in the
        same order."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([x.detach().flatten().float() for x in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for x, mean in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
            x.detach().copy_(mean.view_as(x))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set in any process."""
        if self.size == 1:
            return flags
        joined = torch.tensor([float(flag) for flag in flags], device=self.device)
        dist.all_reduce(joined, dist.ReduceOp.MAX)
        return tuple(bool(x) for x in joined.tolist())

    def total(self, *counts: float) -> tuple[float, ...]:
        """For each count, its sum over the processes."""
        if self.size == 1:
            return counts
        joined = torch.tensor(counts, dtype=torch.float64, device=self.device)
        dist.all_reduce(joined)
        return tuple(joined.tolist())

    def wait(self) -> None:
        """Waits until every process has called this."""
        if self.size > 1:
            dist.barrier()

    def copy_from_first(self, network: nn.Module) -> None:
        """Copies the first process's parameters and buffers to all processes."""
        if self.size > 1:
            for x in network.state_dict().values():
                dist.broadcast(x, 0)

    def prepare(self, network: nn.Module) -> tuple[nn.Module, str | None]:
        """(the network on this process's device, a note for the user or None).

        On GPUs batch statistics are computed over all processes (SyncBatchNorm). On CPUs, where SyncBatchNorm does not
        exist, each process computes its own, as for one micro-batch of an accumulated batch.
        """
        network = network.to(self.device)
        if self.size == 1:
            return network, None
        if self.device.type == "cuda":
            return nn.SyncBatchNorm.convert_sync_batchnorm(network), None
        return network, "Each process computes its own batch statistics: PyTorch has no SyncBatchNorm on CPUs."

    def average_statistics(self, network: nn.Module) -> None:
        """Replaces running statistics by their mean over the processes, so that all have the same network."""
        self.average([x for name, x in network.named_buffers() if name.endswith(("running_mean", "running_var"))])


def join_world(wanted_device: str = "auto") -> World:
    """The world described by torchrun's variables, or one of a single process. Raises StudioError for a missing
    device."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(wanted_device)
    if size == 1:
        return World(device=device)
    rank, place = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        device = choose_device(f"cuda:{place}")
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        # a long timeout, because the other processes wait while the first one validates
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=2))
    return World(rank, size, device)


def leave_world(world: World) -> None:
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()
