"""Networks by name: what ``--model`` accepts."""

from __future__ import annotations

import importlib.util
import os
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from gpunn import nn
from gpunn.printing import did_you_mean

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


class ModelError(ValueError):
    """A model that can't be built: an unknown name, a shape that it does not take, a file without the function."""


def build(spec: str, input_shape: tuple[int, ...], outputs: int, activation: str = "relu") -> nn.Module:
    """The model that `spec` names, for inputs of `input_shape` (without the batch).

    Args:
        spec: ``mlp`` or ``mlp:512,512`` (hidden sizes), ``linear``, ``lenet``, ``cnn``, or ``FILE.py:FUNCTION``, where
            the function is called as ``function(input_shape, outputs)`` and returns a module.
        input_shape: (features,) or (channels, height, width).
        outputs: the number of classes or targets.
        activation: relu, leaky_relu, elu, gelu, silu, sigmoid, tanh or softplus.

    Raises:
        ModelError: the message says what was expected.
    """
    if activation not in ACTIVATIONS:
        near = did_you_mean(activation, ACTIVATIONS)
        raise ModelError(f"there is no activation {activation!r}{near}; there are {', '.join(ACTIVATIONS)}")
    if (named := file_and_function(spec)) is not None:
        return _from_file(*named, input_shape, outputs)
    name, _, argument = spec.partition(":")
    if name in ("mlp", "linear"):
        hidden = [] if name == "linear" else _sizes(spec, argument or "128,128")
        return mlp(input_shape, outputs, hidden, activation)
    if name in _IMAGE_MODELS and not argument:
        return _IMAGE_MODELS[name](input_shape, outputs, activation)
    near = did_you_mean(name, ("mlp", "linear", *_IMAGE_MODELS))
    raise ModelError(f"there is no model {spec!r}{near}; there are mlp:SIZES, linear, lenet, cnn, and FILE.py:FUNCTION")


def file_and_function(spec: str) -> tuple[Path, str] | None:
    """The two of FILE.py:FUNCTION, of which the function may be missing; None for a model with a name."""
    match = re.fullmatch(r"(.*\.py)(?::([^:/]*))?", spec)
    return None if match is None else (Path(match[1]), match[2] or "")


def recompute(model: nn.Module, segments: int) -> None:
    """Let training keep only what goes into each segment of an `nn.Sequential`; see `gpunn.utils.checkpoint`.

    Raises:
        ModelError: the model is no `nn.Sequential`, or has fewer layers than that.
    """
    from gpunn.utils.checkpoint import checkpoint_sequential

    if not isinstance(model, nn.Sequential):
        raise ModelError(
            f"only an nn.Sequential can be cut into segments that are computed again, and the model is a "
            f"{type(model).__name__}; call gpunn.utils.checkpoint.checkpoint in its forward"
        )
    if not 1 <= segments <= len(model):
        raise ModelError(f"{len(model)} layers can't be cut into {segments} segments")
    model.forward = partial(checkpoint_sequential, model, segments)  # type: ignore[method-assign]


def mlp(input_shape: tuple[int, ...], outputs: int, hidden: list[int], activation: str = "relu") -> nn.Sequential:
    """Linear layers with the activation between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = prod(input_shape)
    for width in hidden:
        layers += [nn.Linear(size, width), ACTIVATIONS[activation]()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs))


def lenet(input_shape: tuple[int, ...], outputs: int, activation: str = "relu") -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition"), with max pooling.

    Two convolutions of 5 x 5 with 6 and 16 channels, each pooled by 2; then 120, 84 and the outputs.
    """
    channels, height, width = _image_shape("lenet", input_shape, smallest=12)
    after = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=2), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(after, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, outputs)),
    )


def cnn(input_shape: tuple[int, ...], outputs: int, activation: str = "relu") -> nn.Sequential:
    """Two convolutions of 3 x 3 with 32 and 64 channels, each pooled by 2; then 128 and the outputs."""
    channels, height, width = _image_shape("cnn", input_shape, smallest=4)
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        *(nn.Conv2d(channels, 32, 3, padding=1), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), act(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(64 * (height // 4) * (width // 4), 128), act(), nn.Linear(128, outputs)),
    )


_IMAGE_MODELS = {"lenet": lenet, "cnn": cnn}


def _image_shape(name: str, shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ModelError(f"{name} takes images (channels, height, width), the data is {shape}; mlp takes any shape")
    if min(shape[1:]) < smallest:
        raise ModelError(
            f"{name} takes images of at least {smallest} x {smallest}, the data is {shape}; mlp takes any shape"
        )
    return shape[0], shape[1], shape[2]


def _sizes(spec: str, argument: str) -> list[int]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", argument):
        raise ModelError(f"{spec!r}: the hidden sizes are whole numbers separated by commas, such as mlp:512,512")
    return [int(n) for n in argument.split(",")]


def named_in_file(path: Path, name: str) -> Any:
    """What a Python file calls `name`.

    Raises:
        ModelError: there is no such file or name, or the file raises an error; the message says in which line.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    if not name:
        raise ModelError(f"{path}: name the function too, such as {path}:make_model")
    spec = importlib.util.spec_from_file_location(path.stem, os.path.abspath(path))
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    with told_where(path):
        spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise ModelError(f"{path} has no function {name!r}{did_you_mean(name, vars(module))}")
    return found


def _from_file(path: Path, function: str, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    make = named_in_file(path, function)
    with told_where(path):
        model = make(input_shape, outputs)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{path}:{function} returned {type(model).__name__}, expected a gpunn.nn.Module")
    return model


@contextmanager
def told_where(path: Path) -> Iterator[None]:
    """Whatever a file raises becomes a ModelError with the line of the file, and the type of the error."""
    file = Path(os.path.abspath(path))
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        line = error.lineno if isinstance(error, SyntaxError) and not frames else frames[-1] if frames else None
        text = error.msg if isinstance(error, SyntaxError) else error
        where = f"{path}, line {line}" if line is not None else str(path)
        raise ModelError(f"{where}: {type(error).__name__}: {text}") from error
