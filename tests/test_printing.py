"""Tensors as text."""

from __future__ import annotations

import pytest

import gpunn


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: gpunn.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: gpunn.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: gpunn.tensor([True, False]), "tensor([ True, False])"),
        (lambda: gpunn.tensor(3), "tensor(3)"),
        (lambda: gpunn.tensor([1.0], dtype=gpunn.float64), "tensor([1.], dtype=gpunn.float64)"),
        (lambda: gpunn.tensor([1.5], dtype=gpunn.bfloat16), "tensor([1.5], dtype=gpunn.bfloat16)"),
        (lambda: gpunn.tensor([1], dtype=gpunn.int8), "tensor([1], dtype=gpunn.int8)"),
        (lambda: gpunn.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: gpunn.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<MulBackward>)"),
        (lambda: gpunn.zeros(0), "tensor([])"),
        (lambda: gpunn.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: gpunn.zeros(0, dtype=gpunn.int64), "tensor([], dtype=gpunn.int64)"),
        (lambda: gpunn.tensor([float("nan"), float("-inf")]), "tensor([ nan, -inf])"),
    ],
)
def test_repr(make, text: str) -> None:
    assert repr(make()) == text
    assert str(make()) == text


def test_large_tensors_are_shortened() -> None:
    text = repr(gpunn.zeros(1000, 1000))
    assert "..." in text
    assert len(text) < 1000


def test_what_is_printed_is_what_is_there() -> None:
    values = gpunn.randn(3, 4)
    namespace = {"tensor": gpunn.tensor}
    assert gpunn.allclose(eval(repr(values), namespace), values, atol=1e-4)


def test_format() -> None:
    x = gpunn.tensor(1.23456)
    assert f"{x:.2f}" == "1.23"
    assert f"{x}" == f"{x.item()}"
    assert f"{gpunn.tensor(3):04d}" == "0003"
    assert f"{gpunn.tensor([1.5])}" == "tensor([1.5])"
    with pytest.raises(TypeError, match="format"):
        f"{gpunn.tensor([1.5]):.2f}"
