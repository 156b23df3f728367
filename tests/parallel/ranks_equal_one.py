"""On several ranks: trains, and compares with what one process gets from the same batches. Prints a line a case."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, optim, parallel
from gpunn.train import Trainer

SAMPLES, FEATURES, CLASSES = 79, 6, 3
"""Batches of 16 of the 63 that are not held out: the last one has 15. Of 19 the last has 6, and of 20 it has 3."""


def model(norm: bool) -> nn.Module:
    parts = [nn.Linear(FEATURES, 24), nn.SyncBatchNorm(24) if norm else nn.ReLU(), nn.Tanh(), nn.Dropout(0.3)]
    return nn.Sequential(*parts, nn.Linear(24, CLASSES)).double()


def optimizer(name: str, m: nn.Module) -> Any:
    if name == "adam":
        return optim.Adam(m.parameters(), lr=0.01)
    return optim.SGD(m.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


CASES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adam": {"optimizer": "adam"},
    "adam, eager": {"optimizer": "adam", "eager": True},
    "accumulation": {"grad_accumulation": 2},
    "clipped": {"clip_norm": 0.05, "l2": 1e-3},
    "fewer samples than ranks in the last batch": {"batch_size": 20},
    "synchronised batch norm": {"norm": True, "batch_size": 19},
    "sum": {"loss": nn.CrossEntropyLoss(reduction="sum"), "lr": 0.001},
    "ignored labels": {"loss": nn.CrossEntropyLoss(ignore_index=0, weight=gpunn.tensor([1.0, 2.0, 0.5]).double())},
    "micro-batches": {"width": 4000, "memory_limit": 4_600_000, "batch_size": 60},
}


TWICE = ("adam",)
"""Those that are done twice, and with the optimizer's state divided among the ranks."""


def cases(ranks: int) -> list[str]:
    """Those of so many ranks: all on two, and on more what depends on the number."""
    few = ["adam", "fewer samples than ranks in the last batch", "synchronised batch norm", "ignored labels"]
    return list(CASES) if ranks == 2 else few


def fit(
    case: dict[str, Any], run_dir: Path | None = None, epochs: int = 1, resume: bool = False, shard: bool = False
) -> tuple[nn.Module, Any, Trainer]:
    options = dict(case)
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((SAMPLES, FEATURES)), rng.integers(0, CLASSES, SAMPLES)
    gpunn.manual_seed(3)
    m = model(options.pop("norm", False))
    if width := options.pop("width", None):
        m = nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, CLASSES)).double()
    o = optimizer(options.pop("optimizer", "sgd"), m)
    o.param_groups[0]["lr"] = options.pop("lr", o.param_groups[0]["lr"])
    batch_size, loss = options.pop("batch_size", 16), options.pop("loss", "cross_entropy")
    metrics = ["accuracy", "per_class"]
    trainer = Trainer(
        m, loss, o, metrics=metrics, progress=False, seed=1, run_dir=run_dir, shard_optimizer=shard, **options
    )
    history = trainer.fit((x, y), epochs=epochs, validation=0.2, batch_size=batch_size, resume=resume)
    return m, history, trainer


def weights(m: nn.Module) -> np.ndarray[Any, Any]:
    return np.concatenate([p.detach().numpy().ravel() for p in m.state_dict().values()])


def numbers(history: Any) -> np.ndarray[Any, Any]:
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return np.array([[row[name] for name in names] for row in history.rows])


def main(folder: Path) -> None:
    world = parallel.init()
    for name in cases(world.size):
        case = CASES[name]
        m, history, _ = fit(case)
        more = name in TWICE
        again = weights(fit(case)[0]) if more else weights(m)
        sharded = weights(fit(case, shard=True)[0]) if more else weights(m)
        with parallel.alone():
            one, alone, _ = fit(case)
        difference = np.abs(weights(m) - weights(one)).max()
        found = {
            "case": name,
            "weights": float(difference),
            "moved": float(np.abs(weights(one)).max()),
            "history": float(np.abs(numbers(history) - numbers(alone)).max()),
            "again": bool((again == weights(m)).all()),
            "sharded": bool((sharded == weights(m)).all()),
            "alike": len(set(world.gather(weights(m).tobytes()))) == 1,
        }
        if world.is_first:
            print(json.dumps(found))
    # The first part of a training, which another number of ranks goes on with; and one that others have begun.
    fit(CASES["adam"], folder / f"from-{world.size}", shard=True)
    if (folder / "begun").exists():
        found = weights(fit(CASES["adam"], folder / "begun", epochs=2, resume=True, shard=True)[0])
        if world.is_first:
            print(json.dumps({"resumed": found.tolist()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
