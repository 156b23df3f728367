"""What the core functions refuse: each error names the function or what came, and what was expected."""

from __future__ import annotations

import pytest

import gpunn
from gpunn import ops

X = gpunn.ones(2, 3)
ONE = gpunn.ones(())
INTEGERS = gpunn.tensor([1, 2])
BOOLEANS = gpunn.tensor([True, False])
EMPTY = gpunn.ones(0, 2)
BYTES = gpunn.zeros(2, 1, 3, dtype=gpunn.uint8)

ERRORS = {
    "arithmetic": [
        (
            lambda: X + gpunn.ones(2),
            RuntimeError,
            r"Add: shapes \[2, 3\] and \[2\] do not broadcast: sizes 2 and 3 meet",
        ),
        (lambda: gpunn.add(X, "a"), TypeError, "Add takes tensors and numbers, got str"),
        (lambda: BOOLEANS - BOOLEANS, RuntimeError, "sub: no booleans"),
        (lambda: 1 - BOOLEANS, RuntimeError, "sub: no booleans"),
        (lambda: -BOOLEANS, RuntimeError, "neg: not for booleans"),
        (lambda: abs(BOOLEANS), RuntimeError, "abs: not for booleans"),
        (lambda: BOOLEANS // BOOLEANS, RuntimeError, "floor_divide: not for booleans"),
        (lambda: BOOLEANS % BOOLEANS, RuntimeError, "remainder: not for booleans"),
        (lambda: BOOLEANS.fmod(BOOLEANS), RuntimeError, "fmod: not for booleans"),
        (lambda: BOOLEANS**BOOLEANS, RuntimeError, "pow: not for booleans"),
        (lambda: INTEGERS // 0, RuntimeError, "ZeroDivisionError: floor_divide"),
        (lambda: INTEGERS % gpunn.tensor([1, 0]), RuntimeError, "ZeroDivisionError: remainder"),
        (lambda: INTEGERS.fmod(0), RuntimeError, "ZeroDivisionError: fmod"),
        (lambda: gpunn.div(INTEGERS, 0, rounding_mode="trunc"), RuntimeError, "ZeroDivisionError"),
        (lambda: INTEGERS**-1, RuntimeError, "Integers to negative integer powers"),
        (lambda: gpunn.div(X, X, rounding_mode="up"), RuntimeError, "None, 'trunc' or 'floor', got 'up'"),
        (
            lambda: gpunn.ones(2).float_power_(2),
            RuntimeError,
            r"float_power_: takes a float64 tensor, got float32\[2\]",
        ),
        (lambda: INTEGERS.float_power_(2), RuntimeError, "takes a float64 tensor, got int64"),
        (lambda: gpunn.exp(1), TypeError, "Exp takes a tensor, got int"),
        (lambda: gpunn.logical_not(1), TypeError, "LogicalNot takes a tensor, got int"),
    ],
    "comparison": [
        (lambda: gpunn.where(X, X, X), RuntimeError, "where: the condition must be bool, got gpunn.float32"),
        (lambda: X.clamp(), RuntimeError, "clamp: give min, max or both"),
        (lambda: X & X, RuntimeError, "& works on the bits of integers and booleans"),
        (lambda: INTEGERS | 1.5, RuntimeError, r"\| works on the bits"),
        (lambda: ~X, TypeError, "only implemented on integers"),
        (lambda: gpunn.isclose(X, X.double()), RuntimeError, r"isclose: float32\[2, 3\] did not match float64"),
        (lambda: gpunn.ones(2) == X, RuntimeError, "Compare: shapes"),
    ],
    "images": [
        (lambda: ops.gather_images(BYTES, gpunn.tensor([[0]]), ONE[None], ONE[None]), RuntimeError, "vector of int64"),
    ],
    "reduction": [
        (lambda: X.sum(2), IndexError, r"sum: dimension 2 is out of range for 2 dimensions \(expected -2 to 1\)"),
        (lambda: X.sum((0, -2)), RuntimeError, "sum: a dimension is given twice"),
        (lambda: ONE.sum(1), IndexError, "expected -1 to 0"),
        (lambda: INTEGERS.mean(), RuntimeError, r"mean: the elements are gpunn.int64, .*\.float\(\)"),
        (lambda: INTEGERS.var(), RuntimeError, "var: the elements are gpunn.int64"),
        (lambda: EMPTY.amax(), RuntimeError, "Amax: an empty dimension has no extreme element"),
        (lambda: EMPTY.min(), RuntimeError, "Amin: an empty dimension"),
        (lambda: EMPTY.argmax(0), IndexError, "ArgMax: an empty dimension"),
        (lambda: EMPTY.max(0), IndexError, "ArgMax: an empty dimension"),
        (lambda: X.topk(4), RuntimeError, r"selected index k out of range: 4 of dimension 1 of float32\[2, 3\]"),
        (lambda: X.sort(2), IndexError, "sort: dimension 2"),
        (lambda: X.cumsum(-3), IndexError, "cumsum: dimension -3"),
        (lambda: X.norm("max"), ValueError, "norm: p is a number, 'fro' or 'nuc', got 'max'"),
        (lambda: INTEGERS.norm(), RuntimeError, "vector_norm: the elements must be floats"),
    ],
    "view": [
        (lambda: X.reshape(4), RuntimeError, r"reshape: \[4\] does not fit the 6 elements of shape \[2, 3\]"),
        (lambda: X.reshape(-1, -1), RuntimeError, "only one size can be -1"),
        (lambda: X.reshape(-2, -3), RuntimeError, "does not fit"),
        (lambda: EMPTY.reshape(-1, 0), RuntimeError, "does not fit"),
        (lambda: X.reshape(2.0, 3.0), TypeError, "integers"),
        (lambda: X.view(None), TypeError, r"sizes and dimensions are integers, or one tuple of them, got \(None,\)"),
        (lambda: X.permute((0, "1")), TypeError, r"integers, or one tuple of them, got \(0, '1'\)"),
        (lambda: X.permute(0, 0), RuntimeError, "does not name each of 2 dimensions once"),
        (lambda: X.permute(0), RuntimeError, "does not name each"),
        (lambda: X.transpose(0, 2), IndexError, "transpose: dimension 2"),
        (lambda: gpunn.ones(1, 1, 1).t(), RuntimeError, "t: takes at most 2 dimensions"),
        (lambda: X.expand(3, 3), RuntimeError, r"Expand: float32\[2, 3\] does not expand to \[3, 3\]"),
        (lambda: X.expand(3), RuntimeError, "does not expand"),
        (lambda: X.expand(-1, 2, 3), RuntimeError, "a negative size"),
        (lambda: X.flatten(1, 0), RuntimeError, "start_dim 1 comes after end_dim 0"),
        (lambda: X.unflatten(1, (2, 2)), RuntimeError, "unflatten: "),
        (lambda: X.squeeze(2), IndexError, "squeeze: dimension 2"),
        (lambda: X.unsqueeze(4), IndexError, "unsqueeze: dimension 4"),
        (lambda: X.movedim((0, 1), (0, 0)), RuntimeError, "movedim"),
        (lambda: X.movedim((0, 1), 0), RuntimeError, "movedim"),
    ],
    "matmul": [
        (lambda: X @ X, RuntimeError, r"columns of the first \(3\) must be as many as the rows of the second \(2\)"),
        (lambda: X @ gpunn.ones(3, 2, dtype=gpunn.float64), RuntimeError, "the types differ"),
        (lambda: X @ ONE, RuntimeError, "both need at least one dimension"),
        (lambda: X @ 2, RuntimeError, "both need at least one dimension"),
        (lambda: gpunn.dot(X[0], X.T), RuntimeError, "dot"),
        (lambda: gpunn.matmul(X, "a"), TypeError, "matmul takes tensors and numbers, got str"),
        (lambda: gpunn.ones(2, 2).bool() @ gpunn.ones(2, 2).bool(), RuntimeError, "no product of boolean matrices"),
        (lambda: gpunn.ones(2, 2, 2) @ gpunn.ones(3, 2, 2), RuntimeError, "do not broadcast"),
        (lambda: gpunn.dot(X, X), RuntimeError, "dot: takes tensors of 1 dimensions"),
        (lambda: gpunn.mm(X, X[0]), RuntimeError, "mm: takes tensors of 2 dimensions"),
        (lambda: gpunn.mv(X, X), RuntimeError, "mv: takes tensors of 1 dimensions"),
        (lambda: gpunn.outer(X, X), RuntimeError, "outer: takes tensors of 1 dimensions"),
        (lambda: gpunn.bmm(gpunn.ones(2, 2, 2), gpunn.ones(3, 2, 2)), RuntimeError, "the batches differ"),
        (lambda: gpunn.addmm(gpunn.ones(5), X, X.t()), RuntimeError, "do not broadcast"),
        (lambda: gpunn.addmm(gpunn.ones(3, 2, 2), X, X.t()), RuntimeError, "addmm: .* does not broadcast"),
    ],
    "linear": [
        (
            lambda: ops.linear(X, gpunn.ones(4, 2)),
            RuntimeError,
            r"Linear: the input float32\[2, 3\] does not fit the weight float32\[4, 2\]: "
            "its last dimension must be 2, not 3",
        ),
        (lambda: ops.linear(ONE, gpunn.ones(4, 2)), RuntimeError, "last dimension must be 2"),
        (lambda: ops.linear(X, gpunn.ones(4, 3), gpunn.ones(3)), RuntimeError, r"bias must have shape \[4\]"),
        (lambda: ops.linear(X, gpunn.ones(4, 3, 1)), RuntimeError, "the weight has 2 dimensions"),
        (lambda: ops.linear(X, gpunn.ones(4, 3).double()), RuntimeError, "must have one type"),
        (lambda: ops.linear(X, gpunn.ones(4, 3), gpunn.ones(4).double()), RuntimeError, "must have one type"),
        (lambda: ops.linear(X.long(), gpunn.ones(4, 3).long()), RuntimeError, "takes floats"),
        (
            lambda: ops.linear_activation(X, gpunn.ones(4, 3), activation="swish"),
            ValueError,
            "no activation 'swish'; there are none, relu",
        ),
    ],
    "activation": [
        (lambda: ops.gelu(X, approximate="x"), RuntimeError, "approximate is 'none' or 'tanh', got 'x'"),
        (lambda: ops.gelu(INTEGERS), RuntimeError, r"gelu takes floats, got int64\[2\]"),
        (lambda: ops.leaky_relu(INTEGERS), RuntimeError, "leaky_relu takes floats"),
        (lambda: BOOLEANS.relu(), RuntimeError, "relu takes floats"),
        (lambda: ops.activate(X, "swish"), ValueError, "activate: there is no activation 'swish'"),
    ],
}
EVERY = [
    pytest.param(*error, id=f"{family}-{i}") for family, errors in ERRORS.items() for i, error in enumerate(errors)
]


@pytest.mark.parametrize(("call", "error", "message"), EVERY)
def test_errors(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_equal_and_allclose() -> None:
    assert gpunn.equal(X, X.clone())
    assert gpunn.equal(X, X.double())
    assert not gpunn.equal(X, gpunn.ones(3))
    assert not gpunn.equal(X, X * 2)
    assert gpunn.equal(EMPTY, EMPTY)
    assert X.allclose(X + 1e-7)
    assert not X.allclose(X + 1e-3)
    assert X.equal(X) is True


def test_rounded_integers_are_copies() -> None:
    x = gpunn.tensor([1, 2])
    y = x.floor()
    y += 1
    assert x.tolist() == [1, 2]


def test_relu_of_integers() -> None:
    assert gpunn.tensor([-1, 2]).relu().tolist() == [0, 2]


def test_costs_count_arithmetic_and_traffic() -> None:
    """2 m n k for a product; every input read and every result written once."""
    from gpunn.ops.arithmetic import Add
    from gpunn.ops.avg_pool import AvgPool2d
    from gpunn.ops.linear import LinearActivation, LinearBackward
    from gpunn.ops.matmul import MatMul
    from gpunn.ops.pool import MaxPool2d
    from gpunn.ops.reduction import Sum
    from gpunn.ops.view import Reshape

    x, w, b = gpunn.ones(5, 3)._spec, gpunn.ones(4, 3)._spec, gpunn.ones(4)._spec
    forward = LinearActivation("relu").cost(x, w, b)
    assert (forward.flop, forward.bytes) == (2 * 5 * 3 * 4, 4 * (15 + 12 + 4 + 20))
    assert LinearActivation("gelu").cost(x, w, None).bytes == 4 * (15 + 12 + 2 * 20)
    backward = LinearBackward((True, True, True)).cost(gpunn.ones(5, 4)._spec, x, w)
    assert (backward.flop, backward.bytes) == (2 * 2 * 5 * 3 * 4, 4 * (20 + 15 + 12 + 15 + 12 + 4))
    product = MatMul().cost(gpunn.ones(2, 5, 3)._spec, gpunn.ones(3, 4)._spec)
    assert (product.flop, product.bytes) == (2 * 2 * 5 * 3 * 4, 4 * (30 + 12 + 40))
    assert Add().cost(x, 2.0).flop == 15
    assert Add().cost(x, x).bytes == 4 * 45
    assert Sum((0,)).cost(x).bytes == 4 * (15 + 3)
    assert Reshape((15,)).cost(x).bytes == 0
    image = gpunn.ones(1, 1, 4, 6)._spec
    averages, maxima = AvgPool2d((2, 2), (2, 2)).cost(image), MaxPool2d((2, 2), (2, 2)).cost(image)
    assert (averages.flop, averages.bytes) == (6 * 4, 4 * (24 + 6))
    assert (maxima.flop, maxima.bytes) == (6 * 4, 4 * (24 + 6) + 6)  # and where they are, a byte each
