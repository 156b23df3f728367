"""Initial values: their distributions, by statistics with bounds that a right sampler misses once in a billion."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import init

NORMAL = NormalDist()


def ks(sample: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """The Kolmogorov-Smirnov statistic sup |F_n(x) - F(x)|, times sqrt(n)."""
    x = np.sort(sample.ravel())
    n, f = x.size, cdf(x)
    steps = np.arange(n + 1) / n
    return float(np.sqrt(n) * max(np.abs(steps[1:] - f).max(), np.abs(steps[:-1] - f).max()))


# P(K > 3.3) = 2 e^(-2 x 3.3^2) = 7e-10 (Kolmogorov's distribution)
LIMIT = 3.3


def uniform(a: float, b: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.clip((x - a) / (b - a), 0, 1)


def normal(mean: float, std: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.array([NORMAL.cdf((v - mean) / std) for v in x.tolist()])


def values(fill: Any, *shape: int, dtype: str = "float32") -> np.ndarray:
    gpunn.manual_seed(7)
    t = gpunn.zeros(*shape, dtype=dtype)
    assert fill(t) is t
    return t.numpy().astype(np.float64)


WEIGHT = (40, 30, 3, 3)  # fan_in 270, fan_out 360


@pytest.mark.parametrize(
    ("fill", "cdf"),
    [
        (init.uniform_, uniform(0, 1)),
        (lambda t: init.uniform_(t, -3, 5), uniform(-3, 5)),
        (init.normal_, normal(0, 1)),
        (lambda t: init.normal_(t, 2, 0.1), normal(2, 0.1)),
        (init.xavier_uniform_, uniform(-math.sqrt(6 / 630), math.sqrt(6 / 630))),
        (lambda t: init.xavier_normal_(t, gain=2), normal(0, 2 * math.sqrt(2 / 630))),
        (init.kaiming_uniform_, uniform(-math.sqrt(6 / 270), math.sqrt(6 / 270))),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), uniform(-1 / math.sqrt(270), 1 / math.sqrt(270))),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), normal(0, math.sqrt(2 / 360))),
        (lambda t: init.kaiming_normal_(t, nonlinearity="tanh"), normal(0, 5 / 3 / math.sqrt(270))),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(fill: Any, cdf: Any, dtype: str) -> None:
    assert ks(values(fill, *WEIGHT, dtype=dtype), cdf) < LIMIT


def test_the_statistic_tells_distributions_apart() -> None:
    assert ks(values(init.uniform_, *WEIGHT), uniform(0, 1.05)) > LIMIT
    assert ks(values(init.normal_, *WEIGHT), normal(0, 1.2)) > LIMIT


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, 0.5, 3), (0, 1, 5, 100), (3, 1, -50, -4), (0, 1, 0.1, 0.2)],
)
def test_truncated_normal(mean: float, std: float, a: float, b: float) -> None:
    x = values(lambda t: init.trunc_normal_(t, mean, std, a, b), 4000, dtype="float64")
    assert a <= x.min() and x.max() <= b
    # From the nearer tail, so that nothing cancels.
    sign = -1 if (a + b) / 2 > mean else 1
    low, high = sorted((NORMAL.cdf(sign * (a - mean) / std), NORMAL.cdf(sign * (b - mean) / std)))

    def cdf(points: np.ndarray) -> np.ndarray:
        tail = np.array([NORMAL.cdf(sign * (v - mean) / std) for v in points.tolist()])
        share = (tail - low) / (high - low)
        return share if sign == 1 else 1 - share

    assert ks(x, cdf) < LIMIT


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype: str) -> None:
    t = init.normal_(gpunn.empty(50, 50, dtype=dtype))
    assert t.dtype == gpunn.backend.dtypes.as_dtype(dtype)
    assert abs(float(t.float().numpy().std()) - 1) < 6 / math.sqrt(2 * 2500)


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (4, 3, 2, 2), (2, 0), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal(shape: tuple[int, ...], dtype: str) -> None:
    w = values(lambda t: init.orthogonal_(t, gain=1.5), *shape, dtype=dtype).reshape(shape[0], -1) / 1.5
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-6 if dtype == "float32" else 1e-14)


def test_orthogonal_is_uniform() -> None:
    """The upper left element of a uniform 2 x 2 orthogonal matrix is the cosine of a uniform angle."""
    gpunn.manual_seed(3)
    x = np.array([init.orthogonal_(gpunn.empty(2, 2, dtype="float64")).numpy()[0, 0] for _ in range(2000)])
    assert ks(x, lambda c: 1 - np.arccos(np.clip(c, -1, 1)) / np.pi) < LIMIT


def test_constants() -> None:
    assert (values(lambda t: init.constant_(t, 0.25), 3, 2) == 0.25).all()
    assert (values(init.ones_, 3, 2) == 1).all()
    t = gpunn.ones(4)
    assert (init.zeros_(t).numpy() == 0).all()
    np.testing.assert_array_equal(values(init.eye_, 2, 3), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 4, 3), 1), ((4, 2, 3, 3), 2), ((2, 5, 3, 5), 1), ((6, 2, 1, 2, 3), 3)]
)
def test_dirac(shape: tuple[int, ...], groups: int, torch: Any) -> None:
    expected = torch.nn.init.dirac_(torch.empty(shape), groups)
    np.testing.assert_array_equal(values(lambda t: init.dirac_(t, groups), *shape), expected.numpy())


@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_passes_the_channels_on(groups: int, rng: np.random.Generator) -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1, groups=groups, bias=False)
    init.dirac_(layer.weight, groups)
    x = rng.standard_normal((2, 4, 5, 6), dtype=np.float32)
    np.testing.assert_array_equal(layer(gpunn.tensor(x)).detach().numpy(), x)


def test_sparse() -> None:
    w = values(lambda t: init.sparse_(t, 0.33, std=2), 100, 200)
    assert ((w == 0).sum(0) == 33).all()
    rows = (w == 0).mean(1)
    assert abs(rows - 0.33).max() < 6.5 * math.sqrt(0.33 * 0.67 / 200)  # 100 rows, 6.5 standard deviations
    assert ks(w[w != 0], normal(0, 2)) < LIMIT


def test_draws_depend_on_the_seed_and_their_number_alone() -> None:
    a, b = (values(init.normal_, 3, 5), values(init.normal_, 3, 5))
    np.testing.assert_array_equal(a, b)
    gpunn.manual_seed(7)
    init.uniform_(gpunn.empty(1000))  # however many numbers the draw before has taken
    second = init.normal_(gpunn.empty(3, 5)).numpy()
    gpunn.manual_seed(7)
    init.uniform_(gpunn.empty(1))
    np.testing.assert_array_equal(init.normal_(gpunn.empty(3, 5)).numpy(), second)
    assert not np.array_equal(a, second)
    generator = gpunn.Generator(7)
    np.testing.assert_array_equal(init.normal_(gpunn.empty(3, 5), generator=generator).numpy().astype(float), a)


def test_nothing_is_recorded_and_nothing_else_moves() -> None:
    p = nn.Parameter(gpunn.zeros(2, 3))
    assert init.xavier_normal_(p) is p and p.is_leaf and p.requires_grad
    assert init.orthogonal_(gpunn.empty(3, 4).t()).shape == (4, 3)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda m: m.Linear(200, 100), 200),
        (lambda m: m.Conv1d(40, 60, 5), 200),
        (lambda m: m.Conv2d(30, 50, 3, groups=2), 135),
        (lambda m: m.ConvTranspose2d(30, 40, 3, groups=2), 180),
    ],
)
def test_default_of_layers(layer: Any, fan_in: int, torch: Any) -> None:
    """Weights and biases are uniform in +-1 / sqrt(fan_in), the extremes as near to that as they are in PyTorch."""
    gpunn.manual_seed(11)
    torch.manual_seed(11)
    bound = 1 / math.sqrt(fan_in)
    for ours, theirs in zip(layer(nn).parameters(), layer(torch.nn).parameters()):
        w, n = ours.detach().numpy().astype(float), ours.numel()
        assert ks(w, uniform(-bound, bound)) < LIMIT
        # All n numbers are below (1 - e) of the bound with probability (1 - e)^n = 1e-9.
        edge = bound * 1e-9 ** (1 / n)
        for extreme in (np.abs(w).max(), theirs.detach().abs().max().item()):
            assert edge < extreme <= bound * (1 + 1e-6)


def test_default_of_embedding() -> None:
    gpunn.manual_seed(11)
    table = nn.Embedding(50, 60, padding_idx=-1).weight.detach().numpy()
    assert ks(table[:-1].astype(float), normal(0, 1)) < LIMIT and not table[-1].any()


@pytest.mark.parametrize(
    "arguments",
    [
        *[
            (name,)
            for name in ("linear", "conv2d", "conv_transpose1d", "sigmoid", "tanh", "relu", "leaky_relu", "selu")
        ],
        ("leaky_relu", 0.2),
        ("leaky_relu", 0),
        ("relu", 3),
    ],
)
def test_gains(arguments: Any, torch: Any) -> None:
    assert init.calculate_gain(*arguments) == pytest.approx(torch.nn.init.calculate_gain(*arguments), rel=1e-15)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda: init.calculate_gain("mish"), ValueError, "no gain is known for 'mish'"),
        (lambda: init.calculate_gain("leaky_relu", True), ValueError, "slope of leaky_relu is a number, got True"),
        (lambda: init.kaiming_normal_(gpunn.empty(2, 2), mode="fan"), ValueError, "mode is 'fan_in' or 'fan_out'"),
        (lambda: init.xavier_normal_(gpunn.empty(2)), ValueError, r"at least 2 dimensions, got float32\[2\]"),
        (lambda: init.uniform_(gpunn.empty(2), 1, 0), RuntimeError, r"interval \[1, 0\] ends before it begins"),
        (lambda: init.trunc_normal_(gpunn.empty(2), a=1, b=1), RuntimeError, "ends before it begins"),
        (lambda: init.normal_(gpunn.empty(2), 0, -1), RuntimeError, "standard deviation is not negative, got -1"),
        (lambda: init.normal_(gpunn.zeros(2, dtype="int64")), RuntimeError, "need a tensor of floats"),
        (lambda: init.eye_(gpunn.empty(2)), ValueError, "takes a matrix"),
        (lambda: init.sparse_(gpunn.empty(2), 0.1), ValueError, "takes a matrix"),
        (lambda: init.orthogonal_(gpunn.empty(2)), ValueError, "at least 2 dimensions"),
        (lambda: init.dirac_(gpunn.empty(2, 2)), ValueError, "weight of a convolution"),
        (lambda: init.dirac_(gpunn.empty(3, 2, 2), 2), ValueError, "2 groups do not divide the 3 outputs"),
    ],
)
def test_errors(action: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        action()


def test_empty_weights_stay_empty() -> None:
    for fill in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_, init.trunc_normal_):
        assert fill(gpunn.empty(0, 3)).shape == (0, 3)
    assert nn.Linear(0, 3).bias.shape == (3,)


def test_old_names_warn() -> None:
    for old in (
        *("uniform", "normal", "constant", "eye", "dirac", "orthogonal", "sparse"),
        *("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
    ):
        options = {"constant": (2.0,), "sparse": (0.5,)}.get(old, ())
        shape = (2, 3, 4) if old == "dirac" else (3, 4)
        found = []
        for name in (old, f"{old}_"):
            gpunn.manual_seed(0)
            x = gpunn.zeros(*shape)
            if name == old:
                with pytest.warns(FutureWarning, match=f"nn.init.{old} is deprecated, use nn.init.{old}_"):
                    assert getattr(gpunn.nn.init, name)(x, *options) is x
            else:
                getattr(gpunn.nn.init, name)(x, *options)
            found.append(x.numpy())
        np.testing.assert_array_equal(*found)
