"""Networks by name: their sizes are those of the papers, and they train as PyTorch trains the same source."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.models import MODELS, ModelError, TransformerLM, VAELoss, build, resnet18, resnet34

SOURCE = Path(gpunn.__file__).parent / "models"
OF_TORCH = ("activations", "errors", "shapes", "images", "resnet", "autoencoder", "sequence")


@pytest.fixture(scope="module")
def theirs(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The modules of gpunn.models with PyTorch in the place of gpunn, by their names."""
    folder = tmp_path_factory.mktemp("torch_models") / "models_of_torch"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name in OF_TORCH:
        text = (SOURCE / f"{name}.py").read_text(encoding="utf-8")
        (folder / f"{name}.py").write_text(
            re.sub(r"from gpunn(\.(tensor|random|backend\.dtypes))? import", "from torch import", text).replace(
                "gpunn.nn", "torch.nn"
            )
        )
    sys.path.insert(0, str(folder.parent))
    try:
        yield {name: importlib.import_module(f"{folder.name}.{name}") for name in OF_TORCH}
    finally:
        sys.path.remove(str(folder.parent))


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("spec", "shape", "parameters"),
    [
        ("lenet", (1, 28, 28), 61_706),  # LeCun et al. 1998, with all connections of C3: 156 + 2,416 + 48,120 + ...
        ("vgg_small", (3, 32, 32), 4_660_106),  # Zhang et al. 2018, "LQ-Nets": 4.66 M
        ("resnet9", (3, 32, 32), 6_573_120),  # Page 2018
        ("resnet18", (3, 32, 32), 11_173_962),  # with the stem for CIFAR, as kuangliu/pytorch-cifar
        ("resnet34", (3, 32, 32), 21_282_122),
        ("vae", (1, 28, 28), 652_824),  # PyTorch's example
        ("autoencoder:1000,500,250,30", (784,), 2_837_314),  # Hinton & Salakhutdinov 2006
        # embed 9 * 64, a layer 4 (64^2 + 64) + 2 * 4 * 64^2 + 5 * 64 + 2 * 128, the last norm 128, out 650
        ("transformer", (9, 8), 9 * 64 + 2 * (16_640 + 32_768 + 320 + 256) + 128 + 650),
        ("lstm", (9, 8), 4 * 64 * (8 + 64 + 2) + 650),
    ],
)
def test_parameters(spec: str, shape: tuple[int, ...], parameters: int) -> None:
    with gpunn.device("meta"):
        assert count(build(spec, shape, 10)) == parameters


def test_residual_networks_are_torchvisions() -> None:
    with gpunn.device("meta"):
        small, large = resnet18(), resnet34()
    assert (count(small), count(large)) == (11_689_512, 21_797_672)
    keys = list(small.state_dict())
    assert len(keys) == 122 and len(large.state_dict()) == 218
    assert keys[:2] == ["conv1.weight", "bn1.weight"] and keys[-2:] == ["fc.weight", "fc.bias"]
    assert {"layer1.0.conv1.weight", "layer4.1.bn2.running_var", "layer2.0.downsample.1.num_batches_tracked"} < {*keys}
    assert sum(".downsample." in key for key in keys) == 18


def nets(models: Any) -> dict[str, tuple[Any, Any, bool]]:
    """Small networks, a batch for each, and whether it is its own target."""
    rng = np.random.default_rng(0)
    images, rows = rng.standard_normal((4, 3, 32, 32)), rng.standard_normal((6, 5, 3))
    return {
        "resnet9": (models["resnet"].resnet9(10, width=2), images, False),
        "resnet18": (models["resnet"].resnet18(10, width=2, stem="imagenet"), images, False),
        "transformer": (models["sequence"].TransformerClassifier(5, 3, 10, 8, 2, 2, dropout=0.0), rows, False),
        "lstm": (models["sequence"].LSTMClassifier(5, 3, 10, 6, 2), rows, False),
        "autoencoder": (models["autoencoder"].Autoencoder((5, 3), (8, 4)), rows, True),
    }


OURS = {name: importlib.import_module(f"gpunn.models.{name}") for name in OF_TORCH}
ON_SIM = ("resnet9", "transformer", "lstm")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "device"), [*((name, "cpu") for name in nets(OURS)), *((name, "sim") for name in ON_SIM)]
)
def test_ten_planned_steps_are_pytorchs(name: str, device: str, theirs: Any, torch: Any) -> None:
    (a, x, reconstructs), b = nets(OURS)[name], nets(theirs)[name][0]
    assert repr(b).replace("NonDynamicallyQuantizableLinear", "Linear") == repr(a)
    assert list(b.state_dict()) == list(a.state_dict())
    if device == "sim":
        x = x[:2]
    b.load_state_dict({k: torch.tensor(v.numpy()) for k, v in a.state_dict().items()})
    if name == "resnet18":  # whose last norms take the mean of 4 numbers: rounding grows there
        a.double(), b.double()
    else:
        x = x.astype(np.float32)
    y = x if reconstructs else np.arange(len(x))
    a.to(device)
    step = gpunn.TrainStep(
        a, nn.MSELoss() if reconstructs else nn.CrossEntropyLoss(), optim.SGD(a.parameters(), lr=0.02, momentum=0.9)
    )
    optimizer = torch.optim.SGD(b.parameters(), lr=0.02, momentum=0.9)
    loss = torch.nn.MSELoss() if reconstructs else torch.nn.CrossEntropyLoss()
    ours, expected = [], []
    for _ in range(10):
        ours.append(step(gpunn.tensor(x, device=device), gpunn.tensor(y, device=device)).item())
        optimizer.zero_grad()
        found = loss(b(torch.tensor(x)), torch.tensor(y))
        found.backward()
        optimizer.step()
        expected.append(found.item())
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    assert expected[-1] < expected[0]


@pytest.mark.torch
def test_the_vae_is_pytorchs(theirs: Any, torch: Any) -> None:
    a = build("vae:5,2", (6,), 1)
    b = theirs["autoencoder"].VAE((6,), (5, 2))
    b.load_state_dict({k: torch.tensor(v.numpy()) for k, v in a.state_dict().items()})
    x = np.random.default_rng(0).random((4, 6), np.float32)
    for likelihood in ("gaussian", "bernoulli"):
        ours = VAELoss(likelihood)(a.eval()(gpunn.tensor(x)), gpunn.tensor(x))
        expected = theirs["autoencoder"].VAELoss(likelihood)(b.eval()(torch.tensor(x)), torch.tensor(x))
        np.testing.assert_allclose(ours.item(), expected.item(), rtol=1e-5)
    # KL of N(m, e^v) from N(0, 1), by torch.distributions
    _, m, v = b(torch.tensor(x))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(m, (v / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    y = a(gpunn.tensor(x))
    lost = 0.5 * ((y[0].detach().numpy() - x) ** 2).sum() / 4
    np.testing.assert_allclose(VAELoss()(y, gpunn.tensor(x)).item() - lost, kl.sum().item() / 4, rtol=1e-4)


def test_the_vae_draws_in_training_alone() -> None:
    model, x = build("vae:5,2", (6,), 1), gpunn.ones(2, 6)
    assert not np.array_equal(model(x)[0].detach().numpy(), model(x)[0].detach().numpy())
    model.eval()
    np.testing.assert_array_equal(model(x)[0].detach().numpy(), model(x)[0].detach().numpy())
    assert model.sample(3).shape == (3, 6)


def test_a_language_model_sees_no_token_to_come() -> None:
    gpunn.manual_seed(0)
    model = TransformerLM(7, 6, 8, 2, 1).eval()
    x = np.array([[1, 2, 3, 4, 5, 6]])
    changed = x.copy()
    changed[0, 4:] = 0
    a, b = (model(gpunn.tensor(v)).detach().numpy() for v in (x, changed))
    assert a.shape == (1, 6, 7)
    np.testing.assert_allclose(a[:, :4], b[:, :4], atol=1e-6)
    assert abs(a[:, 4] - b[:, 4]).max() > 1e-3
    assert model(gpunn.tensor(x[:, :3])).shape == (1, 3, 7)
    with pytest.raises(ValueError, match="a sequence has 7 tokens; expected at most 6"):
        model(gpunn.zeros(1, 7, dtype=gpunn.int64))


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ("resnet9", (784,), r"resnet9 takes images \(channels, height, width\), the data is \(784,\); mlp takes any"),
        ("resnet18", (3, 4, 4), "resnet18 takes images of at least 8 x 8"),
        ("lstm", (4,), r"lstm takes sequences \(length, features\) and images, row by row, the data is \(4,\)"),
        ("transformer:10,4", (5, 3), "transformer:10,4: the first number, the size, is a multiple of the heads"),
        ("mlp:0", (4,), "'mlp:0': expected whole numbers above 0, such as mlp:512,512"),
        ("resnet9:4,4", (3, 8, 8), "'resnet9:4,4': expected whole numbers above 0, such as resnet9:16 for the chan"),
        ("lenet:3", (1, 28, 28), "'lenet:3': lenet takes no numbers"),
        ("resnet19", (3, 8, 8), "there is no model 'resnet19'; did you mean resnet9"),
    ],
)
def test_what_does_not_fit(spec: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(spec, shape, 10)
    with pytest.raises(ModelError, match="lstm has tanh and sigmoid inside; expected no activation, got 'gelu'"):
        build("lstm", (4, 4), 10, "gelu")


@pytest.mark.parametrize("name", MODELS)
def test_every_name_makes_a_network_that_learns(name: str) -> None:
    small = {"vgg_small": ":2", "resnet9": ":2", "resnet18": ":2", "resnet34": ":1", "transformer": ":8,2,1"}
    gpunn.manual_seed(0)
    model = build(name + small.get(name, ""), (1, 16, 16), 4)
    x = gpunn.randn(3, 1, 16, 16)
    y = gpunn.tensor([0, 1, 2])
    loss: Any = nn.CrossEntropyLoss()
    if getattr(model, "reconstructs", False):
        y, loss = x, model.training_loss()
    step = gpunn.TrainStep(model, loss, optim.Adam(model.parameters(), lr=1e-3))
    assert step(x, y).item() > min(step(x, y).item() for _ in range(4))
