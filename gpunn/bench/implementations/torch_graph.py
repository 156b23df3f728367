"""PyTorch with the whole step captured into one CUDA graph by hand, its fastest way for small steps on a GPU."""

from __future__ import annotations

from typing import Any

import torch

from gpunn.bench.implementations import torch_eager
from gpunn.bench.workloads import Workload


class Training(torch_eager.Training):
    """As `torch_eager.Training`; each batch is copied to where the graph reads it.

    Raises:
        ValueError: the device has no CUDA graphs.
    """

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        if not device.startswith("cuda"):
            raise ValueError(f"CUDA graphs need a GPU; the device is {device}")
        self.graph: Any = None
        super().__init__(workload, batch, batches, optimizer, device)
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True
        self.batch = self.x[0].clone(), self.t[0].clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self._step()
        self.reset()

    def reset(self) -> None:
        if self.graph is None:
            return super().reset()
        with torch.no_grad():  # the graph has its places
            for p, w in zip(self.model.parameters(), self.workload.weights()):
                p.copy_(torch.tensor(w))
            for state in self.optimizer.state.values():
                for value in state.values():
                    if torch.is_tensor(value):
                        value.zero_()
        self.i = 0

    def _step(self) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(self.model(self.batch[0]), self.batch[1])
        loss.backward()
        self.optimizer.step()
        return loss

    def step(self) -> Any:
        k = self.i % len(self.x)
        self.i += 1
        self.batch[0].copy_(self.x[k])
        self.batch[1].copy_(self.t[k])
        self.graph.replay()
        return self.loss
