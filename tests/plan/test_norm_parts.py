"""The rules that part the norm of a batch: its statistics by a convolution, a sum or a maximum pooling behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, ops, optim
from gpunn.autograd.tape import apply
from gpunn.nn import functional as F
from gpunn.ops.batch_norm_parts import BatchNormApply, BatchStatistics
from gpunn.ops.batch_norm_pool import BatchNormMaxPool
from gpunn.ops.conv_statistics import Conv2dStatistics
from gpunn.plan.fuse import RULES, apply_rules
from gpunn.plan.graph import Graph
from gpunn.plan.train_step import TrainStep

from ..backend import fake_cupy
from .test_graph import graph_of, names
from .test_rules import gradients, only

BEFORE = ["affine_activation", "tracked_norm", "pooled_slope", "activation_gradient"]
PARTS = ["pooled_norm", "pooled_norm_gradient", "norm_and_sum", "convolution_statistics"]
ON_CPU = "on the CPU nothing would be saved"
LAST = "images whose channels lie last have kernels of their own"


def notes_of(
    loss: Callable[..., Any],
    rule: str,
    shape: tuple[int, ...] = (2, 3, 6, 8),
    device: str = "sim",
    dtype: str = "float32",
    last: bool = False,
) -> tuple[Graph, list[str]]:
    """A step with the gradient of the norm's weight, and what one rule said of it."""
    w = gpunn.ones(shape[1], device=device, dtype=dtype, requires_grad=True)
    x = gpunn.ones(*shape, device=device, dtype=dtype)
    x = x.contiguous(memory_format=gpunn.channels_last) if last else x
    graph = graph_of(lambda x: gradients(loss(x, w), w), x)
    return graph, [n.reason for n in apply_rules(graph, [*BEFORE, rule]) if n.rule == rule]


def norm(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
    return F.batch_norm(x, None, None, w, training=True)


# Pooling --------------------------------------------------------------------------------------------------------------


def pooled(x: gpunn.Tensor, w: gpunn.Tensor, kind: str = "relu", window: int = 2, **options: Any) -> gpunn.Tensor:
    return F.max_pool2d(ops.activate(norm(x, w), kind), window, **options).square().sum()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", ["none", "relu"])
def test_pooling_on_the_way(kind: str, dtype: str) -> None:
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind), "pooled_norm", dtype=dtype)
    assert notes == [""]
    assert names(graph)[:2] == ["BatchStatistics", "BatchNormMaxPool"]
    assert not {"BatchNorm", "BatchNormRelu", "MaxPool2d"} & set(names(graph))
    assert only(graph, "BatchNormMaxPool").op.relu is (kind == "relu")


SIDE = "windows of 2 x 2 that lie side by side and cover the image are pooled on the way"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 3}, SIDE),
        ({"stride": 1}, SIDE),
        ({"padding": 1}, SIDE),
        ({"shape": (2, 3, 7, 8)}, SIDE),
        ({"shape": (2, 3, 6, 9)}, SIDE),
        ({"device": "cpu", "kind": "none"}, ON_CPU),
        ({"last": True}, LAST),
    ],
    ids=str,
)
def test_what_is_not_pooled_on_the_way(options: dict[str, Any], reason: str) -> None:
    of_step = {k: options.pop(k) for k in ("shape", "device", "last") if k in options}
    graph, notes = notes_of(lambda x, w: pooled(x, w, **options), "pooled_norm", **of_step)
    assert notes == [reason]
    assert "BatchNormMaxPool" not in names(graph)


@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_what_is_needed_as_it_is(kind: str) -> None:
    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        y = ops.activate(norm(x, w), kind)
        return F.max_pool2d(y, 2).sum() + y.sum()

    graph, notes = notes_of(loss, "pooled_norm")
    assert [n.endswith("needs what is pooled") for n in notes] == [True] * (kind == "relu")
    assert "BatchNormMaxPool" not in names(graph)


@pytest.mark.parametrize("kind", ["none", "relu"])
def test_its_gradient_on_the_way(kind: str) -> None:
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind), "pooled_norm_gradient")
    assert notes == [""]
    backward, pool = only(graph, "BatchNormMaxPoolBackward"), only(graph, "MaxPool2d")
    assert backward.inputs[1:3] == ((pool.outputs[0] if kind == "relu" else None), pool.outputs[1])
    assert not {"BatchNormBackward", "MaxPool2dBackward", "MaxPool2dActivationBackward"} & set(names(graph))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 3}, SIDE),
        ({"shape": (2, 3, 7, 8)}, SIDE),
        ({"kind": "tanh"}, "tanh is between"),
        ({"device": "cpu", "kind": "none"}, ON_CPU),
        ({"last": True}, LAST),
    ],
    ids=str,
)
def test_gradients_that_are_spread_before(options: dict[str, Any], reason: str) -> None:
    of_step = {k: options.pop(k) for k in ("shape", "device", "last") if k in options}
    kind = options.pop("kind", "none" if "window" in options else "relu")
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind, **options), "pooled_norm_gradient", **of_step)
    assert notes == [reason]
    assert "BatchNormMaxPoolBackward" not in names(graph)


def test_a_gradient_of_pooling_that_others_need() -> None:
    w, v = (gpunn.ones(3, device="sim", requires_grad=True) for _ in range(2))

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        z = norm(x, w)
        y = z + v.reshape(3, 1, 1)
        return gradients(F.max_pool2d(y, 2).square().sum(), w, v)

    graph = graph_of(body, gpunn.ones(2, 3, 6, 8, device="sim"))
    (note,) = apply_rules(graph, ["pooled_norm_gradient"])
    assert note.reason == "Sum needs the gradient of the pooling"


# A sum ----------------------------------------------------------------------------------------------------------------


def end_of_block(x: gpunn.Tensor, w: gpunn.Tensor, first: str = "none", last: str = "relu") -> gpunn.Tensor:
    return ops.activate(x + ops.activate(norm(x * 2, w), first), last).square().sum()


@pytest.mark.parametrize("first", ["none", "relu"])
@pytest.mark.parametrize("last", ["none", "relu", "tanh"])
def test_a_sum_behind_the_norm(first: str, last: str) -> None:
    graph, notes = notes_of(lambda x, w: end_of_block(x, w, first, last), "norm_and_sum")
    assert notes == [""]
    op = only(graph, "BatchNormApply").op
    assert (op.relu, op.relu_of_sum) == (first == "relu", last == "relu")
    assert not {"Add", "BatchNorm", "BatchNormRelu"} & set(names(graph))
    assert ("Activation" in names(graph) or "Tanh" in names(graph)) is (last == "tanh")


def test_a_sum_that_is_needed_without_its_relu() -> None:
    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        y = norm(x * 2, w) + x
        return (y.relu() * y).sum()

    graph, notes = notes_of(loss, "norm_and_sum")
    assert notes == [""]
    assert not only(graph, "BatchNormApply").op.relu_of_sum
    assert "Activation" in names(graph)


OTHER = "what is added has another shape or type, or is a number or the same"


@pytest.mark.parametrize(
    ("loss", "options", "reason"),
    [
        (lambda x, w: (norm(x, w) + 1.0).square().sum(), {}, OTHER),
        (lambda x, w: (norm(x, w) + x[:1]).square().sum(), {}, OTHER),
        (lambda x, w: ((y := norm(x, w)) + y).square().sum(), {}, OTHER),
        (lambda x, w: ((y := norm(x, w)) + x).sum() + y.tanh().sum(), {}, "Tanh needs what is added"),
        (end_of_block, {"device": "cpu"}, ON_CPU),
        (end_of_block, {"last": True}, LAST),
    ],
)
def test_what_is_not_added_on_the_way(loss: Any, options: dict[str, Any], reason: str) -> None:
    graph, notes = notes_of(loss, "norm_and_sum", **options)
    assert notes == [reason]
    assert "BatchNormApply" not in names(graph)


# Statistics by a convolution ------------------------------------------------------------------------------------------


def convolved(x: gpunn.Tensor, w: gpunn.Tensor, kernel: int = 3, kind: str = "none", **options: Any) -> gpunn.Tensor:
    weight = gpunn.ones(x.shape[1], x.shape[1], kernel, kernel, device=x.device, dtype=x.dtype, requires_grad=True)
    z = F.conv2d(x, weight, padding=kernel // 2, **options)
    return norm(ops.activate(z, kind), w).square().sum()


WIDE = (2, 4, 12, 12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_statistics_by_a_convolution(kernel: int, dtype: str) -> None:
    graph, notes = notes_of(lambda x, w: convolved(x, w, kernel), "convolution_statistics", WIDE, dtype=dtype)
    assert notes == [""]
    assert [n for n in names(graph) if "Norm" in n or "Conv" in n][:2] == ["Conv2dStatistics", "BatchNormApply"]
    assert not {"BatchNorm", "BatchStatistics", "Conv2d"} & set(names(graph))


SLIDING = "convolutions of floats whose windows slide, as those of 3 x 3 and 5 x 5 do mostly, find them"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kernel": 1}, SLIDING),
        ({"stride": 2}, SLIDING),
        ({"dilation": 2}, SLIDING),
        ({"shape": (2, 2, 12, 12)}, SLIDING),
        ({"dtype": "float16"}, SLIDING),
        ({"kind": "tanh"}, "tanh is between"),
        ({"device": "cpu"}, ON_CPU),
        ({"last": True}, LAST),
    ],
    ids=str,
)
def test_where_statistics_are_found_by_themselves(options: dict[str, Any], reason: str) -> None:
    of_step = {"shape": WIDE} | {k: options.pop(k) for k in ("shape", "device", "dtype", "last") if k in options}
    graph, notes = notes_of(lambda x, w: convolved(x, w, **options), "convolution_statistics", **of_step)
    assert notes == [reason]
    assert "Conv2dStatistics" not in names(graph)


def test_a_result_that_is_needed_besides() -> None:
    weight = gpunn.ones(4, 4, 3, 3, device="sim", requires_grad=True)

    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        z = F.conv2d(x, weight, padding=1)
        return norm(z, w).square().sum() + z.sum()

    graph, notes = notes_of(loss, "convolution_statistics", WIDE)
    assert notes == [""]
    assert "Sum" in names(graph)


def test_two_norms_of_one_convolution() -> None:
    """The first one's statistics are found by it, those of the second one by themselves."""
    weight, v = gpunn.ones(4, 4, 3, 3, device="sim"), gpunn.ones(4, device="sim")

    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        z = F.conv2d(x, weight, padding=1)
        return (norm(z, w) * F.batch_norm(z, None, None, v, training=True, eps=0.1)).sum()

    graph, notes = notes_of(loss, "convolution_statistics", WIDE)
    assert notes == [""]
    assert {"Conv2dStatistics", "BatchNormApply", "BatchNorm"} <= set(names(graph))


def test_running_statistics_that_a_layer_moves_twice() -> None:
    """The second time they are not what they were where the convolution is."""
    weight = gpunn.ones(4, 4, 3, 3, device="sim")
    mean, var = gpunn.zeros(4, device="sim"), gpunn.ones(4, device="sim")

    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        a, b = F.conv2d(x, weight, padding=1), F.conv2d(x * x, weight, padding=1)
        return sum(F.batch_norm(z, mean, var, w, training=True).square().sum() for z in (a, b))  # type: ignore[return-value]

    graph, notes = notes_of(loss, "convolution_statistics", WIDE)
    assert notes == ["", "something is written to between"]
    assert names(graph).count("Conv2dStatistics") == 1


def test_running_statistics_that_are_made_behind_a_convolution() -> None:
    weight = gpunn.ones(4, 4, 3, 3, device="sim")
    zeros, ones = gpunn.zeros(4, device="sim"), gpunn.ones(4, device="sim")

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        z = F.conv2d(x, weight, padding=1)
        mean, var = zeros + 1, ones + 1
        return F.batch_norm(z, mean, var, training=True), mean, var

    graph = graph_of(body, gpunn.ones(*WIDE, device="sim"))
    notes = apply_rules(graph, ["tracked_norm", "convolution_statistics"])
    assert [n.reason for n in notes] == ["", "the running statistics are made behind the convolution"]


# Training -------------------------------------------------------------------------------------------------------------


def network(of: Any, style: str = "he", eval_norms: bool = False, **options: Any) -> Any:
    """Convolutions with norms, a residual block in the manner of `style`, and poolings; of gpunn or of torch."""
    nn, f = of.nn, of.nn.functional

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1, bias=False)
            self.third = nn.Conv2d(5, 3, 5, padding=2)
            self.norms = nn.ModuleList([nn.BatchNorm2d(c, **options) for c in (5, 5, 3)])
            self.out = nn.Linear(3 * 3 * 2, 4)

        def forward(self, x: Any) -> Any:
            h = f.max_pool2d(self.norms[0](self.first(x)).relu(), 2)
            y = self.norms[1](self.second(h))
            h = (y + h).relu() if style == "he" else h + y.relu()
            h = f.max_pool2d(self.norms[2](self.third(h)), 2)
            return self.out(h.flatten(1))

    model = Network()
    if eval_norms:
        model.norms.eval()
    return model


def batches(steps: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal((3, 2, 12, 8)), rng.integers(0, 4, 3)) for _ in range(steps)]


def trained(model: nn.Module, device: str, fuse: Any) -> tuple[dict[str, np.ndarray], str]:
    """The losses, and all parameters and buffers, after some steps, and the step's listing."""
    model = model.to(device)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1, momentum=0.9), fuse=fuse)
    found = {}
    for k, arrays in enumerate(batches()):
        x, y = arrays
        x = gpunn.tensor(x, device=device, dtype=next(model.parameters()).dtype)
        found[f"loss {k}"] = np.array(step(x, gpunn.tensor(y, device=device)).item())
    return found | {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}, str(step.plan)


def trained_by_torch(model: Any) -> dict[str, np.ndarray]:
    import torch

    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    found = {}
    for k, (x, y) in enumerate(batches()):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        optimizer.step()
        found[f"loss {k}"] = loss.detach().numpy()
    return found | {k: v.detach().numpy() for k, v in model.state_dict().items()}


OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "the mean of all batches": {"momentum": None},
    "no running statistics": {"track_running_stats": False},
    "no weights": {"affine": False},
    "a large eps": {"eps": 0.3, "momentum": 0.7},
    "evaluated": {"eval_norms": True},
}


@pytest.mark.parametrize("style", ["he", "nine"])
@pytest.mark.parametrize("name", OPTIONS)
def test_training_is_pytorchs(name: str, style: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = network(torch, style, **OPTIONS[name]).double()
    ours = network(gpunn, style, **OPTIONS[name]).double()
    ours.load_state_dict({k: gpunn.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    expected = trained_by_torch(theirs)
    found, listing = trained(ours, "sim", True)
    parts = ("Conv2dStatistics", "BatchNormMaxPool", "BatchNormMaxPoolBackward", "BatchNormApply")
    assert [part in listing for part in parts] == [name != "evaluated"] * 4
    assert found.keys() == expected.keys()
    for k, value in expected.items():
        np.testing.assert_allclose(found[k], value, rtol=1e-9, atol=1e-12, err_msg=k)


@pytest.mark.parametrize("rule", PARTS)
@pytest.mark.parametrize("style", ["he", "nine"])
def test_each_rule_alone(rule: str, style: str) -> None:
    """Poolings and sums are the same to the bit; statistics and gradients are added up in another order."""

    def train(fuse: list[str]) -> dict[str, np.ndarray]:
        gpunn.manual_seed(0)
        return trained(network(gpunn, style).double(), "sim", fuse)[0]

    found, expected = train([*BEFORE, rule]), train(BEFORE)
    for k, value in expected.items():
        if rule in ("pooled_norm_gradient", "convolution_statistics"):
            np.testing.assert_allclose(found[k], value, rtol=1e-9, atol=1e-12, err_msg=k)
        else:
            np.testing.assert_array_equal(found[k], value, err_msg=k)


def test_twice_the_same_bits() -> None:
    def train() -> dict[str, np.ndarray]:
        gpunn.manual_seed(0)
        return trained(network(gpunn).double(), "sim", True)[0]

    first, second = train(), train()
    assert all(first[k].tobytes() == second[k].tobytes() for k in first)


@pytest.mark.parametrize("changed", ["image", "kernel", "weight", "bias", "other", "mean"])
@pytest.mark.parametrize("style", ["pooled", "he", "nine"])
def test_what_is_read_may_change_before_it_was_read_by_what_is_one_now(changed: str, style: str) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(4, 2, 3, padding=1)
            rng = np.random.default_rng(0)
            for name, shape in (("image", (2, 2, 8, 8)), ("kernel", (4, 2, 3, 3)), ("other", (2, 4, 8, 8))):
                self.register_buffer(name, gpunn.tensor(rng.standard_normal(shape)))
            for name in ("weight", "bias", "mean", "var"):
                self.register_buffer(name, gpunn.tensor(rng.uniform(0.5, 1, 4)))

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            z = F.conv2d(self.image * 1.0 if changed == "other" else self.image, self.kernel, padding=1)
            self._change(changed in ("image", "kernel", "mean"))
            y = F.batch_norm(z, self.mean, self.var, self.weight, self.bias, training=True)
            self._change(changed in ("weight", "bias", "mean"))
            y = y.relu() if style == "nine" else y
            self._change(changed == "other")
            y = (
                F.max_pool2d(y, 2)
                if style == "pooled"
                else (y + self.other).relu()
                if style == "he"
                else y + self.other
            )
            self._change(changed in ("weight", "other"))
            return self.last(y)

        def _change(self, now: bool) -> None:
            with gpunn.no_grad():
                if now:
                    getattr(self, changed).mul_(0.5).add_(0.25)

    def train(device: str, fuse: bool) -> list[Any]:
        gpunn.manual_seed(0)
        model = Changing().double().to(device)
        step = TrainStep(model, lambda z, y: (z - y).square().mean(), optim.SGD(model.parameters(), 0.01), fuse=fuse)
        x, y = gpunn.ones(1, device=device, dtype="float64"), gpunn.tensor(0.0, device=device, dtype="float64")
        return [step(x, y).item() for _ in range(3)] + [v.cpu().numpy() for v in model.state_dict().values()]

    for a, b in zip(train("sim", True), train("cpu", False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


# Errors ---------------------------------------------------------------------------------------------------------------


def test_errors() -> None:
    x, c = gpunn.ones(2, 3, 5, 4, device="sim"), gpunn.ones(3, device="sim")
    with pytest.raises(
        RuntimeError, match=r"windows of 2x2 have to cover images \(n, c, h, w\), got float32\[2, 3, 5, 4\]"
    ):
        apply(BatchNormMaxPool(1e-5), x, c, c, c, c)
    with pytest.raises(RuntimeError, match=r"what is added must be .*\[2, 3, 5, 4\].*, got .*\[2, 3, 4\]"):
        apply(BatchNormApply(1e-5), x, c, c, c, c, x[:, :, 0])
    with pytest.raises(RuntimeError, match="the running statistics must be in float32"):
        apply(BatchStatistics(0.9, 0.1, 0.1), x, c.double(), c.double(), None)
    weight = gpunn.ones(3, 3, 3, 3, device="sim")
    with pytest.raises(RuntimeError, match="running_mean must be"):
        apply(Conv2dStatistics(keep=0.9), x, weight, None, c[:2], c[:2], None)


def test_the_rules_are_known() -> None:
    assert [rule for rule in RULES if rule in PARTS] == PARTS


def test_on_a_cupy_without_a_gpu() -> None:
    """Captured, and to the same bits."""

    def train(device: str) -> dict[str, np.ndarray]:
        gpunn.manual_seed(0)
        return trained(network(gpunn), device, True)[0]

    expected = train("sim")
    with fake_cupy.installed():
        found = train("cuda")
    assert all(found[k].tobytes() == expected[k].tobytes() for k in expected)
