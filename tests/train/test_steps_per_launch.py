"""Several training steps in one launch: the bits, the callbacks and the history of single steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import Trainer, nn, optim
from gpunn.plan.together import Together
from gpunn.train import Callback

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((70, 6)).astype("float32"), RNG.integers(0, 3, 70)


class Decay(Callback):
    """A learning rate that changes behind each step."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def on_step_begin(self, trainer: Trainer, batches: Any) -> None:
        self.seen.append(("begin", trainer.batch))

    def on_batch_end(self, trainer: Trainer, batch: int) -> None:
        self.seen.append(("end", batch))
        for group in trainer.optimizer.param_groups:
            group["lr"] *= 0.95


def train(device: str, **options: Any) -> tuple[Any, ...]:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)).to(device)
    decay = Decay()
    optimizer = optim.Adam(model.parameters(), 0.01)
    trainer = Trainer(
        model, "cross_entropy", optimizer, metrics=["accuracy"], progress=False, seed=3, callbacks=[decay], **options
    )
    history = trainer.fit((X, Y), epochs=2, batch_size=8)  # 9 batches, the last one smaller
    rows = [{name: row[name] for name in ("loss", "accuracy", "lr")} for row in history.rows]
    return rows, decay.seen, [p.detach().cpu().numpy().tolist() for p in model.parameters()]


@pytest.mark.parametrize("device", ["sim", "cpu"])
def test_the_run_is_that_of_single_steps(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(device)
    counts: list[int] = []
    call = Together.__call__
    monkeypatch.setattr(Together, "__call__", lambda self, *given: (counts.append(self.count), call(self, *given))[1])
    assert train(device, steps_per_launch=4) == expected
    assert counts == ([4, 4, 4] if device == "sim" else [])  # but for the first steps, and the smaller batches
    assert train(device, steps_per_launch=2, grad_accumulation=2) == train(device, grad_accumulation=2)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"steps_per_launch": 0}, "steps_per_launch is 0; expected a number of steps, at least 1"),
        ({"steps_per_launch": 2.0}, "steps_per_launch is 2.0; expected"),
        ({"steps_per_launch": 2, "on_nan": "skip"}, 'on_nan="skip" looks at each step'),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], what: str) -> None:
    model = nn.Linear(6, 3)
    with pytest.raises(ValueError, match=what):
        Trainer(model, "cross_entropy", "adam", **options)
