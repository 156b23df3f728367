"""Batches that are streamed to a device: those of the loader, to the same bits, whatever is done with them."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import Trainer, nn, optim
from gpunn.train import Callback, TrainingInterrupted
from gpunn.train import resident as resident_module
from gpunn.train.copies import copies_to
from gpunn.train.feed import Feed
from gpunn.utils.data import ArrayDataset, DataLoader, IterableDataset, TensorDataset

from ..backend import fake_cupy

RNG = np.random.default_rng(0)
X, X2, Y = RNG.standard_normal((70, 6)).astype("float32"), RNG.random((70, 2), "float32"), RNG.integers(0, 3, 70)


@pytest.fixture(params=[False, True], ids=["late", "early"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Copies are done when somebody waits for them, or before all work that they do not wait for."""
    with fake_cupy.installed() as found:
        found.hasty = request.param
        yield found


class Asked(TensorDataset):
    """Is asked for each sample, so that it can't lie on a device as a whole."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)


class Drawn(Asked):
    """Draws random numbers for its samples, as augmentation does, from what the training draws from too."""

    def __getitem__(self, index: Any) -> Any:
        x, y = super().__getitem__(index)
        return x + 0.1 * gpunn.randn(6), y


class Read(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y))


class Two(nn.Module):
    """Takes two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(2, 8)
        self.rest = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))

    def forward(self, x: Any, x2: Any) -> Any:
        return self.rest(self.a(x) + self.b(x2))


def pairs(kind: Any = Asked) -> Any:
    return kind(gpunn.tensor(X), gpunn.tensor(Y))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def train(
    device: str, data: Any, make: Any = network, validation: Any = None, class_weight: Any = None, **options: Any
) -> tuple[list[Any], ...]:
    """What training, validation, evaluation and prediction give, and the parameters."""
    gpunn.manual_seed(0)
    model = make().to(device)
    trainer = Trainer(
        model,
        "cross_entropy",
        optim.Adam(model.parameters(), 0.01),
        metrics=["accuracy"],
        progress=False,
        seed=3,
        **options,
    )
    size = None if isinstance(data, DataLoader) else 8
    history = trainer.fit(data, validation=validation, batch_size=size, epochs=2, class_weight=class_weight)
    assert trainer.data_is == ("copied" if device == "sim" else "streamed")
    assert f"on {trainer.device} with data {trainer.data_is}" in repr(trainer)
    wanted = "loss", "accuracy", "val_loss", "val_accuracy"
    rows = [[row.get(name) for name in wanted] for row in history.rows]
    inputs = (X, X2) if isinstance(model, Two) else X
    measured = trainer.evaluate((X, X2, Y) if isinstance(model, Two) else (X, Y), batch_size=9)
    given = trainer.predict(inputs, batch_size=11)
    tensors = [p.detach().cpu().numpy().tolist() for p in model.parameters()]
    return rows, [measured["loss"]], given.cpu().numpy().tolist(), tensors


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"eager": True}, {"grad_accumulation": 3}, {"steps_per_launch": 4}, {"on_nan": "skip"}),
        *({"precision": "fp16"}, {"memory_limit": 60_000}, {"class_weight": {0: 2.0, 2: 0.5}}),
    ],
    ids=lambda options: next(iter(options), "planned"),
)
def test_training_has_the_bits_of_plain_copies(machine: Any, options: dict[str, Any]) -> None:
    expected = train("sim", pairs(), validation=pairs(), **options)
    assert train("cuda", pairs(), validation=pairs(), **options) == expected


def test_several_inputs(machine: Any) -> None:
    def data() -> Any:
        return Asked(gpunn.tensor(X), gpunn.tensor(X2), gpunn.tensor(Y))

    assert train("cuda", data(), make=Two) == train("sim", data(), make=Two)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: DataLoader(pairs(), 8, shuffle=True, num_workers=3, generator=1),
        lambda: DataLoader(Read(), 8, num_workers=1),
        lambda: DataLoader(ArrayDataset(X, Y), 8, shuffle=True, generator=4),
        lambda: DataLoader(pairs(Drawn), 8, shuffle=True, generator=1),
        lambda: DataLoader(pairs(), batch_sampler=[range(0, 3), range(3, 40), range(40, 44), range(44, 70)]),
    ],
    ids=["workers", "iterable", "arrays", "random", "any sizes"],
)
def test_all_kinds_of_loaders(machine: Any, make: Any) -> None:
    assert train("cuda", make()) == train("sim", make())


def test_data_that_is_there_already_is_not_copied(machine: Any) -> None:
    x, y = gpunn.tensor(X, device="cuda"), gpunn.tensor(Y)
    feed = Feed(DataLoader(Asked(x, y), 10), gpunn.device("cuda"))
    objective = Trainer(nn.Linear(6, 3), "cross_entropy", "sgd").objective
    gpunn.cuda.synchronize()
    machine.calls.clear()
    (first, *_) = feed.batches(objective)
    assert machine.calls["copy from the host"] == 7
    np.testing.assert_array_equal(first.inputs[0].cpu().numpy(), X[:10])
    np.testing.assert_array_equal(first.target.cpu().numpy(), Y[:10])


def test_a_tensor_that_requires_grad_has_its_gradient(machine: Any) -> None:
    x, y = gpunn.tensor(X, requires_grad=True), gpunn.tensor(X)
    there = copies_to(gpunn.device("cuda"))([x, y, y])
    (there[0] * there[1] * there[2]).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), X * X)


def test_how_data_comes_to_a_device(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, plain = gpunn.device("cuda"), pairs(TensorDataset)
    assert Feed(DataLoader(plain, 8), cuda).how == "resident"
    assert Feed(DataLoader(pairs(), 8), cuda).how == "streamed"
    assert Feed(DataLoader(pairs(), 8), gpunn.device("sim")).how == "copied"
    assert Feed(DataLoader(plain, 8), gpunn.device("cpu")).how == ""
    monkeypatch.setattr(resident_module, "free_memory", lambda device: 2 * (X.nbytes + Y.nbytes) - 1)
    assert Feed(DataLoader(plain, 8), cuda).how == "streamed"
    assert Feed(DataLoader(plain, 8), gpunn.device("sim")).how == "copied"


def test_memory_is_set_aside_for_all_batches_of_a_launch(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, asked = gpunn.device("cuda").backend, []
    copies_ahead = backend.copies_ahead
    monkeypatch.setattr(backend, "copies_ahead", lambda ahead: (asked.append(ahead), copies_ahead(ahead))[1])
    train("cuda", pairs(), validation=pairs(), steps_per_launch=2, grad_accumulation=3)
    assert asked == [6, 1, 6, 1, 1, 1]  # two epochs, each with validation; evaluate; predict


class At(Callback):
    """Does something at the end of a batch."""

    def __init__(self, number: int, act: Any) -> None:
        self.number, self.act, self.seen = number, act, 0

    def on_batch_end(self, trainer: Trainer, batch: int) -> None:
        self.seen += 1
        if self.seen == self.number:
            self.act()


def test_a_training_that_is_interrupted_goes_on_to_the_same_bits(machine: Any, tmp_path: Path) -> None:
    def loader() -> DataLoader:
        return DataLoader(pairs(Drawn), 8, shuffle=True, generator=1)

    def trainer(folder: str, *callbacks: Callback) -> Trainer:
        gpunn.manual_seed(0)
        model = network().to("cuda")
        return Trainer(model, "cross_entropy", "adam", seed=3, run_dir=tmp_path / folder, callbacks=callbacks)

    whole = trainer("whole")
    whole.fit(loader(), epochs=2)
    stops = trainer("parts", At(13, lambda: os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(TrainingInterrupted):
        stops.fit(loader(), epochs=2)
    assert stops.batch == 4
    goes_on = trainer("parts", At(99, None))
    goes_on.fit(loader(), epochs=2, resume=True)
    for a, b in zip(whole.model.parameters(), goes_on.model.parameters(), strict=True):
        assert a.detach().cpu().numpy().tobytes() == b.detach().cpu().numpy().tobytes()


@pytest.mark.parametrize("what", ["a callback", "the data"])
def test_after_an_error_all_memory_is_given_back(machine: Any, what: str) -> None:
    class Broken(Asked):
        def __getitem__(self, index: Any) -> Any:
            if what == "the data" and index == 50:
                raise ValueError("sample 50")
            return super().__getitem__(index)

    def fail() -> None:
        raise ValueError("a callback")

    gpunn.cuda.synchronize()
    before = machine.pools[0].used
    callbacks = [At(5, fail)] if what == "a callback" else []
    model = nn.Linear(6, 3).to("cuda")
    trainer = Trainer(model, "cross_entropy", "sgd", progress=False, callbacks=callbacks)
    with pytest.raises((ValueError, gpunn.train.TrainingError)):
        trainer.fit(pairs(Broken), epochs=1, batch_size=8, shuffle=False)
    gpunn.cuda.synchronize()
    assert np.isfinite(trainer.predict(X).cpu().numpy()).all()  # the device is as good as before
    del model, trainer
    gc.collect()
    gpunn.cuda.synchronize()
    assert machine.pools[0].used == before
