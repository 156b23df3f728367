"""A step without its device: the kernels that it finds are those that the step launches."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend import sim
from gpunn.backend.dtypes import as_dtype
from gpunn.backend.launch import Launcher, Text
from gpunn.backend.spec import Spec

from .captured import NETWORKS, batches, set_up
from .networks import OPTIMIZERS


@pytest.fixture
def launched(monkeypatch):
    """The kernels that the device sim has launched; none yet."""
    backend, found = sim.backend(), set()

    class Watched(Launcher):
        def __call__(self, text, name, grid, block, args, shared_mem=0, **types):
            named = sorted((variable, as_dtype(d).name) for variable, d in types.items())
            found.add(Text(text, tuple(named), name))
            super().__call__(text, name, grid, block, args, shared_mem, **types)

    monkeypatch.setattr(backend, "launcher", Watched(backend._module, np.ndarray))
    return found


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_of_every_optimizer(launched, optimizer) -> None:
    step, _, _ = set_up(TrainStep, "mlp", optimizer)
    compare(launched, step, *batches("mlp", 1))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("fuse", [True, False])
def test_of_networks(launched, network, fuse) -> None:
    step, _, _ = set_up(lambda *a: TrainStep(*a, fuse=fuse), network, "momentum")
    compare(launched, step, *batches(network, 1))


def test_of_indices_norms_and_another_type(launched) -> None:
    layers = nn.Embedding(20, 8), nn.LayerNorm(8), nn.GELU(), nn.Flatten(), nn.Linear(32, 10)
    model = nn.Sequential(*layers).to(device="sim", dtype=gpunn.float64)
    x, y = (gpunn.tensor(np.arange(n).reshape(shape) % 10).to("sim") for n, shape in ((32, (8, 4)), (8, (8,))))
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    compare(launched, step, (x, y))
    assert {dict(text.types).get("scalar_t") for text in launched} == {"float64", None}


def test_of_an_evaluation(launched) -> None:
    _, model, _ = set_up(TrainStep, "lenet", "sgd")
    x, _ = next(batches("lenet", 1))
    compare(launched, EvalStep(model.eval()), (x,))


def test_without_elements_and_without_launches(launched) -> None:
    step, _, _ = set_up(TrainStep, "lenet", "adam")
    launched.clear()
    sim_device = gpunn.device("sim")
    images = Spec((3, 1, 28, 28), gpunn.float32, sim_device)
    labels = Spec((3,), gpunn.int64, sim_device)
    texts = step.texts(images, labels)
    assert not launched
    assert not step.plans_made
    assert texts == step.texts(*next(batches("lenet", 1)))


def compare(launched, step, batch) -> None:
    """Three steps launch what is found before them, and nothing else."""
    expected = set(step.texts(*batch))
    assert expected
    launched.clear()
    for _ in range(3):  # in the second one state is there, the third one is captured
        step(*batch)
    assert launched == expected


def test_on_a_device_without_memory() -> None:
    """Where there is no GPU, what it would launch is found by a plan on the device meta."""
    found = []
    for name in ("meta", "sim"):
        with gpunn.device(name):
            model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
            step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1))
        device = gpunn.device(name)
        found.append(step.texts(Spec((4, 2, 3), gpunn.float32, device), Spec((4,), gpunn.int64, device)))
    assert found[0] == found[1]
    assert "linear_forward.cu" in {text.name for text in found[0]}
