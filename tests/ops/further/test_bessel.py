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


@pytest.mark.parametrize("dtype, small", [("float64", [5e-324, 1e-310]), ("float32", [1e-45, 1e-40])])
def test_y_and_k_of_the_smallest_numbers(dtype, small):
    """-K_0 and pi / 2 times Y_0 are there log(x / 2) + Euler's constant (A&S 9.1.13, 9.6.13)."""
    x = gpunn.tensor(small, dtype=getattr(gpunn, dtype))
    expected = np.log(x.numpy().astype(np.float64)) - np.log(2) + np.euler_gamma
    np.testing.assert_allclose(special.bessel_y0(x).numpy(), 2 / np.pi * expected, rtol=1e-6)
    np.testing.assert_allclose(special.modified_bessel_k0(x).numpy(), -expected, rtol=1e-6)
    assert (special.bessel_y1(x) < -1e37).all() and (special.modified_bessel_k1(x) > 1e37).all()


def test_spherical_bessel_j0_is_0_at_infinity():
    x = gpunn.tensor([-np.inf, np.inf, np.nan, 0.0])
    np.testing.assert_array_equal(special.spherical_bessel_j0(x).numpy(), [0, 0, np.nan, 1])
