"""Losses of more than a prediction and a target, against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn

RNG = np.random.default_rng(0)
A, B, C = (RNG.standard_normal((5, 4)) for _ in range(3))
SIGNS = np.array([1.0, -1.0, 1.0, -1.0, -1.0])
CASES: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "ranking": ("MarginRankingLoss", {"margin": 0.3}, [A[:, 0], B[:, 0], SIGNS]),
    "gaussian": ("GaussianNLLLoss", {}, [A, B, np.abs(C)]),
    "gaussian of a variance a row": ("GaussianNLLLoss", {"full": True}, [A, B, np.abs(C[:, 0])]),
    "gaussian of small variances": ("GaussianNLLLoss", {"eps": 0.5}, [A, B, np.abs(C[:, :1])]),
    "triplet": ("TripletMarginLoss", {}, [A, B, C]),
    "triplet, swapped": ("TripletMarginLoss", {"margin": 0.5, "p": 1.0, "swap": True}, [A, B, C]),
    "triplet of one": ("TripletMarginLoss", {}, [A[0], B[0], C[0]]),
    "triplet by a distance": ("TripletMarginWithDistanceLoss", {"margin": 2.0, "swap": True}, [A, B, C]),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
def test_as_torch(torch: Any, case: str, reduction: str) -> None:
    name, options, arrays = CASES[case]
    found = []
    for library in (gpunn, torch):
        tensors = [library.tensor(a).requires_grad_(a is not SIGNS) for a in arrays]
        loss = getattr(library.nn, name)(reduction=reduction, **options)(*tensors)
        loss.sum().backward()
        found.append([loss.detach().numpy(), *(t.grad.numpy() for t in tensors if t.requires_grad)])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_distance_of_ones_own(torch: Any) -> None:
    found = []
    for library in (gpunn, torch):
        loss = library.nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: (x - y).abs().amax(-1))
        found.append(loss(*map(library.tensor, (A, B, C))).item())
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        gpunn.nn.TripletMarginLoss(margin=0)
    with pytest.raises(ValueError, match="p == 1 and p == 2"):
        gpunn.nn.MultiMarginLoss(p=3)
    with pytest.raises(ValueError, match="negative"):
        gpunn.nn.functional.gaussian_nll_loss(gpunn.tensor(A), gpunn.tensor(B), -1.0)
    with pytest.raises(ValueError, match="incorrect size"):
        gpunn.nn.functional.gaussian_nll_loss(gpunn.tensor(A), gpunn.tensor(B), gpunn.tensor(C[:2]))
    with pytest.raises(RuntimeError, match="as many dimensions"):
        gpunn.nn.MarginRankingLoss()(gpunn.tensor(A), gpunn.tensor(B), gpunn.tensor(SIGNS))
