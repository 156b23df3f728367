"""Batches that do not fit are cut into micro-batches, to the same gradients, or refused with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.backend.numpy import workers
from gpunn.backend.numpy.workspace import LEAST_BYTES
from gpunn.plan import obstacle, trace
from gpunn.printing import bytes_text
from gpunn.train import Batch, EagerStep, PlannedStep, TrainingError
from gpunn.train.cut import cut
from gpunn.train.objective import Objective

N = 13
ON_ALL_CORES = workers.memory(LEAST_BYTES)
"""What the CPU computes in is there for any batch: `LEAST_BYTES`, and for images that on each core."""


def classifier() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.3)),
        *(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Dropout(0.4), nn.Linear(16, 4)),
    )


WEIGHT = gpunn.tensor([0.2, 3.0, 1.0, 0.5], dtype=gpunn.float64)
LOSSES = {
    "mean": lambda: nn.CrossEntropyLoss(),
    "sum": lambda: nn.CrossEntropyLoss(reduction="sum"),
    "class weights": lambda: nn.CrossEntropyLoss(weight=WEIGHT),
    "ignore_index": lambda: nn.CrossEntropyLoss(ignore_index=2),
}


def run(loss: str, limit: int | None, steps: int = 3) -> tuple[list[np.ndarray], PlannedStep]:
    gpunn.manual_seed(0)
    model = classifier().double()
    objective = Objective(LOSSES[loss](), model)
    step = PlannedStep(EagerStep(model, objective, optim.SGD(model.parameters(), 0.05, momentum=0.9)), limit)
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(steps):
        x, y = gpunn.tensor(rng.standard_normal((N, 1, 8, 8))), gpunn.tensor(rng.integers(0, 4, N))
        ((value, output),) = step([Batch((x,), y, objective.share(y))])
        seen += [value.numpy(), output.numpy()]
    return seen + [p.detach().numpy() for p in model.parameters()], step


@pytest.mark.parametrize("loss", LOSSES)
def test_micro_batches_train_as_the_whole_batch_does(loss: str) -> None:
    whole, step = run(loss, None)
    parts, cut_step = run(loss, ON_ALL_CORES + 70_000)
    assert list(step._parts.values()) == [1]
    assert next(iter(cut_step._parts.values())) > 1
    for a, b in zip(whole, parts, strict=True):  # dropout too, whose masks are those of the whole batch
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-13)


class Autoencoder(nn.Module):
    """A variational autoencoder, whose code has noise; and noise of other kinds on what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(64, 8), nn.Linear(4, 64)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        code = self.encoder(x.flatten(1))
        mean, log_variance = code[:, :4], code.chunk(2, 1)[1]
        z = mean + gpunn.randn_like(mean) * (log_variance / 2).exp()
        noise = gpunn.normal(0.0, 1.0, z.shape) + gpunn.randint(3, z.shape) + gpunn.bernoulli(z.sigmoid().detach())
        noise = noise + nn.functional.gumbel_softmax(mean) + gpunn.rand(1, 4, dtype=z.dtype)
        return self.decoder(nn.functional.dropout(z + 0.1 * noise)).reshape(x.shape)


def test_parts_draw_the_numbers_of_the_whole() -> None:
    seen: list[list[np.ndarray]] = []
    limit = None
    for _ in range(2):
        gpunn.manual_seed(0)
        model = Autoencoder().double()
        objective = Objective(nn.MSELoss(), model)
        step = PlannedStep(EagerStep(model, objective, optim.SGD(model.parameters(), 0.05)), limit)
        x = gpunn.tensor(np.random.default_rng(0).standard_normal((99, 8, 8)))
        batch = Batch((x,), x, objective.share(x))
        outputs = [step([batch])[0][1].numpy() for _ in range(2)]
        seen.append([*outputs, *(p.detach().numpy() for p in model.parameters())])
        limit = step.memory(cut(batch, 3, objective)).total
    assert next(iter(step._parts.values())) > 1
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-13)


def test_a_step_in_parts_stays_within_the_limit() -> None:
    limit = ON_ALL_CORES + 75_000
    _, step = run("mean", limit)
    (parts,) = step._parts.values()
    x, y = gpunn.zeros(N, 1, 8, 8, dtype=gpunn.float64), gpunn.zeros(N, dtype=gpunn.int64)
    batch = Batch((x,), y, float(N))
    assert step.memory(cut(batch, parts, step.eager.objective)).total <= limit
    assert step.memory(cut(batch, parts - 1, step.eager.objective)).total > limit


def test_memory_that_a_plan_has_is_there_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is free is just enough for the first batch, and the last one of the epoch is smaller."""
    gpunn.manual_seed(0)
    model = nn.Linear(8, 2)
    step = PlannedStep(EagerStep(model, Objective("mse", model), optim.Adam(model.parameters())))

    def batch(n: int) -> Batch:
        return Batch((gpunn.ones(n, 8),), gpunn.ones(n, 2), float(n))

    needed = step.memory([batch(64)])
    free = needed.total - 4 * (2 * 8 + 2)  # the parameters are there
    monkeypatch.setattr("gpunn.train.step.free_memory", lambda device: free)
    step([batch(64)])
    free = 0
    step([batch(48)])
    assert list(step._parts.values()) == [1, 1]


def refusal(model: nn.Module, limit: int, loss: Any = "mse") -> str:
    objective = Objective(loss, model)
    step = PlannedStep(EagerStep(model, objective, optim.SGD(model.parameters(), 0.1)), limit)
    x = gpunn.ones(64, 8)
    with pytest.raises(TrainingError) as error:
        step([Batch((x,), gpunn.ones(64, 2), 64.0)])
    return str(error.value)


def test_what_mixes_samples_is_named_with_what_would_fit() -> None:
    model = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
    limit = LEAST_BYTES + 20_000
    text = refusal(model, limit)
    assert "BatchNorm in layer 1 takes mean and variance over the batch, so the batch can't be cut" in text
    assert "float32[64, 32] of" in text
    largest = int(text.rpartition("A batch of ")[2].split()[0])
    objective = Objective("mse", model)
    step = PlannedStep(EagerStep(model, objective, optim.SGD(model.parameters(), 0.1)), limit)
    assert 1 < largest < 64
    step([Batch((gpunn.ones(largest, 8),), gpunn.ones(largest, 2), float(largest))])
    with pytest.raises(TrainingError):
        step([Batch((gpunn.ones(largest + 1, 8),), gpunn.ones(largest + 1, 2), float(largest + 1))])


def test_a_loss_of_which_nothing_is_known_is_not_cut() -> None:
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    text = refusal(model, LEAST_BYTES + 20_000, lambda output, target: ((output - target) ** 2).mean().sqrt())
    assert "the loss is a function of the whole batch for all that is known, so the batch can't be cut" in text
    assert "reduction = 'mean'" in text


def test_nothing_fits() -> None:
    text = refusal(nn.Linear(8, 2), 100)
    assert "cut into samples it does not fit either" in text
    # W (2, 8) and b (2,) in float32, each in whole cache lines of 64 bytes; their gradients are fused with the update.
    # Beside those there is the memory that each thread computes in.
    needed = bytes_text(128 + LEAST_BYTES)
    assert f"No batch would fit: parameters, gradients, optimizer and workspace need {needed}" in text


X = gpunn.ones(6, 3)


def attention(x, mask=None):
    return nn.functional.scaled_dot_product_attention(x, x, x, mask)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: nn.functional.linear(x, gpunn.ones(2, 3)).relu() * 2 + gpunn.ones(2), ""),
        (lambda x: nn.functional.layer_norm(x, (3,)).softmax(1), ""),
        (lambda x: x.softmax(0), "Softmax goes along the samples"),
        (lambda x: x - x.mean(0), "Mean reduces over the samples"),
        (lambda x: x + gpunn.ones(6, 1), "Add meets the batch with float32[6, 1]"),
        (lambda x: x.t(), "Permute moves the axis of the samples"),
        (lambda x: x.reshape(18), "whose first axis is another one"),
        (lambda x: x.sum(1) + x.sum(1, keepdim=True), "Add lets samples meet each other"),
        (lambda x: x @ x.t(), "Permute moves the axis"),
        (lambda x: gpunn.cat([x[:, :2].chunk(2, 1)[0], gpunn.rand(6, 2)], 1), ""),
        (lambda x: x[::2], "Slice takes some of the samples"),
        (lambda x: gpunn.cat([x, gpunn.ones(6, 1)], 1), "joins the batch with what has something else"),
        (lambda x: x + gpunn.randperm(18).reshape(6, 3), "Add meets the batch"),
        (lambda x: x.sort(1)[0], "Sort is not known to treat samples one by one"),
        (lambda x: attention(x.reshape(6, 3, 1)) + attention(x.reshape(6, 3, 1), gpunn.ones(3, 3)), ""),
        (lambda x: attention(x.reshape(6, 3, 1), x.reshape(6, 1, 3)), ""),
        (lambda x: attention(x), "ScaledDotProductAttention lets samples attend to each other"),
        (
            lambda x: attention(x.reshape(6, 3, 1), gpunn.ones(6, 1, 3)),
            "meets the batch with the mask float32[6, 1, 3]",
        ),
        (lambda x: gpunn.ones(2), "a result of the model does not depend on the batch"),
    ],
)
def test_what_treats_samples_one_by_one(body, reason: str) -> None:
    found = obstacle(trace(body, [X])[0])
    assert reason in found
    assert bool(reason) == bool(found)
