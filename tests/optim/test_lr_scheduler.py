"""Schedules against PyTorch's values, and against their formulas."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

import gpunn
from gpunn.optim import lr_scheduler

from .small import ours, rates

STEPS = 60


def halve_every_ten(epoch: int) -> float:
    return 0.5 ** (epoch // 10)


SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "lambda": ("LambdaLR", {"lr_lambda": halve_every_ten}),
    "lambda of each group": ("LambdaLR", {"lr_lambda": [halve_every_ten, lambda t: 1 / (1 + t)]}),
    "multiplicative": ("MultiplicativeLR", {"lr_lambda": lambda t: 0.9 + 0.001 * t}),
    "step": ("StepLR", {"step_size": 7, "gamma": 0.7}),
    "step, gamma 0": ("StepLR", {"step_size": 9, "gamma": 0}),
    "multistep": ("MultiStepLR", {"milestones": [30, 4, 4, 17], "gamma": 0.3}),
    "multistep from 0": ("MultiStepLR", {"milestones": [0, 5], "gamma": 0.3}),
    "constant": ("ConstantLR", {"factor": 0.25, "total_iters": 11}),
    "linear": ("LinearLR", {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 23}),
    "linear to 0": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 20}),
    "exponential": ("ExponentialLR", {"gamma": 0.93}),
    "polynomial": ("PolynomialLR", {"total_iters": 31, "power": 1.7}),
    "cosine": ("CosineAnnealingLR", {"T_max": 17, "eta_min": 0.01}),
    "cosine, long": ("CosineAnnealingLR", {"T_max": 100}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 9}),
    "longer restarts": ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2, "eta_min": 0.001}),
    "one cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 61}),
    "one cycle, linear": ("OneCycleLR", {"max_lr": [0.5, 0.2], "total_steps": 80, "anneal_strategy": "linear"}),
    "one cycle, three phases": (
        "OneCycleLR",
        {"max_lr": 0.5, "epochs": 7, "steps_per_epoch": 9, "three_phase": True, "pct_start": 0.4},
    ),
    "one cycle, rates only": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 70, "cycle_momentum": False}),
    "triangles": ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.5, 0.2], "step_size_up": 7, "step_size_down": 5}),
    "falling triangles": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 6, "mode": "triangular2"}),
    "triangles and a power": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97, "max_momentum": 0.8},
    ),
    "triangles of one's own": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 9, "scale_fn": lambda c: 1 / c, "cycle_momentum": False},
    ),
}


every = pytest.mark.parametrize("kind", SCHEDULES)


def theirs(torch: Any, cls: str = "SGD", **options: Any) -> Any:
    p, q = (torch.ones(1, requires_grad=True) for _ in range(2))
    return getattr(torch.optim, cls)([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1, **options)


def make(module: Any, optimizer: Any, kind: str, **more: Any) -> Any:
    name, options = SCHEDULES[kind]
    return getattr(module, name)(optimizer, **options, **more)


def watched(optimizer: Any) -> list[Any]:
    """What schedules change."""
    return [
        group[key]
        for group in optimizer.param_groups
        for key in ("lr", "momentum", "betas", "initial_lr")
        if key in group
    ]


def flat(values: list[Any]) -> list[float]:
    return [v for value in values for v in (value if isinstance(value, tuple) else (value,))]


def same(a: Any, b: Any) -> None:
    assert flat(watched(a)) == pytest.approx(flat(watched(b)), rel=1e-12, abs=1e-16)


def walk(pairs: list[tuple[Any, Any]], steps: int = STEPS) -> None:
    """Step (optimizer, its schedulers) of both sides together, and compare after each step."""
    (mine, _), (reference, _) = pairs
    same(mine, reference)
    for _ in range(steps):
        for optimizer, schedulers in pairs:
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        same(mine, reference)
        for a, b in zip(pairs[0][1], pairs[1][1]):
            assert a.get_last_lr() == pytest.approx(b.get_last_lr(), rel=1e-12, abs=1e-16)
            assert a.last_epoch == b.last_epoch


@every
@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"cls": "Adam"}], ids=["SGD", "Adam"])
def test_same_values(torch: Any, kind: str, options: dict[str, Any]) -> None:
    mine, reference = ours(**options), theirs(torch, **options)
    a, b = make(lr_scheduler, mine, kind), make(torch.optim.lr_scheduler, reference, kind)
    walk([(mine, [a]), (reference, [b])])


@every
def test_two_on_one_optimizer_multiply(torch: Any, kind: str) -> None:
    mine, reference = ours(momentum=0.9), theirs(torch, momentum=0.9)
    pairs = []
    for optimizer, module in ((mine, lr_scheduler), (reference, torch.optim.lr_scheduler)):
        first = make(module, optimizer, kind)
        pairs.append((optimizer, [first, make(module, optimizer, "step"), make(module, optimizer, "exponential")]))
    walk(pairs)


@every
def test_saved_and_loaded(torch: Any, kind: str) -> None:
    mine, reference = ours(momentum=0.9), theirs(torch, momentum=0.9)
    a, b = make(lr_scheduler, mine, kind), make(torch.optim.lr_scheduler, reference, kind)
    walk([(mine, [a]), (reference, [b])], 25)
    saved = copy.deepcopy((mine.state_dict(), a.state_dict()))
    again = ours(momentum=0.9)
    c = make(lr_scheduler, again, kind)
    again.load_state_dict(saved[0])
    c.load_state_dict(saved[1])
    walk([(again, [c]), (reference, [b])], 35)


@every
def test_state_of_torch(torch: Any, kind: str) -> None:
    """PyTorch's scheduler state is gone on from."""
    mine, reference = ours(momentum=0.9), theirs(torch, momentum=0.9)
    b = make(torch.optim.lr_scheduler, reference, kind)
    for _ in range(25):
        reference.step()
        b.step()
    a = make(lr_scheduler, mine, kind)
    mine.load_state_dict(reference.state_dict())
    a.load_state_dict(b.state_dict())
    walk([(mine, [a]), (reference, [b])], 35)


@every
def test_last_epoch(torch: Any, kind: str) -> None:
    """Going on from an optimizer's state alone, with ``last_epoch``."""
    mine, reference = ours(momentum=0.9), theirs(torch, momentum=0.9)
    a, b = make(lr_scheduler, mine, kind), make(torch.optim.lr_scheduler, reference, kind)
    walk([(mine, [a]), (reference, [b])], 20)
    a = make(lr_scheduler, mine, kind, last_epoch=20)
    b = make(torch.optim.lr_scheduler, reference, kind, last_epoch=20)
    walk([(mine, [a]), (reference, [b])], 30)


@every
@pytest.mark.parametrize("milestones", [[10], [1]])
def test_sequential(torch: Any, kind: str, milestones: list[int]) -> None:
    pairs = []
    for optimizer, module in (
        (ours(momentum=0.9), lr_scheduler),
        (theirs(torch, momentum=0.9), torch.optim.lr_scheduler),
    ):
        warmup = module.LinearLR(optimizer, start_factor=0.1, total_iters=10)
        pairs.append((optimizer, [module.SequentialLR(optimizer, [warmup, make(module, optimizer, kind)], milestones)]))
    walk(pairs, 45)


def test_sequential_of_several(torch: Any) -> None:
    pairs = []
    for optimizer, module in ((ours(), lr_scheduler), (theirs(torch), torch.optim.lr_scheduler)):
        kinds = ("linear", "constant", "cosine", "step")
        parts = [make(module, optimizer, kind) for kind in kinds]
        optimizer.step()
        inner = module.SequentialLR(optimizer, parts[:2], [4])
        pairs.append((optimizer, [module.SequentialLR(optimizer, [inner, *parts[2:]], [12, 31])]))
    walk(pairs)


def test_sequential_saved_and_loaded(torch: Any) -> None:
    def build(module: Any, optimizer: Any) -> Any:
        parts = [make(module, optimizer, kind) for kind in ("linear", "step", "exponential")]
        return module.SequentialLR(optimizer, parts, [10, 30])

    mine, reference = ours(), theirs(torch)
    a, b = build(lr_scheduler, mine), build(torch.optim.lr_scheduler, reference)
    walk([(mine, [a]), (reference, [b])], 20)
    again = ours()
    c = build(lr_scheduler, again)
    again.load_state_dict(mine.state_dict())
    c.load_state_dict(a.state_dict())
    walk([(again, [c]), (reference, [b])], 40)


def test_chained(torch: Any) -> None:
    pairs = []
    for optimizer, module in ((ours(), lr_scheduler), (theirs(torch), torch.optim.lr_scheduler)):
        parts = [make(module, optimizer, kind) for kind in ("constant", "exponential", "linear")]
        pairs.append((optimizer, [module.ChainedScheduler(parts)]))
    (mine, [a]), (reference, [b]) = pairs
    same(mine, reference)
    for _ in range(STEPS):
        for optimizer, scheduler in ((mine, a), (reference, b)):
            optimizer.step()
            scheduler.step()
        same(mine, reference)
        assert a.get_last_lr() == pytest.approx(b.get_last_lr(), rel=1e-12)


@pytest.mark.parametrize("T_mult", [1, 2, 3])
def test_restarts_in_fractions_of_an_epoch(torch: Any, T_mult: int) -> None:
    mine, reference = ours(), theirs(torch)
    a = lr_scheduler.CosineAnnealingWarmRestarts(mine, 5, T_mult)
    b = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(reference, 5, T_mult)
    mine.step()
    reference.step()
    for i in range(150):
        a.step(i / 3)
        b.step(i / 3)
        same(mine, reference)
    with pytest.raises(ValueError, match="non-negative epoch"):
        a.step(-1)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("more", [{}, {"cooldown": 3, "min_lr": [0.01, 0.05]}, {"patience": 0, "min_lr": 0.02}])
def test_plateau(torch: Any, mode: str, threshold_mode: str, more: dict[str, Any]) -> None:
    options = {"mode": mode, "threshold_mode": threshold_mode, "factor": 0.6, "patience": 2, "threshold": 0.05, **more}
    mine, reference = ours(), theirs(torch)
    a = lr_scheduler.ReduceLROnPlateau(mine, **options)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, **options)
    for t in range(80):
        metric = math.exp(-t / 15) * (1.3 + math.sin(1.7 * t)) if t != 40 else float("nan")
        metric = -metric if mode == "max" and t % 2 else metric
        a.step(gpunn.tensor(metric, dtype=gpunn.float64))
        b.step(metric)
        same(mine, reference)
        assert (a.best, a.num_bad_epochs, a.in_cooldown) == (b.best, b.num_bad_epochs, b.in_cooldown)
        if t == 33:  # saved and loaded
            fresh = lr_scheduler.ReduceLROnPlateau(mine, **options)
            fresh.load_state_dict(a.state_dict())
            a = fresh
    assert mine.param_groups[0]["lr"] < 0.1


# Around


@every
def test_through_a_file(kind: str, tmp_path: Path) -> None:
    first = ours(momentum=0.9)
    a = make(lr_scheduler, first, kind)
    rates(a, 6)
    gpunn.save([first.state_dict(), a.state_dict()], tmp_path / "state.safetensors")
    second = ours(momentum=0.9)
    b = make(lr_scheduler, second, kind)
    states = gpunn.load(tmp_path / "state.safetensors")
    second.load_state_dict(states[0])
    b.load_state_dict(states[1])
    assert watched(second) == watched(first)
    assert rates(b, 40) == rates(a, 40)


def test_callable_objects_keep_their_state() -> None:
    class Decay:
        def __init__(self, rate: float):
            self.rate = rate

        def __call__(self, epoch: int) -> float:
            return self.rate**epoch

    first, second = Decay(0.5), Decay(0.9)
    saved = lr_scheduler.LambdaLR(ours(), first).state_dict()
    lr_scheduler.LambdaLR(ours(), second).load_state_dict(saved)
    assert second.rate == 0.5


def test_schedulers_of_ones_own() -> None:
    class InverseRoot(lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            return [lr / math.sqrt(self.last_epoch + 1) for lr in self.base_lrs]

    assert rates(InverseRoot(ours()), 3) == pytest.approx([0.1, 0.1 / 2**0.5, 0.1 / 3**0.5, 0.05])


def test_the_optimizer_goes_first() -> None:
    optimizer = ours()
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        scheduler.step()


@pytest.mark.parametrize(
    "build, error, message",
    [
        (lambda o: lr_scheduler.StepLR("x", 1), TypeError, "str is not an Optimizer"),
        (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size is at least 1, got 0"),
        (lambda o: lr_scheduler.StepLR(o, 1, last_epoch=3), KeyError, "initial_lr"),
        (lambda o: lr_scheduler.ConstantLR(o, 1.5), ValueError, "between 0 and 1, got 1.5"),
        (lambda o: lr_scheduler.LinearLR(o, 0), ValueError, "greater than 0"),
        (lambda o: lr_scheduler.LinearLR(o, 0.5, 1.5), ValueError, "Ending multiplicative factor"),
        (lambda o: lr_scheduler.PolynomialLR(o, 0), ValueError, "total_iters is at least 1"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ValueError, "T_max is at least 1"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "positive integer T_0"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 0), ValueError, "T_mult >= 1"),
        (lambda o: lr_scheduler.LambdaLR(o, [halve_every_ten]), ValueError, "one for each of the 2 parameter groups"),
        (lambda o: lr_scheduler.LambdaLR(o, 0.5), TypeError, "should be a function, but got float"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1), ValueError, "total_steps OR"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=0), ValueError, "positive integer total_steps"),
        (
            lambda o: lr_scheduler.OneCycleLR(o, 0.1, epochs=2, steps_per_epoch=0),
            ValueError,
            "steps_per_epoch, but got 0",
        ),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 5, pct_start=2.0), ValueError, "pct_start"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 5, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        (lambda o: lr_scheduler.OneCycleLR(o, [0.1], 5), ValueError, "max_lr takes one value, or one for each"),
        (lambda o: lr_scheduler.OneCycleLR(ours("Adagrad"), 0.1, 5), ValueError, "must support momentum or beta1"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="x"), ValueError, "mode x is unknown"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode x is unknown"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "min_lr takes one value"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
        (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 1)], [3]), ValueError, "one more than"),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o)], []),
            ValueError,
            "does not support `ReduceLROnPlateau`",
        ),
        (
            lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 1), lr_scheduler.StepLR(ours(), 1)]),
            ValueError,
            "same optimizer; not so index 1",
        ),
        (lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 1), 3]), TypeError, "int at index 1"),
    ],
)
def test_errors(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(ours(momentum=0.9))
