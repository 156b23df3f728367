"""Functions that are made of ops: values and gradients against PyTorch's, in float64, and the same on the simulator."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

import gpunn

NAN, INF = float("nan"), float("inf")
SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, INF, -INF, NAN])
TIES = np.array([3.0, 1.0, 2.0, 1.0, 3.0, 3.0])
INTEGERS = np.array([3, 1, 2, 1, 3, 3, 0])


def drawn(*shape):
    return np.random.default_rng(zlib.crc32(repr(shape).encode())).standard_normal(shape)


A, B, V, W, C = drawn(3, 4), drawn(4, 5), drawn(4), drawn(3), drawn(2, 3, 4)
HOLES = np.where(drawn(4, 5) > 0.8, NAN, drawn(4, 5))
SORTED = np.sort(drawn(2, 7), -1)
WIDE = np.array([1e200, 3.0, 0.0, 1e-200, 2.0])

# For each name calls f(library, *tensors), and the tensors.
CALLS = {
    "absolute": [(lambda t, x: t.absolute(x), A), (lambda t, x: x.absolute(), A)],
    "arccos": [(lambda t, x: t.arccos(x * 0.3), A)],
    "arccosh": [(lambda t, x: t.arccosh(x * x + 1.1), A)],
    "arcsinh": [(lambda t, x: t.arcsinh(x), A)],
    "arctanh": [(lambda t, x: t.arctanh(x * 0.3), A)],
    "arcsin": [(lambda t, x: t.arcsin(x * 0.3), A)],
    "arctan": [(lambda t, x: t.arctan(x), A)],
    "arctan2": [(lambda t, x, y: t.arctan2(x, y), A, V)],
    "addbmm": [(lambda t, m, x, y: t.addbmm(m, x, y, beta=0.5, alpha=2), drawn(3, 5), C, drawn(2, 4, 5))],
    "addmv": [(lambda t, v, m, x: t.addmv(v, m, x, beta=2), W, A, V), (lambda t, v, m, x: v.addmv(m, x), W, A, V)],
    "addr": [(lambda t, m, x, y: t.addr(m, x, y, alpha=3), A, W, V)],
    "adjoint": [(lambda t, x: t.adjoint(x), C)],
    "aminmax": [(lambda t, x: t.aminmax(x, dim=1, keepdim=True), A), (lambda t, x: x.aminmax(), A)],
    "argwhere": [(lambda t, x: t.argwhere(x > 0), A)],
    "atleast_1d": [(lambda t, x: t.atleast_1d(x), np.array(2.0)), (lambda t, x, y: t.atleast_1d((x, y)), V, A)],
    "atleast_2d": [(lambda t, x: t.atleast_2d(x), V), (lambda t, x, y: t.atleast_2d(x, y), np.array(1.0), C)],
    "atleast_3d": [(lambda t, x: t.atleast_3d(x), V), (lambda t, x, y: t.atleast_3d(x, y), A, np.array(1.0))],
    "baddbmm": [(lambda t, m, x, y: t.baddbmm(m, x, y, beta=2, alpha=0.5), drawn(2, 3, 5), C, drawn(2, 4, 5))],
    "bilinear": [
        (
            lambda t, x, y, w, b: t.nn.functional.bilinear(x, y, w, b),
            drawn(6, 3),
            drawn(6, 4),
            drawn(5, 3, 4),
            drawn(5),
        ),
        (lambda t, x, y, w: t.nn.functional.bilinear(x, y, w), drawn(2, 6, 3), drawn(2, 6, 4), drawn(5, 3, 4)),
    ],
    "bincount": [
        (lambda t, x: t.bincount(x, minlength=6), INTEGERS),
        (lambda t, x, w: t.bincount(x, w), INTEGERS, drawn(7)),
        (lambda t, x: t.bincount(x), np.array([], np.int64)),
    ],
    "block_diag": [(lambda t, x, y, v: t.block_diag(x, y, v), A, B, V)],
    "broadcast_tensors": [(lambda t, x, y: t.broadcast_tensors(x, y), A, drawn(2, 1, 4))],
    "bucketize": [(lambda t, x, b: t.bucketize(x, b, right=True), TIES, np.array([1.0, 2.0, 3.0]))],
    "cartesian_prod": [(lambda t, x, y: t.cartesian_prod(x, y), V, W), (lambda t, x: t.cartesian_prod(x), V)],
    "cdist": [
        *((lambda t, x, y, p=p: t.cdist(x, y, p), drawn(2, 5, 3), drawn(2, 4, 3)) for p in (1.0, 2.0, 3.0, INF)),
    ],
    "chain_matmul": [(lambda t, x, y: t.linalg.multi_dot((x, y)) if t is not gpunn else t.chain_matmul(x, y), A, B)],
    "clip": [(lambda t, x: t.clip(x, -0.5, 0.5), A)],
    "column_stack": [(lambda t, x, y: t.column_stack((x, y)), W, A)],
    "combinations": [
        (lambda t, x: t.combinations(x, 3), V),
        (lambda t, x: t.combinations(x, with_replacement=True), V),
    ],
    "copysign": [(lambda t, x, y: t.copysign(x, y), A, V), (lambda t, x: t.copysign(x, -0.0), A)],
    "corrcoef": [(lambda t, x: t.corrcoef(x), A), (lambda t, x: t.corrcoef(x), V)],
    "cov": [
        (lambda t, x: t.cov(x), A),
        (lambda t, x: t.cov(x, correction=0), V),
        (lambda t, x, w: t.cov(x, fweights=w), A, np.array([1, 3, 2, 1])),
        (lambda t, x, w, a: t.cov(x, fweights=w, aweights=a.abs().detach()), A, np.array([1, 3, 2, 1]), V),
    ],
    "cross": [
        (lambda t, x, y: t.cross(x, y, dim=1), drawn(2, 3, 4), drawn(2, 3, 1)),
        (lambda t, x, y: t.cross(x, y, dim=-1), W, W[::-1].copy()),
    ],
    "cumulative_trapezoid": [(lambda t, y, x: t.cumulative_trapezoid(y, x), A, V)],
    "deg2rad": [(lambda t, x: t.deg2rad(x), A), (lambda t, x: t.deg2rad(x), INTEGERS)],
    "diff": [
        (lambda t, x: t.diff(x), A),
        (lambda t, x, y: t.diff(x, n=2, dim=0, prepend=y), A, drawn(1, 4)),
        (lambda t, x: t.diff(x > 0), A),
    ],
    "dist": [*((lambda t, x, y, p=p: t.dist(x, y, p), A, drawn(3, 4) + 1) for p in (0.5, 1, 2, 3, INF))],
    "divide": [(lambda t, x, y: t.divide(x, y), A, V), (lambda t, x: t.divide(x, 0.7, rounding_mode="floor"), A)],
    "dsplit": [(lambda t, x: t.dsplit(x, 2), C)],
    "dstack": [(lambda t, x, y: t.dstack((x, y)), A, A[::-1].copy()), (lambda t, x: t.dstack((x, x)), V)],
    "fix": [(lambda t, x: t.fix(x), A * 3)],
    "fliplr": [(lambda t, x: t.fliplr(x), C)],
    "flipud": [(lambda t, x: t.flipud(x), C)],
    "float_power": [(lambda t, x: t.float_power(x, 3), A), (lambda t, x: t.float_power(x, 2), INTEGERS)],
    "fmax": [(lambda t, x, y: t.fmax(x, y), HOLES, HOLES[::-1].copy())],
    "fmin": [(lambda t, x, y: t.fmin(x, y), HOLES, HOLES[::-1].copy())],
    "frac": [(lambda t, x: t.frac(x), A * 3)],
    "ger": [(lambda t, x, y: t.ger(x, y), V, W)],
    "greater": [(lambda t, x, y: t.greater(x, y), A, V)],
    "greater_equal": [(lambda t, x, y: t.greater_equal(x, y), A, V)],
    "heaviside": [(lambda t, x, y: t.heaviside(x, y), SPECIAL[:-1], drawn(6))],
    "histc": [
        (lambda t, x: t.histc(x, 7), drawn(50)),
        (lambda t, x: t.histc(x, bins=4, min=-1, max=1), drawn(50)),
        (lambda t, x: t.histc(x, bins=3), np.full(4, 2.0)),
    ],
    "hsplit": [(lambda t, x: t.hsplit(x, [1, 3]), A), (lambda t, x: t.hsplit(x, 2), V)],
    "hypot": [(lambda t, x, y: t.hypot(x, y), A, V), (lambda t, x, y: t.hypot(x, y), WIDE, WIDE[::-1].copy())],
    "inner": [(lambda t, x, y: t.inner(x, y), C, drawn(5, 4)), (lambda t, x, y: t.inner(x, y), V, np.array(2.0))],
    "isin": [
        (lambda t, x, y: t.isin(x, y), INTEGERS.reshape(7, 1), np.array([1, 0])),
        (lambda t, x: t.isin(x, 3, invert=True), INTEGERS),
    ],
    "isneginf": [(lambda t, x: t.isneginf(x), SPECIAL)],
    "isposinf": [(lambda t, x: t.isposinf(x), SPECIAL)],
    "isreal": [(lambda t, x: t.isreal(x), SPECIAL)],
    "kron": [(lambda t, x, y: t.kron(x, y), A, drawn(2, 3)), (lambda t, x, y: t.kron(x, y), C, V)],
    "kthvalue": [(lambda t, x: t.kthvalue(x, 2), A), (lambda t, x: t.kthvalue(x, 3, dim=0, keepdim=True), A)],
    "ldexp": [(lambda t, x, y: t.ldexp(x, y), A, np.array([1.0, -2.0, 3.0, 0.0]))],
    "less": [(lambda t, x, y: t.less(x, y), A, V)],
    "less_equal": [(lambda t, x, y: t.less_equal(x, y), A, V)],
    "logaddexp": [
        (lambda t, x, y: t.logaddexp(x, y), A, V),
        (lambda t, x, y: t.logaddexp(x, y), np.array([900.0, -900.0, -INF, INF]), np.array([899.0, -900.5, 1.0, 2.0])),
    ],
    "logaddexp2": [(lambda t, x, y: t.logaddexp2(x, y), A, V)],
    "logit": [(lambda t, x: t.logit(x.sigmoid()), A), (lambda t, x: t.logit(x, eps=0.1), np.linspace(0, 1, 6))],
    "matrix_power": [
        *((lambda t, x, n=n: t.matrix_power(x, n), drawn(2, 3, 3)) for n in (0, 1, 2, 5)),
    ],
    "median": [
        (lambda t, x: t.median(x), A),
        (lambda t, x: t.median(x, dim=1, keepdim=True), A),
        (lambda t, x: t.median(x, dim=0)[0], HOLES),
        (lambda t, x: t.median(x, dim=0)[0], INTEGERS),
    ],
    "moveaxis": [(lambda t, x: t.moveaxis(x, 0, 2), C)],
    "msort": [(lambda t, x: t.msort(x), A)],
    "multiply": [(lambda t, x, y: t.multiply(x, y), A, V)],
    "nanmean": [(lambda t, x: t.nanmean(x, dim=1), HOLES), (lambda t, x: t.nanmean(x), HOLES)],
    "nanmedian": [(lambda t, x: t.nanmedian(x, dim=1)[0], HOLES), (lambda t, x: t.nanmedian(x), HOLES)],
    "nanquantile": [(lambda t, x: t.nanquantile(x, 0.3, dim=1), HOLES)],
    "nansum": [(lambda t, x: t.nansum(x, dim=0, keepdim=True), HOLES), (lambda t, x: t.nansum(x), INTEGERS)],
    "negative": [(lambda t, x: t.negative(x), A)],
    "not_equal": [(lambda t, x, y: t.not_equal(x, y), A, V)],
    "pairwise_distance": [
        (lambda t, x, y: t.nn.functional.pairwise_distance(x, y, p=3, keepdim=True), A, drawn(3, 4)),
    ],
    "pdist": [(lambda t, x: t.pdist(x), A), (lambda t, x: t.pdist(x, 1), drawn(1, 3))],
    "positive": [(lambda t, x: t.positive(x), A)],
    "quantile": [
        (lambda t, x: t.quantile(x, 0.4), A),
        *(
            (lambda t, x, i=i: t.quantile(x, t.tensor([0.1, 0.5, 0.8], dtype=x.dtype), dim=0, interpolation=i), A)
            for i in ("linear", "lower", "higher", "midpoint", "nearest")
        ),
        (lambda t, x: t.quantile(x, 0.5, dim=1, keepdim=True), A),
        (lambda t, x: t.quantile(x, 0.5, dim=1), HOLES),
        (lambda t, x: t.quantile(x, t.tensor([0.0, 1.0], dtype=x.dtype), keepdim=True), A),
    ],
    "rad2deg": [(lambda t, x: t.rad2deg(x), A)],
    "ravel": [(lambda t, x: t.ravel(x.transpose(0, 1)), A)],
    "renorm": [*((lambda t, x, p=p: t.renorm(x, p, 1, 1.5), C) for p in (1, 2, INF))],
    "rot90": [
        *((lambda t, x, k=k: t.rot90(x, k), A) for k in (0, 1, 2, 3, -1)),
        (lambda t, x: t.rot90(x, 1, (2, 1)), C),
    ],
    "row_stack": [(lambda t, x, y: t.row_stack((x, y)), A, V)],
    "searchsorted": [
        *(
            (
                lambda t, s, x, r=r: t.searchsorted(s, x, right=r),
                SORTED,
                np.concatenate([SORTED[:, 2:4], drawn(2, 3)], 1),
            )
            for r in (False, True)
        ),
        (lambda t, s, x: t.searchsorted(s, x), np.array([1.0, 1.0, 2.0]), np.array([[1.0, 2.0], [0.0, 3.0]])),
        (lambda t, s, x: t.searchsorted(s, x, side="right", out_int32=True), np.array([1, 1, 2]), INTEGERS),
        (lambda t, s, x: t.searchsorted(s, x), np.array([1.0, 2.0, NAN]), np.array([NAN, 5.0, INF])),
        (lambda t, s, x: t.searchsorted(s, x), np.zeros(0), V),
    ],
    "sgn": [(lambda t, x: t.sgn(x), SPECIAL[:-1])],
    "signbit": [(lambda t, x: t.signbit(x), SPECIAL), (lambda t, x: t.signbit(x), -INTEGERS)],
    "sinc": [(lambda t, x: t.sinc(x), np.array([0.0, 0.5, -1.0, 2.3, 1e-9]))],
    "split_with_sizes": [(lambda t, x: t.split_with_sizes(x, [1, 3], 1), A)],
    "std_mean": [(lambda t, x: t.std_mean(x, dim=1), A), (lambda t, x: t.std_mean(x, correction=0, dim=(0, 1)), A)],
    "subtract": [(lambda t, x, y: t.subtract(x, y, alpha=2), A, V)],
    "swapaxes": [(lambda t, x: t.swapaxes(x, 0, 2), C)],
    "swapdims": [(lambda t, x: t.swapdims(x, 0, 1), C)],
    "tensordot": [
        (lambda t, x, y: t.tensordot(x, y, 1), C, drawn(4, 5)),
        (lambda t, x, y: t.tensordot(x, y), C, drawn(3, 4, 2)),
        (lambda t, x, y: t.tensordot(x, y, dims=([1, -1], [2, 0])), C, drawn(4, 5, 3)),
        (lambda t, x, y: t.tensordot(x, y, 0), V, W),
    ],
    "trace": [(lambda t, x: t.trace(x), A)],
    "trapezoid": [
        (lambda t, y, x: t.trapezoid(y, x), A, V),
        (lambda t, y: t.trapezoid(y, dx=0.5, dim=0), A),
        (lambda t, y, x: t.trapezoid(y, x, dim=1), C, W),
    ],
    "trapz": [(lambda t, y, x: t.trapz(y, x), A, V)],
    "true_divide": [(lambda t, x, y: t.true_divide(x, y), A, V)],
    "unique": [
        (lambda t, x: t.unique(x), TIES),
        (lambda t, x: t.unique(x.reshape(2, 3), return_inverse=True, return_counts=True), TIES),
        (lambda t, x: t.unique(x, return_counts=True), INTEGERS),
        (lambda t, x: t.unique(x.reshape(3, 2) // 2, dim=0, return_inverse=True), TIES),
        (lambda t, x: t.unique(x.reshape(2, 3) // 2, dim=1), TIES),
        (lambda t, x: t.unique(x), np.array([])),
    ],
    "unique_consecutive": [
        (lambda t, x: t.unique_consecutive(x, return_inverse=True, return_counts=True), TIES),
        (lambda t, x: t.unique_consecutive(x.reshape(3, 2) // 2, dim=0), TIES),
    ],
    "unsafe_chunk": [(lambda t, x: t.unsafe_chunk(x, 2, 1), A)],
    "unsafe_split": [(lambda t, x: t.unsafe_split(x, 3, 1), A)],
    "unsafe_split_with_sizes": [(lambda t, x: t.unsafe_split_with_sizes(x, [1, 3], 1), A)],
    "vander": [(lambda t, x: t.vander(x), V), (lambda t, x: t.vander(x, 3, increasing=True), V)],
    "var_mean": [(lambda t, x: t.var_mean(x, 1, unbiased=False, keepdim=True), A), (lambda t, x: t.var_mean(x), A)],
    "vdot": [(lambda t, x, y: t.vdot(x, y), V, V[::-1].copy())],
    "vsplit": [(lambda t, x: t.vsplit(x, 3), A)],
    "xlogy": [
        (lambda t, x, y: t.xlogy(x, y.abs()), A, V),
        (lambda t, x, y: t.xlogy(x, y), np.array([0.0, 0.0, 1.0, 2.0]), np.array([1.5, NAN, 0.5, 3.0])),
        (lambda t, x: t.xlogy(x, 2.5), A),
    ],
}
CASES = [pytest.param(name, call, id=f"{name}-{i}") for name, calls in CALLS.items() for i, call in enumerate(calls)]
NO_GRADIENT = ("unique", "unique_consecutive", "bincount", "heaviside", "vander", "sgn")
"""What PyTorch has no gradient of, or a tensor of zeros that NumPy can't read."""
ALSO_ON_SIM = ("unique", "searchsorted", "bincount", "quantile", "cdist", "tensordot", "median", "histc")


def results(library, function, arrays, tensor, gradient=True):
    """All results as arrays, and the gradients of a sum of them with random weights."""
    inputs = [tensor(a) for a in arrays]
    for x, a in zip(inputs, arrays):
        if a.dtype.kind == "f" and gradient:
            x.requires_grad_()
    given = function(library, *inputs)
    given = list(given) if isinstance(given, (tuple, list)) else [given]
    rng = np.random.default_rng(5)
    loss = 0
    for y in given:
        weights = rng.standard_normal(tuple(y.shape))
        if y.requires_grad:
            loss = loss + (y.nan_to_num(0.0, 0.0, 0.0) * tensor(weights)).sum()
    gradients = []
    if not isinstance(loss, int):
        loss.backward()
        gradients = [None if x.grad is None else x.grad for x in inputs]
    return [y.detach() for y in given], gradients


@pytest.mark.parametrize("name, call", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_as_torch(torch, name, call):
    function, *arrays = call
    values, gradients = results(gpunn, function, arrays, gpunn.tensor, name not in NO_GRADIENT)
    wanted, slopes = results(torch, function, arrays, torch.tensor, name not in NO_GRADIENT)
    assert len(values) == len(wanted)
    for y, expected in zip(values, wanted):
        assert tuple(y.shape) == tuple(expected.shape) and str(y.dtype)[6:] == str(expected.dtype)[6:]
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)
    for g, expected in zip(gradients, slopes):
        if expected is not None:
            g = np.zeros(tuple(expected.shape)) if g is None else g.numpy()
            np.testing.assert_allclose(g, expected.numpy(), rtol=1e-8, atol=1e-10)


def test_nothing_times_the_logarithm_of_nothing():
    assert gpunn.xlogy(gpunn.tensor([0.0, 0.0]), gpunn.tensor([0.0, INF])).tolist() == [0, 0]


def test_every_function_has_calls():
    from gpunn.ops import composed

    names = set()
    for family in ("numbers", "products", "sets", "shapes", "statistics", "synonyms"):
        names |= set(__import__(f"{composed.__name__}.{family}", fromlist=["*"]).__all__)
    assert names - set(CALLS) == {"broadcast_shapes"}
    assert gpunn.broadcast_shapes((2, 1), 3, (4, 1, 1)) == (4, 2, 3)
    with pytest.raises(RuntimeError, match="broadcast_shapes"):
        gpunn.broadcast_shapes((2,), (3,))


@pytest.mark.parametrize("name", ALSO_ON_SIM)
def test_on_the_simulator(name):
    function, *arrays = CALLS[name][0]
    values, gradients = results(gpunn, function, arrays, lambda a: gpunn.tensor(a, device="sim"))
    expected, slopes = results(gpunn, function, arrays, gpunn.tensor)
    for found, wanted in zip([*values, *gradients], [*expected, *slopes]):
        assert found.device.type == "sim"
        np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-10, atol=1e-12)
