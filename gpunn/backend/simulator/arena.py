"""Copies of the arrays of a launch, far apart from one another, for who watches each access.

Arrays that NumPy happens to put side by side would hide an access past the end of one. So each gets a copy with room
around it; those that share memory share a copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import native
from .arguments import Argument
from .errors import SimulatorError

_ROOM = 1 << 16  # bytes on either side
_ALIGNMENT = 256  # of what a GPU's allocator gives, at the least


class Arena:
    """The copies of some arrays.

    Args:
        arrays: the arrays.
        arguments: the argument that each is given for.
        as_on_gpu: whether an array lies where it would if its memory came from a GPU's allocator: its owner begins at a
            multiple of 256 bytes. Else it lies as well aligned as it happens to.

    Raises:
        SimulatorError: the kernel writes to an array that shares memory with another, which both parameters exclude.
    """

    def __init__(self, arrays: Sequence[np.ndarray], arguments: Sequence[Argument], as_on_gpu: bool = False) -> None:
        const = [argument.is_const for argument in arguments]
        self.addresses = [0] * len(arrays)
        self._originals: list[tuple[np.ndarray, np.ndarray]] = []
        groups = _overlapping(arrays)
        self.buffers = (native.Buffer * max(len(groups), 1))()
        self.count = len(groups)
        for buffer, group in zip(self.buffers, groups):
            _check_restricted([arguments[i] for i in group])
            begin = min(_begin(arrays[i]) for i in group)
            size = max(_begin(arrays[i]) + arrays[i].nbytes for i in group) - begin
            memory = np.empty(size + 2 * _ROOM + _ALIGNMENT, np.uint8)
            # The same alignment as the original, so that what is aligned by chance is so here.
            place = begin - (_begin(_owner(arrays[group[0]])) if as_on_gpu else 0)
            start = _ROOM + (place - _ROOM - memory.ctypes.data) % _ALIGNMENT
            for i in group:
                at = start + _begin(arrays[i]) - begin
                copy = memory[at : at + arrays[i].nbytes]
                copy[:] = _bytes(arrays[i])
                self.addresses[i] = copy.ctypes.data
                if not const[i]:
                    self._originals.append((arrays[i], copy))
            buffer.data = memory.ctypes.data + start
            buffer.bytes = size
            buffer.original = begin
            buffer.element_bytes = min(arguments[i].element_bytes or arrays[i].itemsize for i in group)
            buffer.is_const = all(const[i] for i in group)
            buffer.name = " and ".join(arguments[i].label() for i in group).encode()[:95]
            self._originals.append((memory[:0], memory))  # keeps the memory

    def sizes(self) -> list[tuple[str, int]]:
        """What each copy is of, and its bytes."""
        return [(buffer.name.decode(), buffer.bytes) for buffer in self.buffers[: self.count]]

    def copy_back(self) -> None:
        """Write to the arrays what the kernel wrote to their copies."""
        for array, copy in self._originals:
            if array.nbytes and array.nbytes == copy.nbytes:
                _bytes(array)[:] = copy


def _check_restricted(group: Sequence[Argument]) -> None:
    """Check the arguments that share memory: a `__restrict__` parameter says that what is written is no other's."""
    restricted = [argument for argument in group if argument.restricted]
    if len(restricted) > 1 and not all(argument.is_const for argument in restricted):
        names = " and ".join(argument.label() for argument in restricted)
        raise SimulatorError(
            f"kernel {restricted[0].kernel}: {names} share memory; they are __restrict__, and one is written to",
            kind="aliased arguments",
        )


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one is a view of, or itself."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _begin(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _overlapping(arrays: Sequence[np.ndarray]) -> list[list[int]]:
    """The arrays' positions, grouped by the memory that they share; empty ones are left out."""
    order = sorted((i for i, a in enumerate(arrays) if a.nbytes), key=lambda i: _begin(arrays[i]))
    groups: list[list[int]] = []
    end = 0
    for i in order:
        begin = _begin(arrays[i])
        if groups and begin < end:
            groups[-1].append(i)
        else:
            groups.append([i])
        end = max(end, begin + arrays[i].nbytes)
    return sorted(map(sorted, groups))
