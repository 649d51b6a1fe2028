"""Training over several processes or GPUs: `torchrun --nproc-per-node N -m -- worker train …`.

torchrun sets the environment that is read here; without it there is one process. The `--` keeps
torchrun from taking our options for its own.
Source: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """One process among those of a run: number `rank` of `world`, computing on `device`."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Tell whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are averaged over all processes."""
        if self.world == 1:
            return module
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


def current_processes() -> Processes:
    """Describe this process by torchrun's environment; uses a GPU where there is one."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    else:
        device = torch.device("cpu")
    return Processes(rank, world, device)


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Meet the other processes of the run, and leave them at the end."""
    processes = current_processes()
    if processes.world == 1:
        yield processes
        return
    distributed.init_process_group("nccl" if processes.device.type == "cuda" else "gloo")
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
