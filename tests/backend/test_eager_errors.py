"""Bad labels and indices in eager work on a device: nobody waits for them, nothing is trained, and the host finds out.

The messages are those of the CPU, which raises at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.backend.errors import EagerErrors
from gpunn.nn import functional as F

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
CALLS: dict[str, Callable[[Any], gpunn.Tensor]] = {
    "cross entropy": lambda x: F.cross_entropy(x, gpunn.tensor([0, 4, 9], device=x.device)),
    "cross entropy of pixels": lambda x: F.cross_entropy(
        x[None, :, None], gpunn.tensor([[[0, 3, 1, -1]]], device=x.device)
    ),
    "negative log-likelihood": lambda x: F.nll_loss(x, gpunn.tensor([-3, 0, 0], device=x.device)),
    "embedding": lambda x: F.embedding(gpunn.tensor([[2, 3], [-1, 0]], device=x.device), x),
    "one hot": lambda x: F.one_hot(gpunn.tensor([1, 2, 7], device=x.device), 3),
    "binary cross entropy": lambda x: F.binary_cross_entropy(x, x),
    "indices": lambda x: x[gpunn.tensor([0, -4], device=x.device)],
    "gather": lambda x: x.gather(0, gpunn.tensor([[0, 1, 2, 3]], device=x.device)),
}
"""Each meets something that is none."""


def message(device: str, call: Callable[[Any], gpunn.Tensor]) -> tuple[type, str]:
    with pytest.raises((IndexError, RuntimeError)) as error:
        call(gpunn.tensor(X, device=device)).tolist()
    return error.type, str(error.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_message_is_that_of_the_cpu(machine, call) -> None:
    assert message("sim", call) == message("cuda", call) == message("cpu", call)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nobody_waits(machine, call) -> None:
    x = gpunn.tensor(X, device="cuda")
    machine.calls.clear()
    y = call(x)
    assert machine.calls["wait of the host"] == 0
    with pytest.raises((IndexError, RuntimeError)):
        y.cpu()
    assert x.tolist() == X.tolist()  # it is said once, and all goes on


def test_a_training_step_does_not_wait(machine) -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3)).to("cuda")
    opt = optim.Adam(model.parameters())
    x, y = gpunn.tensor([[0, 1], [4, 2]], device="cuda"), gpunn.tensor([0, 2], device="cuda")
    machine.calls.clear()
    for _ in range(3):
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()
    assert machine.calls["wait of the host"] == 0
    gpunn.cuda.synchronize()


@pytest.mark.parametrize("device", ["sim", "cuda"])
@pytest.mark.parametrize(
    "make_optimizer", [lambda p: optim.SGD(p, 0.1, momentum=0.9), optim.Adam, optim.RMSprop, optim.Adagrad]
)
def test_nothing_is_trained_until_the_host_knows(machine, device, make_optimizer) -> None:
    gpunn.manual_seed(0)
    layer = nn.Linear(4, 3).to(device)
    opt = make_optimizer(layer.parameters())
    x = gpunn.tensor(X, device=device)

    def step(labels: list[int]) -> gpunn.Tensor:
        opt.zero_grad()
        loss = F.cross_entropy(layer(x), gpunn.tensor(labels, device=device))
        loss.backward()
        opt.step()
        return loss

    def weights() -> list[list[float]]:
        return layer.weight.tolist()

    step([0, 1, 2])
    before = weights()
    step([0, 1, 5])
    loss = step([0, 1, 2])
    with pytest.raises(IndexError, match="Target 5 is out of bounds: position 2 of the target, with 3 classes"):
        loss.item()
    assert weights() == before
    step([0, 1, 2])
    assert weights() != before


@pytest.mark.parametrize("device", ["sim", "cuda"])
def test_a_host_that_never_waits_finds_out_when_there_is_no_more_room(machine, device) -> None:
    x, good, bad = gpunn.tensor(X, device=device), *(gpunn.tensor(y, device=device) for y in ([0, 1, 2], [0, 9, 2]))
    for _ in range(2 * EagerErrors.MOST):
        F.cross_entropy(x, good)
    F.cross_entropy(x, bad)
    with pytest.raises(IndexError, match="Target 9"):
        for _ in range(EagerErrors.MOST):
            F.cross_entropy(x, good)


def test_the_first_of_several_is_what_is_said(machine) -> None:
    x = gpunn.tensor(X, device="cuda")
    F.embedding(gpunn.tensor([0, 8], device="cuda"), x)
    F.cross_entropy(x, gpunn.tensor([7, 7, 7], device="cuda"))
    with pytest.raises(IndexError, match=r"embedding: .* 8 at \[1\]"):
        gpunn.cuda.synchronize()
    gpunn.cuda.synchronize()


def test_whoever_waits_is_told(machine) -> None:
    x = gpunn.tensor(X, device="cuda")
    own = gpunn.cuda.Stream()
    waits: list[Callable[[], Any]] = [
        x.tolist,  # which has nothing to do with it
        gpunn.cuda.synchronize,
        gpunn.cuda.default_stream().synchronize,
        lambda: repr(x),
        lambda: bool(x[0, 0] > 0),
        lambda: x.to("sim"),
    ]
    for wait in waits:
        F.cross_entropy(x, gpunn.tensor([0, 4, 0], device="cuda"))
        with pytest.raises(IndexError, match="Target 4"):
            wait()
        wait()
    own.wait_stream(gpunn.cuda.current_stream())
    with gpunn.cuda.stream(own):
        F.cross_entropy(x, gpunn.tensor([0, 5, 0], device="cuda"))
    with pytest.raises(IndexError, match="Target 5"):
        x.tolist()  # on another stream


def test_checks_on_two_streams(machine) -> None:
    x = gpunn.tensor(X, device="cuda")
    gpunn.cuda.synchronize()
    F.cross_entropy(x, gpunn.tensor([0, 6, 0], device="cuda"))
    with gpunn.cuda.stream(gpunn.cuda.Stream()):
        y = gpunn.tensor([0, 1, 0], device="cuda")
        with pytest.raises(IndexError, match="Target 6"):
            F.cross_entropy(x, y)
        F.cross_entropy(x, y)
    gpunn.cuda.synchronize()


def test_another_thread_may_wait(machine) -> None:
    x = gpunn.tensor(X, device="cuda")
    thread = threading.Thread(target=lambda: F.cross_entropy(x, gpunn.tensor([0, 1, 8], device="cuda")))
    thread.start()
    thread.join()
    with pytest.raises(IndexError, match="Target 8"):
        x.tolist()


def test_each_device_has_its_own(two) -> None:
    first, second = gpunn.tensor(X, device="cuda:0"), gpunn.tensor(X, device="cuda:1")
    F.cross_entropy(second, gpunn.tensor([0, 1, 8], device="cuda:1"))
    first.tolist()
    with pytest.raises(IndexError, match="Target 8"):
        second.tolist()


def test_a_check_is_on_the_stream_of_its_device(two) -> None:
    x = gpunn.tensor(X, device="cuda:1")
    bad = gpunn.tensor([0, 1, 8], device="cuda:1")
    gpunn.cuda.synchronize(1)
    with gpunn.cuda.stream(gpunn.cuda.Stream(1)), gpunn.cuda.device(0):
        F.cross_entropy(x, bad)
    with pytest.raises(IndexError, match="Target 8"):
        x.tolist()


def test_who_checks_nothing_takes_no_memory_for_it(machine) -> None:
    layer = nn.Linear(4, 3).to("cuda")
    opt = optim.SGD(layer.parameters(), 0.1)
    layer(gpunn.tensor(X, device="cuda")).sum().backward()
    opt.step()
    assert "unseen" not in vars(gpunn.device("cuda").backend)


def test_a_step_that_is_not_captured_is_told_too() -> None:
    layer = nn.Linear(4, 3).to("sim")
    step = gpunn.TrainStep(layer, nn.CrossEntropyLoss(), optim.SGD(layer.parameters(), 0.1), capture=False)
    x = gpunn.tensor(X, device="sim")
    step(x, gpunn.tensor([0, 1, 2], device="sim"))
    before = layer.weight.tolist()
    step(x, gpunn.tensor([0, 1, 3], device="sim"))
    step(x, gpunn.tensor([0, 1, 2], device="sim"))
    with pytest.raises(IndexError, match="Target 3"):
        step.check()
    assert layer.weight.tolist() == before
    with pytest.raises(gpunn.plan.StepFailed, match=r"nothing was trained any more.*Target 3"):
        step(x, gpunn.tensor([0, 1, 2], device="sim"))
