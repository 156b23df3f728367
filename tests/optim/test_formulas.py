"""The updates as their papers have them, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import optim


def positions(cls: Any, gradients: list[Any], start: float = 0.0, **options: Any) -> list[float]:
    """Where one float64 parameter is after each step; a gradient is a number, or a function of the parameter."""
    p = gpunn.tensor([start], dtype=gpunn.float64, requires_grad=True)
    optimizer = cls([p], **options)
    result = []
    for g in gradients:
        value = g(p.item()) if callable(g) else g
        p.grad = gpunn.tensor([value], dtype=gpunn.float64)
        optimizer.step()
        result.append(p.item())
    return result


def test_sgd() -> None:
    assert positions(optim.SGD, [0.5, -2.0], start=1.0, lr=0.1) == pytest.approx([0.95, 1.15], rel=1e-15)


def test_weight_decay_is_an_l2_penalty() -> None:
    # J = g p + l/2 p^2 has the gradient g + l p: 1 - 0.1 (0.5 + 0.2), then 0.93 - 0.1 (0.5 + 0.2 0.93)
    steps = positions(optim.SGD, [0.5, 0.5], start=1.0, lr=0.1, weight_decay=0.2)
    assert steps == pytest.approx([0.93, 0.8614], rel=1e-14)


def test_momentum_and_dampening() -> None:
    # b: 1, then 0.9 + 2
    assert positions(optim.SGD, [1.0, 2.0], lr=0.1, momentum=0.9) == pytest.approx([-0.1, -0.39], rel=1e-14)
    # b: 1 without dampening, then 0.9 + 0.5 2
    steps = positions(optim.SGD, [1.0, 2.0], lr=0.1, momentum=0.9, dampening=0.5)
    assert steps == pytest.approx([-0.1, -0.29], rel=1e-14)


def test_momentum_is_the_heavy_ball() -> None:
    """Polyak 1964: x_{t+1} = x_t - lr f'(x_t) + mu (x_t - x_{t-1})."""
    steps = positions(optim.SGD, [lambda x: 3 * x] * 20, start=1.0, lr=0.05, momentum=0.8)
    before, x, expected = 1.0, 1.0, []
    for _ in range(20):
        before, x = x, x - 0.05 * 3 * x + 0.8 * (x - before)
        expected.append(x)
    assert steps == pytest.approx(expected, rel=1e-12)


def test_nesterov() -> None:
    """Sutskever et al. 2013, equations 3 and 4, with v and x; the parameter stands where the gradient is taken."""
    steps = positions(optim.SGD, [lambda x: 3 * x] * 20, start=1.0, lr=0.05, momentum=0.8, nesterov=True)
    v, x, expected = 0.0, 1.0, []
    for _ in range(20):
        v = 0.8 * v - 0.05 * 3 * (x + 0.8 * v)
        x += v
        expected.append(x + 0.8 * v)
    assert steps == pytest.approx(expected, rel=1e-12)


def test_adagrad() -> None:
    # sqrt(3^2) = 3, then sqrt(3^2 + 4^2) = 5
    assert positions(optim.Adagrad, [3.0, 4.0], lr=0.1, eps=0) == pytest.approx([-0.1, -0.18], rel=1e-14)
    # lr / (1 + (t - 1) 0.25): the second step is 0.08 4/5; with 16 before, sqrt(16 + 3^2) = 5
    assert positions(optim.Adagrad, [3.0, 4.0], lr=0.1, eps=0, lr_decay=0.25)[1] == pytest.approx(-0.164, rel=1e-14)
    steps = positions(optim.Adagrad, [3.0], lr=0.1, eps=0, initial_accumulator_value=16)
    assert steps == pytest.approx([-0.06], rel=1e-14)


def test_rmsprop() -> None:
    # v: 0.25 2^2 = 1, then 0.75 + 0.25 13 = 4
    steps = positions(optim.RMSprop, [2.0, 13**0.5], lr=0.1, alpha=0.75, eps=0)
    assert steps == pytest.approx([-0.2, -0.2 - 0.1 * 13**0.5 / 2], rel=1e-14)
    # momentum: b = 2, then 0.5 2 + sqrt(13) / 2
    steps = positions(optim.RMSprop, [2.0, 13**0.5], lr=0.1, alpha=0.75, eps=0, momentum=0.5)
    assert steps == pytest.approx([-0.2, -0.3 - 0.1 * 13**0.5 / 2], rel=1e-14)


def test_rmsprop_centered() -> None:
    # v = 0.25 2^2 = 1, a = 0.25 2 = 0.5
    steps = positions(optim.RMSprop, [2.0], lr=0.1, alpha=0.75, eps=0, centered=True)
    assert steps == pytest.approx([-0.2 / 0.75**0.5], rel=1e-14)


def test_rmsprop_centered_takes_the_variance_of_a_constant_as_zero() -> None:
    """v and a^2 both go to g^2, and their difference has any sign in rounding: the root would be NaN."""
    p = gpunn.zeros(1000, requires_grad=True)
    optimizer = optim.RMSprop([p], lr=1e-6, centered=True)
    g = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    for _ in range(3000):
        p.grad = gpunn.tensor(g)
        optimizer.step()
    state = {name: value.numpy().astype(np.float64) for name, value in optimizer.state[p].items()}
    assert (state["square_avg"] - state["grad_avg"] ** 2 < 0).any()  # the case does occur
    assert np.isfinite(p.detach().numpy()).all()


def test_adam() -> None:
    # The first step is lr sign(g), whatever the betas. At the second: m = 0.9 0.1 + 0.1 (-2) = -0.11,
    # v = 0.999 0.001 + 0.001 4 = 0.004999, and the corrections are 1 - 0.81 and 1 - 0.998001.
    first = -0.1
    second = first + 0.1 * (0.11 / 0.19) / (0.004999 / 0.001999) ** 0.5
    steps = positions(optim.Adam, [1.0, -2.0], lr=0.1, eps=0)
    assert steps == pytest.approx([first, second], rel=1e-13)


def test_adam_moments_are_weighted_means() -> None:
    """Kingma and Ba 2015, section 3: m^ is the mean of the gradients with weights b1^(t - i), v^ of their squares."""
    b1, b2, eps, lr = 0.8, 0.95, 1e-3, 0.01
    gradients = np.random.default_rng(1).standard_normal(30)
    x, expected = 0.0, []
    for t in range(1, 31):
        age = np.arange(t)[::-1]
        mean = np.average(gradients[:t], weights=b1**age)
        square = np.average(gradients[:t] ** 2, weights=b2**age)
        x -= lr * mean / (square**0.5 + eps)
        expected.append(x)
    assert positions(optim.Adam, list(gradients), lr=lr, betas=(b1, b2), eps=eps) == pytest.approx(expected, rel=1e-12)


def test_amsgrad_keeps_the_largest() -> None:
    # v: 0.5 4 = 2, then 1, then 0.5: AMSGrad divides by sqrt(2 / (1 - 0.5^t)) each time. b1 = 0, so m = g.
    steps = positions(optim.Adam, [2.0, 0.0, 0.0], lr=0.1, betas=(0.0, 0.5), eps=0, amsgrad=True)
    assert steps == pytest.approx([-0.1] * 3, rel=1e-14)
    steps = positions(optim.Adam, [2.0, 1.0], lr=0.1, betas=(0.0, 0.5), eps=0, amsgrad=True)
    assert steps[1] == pytest.approx(-0.1 - 0.1 / (2 / 0.75) ** 0.5, rel=1e-14)  # v is 1.5 by then


def test_adamw_decays_apart_from_the_moments() -> None:
    # No gradient: p shrinks by 1 - 0.1 0.5 at each step. With Adam the decay is a gradient, so a step is lr long.
    assert positions(optim.AdamW, [0.0] * 3, start=2.0, lr=0.1, weight_decay=0.5) == pytest.approx(
        [2 * 0.95, 2 * 0.95**2, 2 * 0.95**3], rel=1e-14
    )
    assert positions(optim.Adam, [0.0], start=2.0, lr=0.1, weight_decay=0.5, eps=0) == pytest.approx([1.9], rel=1e-14)


@pytest.mark.parametrize("cls", [optim.SGD, optim.Adagrad, optim.RMSprop, optim.Adam, optim.AdamW])
def test_maximize_climbs(cls: Any) -> None:
    down = positions(cls, [lambda x: 2 * x] * 50, start=1.0, lr=0.01)
    up = positions(cls, [lambda x: 2 * x] * 50, start=1.0, lr=0.01, maximize=True)
    assert all(a < 1 < b for a, b in zip(down, up))
    assert sorted(up) == up
