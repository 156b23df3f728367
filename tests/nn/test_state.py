"""state_dict and load_state_dict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.numpy().copy() for k, v in module.state_dict().items()}


def test_keys() -> None:
    assert list(net().state_dict(prefix="net.")) == [
        "net.0.weight",
        "net.0.bias",
        "net.1.weight",
        "net.1.bias",
        "net.1.running_mean",
        "net.1.running_var",
        "net.1.num_batches_tracked",
        "net.2.weight",
        "net.2.bias",
    ]


def test_state_shares_the_memory() -> None:
    model = net()
    state = model.state_dict()
    with gpunn.no_grad():
        model[0].bias.fill_(7)
    assert (state["0.bias"].numpy() == 7).all() and not state["0.bias"].requires_grad
    assert model.state_dict(keep_vars=True)["0.bias"] is model[0].bias


def test_buffers_that_are_not_saved() -> None:
    model = nn.Module()
    model.register_buffer("a", gpunn.ones(1))
    model.register_buffer("b", gpunn.ones(1), persistent=False)
    assert list(model.state_dict()) == ["a"]
    model.b = gpunn.zeros(1)
    assert list(model.state_dict()) == ["a"]
    model.register_buffer("b", gpunn.ones(1))
    assert list(model.state_dict()) == ["a", "b"]


@pytest.mark.parametrize("convert", [lambda t: t, lambda t: t.numpy(), lambda t: t.double()])
def test_loading_copies(convert: Any) -> None:
    source, target = net(), net()
    source[1].num_batches_tracked.fill_(5)
    pointer = target[0].weight.data_ptr()
    result = target.load_state_dict({k: convert(v) for k, v in source.state_dict().items()})
    assert repr(result) == "<All keys matched successfully>" and result.missing_keys == result.unexpected_keys == []
    for key, value in values(source).items():
        np.testing.assert_array_equal(values(target)[key], value)
    assert target[0].weight.data_ptr() == pointer and target[0].weight.dtype is gpunn.float32
    with gpunn.no_grad():
        source[0].weight.zero_()
    assert target[0].weight.detach().numpy().any()


def test_errors_come_all_at_once_and_nothing_is_written() -> None:
    model = net()
    before = values(model)
    state: dict[str, Any] = {k: gpunn.ones(*v.shape) for k, v in model.state_dict().items()}
    del state["1.running_mean"], state["2.bias"]
    state["2.weight"] = "text"
    state |= {
        "1.weight": gpunn.ones(4, device="meta"),
        "0.weight": gpunn.ones(3, 4),
        "extra": gpunn.ones(1),
        "7.weight": gpunn.ones(1),
    }
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Sequential:",
        'Missing key(s) in state_dict: "1.running_mean", "2.bias".',
        'Unexpected key(s) in state_dict: "extra", "7.weight".',
        "size mismatch for 0.weight: copying a param with shape [3, 4] from checkpoint, "
        "the shape in current model is [4, 3].",
        "1.weight is no tensor: it is on the device meta, where tensors have no elements",
        "2.weight is no tensor: expected a tensor or an array, got str",
    ]
    for key, value in before.items():
        np.testing.assert_array_equal(values(model)[key], value)


def test_not_strict() -> None:
    model = net()
    result = model.load_state_dict({"0.bias": gpunn.full((4,), 3.0), "other": gpunn.ones(1)}, strict=False)
    assert result.unexpected_keys == ["other"]
    assert "0.bias" not in result.missing_keys and len(result.missing_keys) == 8
    assert (model[0].bias.detach().numpy() == 3).all()
    with pytest.raises(RuntimeError, match=r"size mismatch for 0.bias"):
        model.load_state_dict({"0.bias": gpunn.ones(5)}, strict=False)
    with pytest.raises(TypeError, match="takes a dict of tensors, got list"):
        model.load_state_dict([])  # type: ignore[arg-type]


def test_torch_agrees_on_keys_and_results(torch: Any) -> None:
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.load_state_dict(theirs.state_dict()) == theirs.load_state_dict(theirs.state_dict())
    state = {**theirs.state_dict(), "more": torch.ones(1)}
    del state["0.bias"]
    assert tuple(ours.load_state_dict(state, strict=False)) == tuple(theirs.load_state_dict(state, strict=False))
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())
