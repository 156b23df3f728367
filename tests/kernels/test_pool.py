"""Pooling over kernels."""

from math import ceil, floor

import numpy as np
import pytest
from ml_dtypes import bfloat16

from .harness import FAST, MODES, compare, simulator
from .windows import WINDOWS, Windows, normal, strided

BACKEND = simulator("fast", "forward")
INSIDE = {name: w for name, w in WINDOWS.items() if min(w.corner) >= 0 and name != "asymmetric"}
"""Windows that all have an element of the image."""
POOLED = {
    "halves": Windows((6, 8), (2, 2), stride=(2, 2)),
    "overlapping": Windows((7, 6), (3, 3), stride=(2, 2), corner=(1, 1)),
    "beyond": Windows((6, 7), (3, 3), stride=(2, 2), corner=(1, 1), beyond=(2, 2)),
}
ALL = INSIDE | POOLED
UNDILATED = {name: w for name, w in ALL.items() if w.dilation == (1, 1)}


def with_ties(*shape, dtype="float32"):
    return np.round(2 * normal(*shape)).astype(dtype)


@pytest.mark.parametrize("windows", ALL.values(), ids=ALL)
def test_max_pool_of_any_windows(windows):
    x = with_ties(2, 3, *windows.size)
    compare("max_pool2d", x, windows.positions, *windows[1:5], ladder="max_pool", exact=True)
    y, which = BACKEND.max_pool2d(x, windows.positions, *windows[1:5])
    compare("max_pool2d_gather", x, which, *windows[1:5], exact=True)
    compare("max_pool2d_indices", which, windows.size[1], *windows[1:5], exact=True)
    compare(
        "max_pool2d_backward",
        normal(*y.shape),
        which,
        windows.size,
        *windows[1:5],
        ladder="max_pool_backward",
        exact=True,
    )


@pytest.mark.parametrize("windows", ALL.values(), ids=ALL)
def test_max_pool_by_loops(windows):
    x = with_ties(1, 2, *windows.size)
    y, which = BACKEND.max_pool2d(x, windows.positions, *windows[1:5])
    where = BACKEND.max_pool2d_indices(which, windows.size[1], *windows[1:5])
    for n, c, r, q in np.ndindex(y.shape):
        i, j, row, column = max(windows.elements(r, q), key=lambda e: x[n, c, e[2], e[3]])  # the first of equal ones
        assert y[n, c, r, q] == x[n, c, row, column]
        assert which[n, c, r, q] == i * windows.kernel[1] + j
        assert where[n, c, r, q] == row * windows.size[1] + column
    # <dy, gather(x)> = <backward(dy), x>
    dy = normal(*y.shape, dtype="float64")
    dx = BACKEND.max_pool2d_backward(dy, which, windows.size, *windows[1:5])
    np.testing.assert_allclose(np.sum(dx * x), np.sum(dy * y), rtol=1e-12, atol=1e-12)


def test_max_pool_by_hand():
    x = np.array([[[[1, 2, 2, 0], [2, 0, 5, 5]]]], np.float32)
    y, which = BACKEND.max_pool2d(x, (1, 2), (2, 2), (2, 2), (0, 0), (1, 1))
    assert y.tolist() == [[[[2, 5]]]]
    assert which.tolist() == [[[[1, 2]]]]
    assert which.dtype == np.uint8


@pytest.mark.parametrize(
    ("windows", "forward", "backward"),
    [
        (POOLED["halves"], "pairs", "pairs"),
        (Windows((7, 8), (2, 2), stride=(2, 2)), "naive", "runs"),  # a row that no window has
        (Windows((6, 7), (2, 2), stride=(2, 2)), "naive", "runs"),  # rows that do not start at a pair
        (POOLED["overlapping"], "naive", "runs"),
        (WINDOWS["dilation"], "naive", "naive"),
    ],
)
def test_which_rung_of_max_pool_is_taken(windows, forward, backward, monkeypatch):
    launched = []
    launch = BACKEND.launch_elements
    monkeypatch.setattr(
        BACKEND, "launch_elements", lambda *args, **types: launched.append(args[1]) or launch(*args, **types)
    )
    y, which = BACKEND.max_pool2d(normal(1, 2, *windows.size), windows.positions, *windows[1:5])
    BACKEND.max_pool2d_backward(y, which, windows.size, *windows[1:5])
    assert launched == [f"max_pool_{forward}", f"max_pool_backward_{backward}"]


@pytest.mark.parametrize("values", ["nan", "-inf", "inf"])
def test_max_pool_of_what_is_not_finite(values):
    x = with_ties(1, 2, 6, 6)
    x[np.random.default_rng(3).random(x.shape) < 0.5] = float(values)
    for windows in (POOLED["halves"], POOLED["overlapping"]):
        compare("max_pool2d", x, windows.positions, *windows[1:5], ladder="max_pool", exact=True)
    compare("max_pool2d", np.full((1, 1, 5, 5), float(values), np.float32), (3, 3), (3, 3), (2, 2), (1, 1), (1, 1))


@pytest.mark.parametrize(
    "dtype",
    ["float64", "float16", bfloat16, "uint8", "int64"],
    ids=lambda d: np.dtype(d).name,
)
def test_max_pool_of_any_type(dtype):
    windows = POOLED["overlapping"]
    x = np.abs(with_ties(2, 2, *windows.size)).astype(dtype)
    x = x if dtype == "uint8" else -x
    compare("max_pool2d", x, windows.positions, *windows[1:5], exact=True, modes=FAST)
    y, which = BACKEND.max_pool2d(x, windows.positions, *windows[1:5])
    compare("max_pool2d_backward", y, which, windows.size, *windows[1:5], exact=True, modes=FAST)
    compare("max_pool2d_gather", x, which, *windows[1:5], exact=True, modes=FAST)


def test_max_pool_of_many_elements():
    windows = Windows((20, 18), (17, 17), stride=(1, 1), corner=(1, 0))
    x = normal(1, 2, *windows.size)
    compare("max_pool2d", x, windows.positions, *windows[1:5], ladder="max_pool", exact=True)
    y, which = BACKEND.max_pool2d(x, windows.positions, *windows[1:5])
    assert which.dtype == np.int32
    compare("max_pool2d_backward", y, which, windows.size, *windows[1:5], exact=True)
    compare("max_pool2d_gather", x, which, *windows[1:5], exact=True)
    compare("max_pool2d_indices", which, windows.size[1], *windows[1:5], exact=True)


@pytest.mark.parametrize(("mode", "order"), MODES)
def test_numbers_that_name_nothing_read_nothing(mode, order):
    backend, x = simulator(mode, order), normal(1, 1, 4, 4)
    which = np.array([[[[0, 200], [3, 255]]]], np.uint8)
    args = (2, 2), (2, 2), (1, 1), (1, 1)
    assert backend.max_pool2d_gather(x, which, *args)[0, 0, 0, 0] == 0  # in the padding
    assert backend.max_pool2d_backward(np.ones_like(x[..., :2, :2]), which, (4, 4), *args).sum() == 1
    last = backend.max_pool2d_gather(x, np.full((1, 1, 3, 3), 3, np.uint8), *args)  # a row and a column behind the last
    np.testing.assert_array_equal(last[0, 0], np.pad(x[0, 0, ::2, ::2], (0, 1)))


@pytest.mark.parametrize("windows", UNDILATED.values(), ids=UNDILATED)
@pytest.mark.parametrize(("count_padding", "divisor"), [(True, None), (False, None), (True, 3)])
def test_avg_pool_of_any_windows(windows, count_padding, divisor):
    x = normal(2, 3, *windows.size)
    how = *windows[1:4], count_padding, divisor
    compare("avg_pool2d", x, windows.positions, *how, exact=True)
    compare("avg_pool2d_backward", normal(2, 3, *windows.positions), windows.size, *how, exact=True)
    if not count_padding:
        got = BACKEND.avg_pool2d(x, windows.positions, *how)
        for r, q in np.ndindex(*windows.positions):
            inside = [x[:, :, row, column] for _, _, row, column in windows.elements(r, q)]
            np.testing.assert_allclose(got[:, :, r, q], np.mean(inside, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16], ids=lambda d: np.dtype(d).name)
def test_means_of_any_type(dtype):
    windows = POOLED["overlapping"]
    x, dy = normal(2, 2, *windows.size, dtype=dtype), normal(2, 2, *windows.positions, dtype=dtype)
    compare("avg_pool2d", x, windows.positions, *windows[1:4], False, None, exact=True, modes=FAST)
    compare("avg_pool2d_backward", dy, windows.size, *windows[1:4], False, None, exact=True, modes=FAST)
    compare("adaptive_avg_pool2d", x, (2, 5), ladder="adaptive_avg_pool", modes=FAST)
    compare("adaptive_avg_pool2d_backward", dy, windows.size, modes=FAST)


@pytest.mark.parametrize(
    ("size", "positions"),
    [((7, 6), (3, 4)), ((5, 4), (1, 1)), ((3, 2), (5, 7)), ((1, 9), (1, 2)), ((9, 1), (4, 1)), ((40, 30), (1, 2))],
)
def test_adaptive_avg_pool(size, positions):
    x = normal(2, 3, *size)
    compare("adaptive_avg_pool2d", x, positions, ladder="adaptive_avg_pool")
    compare("adaptive_avg_pool2d_backward", normal(2, 3, *positions), size)
    got = BACKEND.adaptive_avg_pool2d(x, positions)
    for r, q in np.ndindex(*positions):
        rows, columns = (slice(floor(i * n / o), ceil((i + 1) * n / o)) for i, n, o in zip((r, q), size, positions))
        np.testing.assert_allclose(got[:, :, r, q], x[:, :, rows, columns].mean((2, 3)), rtol=1e-5, atol=1e-6)


def test_who_has_an_adaptive_window(monkeypatch):
    """A reduction where it is the image, a thread where it is small or many are, else a warp."""
    backend, launched = simulator("fast", "forward"), []
    monkeypatch.setattr(type(backend), "launch", lambda self, text, name, *rest, **types: launched.append(name))
    for shape, positions in (
        *(((2, 3, 20, 20), (1, 1)), ((2, 3, 20, 20), (5, 5)), ((2, 3, 20, 20), (2, 2))),
        *(((32, 512, 10, 10), (2, 2)), ((32, 512, 24, 24), (2, 2))),
    ):
        backend.adaptive_avg_pool2d(np.empty(shape, "float32"), positions)
    assert [name.removeprefix("adaptive_avg_pool_") for name in launched] == [
        *("reduce_warp", "naive", "warp", "naive", "warp"),
    ]


def test_strided_inputs():
    windows = POOLED["overlapping"]
    x, dy = strided(normal(2, 3, *windows.size)), strided(normal(2, 3, *windows.positions))
    compare("max_pool2d", x, windows.positions, *windows[1:5], ladder="max_pool", exact=True)
    which = strided(BACKEND.max_pool2d(x, windows.positions, *windows[1:5])[1])
    compare("max_pool2d_backward", dy, which, windows.size, *windows[1:5], exact=True)
    compare("max_pool2d_gather", x, which, *windows[1:5], exact=True)
    compare("max_pool2d_indices", which, windows.size[1], *windows[1:5], exact=True)
    compare("avg_pool2d", x, windows.positions, *windows[1:4], True, None, exact=True)
    compare("avg_pool2d_backward", dy, windows.size, *windows[1:4], True, None, exact=True)
    compare("adaptive_avg_pool2d", x, (3, 2), ladder="adaptive_avg_pool")
    compare("adaptive_avg_pool2d_backward", dy, windows.size)


@pytest.mark.parametrize(("n", "c"), [(0, 2), (2, 0)])
def test_nothing(n, c):
    windows = POOLED["halves"]
    x, dy = normal(n, c, *windows.size), normal(n, c, *windows.positions)
    which = dy.astype(np.uint8)
    compare("max_pool2d", x, windows.positions, *windows[1:5])
    compare("max_pool2d_backward", dy, which, windows.size, *windows[1:5])
    compare("max_pool2d_gather", x, which, *windows[1:5])
    compare("max_pool2d_indices", which, windows.size[1], *windows[1:5])
    compare("avg_pool2d", x, windows.positions, *windows[1:4], True, None)
    compare("avg_pool2d_backward", dy, windows.size, *windows[1:4], True, None)
    compare("adaptive_avg_pool2d", x, (2, 2))
    compare("adaptive_avg_pool2d_backward", dy, windows.size)


def test_adaptive_avg_pool_to_nothing():
    compare("adaptive_avg_pool2d", normal(1, 2, 3, 4), (0, 2))
    compare("adaptive_avg_pool2d_backward", normal(1, 2, 0, 2), (3, 4))


@pytest.mark.parametrize("kind", [("relu", 0.0), ("leaky_relu", 0.25), ("sigmoid", 0.0), ("tanh", 0.0)])
@pytest.mark.parametrize("name", ["halves", "overlapping"])
def test_an_activation_in_front_of_max_pooling(kind, name):
    """In one launch where windows of 2 x 2 lie side by side, to the bits of two."""
    windows = ALL[name]
    p = np.abs(with_ties(2, 3, *windows.size)) / 8  # of relu, leaky_relu, sigmoid and tanh alike
    p[0] *= -1
    p, which = BACKEND.max_pool2d(p, windows.positions, *windows[1:5])
    dp = normal(*p.shape)
    args = dp, p, which, windows.size, *windows[1:5], *kind
    compare("max_pool2d_activation_backward", *args, exact=kind[0] in ("relu", "leaky_relu"))
    dz = BACKEND.activation_backward(dp, p, *kind, True)
    two = BACKEND.max_pool2d_backward(dz, which, windows.size, *windows[1:5])
    np.testing.assert_array_equal(BACKEND.max_pool2d_activation_backward(*args), two)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_an_activation_in_front_of_max_pooling_of_other_types(dtype):
    p, which = BACKEND.max_pool2d(normal(3, 5, 26, 34).astype(dtype), (13, 17), (2, 2), (2, 2), (0, 0), (1, 1))
    args = normal(*p.shape).astype(dtype), p, which, (26, 34), (2, 2), (2, 2), (0, 0), (1, 1), "tanh", 0.0
    compare("max_pool2d_activation_backward", *args, modes=FAST)


def test_a_gradient_that_is_infinite_stays_where_it_was_chosen():
    p, which = np.full((1, 1, 1, 2), [[0.5, 0.0]], np.float32), np.full((1, 1, 1, 2), [[3, 1]], np.uint8)
    dp = np.full((1, 1, 1, 2), [[np.inf, np.nan]], np.float32)
    found = BACKEND.max_pool2d_activation_backward(dp, p, which, (2, 4), (2, 2), (2, 2), (0, 0), (1, 1), "relu", 0.0)
    np.testing.assert_array_equal(found, [[[[0, 0, 0, 0], [0, np.inf, 0, 0]]]])
