"""Data sets on the device: the same batches as the loader gives, and the same training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.train import resident as module
from gpunn.train.objective import Objective
from gpunn.train.resident import resident
from gpunn.train.step import EagerStep, PlannedStep
from gpunn.utils.data import DataLoader, Subset, TensorDataset

SIM = gpunn.device("sim")
X = np.arange(40, dtype=np.float32).reshape(20, 2)
Y = np.arange(20) % 3


class Asked(TensorDataset):
    """Is asked for each sample, so that it is not taken for its tensors."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)


def data_set() -> TensorDataset:
    return TensorDataset(gpunn.tensor(X), gpunn.tensor(Y))


def objective() -> Objective:
    return Objective("cross_entropy", nn.Linear(2, 3))


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "generator": 5}, {"drop_last": True}])
@pytest.mark.parametrize("rows", [None, [7, 3, 3, 19, 0, 11, 5]])
def test_batches_are_those_of_the_loader(options: dict[str, Any], rows: list[int] | None) -> None:
    data: Any = data_set() if rows is None else Subset(data_set(), rows)
    found = resident(DataLoader(data, 3, **options), SIM)
    assert found is not None
    other = DataLoader(data, 3, **options)
    for _ in range(2):  # epochs, in orders of their own
        ours, theirs = list(found.batches(objective())), list(other)
        assert len(ours) == len(theirs)
        for batch, (x, y) in zip(ours, theirs):
            assert batch.target.device is SIM
            np.testing.assert_array_equal(batch.inputs[0].cpu().numpy(), x.numpy())
            np.testing.assert_array_equal(batch.target.cpu().numpy(), y.numpy())
            np.testing.assert_array_equal(batch.host_target().numpy(), y.numpy())
            assert batch.share == batch.samples == len(y)


def test_the_state_of_the_loader_goes_on() -> None:
    loader = DataLoader(data_set(), 6, shuffle=True, generator=1)
    found = resident(loader, SIM)
    assert found is not None
    source = found.batches(objective())
    next(source)
    second = next(source).inputs[0].cpu().numpy()
    state = loader.state_dict()
    assert state["position"] == 2
    again = DataLoader(data_set(), 6, shuffle=True, generator=1)
    again.load_state_dict({**state, "position": 1})
    rest = resident(again, SIM)
    assert rest is not None
    np.testing.assert_array_equal(next(rest.batches(objective())).inputs[0].cpu().numpy(), second)


def test_what_counts_is_known_without_the_device() -> None:
    weighted = Objective(nn.CrossEntropyLoss(weight=gpunn.tensor([1.0, 2.0, 4.0])), nn.Linear(2, 3))
    found = resident(DataLoader(data_set(), 20), SIM)
    assert found is not None
    (batch,) = found.batches(weighted)
    assert batch.share == 7 * 1 + 7 * 2 + 6 * 4


def test_when_data_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_set()
    assert resident(DataLoader(data, 4), gpunn.device("cpu")) is None
    assert resident(DataLoader(data, 4, sampler=[3, 1, 2]), SIM) is None
    assert resident(DataLoader(data, 4, collate_fn=lambda samples: samples), SIM) is None
    assert resident(DataLoader(Asked(*data.tensors), 4), SIM) is None
    size = X.nbytes + Y.nbytes
    monkeypatch.setattr(module, "free_memory", lambda device: 2 * size)
    assert resident(DataLoader(data, 4), SIM) is not None
    monkeypatch.setattr(module, "free_memory", lambda device: 2 * size - 2)
    assert resident(DataLoader(data, 4), SIM) is None
    there = TensorDataset(*(t.to("sim") for t in data.tensors))  # takes no more memory
    assert resident(DataLoader(there, 4), SIM) is not None


def test_a_step_gathers_its_batch_in_its_graph() -> None:
    gpunn.manual_seed(0)
    model = nn.Linear(2, 3).to("sim")
    step = PlannedStep(EagerStep(model, Objective("cross_entropy", model), optim.SGD(model.parameters(), lr=0.01)))
    found = resident(DataLoader(data_set(), 10), SIM)
    assert found is not None
    for batch in found.batches(step.eager.objective):
        step([batch])
    assert [v.spec.shape for v in step.plan.graph.arguments] == [(10,)]
    assert step.plan.explain_capture().startswith("graph: ")
    assert "\n" not in step.plan.explain_capture()


def test_micro_batches_gather_their_own_samples() -> None:
    def losses(spared: int) -> tuple[list[float], int]:
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 512), nn.Tanh(), nn.Dropout(0.5), nn.Linear(512, 3)).to("sim")
        step = PlannedStep(EagerStep(model, Objective("cross_entropy", model), optim.SGD(model.parameters(), lr=0.01)))
        found = resident(DataLoader(data_set(), 20), SIM)
        assert found is not None
        step.memory_limit = step.memory(list(found.batches(step.eager.objective))).total - spared
        seen = [step([batch])[0][0].item() for _ in range(3) for batch in found.batches(step.eager.objective)]
        return seen, next(iter(step._parts.values()))

    (whole, one), (parts, several) = losses(0), losses(50_000)
    assert one == 1 and several > 1
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"eager": True}, {"grad_accumulation": 2}], ids=lambda o: next(iter(o), "planned")
)
def test_training_is_the_same(options: dict[str, Any]) -> None:
    def trained(kind: type[TensorDataset]) -> tuple[list[Any], list[Any]]:
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3)).to("sim")
        trainer = gpunn.Trainer(
            model, "cross_entropy", optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"], seed=2, **options
        )
        data = kind(gpunn.tensor(X / 20), gpunn.tensor(Y))
        rows = trainer.fit(data, epochs=2, batch_size=8, validation=data).rows
        return [p.detach().cpu().numpy() for p in model.parameters()], [
            (r["loss"], r["accuracy"], r["val_loss"]) for r in rows
        ]

    (ours, history), (theirs, other) = trained(TensorDataset), trained(Asked)
    assert history == other
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a, b)
