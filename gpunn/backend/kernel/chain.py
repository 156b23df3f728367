"""Chains: several elementwise functions, and a reduction behind them, as one kernel that is written for them.

An elementwise kernel takes the time that its memory traffic takes. Where one function works on the result of another,
that result need not go to memory: a chain reads its inputs once, keeps what is between in registers, and writes its
results once. The text of such a kernel is a few lines, which `chain_text.py` writes; it is compiled when a chain of its
kind is first asked for. Numbers are arguments of the kernel: other numbers are no other kernel.

The functions are those of `kernels/functions.cuh` and `kernels/activation.cuh`, which the kernels of single functions
use too. A chain differs from them in the last bits where the compiler makes one operation of a product and a sum, and
in half precision, where what is between, and a number that is compared with, is not rounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gpunn.backend.kernel_texts import write_text

from .chain_text import BOOLEANS, FLOATS, NUMBER, Body, Input, Step, elementwise_text, reduction_text
from .family import MAX_RANK, Array, ceil_div, collapse, layout
from .reduction import KINDS, Axes, Stage, elements_of_one
from .rows import Walk, broadcast_strides


class Chain(Walk):
    """Chains of elementwise functions."""

    is_array: Callable[[Any], bool]
    reduce_by: Callable[..., Array]
    launch_stage: Callable[..., None]

    def chain(
        self,
        steps: Sequence[Step],
        inputs: Sequence[Any],
        out: Any = None,
        *,
        results: Sequence[int] | None = None,
        reduce: tuple[str, Axes, bool] | None = None,
    ) -> Any:
        """Several elementwise functions as one kernel.

        Values are numbered: first the inputs, then what each step makes. A step is the name of a function and the
        numbers of the values that it takes: ``[("multiply", 0, 1), ("add", 3, 2)]`` of x, y and z is x y + z. Functions
        are the elementwise primitives, and besides "cast" (a boolean as 0 or 1), "activation:<kind>" of x, and
        "activation_backward:<kind>" and "activation_backward_from_output:<kind>" of dy and s, with the parameter as one
        more value where the kind has one.

        Args:
            steps: the functions, in order.
            inputs: arrays of one float type, arrays of booleans, and Python numbers; arrays are broadcast.
            out: the array, or the tuple of arrays, for the results. May be an input that has the result's shape and
                type and no strides.
            results: the numbers of the values that are wanted, which then come as a tuple; by default the last one.
            reduce: a reduction of the last value, as its name ("sum", "mean", "product", "amax", "amin" or
                "euclidean_norm"), the axes, and whether these are kept with size 1.

        Raises:
            ValueError: there is no such function, or it does not take these operands.
            TypeError: the inputs are of other types.
        """
        steps = tuple(map(tuple, steps))
        arrays = [x if self.is_array(x) else None for x in inputs]
        dtype = _float_type(arrays)
        shape = np.broadcast_shapes(*(a.shape for a in arrays if a is not None))
        described = tuple([_input(a, shape) for a in arrays])
        given = tuple([float(x) if a is None else a for a, x in zip(arrays, inputs)])
        if reduce is not None:
            return self._reduce_chain(steps, described, given, shape, dtype, out, *reduce)
        wanted = (len(inputs) + len(steps) - 1,) if results is None else tuple(results)
        rows = any(x.strided for x in described)
        text, types = _elementwise(steps, described, wanted, rows)
        outs = (None,) * len(wanted) if out is None else tuple(out) if isinstance(out, (tuple, list)) else (out,)
        made = tuple([self.result(y, shape, dtype if t == "acc_t" else np.bool_) for y, t in zip(outs, types)])
        if made[0].size and rows:
            walk = self.as_rows(shape, arrays, *made)
            args: list[Any] = []
            for x, operand in zip(given, walk.operands):
                args += operand if self.is_array(x) else [x]
            args += [*made, walk.rows, walk.columns, walk.vector]
            self.launch(text, "chain", walk.grid, walk.block, args, scalar_t=dtype)
        else:
            size = made[0].size
            args = [*given, *made, size, self.aligned(*arrays, *made)]
            self.launch_elements(text, "chain", ceil_div(size, 4), args, scalar_t=dtype)
        return made[0] if results is None else made

    def _reduce_chain(
        self,
        steps: tuple[Step, ...],
        described: tuple[Input, ...],
        given: tuple[Any, ...],
        shape: tuple[int, ...],
        dtype: Any,
        out: Array | None,
        name: str,
        axes: Axes,
        keepdims: bool,
    ) -> Array:
        kind, count = KINDS[name], elements_of_one(name, shape, axes)
        args: list[Any] = []
        for x, description in zip(given, described):
            args += self._laid_out(x, shape) if description.strided else [x]

        def launch(stage: Stage, parts: Array | None, y: Array | None, more: Array | None) -> None:
            arguments = kind.arguments(parts is None, more is None, count)
            if parts is None:
                text = _reduction(steps, described, stage.team)
                self.launch_stage(text, "chain", stage, (*args, y, more), arguments, dtype)
            else:
                self.launch_stage("reduce.cu", "reduce", stage, (None, parts, y, more), arguments, dtype)

        return self.reduce_by(launch, shape, dtype, axes, keepdims, out)

    def _laid_out(self, x: Array, shape: tuple[int, ...]) -> list[Any]:
        """An array that is broadcast to `shape`: its memory, the place of its first element, and its Layout."""
        sizes, (steps,) = collapse(shape, broadcast_strides(x, shape))
        if len(sizes) > MAX_RANK:
            return self._laid_out(self.copy(self.xp.broadcast_to(x, shape)), shape)
        memory, start = self.span(x)
        return [memory, start, layout(sizes, steps)]


@lru_cache(maxsize=4096)
def _elementwise(
    steps: tuple[Step, ...], inputs: tuple[Input, ...], results: tuple[int, ...], rows: bool
) -> tuple[str, tuple[str, ...]]:
    """The name of the kernel text, and the types of the results."""
    types = Body(steps, inputs).types
    return _written(elementwise_text(steps, inputs, results, rows)), tuple([types[v] for v in results])


@lru_cache(maxsize=4096)
def _reduction(steps: tuple[Step, ...], inputs: tuple[Input, ...], team: str) -> str:
    """The name of the kernel text."""
    return _written(reduction_text(steps, inputs, len(inputs) + len(steps) - 1, team))


def _written(source: str) -> str:
    name = f"chain_{hashlib.sha256(source.encode()).hexdigest()[:16]}.cu"
    write_text(name, source)
    return name


def _input(x: Array | None, shape: tuple[int, ...]) -> Input:
    if x is None:
        return Input(NUMBER)
    strided = x.shape != shape or not x.flags.c_contiguous
    return Input(BOOLEANS if x.dtype == np.bool_ else FLOATS, strided)


def _float_type(arrays: Sequence[Array | None]) -> Any:
    """The one float type of some arrays; float32 where all are booleans."""
    types = {a.dtype for a in arrays if a is not None and a.dtype != np.bool_}
    if len(types) > 1 or any(t.kind in "iu" for t in types):
        raise TypeError(f"chain: takes floats of one type and booleans, got {', '.join(sorted(t.name for t in types))}")
    return types.pop() if types else np.dtype(np.float32)
