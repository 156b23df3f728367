"""What lessons are made with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.tensor import Tensor

from ..derivation import Derivation, Formula
from ..draft import formula
from ..formula import parse


def said(text: str, *known: str) -> Formula:
    """A formula in the notation of the docstrings; `known` are names of several letters."""
    return formula(parse(text, known))


def numbers(values: Any) -> Tensor:
    """A float64 tensor."""
    return gpunn.tensor(np.asarray(values, np.float64))


def put(parameter: Tensor, values: Any) -> None:
    """Give a parameter these values."""
    with gpunn.no_grad():
        parameter.copy_(numbers(values))


def half_squares(output: Tensor, target: Tensor) -> Tensor:
    """1/2 of the sum of the squared differences."""
    return ((output - target) ** 2).sum() * 0.5


def remark(derivation: Derivation, name: str, text: str) -> None:
    """Say something behind the step that makes a variable."""
    step = derivation[name].written_by
    assert step is not None
    derivation.remarks[step] = text


def linear(weights: Sequence[Sequence[float]], bias: Sequence[float] | None = None) -> nn.Linear:
    """A layer with these weights (out, in)."""
    layer = nn.Linear(len(weights[0]), len(weights), bias=bias is not None).double()
    put(layer.weight, weights)
    if bias is not None:
        assert layer.bias is not None
        put(layer.bias, bias)
    return layer
