"""Random numbers of further distributions: moments, distributions, the same ones everywhere, and errors."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn

N = 20_000


def distance(x, cdf):
    """Kolmogorov and Smirnov's statistic times sqrt(n): above 1.95 once in a thousand."""
    u = cdf(np.sort(x.numpy().astype(float)))
    place = np.arange(1, N + 1) / N
    return np.maximum(np.abs(u - place), np.abs(u - place + 1 / N)).max() * np.sqrt(N)


@pytest.mark.parametrize(
    "draw, cdf",
    [
        (lambda x: x.exponential_(2.0), lambda v: -np.expm1(-2 * v)),
        (lambda x: x.cauchy_(1.0, 0.5), lambda v: np.arctan((v - 1) / 0.5) / np.pi + 0.5),
        (lambda x: x.log_normal_(0.0, 1.0).log(), lambda v: 0.5 + 0.5 * gpunn.erf(gpunn.tensor(v / 2**0.5)).numpy()),
        (lambda x: gpunn.normal(x, 1.0), lambda v: 0.5 + 0.5 * gpunn.erf(gpunn.tensor(v / 2**0.5)).numpy()),
    ],
)
def test_distributions(draw, cdf):
    gpunn.manual_seed(0)
    assert distance(draw(gpunn.zeros(N, dtype=gpunn.float64)), cdf) < 1.95


def test_moments():
    gpunn.manual_seed(0)
    x = gpunn.zeros(N)
    for drawn, mean, variance in (
        (x.geometric_(0.3).clone(), 1 / 0.3, 0.7 / 0.09),
        (gpunn.bernoulli(x * 0 + 0.3), 0.3, 0.21),
        (gpunn.bernoulli(x, 0.7), 0.7, 0.21),
        (gpunn.poisson(x * 0 + 4), 4, 4),
        (gpunn.binomial(x * 0 + 10, x * 0 + 0.3), 3, 2.1),
        (gpunn.normal(2.0, 3.0, (N,)), 2, 9),
        (gpunn.randint_like(x, 2, 5), 3, 2 / 3),
    ):
        assert abs(drawn.mean().item() - mean) < 5 * np.sqrt(variance / N)
        assert abs(drawn.var().item() / variance - 1) < 0.1
    assert set(gpunn.zeros(100).geometric_(0.5).long().tolist()) >= {1, 2, 3}


def test_multinomial():
    gpunn.manual_seed(0)
    w = gpunn.tensor([[1.0, 0.0, 3.0, 6.0], [2.0, 2.0, 0.0, 0.0]])
    found = gpunn.multinomial(w, N, replacement=True)
    share = (found.numpy()[..., None] == np.arange(4)).mean(1)
    np.testing.assert_allclose(share, [[0.1, 0, 0.3, 0.6], [0.5, 0.5, 0, 0]], atol=0.02)
    each = gpunn.multinomial(w.expand(2, 4)[:1].expand(4000, 4), 3)
    assert (np.sort(each.numpy(), 1) == [0, 2, 3]).all()
    first = (each[:, 0].numpy()[:, None] == np.arange(4)).mean(0)
    np.testing.assert_allclose(first, [0.1, 0, 0.3, 0.6], atol=0.04)
    pairs = (each[:, :2].numpy() == [3, 2]).all(1).mean()  # 0.6 0.3 / 0.4
    assert abs(pairs - 0.45) < 0.04
    assert gpunn.multinomial(w[1], 2).sort().values.tolist() == [0, 1]
    assert w[0].multinomial(1).shape == (1,)


CALLS = {
    "bernoulli": lambda d: gpunn.bernoulli(gpunn.full((5,), 0.4, device=d)),
    "multinomial": lambda d: gpunn.multinomial(gpunn.ones(6, device=d), 4),
    "normal": lambda d: gpunn.normal(gpunn.zeros(5, device=d), gpunn.ones(5, device=d)),
    "poisson": lambda d: gpunn.poisson(gpunn.full((5,), 3.0, device=d)),
    "binomial": lambda d: gpunn.binomial(gpunn.full((5,), 3.0, device=d), gpunn.full((5,), 0.3, device=d)),
    "exponential": lambda d: gpunn.zeros(5, device=d).exponential_(),
    "geometric": lambda d: gpunn.zeros(5, device=d).geometric_(0.5),
    "cauchy": lambda d: gpunn.zeros(5, device=d).cauchy_(),
    "log_normal": lambda d: gpunn.zeros(5, device=d).log_normal_(),
    "randint_like": lambda d: gpunn.randint_like(gpunn.zeros(5, device=d), 9),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_same_numbers_on_every_device_and_for_every_seed(name):
    found = []
    for seed, device in ((1, "cpu"), (1, "cpu"), (1, "sim"), (2, "cpu")):
        gpunn.manual_seed(seed)
        first, second = CALLS[name](device), CALLS[name](device)
        assert first.device.type == device
        found.append((first.cpu().tolist(), second.cpu().tolist()))
    assert found[0] == found[1] and found[0] != found[3] and found[0][0] != found[0][1]
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)


def test_a_plan_draws_anew():
    model = gpunn.nn.Linear(4, 4)

    def loss(y, target):
        noise = gpunn.zeros(4).exponential_() + gpunn.bernoulli(gpunn.full((4,), 0.5))
        return (y * noise).mean()

    step = gpunn.TrainStep(model, loss, gpunn.optim.SGD(model.parameters(), lr=0.0))
    x = gpunn.ones(2, 4)
    assert len({step(x, x).item() for _ in range(3)}) == 3


def test_what_is_refused():
    x = gpunn.zeros(3)
    for call, message in (
        (lambda: gpunn.bernoulli(x + 2), "p_in <= 1"),
        (lambda: gpunn.normal(x, -1.0), "std >= 0.0"),
        (lambda: gpunn.normal(0.0, -1.0, (2,)), "std >= 0.0"),
        (lambda: gpunn.multinomial(x, 1), "invalid multinomial distribution"),
        (lambda: gpunn.multinomial(x - 1, 1), "element < 0"),
        (lambda: gpunn.multinomial(x + 1, 4), "without replacement, got 4"),
        (lambda: gpunn.multinomial(x + 1, 0), "n_sample <= 0"),
        (lambda: gpunn.multinomial(x.long(), 1), "floats as weights"),
        (lambda: gpunn.poisson(x - 1), "Poisson rate"),
        (lambda: gpunn.binomial(x, x + 2), "0 <= prob <= 1"),
        (lambda: x.exponential_(0), "lambda > 0.0"),
        (lambda: x.geometric_(1.0), r"p to be in \(0, 1\)"),
        (lambda: x.cauchy_(0, 0), "sigma > 0.0"),
        (lambda: x.log_normal_(0, 0), "std > 0.0"),
        (lambda: x.long().exponential_(), "the numbers are floats"),
    ):
        with pytest.raises(RuntimeError, match=message):
            call()
    with pytest.raises(TypeError, match="a size is needed"):
        gpunn.normal(0.0, 1.0)
