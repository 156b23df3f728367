"""All rules on a device with kernels: one graph of fewer launches, which agrees with eager work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim

from .networks import NETWORKS, OPTIMIZERS, Gated, Residual
from .test_step import eager

BATCH = 3
SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Any]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 10)),
        (12,),
        nn.CrossEntropyLoss(),
    ),
    "residual": (Residual, (1, 6, 6), nn.CrossEntropyLoss()),
    "shared": NETWORKS["shared"],
    "gated": (Gated, (32, 64), nn.NLLLoss()),
}


def train(make_step: Any, network: str, dtype: str = "float64", steps: int = 8, device: str = "sim") -> tuple[Any, Any]:
    """All that the steps gave and changed, and the step."""
    build, shape, loss_fn = SMALL[network]
    gpunn.manual_seed(0)
    model = build().to(device).to(getattr(gpunn, dtype))
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    step = make_step(model, loss_fn, optimizer)
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(steps):
        x = gpunn.tensor(rng.standard_normal((BATCH, *shape)).astype(dtype), device=device)
        result = step(x, gpunn.tensor(rng.integers(0, 10, BATCH), device=device))
        seen += result if isinstance(result, tuple) else [result]
    return [t.detach().cpu().numpy().copy() for t in (*seen, *model.parameters(), *model.buffers())], step


def unfused(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> TrainStep:
    return TrainStep(model, loss_fn, optimizer, fuse=False)


@pytest.mark.parametrize("network", SMALL)
def test_fused_and_eager_agree(network: str) -> None:
    (got, step), (expected, _) = train(TrainStep, network), train(eager, network)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)
    assert [segment.captured for segment in step.plan.segments] == [True]
    assert step.plan.launches < train(unfused, network)[1].plan.launches


@pytest.mark.parametrize("network", SMALL)
def test_a_run_repeats_to_the_bit(network: str) -> None:
    for a, b in zip(train(TrainStep, network, "float32")[0], train(TrainStep, network, "float32")[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_list_of_primitives_does_the_same() -> None:
    loose = partial(TrainStep, capture=False)
    for a, b in zip(train(TrainStep, "gated")[0], train(loose, "gated")[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_half_precision_agrees_to_its_rounding() -> None:
    for a, b in zip(train(TrainStep, "gated", "float16", 3)[0], train(eager, "gated", "float16", 3)[0], strict=True):
        np.testing.assert_allclose(a.astype("d"), b.astype("d"), rtol=0.02, atol=0.02)


def test_what_is_fused_is_said() -> None:
    step = train(TrainStep, "mlp", steps=1)[1]
    lines = [" ".join(line.split()) for line in step.plan.explain_fusion().splitlines()]
    assert [line for line in lines if not line.startswith("product_update")] == [
        "affine_activation LinearActivation float64[3, 20] on sim + relu fused",
        "affine_activation LinearActivation float64[3, 20] on sim + tanh fused",
        "loss_gradient SoftmaxCrossEntropy + SoftmaxCrossEntropyBackward float64[3, 10] on sim fused",
        "linear_cross_entropy LinearActivation float64[3, 10] on sim + SoftmaxCrossEntropyGradient fused",
        "activation_gradient LinearBackward float64[3, 20] on sim + tanh backward fused",
        "activation_gradient LinearBackward float64[3, 20] on sim + relu backward fused",
    ]
