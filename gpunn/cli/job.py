"""From options to the objects that train: model, loss, optimizer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpunn import nn, optim
from gpunn.datasets import Arrays
from gpunn.models import reconstructs
from gpunn.tensor import Tensor
from gpunn.train.optimizers import OPTIMIZERS

from .data import Units
from .errors import RunError, UsageError
from .options import BASE_BATCH_SIZE, DEFAULT_LR, LOSSES_OF_CLASSES
from .values import AUGMENTATIONS


def scale_learning_rate(optimizer: Any, rule: str, samples: int) -> str:
    """Multiply the learning rates for steps on so many samples; a line that says so.

    By k = samples / 64 with "linear" (Goyal et al. 2017, "Accurate, large minibatch SGD: training ImageNet in 1 hour",
    2.1), by the root of k with "sqrt" (for Adam: Malladi et al. 2022, "On the SDEs and scaling rules for adaptive
    gradient algorithms").
    """
    k = samples / BASE_BATCH_SIZE
    factor = k if rule == "linear" else k**0.5
    for group in optimizer.param_groups:
        before, group["lr"] = group["lr"], group["lr"] * factor
    return f"learning rate {before:.3g} x {factor:.3g} = {group['lr']:.3g}, for steps on {samples} samples ({rule})"


_LOSSES: dict[str, Callable[[], nn.Module]] = {
    "mse": nn.MSELoss,
    "l1": nn.L1Loss,
    "smooth_l1": nn.SmoothL1Loss,
    "huber": nn.HuberLoss,
    "bce_with_logits": nn.BCEWithLogitsLoss,
}


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


def loss_name(options: argparse.Namespace, data: Arrays, model: nn.Module) -> str | None:
    """The name of the loss that the options ask for, or the data; None for a network with a loss of its own."""
    if options.loss is None and reconstructs(model):
        return None
    return options.loss or ("mse" if data.classes is None else "cross_entropy")


def make_loss(options: argparse.Namespace, data: Arrays, model: nn.Module) -> Any:
    """The loss function, by name or by what the network or the data asks for."""
    name = loss_name(options, data, model)
    if reconstructs(model):
        own = model.training_loss()
        if name is None:
            return own
        if name in LOSSES_OF_CLASSES or hasattr(own, "prediction"):
            fit = "it has a loss of its own, leave --loss out" if hasattr(own, "prediction") else "mse or l1 fit"
            raise UsageError(f"--loss {name}: {options.model} reconstructs its inputs; {fit}")
        return _LOSSES[name]()
    if name in LOSSES_OF_CLASSES and data.classes is None:
        raise UsageError(f"--loss {name}: {data.name} has numbers as targets, not classes; mse or l1 fit")
    if name == "cross_entropy":
        return nn.CrossEntropyLoss()
    assert name is not None
    loss = _LOSSES[name]()
    return loss if data.classes is None else OneHotLoss(loss, len(data.classes))


def make_probabilities(loss: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """From outputs (n, classes) to the probability of each class, as the loss has taught the network to tell it.

    Cross entropy: the softmax of the outputs. Losses on vectors with a 1 for the class: the outputs themselves, or for
    bce_with_logits the sigmoid of each, from 0 to 1 and divided by their sum; the class of the highest output where
    all are 0.
    """
    from gpunn.train.results import softmax

    def shares(outputs: np.ndarray) -> np.ndarray:
        scores = outputs.astype(np.float64)
        scores = 0.5 * (1 + np.tanh(0.5 * scores)) if loss == "bce_with_logits" else scores.clip(0, 1)
        nothing = scores.sum(1) == 0
        scores[nothing, outputs[nothing].argmax(1)] = 1
        return scores / scores.sum(1, keepdims=True)

    return softmax if loss in (None, "cross_entropy") else shares


def make_metrics(units: Units | None, model: nn.Module) -> list[Any]:
    """What is measured of classes, or of a regression: its errors in the units of the targets."""
    from gpunn.train import R2, MeanAbsoluteError, PerTarget, RootMeanSquaredError

    if units is None:
        return ["accuracy", "per_class"]
    if reconstructs(model):  # of which a part may be the same in all samples, so that R^2 says nothing
        return [RootMeanSquaredError(units[1]), MeanAbsoluteError(units[1])]
    several = [PerTarget(units[1])] if len(units[1]) > 1 else []
    return [R2(), RootMeanSquaredError(units[1]), MeanAbsoluteError(units[1]), *several]


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
    return getattr(optim, OPTIMIZERS[options.optimizer])(parameters, lr=lr)


def make_augmentation(options: argparse.Namespace, source: Arrays, model: nn.Module) -> Any:
    """What changes the images of training steps; None for nothing."""
    from gpunn.transforms import Compose, Cutout, MixUp, RandomAffine, RandomCrop, RandomHorizontalFlip

    if not options.augment:
        return None
    if len(source.input_shape) != 3:
        raise UsageError(f"--augment changes images, and the samples of {source.name} are {source.input_shape}")
    if reconstructs(model):
        raise UsageError(f"--augment: {options.model} reconstructs its inputs, which would not be changed alike")
    named = [part.partition(":") for part in options.augment]
    given = [(name, float(number) if number else AUGMENTATIONS[name]) for name, _, number in named]
    if any(name == "mixup" for name, _ in given) and loss_name(options, source, model) != "cross_entropy":
        raise UsageError("--augment mixup makes probabilities of the classes, which only --loss cross_entropy takes")
    outputs = None if source.classes is None else source.outputs
    make: dict[str, Callable[[float], nn.Module]] = {
        "flip": lambda _: RandomHorizontalFlip(),
        "crop": lambda padding: RandomCrop(int(padding)),
        "cutout": lambda size: Cutout(int(size)),
        "affine": lambda degrees: RandomAffine(degrees, (0.1, 0.1), (0.9, 1.1)),
        "mixup": lambda alpha: MixUp(outputs, alpha),
    }
    return Compose([make[name](number) for name, number in given])


def make_callbacks(options: argparse.Namespace, folder: Path) -> list[Any]:
    """What happens beside the training steps, as the options ask for it, in a run folder."""
    from gpunn.train import CSVLogger, EarlyStopping, GradientFlow, MLflowLogger, TensorBoardLogger, WandbLogger

    loggers: dict[str, Callable[[], Any]] = {
        "csv": lambda: CSVLogger(folder / "history.csv"),
        "tensorboard": lambda: TensorBoardLogger(folder / "tensorboard"),
        "wandb": lambda: WandbLogger(project="gpunn", name=folder.name),
        "mlflow": lambda: MLflowLogger("gpunn", run_name=folder.name),
    }
    try:
        told = [loggers[name]() for name in options.log or ()]
    except ImportError as missing:
        raise RunError(str(missing)) from None

    found: list[Any] = [EarlyStopping(patience=options.patience)] if options.patience else []
    return told + found + ([GradientFlow(options.watch_gradients)] if options.watch_gradients else [])
