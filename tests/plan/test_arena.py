"""Plans take turns in one memory: nothing of one reaches another, and it is as large as the largest plan needs."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend.recording import MOST_COUNTERS
from gpunn.plan import Arena
from gpunn.plan.arena import Memory

from ..backend import fake_cupy
from . import captured, test_step
from .networks import NETWORKS, OPTIMIZERS
from .test_step import eager

CPU, SIM = gpunn.device("cpu"), gpunn.device("sim")
SIZES = (5, 3, 5, 2, 3, 5, 6, 2, 5, 6)
"""Of batches, one after the other: plans come and grow."""


class Apart(Arena):
    """Each program has memory of its own."""

    def memory(self, program: Any) -> Memory:
        return Memory(program.device)


def batches(shape: tuple[int, ...], device: str = "cpu") -> Iterator[tuple[gpunn.Tensor, gpunn.Tensor]]:
    rng = np.random.default_rng(1)
    for n in SIZES:
        x = rng.standard_normal((n, *shape)).astype(np.float32)
        yield gpunn.tensor(x, device=device), gpunn.tensor(rng.integers(0, 10, n), device=device)


def train(make_step: Any, case: tuple[Any, ...], device: str = "cpu") -> list[np.ndarray]:
    """All that the steps give and leave, on batches of all sizes."""
    build, shape, loss_fn = case
    gpunn.manual_seed(0)
    model = build().to(device)
    opt = OPTIMIZERS["adam"](model.parameters())
    step = make_step(model, loss_fn, opt)
    seen: list[gpunn.Tensor] = []
    for batch in batches(shape, device):
        result = step(*batch)
        seen += result if isinstance(result, tuple) else [result]
    moments = [v for p in model.parameters() for v in opt.state[p].values()]
    return [t.detach().cpu().numpy().copy() for t in (*seen, *model.parameters(), *model.buffers(), *moments)]


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def linear(n: int = 4) -> tuple[gpunn.Tensor, gpunn.Tensor]:
    return gpunn.ones(n, 3), gpunn.ones(n, 2)


# Bits -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["lenet", "residual", "shared", "gated"])
def test_sizes_that_change_have_the_bits_of_eager_work(network: str) -> None:
    assert_same(train(test_step.unfused, NETWORKS[network]), train(eager, NETWORKS[network]))


@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_on_a_device_they_have_the_bits_of_plans_apart(network: str) -> None:
    case = (*captured.NETWORKS[network], nn.CrossEntropyLoss())
    apart = partial(TrainStep, arena=Apart())
    assert_same(train(TrainStep, case, "sim"), train(apart, case, "sim"))


def test_a_step_that_is_not_captured() -> None:
    case = (*captured.NETWORKS["mlp"], nn.CrossEntropyLoss())
    assert_same(train(captured.loose, case, "sim"), train(eager, case, "sim"))


class Constants(nn.Module):
    """Computes with tensors that depend on nothing, and with some that do, since they are written to."""

    def forward(self, x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        part = gpunn.ones(3, device=x.device)
        part[1:].add_(x.sum())
        half = gpunn.full((4,), 0.5, device=x.device)
        return x + gpunn.arange(4, device=x.device), gpunn.full((4,), 0.25, device=x.device), x + half.sigmoid(), part


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_constants_outlive_other_plans(device: str) -> None:
    step = EvalStep(Constants())
    for n in (1, 2, 64, 1, 64, 2, 1):
        x = gpunn.full((n, 4), float(n), device=device)
        for a, b in zip(step(x), Constants()(x)):
            assert a.tolist() == b.tolist()
    assert len(step.plan.liveness.kept) == 3


@pytest.mark.parametrize("share", [True, False])
def test_plans_on_different_streams_follow_one_another(share: bool) -> None:
    """Of one step, and of two that share their memory."""
    with fake_cupy.installed():
        given = list(batches((12,), "cuda"))
        expected, results = [], []
        for make_step in (eager, TrainStep):
            gpunn.manual_seed(0)
            model = captured.Small().to("cuda")
            arena = Arena()
            opt, loss_fn = optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss()
            if make_step is eager:
                step, look, streams = eager(model, loss_fn, opt), model, [fake_cupy.Stream(non_blocking=True)]
            else:
                step = TrainStep(model, loss_fn, opt, fuse=False, arena=arena)
                look = EvalStep(model, fuse=False, arena=arena if share else None)
                streams = [fake_cupy.Stream(non_blocking=True) for _ in range(3)]
            gpunn.cuda.synchronize()
            seen = []
            for i, (x, y) in enumerate(given * 2):
                with streams[i % len(streams)]:
                    seen.append(step(x, y))
                if share:
                    with streams[(i + 1) % len(streams)], gpunn.no_grad():
                        seen.append(look(x))
            gpunn.cuda.synchronize()
            bits = [t.detach().cpu().numpy() for t in (*seen, *model.parameters())]
            expected, results = results, bits
        assert_same(results, expected)


# Memory ---------------------------------------------------------------------------------------------------------------


def small_step(arena: Arena | None = None) -> TrainStep:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 2))
    return TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.1), arena=arena)


def test_it_is_as_large_as_the_largest_plan_needs() -> None:
    step = small_step()
    needed = []
    for n in (400, 40, 400, 4):
        step(*linear(n))
        needed.append(step.plan.memory().arena)
        assert step.arena.nbytes(CPU) == needed[0]
    assert needed[0] > needed[1] > needed[3]
    assert len(step.plans_made) == 3


def test_it_grows_and_the_old_one_goes() -> None:
    step = small_step()
    step(*linear(4))
    first, old = step.plan, weakref.ref(step.plan._values)
    step(*linear(400))
    assert old() is None
    assert first.bound_to is None
    assert step.arena.nbytes(CPU) == step.plan.memory().arena
    second = step.plan
    step(*linear(4))
    assert step.plan is first
    assert first.bound_to is second.bound_to is not None
    assert step.arena.nbytes(CPU) == second.memory().arena
    shapes = ["float32[4, 3], float32[4, 2]", "float32[400, 3], float32[400, 2]"]
    assert step.plans_made == [f"{shapes[0]}; bound anew to the memory of a larger plan", shapes[1]]


def test_on_a_device_all_that_a_step_computes_in_is_shared() -> None:
    def used(sizes: tuple[int, ...]) -> int:
        gpunn.manual_seed(0)
        model = captured.Small().to("cuda")
        step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
        before = gpunn.cuda.memory_allocated()
        for n in sizes * 4:
            step(gpunn.ones(n, 12, device="cuda"), gpunn.zeros(n, dtype=gpunn.int64, device="cuda"))
        return gpunn.cuda.memory_allocated() - before

    with fake_cupy.installed():
        alone, both = used((1000,)), used((1000, 900))
    # The second plan has its own block of checks, of 16 bytes each, its counters of blocks, and some numbers, in whole
    # blocks of 512 bytes.
    assert alone > 200_000
    assert both - alone <= 16 * 1024 + 4 * MOST_COUNTERS + 2048


def test_steps_that_share() -> None:
    arena = Arena()
    step, other = small_step(arena), small_step()
    look = EvalStep(step.model, arena=arena)
    apart = EvalStep(other.model)
    for n in (50, 1000, 50):
        x, y = linear(n)
        assert step(x, y).item() == other(x, y).item()
        np.testing.assert_array_equal(look(20 * x).numpy(), apart(20 * x).numpy())
    assert arena.nbytes(CPU) == step.forecast(*linear(1000)).arena
    assert len(step.plans_made) == len(look.plans_made) == 2


def test_it_goes_with_the_plans() -> None:
    step = small_step()
    step(*linear())
    assert step.arena.nbytes(CPU) > 0
    step.model.to("sim")
    step(*(t.to("sim") for t in linear()))
    assert step.arena.nbytes(CPU) == 0
    assert step.arena.nbytes(SIM) > 0
    step.arena.forget()
    assert step.arena.nbytes(SIM) == 0
    step(*(t.to("sim") for t in linear()))
    assert step.plans_made[-1].endswith("on sim: the one before was given up")


def test_parameters_move_into_the_memory_of_the_optimizer_though_another_step_was_first() -> None:
    arena = Arena()
    step = small_step(arena)
    look = EvalStep(step.model, arena=arena)
    before = look(linear()[0])
    step(*linear())
    assert all(s.inside for s in step.optimizer._segments.values())
    after = look(linear()[0])
    assert look.plans_made[1].endswith("got other memory")
    np.testing.assert_array_equal(after.numpy(), EvalStep(step.model)(linear()[0]).numpy())
    assert (before.numpy() != after.numpy()).any()


def test_a_plan_holds_no_batch_while_another_is_used() -> None:
    step = small_step()
    x, y = linear(5)
    held = weakref.ref(x._data)
    step(x, y)
    step(*linear(4))
    del x
    assert held() is None
    step(*linear(5))


def test_a_bad_index_is_found_after_the_memory_has_gone() -> None:
    arena = Arena()
    step = EvalStep(nn.Embedding(5, 3).to("sim"), arena=arena)
    for labels in ([1, 2], [1, 2], [1, 7]):
        step(gpunn.tensor(labels, device="sim"))
    old = weakref.ref(step.plan._values)
    EvalStep(nn.Tanh(), arena=arena)(gpunn.ones(1000, device="sim"))
    assert old() is None
    with pytest.raises(IndexError, match=r"embedding: index out of range in self: 7 at \[1\]"):
        step(gpunn.tensor([1, 2], device="sim"))
    assert step(gpunn.tensor([1, 2], device="sim")).shape == (2, 3)
