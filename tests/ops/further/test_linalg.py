"""Linear algebra: values, gradients and second gradients against PyTorch's, in float64, and errors."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.autograd import gradgradcheck
from gpunn.linalg import LinAlgError

from ..composed.test_against_torch import drawn, results

INF = float("inf")
A, B, TALL, WIDE = drawn(3, 3), drawn(2, 3, 3), drawn(5, 3), drawn(2, 3, 5)
SPD = B @ B.transpose(0, 2, 1) + np.eye(3)
SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
LOWER = np.tril(A) + 2 * np.eye(3)


def linalg(name, *args, **options):
    return lambda t, *tensors: getattr(t.linalg, name)(*tensors, *args, **options)


def old(name, *args, **options):
    return lambda t, *tensors: getattr(t, name)(*tensors, *args, **options)


def symmetric(x):
    return x + x.mT


def fixed(name, *places, **options):
    """Of factors whose signs are free what does not depend on them: squares, and products."""

    def of(t, x):
        found = getattr(t.linalg, name)(x, **options)
        return [found[i] ** 2 for i in places]

    return of


CALLS = [
    (linalg("inv"), B),
    (linalg("solve"), A, drawn(3)),
    (linalg("solve"), B, drawn(2, 3)),
    (linalg("solve"), B, drawn(3, 4)),
    (linalg("solve", left=False), A, drawn(2, 4, 3)),
    (lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False), LOWER, drawn(2, 3, 2)),
    (lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True, unitriangular=True), A, drawn(3, 2)),
    (lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False, left=False), LOWER, drawn(2, 3)),
    (lambda t, x: t.linalg.cholesky(symmetric(x)), SPD),
    (lambda t, x: t.linalg.cholesky(symmetric(x), upper=True), SPD),
    (lambda t, x: t.linalg.cholesky_ex(x), SPD),
    (lambda t, x: t.linalg.inv_ex(x), B),
    *((fixed("qr", 0, 1), x) for x in (TALL, A, WIDE)),
    (lambda t, x: t.linalg.qr(x, "complete")[1].abs(), WIDE),
    (lambda t, x: t.linalg.qr(x.detach(), "r")[1].abs(), TALL),
    *((fixed("svd", 0, 1, 2, full_matrices=False), x) for x in (TALL, B, WIDE)),
    (linalg("svdvals"), WIDE),
    (lambda t, x: (lambda v, q: [v, q**2])(*t.linalg.eigh(symmetric(x))), B),
    (lambda t, x: t.linalg.eigvalsh(x, UPLO="U"), A),
    *((linalg("det"), x) for x in (A, B, np.zeros((3, 3)))),
    (linalg("slogdet"), B),
    (linalg("matrix_rank"), np.stack([A, SINGULAR])),
    *((linalg("matrix_power", n), B) for n in (0, 3, -2)),
    *((linalg("matrix_exp"), x) for x in (B, A * 5, np.zeros((2, 2)))),
    (linalg("pinv"), TALL),
    (linalg("pinv"), WIDE),
    (linalg("pinv", rtol=1e-6), SINGULAR),
    (lambda t, a, b: list(t.linalg.lstsq(a, b))[:2], TALL, drawn(5, 2)),
    (lambda t, a, b: t.linalg.lstsq(a, b)[0], WIDE, drawn(2, 3, 1)),
    *((lambda t, x: list(t.linalg.lu(x)), x) for x in (A, B)),
    *((lambda t, x: list(t.linalg.lu_factor(x)), x) for x in (A, B, TALL, WIDE)),
    (lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(a), b), B, drawn(2, 3, 2)),
    (lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(a), b, adjoint=True), A, drawn(3, 2)),
    (lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(a), b, left=False), A, drawn(2, 3)),
    (linalg("householder_product"), TALL, drawn(3)),
    *((linalg("cond", p), A) for p in (None, 2, -2)),
    *((lambda t, x, p=p: t.linalg.cond(x.detach(), p), A) for p in (1, INF, "fro", "nuc")),
    *((linalg("matrix_norm", p), WIDE) for p in ("fro", "nuc", 2, -2, 1, -1, INF, -INF)),
    (linalg("matrix_norm", 1, (0, 2), True), B),
    (linalg("norm"), B),
    (linalg("norm", 3), drawn(7)),
    (linalg("norm", "nuc"), A),
    (linalg("norm", 1), A),
    (linalg("norm", 3, -1, True), B),
    (linalg("vector_norm", 3, -1), B),
    (linalg("cross"), A, drawn(3, 3)[::-1].copy()),
    (linalg("diagonal", offset=1), B),
    (linalg("vander", N=4), drawn(2, 3)),
    (linalg("vecdot"), B, B[::-1].copy()),
    (linalg("matmul"), A, B),
    (lambda t, x, y, z: t.linalg.multi_dot((x, y, z)), drawn(3), A, TALL.T.copy()),
    (linalg("tensorsolve"), drawn(2, 3, 6), drawn(2, 3)),
    (lambda t, a, b: t.linalg.tensorsolve(a, b, dims=(0,)), drawn(6, 2, 3), drawn(2, 3)),
    (linalg("tensorinv", ind=1), drawn(4, 2, 2)),
    (old("inverse"), B),
    (old("pinverse"), TALL),
    (old("det"), B),
    (old("slogdet"), B),
    (old("logdet"), B),
    (old("matrix_exp"), A),
    (old("cholesky"), SPD),
    (lambda t, b, x: t.cholesky_solve(b, t.tril(x)), drawn(3, 2), LOWER),
    (lambda t, x: t.cholesky_inverse(t.tril(x)), LOWER),
    (lambda t, x: t.qr(x)[1].abs(), TALL),
    (lambda t, x: t.svd(x)[1], TALL),
    (lambda t, x: [v.abs() for v in t.svd(x)], A),
    (lambda t, x: t.lu_unpack(*t.linalg.lu_factor(x)), B),
    (lambda t, b, x: t.lu_solve(b, *t.linalg.lu_factor(x)), drawn(2, 3, 1), B),
    (lambda t, b, x: t.triangular_solve(b, x)[0], drawn(3, 2), LOWER.T.copy()),
    (lambda t, b, x: t.triangular_solve(b, x, upper=False, transpose=True)[0], drawn(3, 2), LOWER),
    (lambda t, x: [v.detach() for v in t.geqrf(x)], TALL),
    (lambda t, x, y: t.ormqr(*(v.detach() for v in t.geqrf(x)), y), TALL, drawn(5, 2)),
    (lambda t, x, y: t.ormqr(*(v.detach() for v in t.geqrf(x)), y, left=False, transpose=True), TALL, drawn(2, 5)),
    (old("orgqr"), TALL, drawn(3)),
    (old("frobenius_norm", dim=(0, 1)), A),
    (old("nuclear_norm"), A),
    (old("norm_except_dim", 2, 1), B),
    (lambda t, x: t.svd(x.detach(), compute_uv=False), A),
    (lambda t, x: t.lu_unpack(*t.linalg.lu_factor(x.detach())), drawn(2, 2, 3)),
    (lambda t, x: [v.detach() for v in t.geqrf(x)], np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 0.0]])),
    (lambda t, x: [v.detach().abs() for v in t.pca_lowrank(x, q=3)], drawn(2, 4, 3)),
    (lambda t, x: [(v * v).sum(-1) for v in t.linalg.qr(x, mode="complete")], drawn(3, 3)),
]  # fmt: skip
SECOND = (0, 1, 5, 8, 12, 13, 14, 17, 18, 20, 23, 29, 32, 36, 40, 41, 43, 44)


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
@pytest.mark.filterwarnings("ignore")
def test_as_torch(torch, call):
    function, *arrays = call
    values, gradients = results(gpunn, function, arrays, gpunn.tensor)
    wanted, slopes = results(torch, function, arrays, torch.tensor)
    assert len(values) == len(wanted)
    for y, expected in zip(values, wanted):
        assert tuple(y.shape) == tuple(expected.shape) and str(y.dtype)[6:] == str(expected.dtype)[6:]
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-9, atol=1e-11)
    for g, expected in zip(gradients, slopes):
        if expected is not None:
            g = np.zeros(tuple(expected.shape)) if g is None else g.numpy()
            np.testing.assert_allclose(g, expected.numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("place", SECOND)
def test_second_derivatives(place):
    function, *arrays = CALLS[place]
    inputs = [gpunn.tensor(a, requires_grad=True) for a in arrays]
    assert gradgradcheck(lambda *x: function(gpunn, *x), inputs, fast_mode=True, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("place", (1, 8, 17))
def test_on_the_simulator(place):
    function, *arrays = CALLS[place]
    values, gradients = results(gpunn, function, arrays, lambda a: gpunn.tensor(a, device="sim"))
    expected, slopes = results(gpunn, function, arrays, gpunn.tensor)
    for found, wanted in zip([*values, *gradients], [*expected, *slopes]):
        assert found.device.type == "sim"
        np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-9, atol=1e-11)


def test_what_has_no_inverse_and_no_factors():
    singular = gpunn.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=gpunn.float64)
    for function in (gpunn.linalg.inv, lambda x: gpunn.linalg.solve(x, x[0])):
        with pytest.raises(LinAlgError, match=r"linalg.\w+: .*singular"):
            function(singular)
    with pytest.raises(LinAlgError, match="leading minor of order 2 is not positive-definite"):
        gpunn.linalg.cholesky(singular)
    with pytest.raises(LinAlgError, match=r"U\[1\] is zero"):
        gpunn.linalg.lu_factor(singular)
    found = gpunn.linalg.inv_ex(gpunn.stack([singular, gpunn.eye(2).double()]))
    assert found.info.tolist() == [1, 0] and found.inverse[1].tolist() == [[1, 0], [0, 1]]
    assert gpunn.linalg.cholesky_ex(singular).info.item() == 2
    assert issubclass(LinAlgError, RuntimeError)


def test_what_is_refused():
    x = gpunn.ones(2, 3)
    with pytest.raises(RuntimeError, match="square matrices, but they are 2 by 3"):
        gpunn.linalg.inv(x)
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        gpunn.linalg.svd(x[0])
    with pytest.raises(RuntimeError, match=r"float32 and float64.*convert with .float\(\)"):
        gpunn.linalg.det(gpunn.ones(2, 2).half())
    with pytest.raises(TypeError, match="takes tensors, got ndarray"):
        gpunn.linalg.inv(np.eye(2))
    with pytest.raises(RuntimeError, match="mode is 'reduced'"):
        gpunn.linalg.qr(x, "full")
    with pytest.raises(RuntimeError, match="Order 7"):
        gpunn.linalg.matrix_norm(x, 7)
    with pytest.raises(RuntimeError, match="Incompatible shapes"):
        gpunn.linalg.solve(gpunn.eye(3), x)


def test_the_gradient_of_the_determinant_of_a_singular_matrix():
    # PyTorch has 0 there; the cofactors of SINGULAR, worked by hand: dx_ij of det is (-1)^(i+j) times the minor
    x = gpunn.tensor(SINGULAR, requires_grad=True)
    gpunn.linalg.det(x).backward()
    expected = [[4.0, 4.0, -4.0], [-2.0, -2.0, 2.0], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-12)
    assert gpunn.autograd.gradcheck(gpunn.linalg.det, [gpunn.tensor(SINGULAR, requires_grad=True)])


def test_least_squares_of_other_drivers():
    a, b = gpunn.tensor(TALL), gpunn.tensor(drawn(5, 2))
    found = gpunn.linalg.lstsq(a, b, driver="gelsd")
    rest = ((TALL @ found.solution.numpy() - b.numpy()) ** 2).sum(0)
    np.testing.assert_allclose(found.residuals.numpy(), rest, rtol=1e-12)
    np.testing.assert_allclose(found.singular_values.numpy(), np.linalg.svd(TALL, compute_uv=False), rtol=1e-12)
    assert found.rank.item() == 3
