"""A case describes one way to call an op; `test_cases.py` puts every case through the same tests.

Adding an op means adding cases: the suite fails while a registered op is run by none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gpunn
from gpunn.autograd.mode import state

CASES: list[Case] = []


@dataclass(frozen=True)
class Case:
    """One call of an op.

    Attributes:
        name: unique, such as "conv2d-stride2".
        function: takes gpunn tensors, returns a tensor or a tuple of tensors.
        inputs: the inputs as NumPy arrays; floats are given as float64, and are converted to each tested type.
            Keep them small, and away from kinks: central differences with a step of 1e-6 go through each element.
        reference: takes the same inputs as NumPy arrays and returns what `function` should, computed in another way
            (a formula in plain NumPy, loops). May be left out where `torch` is given.
        torch: takes the same inputs as torch tensors; compared in values, types and gradients.
        gradient: whether the float inputs have a gradient to check.
        kink: whether inputs lie where there is no derivative; the gradient is then compared with PyTorch's alone.
        second_order: whether to check the second derivatives too.
        dtypes: the float types to run in, by name.
        rtol: allowed relative difference in float32 (float64: 1e-10; half precision: at least 4 roundings).
        atol: allowed absolute difference in float32 (float64: 1e-12).
    """

    name: str
    function: Callable[..., Any]
    inputs: Sequence[np.ndarray]
    reference: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    gradient: bool = True
    kink: bool = False
    second_order: bool = True
    dtypes: tuple[str, ...] = ("float32", "float64")
    rtol: float = 1e-5
    atol: float = 1e-6
    options: dict[str, Any] = field(default_factory=dict)

    def tolerance(self, dtype: str) -> dict[str, float]:
        """For np.testing.assert_allclose."""
        if dtype not in ("float16", "bfloat16", "float32"):
            return {"rtol": 1e-10, "atol": 1e-12}
        rounding = 4 * _ROUNDING.get(dtype, 0.0)
        return {"rtol": max(self.rtol, rounding), "atol": max(self.atol, rounding)}

    def arrays(self, dtype: str) -> list[np.ndarray]:
        """The inputs, floats in the given type."""
        return [np.asarray(a, dtype=dtype) if is_float(np.asarray(a)) else np.asarray(a) for a in self.inputs]

    def reference_arrays(self, dtype: str) -> list[np.ndarray]:
        """As `arrays`, but what half precision holds is given to the reference in float64."""
        return [a.astype(np.float64) if dtype in _ROUNDING and is_float(a) else a for a in self.arrays(dtype)]

    def tensors(self, dtype: str, device: str = "cpu", requires_grad: bool = False) -> list[gpunn.Tensor]:
        """The inputs as gpunn tensors."""
        return [gpunn.tensor(a, device=device, requires_grad=requires_grad and is_float(a)) for a in self.arrays(dtype)]


def add(name: str, function: Callable[..., Any], *inputs: Any, **options: Any) -> None:
    """Register a case; see `Case` for the options. Without floats among the inputs there is no gradient to check."""
    options.setdefault("gradient", any(is_float(np.asarray(a)) for a in inputs))
    if any(case.name == name for case in CASES):
        raise ValueError(f"there are two cases named {name!r}")
    CASES.append(Case(name, function, [np.asarray(a) for a in inputs], **options))


def normal(*shape: int, seed: int = 0, low: float | None = None) -> np.ndarray:
    """Normal numbers; with `low`, their absolute values plus `low`, for functions of positive numbers."""
    x = np.random.default_rng((seed, *shape)).standard_normal(shape)
    return x if low is None else np.abs(x) + low


def off_zero(*shape: int, seed: int = 0, gap: float = 0.1) -> np.ndarray:
    """Normal numbers moved away from 0, for functions with a kink there."""
    x = normal(*shape, seed=seed)
    return x + np.copysign(gap, x)


def distinct(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers at least 0.1 apart, in random order, for maxima."""
    n = int(np.prod(shape))
    return (np.random.default_rng((seed, *shape)).permutation(n) * 0.1 - n * 0.05).reshape(shape)


_ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


def is_float(array: np.ndarray) -> bool:
    """Whether the elements are floats; bfloat16 is not of NumPy's kind "f"."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def as_tuple(result: Any) -> tuple[Any, ...]:
    """One result or several, as a tuple."""
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def strided(array: np.ndarray) -> np.ndarray:
    """The same values in memory with gaps and in another order."""
    if array.ndim == 0:
        return array
    big = np.zeros(tuple(2 * n for n in array.shape[::-1]), dtype=array.dtype)
    view = big[tuple(slice(None, None, 2) for _ in array.shape)].transpose()
    view[...] = array
    return view


@contextmanager
def recorded_ops(watch: Callable[[Any, Any, Any, Any], None] | None = None, backend: Any = None) -> Iterator[set[str]]:
    """The names of all ops that run inside; `watch` sees each op with its arrays, its shapes and its results."""
    names: set[str] = set()

    class Recorder:
        layer = function = ""

        def enter(self, module: Any) -> str:
            return ""

        def keep_state(self, generator: Any) -> None:
            """It may go on."""

        def is_state(self, tensor: Any) -> bool:
            return False

        def is_written(self, tensor: Any) -> bool:
            return False

        def is_constant(self, tensor: Any) -> bool:
            return False

        def leave(self, what: str) -> None:
            """Nothing is given up."""

        def refuse(self, what: str) -> None:
            """Nothing is refused."""

        def strides(self, tensor: Any) -> tuple[int, ...]:
            return tuple(tensor.device.backend.strides(tensor._data))

        def next_call(self, generator: Any, stream: int, number: int) -> int:
            return number

        def __call__(self, op: Any, inputs: Any, result: Any) -> Any:
            arrays = [getattr(x, "_data", x) for x in inputs]
            names.add(op.name)
            first = result if not isinstance(result, tuple) else result[0]
            with np.errstate(all="ignore"):
                here = backend or first.device.backend
                if op.name == "Transfer":  # from a device that is not known here
                    arrays = [array.get() if hasattr(array, "get") else array for array in arrays]
                    data = here.from_numpy(arrays[0])
                else:
                    data = op.forward(here, *arrays)
                data = here.asarray(data) if not isinstance(data, tuple) else tuple(map(here.asarray, data))
                if watch is not None:
                    watch(op, arrays, result, data)
            return data

        def read(self, tensor: Any) -> None:
            pass

        def assign(self, target: Any, value: Any) -> None:
            target.device.backend.copy(value._data, out=target._data)

    state.tracer = Recorder()
    try:
        yield names
    finally:
        state.tracer = None


def strided_tensor(array: np.ndarray, device: str) -> gpunn.Tensor:
    """As `strided`, on a device."""
    view = strided(array)
    if view is array:
        return gpunn.tensor(array, device=device)
    big = gpunn.tensor(view.base, device=device)
    return big[(slice(None, None, 2),) * array.ndim].permute(*reversed(range(array.ndim)))


def run(case: Case, dtype: str, device: str = "cpu") -> None:
    """The case forward and, where it has a gradient, backward."""
    results = as_tuple(case.function(*case.tensors(dtype, device, requires_grad=case.gradient)))
    if case.gradient:
        gpunn.autograd.backward([y.sum() for y in results if y.requires_grad])
