"""Networks that pictures and pages are tried on."""

from gpunn import nn


def convolution(channels, outputs, pool=False):
    """Convolution, batch norm, ReLU and perhaps a pool."""
    layers = [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = convolution(channels, channels), convolution(channels, channels)

    def forward(self, x):
        return x + self.conv2(self.conv1(x))


def resnet9(width=64, classes=10):
    """ResNet-9 of the DAWNBench entries (D. Page 2018, "How to train your ResNet"), for images of 32 x 32."""
    return nn.Sequential(
        *(convolution(3, width), convolution(width, 2 * width, pool=True), Residual(2 * width)),
        *(convolution(2 * width, 4 * width, pool=True), convolution(4 * width, 8 * width, pool=True)),
        *(Residual(8 * width), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * width, classes)),
    )
