"""Three ways to go down the same slope: after every sample, after every mini-batch, after all the data.

Each gets the same seconds. A step on one sample costs least and points least well; a step on all the data points along
the true gradient, and costs most; a mini-batch uses the hardware without waiting for all of the data
(Goodfellow et al. 2016, 8.1.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, optim
from gpunn.random import SHUFFLE, philox


@dataclass(frozen=True)
class Strategy:
    """How many samples a step takes (None: all), and the learning rate that suits it."""

    title: str
    batch_size: int | None
    lr: float


STRATEGIES = (
    Strategy("one sample a step (B = 1)", 1, 0.01),
    Strategy("mini-batches (B = 32)", 32, 0.1),
    Strategy("the full batch", None, 0.5),
)
"""Plain SGD, with a learning rate that suits each on the digits."""


def race(
    make_model: Callable[[], nn.Module],
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    seconds: float,
    strategies: tuple[Strategy, ...] = STRATEGIES,
    *,
    device: str = "cpu",
    seed: int = 0,
    points: int = 40,
    on_point: Callable[[Strategy, float], None] = lambda strategy, elapsed: None,
) -> list[dict[str, Any]]:
    """Train with each strategy for the same time.

    The clock stops while the held-out loss is measured, which happens about `points` times. Every strategy starts from
    the same weights.

    Returns:
        For each strategy ``title, batch_size, lr``, lists ``seconds, samples, loss``, and ``steps, accuracy``.
    """
    return [
        _run(strategy, make_model, train, held_out, seconds, device, seed, points, on_point) for strategy in strategies
    ]


def _run(
    strategy: Strategy,
    make_model: Callable[[], nn.Module],
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    seconds: float,
    device: str,
    seed: int,
    points: int,
    on_point: Callable[[Strategy, float], None],
) -> dict[str, Any]:
    gpunn.manual_seed(seed)
    model = make_model().to(device)
    optimizer = optim.SGD(model.parameters(), lr=strategy.lr)
    x, t = (gpunn.tensor(a, device=device) for a in train)
    vx, vt = (gpunn.tensor(a, device=device) for a in held_out)
    n = len(x)
    batch = n if strategy.batch_size is None else strategy.batch_size
    elapsed, samples, steps, epoch, position = 0.0, 0, 0, 0, n
    order = np.arange(n)
    curve: dict[str, list[float]] = {"seconds": [], "samples": [], "loss": []}

    def note() -> float:
        loss, accuracy = _measure(model, vx, vt)
        curve["seconds"].append(elapsed)
        curve["samples"].append(samples)
        curve["loss"].append(loss)
        on_point(strategy, elapsed)
        return accuracy

    accuracy = note()
    while elapsed < seconds:
        until = min(seconds, seconds * (len(curve["loss"]) / points) ** 2)  # most happens at the beginning
        start, before = time.perf_counter(), elapsed
        while elapsed < until:
            if position + batch > n:
                order, position, epoch = philox(seed, SHUFFLE, epoch).permutation(n), 0, epoch + 1
            if batch == n:
                bx, bt = x, t
            else:
                chosen = order[position : position + batch]
                bx, bt = x[chosen], t[chosen]
            position += batch
            loss = nn.functional.cross_entropy(model(bx), bt)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            samples, steps = samples + batch, steps + 1
            elapsed = before + time.perf_counter() - start
        accuracy = note()
    return {
        "title": strategy.title,
        "batch_size": batch,
        "lr": strategy.lr,
        "steps": steps,
        "accuracy": accuracy,
        **curve,
    }


def _measure(model: nn.Module, x: gpunn.Tensor, t: gpunn.Tensor) -> tuple[float, float]:
    model.eval()
    with gpunn.no_grad():
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, t).item()
        accuracy = (logits.argmax(1) == t).float().mean().item()
    model.train()
    return loss, accuracy
