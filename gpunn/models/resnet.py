"""Residual networks  (He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gpunn import nn
from gpunn.tensor import Tensor

from .activations import ACTIVATIONS

Stem = Literal["imagenet", "cifar"]


class BasicBlock(nn.Module):
    """f(x + B(C(f(B(C(x)))))), with convolutions C of 3 x 3, batch norms B and the activation f.

    Where the shape changes, x goes through a convolution of 1 x 1 and a batch norm on its way to the sum.

    Args:
        inplanes: channels of the input.
        planes: channels of the output.
        stride: of the first convolution.
        activation: f, see `ACTIVATIONS`.
    """

    def __init__(self, inplanes: int, planes: int, stride: int = 1, activation: str = "relu"):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = ACTIVATIONS[activation]()
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inplanes, h, w) -> (n, planes, h / stride, w / stride), rounded up."""
        identity = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)) + identity)
        return out


class ResNet(nn.Module):
    """Four groups of residual blocks, each group with twice the channels of the one before on a quarter of the pixels;
    then the mean over the pixels, and a linear layer. Names and numbers of the parameters are torchvision's.

    Args:
        layers: how many blocks each group has.
        num_classes: the number of outputs.
        channels: of the images.
        stem: what comes first: ``"imagenet"``, a convolution of 7 x 7 with stride 2 and a pooling of 3 x 3 with stride
            2; or ``"cifar"``, a convolution of 3 x 3, for images of 32 x 32.
        width: channels of the first group.
        zero_init_residual: let each block begin as the identity, by a 0 in the scale of its last norm.
        activation: see `ACTIVATIONS`.
    """

    def __init__(
        self,
        layers: Sequence[int],
        num_classes: int = 1000,
        *,
        channels: int = 3,
        stem: Stem = "imagenet",
        width: int = 64,
        zero_init_residual: bool = False,
        activation: str = "relu",
    ):
        super().__init__()
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"ResNet: stem is {stem!r}; expected 'imagenet' or 'cifar'")
        large = stem == "imagenet"
        self.conv1 = nn.Conv2d(channels, width, *((7, 2, 3) if large else (3, 1, 1)), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = ACTIVATIONS[activation]()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        planes = before = width
        for number, count in enumerate(layers, 1):
            blocks = []
            for block in range(count):
                blocks.append(BasicBlock(before, planes, 2 if number > 1 and block == 0 else 1, activation))
                before = planes
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            planes *= 2
        self.groups = len(layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, BasicBlock) and module.bn2.weight is not None:
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, self.groups + 1):
            x = getattr(self, f"layer{number}")(x)
        out: Tensor = self.fc(self.avgpool(x).flatten(1))
        return out


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18 (He et al. 2016, table 1); with the defaults 11,689,512 parameters. Options as of `ResNet`."""
    return ResNet((2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34 (He et al. 2016, table 1); with the defaults 21,797,672 parameters. Options as of `ResNet`."""
    return ResNet((3, 4, 6, 3), num_classes, **options)


class _Residual(nn.Sequential):
    """x + what the layers make of x."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class _Scaled(nn.Module):
    """factor * x."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return str(self.factor)


def resnet9(num_classes: int = 10, *, channels: int = 3, width: int = 64, activation: str = "relu") -> nn.Sequential:
    """ResNet-9 for images of 32 x 32  (D. Page 2018, "How to train your ResNet 4: architecture", myrtle.ai).

    A convolution of `width` channels, then three of twice, four and eight times so many, each pooled by 2, the first
    and the last of them with a residual of two convolutions behind it; the maximum over the pixels, and a linear layer
    times 1/8. All convolutions are of 3 x 3, with batch norm and activation. With the defaults 6,573,120 parameters.
    """

    def conv(before: int, after: int, *pool: nn.Module) -> nn.Sequential:
        layers = nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), ACTIVATIONS[activation]()
        return nn.Sequential(*layers, *pool)

    w = width
    return nn.Sequential(
        conv(channels, w),
        *(conv(w, 2 * w, nn.MaxPool2d(2)), _Residual(conv(2 * w, 2 * w), conv(2 * w, 2 * w))),
        conv(2 * w, 4 * w, nn.MaxPool2d(2)),
        *(conv(4 * w, 8 * w, nn.MaxPool2d(2)), _Residual(conv(8 * w, 8 * w), conv(8 * w, 8 * w))),
        *(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8 * w, num_classes, bias=False), _Scaled(0.125)),
    )
