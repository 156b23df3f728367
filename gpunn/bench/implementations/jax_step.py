"""JAX with the whole step jitted, and one step a call, as a loop over a data loader calls it."""

from __future__ import annotations

from typing import Any

import jax

from gpunn.bench.implementations import jax_scan


class Training(jax_scan.Training):
    """As `jax_scan.Training`, without the scan."""

    steps_per_call = 1

    def compiled(self) -> Any:
        return jax.jit(self.step, donate_argnums=0)

    def losses(self, count: int) -> list[float]:
        return [float(self._call()) for _ in range(count)]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._call()
        jax.block_until_ready(self.state)

    def reset(self) -> None:
        super().reset()
        self.batches = list(zip(self.x, self.t))
        self.i = 0

    def _call(self) -> Any:
        self.state, loss = self.call(self.state, self.batches[self.i % len(self.batches)])
        self.i += 1
        return loss
