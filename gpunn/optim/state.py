"""What an optimizer remembers of a parameter: moments, and numbers such as the count of its steps."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import float32
from gpunn.tensor import tensor

from .checks import is_number

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def check_shapes(p: Tensor, values: dict[str, Any], names: Iterable[str]) -> None:
    """Raise ValueError where a state dictionary holds what is not of a parameter like this."""
    count = values.get("step", 0)
    if not is_number(count) and getattr(count, "shape", None) not in ((), (1,)):
        raise ValueError(f"the number of steps of a parameter {p._spec!r} is {count!r}; expected a number")
    for name in names:
        value = values.get(name)
        if value is not None and tuple(getattr(value, "shape", ())) != tuple(p.shape):
            raise ValueError(
                f"the state {name!r} of a parameter {p._spec!r} has shape {list(getattr(value, 'shape', ()))}; was it "
                "saved by the optimizer of another model?"
            )


def owned(p: Tensor, value: Any, number: bool) -> Any:
    """A copy of what a state dictionary holds for a parameter: tensors and arrays as tensors, the rest as it is."""
    if not hasattr(value, "__array__"):
        return copy.deepcopy(value)
    return tensor(value, device="cpu") if number else tensor(value, dtype=p.dtype, device=p.device)


def advance(state: dict[str, Any]) -> float:
    """Count a step, and return its number."""
    count = number(state, "step")
    value = float(count._data) + 1
    count._data.fill(value)
    count._version[0] += 1
    return value


def number(state: dict[str, Any], name: str, initial: float = 0.0) -> Tensor:
    """A number of the state, `initial` where there is none. As in PyTorch a tensor, of float32; it lives on the CPU."""
    found = state.get(name)
    if not isinstance(found, TensorBase) or found.device.type != "cpu":
        value = initial if found is None else float(found)
        found = state[name] = tensor(value, dtype=float32, device="cpu")
    return found  # type: ignore[return-value]
