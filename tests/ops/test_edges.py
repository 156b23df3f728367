"""Every function at 0, -0, infinity, NaN, ties, the smallest and the largest number: values and two orders of gradients
beside PyTorch. What differs is listed here, with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn

from .edges import INF, LARGEST, NAN, NUMBERS, OF_NUMBERS, OF_PAIRS, OF_ROWS, PAIRS, ROWS, TINY

TABLE = {
    **{name: (function, [NUMBERS]) for name, function in OF_NUMBERS.items()},
    **{name: (function, list(PAIRS)) for name, function in OF_PAIRS.items()},
    **{name: (function, [ROWS]) for name, function in OF_ROWS.items()},
}

Places = Callable[..., Any]
"""Of the inputs (n, ...): at which of the n a difference is expected."""


def anywhere(*inputs: Any) -> Any:
    return np.full(len(inputs[0]), True)


def at(*values: float) -> Places:
    return lambda *inputs: np.any([per_row(np.isin(x, values)) for x in inputs], 0) | (NAN in values) & has_nan(*inputs)


def beside(*values: float) -> Places:
    """At rows with one of the values and NaN."""
    return lambda *inputs: at(*values)(*inputs) & has_nan(*inputs)


def has_nan(*inputs: Any) -> Any:
    return np.any([per_row(np.isnan(x)) for x in inputs], 0)


IS_NAN = np.nonzero(np.isnan(NUMBERS))[0]
EVERY, SECOND = ".*", ".*/.*"
DIFFERENCES: list[tuple[str, str, Places, str]] = [
    ("c?elu.*|selu", "dx/dx", at(0, TINY), "PyTorch takes the second derivative at the kink from the right"),
    ("softplus.*", "dx/dx", at(2, 25), "above its threshold PyTorch's softplus is x itself"),
    ("prelu", SECOND, at(0), "PyTorch's second derivatives take another side of the kink than its first"),
    ("prelu", SECOND, at(INF), "0 times infinity"),
    ("glu", SECOND, at(INF, -INF), "infinity less infinity, where terms are put together in another way"),
    ("hardswish", "y", at(-INF, LARGEST), "PyTorch's product has 0 times infinity, and overflows"),
    ("0.0 / x", EVERY, at(TINY, -TINY), "PyTorch takes the reciprocal first, which is infinite"),
    ("fmod|remainder", "y", at(TINY, -TINY, LARGEST, -LARGEST, 0.5, -0.5), "PyTorch's quotient overflows"),
    ("(smooth_l1|huber)_loss.*", SECOND, at(INF, -INF), "the difference is infinity less infinity"),
    (
        "x \\*\\* -?0.5",
        "dx.*",
        at(0, -INF),
        "the gradient of a root by its value, not by another power: as in sqrt and rsqrt",
    ),
    (
        "var of no degree of freedom",
        "dx.*",
        anywhere,
        "a division by 0 before the product with the deviation, not behind",
    ),
    ("(var|std|rms_norm|layer_norm|norm|normalize|prod).*", EVERY, at(LARGEST), "what overflows on the way"),
    ("(var|std).*", "dx.*", at(INF, -INF), "the mean of deviations is infinity less infinity"),
    ("(norm|normalize) of order (0.5|1.5)", "dx.*", at(TINY), "powers of the smallest number overflow"),
    ("logcumsumexp", "dx.*", at(LARGEST), "PyTorch adds gradients up by their logarithms, in which small ones vanish"),
    ("logcumsumexp", "dx", beside(INF, -INF), "what is finite adds nothing to infinity, not even if NaN is added then"),
    ("clamp by tensors that cross", "dz", at(NAN), "PyTorch gives the upper bound the gradient of NaN"),
    (
        "norm of order (0.5|1.5|3|-1|-2)",
        "dx",
        beside(0),
        "0 at an element of 0, as everywhere: PyTorch has 0 times NaN",
    ),
    ("norm of order -?inf", "dx", at(NAN), "PyTorch's sign of NaN is 0, and so is its gradient: of a norm that is NaN"),
]
"""(functions, results, where, why): regular expressions of names, and of results as `results` calls them."""
ONCE = {"hardsigmoid"}
"""Of these PyTorch has no second derivative."""


def results(library: Any, function: Any, arrays: list[Any], **where: Any) -> dict[str, Any]:
    """y, its gradients dx, and the gradients of those, for incoming gradients of 1: as arrays, by their names."""
    inputs = [library.tensor(a, **where, requires_grad=True) for a in arrays]
    y = function(library, *inputs)
    y = y if hasattr(y, "dtype") else y[0]
    found = {"y": y}
    if y.requires_grad:
        dy = library.ones_like(y.detach()).requires_grad_()
        sources = dict(zip(("x", "z"), inputs)) | {"dy": dy}
        first = library.autograd.grad(y, inputs, dy, create_graph=True, allow_unused=True)
        for name, dx in zip(sources, first):
            found[f"d{name}"] = library.zeros_like(sources[name]) if dx is None else dx
            if dx is None or not dx.requires_grad or function in (OF_NUMBERS[name] for name in ONCE):
                continue
            second = library.autograd.grad(
                dx, list(sources.values()), library.ones_like(dx.detach()), retain_graph=True, allow_unused=True
            )
            for other, value in zip(sources, second):
                found[f"d{name}/d{other}"] = library.zeros_like(sources[other]) if value is None else value
    return {name: (t.detach().cpu() + 0).numpy() for name, t in found.items()}


def per_row(found: Any) -> Any:
    """(n, ...) as (n,): whether there is one."""
    return found.reshape(len(found), -1).any(1)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", TABLE)
def test_special_numbers(torch, name, device):
    function, arrays = TABLE[name]
    with np.errstate(all="ignore"):
        ours, theirs = results(gpunn, function, arrays, device=device), results(torch, function, arrays)
        alone = results(torch, function, [x[IS_NAN] for x in arrays]) if name in OF_NUMBERS else {}
    nan_came_in = has_nan(*arrays)
    told = []
    for result, expected in theirs.items():
        got = ours.get(result, np.zeros_like(expected))
        assert got.dtype == expected.dtype
        wrong = differ(got, expected)
        if result == "y":
            wrong = per_row(wrong)
        else:
            # PyTorch's formula has 0 times infinity where ours may have the limit
            wrong = per_row(wrong & ~np.isnan(expected)) | per_row(wrong) & nan_came_in
            # PyTorch's vectors now stop what comes to a NaN, and its loop over the elements left over lets it through.
            if result in alone:
                wrong[IS_NAN] &= differ(got[IS_NAN], alone[result])
        if "/" in result:
            wrong &= ~nan_came_in  # nothing is right there
        for functions, listed, where, _ in DIFFERENCES:
            if re.fullmatch(functions, name) and re.fullmatch(listed, result):
                wrong &= ~where(*arrays)
        where = np.nonzero(wrong)[0][:5]
        told += [f"{result} at {[x[i].tolist() for x in arrays]}: {got[i]} instead of {expected[i]}" for i in where]
    assert not told, f"{name}: " + "; ".join(told)


def differ(got: Any, expected: Any) -> Any:
    return ~np.isclose(got, expected, rtol=1e-7, atol=1e-12, equal_nan=True)


def gradients(function: Any, *values: Any, device: str) -> list[Any]:
    """Of the sum of the function's results, in each of its arguments, which are given in float64."""
    inputs = [gpunn.tensor(v, dtype="float64", device=device, requires_grad=True) for v in values]
    return [g.cpu().tolist() for g in gpunn.autograd.grad(function(*inputs).sum(), inputs)]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (lambda x: gpunn.norm(x, 0), [[0, 1, -2]], [[0, 0, 0]]),  # a count does not change
        (lambda x: gpunn.norm(x, -1), [[0, 1, -2]], [[0, 0, 0]]),  # 1 / (1/0 + 1 + 1/2) = 0, whatever the others are
        (lambda x: gpunn.norm(x, -1), [[1, -2]], [[4 / 9, -1 / 9]]),  # y = 2/3, dx = sign(x) (y / |x|)^2
        (lambda x: gpunn.norm(x, 3), [[0, 0]], [[0, 0]]),
        (gpunn.atan2, [0, 0], [0, 0]),
        (lambda y, x: gpunn.where(x > 0, gpunn.atan2(y, x), 7), [[0, 1], [0, 1]], [[0, 0.5], [0, -0.5]]),
        (lambda x: 0.0**x, [[-1, 0, 2]], [[-INF, 0, 0]]),
        (lambda x: (-0.0) ** x, [[-1, -2]], [[INF, -INF]]),  # (-0)^-1 = -inf, times ln 0
        (lambda x, y: x / y, [0, TINY], [INF, 0]),
        (lambda x, y: x.div(y, rounding_mode="trunc"), [1, 0], [0, 0]),
        (gpunn.fmod, [[7, 1], [2, INF]], [[1, 1], [-3, 0]]),
        (lambda x, w: gpunn.nn.functional.prelu(x, w), [[INF, -INF], [0.5]], [[1, 0.5], [-INF]]),
        (gpunn.nn.functional.hardswish, [[INF, -INF, 3, -3]], [[1, 0, 1, 0]]),
        (lambda x: gpunn.nn.functional.leaky_relu(x, 0.0), [[INF, 1, -1]], [[1, 1, 0]]),
        (
            lambda x, t: gpunn.nn.functional.binary_cross_entropy(x, t, reduction="none"),
            [[0, 1, 0.25], [1, 0, 0.5]],
            [[-1e12, 1e12, -4 / 3], [INF, -INF, np.log(3)]],  # (x - t) / max(x (1 - x), 1e-12) and ln((1 - x) / x)
        ),
    ],
)
def test_gradients_at_edges(function, values, expected, device):  # worked by hand
    for got, wanted in zip(gradients(function, *values, device=device), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    ("loss", "bound"), [("smooth_l1_loss", {}), ("huber_loss", {}), ("huber_loss", {"delta": 3.0})]
)
def test_losses_at_infinity_have_the_slope_of_their_line(loss, bound, device):
    slope = bound.get("delta", 1.0)
    x = gpunn.tensor([INF, -INF, 0.0], dtype="float64", device=device, requires_grad=True)
    y = getattr(gpunn.nn.functional, loss)(x, gpunn.zeros(3, dtype="float64", device=device), **bound, reduction="none")
    y.sum().backward()
    assert y.tolist() == [INF, INF, 0]
    assert x.grad.tolist() == [slope, -slope, 0]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    ("base", "exponent", "mixed"), [(-2.0, 0.0, -0.5), (-1.0, 0.0, -1.0), (2.0, 0.0, 0.5), (INF, 0.0, 0.0)]
)
def test_mixed_second_derivative_of_a_power(base, exponent, mixed, device):
    # d/da of a^b ln a is a^(b-1) (b ln a + 1), which at b = 0 is 1/a, whatever ln a is.
    a, b = (gpunn.tensor(v, dtype="float64", device=device, requires_grad=True) for v in (base, exponent))
    (db,) = gpunn.autograd.grad(a**b, b, create_graph=True)
    (dadb,) = gpunn.autograd.grad(db, a)
    assert dadb.item() == mixed


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: gpunn.nn.functional.hardtanh(x), [-1, -1, 0, 1, 1]),
        (lambda x: gpunn.nn.functional.hardtanh(x, -2.5, 4.5), [-2, -1, 0, 1, 4]),  # the limits as integers
        (lambda x: gpunn.nn.functional.relu6(x), [0, 0, 0, 1, 6]),
        (lambda x: gpunn.nn.functional.threshold(x, 0.5, 3.9), [3, 3, 3, 1, 7]),  # above 0, and 3
        (lambda x: gpunn.nn.functional.relu(x), [0, 0, 0, 1, 7]),
        (lambda x: x.clamp(-1, 2), [-1, -1, 0, 1, 2]),
    ],
)
def test_integers_stay_integers(function, expected, device):
    y = function(gpunn.tensor([-3, -1, 0, 1, 7], device=device))
    assert y.dtype is gpunn.int64
    assert y.tolist() == expected


def test_there_is_no_norm_of_negative_order_of_nothing():
    with pytest.raises(RuntimeError, match=r"no norm of order -1 of no element, in float32\[0, 3\]"):
        gpunn.norm(gpunn.zeros(0, 3), -1)
    assert gpunn.norm(gpunn.zeros(0, 3), -1, dim=1).shape == (0,)
