"""The programs of docs/programs: PyTorch's losses by nothing but other imports; and planned those of eager steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn

from .reading import read

PROGRAMS = {path.stem: path for path in sorted((Path(__file__).parents[2] / "docs" / "programs").glob("*.py"))}
STEPS = 4


@contextmanager
def in_float64(library: Any) -> Iterator[None]:
    """New tensors are of float64."""
    library.set_default_dtype(library.float64)
    try:
        yield
    finally:
        library.set_default_dtype(library.float32)


def draw_alike(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    """Normal numbers are NumPy's, the same ones in both libraries."""
    rng = np.random.default_rng(7)
    monkeypatch.setattr(library, "randn", lambda *size, device=None: library.tensor(rng.standard_normal(size)))
    monkeypatch.setattr(library, "randn_like", lambda x: library.tensor(rng.standard_normal(tuple(x.shape))))


def drop_nothing(model: Any) -> None:
    """Without dropout, whose numbers are each library's own."""
    for module in model.modules():
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def losses(path: Path, library: Any, start: dict[str, np.ndarray] | None) -> tuple[list[float], dict[str, np.ndarray]]:
    """The losses of a program from given weights, or else its own; and the weights that it began with."""
    program = read(path, library.__name__)
    model = program.network()
    drop_nothing(model)
    if start is not None:
        model.load_state_dict({name: library.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    return list(program.train(model, STEPS)), begun


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_losses_of_torch(torch: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found, start = [], None
    for library in (torch, gpunn):
        draw_alike(monkeypatch, library)
        with in_float64(library):
            result, start = losses(PROGRAMS[name], library, start)
        found.append(result)
    assert len(found[0]) >= STEPS and len({*found[0]}) > 1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-11)


class Step(gpunn.nn.Module):
    """A module whose result is what a function of its modules and its inputs gives."""

    def __init__(self, function: Callable[..., Any], *modules: gpunn.nn.Module):
        super().__init__()
        self.function, self.parts = function, gpunn.nn.ModuleList(modules)

    def forward(self, *inputs: Any) -> Any:
        return self.function(*self.parts, *inputs)


def planned(program: Any, model: Any) -> Iterator[Any]:
    """The same training, by a `gpunn.TrainStep`."""
    update = program.optimizer(model)
    step = gpunn.TrainStep(model.train(), program.loss_fn, update)
    schedule = program.schedule(update) if hasattr(program, "schedule") else None
    for batch in program.batches(STEPS):
        yield step(*batch)
        if schedule:
            schedule.step()
    assert len(step.plans_made) == 1


def planned_dcgan(program: Any, model: Any) -> Iterator[Any]:
    """Two networks, a step for each."""
    generator, discriminator, criterion = model["generator"], model["discriminator"], gpunn.nn.BCELoss()
    d_step = gpunn.TrainStep(
        Step(lambda g, d, real, noise: (d(real), d(g(noise).detach())), generator, discriminator),
        lambda said, ones: criterion(said[0], ones) + criterion(said[1], ones * 0),
        program.optimizer(discriminator),
    )
    # The generator's running statistics change in the first step alone, as in the program.
    g_step = gpunn.TrainStep(
        Step(lambda g, d, noise: d(g(noise)), generator, discriminator), criterion, program.optimizer(generator)
    )
    for real in program.batches(STEPS):
        noise, ones = gpunn.randn(len(real), program.nz, 1, 1), gpunn.ones(len(real))
        yield d_step(real, noise, ones)
        yield g_step(noise, ones)


def planned_forward_forward(program: Any, model: Any) -> Iterator[Any]:
    """A step for each layer."""
    _, _, positive, negative = program.data()
    for layer in model.layers:
        update = program.Adam(layer.parameters(), lr=0.03)
        step = gpunn.TrainStep(Step(program.Layer.loss, layer), lambda loss, _: loss, update)
        for _ in range(STEPS):
            yield step(positive, negative, positive)
        positive, negative = layer(positive).detach(), layer(negative).detach()


def planned_word_lstm(program: Any, model: Any) -> Iterator[Any]:
    """The state goes in and comes out; gradients are clipped before the update."""

    def loss_fn(result: Any, targets: Any) -> Any:
        output, (h, c) = result
        return gpunn.nn.functional.nll_loss(output, targets), h, c

    step = gpunn.TrainStep(
        Step(lambda model, data, h, c: model(data, (h, c)), model.train()),
        loss_fn,
        gpunn.optim.SGD(model.parameters(), lr=2.0),
        before_update=lambda: gpunn.nn.utils.clip_grad_norm_(model.parameters(), 0.25),
    )
    source = program.batchify(program.Corpus(program.TEXT).ids, program.BATCH)
    state = model.init_hidden(program.BATCH)
    for i in range(STEPS):
        data, targets = program.get_batch(source, program.BPTT * i % (len(source) - 1))
        loss, *state = step(data, *state, targets)
        yield loss


def planned_time_sequence(program: Any, model: Any) -> Iterator[Any]:
    """What L-BFGS asks for, the loss and its gradients, by a plan that leaves the parameters as they are."""
    update = program.optimizer(model)
    step = gpunn.TrainStep(model, program.loss_fn, gpunn.optim.SGD(model.parameters(), lr=0.0), keep_grads=True)
    for batch in program.batches(STEPS):
        yield update.step(lambda batch=batch: step(*batch))


WAYS = {name.removeprefix("planned_"): way for name, way in globals().items() if name.startswith("planned_")}


@pytest.mark.filterwarnings("ignore:something keeps a tensor of the step:UserWarning")  # word_transformer, its mask
@pytest.mark.parametrize("name", PROGRAMS)
def test_planned_as_eager(name: str) -> None:
    program = read(PROGRAMS[name], "gpunn")
    with in_float64(gpunn):
        gpunn.manual_seed(0)
        model = program.network()
        start = {key: value.clone() for key, value in model.state_dict().items()}
        gpunn.manual_seed(1)
        eager = list(program.train(model, STEPS))
        model = program.network()
        model.load_state_dict(start)
        gpunn.manual_seed(1)
        found = [loss.item() for loss in WAYS.get(name, planned)(program, model)]
    np.testing.assert_allclose(found, eager, rtol=1e-10)
