"""From options to the objects that train: data, model, loss, optimizer, schedule."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpunn import nn, optim
from gpunn.datasets import Arrays, DataError, load, standardise, stratified_split
from gpunn.optim import lr_scheduler
from gpunn.tensor import Tensor

from .errors import UsageError
from .options import DEFAULT_LR

TEST_FRACTION = 0.2
"""Of a data set without a test part, so much is held out as one."""


@dataclass(frozen=True)
class Prepared:
    """Data ready for a model: float32 inputs, standardised by the training data's moments."""

    source: Arrays
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def shape_info(self) -> dict[str, Any]:
        """What a trained model needs to know about its data; stands in config.toml under [data_info]."""
        mean, std = np.asarray(self.source.mean), np.asarray(self.source.std)
        return {
            "input_shape": list(self.source.input_shape),
            "outputs": self.source.outputs,
            "classes": self.source.classes,
            "mean": mean.ravel().tolist(),
            "std": std.ravel().tolist(),
            "moments_shape": list(mean.shape),
        }


def prepare_data(options: argparse.Namespace) -> Prepared:
    """Load the data, with a test part, and standardise it."""
    data = with_test_part(load(options.data, options.data_root), options.seed)
    assert data.x_test is not None and data.y_test is not None
    targets = "float32" if data.classes is None else "int64"
    return Prepared(
        data,
        standardise(data.x_train, data.mean, data.std),
        data.y_train.astype(targets),
        standardise(data.x_test, data.mean, data.std),
        data.y_test.astype(targets),
    )


def with_test_part(data: Arrays, seed: int) -> Arrays:
    """The data itself if it has a test part, else with a fifth held out as one, by class."""
    if data.x_test is not None:
        return data
    rest, held = hold_out(data, TEST_FRACTION, seed)
    x, y = data.x_train, data.y_train
    return replace(data, x_train=x[rest], y_train=y[rest], x_test=x[held], y_test=y[held])


def hold_out(data: Arrays, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training samples that stay, and of those held out: by class where there are classes.

    Raises:
        DataError: there are too few samples.
    """
    if data.classes is not None:
        return stratified_split(data.y_train, fraction, seed)
    n = len(data.x_train)
    count = round(n * fraction)
    if not 0 < count < n:
        raise DataError(f"{data.name}: {n} samples are too few to hold out {fraction:.0%} of them")
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[count:]), np.sort(order[:count])


def default_model(input_shape: tuple[int, ...]) -> str:
    """The small convolutional network for images, two hidden layers for all else."""
    return "cnn" if len(input_shape) == 3 and min(input_shape[1:]) >= 4 else "mlp:128,128"


class OneHotLoss:
    """A loss for numbers on classes: the targets are 1 for the class and 0 for the others."""

    reduction = "mean"

    def __init__(self, loss: nn.Module, classes: int):
        self.loss, self.classes = loss, classes

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of outputs (n, classes) for class indices (n,)."""
        wanted = nn.functional.one_hot(target, self.classes).to(output.dtype)
        loss: Tensor = self.loss(output, wanted)
        return loss


def make_loss(options: argparse.Namespace, data: Arrays) -> Any:
    """The loss function, by name or by what the data asks for."""
    name = options.loss or ("mse" if data.classes is None else "cross_entropy")
    if name == "cross_entropy" and data.classes is None:
        raise UsageError(f"--loss cross_entropy: {data.name} has numbers as targets, not classes; mse or l1 fit")
    if name == "cross_entropy":
        return nn.CrossEntropyLoss()
    losses = {
        "mse": nn.MSELoss,
        "l1": nn.L1Loss,
        "smooth_l1": nn.SmoothL1Loss,
        "huber": nn.HuberLoss,
        "bce_with_logits": nn.BCEWithLogitsLoss,
    }
    loss = losses[name]()
    return loss if data.classes is None else OneHotLoss(loss, len(data.classes))


def make_optimizer(options: argparse.Namespace, model: nn.Module) -> Any:
    """The optimizer, at the largest learning rate of its schedule."""
    lr = options.lr or DEFAULT_LR[options.optimizer]
    parameters = list(model.parameters())
    if options.momentum is not None and options.optimizer not in ("sgd", "rmsprop"):
        raise UsageError(f"--momentum is for sgd and rmsprop; {options.optimizer} has its own")
    if options.optimizer == "sgd":
        return optim.SGD(parameters, lr=lr, momentum=0.9 if options.momentum is None else options.momentum)
    if options.optimizer == "rmsprop":
        return optim.RMSprop(parameters, lr=lr, momentum=options.momentum or 0.0)
    cls = {"adam": optim.Adam, "adamw": optim.AdamW, "adagrad": optim.Adagrad}[options.optimizer]
    return cls(parameters, lr=lr)


def make_schedule(options: argparse.Namespace, optimizer: Any, steps_per_epoch: int) -> Any:
    """The schedule of the learning rate, None for a constant one."""
    from gpunn.train import ScheduleCallback

    lr, epochs = optimizer.param_groups[0]["lr"], options.epochs
    kind = options.schedule
    if kind == "none":
        return None
    if kind == "onecycle":
        steps = max(steps_per_epoch * epochs, 2)
        has_momentum = "betas" in optimizer.param_groups[0] or optimizer.param_groups[0].get("momentum")
        scheduler = lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=bool(has_momentum))
        return ScheduleCallback(scheduler, every="batch")
    made = {
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
        "step": lambda: lr_scheduler.StepLR(optimizer, step_size=max(1, epochs // 3), gamma=0.1),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, gamma=0.01 ** (1 / epochs)),
        "plateau": lambda: lr_scheduler.ReduceLROnPlateau(optimizer, patience=3),
    }
    return ScheduleCallback(made[kind](), every="epoch")
