"""The optimizer's state, divided among the ranks.

The first stage of ZeRO (Rajbhandari et al. 2020, "ZeRO: memory optimizations toward training trillion parameter
models", section 5.1): each rank keeps moments for some of the parameters alone, updates these, and sends them to all
others. Every parameter is updated by the sum of all ranks' gradients, as without it, and to the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunn.autograd.mode import state as mode
from gpunn.backend.collective import Spread
from gpunn.tensor import Tensor

from .processes import world


def owners(parameters: Sequence[Tensor], size: int) -> list[int]:
    """The rank that keeps the state of each parameter: consecutive ones have one rank, with about 1/size of the bytes.

    A parameter is not divided, so a rank may have more, by half of the largest parameter at each end.
    """
    total = sum(p.nbytes for p in parameters) or 1
    found, before = [], 0
    for p in parameters:
        found.append(min(size - 1, (2 * before + p.nbytes) * size // (2 * total)))
        before += p.nbytes
    return found


class ShardedStep:
    """The step of an optimizer of which each rank keeps a part of the state.

    Args:
        optimizer: of all parameters; the same on all ranks.
    """

    def __init__(self, optimizer: Any):
        self.optimizer = optimizer
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        ranks = owners(parameters, world().size)
        self._groups = [[p for p, r in zip(parameters, ranks) if r == rank] for rank in range(world().size)]
        self._others = [p for p, r in zip(parameters, ranks) if r != world().rank]

    def step(self) -> None:
        """Update this rank's parameters, by their gradients, and send and get them."""
        for p in self._others:
            p._grad = None
        self.optimizer.step()
        if mode.tracer is not None:
            mode.tracer.spread(self._groups)
        elif world().size > 1:
            backend = next(p for group in self._groups for p in group).device.backend
            Spread(backend, self._groups).send_to_all()

    def state_dict(self) -> dict[str, Any] | None:
        """The optimizer's whole state, on rank 0; all ranks call this. None elsewhere."""
        mine = self.optimizer.state_dict()
        parts = world().collect(mine["state"])
        if parts is None:
            return None
        together = {index: state for part in parts for index, state in part.items()}
        return {**mine, "state": dict(sorted(together.items()))}

    def forget_others(self) -> None:
        """Let go of the state of other ranks' parameters, such as behind `load_state_dict`."""
        for p in self._others:
            self.optimizer.state.pop(p, None)
