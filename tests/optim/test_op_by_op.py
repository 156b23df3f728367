"""Optimizers that are written with tensors, against PyTorch's and by hand."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.optim.muon import orthogonal

SHAPES = [(4, 3), (5,), (), (2, 3, 2)]


def pair(torch: Any, name: str, shapes: list[Any], dtype: str = "float64", **options: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape) for shape in shapes]
    ours = [gpunn.tensor(v, dtype=dtype, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, dtype=getattr(torch, dtype), requires_grad=True) for v in values]
    return ours, theirs, getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)


def walk(torch: Any, ours: Any, theirs: Any, our_optimizer: Any, their_optimizer: Any, steps: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(steps):
        for p, q in zip(ours, theirs):
            g = rng.standard_normal(tuple(p.shape))
            p.grad, q.grad = gpunn.tensor(g, dtype=p.dtype), torch.tensor(g, dtype=q.dtype)
        our_optimizer.step()
        their_optimizer.step()


def check(ours: Any, theirs: Any, rtol: float = 1e-10) -> None:
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.5, "beta2_decay": -0.3, "weight_decay": 0.1},
        {"eps": (1e-3, 0.5), "d": 2.0, "maximize": True},
    ],
)
def test_adafactor(torch: Any, options: dict[str, Any]) -> None:
    ours, theirs, mine, reference = pair(torch, "Adafactor", SHAPES, **options)
    walk(torch, ours, theirs, mine, reference, 30)
    check(ours, theirs)
    for p, q in zip(ours, theirs):
        assert sorted(mine.state[p]) == sorted(reference.state[q])
        for name, value in reference.state[q].items():
            np.testing.assert_allclose(mine.state[p][name].numpy(), value.numpy(), rtol=1e-10)


def test_adafactor_by_hand() -> None:
    """The first step: s = 1, so R and C are the means of G^2; V = R C / mean R; with d = 1 an update has rms 1."""
    p = gpunn.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=gpunn.float64, requires_grad=True)
    p.grad = gpunn.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=gpunn.float64)  # of rank one, so V = G^2 and U = sign(G)
    optim.Adafactor([p], lr=0.01).step()
    moved = 0.01 * 2.5  # rms(P) = sqrt((9 + 16) / 4)
    np.testing.assert_allclose(p.detach().numpy(), [[3 - moved, -moved], [-moved, 4 - moved]], rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3}])
def test_muon(torch: Any, options: dict[str, Any]) -> None:
    """Both make the momentum orthogonal in bfloat16, of 8 bits, by 15 products that round at other places."""
    ours, theirs, mine, reference = pair(torch, "Muon", [(6, 4), (3, 8)], lr=0.1, **options)
    before = [p.detach().numpy().copy() for p in ours]
    walk(torch, ours, theirs, mine, reference, 5)
    for p, q, start in zip(ours, theirs, before):
        moved = np.abs(q.detach().numpy() - start).max()
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=0.05 * moved)
        kept = reference.state[q]["momentum_buffer"].numpy()
        np.testing.assert_allclose(mine.state[p]["momentum_buffer"].numpy(), kept, rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    g = np.random.default_rng(2).standard_normal(shape)
    x = orthogonal(gpunn.tensor(g), (3.4445, -4.775, 2.0315), 5, 1e-7).double().numpy()
    left, _, right = np.linalg.svd(g, full_matrices=False)
    values = np.linalg.svd(x, compute_uv=False)
    assert values.min() > 0.5 and values.max() < 1.3
    turned = left.T @ x @ right.T  # diagonal, as far as bfloat16 goes
    np.testing.assert_allclose(turned - np.diag(np.diag(turned)), 0, atol=0.05)


def test_muon_takes_matrices() -> None:
    with pytest.raises(ValueError, match=r"only supports 2D .*\(3,\)"):
        optim.Muon([gpunn.ones(3, requires_grad=True)])


def rosenbrock(p: Any) -> Any:
    return ((1 - p[:-1]) ** 2 + 100 * (p[1:] - p[:-1] ** 2) ** 2).sum()


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("options", [{}, {"max_iter": 4, "history_size": 3}, {"max_eval": 7}])
def test_lbfgs(torch: Any, search: str | None, options: dict[str, Any]) -> None:
    start = np.array([-1.2, 1.0, 0.7, -0.4])
    options = {"lr": 1.0 if search else 1e-3, "line_search_fn": search, **options}
    p, q = gpunn.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    mine, reference = optim.LBFGS([p], **options), torch.optim.LBFGS([q], **options)
    for _ in range(4):
        losses = []
        for optimizer, x in ((mine, p), (reference, q)):

            def closure(optimizer: Any = optimizer, x: Any = x) -> Any:
                optimizer.zero_grad()
                loss = rosenbrock(x)
                loss.backward()
                return loss

            losses.append(optimizer.step(closure).item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)
    ours, theirs = mine.state[p], reference.state[q]
    for name in ("n_iter", "func_evals"):
        assert ours[name] == theirs[name]
    assert len(ours["old_dirs"]) == len(theirs["old_dirs"])


def test_lbfgs_finds_the_minimum() -> None:
    p = gpunn.tensor([-1.2, 1.0], dtype=gpunn.float64, requires_grad=True)
    optimizer = optim.LBFGS([p], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = rosenbrock(p)
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), [1, 1], atol=1e-6)
    saved = optimizer.state_dict()
    again = optim.LBFGS([p])
    again.load_state_dict(saved)
    assert again.state[p]["n_iter"] == optimizer.state[p]["n_iter"]


def test_lbfgs_asks_for_a_closure() -> None:
    with pytest.raises(TypeError, match="needs a closure"):
        optim.LBFGS([gpunn.ones(2, requires_grad=True)]).step()
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [gpunn.ones(1, requires_grad=True)]}, {"params": [gpunn.ones(1, requires_grad=True)]}])


def test_a_training_step_is_done_op_by_op() -> None:
    """With a line that says so, and the eager step's numbers."""
    weights = []
    for planned in (False, True):
        gpunn.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optim.Adafactor(model.parameters())
        step = gpunn.TrainStep(model, nn.MSELoss(), optimizer)
        x, y = gpunn.randn(4, 3), gpunn.randn(4, 2)
        for i in range(3):
            if planned:
                with (
                    pytest.warns(UserWarning, match="Adafactor computes its update op by op")
                    if not i
                    else nullcontext()
                ):
                    step(x, y)
            else:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x), y).backward()
                optimizer.step()
        weights.append(model.weight.detach().numpy().tobytes())
    assert weights[0] == weights[1]
