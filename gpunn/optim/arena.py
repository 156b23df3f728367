"""Flat memory for parameters and their moments.

An arena is one array in which parameters lie one behind the other, and one array of the same layout for each moment.
Parameters come into an arena at the first step that finds a gradient for them, and their storage becomes a view of it;
when a parameter has got other storage since (``p.data = ...``, ``model.to(...)``), it comes into a new one.

While parameters move they are there twice, so an arena is not made larger than `ARENA_BYTES`. A parameter of
`ALONE_BYTES` or more stays where it is, and its memory is the arena: so those between which it stands lie side by side,
also where a plan updates it by itself.

Memory that somebody else shows too (a detached tensor, a NumPy array, the storage of another parameter) is not left
behind: such a parameter stays where it is, and only its moments lie in the arena.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.inplace import count_write
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.memory_format import TO_LAST, channels_first, in_memory_order, lies_last
from gpunn.tensor import as_tensor

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

ARENA_BYTES = 1 << 24
"""Much more than what makes walks over memory long enough."""
ALONE_BYTES = 1 << 22
"""Long enough for a walk of its own: some microseconds on the fastest GPUs, several times what a launch takes."""
ALIGNMENT = 64
"""Bytes: each parameter starts at a multiple of this, a cache line on the CPU and the widest load on a GPU."""


class Arena:
    """Parameters of one type on one device, in one array.

    Attributes:
        segments: their places, in order.
    """

    def __init__(self, params: list[Tensor]):
        spec = params[0]._spec
        self.dtype = spec.dtype
        self.backend = spec.device.backend
        step = max(1, ALIGNMENT // spec.dtype.itemsize)
        offsets = [0]
        for p in params:
            offsets.append(offsets[-1] + -(-p.numel() // step) * step)
        self._size = offsets[-1]
        self._moments: dict[str, Any] = {}
        first = params[0]
        large = _is_alone(first) and self.backend.is_contiguous(in_memory_order(first._data))
        stays = large and _shown_once(first)
        self._data = self.backend.reshape(in_memory_order(first._data), (first.numel(),)) if stays else None
        self.segments = [Segment(self, p, start, end, stays) for p, start, end in zip(params, offsets, offsets[1:])]

    @property
    def data(self) -> Any:
        """The parameters, flat; there are gaps for the alignment, and for parameters that stayed outside."""
        if self._data is None:
            self._data = self._zeros()
        return self._data

    def moment(self, name: str) -> Any:
        """The flat array of a moment, zeros when it is first asked for."""
        if name not in self._moments:
            self._moments[name] = self._zeros()
        return self._moments[name]

    def _zeros(self) -> Any:
        return self.backend.cache_lines(self._size, self.dtype.numpy, cleared=True)


class Segment:
    """A parameter's place in an arena.

    Attributes:
        param: the parameter.
        arena: where its moments lie, from `offset` on, `size` elements; the next segment begins at `end`.
        data: the parameter's array as it was when it came here, to see whether it got another one.
        flat: its elements as a flat array: a piece of the arena, or of its own memory; see `update_begins`.
        inside: whether the parameter itself lies in the arena.
        last: whether its channels lie last, and so those of its moments, and what an update reads of its gradient.
    """

    __slots__ = ("_copied", "_moments", "arena", "data", "end", "flat", "inside", "last", "offset", "param", "size")

    def __init__(self, arena: Arena, param: Tensor, offset: int, end: int, stays: bool = False):
        backend = arena.backend
        self.param, self.arena, self.offset, self.end, self.size = param, arena, offset, end, param.numel()
        self._moments: dict[str, tuple[Tensor, Any]] = {}
        self._copied: Any = None
        self.inside = stays or _shown_once(param)
        self.last = lies_last(param._data)
        there = in_memory_order(param._data)
        if stays or (not self.inside and backend.is_contiguous(there)):
            self.flat = backend.reshape(there, (self.size,))
        else:
            self.flat = arena.data[offset : offset + self.size]
            if self.inside:
                param._data = backend.copy(param._data, out=self._shown(self.flat))
            else:
                self._copied = self._shown(self.flat)
        self.data = param._data

    def _shown(self, flat: Any) -> Any:
        """A piece of the arena in the shape of the parameter."""
        shape = self.param.shape
        if not self.last:
            return self.arena.backend.reshape(flat, shape)
        o, c, h, w = shape
        return channels_first(self.arena.backend.reshape(flat, (o, h, w, c)))

    def in_order(self, gradient: Any) -> Any:
        """A gradient, whose elements come in the order of the parameter's in memory; a copy where they do not."""
        if self.last:
            gradient = gradient.transpose(TO_LAST)
        return gradient if self.arena.backend.is_contiguous(gradient) else self.arena.backend.copy(gradient)

    def moment(self, name: str, state: dict[str, Any], initial: float) -> Any:
        """A moment as a flat piece of the arena, shown as a tensor in the optimizer's state of this parameter.

        What stands in `state` under that name and does not lie here (a loaded checkpoint, moments from before the
        parameter moved) is copied here; where nothing stands there, the moment starts as `initial`.

        Raises:
            RuntimeError: what stands there has not the shape of the parameter.
        """
        given, known = state.get(name), self._moments.get(name)
        if known is not None and known[0] is given:
            return known[1]
        spec, backend = self.param._spec, self.arena.backend
        flat = self.arena.moment(name)[self.offset : self.offset + self.size]
        view = wrap(self._shown(flat), spec)
        if given is None:
            backend.full((self.size,), initial, spec.dtype.numpy, out=flat)
        else:
            value = as_tensor(given).detach().to(device=spec.device, dtype=spec.dtype)
            if value.shape != spec.shape:
                raise RuntimeError(
                    f"the state {name!r} of a parameter {spec!r} has shape {list(value.shape)}; "
                    "was it saved by the optimizer of another model?"
                )
            backend.copy(value._data, out=view._data)
        state[name] = view
        self._moments[name] = view, flat
        return flat

    def update_begins(self) -> None:
        """Count the write, and `gather`."""
        count_write(self.param)
        for view, _ in self._moments.values():
            view._version[0] += 1
        self.gather()

    def gather(self) -> None:
        """Bring the elements to `flat`, where they are neither in the arena nor in one piece."""
        if self._copied is not None:
            self.arena.backend.copy(self.data, out=self._copied)

    def update_ends(self) -> None:
        """Bring them back."""
        if self._copied is not None:
            self.arena.backend.copy(self._copied, out=self.data)


class Run:
    """Segments that one walk updates: their memory and that of their gradients lie in the same order and distance.

    Attributes:
        segments: at least one.
        key: what else they have in common, such as the number of steps they have had.
    """

    __slots__ = ("_gradient", "key", "segments")

    def __init__(self, segment: Segment, gradient: Any, key: Any):
        self.segments = [segment]
        self.key = key
        self._gradient = gradient

    def takes(self, segment: Segment, gradient: Any, key: Any) -> bool:
        """Add a segment, if it lies right behind the others and the walk can go on over it."""
        first = self.segments[0]
        if (
            key != self.key
            or segment.arena is not first.arena
            or segment.offset != self.segments[-1].end
            or not (segment.inside and first.inside)
            or first.arena.backend.distance(self._gradient, gradient) != segment.offset - first.offset
        ):
            return False
        self.segments.append(segment)
        return True

    def arrays(self, names: Iterable[str]) -> tuple[Any, Any, list[Any]]:
        """The parameters, their gradients and their moments, flat."""
        first, last = self.segments[0], self.segments[-1]
        if first is last:
            moments = [first._moments[name][1] for name in names]
            return first.flat, self._gradient.reshape(-1), moments
        arena, start, stop = first.arena, first.offset, last.offset + last.size
        gradient = arena.backend.extend(self._gradient, stop - start)
        return arena.data[start:stop], gradient, [arena.moment(name)[start:stop] for name in names]


def pack(params: Iterable[Tensor]) -> Iterator[Segment]:
    """Bring parameters into new arenas, of one type and device each."""
    for members in _together(params):
        yield from Arena(members).segments


def moving_bytes(params: Iterable[Tensor]) -> int:
    """What `pack` takes on the way at most: new memory for some of them, before their old one goes."""
    sizes = (sum(p.nbytes for p in members) for members in _together(params) if not _is_alone(members[0]))
    return max(sizes, default=0)


def arranged(params: Iterable[Tensor]) -> list[Tensor]:
    """Parameters in the order in which `pack` lays them, arena by arena."""
    return [p for members in _together(params) for p in members]


def _together(params: Iterable[Tensor]) -> list[list[Tensor]]:
    """The parameters that come into one arena."""
    found: list[list[Tensor]] = []
    latest: dict[Any, tuple[list[Tensor], int]] = {}
    for p in params:
        key = p.dtype, p.device
        if _is_alone(p):
            found.append([p])
            continue
        members, size = latest.get(key, ([], 0))
        if not members or size + p.nbytes > ARENA_BYTES:
            members, size = [], 0
            found.append(members)
        members.append(p)
        latest[key] = members, size + p.nbytes
    return found


def _is_alone(param: Tensor) -> bool:
    """Whether it has an arena of its own: it may be one that a plan updates by itself (`product_update`)."""
    return param.nbytes >= ALONE_BYTES


def _shown_once(tensor: TensorBase) -> bool:
    """Whether `tensor` alone shows its memory: the array is no view, and nothing else holds it.

    Images whose channels lie last are a view of all of an array that nothing else holds.
    """
    if _references(tensor) != _ALONE:
        return False
    return tensor._data.base is None or (_references_of_base(tensor) == _BASE_ALONE and _owns_all(tensor._data))


def _owns_all(x: Any) -> bool:
    base = x.base
    return lies_last(x) and type(base) is type(x) and base.base is None and base.size == x.size


def _references(tensor: TensorBase) -> int:
    return sys.getrefcount(tensor._data)


def _references_of_base(tensor: TensorBase) -> int:
    return sys.getrefcount(tensor._data.base)


# What the call itself adds to the count differs between versions of Python.
_example = TensorBase()
_example._data = np.empty((1, 1)).T
_ALONE = _references(_example)
_BASE_ALONE = _references_of_base(_example)
