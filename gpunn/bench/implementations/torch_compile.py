"""PyTorch with the model compiled."""

from __future__ import annotations

from gpunn.bench.implementations import torch_eager
from gpunn.bench.workloads import Workload


class Training(torch_eager.Training):
    """As `torch_eager.Training`, through ``torch.compile``."""

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        super().__init__(workload, batch, batches, optimizer, device)
        mode = "max-autotune" if self.device.type == "cuda" else "default"
        self.model.compile(mode=mode, dynamic=False)
