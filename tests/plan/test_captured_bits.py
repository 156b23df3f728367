"""A planned step on a device with kernels has the bits of eager work."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim

from ..backend import fake_cupy
from .captured import (
    NETWORKS,
    Small,
    assert_same,
    batches,
    bits,
    loose,
    planned,
    set_up,
    train,
)
from .networks import OPTIMIZERS
from .test_step import eager


@pytest.mark.parametrize("network", ["w1", "residual"])
def test_a_list_of_primitives_has_the_bits_of_eager_work(network: str) -> None:
    assert_same(train(loose, network, "adam"), train(eager, network, "adam"))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_a_graph_has_the_bits_of_eager_work_for_20_steps(network: str, optimizer: str) -> None:
    assert_same(train(planned, network, optimizer, steps=20), train(eager, network, optimizer, steps=20))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer: str) -> None:
    assert_same(train(planned, "mlp", optimizer), train(eager, "mlp", optimizer))


def test_a_network_with_batch_norm_and_dropout() -> None:
    assert_same(train(planned, "residual", "adamw"), train(eager, "residual", "adamw"))


def test_the_graph_agrees_with_the_cpu() -> None:
    for a, b in zip(train(TrainStep, "mlp", "adam"), train(TrainStep, "mlp", "adam", device="cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_on_a_cupy_without_a_gpu(network: str) -> None:
    expected = train(eager, network, "adam")
    with fake_cupy.installed(devices=2):
        assert_same(train(planned, network, "adam", device="cuda:1"), expected)


@pytest.mark.parametrize("hasty", [False, True], ids=["late", "early"])
def test_steps_on_different_streams_follow_one_another(hasty: bool) -> None:
    with fake_cupy.installed() as machine:
        machine.hasty = hasty
        results = []
        for make_step in (planned, eager):
            step, model, _ = set_up(make_step, "mlp", "adam", "cuda")
            streams = [fake_cupy.Stream(non_blocking=True) for _ in range(3)]
            given = list(batches("mlp", 9, "cuda"))
            gpunn.cuda.synchronize()
            losses = []
            for i, (x, y) in enumerate(given):
                with streams[i % 3 if make_step is planned else 0]:
                    losses.append(step(x, y))
            gpunn.cuda.synchronize()
            results.append(bits([*losses, *model.parameters()]))
        assert results[0] == results[1]


def test_an_empty_batch() -> None:
    step = EvalStep(nn.Linear(3, 2).to("sim"))
    for _ in range(3):
        assert step(gpunn.zeros(0, 3, device="sim")).shape == (0, 2)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_types(dtype: str) -> None:
    """Large steps, so that weights tell where the learning rate is rounded to half precision."""
    found = []
    for make_step in (eager, planned):
        gpunn.manual_seed(0)
        model = Small().to("sim").to(getattr(gpunn, dtype))
        step = make_step(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.7, momentum=0.9))
        losses = [step(x.to(getattr(gpunn, dtype)), y).item() for x, y in batches("mlp", 5)]
        found.append((losses, [p.detach().cpu().tolist() for p in model.parameters()]))
    assert found[0] == found[1]


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("network", NETWORKS)
def test_on_a_gpu(cuda: gpunn.device, network: str, optimizer: str) -> None:
    assert_same(train(planned, network, optimizer, 20, str(cuda)), train(eager, network, optimizer, 20, str(cuda)))
    step, _, _ = set_up(planned, network, optimizer, str(cuda))
    for x, y in batches(network, 4, str(cuda)):
        step(x, y)
    assert [segment.captured for segment in step.plan.segments] == [True]
    assert step.plan.segments[0].graph is not None


@pytest.mark.gpu
def test_a_bad_label_on_a_gpu(cuda: gpunn.device) -> None:
    step, model, _ = set_up(planned, "mlp", "adam", str(cuda))
    for x, y in batches("mlp", 4, str(cuda)):
        step(x, y)
    before = bits(list(model.parameters()))
    step(x, gpunn.tensor([0, 10, 2], device=cuda))
    step(x, y)
    assert bits(list(model.parameters())) == before
    with pytest.raises(IndexError, match="Target 10"):
        step.check()
