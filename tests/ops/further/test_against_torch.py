"""Functions that are loaded when they are first asked for: values and gradients against PyTorch's, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.autograd import gradgradcheck
from gpunn.later import WHERE

from ..composed.test_against_torch import HOLES, INF, INTEGERS, NAN, SPECIAL, TIES, A, C, V, W, drawn, results

P = np.array([0.01, 0.3, 0.5, 0.77, 0.999])
HIGH = np.abs(A) + 0.2
INDEX = np.array([[0, 2, 1, 0], [2, 2, 0, 1]])
ZEROS = np.array([[0.0, 2.0, 3.0, 0.0], [1.0, 0.0, -2.0, 4.0], [0.0, 0.0, 5.0, 1.0]])
LEVELS = np.array([3.0, 1.0, 2.0, 1.0, 3.0])
SHIFTS = np.array([0, 1, 3, 7, 8, -1])
BYTES = np.array([1, -3, 127, -128, 5, 77], np.int8)


def method(name, *args, **options):
    return lambda t, x, *more: getattr(x, name)(*more, *args, **options)


def function(name, *args, **options):
    return lambda t, *tensors: getattr(t, name)(*tensors, *args, **options)


def special(name, *args):
    return lambda t, *tensors: getattr(t.special, name)(*tensors, *args)


# For each name calls f(library, *tensors), and the tensors.
CALLS = {
    "erfc": [(function("erfc"), A * 3), (function("erfc"), SPECIAL), (method("erfc"), INTEGERS)],
    "erfinv": [(function("erfinv"), P), (function("erfinv"), np.array([0.0, -1.0, 1.0, 1.5, NAN, 1e-12]))],
    "i0": [(function("i0"), A * 20), (function("i0"), SPECIAL)],
    "digamma": [(function("digamma"), A * 5), (function("digamma"), SPECIAL)],
    "lgamma": [(function("lgamma"), A * 5), (function("lgamma"), SPECIAL), (function("lgamma"), INTEGERS)],
    "igamma": [
        (lambda t, x: t.igamma(x.detach() * 0 + 3.5, x), HIGH * 5),
        (lambda t, x: t.igamma(x.detach() * 2, x), HIGH * 5),
    ],
    "igammac": [(lambda t, x: t.igammac(t.tensor([0.5, 2.0, 7.0, 19.0], dtype=x.dtype), x), HIGH * 5)],
    "mvlgamma": [(function("mvlgamma", 3), HIGH + 2), (method("mvlgamma", 1), HIGH)],
    "polygamma": [(lambda t, x, n=n: t.polygamma(n, x), HIGH) for n in (0, 2, 3)],
    "cummax": [(function("cummax", 1), A), (function("cummax", 0), TIES), (lambda t, x: t.cummax(x, -1)[0], HOLES)],
    "cummin": [(function("cummin", 1), A), (function("cummin", 0), TIES), (method("cummin", 0), np.array(2.0))],
    "cumprod": [
        (function("cumprod", 1), A),
        (function("cumprod", 0), ZEROS),
        (function("cumprod", 0), INTEGERS),
        (function("cumprod", 0), np.array(3.0)),
    ],
    "logcumsumexp": [(function("logcumsumexp", 1), A), (function("logcumsumexp", 0), np.array([-INF, 900.0, 1.0]))],
    "histogram": [
        (function("histogram", 4), drawn(50)),
        (function("histogram", 3, range=(-1.0, 1.0), density=True), drawn(50)),
        (lambda t, x, w, e: t.histogram(x, e, weight=w), drawn(50), drawn(50) ** 2, np.array([-1.0, 0.0, 0.3, 2.0])),
        (function("histogram", 2), np.full(3, 2.0)),
    ],
    "histogramdd": [
        (lambda t, x: (lambda h: [h.hist, *h.bin_edges])(t.histogramdd(x, [3, 2])), drawn(30, 2)),
        (lambda t, x: t.histogramdd(x, 2, range=[-1.0, 1.0, 0.0, 1.0], density=True).hist, drawn(30, 2)),
    ],
    "mode": [
        (function("mode"), TIES),
        (function("mode", 1, True), np.round(drawn(4, 7))),
        (function("mode"), INTEGERS),
    ],
    "nonzero_static": [(function("nonzero_static", size=n), INTEGERS.reshape(7, 1)) for n in (2, 9)],
    "segment_reduce": [
        *(
            (lambda t, x, r=r: t.segment_reduce(x, r, lengths=t.tensor([2, 0, 3, 1])), drawn(6, 2))
            for r in ("sum", "mean", "max", "min", "prod")
        ),
        (lambda t, x: t.segment_reduce(x, "max", lengths=t.tensor([2, 4]), initial=0.3), drawn(6)),
    ],
    "tril_indices": [(lambda t: [t.tril_indices(3, 5, k) for k in (-1, 0, 2, -9)],)],
    "triu_indices": [(lambda t: [t.triu_indices(3, 5, k) for k in (-1, 0, 2, 7)],)],
    "unravel_index": [(lambda t, x: t.unravel_index(x, (2, 4)), INTEGERS)],
    "as_strided": [
        (function("as_strided", (2, 3), (1, 2), 1), A),
        (lambda t, x: x[1:].as_strided((2, 2), (2, 1)), A),
    ],
    "as_strided_scatter": [(function("as_strided_scatter", (2, 3), (1, 2), 1), A, drawn(2, 3))],
    "diagflat": [(function("diagflat", 1), A[:, :2].copy())],
    "diagonal_scatter": [
        (function("diagonal_scatter", 1), A, drawn(3)),
        (method("diagonal_scatter", 0, 1, 2), C, drawn(2, 3)),
    ],
    "index_copy": [(lambda t, x, v: t.index_copy(x, 1, t.tensor([3, 0]), v), A, drawn(3, 2))],
    "index_fill": [
        (lambda t, x: t.index_fill(x, 0, t.tensor([0, 2]), 1.5), A),
        (lambda t, x, v: x.index_fill(1, t.tensor([1]), v), A, np.array(2.0)),
    ],
    "index_put": [
        (lambda t, x, v: t.index_put(x, (t.tensor([0, 2]), t.tensor([1, 3])), v), A, drawn(2)),
        (lambda t, x, v: t.index_put(x, (t.tensor([0, 0, 2]),), v, accumulate=True), A, drawn(3, 4)),
    ],
    "index_reduce": [
        (
            lambda t, x, v, r=r, s=s: t.index_reduce(x, 0, t.tensor([0, 2, 0]), v, r, include_self=s),
            A,
            drawn(4, 3).T.copy(),
        )
        for r in ("prod", "mean", "amax", "amin")
        for s in (True, False)
    ]
    + [
        (lambda t, x: t.index_reduce(x, 0, t.tensor([0]), t.tensor(4.0, dtype=x.dtype), "mean"), np.array(3.0)),
    ],
    "masked_scatter": [(lambda t, x, v: t.masked_scatter(x, x > 0, v), A, drawn(12))],
    "put": [
        (lambda t, x, v: t.put(x, t.tensor([1, -1, 5]), v), A, drawn(3)),
        (lambda t, x, v: t.put(x, t.tensor([1, -1, 1]), v, accumulate=True), A, drawn(3)),
    ],
    "scatter_reduce": [
        *(
            (lambda t, x, i, v, r=r, s=s: t.scatter_reduce(x, 0, i, v, r, include_self=s), x, INDEX, v)
            for r in ("sum", "prod", "mean", "amax", "amin")
            for s in (True, False)
            for x, v in ((A, drawn(2, 4)),)
        ),
        *(
            (lambda t, x, i, v, r=r: t.scatter_reduce(x, 0, i, v, r), ZEROS, INDEX, ZEROS[1:])
            for r in ("prod", "amax", "amin")
        ),
        (lambda t, x, i: t.scatter_reduce(x, 0, i, x[:2], "mean"), INTEGERS[:6].reshape(3, 2), INDEX[:, :2]),
    ],
    "select_scatter": [(function("select_scatter", 1, -1), A, W)],
    "slice_scatter": [(function("slice_scatter", 1, 0, 4, 2), A, drawn(3, 2))],
    "bitwise_left_shift": [
        (function("bitwise_left_shift"), BYTES, SHIFTS[[0, 1, 2, 1, 0, 2]]),
        (lambda t, x: x << 2, INTEGERS),
    ],
    "bitwise_right_shift": [
        (lambda t, x, n: x >> n.to(x.dtype), BYTES, SHIFTS[[0, 1, 2, 3, 1, 2]]),
        (lambda t, x: 40 >> x, INTEGERS),
    ],
    "frexp": [(function("frexp"), np.array([0.0, 1.0, -3.7, 1e300, 1e-310]))],
    "gcd": [(function("gcd"), INTEGERS * 6, -INTEGERS[::-1] * 4), (lambda t, x: x.gcd_(x + 2), INTEGERS)],
    "lcm": [(function("lcm"), INTEGERS * 6, -INTEGERS[::-1] * 4)],
    "gradient": [
        (function("gradient"), A),
        (function("gradient", spacing=0.5, edge_order=2), A),
        (function("gradient", dim=1, spacing=[2.0]), A),
        (lambda t, x, c: t.gradient(x, spacing=(c,), dim=1, edge_order=2), A, np.array([0.0, 1.0, 1.5, 4.0])),
    ],
    "nextafter": [(function("nextafter"), SPECIAL, SPECIAL[::-1].copy())],
    "asarray": [(lambda t: t.asarray([1.0, 2.0], dtype=t.float64),)],
    "frombuffer": [(lambda t: t.frombuffer(bytearray(range(16)), dtype=t.int16, count=3, offset=2),)],
    "bartlett_window": [
        (lambda t: [t.bartlett_window(n, p, dtype=t.float64) for n in (0, 1, 2, 7) for p in (True, False)],)
    ],
    "blackman_window": [
        (lambda t: [t.blackman_window(n, p, dtype=t.float64) for n in (1, 2, 7) for p in (True, False)],)
    ],
    "hamming_window": [(lambda t: [t.hamming_window(7, p, 0.6, 0.4, dtype=t.float64) for p in (True, False)],)],
    "hann_window": [(lambda t: [t.hann_window(n, p, dtype=t.float64) for n in (1, 2, 7) for p in (True, False)],)],
    "kaiser_window": [
        (lambda t: [t.kaiser_window(7, p, b, dtype=t.float64) for p in (True, False) for b in (12.0, 3.0)],)
    ],
    "logspace": [(lambda t: [t.logspace(-1, 2, 5, dtype=t.float64), t.logspace(0, 3, 4, base=2, dtype=t.float64)],)],
    "range": [(lambda t: [t.range(1, 2.5, 0.5), t.range(3, 1, -1)],)],
    "scalar_tensor": [(lambda t: [t.scalar_tensor(3), t.scalar_tensor(2, dtype=t.int64)],)],
    "empty_strided": [(lambda t: t.empty_strided((2, 3), (1, 2)).zero_(),)],
    "empty_permuted": [(lambda t: t.empty_permuted((2, 3, 4), (0, 2, 1)).zero_(),)],
    "angle": [(function("angle"), SPECIAL)],
    "sum_to_size": [(method("sum_to_size", 1, 4), C)],
    "unfold": [
        (method("unfold", 1, 2, 2), A),
        (method("unfold", 0, 3, 1), V),
        (method("unfold", 0, 1, 1), np.array(1.0)),
    ],
    "fill_diagonal_": [
        (lambda t, x: (x * 1).fill_diagonal_(5.0), A),
        (lambda t, x: (x * 1).fill_diagonal_(5.0, wrap=True), drawn(7, 2)),
        (lambda t, x: (x * 1).fill_diagonal_(5.0), drawn(3, 3, 3)),
    ],
    "real": [(function("real"), A)],
    "conj": [(function("conj"), A)],
    "rsub": [(function("rsub", 2.0, alpha=3), A)],
    "fill": [(function("fill", 2.0), A)],
    **{
        f"{name}_copy": [(function(f"{name}_copy", *args), A)]
        for name, args in {
            "alias": (),
            "as_strided": ((2, 2), (1, 2)),
            "detach": (),
            "diagonal": (1,),
            "expand": ((2, 3, 4),),
            "narrow": (1, 1, 2),
            "permute": ((1, 0),),
            "select": (1, 2),
            "slice": (1, 0, 4, 2),
            "split": (2, 1),
            "split_with_sizes": ((1, 3), 1),
            "squeeze": (),
            "t": (),
            "transpose": (0, 1),
            "unbind": (1,),
            "unfold": (1, 2, 1),
            "unsqueeze": (1,),
            "view": ((4, 3),),
        }.items()
    },
    **{name: [(special(name), A * 2), (special(name), SPECIAL)] for name in ("erfcx", "i0e", "log_ndtr", "ndtr")},
    **{name: [(special(name), A * 2), (special(name), SPECIAL[:-1])] for name in ("i1", "i1e")},
    "ndtri": [(special("ndtri"), P), (special("ndtri"), np.array([0.0, 1.0, 1.5, -0.1, NAN, 1e-200]))],
    "entr": [(special("entr"), HIGH), (special("entr"), np.array([0.0, -1.0, NAN]))],
    "xlog1py": [
        (special("xlog1py"), A, HIGH),
        (special("xlog1py"), np.array([0.0, 0.0, 2.0]), np.array([-2.0, NAN, 0.5])),
    ],
    "zeta": [
        (lambda t, x: t.special.zeta(x.detach() * 0 + 2.5, x), HIGH),
        (lambda t, x: t.special.zeta(x.detach() + 1.5, x), HIGH),
    ],
    "multigammaln": [(special("multigammaln", 2), HIGH + 1)],
}
CASES = [
    pytest.param(f"{name}-{i}", call, id=f"{name}-{i}") for name, calls in CALLS.items() for i, call in enumerate(calls)
]
SMOOTH = (
    "erfc",
    "erfinv",
    "i0",
    "digamma",
    "lgamma",
    "mvlgamma",
    "polygamma",
    "cumprod",
    "logcumsumexp",
    "erfcx",
    "i0e",
)
SMOOTH += ("i1", "i1e", "log_ndtr", "ndtr", "ndtri", "igamma", "zeta")
ALSO_ON_SIM = (
    "erfc",
    "lgamma",
    "igamma",
    "cummax",
    "cumprod",
    "mode",
    "scatter_reduce",
    "masked_scatter",
    "gcd",
    "zeta",
)
NO_GRADIENT = ("histogram", "histogramdd", "detach_copy", "as_strided_scatter", "logcumsumexp-1")
"""Where PyTorch has none, or a wrong one (tested by differences), or NaN."""
ELSEWHERE = {  # what other files test
    *("bernoulli", "binomial", "multinomial", "normal", "poisson", "randint_like"),  # test_sampling.py
}


@pytest.mark.parametrize("name, call", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_as_torch(torch, name, call):
    called, *arrays = call
    gradient = not name.startswith(NO_GRADIENT)
    values, gradients = results(gpunn, called, arrays, gpunn.tensor, gradient)
    wanted, slopes = results(torch, called, arrays, torch.tensor, gradient)
    assert len(values) == len(wanted)
    for y, expected in zip(values, wanted):
        assert tuple(y.shape) == tuple(expected.shape) and str(y.dtype)[6:] == str(expected.dtype)[6:]
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
    for g, expected in zip(gradients, slopes):
        if expected is not None:
            g = np.zeros(tuple(expected.shape)) if g is None else g.numpy()
            np.testing.assert_allclose(g, expected.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives(name):
    called, *arrays = CALLS[name][0]
    inputs = [gpunn.tensor(a[:2], requires_grad=True) for a in arrays]
    assert gradgradcheck(lambda *x: called(gpunn, *x), inputs, fast_mode=True)


@pytest.mark.parametrize("name", ALSO_ON_SIM)
def test_on_the_simulator(name):
    called, *arrays = CALLS[name][0]
    values, gradients = results(gpunn, called, arrays, lambda a: gpunn.tensor(a, device="sim"))
    expected, slopes = results(gpunn, called, arrays, gpunn.tensor)
    for found, wanted in zip([*values, *gradients], [*expected, *slopes]):
        if wanted is not None:
            assert found.device.type == "sim"
            np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-10, atol=1e-12)


def test_the_gradient_that_pytorch_has_wrong():
    x, v = (gpunn.tensor(a, requires_grad=True) for a in (A, drawn(2, 3)))
    assert gpunn.autograd.gradcheck(lambda x, v: gpunn.as_strided_scatter(x, v, (2, 3), (1, 2), 1), [x, v])


def test_every_function_has_calls():
    named = {name for name, place in WHERE.items() if place.startswith("gpunn.ops.further.")}
    named -= {name for name, place in WHERE.items() if place.endswith((".old", ".layers", ".asking"))}
    assert named - set(CALLS) - ELSEWHERE == set()
