"""Networks of layers one after the other, for inputs of any shape and for images."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from gpunn import nn

from .activations import ACTIVATIONS
from .shapes import image_shape


def mlp(
    input_shape: tuple[int, ...], outputs: int, hidden: Sequence[int] = (128, 128), activation: str = "relu"
) -> nn.Sequential:
    """Linear layers with the activation between them: (n, *input_shape) -> (n, outputs).

    Args:
        hidden: the sizes of the layers between; without any it is one linear layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    size = prod(input_shape)
    for width in hidden:
        layers += [nn.Linear(size, width), ACTIVATIONS[activation]()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs))


def lenet(input_shape: tuple[int, ...], outputs: int, activation: str = "relu") -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition"), with max pooling.

    Two convolutions of 5 x 5 with 6 and 16 channels, each pooled by 2; then 120, 84 and the outputs. Every channel of
    the second sees all of the first, so that images of (1, 28, 28) and 10 classes make 61,706 parameters.
    """
    channels, height, width = image_shape("lenet", input_shape, smallest=12)
    after = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=2), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(after, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, outputs)),
    )


def cnn(input_shape: tuple[int, ...], outputs: int, activation: str = "relu") -> nn.Sequential:
    """Two convolutions of 3 x 3 with 32 and 64 channels, each pooled by 2; then 128 and the outputs."""
    channels, height, width = image_shape("cnn", input_shape, smallest=4)
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        *(nn.Conv2d(channels, 32, 3, padding=1), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), act(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(64 * (height // 4) * (width // 4), 128), act(), nn.Linear(128, outputs)),
    )


def vgg_small(
    input_shape: tuple[int, ...], outputs: int, activation: str = "relu", *, width: int = 128
) -> nn.Sequential:
    """VGG-small (Cai, He, Sun, Vasconcelos 2017, "Deep learning with low precision by half-wave Gaussian
    quantization", 5.1).

    Three times two convolutions of 3 x 3, each with batch norm and activation, and a pooling by 2; with `width`, twice
    and four times so many channels; then the outputs. Images of (3, 32, 32) and 10 classes make 4,660,106 parameters.
    """
    channels, height, columns = image_shape("vgg_small", input_shape, smallest=8)
    layers: list[nn.Module] = []
    for of_block in (width, 2 * width, 4 * width):
        for _ in range(2):
            layers += [nn.Conv2d(channels, of_block, 3, padding=1, bias=False), nn.BatchNorm2d(of_block)]
            layers.append(ACTIVATIONS[activation]())
            channels = of_block
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (height // 8) * (columns // 8), outputs))
