"""All parameters as one vector."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn.utils import parameters_to_vector, vector_to_parameters


def test_there_and_back() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    vector = parameters_to_vector(net.parameters())
    expected = np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])
    np.testing.assert_array_equal(vector.detach().numpy(), expected)
    vector.sum().backward()
    assert all((p.grad.numpy() == 1).all() for p in net.parameters())

    addresses = [p.data_ptr() for p in net.parameters()]
    vector_to_parameters(gpunn.arange(13, dtype="float32"), net.parameters())
    np.testing.assert_array_equal(net[0].weight.detach().numpy(), np.arange(6).reshape(3, 2))
    assert net[2].bias.item() == 12
    assert [p.data_ptr() for p in net.parameters()] == addresses


@pytest.mark.parametrize("size", [(3,), (5,), (2, 2)])
def test_the_sizes_must_agree(size: tuple[int, ...]) -> None:
    p = nn.Parameter(gpunn.zeros(4))
    with pytest.raises(RuntimeError, match=r"the parameters have 4 elements, got float32\["):
        vector_to_parameters(gpunn.ones(*size), [p])
    assert not p.detach().numpy().any()
    with pytest.raises(TypeError, match="takes a tensor, got list"):
        vector_to_parameters([1.0] * 4, [p])  # type: ignore[arg-type]
