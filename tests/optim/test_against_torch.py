"""Every option of every optimizer against PyTorch: float64, 40 steps with the same gradients."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import optim

SHAPES = [(4, 3), (5,), (), (2, 3, 2)]
STEPS = 40
NAMES = [
    *("SGD", "Adagrad", "RMSprop", "Adam", "AdamW"),
    *("Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"),
]
HALF = STEPS // 2


def combinations(**options: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(options, values)) for values in product(*options.values())]


def cases() -> list[Any]:
    common = {"weight_decay": (0, 0.1), "maximize": (False, True)}
    sgd = [
        *combinations(**common),
        *combinations(momentum=(0.9,), dampening=(0, 0.3), **common),
        *combinations(momentum=(0.9,), nesterov=(True,), **common),
    ]
    adagrad = combinations(lr_decay=(0, 0.02), initial_accumulator_value=(0, 0.5), eps=(1e-10, 1e-2), **common)
    rmsprop = combinations(alpha=(0.99, 0.5), momentum=(0, 0.8), centered=(False, True), **common)
    adam = combinations(betas=((0.9, 0.999), (0.0, 0.7)), amsgrad=(False, True), **common)
    adadelta = combinations(rho=(0.9, 0.5), eps=(1e-6, 1e-2), **common)
    adamax = combinations(betas=((0.9, 0.999), (0.0, 0.7)), eps=(1e-8, 1e-2), **common)
    decoupled = combinations(betas=((0.9, 0.999), (0.5, 0.7)), decoupled_weight_decay=(False, True), **common)
    nadam = [*decoupled, {"momentum_decay": 0.3}]
    asgd = combinations(lambd=(1e-4, 0.1), t0=(1e6, 20), **common)
    rprop = combinations(etas=((0.5, 1.2), (0.7, 3.0)), step_sizes=((1e-6, 50), (0.01, 0.1)), maximize=(False, True))
    named = [("SGD", sgd), ("Adagrad", adagrad), ("RMSprop", rmsprop), ("Adam", adam), ("AdamW", adam)]
    named += [("Adadelta", adadelta), ("Adamax", adamax), ("NAdam", nadam), ("RAdam", decoupled), ("ASGD", asgd)]
    named.append(("Rprop", rprop))
    named.append(("Adam", [{"decoupled_weight_decay": True, "weight_decay": 0.1}]))
    return [pytest.param(name, o, id=f"{name}-{i}") for name, options in named for i, o in enumerate(options)]


def numbers(seed: int) -> tuple[list[np.ndarray], list[list[np.ndarray | None]]]:
    """Parameters, and for each step their gradients: None in turns, and for the last parameter up to the middle."""
    rng = np.random.default_rng(seed)
    params = [rng.standard_normal(s) for s in SHAPES]
    gradients: list[list[np.ndarray | None]] = [[rng.standard_normal(s) for s in SHAPES] for _ in range(STEPS)]
    for t, row in enumerate(gradients):
        if t % 7 == 3:
            row[t % 3] = None
        if t < HALF:
            row[3] = None
    return params, gradients


def groups(params: list[Any], name: str) -> list[dict[str, Any]]:
    decay = {} if name == "Rprop" else {"weight_decay": 0.03}
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.02, **decay}]


class Pair:
    """The same parameters here and there."""

    def __init__(self, torch: Any, name: str, options: dict[str, Any], values: list[np.ndarray]):
        self.torch, self.name, self.options = torch, name, {"lr": 0.05, **options}
        self.ours = [gpunn.tensor(v, requires_grad=True) for v in values]
        self.theirs = [torch.tensor(v, requires_grad=True) for v in values]
        self.our_optimizer = self.new_optimizer()
        self.their_optimizer = getattr(torch.optim, name)(groups(self.theirs, name), **self.options)

    def new_optimizer(self) -> optim.Optimizer:
        return getattr(optim, self.name)(groups(self.ours, self.name), **self.options)

    def step(self, gradients: list[np.ndarray | None]) -> None:
        for p, q, g in zip(self.ours, self.theirs, gradients):
            p.grad = None if g is None else gpunn.tensor(g)
            q.grad = None if g is None else self.torch.tensor(g)
        self.our_optimizer.step()
        self.their_optimizer.step()

    def check(self) -> None:
        for p, q in zip(self.ours, self.theirs):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-11, atol=1e-13)
        ours, theirs = self.our_optimizer.state_dict(), self.their_optimizer.state_dict()
        for i, state in theirs["state"].items():
            if self.name == "Adagrad" and self.theirs[i].grad is None and state["step"] == 0:
                continue  # PyTorch makes this state when it is built, gpunn when it is needed
            assert sorted(ours["state"][i]) == sorted(state)
            for key, value in state.items():
                mine = ours["state"][i][key]
                assert mine.shape == tuple(value.shape)
                np.testing.assert_allclose(mine.numpy(), value.numpy(), rtol=1e-11, atol=1e-13, err_msg=key)
        for group, reference in zip(ours["param_groups"], theirs["param_groups"]):
            assert group == {key: reference[key] for key in group}


@pytest.mark.parametrize("name, options", cases())
def test_same_steps(torch: Any, name: str, options: dict[str, Any]) -> None:
    values, gradients = numbers(0)
    pair = Pair(torch, name, options, values)
    for row in gradients[:HALF]:
        pair.step(row)
    pair.check()
    # Saved and loaded half-way: the rest in an optimizer of its own.
    saved = pair.our_optimizer.state_dict()
    pair.our_optimizer = pair.new_optimizer()
    pair.our_optimizer.load_state_dict(saved)
    for row in gradients[HALF:]:
        pair.step(row)
    pair.check()


@pytest.mark.parametrize(
    "name, options",
    [
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("Adagrad", {"lr_decay": 0.01}),
        ("RMSprop", {"centered": True, "momentum": 0.5}),
        ("Adam", {"amsgrad": True}),
        ("AdamW", {}),
        ("Adadelta", {}),
        ("Adamax", {}),
        ("NAdam", {"decoupled_weight_decay": True}),
        ("RAdam", {}),
        ("ASGD", {"t0": 10}),
        ("Rprop", {}),
    ],
)
def test_state_of_torch(torch: Any, name: str, options: dict[str, Any]) -> None:
    """PyTorch's state, its tensors as arrays, is gone on from."""
    values, gradients = numbers(1)
    pair = Pair(torch, name, options, values)
    for row in gradients[:HALF]:
        for q, g in zip(pair.theirs, row):
            q.grad = None if g is None else torch.tensor(g)
        pair.their_optimizer.step()
    saved = pair.their_optimizer.state_dict()
    saved["state"] = {
        i: {key: value.numpy().copy() for key, value in state.items()} for i, state in saved["state"].items()
    }
    with gpunn.no_grad():
        for p, q in zip(pair.ours, pair.theirs):
            p.copy_(gpunn.tensor(q.detach().numpy()))
    pair.our_optimizer.load_state_dict(saved)
    for row in gradients[HALF:]:
        pair.step(row)
    for p, q in zip(pair.ours, pair.theirs):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_state_for_torch(torch: Any, name: str) -> None:
    """PyTorch goes on from our state."""
    options = {"momentum": 0.9} if name == "SGD" else {}
    values, gradients = numbers(2)
    pair = Pair(torch, name, options, values)
    for row in gradients[:HALF]:
        pair.step(row)
    saved = pair.our_optimizer.state_dict()
    saved["state"] = {
        i: {key: torch.tensor(value.numpy()) for key, value in state.items()} for i, state in saved["state"].items()
    }
    fresh = getattr(torch.optim, name)(groups(pair.theirs, name), **pair.options)
    if name == "Adagrad":
        saved["state"].setdefault(3, fresh.state_dict()["state"][3])
    fresh.load_state_dict(saved)
    pair.their_optimizer = fresh
    for row in gradients[HALF:]:
        pair.step(row)
    pair.check()


@pytest.mark.parametrize("name", NAMES)
def test_defaults(torch: Any, name: str) -> None:
    ours = getattr(optim, name)([gpunn.ones(2, requires_grad=True)]).defaults
    theirs = getattr(torch.optim, name)([torch.ones(2, requires_grad=True)]).defaults
    assert ours == {key: theirs[key] for key in ours}
    assert set(theirs) - set(ours) == {"foreach", "capturable", "differentiable", "fused"} & set(theirs)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_other_types(torch: Any, name: str, dtype: str) -> None:
    """Parameters and moments keep their type; half precision may differ in rounding, step by step."""
    options: dict[str, Any] = {"SGD": {"momentum": 0.9}, "ASGD": {}, "Rprop": {}}.get(name, {"eps": 1e-4})
    rng = np.random.default_rng(3)
    value, steps = rng.standard_normal(40), rng.standard_normal((20, 40))
    p = gpunn.tensor(value, dtype=dtype, requires_grad=True)
    q = torch.tensor(value, dtype=getattr(torch, dtype), requires_grad=True)
    mine = getattr(optim, name)([p], lr=0.01, **options)
    reference = getattr(torch.optim, name)([q], lr=0.01, **options)
    for g in steps:
        p.grad = gpunn.tensor(g, dtype=dtype)
        q.grad = torch.tensor(g, dtype=q.dtype)
        mine.step()
        reference.step()
    assert str(p.dtype) == f"gpunn.{dtype}"
    for key, moment in mine.state[p].items():
        assert moment.dtype is (gpunn.float32 if key in mine._numbers else p.dtype)
    tolerance = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}[dtype]
    np.testing.assert_allclose(p.detach().double().numpy(), q.detach().double().numpy(), rtol=tolerance, atol=tolerance)
