"""In which order the elements of images lie in memory.

A tensor of images (n, c, h, w) lies row-major, or channels last: as an array (n, h, w, c) does, whose axes are shown in
another order. What is said here of arrays is read off their shapes and strides; those of NumPy, CuPy and of a plan's
values without memory have both.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class memory_format:
    """An order of elements in memory: `contiguous_format`, `channels_last` or `preserve_format`, and no others."""

    __slots__ = ("_name",)
    _name: str

    def __new__(cls, *args: Any, **kwargs: Any) -> memory_format:
        """There are no others.

        Raises:
            TypeError: always.
        """
        raise TypeError("cannot create 'gpunn.memory_format' instances; there are gpunn.contiguous_format, ...")

    def __repr__(self) -> str:
        return f"gpunn.{self._name}"

    def __reduce__(self) -> str:
        return self._name

    def __copy__(self) -> memory_format:
        return self

    def __deepcopy__(self, memo: Any) -> memory_format:
        return self


def _named(name: str) -> memory_format:
    made: memory_format = object.__new__(memory_format)
    made._name = name
    return made


contiguous_format = _named("contiguous_format")
"""Row-major, without gaps."""
channels_last = _named("channels_last")
"""As (n, h, w, c) row-major, for tensors (n, c, h, w)."""
preserve_format = _named("preserve_format")
"""As the tensor that another one is made of."""

TO_LAST = (0, 2, 3, 1)
"""The axes of (n, c, h, w) in the order (n, h, w, c)."""
FROM_LAST = (0, 3, 1, 2)
"""And back."""
_FROM_INNERMOST = (1, 3, 2, 0)


def check_format(name: str, given: Any, ndim: int) -> None:
    """Raise unless this is a memory format, and one that a tensor of so many dimensions can have.

    Raises:
        TypeError: it is none.
        RuntimeError: channels last, and not four dimensions.
    """
    if not isinstance(given, memory_format):
        raise TypeError(
            f"{name}: memory_format is gpunn.channels_last, gpunn.contiguous_format or gpunn.preserve_format, "
            f"got {given!r}"
        )
    if given is channels_last and ndim != 4:
        raise RuntimeError(f"{name}: required rank 4 tensor to use channels_last format, got one of {ndim} dimensions")


def last_steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of images (n, c, h, w) whose channels lie last, without gaps."""
    _, c, h, w = shape
    return h * w * c, 1, w * c, c


def in_last_order(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Whether the strides of a tensor say that its channels lie last, perhaps with gaps; PyTorch's rule.

    That is also so where axes of size 1 leave it open but for their strides: a single channel, images of one pixel.
    """
    if len(shape) != 4 or steps[1] == 0:
        return False
    least = 0
    for d in _FROM_INNERMOST:
        if shape[d] == 0 or steps[d] < least or (d == 0 and least == steps[1]):
            return False
        least = steps[d] * max(shape[d], 1)
    return True


def is_last(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Whether the elements lie channels last without gaps, whatever the strides of axes of size 1."""
    if len(shape) != 4:
        return False
    expected = 1
    for d in _FROM_INNERMOST:
        if shape[d] != 1:
            if steps[d] != expected:
                return False
            expected *= shape[d]
    return True


def lies_last(x: Any) -> bool:
    """`in_last_order` of an array."""
    return x.ndim == 4 and in_last_order(x.shape, x.strides)


def decided(x: Any, shape: tuple[int, ...]) -> bool | None:
    """Whether elementwise results of this shape lie channels last as `x` does; None where x leaves that open."""
    if x.shape != shape or any(s == 0 and n > 1 for s, n in zip(x.strides, shape)):
        return None
    return False if x.flags.c_contiguous else in_last_order(shape, x.strides)


def in_memory_order(x: Any) -> Any:
    """The array, of images whose channels lie last as (n, h, w, c): row-major, if it has no gaps."""
    return x.transpose(TO_LAST) if lies_last(x) else x


def channels_first(x: Any) -> Any:
    """An array (n, h, w, c) as images (n, c, h, w)."""
    return x.transpose(FROM_LAST)


def turned(x: Any) -> Any:
    """An input of an elementwise function of images (n, c, h, w) as one of (n, h, w, c); what is no array stays."""
    if not hasattr(x, "ndim") or not x.ndim:
        return x
    return x.reshape((1,) * (4 - x.ndim) + tuple(x.shape)).transpose(TO_LAST)


def gives_last(op: Any, arrays: Any, result: Any) -> bool:
    """Whether the results of an op that have four dimensions lie channels last.

    Args:
        op: a `gpunn.ops.base.Op`.
        arrays: the inputs, of which only shapes and strides are looked at.
        result: the `Spec` of the result, or a tuple of them.
    """
    if not (op.by_element or op.images):
        return False
    shape = result[0].shape if isinstance(result, tuple) else result.shape
    return len(shape) == 4 and bool(op.gives_last(arrays, shape))


def forward_last(op: Any, backend: Any, arrays: Any, result: Any) -> Any:
    """What an op gives, where its results of four dimensions lie channels last.

    Args:
        op: a `gpunn.ops.base.Op`.
        backend: computes.
        arrays: the inputs.
        result: the `Spec` of the result, or a tuple of them.
    """
    if op.by_element:
        ys = op.forward(backend, *map(turned, arrays))
        return tuple(map(channels_first, ys)) if isinstance(result, tuple) else channels_first(ys)
    specs = result if isinstance(result, tuple) else (result,)
    if op.writes_images not in backend.writes_images:
        ys = op.forward(backend, *arrays)
        ys = [_copied_last(backend, y) if y.ndim == 4 else y for y in (ys if isinstance(result, tuple) else (ys,))]
    else:
        ys = [(empty_last if s.ndim == 4 else _empty)(backend, s.shape, s.dtype.numpy) for s in specs]
        op.forward(backend, *arrays, out=tuple(ys) if isinstance(result, tuple) else ys[0])
    return tuple(ys) if isinstance(result, tuple) else ys[0]


def copy_as_it_lies(backend: Any, x: Any) -> Any:
    """A copy without gaps, channels last where `x` lies so, else row-major."""
    return _copied_last(backend, x) if lies_last(x) else backend.copy(x)


def _copied_last(backend: Any, x: Any) -> Any:
    return channels_first(backend.copy(x.transpose(TO_LAST)))


def _empty(backend: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    return backend.empty(shape, np.dtype(dtype))


def empty_last(backend: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Images whose channels lie last, and whose elements are not set."""
    n, c, h, w = shape
    return channels_first(backend.empty((n, h, w, c), np.dtype(dtype)))
