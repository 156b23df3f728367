"""The device meta: shapes and types without elements."""

from __future__ import annotations

import pytest

import gpunn
from gpunn import nn, optim
from gpunn.backend.spec import Spec

TERABYTE = (500_000, 500_000)  # of float32: nobody has that much memory here


def test_what_is_made_takes_no_memory() -> None:
    for make in (gpunn.zeros, gpunn.ones, gpunn.empty, gpunn.rand, gpunn.randn):
        x = make(*TERABYTE, device="meta")
        assert (x.shape, x.dtype, x.device.type) == (TERABYTE, gpunn.float32, "meta")
        assert x.nbytes == 10**12
        assert (x.data_ptr(), x.stride(), x.is_contiguous()) == (0, (500_000, 1), True)
    assert gpunn.full(TERABYTE, 3, device="meta").dtype is gpunn.int64
    assert gpunn.arange(10**12, device="meta").shape == (10**12,)
    assert gpunn.tensor([1.0, 2.0], device="meta").shape == (2,)
    assert gpunn.device("meta:0") is gpunn.device("meta")


def test_ops_give_shapes_and_types() -> None:
    x = gpunn.zeros(*TERABYTE, device="meta")
    assert (x @ x.T + 1).exp().sum(0).shape == (500_000,)
    assert x.double().dtype is gpunn.float64
    assert x[10:, None, ::2].shape == (499_990, 1, 250_000)
    assert x.argmax(1).dtype is gpunn.int64
    assert x.max(1).values.shape == (500_000,)
    x[0] = 1
    x += 1
    assert x.shape == TERABYTE
    with pytest.raises(RuntimeError, match=r"on meta and .* on cpu"):
        x + gpunn.ones(500_000)


@pytest.mark.parametrize(
    "read",
    [
        gpunn.Tensor.tolist,
        gpunn.Tensor.cpu,
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x.to("cpu", gpunn.float64),
        gpunn.nonzero,
        lambda x: x[x > 0],
    ],
)
def test_there_is_nothing_to_read(read) -> None:
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        read(gpunn.ones(2, 3, device="meta"))


def test_as_pytorch_has_it(torch) -> None:
    """Names, shapes and errors; the text of a tensor says what there is to say."""
    for lib in (gpunn, torch):
        with lib.device("meta"):
            x = lib.ones(2, 3)
            layer = lib.nn.Linear(3, 4)
        assert lib.ones(1).device.type == "cpu"
        y = layer(x)
        y.sum().backward()
        assert (tuple(y.shape), y.device.type, tuple(layer.weight.grad.shape)) == ((2, 4), "meta", (4, 3))
        assert tuple(lib.nn.init.kaiming_normal_(layer.weight).shape) == (4, 3)
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
            layer.to("cpu")
        assert layer.to_empty(device="cpu").weight.device.type == "cpu"
        assert repr(x).startswith("tensor(...,") and "device='meta'" in repr(x) and "size=(2, 3)" in repr(x)


def test_with_blocks_nest_and_end_with_an_error() -> None:
    with gpunn.device("meta"):
        with gpunn.device("cpu"):
            assert gpunn.zeros(1).device.type == "cpu"
        assert gpunn.zeros(1).device.type == "meta"
        with pytest.raises(RuntimeError, match="no"), gpunn.device("sim"):
            raise RuntimeError("no")
        assert gpunn.zeros(1).device.type == "meta"
    assert gpunn.zeros(1).device.type == "cpu"


def test_initial_values_draw_nothing() -> None:
    before = gpunn.get_rng_state()
    with gpunn.device("meta"):
        weight = nn.Linear(3, 3).weight
        for fill in (nn.init.orthogonal_, nn.init.trunc_normal_, nn.init.eye_, nn.init.xavier_uniform_, nn.init.zeros_):
            assert fill(weight) is weight
        nn.init.sparse_(weight, 0.5)
    assert gpunn.get_rng_state() == before


def _network() -> nn.Module:
    images = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    return nn.Sequential(*images, nn.Linear(128, 32), nn.Dropout(0.5), nn.GELU(), nn.Linear(32, 10))


@pytest.mark.parametrize("make", [optim.Adam, optim.SGD, optim.RMSprop])
def test_a_forecast_is_that_of_the_step_on_the_cpu(make) -> None:
    """To the byte, though nothing is there."""
    reports = []
    for device in (gpunn.device("cpu"), gpunn.device("meta")):
        with device:
            model = _network()
        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), make(model.parameters(), lr=0.1))
        reports.append(step.forecast(Spec((32, 1, 8, 8), gpunn.float32, device), Spec((32,), gpunn.int64, device)))
    assert reports[0] == reports[1]


def test_a_summary_is_that_of_the_model_on_the_cpu() -> None:
    from gpunn.inspect import summary

    with gpunn.device("meta"):
        model = _network()
    assert summary(model, (4, 1, 8, 8)) == summary(_network(), (4, 1, 8, 8))


@pytest.mark.parametrize("name", ["[/x]", "[bold]", "[red]a[/red]", ":smile:", "a\x1b[2Jb"])
def test_a_summary_shows_layers_as_they_are(name) -> None:
    """Whatever they are called and say of themselves."""
    from gpunn.inspect import summary

    class Layer(nn.Identity):
        def extra_repr(self) -> str:
            return name

    model = nn.Sequential()
    model.add_module("layer", Layer())
    text = str(summary(model, (1, 2)))
    assert name.replace("\x1b", "\\x1b") in text and "\x1b" not in text
