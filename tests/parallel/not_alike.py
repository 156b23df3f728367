"""On two ranks: what they don't do alike. A rank prints what it found as a line; rank 0 gets a signal at the end."""

from __future__ import annotations

import os
import sys

import numpy as np

import gpunn
from gpunn import nn, optim, parallel
from gpunn.train import LambdaCallback, Trainer


def main(number: int) -> None:
    world = parallel.init(6)
    model = nn.Linear(2, 1, bias=False).double()
    other = nn.Parameter(gpunn.zeros(2).double())
    unused = nn.Parameter(gpunn.zeros(2).double())
    optimizer = optim.SGD([*model.parameters(), other, unused], lr=1.0)
    y = model(gpunn.ones(1, 2).double()).sum()
    (y + (other * gpunn.tensor([3.0, 5.0]).double()).sum() if world.rank else y).backward()
    parallel.sum_gradients([*model.parameters(), other, unused])
    optimizer.step()
    assert other.tolist() == [-3.0, -5.0]  # 0 - 1 (0 + [3, 5]) on both
    assert unused.grad is None
    for option in ({"on_nan": ("stop", "skip")}, {"shard_optimizer": (False, True)}):
        ((name, values),) = option.items()
        trainer = Trainer(model, "mse", optimizer, progress=False, **{name: values[world.rank]})
        try:
            trainer.fit((np.ones((4, 2)), np.ones((4, 1))), 1)
        except parallel.RanksDiffer as error:
            assert f"{name} is {values[0]} on rank 0 and {values[1]} on rank 1" in str(error)
        else:
            raise AssertionError(name)
    late = LambdaCallback(on_epoch_end=lambda t, epoch, row: t.stop("late") if world.rank and epoch == 2 else None)
    trainer = Trainer(model, "mse", optim.SGD(model.parameters(), lr=0.1), progress=False, callbacks=[late])
    assert trainer.fit((np.ones((4, 2)), np.ones((4, 1))), 5).epochs == 2
    print("good", flush=True)
    if number and world.is_first:
        print(os.getpid(), flush=True)
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
