"""Networks that are exported, with what they are called with."""

from __future__ import annotations

from typing import Any, NamedTuple

import gpunn
from gpunn import nn
from gpunn.nn import functional as F


class Sample(NamedTuple):
    """A network.

    Attributes:
        model: the network.
        args: what it is exported with.
        dynamic: its open sizes.
        others: what it can be called with too.
    """

    model: nn.Module
    args: tuple[Any, ...]
    dynamic: dict[str, Any]
    others: list[tuple[Any, ...]]


class ResNet(nn.Module):
    """Convolutions, batch norm and a shortcut, as in ResNet-9."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.block(3, 8)
        self.second = self.block(8, 8, groups=2)
        self.head = nn.Linear(8, 10)

    @staticmethod
    def block(inputs: int, outputs: int, **options: Any) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **options)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        x = F.max_pool2d(x, 2) + F.max_pool2d(self.second(x), 2)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Ops(nn.Module):
    """What else there is: of many ops one."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 6)
        self.layer, self.group = nn.LayerNorm(6), nn.GroupNorm(2, 6)
        self.up = nn.ConvTranspose2d(6, 3, 3, stride=2, padding=1, output_padding=1)
        self.register_buffer("offset", gpunn.ones(6))

    def forward(self, index: Any, x: Any, flag: bool = True) -> Any:
        e = self.layer(self.table(index)) + self.offset  # (n, 4, 6)
        image = self.up(self.group(x))  # (n, 3, 8, 8)
        part = e[:, 1:3, [1, 2]]
        changed = e.clone()
        column = changed[:, 1]
        changed[:, 0:2] = 2.0
        window = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return {
            "image": image,
            "parts": (part, e.flip(1), e.roll(1, 2), gpunn.stack([e, e], 1), e.split([1, 3], 1)),
            "written": (changed, column),
            "sums": [e.std(), e.amax(1), e.prod(2), e.norm(dim=-1), e.logsumexp(0), e.cumsum(1), (e > 0).any(1)],
            "order": (e.argmax(-1), e.topk(2).values, e.sort(1, descending=True).indices),
            "picked": e.gather(1, index[..., None]),
            "numbers": (e % 0.7, e // 0.3, e.fmod(0.7), e.trunc(), e.clamp(-0.5, 0.5), gpunn.atan2(e, e + 1)),
            "small": (e.expm1(), (e * 1e-4).expm1(), gpunn.log1p(e * 1e-4), gpunn.log1p(e.abs())),
            "logic": (e.isfinite() & ~(e < 0.1), gpunn.where(e > 0, e, 0.0), (index & 3).bool(), index // 2),
            "images": (window, F.pad(image, [1, 2, 0, 1], value=3.0), F.unfold(image, 2)),
            "adaptive": F.adaptive_avg_pool2d(image, 3),
            "triangles": (e.tril(), gpunn.arange(4).float() * e.transpose(1, 2), F.one_hot(index, 10)),
            "activations": (F.gelu(e, approximate="tanh"), F.softplus(e, 2.0), F.elu(e), F.mish(e), e.log_softmax(-1)),
        }  # fmt: skip


def samples() -> dict[str, Sample]:
    """All of them, by name."""
    gpunn.manual_seed(0)
    r = gpunn.randn
    mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.5), nn.Linear(16, 4), nn.Softmax(-1))
    lenet = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 10)),
    )
    resnet = ResNet()
    resnet(r(8, 3, 8, 8))  # so that running statistics are not what they are at first
    index = gpunn.tensor([[1, 2, 3, 0], [3, 0, 2, 1]])
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return {
        "mlp": Sample(mlp, (r(3, 8),), {"input": {0: "batch"}}, [(r(7, 8),), (r(1, 8),)]),
        "lenet": Sample(lenet, (r(2, 1, 28, 28),), {"input": {0: "batch"}}, [(r(5, 1, 28, 28),)]),
        "resnet": Sample(resnet, (r(2, 3, 8, 8),), {"x": {0: "n", 2: "h", 3: "w"}}, [(r(3, 3, 12, 10),)]),
        "lstm": Sample(
            nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True), (r(1, 4, 5),), {"input": [0]}, [(r(3, 4, 5),)]
        ),
        "gru": Sample(nn.GRU(5, 7), (r(4, 2, 5),), {}, []),
        "transformer": Sample(block, (r(2, 5, 8),), {"src": {0: "batch", 1: "steps"}}, [(r(3, 4, 8),)]),
        "ops": Sample(Ops(), (index, r(2, 6, 4, 4)), {}, []),
    }
