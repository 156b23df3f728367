"""Layers by their formulas, and their errors, without any other library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import functional as F


def test_linear(rng: np.random.Generator) -> None:
    layer, x = nn.Linear(4, 3).double(), rng.standard_normal((2, 5, 4))
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(gpunn.tensor(x)).detach().numpy(), x @ w.T + b, rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "parameter", "module"),
    [
        ("none", None, nn.Identity()),
        ("relu", None, nn.ReLU()),
        ("leaky_relu", None, nn.LeakyReLU()),
        ("leaky_relu", 0.3, nn.LeakyReLU(0.3)),
        ("elu", 0.5, nn.ELU(0.5)),
        ("sigmoid", None, nn.Sigmoid()),
        ("tanh", None, nn.Tanh()),
        ("softplus", 2.0, nn.Softplus(2.0)),
        ("gelu", None, nn.GELU()),
        ("gelu_tanh", None, nn.GELU("tanh")),
        ("silu", None, nn.SiLU()),
    ],
)
def test_layers_with_their_activation(activation: str, parameter: Any, module: Any, rng: np.random.Generator) -> None:
    """They equal the two layers one after the other, in the state_dict too."""
    options = {"activation": activation, "parameter": parameter}
    for fused, plain, x in (
        (nn.LinearActivation(4, 3, **options), nn.Linear(4, 3), rng.standard_normal((5, 4))),
        (
            nn.Conv2dActivation(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="circular", **options),
            nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="circular"),
            rng.standard_normal((2, 4, 6, 5)),
        ),
    ):
        fused.double().load_state_dict(plain.double().state_dict())
        results = []
        for layer in (fused, nn.Sequential(plain, module)):
            t = gpunn.tensor(x, requires_grad=True)
            y = layer(t)
            (y * y).sum().backward()
            results.append([y.detach(), t.grad, *(p.grad for p in layer.parameters())])
        for a, b in zip(*results):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_repr_of_our_own_layers() -> None:
    assert repr(nn.LinearActivation(784, 512)) == (
        "LinearActivation(in_features=784, out_features=512, bias=True, activation='relu')"
    )
    assert repr(nn.Conv2dActivation(1, 6, 5, padding=2, activation="leaky_relu")) == (
        "Conv2dActivation(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2), activation='leaky_relu', "
        "parameter=0.01)"
    )


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes(mode: str, numpy_mode: Any, rng: np.random.Generator) -> None:
    """As NumPy pads, with a convolution that pads nothing behind it."""
    layer = nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode)
    x = rng.standard_normal((2, 2, 5, 6), dtype=np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (2, 2)], mode=numpy_mode)
    expected = F.conv2d(gpunn.tensor(padded), layer.weight, layer.bias)
    np.testing.assert_array_equal(layer(gpunn.tensor(x)).detach().numpy(), expected.detach().numpy())


def test_running_statistics(rng: np.random.Generator) -> None:
    """running = (1 - m) running + m batch, with the unbiased variance; for momentum None, the mean of the batches."""
    moving, cumulative = nn.BatchNorm1d(3, momentum=0.2).double(), nn.BatchNorm1d(3, momentum=None).double()
    mean, var, means, variances = np.zeros(3), np.ones(3), [], []
    for _ in range(4):
        x = rng.standard_normal((6, 3)) * 2 + 1
        for layer in (moving, cumulative):
            y = layer(gpunn.tensor(x))
            np.testing.assert_allclose(
                y.detach().numpy(), (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), rtol=1e-9, atol=1e-12
            )
        means.append(x.mean(0))
        variances.append(x.var(0, ddof=1))
        mean, var = 0.8 * mean + 0.2 * means[-1], 0.8 * var + 0.2 * variances[-1]
    np.testing.assert_allclose(moving.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(moving.running_var.numpy(), var, rtol=1e-12)
    np.testing.assert_allclose(cumulative.running_mean.numpy(), np.mean(means, 0), rtol=1e-12)
    np.testing.assert_allclose(cumulative.running_var.numpy(), np.mean(variances, 0), rtol=1e-12)
    assert moving.num_batches_tracked.item() == cumulative.num_batches_tracked.item() == 4
    moving.eval()
    x = rng.standard_normal((2, 3))
    y = moving(gpunn.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-10)
    assert moving.num_batches_tracked.item() == 4
    moving.reset_parameters()
    assert moving.running_mean.tolist() == [0, 0, 0] and moving.running_var.tolist() == [1, 1, 1]


def test_dropout_in_training_and_evaluation() -> None:
    gpunn.manual_seed(0)
    layer, x = nn.Dropout(0.25), gpunn.ones(100, 100)
    y = layer(x).numpy()
    assert set(np.unique(y).tolist()) == {0.0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / 1e4)
    assert layer.eval()(x).numpy().all()
    channels = nn.Dropout2d(0.5)(gpunn.ones(8, 16, 3, 3)).numpy()
    assert (channels == channels[:, :, :1, :1]).all() and 0 < (channels == 0).mean() < 1


def test_table_of_vectors() -> None:
    table = nn.Embedding.from_pretrained(gpunn.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert not table.weight.requires_grad
    assert table(gpunn.tensor([[1, 0, 1]])).tolist() == [[[3, 4], [1, 2], [3, 4]]]
    learned = nn.Embedding.from_pretrained(gpunn.ones(3, 2), freeze=False, padding_idx=0)
    learned(gpunn.tensor([0, 2, 2])).sum().backward()
    assert learned.weight.grad.tolist() == [[0, 0], [0, 0], [2, 2]]


def test_scales_begin_with_1_and_shifts_with_0() -> None:
    for layer in (nn.LayerNorm((2, 3)), nn.GroupNorm(2, 4), nn.BatchNorm2d(4), nn.RMSNorm(3)):
        before = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
        assert (before["weight"] == 1).all() and not before.get("bias", np.zeros(1)).any()
        with gpunn.no_grad():
            for p in layer.parameters():
                p.fill_(9)
        layer.reset_parameters()
        for k, v in layer.state_dict().items():
            np.testing.assert_array_equal(v.numpy(), before[k])


def test_types_of_new_layers() -> None:
    for layer in (
        nn.Linear(2, 2, dtype="float64"),
        nn.Conv2d(1, 1, 1, dtype=gpunn.float64),
        nn.LayerNorm(2, dtype="float64"),
    ):
        assert {p.dtype for p in layer.parameters()} == {gpunn.float64}
    norm = nn.BatchNorm1d(2, dtype="float64")
    assert norm.running_var.dtype is gpunn.float64 and norm.num_batches_tracked.dtype is gpunn.int64


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.LinearActivation(2, 2, activation="rely"),
            ValueError,
            "no activation 'rely'; there are none, relu",
        ),
        (lambda: nn.Conv2dActivation(2, 2, 1, activation="rely"), ValueError, "no activation 'rely'"),
        (
            lambda: nn.Conv2d(3, 4, 1, groups=2),
            ValueError,
            "groups must divide in_channels=3 and out_channels=4, got 2",
        ),
        (lambda: nn.Conv2d(3, 4, 1, groups=0), ValueError, "groups must divide"),
        (lambda: nn.Conv2d(3, 4, (1, 2, 3)), RuntimeError, "Conv2d: kernel_size is an integer, or one for each of 2"),
        (lambda: nn.Conv2d(3, 4, 2.5), TypeError, "kernel_size is an integer"),
        (lambda: nn.Conv2d(3, 4, 0), RuntimeError, "kernel_size must be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), RuntimeError, "padding must be at least 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding="big"), ValueError, "'same' or 'valid', got 'big'"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), ValueError, "padding='same' is for stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError, "padding_mode is one of zeros, reflect"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ValueError, "padding_mode can only be 'zeros'"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), TypeError, "padding is an integer"),
        (lambda: nn.GroupNorm(3, 4), ValueError, r"num_channels \(4\) must be divisible by num_groups \(3\)"),
        (lambda: nn.Dropout(1.5), ValueError, "Dropout: p is a probability from 0 to 1, got 1.5"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx must be within 3 rows, got 3"),
        (lambda: nn.Embedding(3, 2, sparse=True), NotImplementedError, "leave sparse=False"),
        (lambda: nn.Embedding.from_pretrained(gpunn.ones(3)), ValueError, "takes a matrix"),
        (lambda: nn.CrossEntropyLoss(reduction="max"), ValueError, "'max' is not a valid value for reduction"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "max_val must be greater than min_val"),
        (lambda: nn.BatchNorm2d(3)(gpunn.ones(2, 3)), ValueError, "expected 4D input .got 2D input"),
        (lambda: nn.BatchNorm1d(3)(gpunn.ones(3)), ValueError, "expected 2D or 3D input .got 1D input"),
        (lambda: nn.InstanceNorm2d(3)(gpunn.ones(2, 3)), ValueError, "expected 3D or 4D input .got 2D input"),
        (lambda: nn.InstanceNorm2d(3)(gpunn.ones(2, 4, 5, 5)), ValueError, "expected 3 channels, got"),
        (lambda: nn.Linear(3, 2)(gpunn.ones(2, 4)), RuntimeError, "in Linear.in_features=3, out_features=2"),
    ],
)
def test_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
