"""Orthogonal polynomials and what else of torch.special is made of others: against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn

NAMES = [f"chebyshev_polynomial_{k}" for k in "tuvw"] + [f"shifted_chebyshev_polynomial_{k}" for k in "tuvw"]
NAMES += ["hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"]
X = np.array([-2.0, -1.0, -0.3, 0.0, 0.45, 0.9, 1.0, 1.7])


@pytest.mark.parametrize("name", NAMES)
def test_polynomials_as_torch(torch, name):
    ours, theirs = getattr(gpunn.special, name), getattr(torch.special, name)
    for n in (-1, 0, 1, 2, 5, 9):
        found = ours(gpunn.tensor(X), n).numpy()
        np.testing.assert_allclose(found, theirs(torch.tensor(X), n).numpy(), rtol=1e-10, atol=1e-12, err_msg=str(n))
    orders = np.array([0, 3, -2, 1, 4, 2, 7, 5])
    found = ours(gpunn.tensor(X), gpunn.tensor(orders)).numpy()
    np.testing.assert_allclose(found, theirs(torch.tensor(X), torch.tensor(orders)).numpy(), rtol=1e-10, atol=1e-12)
    x = gpunn.tensor(X, requires_grad=True)
    assert gpunn.autograd.gradcheck(lambda x: ours(x, 4), x)


@pytest.mark.parametrize("name", ["modified_bessel_i0", "modified_bessel_i1", "spherical_bessel_j0"])
def test_bessel_as_torch(torch, name):
    found = getattr(gpunn.special, name)(gpunn.tensor(X * 3)).numpy()
    np.testing.assert_allclose(found, getattr(torch.special, name)(torch.tensor(X * 3)).numpy(), rtol=1e-7)
