"""Trainers of runs that are stopped and resumed."""

import os
import signal

from gpunn import optim
from gpunn.optim import lr_scheduler
from gpunn.train import (
    EarlyStopping,
    LambdaCallback,
)

from .conftest import make_model, make_trainer

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, 0.01),
    "adamw": lambda p: optim.AdamW(p, 0.01),
    "rmsprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, 0.1),
}


SCHEDULERS = {
    "none": lambda o: None,
    "onecycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=32, cycle_momentum=False),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 4),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.3),
    "sequence": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=2), lr_scheduler.ExponentialLR(o, 0.5)], [2]
    ),
}


def trainer_for(path, optimizer="sgd", scheduler="none", callbacks=(), **options):
    """Everything that has a state: dropout, batch norm, momentum, a schedule, a best epoch."""
    model = make_model(dropout=0.3, batch_norm=True)
    made = OPTIMIZERS[optimizer](model.parameters())
    return make_trainer(
        model,
        optimizer=made,
        scheduler=SCHEDULERS[scheduler](made),
        callbacks=[EarlyStopping(patience=50, restore_best=False), *callbacks],
        **{"run_dir": path, "seed": 11, "l2": 1e-3, "metrics": ["accuracy", "per_class"], **options},
    )


def interrupt_at(epoch, batch):
    """Ctrl-C during the step of that batch."""

    def press(trainer, done):
        if (trainer.epoch, done) == (epoch, batch):
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(on_batch_end=press)


def data_of(task):
    return {"data": (task.x, task.y), "validation": 0.2, "batch_size": 9}
