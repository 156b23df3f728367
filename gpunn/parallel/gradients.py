"""Gradients summed over all ranks, in buckets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpunn.autograd.mode import no_grad
from gpunn.autograd.mode import state as mode
from gpunn.autograd.tape import wrap
from gpunn.backend.collective import Reduction
from gpunn.ops import zeros_like
from gpunn.optim.arena import ALIGNMENT
from gpunn.tensor import Tensor

from .processes import world

BUCKET_BYTES = 1 << 22
"""Gradients are summed in buckets of so many bytes, the last layers' first: they are there first."""


def sum_gradients(parameters: Iterable[Tensor], alike: bool = False) -> None:
    """Let the gradient of each parameter become the sum of those of all ranks.

    ::

        world = gpunn.parallel.init()
        for x, y in gpunn.parallel.shard(loader):
            optimizer.zero_grad()
            loss = loss_fn(model(x), y) * world.share(len(y))  # the mean over all ranks' samples
            loss.backward()
            gpunn.parallel.sum_gradients(model.parameters())
            optimizer.step()

    In a planned step it is a part of the plan, and each bucket's sum begins when its gradients are there.

    Args:
        parameters: in the same order on all ranks. Those that require no gradient are left out. Where some ranks have
            no gradient of a parameter, theirs counts as 0; where none has one, none has one behind it either.
        alike: whether the same parameters have gradients on all ranks, as in a plan, so that none has to ask.
    """
    if world().size == 1:
        return
    wanted = [p for p in parameters if p.requires_grad]
    mine = [p._grad is not None for p in wanted]
    there = np.array([mine]) if alike or mode.tracer is not None else world().agree(*mine)
    used = {id(p) for p, ranks in zip(wanted, there.T) if ranks.any()}
    with no_grad():
        groups = buckets(wanted)
        gradients = [[zeros_like(p) if p._grad is None else p._grad.detach() for p in group] for group in groups]
        sums = mode.tracer.reduce(gradients) if mode.tracer is not None else _summed(gradients)
        for group, results in zip(groups, sums):
            for p, g in zip(group, results):
                if id(p) in used:
                    p._grad = g


def buckets(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """Parameters of one type and device each, of about `BUCKET_BYTES`; the last ones come first."""
    found: list[list[Tensor]] = []
    size = 0
    for p in reversed(parameters):
        alike = found and found[-1][0].dtype is p.dtype and found[-1][0].device is p.device
        if not alike or size + p.nbytes > BUCKET_BYTES:
            found.append([])
            size = 0
        found[-1].insert(0, p)
        size += p.nbytes
    return found


def _summed(groups: list[list[Tensor]]) -> list[list[Tensor]]:
    """The sums of gradients over all ranks, in new memory, laid out as a plan does."""
    begun: list[Reduction] = []
    sums: list[list[Tensor]] = []
    for group in groups:
        spec = group[0]._spec
        backend, step = spec.device.backend, max(1, ALIGNMENT // spec.dtype.itemsize)
        offsets = [0]
        for g in group:
            offsets.append(offsets[-1] + -(-g.numel() // step) * step)
        flat: Any = backend.empty((offsets[-2] + group[-1].numel(),), spec.dtype.numpy)
        views = [backend.reshape(flat[at : at + g.numel()], g.shape) for at, g in zip(offsets, group)]
        for g, view in zip(group, views):
            backend.copy(g._data, out=view)
        begun.append(Reduction(backend, flat))
        begun[-1].sum_over_ranks()
        sums.append([wrap(view, g._spec) for g, view in zip(group, views)])
    for reduction in begun:
        reduction.wait_for_sum()
    return sums
