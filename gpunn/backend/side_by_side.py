"""Launches that do not wait for one another, side by side in a CUDA graph.

A step is a list of launches, each of which needs the end of some of those before: both gradients of a convolution need
that of its result, but not each other. What needs what follows from memory alone: two launches that touch the same
bytes keep their order, unless both only read them. What a launch touches is known from its arguments, and whether it
only reads there from its kernel's text, where such pointers are const.

So the graph is not a chain but a few lanes, on each of which launches follow one another, and what it computes is the
same to the bit. Where a launch leaves multiprocessors idle, because its blocks are few or because its last ones are
still at work, another one has them. ``GPUNN_STREAMS`` in the environment says how many lanes there are at most (4); 1
is a chain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .span import span

LANES = 4
"""Three for what attention makes of its input, and one for the gradients of weights."""
MOST = 256
"""Launches that are looked at together; all of these end before the next ones begin."""


class Place(NamedTuple):
    """Where a launch goes.

    Attributes:
        lane: its number; launches of one lane follow one another.
        waits: the numbers of the launches of other lanes that it waits for.
    """

    lane: int
    waits: tuple[int, ...]


def wanted_lanes() -> int:
    """How many lanes there are at most.

    Raises:
        ValueError: the environment asks for something else than a number from 1 on.
    """
    given = os.environ.get("GPUNN_STREAMS") or str(LANES)
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"GPUNN_STREAMS, how many launches run side by side at most: from 1 on, got {given!r}")
    return int(given)


def groups(launches: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The launches, so many at a time as are looked at together."""
    for start in range(0, len(launches), MOST):
        yield launches[start : start + MOST]


def places(needs: Sequence[int], lanes: int) -> list[Place]:
    """A lane for each launch.

    It goes behind the latest one that it needs anyway, if that is the last of its lane; else to an empty lane.

    Args:
        needs: for each launch those before it that it needs, a bit each; see `needs`.
        lanes: how many there are at most.
    """
    before: list[int] = []  # of each launch, those that have ended when it begins
    last: list[int] = []  # of each lane
    found: list[Place] = []
    for number, needed in enumerate(needs):
        ended = needed
        for other in _bits(needed):
            ended |= before[other]
        behind = [lane for lane, end in enumerate(last) if ended >> end & 1]
        if behind:
            lane = max(behind, key=lambda n: last[n])
        elif len(last) < lanes:
            lane = len(last)
            last.append(-1)
        else:
            lane = min(range(len(last)), key=lambda n: last[n])
        known = 1 << last[lane] | before[last[lane]] if last[lane] >= 0 else 0
        waits = []
        for other in reversed(list(_bits(needed))):  # who waits for one waits for all before it
            if not known >> other & 1:
                waits.append(other)
                known |= 1 << other | before[other]
        found.append(Place(lane, tuple(reversed(waits))))
        before.append(known)
        last[lane] = number
    return found


def needs(backend: Any, launches: Sequence[Any]) -> list[int]:
    """For each launch those before it that it needs the end of: bit i stands for launch i.

    Args:
        backend: where the arrays are.
        launches: as in `gpunn.backend.recording`. What they touch is not known of all: a call of a library, or a kernel
            that is given a map of memory, needs all before it and is needed by all behind it.
    """
    owner: list[int] = []
    spans: list[tuple[int, int]] = []
    written: list[bool] = []
    for number, launch in enumerate(launches):
        for begin, end, writes in _touched(backend, launch):
            owner.append(number)
            spans.append((begin, end))
            written.append(writes)
    found = [0] * len(launches)
    if not spans:
        return found
    (begins, ends), writing = np.array(spans, np.uint64).T, np.array(written)
    for i, number in enumerate(owner):
        meets = (begins[:i] < ends[i]) & (begins[i] < ends[:i]) & (writing[:i] | writing[i])
        for other in np.flatnonzero(meets).tolist():
            if owner[other] != number:
                found[number] |= 1 << owner[other]
    return found


def _touched(backend: Any, launch: Any) -> Iterator[tuple[int, int, bool]]:
    """Begin and end of the memory that a launch touches, and whether it may write there."""
    parameters = launch.kernel.signature.parameters
    if not parameters or any(p.type == "TensorMap" for p in parameters):
        yield 0, 2**64 - 1, True
        return
    for parameter, given in zip(parameters, launch.args):
        array = getattr(given, "place", given)
        if parameter.pointer and array is not None and array.size:
            yield *span(backend, array), not parameter.const


def _bits(number: int) -> Iterator[int]:
    """The places of the bits that are 1, from the lowest on."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
