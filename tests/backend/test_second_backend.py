"""A backend of one's own serves everything above it, without a change there."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.device import _BACKENDS, device_types, register_backend

from .recording import RECORDER


@pytest.fixture
def calls() -> list[str]:
    RECORDER.calls.clear()
    return RECORDER.calls


def train(device: str, steps: int = 3) -> tuple[list[float], list[np.ndarray]]:
    """A few steps of a network of two layers; the losses, and the parameters at the end."""
    gpunn.manual_seed(0)
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.LinearActivation(6, 8, activation="tanh"), nn.Linear(8, 3)).to(device)
    x = gpunn.tensor(rng.standard_normal((5, 6)), dtype=gpunn.float32, device=device)
    y = gpunn.tensor(rng.integers(0, 3, 5), device=device)
    optimizer = gpunn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.detach().cpu().numpy() for p in model.parameters()]


def test_training_is_the_same_to_the_bit(calls) -> None:
    losses, parameters = train("recorder")
    expected_losses, expected = train("cpu")
    assert losses == expected_losses
    assert losses[-1] < losses[0]
    for p, e in zip(parameters, expected):
        np.testing.assert_array_equal(p, e)


def test_the_backend_is_asked_for_whole_layers(calls) -> None:
    train("recorder", steps=1)
    assert calls.count("linear_activation") == 2
    assert calls.count("linear_backward") == 2
    assert calls.count("activation_backward") == 1
    assert {"from_numpy", "to_numpy"} <= set(calls)


def test_the_cpu_is_not_asked(calls, monkeypatch) -> None:
    from gpunn.backend import numpy as numpy_backend

    x = gpunn.ones(3, 3, device="recorder", requires_grad=True)
    w = gpunn.ones(3, 3, device="recorder", requires_grad=True)

    class Unused:
        def __getattr__(self, name):
            raise AssertionError(f"the CPU was asked for {name}")

    monkeypatch.setattr(gpunn.device("cpu"), "backend", Unused())
    (gpunn.ops.linear(x, w).relu() * 2).sum().backward()
    monkeypatch.setattr(gpunn.device("cpu"), "backend", numpy_backend)
    assert x.grad.device.type == "recorder"
    assert x.grad.cpu().tolist() == [[6.0] * 3] * 3


def test_tensors_say_where_they_are(calls) -> None:
    x = gpunn.ones(2, device="recorder")
    assert repr(x) == "tensor([1., 1.], device='recorder')"
    assert repr(x._spec) == "float32[2] on recorder"
    assert gpunn.zeros_like(x).device is x.device
    assert x.to("cpu").to("recorder").device is gpunn.device("recorder")
    with pytest.raises(TypeError, match=r"tensor.cpu\(\).numpy\(\)"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1, 1]
    assert (x.tolist(), x.sum().item(), bool((x == 1).all())) == ([1, 1], 2, True)


def test_the_default_device(calls) -> None:
    gpunn.set_default_device("recorder")
    try:
        made = [gpunn.zeros(2), gpunn.tensor([1.0]), gpunn.rand(3), gpunn.arange(3), gpunn.linspace(0, 1, 3)]
        assert {x.device.type for x in made} == {"recorder"}
        assert gpunn.tensor(gpunn.ones(1, device="cpu")).device.type == "cpu"  # a tensor stays where it is
    finally:
        gpunn.set_default_device("cpu")
    assert gpunn.zeros(2).device.type == "cpu"


def test_devices() -> None:
    assert {"cpu", "recorder"} <= set(device_types())
    assert gpunn.device("recorder:1") is gpunn.device("recorder", 1)
    assert gpunn.device("recorder:1") != gpunn.device("recorder")
    assert str(gpunn.device("recorder", 1)) == "recorder:1"
    assert repr(gpunn.device("cpu")) == "device('cpu')"
    assert gpunn.device("cpu:0") is gpunn.device("cpu")
    assert gpunn.device(gpunn.device("cpu")) is gpunn.device("cpu")
    for wrong in ("tpu", "CPU", "cpu:", "", 3, None):
        with pytest.raises(ValueError, match="no device"):
            gpunn.device(wrong)
    with pytest.raises(ValueError, match="is no device"):
        gpunn.device("recorder:1", 2)


def test_a_backend_is_loaded_when_it_is_needed() -> None:
    loaded = []
    register_backend("lazy", lambda index: loaded.append(index) or RECORDER)
    d = gpunn.device("lazy", 2)
    assert loaded == []
    assert gpunn.ones(1, device=d).device is d
    assert loaded == [2]


def test_the_environment_names_the_default_device() -> None:
    import os
    import subprocess
    import sys

    code = "import gpunn; print(gpunn.get_default_device()); gpunn.zeros(1)"
    for name, expected in (("", "cpu"), ("cpu", "cpu"), ("tpu", "there is no device 'tpu' here; did you mean cpu?")):
        run = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"GPUNN_DEVICE": name}, capture_output=True, text=True
        )
        assert expected in run.stdout + run.stderr


def test_an_unknown_device_names_those_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler there is no simulator, and what can't be loaded is not there."""
    with pytest.raises(ValueError, match=r"there is no device 'cudda' here; did you mean cuda\?; there are: .*cpu"):
        gpunn.device("cudda")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setitem(_BACKENDS, "broken", lambda index: 1 / 0)
    with pytest.raises(ValueError) as caught:
        gpunn.device("cudda")
    there = str(caught.value).split("there are: ")[1].split(", ")
    assert {"cpu", "meta"} <= set(there) and not {"sim", "broken"} & set(there)
