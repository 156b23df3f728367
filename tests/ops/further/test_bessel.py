"""Bessel functions against SciPy's, which are those of Cephes; gradients against differences."""

import numpy as np
import pytest

import gpunn
from gpunn import special

NAMES = {
    **{"bessel_j0": "j0", "bessel_j1": "j1", "bessel_y0": "y0", "bessel_y1": "y1"},
    **{"modified_bessel_k0": "k0", "modified_bessel_k1": "k1"},
    **{"scaled_modified_bessel_k0": "k0e", "scaled_modified_bessel_k1": "k1e"},
}
PLACES = np.concatenate([np.logspace(-8, 2, 60), [0.0, -3.0, 1.0, 24.999, 25.0, 25.001, np.nan]])


@pytest.mark.parametrize("name", NAMES)
def test_bessel_functions(name):
    scipy = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    with np.errstate(all="ignore"):
        expected = getattr(scipy, NAMES[name])(PLACES)
    found = getattr(special, name)(gpunn.tensor(PLACES))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-15 if name.startswith("bessel") else 0)
    x = gpunn.tensor([0.3, 2.0, 7.0, 30.0], dtype=gpunn.float64, requires_grad=True)
    assert gpunn.autograd.gradcheck(getattr(special, name), x)
    assert gpunn.autograd.gradgradcheck(getattr(special, name), x)
    on_sim = getattr(special, name)(gpunn.tensor(PLACES, device="sim")).cpu()
    np.testing.assert_allclose(on_sim.numpy(), found.numpy(), rtol=1e-13, atol=1e-15)


def test_k_far_away_is_0():
    assert special.modified_bessel_k0(gpunn.tensor(np.inf)).item() == 0
