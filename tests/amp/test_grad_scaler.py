"""GradScaler against PyTorch's."""

import numpy as np
import pytest

import gpunn
from gpunn.amp import GradScaler

OPTIONS = {"init_scale": 8.0, "growth_interval": 2, "growth_factor": 4.0, "backoff_factor": 0.25}


def run(lib, scaler):
    """The scale after each of some steps, of which two have an infinite or a NaN gradient; and the weights."""
    w = lib.tensor([1.0, -2.0], requires_grad=True)
    optimizer = lib.optim.SGD([w], lr=0.5, momentum=0.9)
    scales = []
    for factor in (1.0, 1.0, float("inf"), 2.0, float("nan"), 1.0, 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((w * w * factor).sum()).backward()
        if factor == 2.0:
            scaler.unscale_(optimizer)
            lib.nn.utils.clip_grad_norm_([w], 0.1)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales, w.detach().numpy(), scaler.state_dict()


def test_scales_steps_and_states_are_pytorchs():
    torch = pytest.importorskip("torch")
    scales, w, state = run(gpunn, GradScaler("cpu", **OPTIONS))
    expected_scales, expected_w, expected_state = run(torch, torch.amp.GradScaler("cpu", **OPTIONS))
    assert (scales, state) == (expected_scales, expected_state)
    np.testing.assert_array_equal(w, expected_w)


def test_it_goes_on_from_its_state():
    whole, half = GradScaler(**OPTIONS), GradScaler(**OPTIONS)
    for finite in (True, False, True):
        half.found(finite)
        whole.found(finite)
    again = GradScaler()
    again.load_state_dict(half.state_dict())
    for scaler in (whole, again):
        scaler.found(True)
    assert again.state_dict() == whole.state_dict()
    assert again.get_scale() == 8.0  # 8 / 4, and times 4 after two finite steps


def test_the_order_of_calls():
    w = gpunn.ones(2, requires_grad=True)
    optimizer, scaler = gpunn.optim.SGD([w], 0.1), GradScaler()
    with pytest.raises(RuntimeError, match="No inf checks were recorded prior to update"):
        scaler.update()
    with pytest.raises(RuntimeError, match="none of its parameters has a grad"):
        scaler.step(optimizer)
    w.sum().backward()
    with pytest.raises(RuntimeError, match=r"no loss was multiplied by it; write scaler\.scale"):  # PyTorch asserts it
        scaler.step(optimizer)
    optimizer.zero_grad()
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    assert w.grad.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="already been called on this optimizer since the last update"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="step\\(\\) has already been called since the last update"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="being called after step"):
        scaler.unscale_(optimizer)
    scaler.update()
    half = gpunn.ones(2, dtype=gpunn.float16, requires_grad=True)
    half.sum().backward()
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(gpunn.optim.SGD([half], 0.1))


def test_not_enabled_it_does_nothing():
    w = gpunn.ones(2, requires_grad=True)
    optimizer, scaler = gpunn.optim.SGD([w], 0.5), GradScaler(enabled=False)
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.5, 0.5]
    assert (scaler.get_scale(), scaler.state_dict()) == (1.0, {})


def test_outputs_in_lists_and_what_is_none():
    x = gpunn.ones(2)
    found = GradScaler(init_scale=4.0).scale([x, (x * 2,)])
    assert isinstance(found, list) and [found[0].tolist(), found[1][0].tolist()] == [[4, 4], [8, 8]]
    with pytest.raises(ValueError, match="takes a tensor or a list or tuple of tensors, got str"):
        GradScaler().scale("loss")
    with pytest.raises(ValueError, match="growth_factor is above 1, got 1"):
        GradScaler(growth_factor=1)
    with pytest.raises(ValueError, match="backoff_factor is between 0 and 1, got 1"):
        GradScaler(backoff_factor=1)
