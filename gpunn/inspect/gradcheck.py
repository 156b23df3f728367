"""Gradients against central differences, tensor by tensor, with the element that is furthest off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.autograd import grad
from gpunn.tensor import Tensor

__all__ = ["Check", "Gradcheck", "check_model", "gradcheck"]

EPS = 1e-6
"""The step of the differences: in float64 rounding, 2^-52 / EPS, and what the formula leaves out, EPS^2, are small."""
MOST_ELEMENTS = 200
"""Up to so many elements of a tensor each one is moved by itself."""


@dataclass(frozen=True)
class Check:
    """The gradient of one tensor.

    Attributes:
        name: of the tensor, such as ``features.0.weight``.
        shape: its shape.
        elements: how many were moved one by one; 0 where all were moved together, along a random direction.
        index: the element that is furthest off; None where nothing is off along the direction.
        analytic: the gradient there, or along the direction.
        numeric: the central difference, (f(x + eps) - f(x - eps)) / (2 eps).
        error: their relative difference, |analytic - numeric| / max(|analytic|, |numeric|); 0 where both are 0.
        ok: whether the difference is within the tolerance.
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    ok: bool

    def __str__(self) -> str:
        place = "along a random direction" if self.index is None else f"at {list(self.index)}"
        return (
            f"the gradient of {self.name} {list(self.shape)} {place} is {self.analytic:.9g}, and the central "
            f"difference {self.numeric:.9g} (relative error {self.error:.1e})"
        )


@dataclass(frozen=True)
class Gradcheck:
    """The gradients of all tensors; ``str()`` gives a line for each."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all gradients are right."""
        return all(check.ok for check in self.checks)

    @property
    def worst(self) -> Check:
        """The one with the largest error, of those that are wrong if there are some."""
        return max(self.checks, key=lambda check: (not check.ok, check.error))

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {"ok": self.ok, "worst": asdict(self.worst), "checks": [asdict(check) for check in self.checks]}

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """As a table: the names of its columns, and the cells of each row."""
        rows = [
            [
                *(c.name, str(list(c.shape)), "each element" if c.elements else "one direction"),
                "" if c.index is None else str(list(c.index)),
                *(f"{c.analytic:.9g}", f"{c.numeric:.9g}", f"{c.error:.1e}", "right" if c.ok else "WRONG"),
            ]
            for c in self.checks
        ]
        return ["tensor", "shape", "moved", "worst at", "gradient", "central difference", "error", ""], rows

    def _repr_html_(self) -> str:
        from gpunn import notebook

        return notebook.table(*self.cells(), note="all gradients are right" if self.ok else str(self.worst))

    def __str__(self) -> str:
        return "\n".join(f"{'right' if c.ok else 'WRONG'}: {c}" for c in self.checks)


def gradcheck(
    function: Callable[[], Tensor],
    tensors: Mapping[str, Tensor],
    *,
    eps: float = EPS,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    every_element: bool = False,
) -> Gradcheck:
    """Compare the gradient of ``function()`` in each tensor with central differences.

    Of a small tensor each element is moved by itself. A large one is moved along one random direction, which finds
    almost any mistake; where it finds one, halving the direction finds the element. Random numbers, as dropout's, are
    the same in each call. Where a difference is off it is taken once more with a step of a tenth: a kink, as that of
    ReLU, that lay between the two ends lies there no more.

    Args:
        function: computes one number from the tensors.
        tensors: float64 leaves that require a gradient, by name; they are moved, and put back.
        eps: the step.
        rtol: allowed difference relative to the larger of both.
        atol: allowed difference beside that, and beside the rounding of the differences, 100 2^-52 |f| / eps.
        every_element: move each element of large tensors too.

    Raises:
        ValueError: a tensor is not float64, or `function` gives more than one number.
    """
    for name, t in tensors.items():
        if t.dtype is not gpunn.float64:
            raise ValueError(f"gradcheck: {name} is {t._spec!r}; differences need float64, convert with .double()")
    start = gpunn.get_rng_state()
    value = function()
    if value.numel() != 1:
        raise ValueError(f"gradcheck: the function gave {value._spec!r}, expected one number; reduce it with .sum()")
    names = list(tensors)
    if value.requires_grad:
        gradients = grad(value, [tensors[name] for name in names], allow_unused=True)
    else:
        gradients = (None,) * len(names)  # type: ignore[assignment]
    noise = 100 * 2.0**-52 * abs(value.item())
    rng = np.random.default_rng(0)
    checks = []
    for name, g in zip(names, gradients):
        moved = _Moved(function, tensors[name], start)
        analytic = np.zeros(tensors[name].shape) if g is None else g.detach().cpu().numpy()
        try:
            checks.append(_check(name, moved, analytic, rng, eps, rtol, atol, noise, every_element))
        finally:
            moved.put_back()
    gpunn.set_rng_state(start)
    return Gradcheck(tuple(checks))


def check_model(
    model: Callable[..., Any],
    inputs: Sequence[Tensor],
    loss_fn: Callable[..., Tensor],
    target: Any = None,
    **options: Any,
) -> Gradcheck:
    """`gradcheck` of a loss in a model's parameters and inputs.

    Args:
        model: called with the inputs; a module is converted to float64, and its buffers, such as running statistics,
            are put back. A function has no parameters.
        inputs: tensors; of those that are floats the gradient is checked too.
        loss_fn: called with the model's result and the target, or with the result alone where that is None.
        target: for the loss.
        options: of `gradcheck`.
    """
    module = model.double() if isinstance(model, nn.Module) else nn.Module()
    xs = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    tensors: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if p.requires_grad}
    tensors |= {f"input {i}" if len(xs) > 1 else "input": x for i, x in enumerate(xs) if x.requires_grad}
    buffers = [(b, b.clone()) for b in module.buffers()]
    more = () if target is None else (target,)
    try:
        return gradcheck(lambda: loss_fn(model(*xs), *more), tensors, **options)
    finally:
        with gpunn.no_grad():
            for b, before in buffers:
                b.copy_(before)


class _Moved:
    """A function of one of its tensors."""

    def __init__(self, function: Callable[[], Tensor], tensor: Tensor, random: dict[str, Any]):
        self.function, self.tensor, self.random = function, tensor, random
        self.values = tensor.detach().cpu().numpy().copy()

    def at(self, step: Any) -> float:
        with gpunn.no_grad():
            self.tensor.copy_(gpunn.tensor(self.values + step, device=self.tensor.device))
            gpunn.set_rng_state(self.random)
            return float(self.function().item())

    def slope(self, direction: Any, eps: float) -> float:
        return (self.at(eps * direction) - self.at(-eps * direction)) / (2 * eps)

    def put_back(self) -> None:
        self.at(0.0)


def _check(
    name: str,
    moved: _Moved,
    analytic: Any,
    rng: Any,
    eps: float,
    rtol: float,
    atol: float,
    noise: float,
    every_element: bool,
) -> Check:
    def compared(direction: Any, index: tuple[int, ...] | None) -> Check:
        expected = float((analytic * direction).sum())
        for step in (eps, eps / 10):
            numeric = moved.slope(direction, step)
            size, off = max(abs(expected), abs(numeric)), abs(expected - numeric)
            # Where both are as small as their rounding, nothing can be said of their ratio.
            ok = bool(off <= atol + noise / step + rtol * size)
            if ok or not np.isfinite(off):
                break
        error = off / size if size > atol + noise / step else 0.0 if ok else 1.0
        return Check(name, shape, elements, index, expected, numeric, error, ok)

    shape, size = analytic.shape, analytic.size
    elements = size if every_element or size <= MOST_ELEMENTS else 0
    if elements or not size:
        found = [compared(_unit(shape, k), _index(shape, k)) for k in range(elements)]
        if not found:
            return Check(name, shape, 0, None, 0.0, 0.0, 0.0, True)
        return max(found, key=lambda check: (not check.ok, check.error))
    direction = rng.choice([-1.0, 1.0], shape) / size**0.5
    whole = compared(direction, None)
    if whole.ok:
        return whole
    inside = np.flatnonzero(direction)
    off = whole.analytic - whole.numeric
    while len(inside) > 1:
        half = np.zeros(shape)
        first = inside[: len(inside) // 2]
        half.reshape(-1)[first] = direction.reshape(-1)[first]
        part = float((analytic * half).sum()) - moved.slope(half, eps)
        inside, off = (first, part) if abs(part) >= abs(off - part) else (inside[len(first) :], off - part)
    k = int(inside[0])
    found_one = compared(_unit(shape, k), _index(shape, k))
    return whole if found_one.ok else found_one


def _unit(shape: tuple[int, ...], k: int) -> Any:
    direction = np.zeros(shape)
    direction.reshape(-1)[k] = 1
    return direction


def _index(shape: tuple[int, ...], k: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(k, shape)) if shape else ()
