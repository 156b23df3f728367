"""Weights that are computed of others, against PyTorch's: results, gradients, buffers, keys."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import utils
from gpunn.nn.functional import cross_entropy
from gpunn.nn.utils import parametrizations, parametrize

RNG = np.random.default_rng(0)
ROWS, IMAGE = RNG.standard_normal((2, 4)), RNG.standard_normal((2, 4, 6, 5))
LAYERS = {"Linear(4, 3)": ROWS, "Conv2d(4, 6, 3)": IMAGE, "ConvTranspose2d(4, 6, 3)": IMAGE}


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-9)


def both(torch: Any, layer: str, wrap: Any) -> tuple[Any, Any]:
    """A layer of each library, wrapped, with PyTorch's state."""
    ours, theirs = (wrap(eval(f"n.{layer}", {"n": n}).double(), n.utils) for n in (nn, torch.nn))
    state = {key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    return ours, theirs


def steps(torch: Any, ours: Any, theirs: Any, x: np.ndarray) -> None:
    """Two calls in training and one in evaluation: results, gradients and buffers are the same."""
    for step in range(3):
        if step == 2:
            ours.eval(), theirs.eval()
        results = []
        for library, module in ((gpunn, ours), (torch, theirs)):
            module.zero_grad()
            y = module(library.tensor(x))
            (y * y).sum().backward()
            results.append([y, *(p.grad for p in module.parameters()), *module.buffers()])
        for a, b in zip(*results, strict=True):
            close(a, b)


@pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(layer, dim, torch):
    ours, theirs = both(torch, layer, lambda m, u: u.parametrizations.weight_norm(m, dim=dim))
    assert repr(ours) == repr(theirs)
    steps(torch, ours, theirs, LAYERS[layer])
    for library, module in ((nn, ours), (torch.nn, theirs)):
        library.utils.parametrize.remove_parametrizations(module, "weight")
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    close(ours.weight, theirs.weight)
    ours, theirs = both(torch, layer, lambda m, u: u.weight_norm(m, dim=dim))
    steps(torch, ours, theirs, LAYERS[layer])
    close(utils.remove_weight_norm(ours).weight, torch.nn.utils.remove_weight_norm(theirs).weight)
    assert list(ours.state_dict()) == list(theirs.state_dict()) and isinstance(ours.weight, nn.Parameter)
    with pytest.raises(ValueError, match=r"'weight' of .* has no such norm"):
        utils.remove_weight_norm(ours)


@pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")
@pytest.mark.parametrize("layer", LAYERS)
def test_spectral_norm(layer, torch):
    ours, theirs = both(torch, layer, lambda m, u: u.parametrizations.spectral_norm(m, n_power_iterations=2))
    assert repr(ours) == repr(theirs)
    steps(torch, ours, theirs, LAYERS[layer])
    ours, theirs = both(torch, layer, lambda m, u: u.spectral_norm(m))
    steps(torch, ours, theirs, LAYERS[layer])
    close(utils.remove_spectral_norm(ours).weight, torch.nn.utils.remove_spectral_norm(theirs).weight)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("orthogonal_map", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("start", [True, False])
def test_orthogonal(shape, orthogonal_map, start, torch):
    if not start and (orthogonal_map in ("matrix_exp", "cayley") or (orthogonal_map is None and shape == (4, 4))):
        w = parametrizations.orthogonal(nn.Linear(*shape), "weight", orthogonal_map, use_trivialization=False).weight
        product = (w @ w.mT if shape[1] <= shape[0] else w.mT @ w).detach().numpy()
        np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-5)
        return
    options = {"orthogonal_map": orthogonal_map, "use_trivialization": start}
    ours = parametrizations.orthogonal(nn.Linear(*shape).double(), **options)
    w = ours.weight.detach().numpy()  # out x in
    np.testing.assert_allclose(w @ w.T if len(w) <= w.shape[1] else w.T @ w, np.eye(min(shape)), atol=1e-12)
    theirs = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(*shape).double(), **options)
    original = theirs.parametrizations.weight.original
    with torch.no_grad():
        original.add_(torch.tensor(RNG.standard_normal(tuple(original.shape)) * 0.3).tril(-1))
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    close(ours.weight, theirs.weight)
    cotangent = RNG.standard_normal(w.shape)
    (ours.weight * gpunn.tensor(cotangent)).sum().backward()
    (theirs.weight * torch.tensor(cotangent)).sum().backward()
    close(ours.parametrizations.weight.original.grad, original.grad)
    assert repr(ours) == repr(theirs)


def of_a_users_own(library: Any, n: Any, p: Any) -> tuple[Any, ...]:
    class Symmetric(n.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).mT

    class Exp(n.Module):
        def forward(self, X):
            return X.exp()

        def right_inverse(self, X):
            return X.log()

    layer = n.Linear(3, 3).double()
    with library.no_grad():
        layer.weight.copy_(library.tensor(np.arange(1.0, 10).reshape(3, 3)))
        layer.bias.copy_(library.tensor(np.arange(1.0, 4)))
    p.register_parametrization(layer, "weight", Symmetric())
    p.register_parametrization(layer, "weight", Exp())
    p.register_parametrization(layer, "bias", Exp())
    with p.cached():
        once = layer.weight is layer.weight
    both = layer.weight.detach(), layer.bias.detach()
    layer.bias = library.tensor(np.full(3, 2.0))
    text, keys = repr(layer), list(layer.state_dict())
    p.remove_parametrizations(layer, "weight", leave_parametrized=False)
    kind = p.type_before_parametrizations(layer).__name__, p.is_parametrized(layer), p.is_parametrized(layer, "weight")
    return [*both, layer.bias, layer.weight, layer.parametrizations.bias.original], (once, text, keys, *kind)


def test_parametrizations_of_a_users_own(torch):
    ours = of_a_users_own(gpunn, nn, parametrize)
    theirs = of_a_users_own(torch, torch.nn, torch.nn.utils.parametrize)
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=True):
        close(a, b)


def test_copies_keep_their_parametrizations():
    layer = parametrizations.weight_norm(nn.Linear(4, 3))
    other = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and parametrize.is_parametrized(other) and (other.weight == layer.weight).all()
    third = parametrize.transfer_parametrizations_and_params(other, nn.Linear(4, 3))
    assert (third.weight == other.weight).all() and list(third.state_dict()) == list(other.state_dict())


def test_what_can_not_be_parametrized():
    class Wider(nn.Module):
        def forward(self, X):
            return gpunn.cat([X, X])

    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="Linear has no parameter or buffer with name 'wieght'"):
        parametrizations.spectral_norm(layer, "wieght")
    with pytest.raises(ValueError, match=r"may not change shape or type .* float32\[2, 2\]|float32.*became"):
        parametrize.register_parametrization(layer, "weight", Wider())
    assert type(layer) is nn.Linear and list(layer.state_dict()) == ["weight", "bias"]
    with pytest.raises(ValueError, match="does not have a parametrization on weight"):
        parametrize.remove_parametrizations(layer, "weight")
    with pytest.raises(ValueError, match="orthogonal_map has to be one of"):
        parametrizations.orthogonal(layer, orthogonal_map="exp")
    with pytest.raises(ValueError, match="in terms of a sequence of tensors"):
        parametrize.remove_parametrizations(parametrizations.weight_norm(layer), "weight", False)


@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        utils.weight_norm,
        utils.spectral_norm,
    ],
)
def test_planned_steps(wrap):
    x, t = gpunn.tensor(np.tile(ROWS, (4, 1)).astype("float32")), gpunn.tensor([0, 1] * 4)
    losses = []
    for planned in (False, True):
        gpunn.manual_seed(0)
        model = nn.Sequential(wrap(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2))
        optimizer = gpunn.optim.SGD(model.parameters(), 0.1)
        step = gpunn.TrainStep(model, cross_entropy, optimizer, fuse=False)
        for _ in range(3):
            if planned:
                losses.append(step(x, t).item())
                continue
            optimizer.zero_grad()
            loss = cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:3] == losses[3:] and losses[0] > losses[2]


@pytest.mark.parametrize(
    ("layer", "norm"),
    [
        ("Conv2d(4, 6, 3)", "BatchNorm2d(6)"),
        ("Conv2d(4, 6, 3, bias=False)", "BatchNorm2d(6, affine=False)"),
        ("ConvTranspose2d(4, 6, 3)", "BatchNorm2d(6)"),
        ("Linear(4, 3)", "BatchNorm1d(3)"),
    ],
)
def test_batch_norm_taken_into_the_layer_before_it(layer, norm):
    first, second = (eval(f"nn.{e}", {"nn": nn}).double() for e in (layer, norm))
    second.running_mean.normal_()
    second.running_var.uniform_(0.5, 2)
    for p in second.parameters():
        nn.init.normal_(p)
    fuse = utils.fuse_linear_bn_eval if "Linear" in layer else utils.fuse_conv_bn_eval
    with pytest.raises(AssertionError, match="Fusion only for eval"):
        fuse(first, second)
    first.eval(), second.eval()
    x = gpunn.tensor(ROWS if "Linear" in layer else IMAGE)
    close(fuse(first, second, *((True,) if "Transpose" in layer else ()))(x), second(first(x)))


def test_modules_without_initial_values_and_with_other_ones():
    layer = utils.skip_init(nn.Linear, 3, 4)
    assert layer.weight.shape == (4, 3) and layer.weight.device.type == "cpu"
    with pytest.raises(RuntimeError, match="must support a 'device' arg"):
        utils.skip_init(nn.ReLU)
    given = {"weight": gpunn.eye(2), "bias": gpunn.zeros(2)}
    assert utils.stateless.functional_call(nn.Linear(2, 2), given, gpunn.ones(1, 2)).tolist() == [[1, 1]]
