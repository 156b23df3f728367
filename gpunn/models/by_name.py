"""Networks by name: what ``--model`` accepts."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from gpunn import nn
from gpunn.printing import did_you_mean

from .activations import ACTIVATIONS
from .autoencoder import VAE, Autoencoder
from .errors import ModelError
from .from_file import file_and_function, model_from_file
from .images import cnn, lenet, mlp, vgg_small
from .resnet import resnet9, resnet18, resnet34
from .sequence import LSTMClassifier, TransformerClassifier
from .shapes import image_shape, sequence_shape

LARGE = 64
"""Images of so many pixels along a side get a residual network with the stem for ImageNet."""

Shape = tuple[int, ...]
Make = Callable[[Shape, int, str, list[int]], nn.Module]


def build(spec: str, input_shape: Shape, outputs: int, activation: str = "relu") -> nn.Module:
    """The model that `spec` names, for inputs of `input_shape` (without the batch).

    Args:
        spec: a name of `MODELS`, with the numbers that it takes behind a colon, as ``mlp:512,512``; or
            ``FILE.py:FUNCTION``, where the function is called as ``function(input_shape, outputs)`` and returns a
            module.
        input_shape: (features,), (length, features) or (channels, height, width).
        outputs: the number of classes or targets; autoencoders have as many as inputs.
        activation: relu, leaky_relu, elu, gelu, silu, sigmoid, tanh or softplus.

    Raises:
        ModelError: the message says what was expected.
    """
    if activation not in ACTIVATIONS:
        near = did_you_mean(activation, ACTIVATIONS)
        raise ModelError(f"there is no activation {activation!r}{near}; there are {', '.join(ACTIVATIONS)}")
    if (named := file_and_function(spec)) is not None:
        return model_from_file(*named, input_shape, outputs)
    name, colon, argument = spec.partition(":")
    if name not in MODELS:
        near = did_you_mean(name, MODELS)
        raise ModelError(f"there is no model {spec!r}{near}; there are {', '.join(MODELS)}, and FILE.py:FUNCTION")
    make, most, example = MODELS[name]
    numbers = [] if not colon else _numbers(spec, argument, most, example)
    return make(input_shape, outputs, activation, numbers)


def _numbers(spec: str, argument: str, most: int | None, example: str) -> list[int]:
    """The numbers behind a name. `most` is how many there may be, None for any number of them."""
    if most == 0:
        raise ModelError(f"{spec!r}: {spec.partition(':')[0]} takes no numbers")
    found = [int(n) for n in argument.split(",")] if re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", argument) else []
    if not found or (most is not None and len(found) > most):
        raise ModelError(f"{spec!r}: expected whole numbers above 0, such as {example}")
    return found


def reconstructs(model: nn.Module) -> bool:
    """Whether a model gives its input back, so that it learns from inputs alone."""
    return bool(getattr(model, "reconstructs", False))


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


def _of_images(make: Callable[..., nn.Module]) -> Make:
    """Of a network whose channels can be chosen by one number."""
    return lambda shape, outputs, act, numbers: make(shape, outputs, act, **({"width": numbers[0]} if numbers else {}))


def _residual(make: Callable[..., nn.Module], name: str, smallest: int) -> Make:
    def made(shape: Shape, outputs: int, activation: str, numbers: list[int]) -> nn.Module:
        channels, *size = image_shape(name, shape, smallest)
        options: dict[str, Any] = {"width": numbers[0]} if numbers else {}
        if make is not resnet9:
            options["stem"] = "imagenet" if min(size) >= LARGE else "cifar"
        return make(outputs, channels=channels, activation=activation, **options)

    return made


def _transformer(shape: Shape, outputs: int, activation: str, numbers: list[int]) -> nn.Module:
    d_model, nhead, layers = [*numbers, *(64, 4, 2)[len(numbers) :]]
    if d_model % nhead:
        raise ModelError(f"transformer:{d_model},{nhead}: the first number, the size, is a multiple of the heads")
    return TransformerClassifier(
        *sequence_shape("transformer", shape), outputs, d_model, nhead, layers, activation=activation
    )


def _lstm(shape: Shape, outputs: int, activation: str, numbers: list[int]) -> nn.Module:
    if activation != "relu":  # the default, which nobody asked for
        raise ModelError(f"lstm has tanh and sigmoid inside; expected no activation, got {activation!r}")
    return LSTMClassifier(*sequence_shape("lstm", shape), outputs, *numbers)


def _vae(shape: Shape, outputs: int, activation: str, numbers: list[int]) -> nn.Module:
    return VAE(shape, numbers or (400, 20), activation)


MODELS: dict[str, tuple[Make, int | None, str]] = {
    "mlp": (lambda shape, outputs, act, sizes: mlp(shape, outputs, sizes or (128, 128), act), None, "mlp:512,512"),
    "linear": (lambda shape, outputs, act, _: mlp(shape, outputs, (), act), 0, ""),
    "lenet": (lambda shape, outputs, act, _: lenet(shape, outputs, act), 0, ""),
    "cnn": (lambda shape, outputs, act, _: cnn(shape, outputs, act), 0, ""),
    "vgg_small": (_of_images(vgg_small), 1, "vgg_small:32 for the channels of its first layer"),
    "resnet9": (_residual(resnet9, "resnet9", 8), 1, "resnet9:16 for the channels of its first layer"),
    "resnet18": (_residual(resnet18, "resnet18", 8), 1, "resnet18:16 for the channels of its first layer"),
    "resnet34": (_residual(resnet34, "resnet34", 8), 1, "resnet34:16 for the channels of its first layer"),
    "transformer": (_transformer, 3, "transformer:64,4,2 for its size, heads and layers"),
    "lstm": (_lstm, 2, "lstm:64,1 for its state and layers"),
    "autoencoder": (
        lambda shape, _, act, sizes: Autoencoder(shape, sizes or (128, 32), act),
        None,
        "autoencoder:128,32, the last one for the code",
    ),
    "vae": (_vae, None, "vae:400,20, the last one for the code"),
}
"""The networks with a name: what makes each, how many numbers it takes (None for any), and an example of these."""
