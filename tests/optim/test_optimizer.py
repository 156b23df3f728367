"""What all optimizers share: groups, the step, state and errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import optim

from .small import leaf

ALL = [optim.SGD, optim.Adagrad, optim.RMSprop, optim.Adam, optim.AdamW]


def train(optimizer: optim.Optimizer, params: list[gpunn.Tensor], steps: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in params:
            p.grad = gpunn.tensor(rng.standard_normal(p.shape), dtype=p.dtype)
        optimizer.step()


# The step


def test_with_backward() -> None:
    w, b = leaf(2), leaf()
    optimizer = optim.SGD([w, b], lr=0.5)
    loss = (w * gpunn.tensor([1.0, 2.0])).sum() + b * 4
    loss.backward()
    optimizer.step()
    assert w.tolist() == [0.5, 0.0]
    assert b.item() == -1.0


def test_gradients_stay_as_they_are() -> None:
    p = leaf(3)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True, maximize=False)
    p.grad = g = gpunn.tensor([1.0, 2.0, 3.0])
    optimizer.step()
    optimizer.step()
    assert p.grad is g
    assert g.tolist() == [1.0, 2.0, 3.0]


def test_parameters_without_gradient_are_left_alone() -> None:
    p, q = leaf(3), leaf(3)
    optimizer = optim.AdamW([p, q], weight_decay=0.5)
    p.grad = gpunn.ones(3)
    optimizer.step()
    assert q.tolist() == [1.0, 1.0, 1.0]
    assert q not in optimizer.state
    q.grad = gpunn.ones(3)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 2
    assert optimizer.state[q]["step"].item() == 1


def test_closure_runs_with_gradients() -> None:
    p = leaf(2)
    optimizer = optim.SGD([p], lr=0.25)

    def closure() -> gpunn.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with gpunn.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 2.0
    assert p.tolist() == [0.5, 0.5]
    assert optimizer.step() is None


def test_groups_have_their_own_options() -> None:
    p, q = leaf(1, value=0.0), leaf(1, value=0.0)
    optimizer = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.125)
    p.grad, q.grad = gpunn.ones(1), gpunn.ones(1)
    optimizer.step()
    assert (p.item(), q.item()) == (-0.125, -0.5)
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert (p.item(), q.item()) == (-1.125, -1.0)


def test_add_param_group_later() -> None:
    p, q = leaf(1, value=0.0), leaf(1, value=0.0)
    optimizer = optim.SGD([p], lr=0.125)
    p.grad, q.grad = gpunn.ones(1), gpunn.ones(1)
    optimizer.step()
    optimizer.add_param_group({"params": [q], "lr": 0.5})
    optimizer.step()
    assert (p.item(), q.item()) == (-0.25, -0.5)


def test_named_parameters() -> None:
    p, q = leaf(1), leaf(1)
    optimizer = optim.SGD([("p", p), ("q", q)])
    assert optimizer.param_groups[0]["params"] == [p, q]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["p", "q"]
    with pytest.raises(ValueError, match="names are missing"):
        optim.SGD([("p", p), q])
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [leaf(1)]})


def test_zero_grad() -> None:
    p, q = leaf(2), leaf(2)
    optimizer = optim.SGD([p, q])
    p.grad = g = gpunn.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is g
    assert g.tolist() == [0.0, 0.0]
    assert q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


def test_zero_grad_cuts_history() -> None:
    p = leaf(2)
    (p**3).sum().backward(create_graph=True)
    assert p.grad is not None and p.grad.requires_grad
    optim.SGD([p]).zero_grad(set_to_none=False)
    assert not p.grad.requires_grad
    assert p.grad.is_leaf


def test_hooks() -> None:
    p = leaf(1)
    optimizer = optim.SGD([p], lr=1.0)
    seen: list[float] = []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(p.item()))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(p.item()))
    p.grad = gpunn.ones(1)
    optimizer.step()
    assert seen == [1.0, 0.0]
    before.remove()
    optimizer.step()
    assert seen == [1.0, 0.0, -1.0]


def test_optimizers_of_ones_own() -> None:
    class SignSGD(optim.Optimizer):
        def __init__(self, params: Any, lr: float):
            super().__init__(params, {"lr": lr})

        def step(self, closure: Any = None) -> None:
            with gpunn.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        self.state[p]["steps"] = self.state[p].get("steps", 0) + 1
                        p -= gpunn.sign(p.grad) * group["lr"]

    p = leaf(2)
    optimizer = SignSGD([p], lr=0.5)
    p.grad = gpunn.tensor([3.0, -0.1])
    optimizer.step()
    assert p.tolist() == [0.5, 1.5]
    assert optimizer.state_dict()["state"] == {0: {"steps": 1}}
    with pytest.raises(NotImplementedError, match="Optimizer has no step"):
        bare = optim.Optimizer([p], {})
        bare.step()


# Determinism and numbers


@pytest.mark.parametrize("cls", ALL)
def test_same_bits_again_and_in_any_layout(cls: Any) -> None:
    """Together in one arena, or each with an optimizer of its own."""
    shapes = [(3, 5), (), (70,), (0,), (64,)]
    results = []
    for apart in (False, False, True):
        params = [leaf(*s) for s in shapes]
        optimizers = [cls([p]) for p in params] if apart else [cls(params)]
        rng = np.random.default_rng(0)
        for _ in range(10):
            for p in params:
                p.grad = gpunn.tensor(rng.standard_normal(p.shape), dtype=gpunn.float32)
            for optimizer in optimizers:
                optimizer.step()
        results.append([p.detach().numpy().tobytes() for p in params])
    assert results[0] == results[1] == results[2]


def test_infinite_gradients_pass_without_warning() -> None:
    p = gpunn.zeros(2, dtype=gpunn.float16, requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = gpunn.tensor([np.inf, 1.0], dtype=gpunn.float16)
    optimizer.step()
    assert np.isnan(p.detach().numpy()[0])


# State


def test_state_dict_has_the_structure_of_torch(torch: Any) -> None:
    p, q = leaf(2, 3), leaf(4)
    mine = optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.1}])
    tp, tq = torch.ones(2, 3, requires_grad=True), torch.ones(4, requires_grad=True)
    theirs = torch.optim.Adam([{"params": [tp]}, {"params": [tq], "lr": 0.1}])
    for a in (p, q):
        a.grad = gpunn.ones(*a.shape)
    for b in (tp, tq):
        b.grad = torch.ones_like(b)
    mine.step()
    theirs.step()
    a, b = mine.state_dict(), theirs.state_dict()
    assert a.keys() == b.keys()
    assert [g["params"] for g in a["param_groups"]] == [g["params"] for g in b["param_groups"]] == [[0], [1]]
    for i in (0, 1):
        assert a["state"][i].keys() == b["state"][i].keys()
        for key, value in b["state"][i].items():
            assert a["state"][i][key].shape == tuple(value.shape)
            assert str(a["state"][i][key].dtype) == str(value.dtype).replace("torch", "gpunn")


def test_loaded_state_is_a_copy() -> None:
    p, q = leaf(3), leaf(3)
    first, second = optim.Adam([p]), optim.Adam([q])
    train(first, [p], 3)
    second.load_state_dict(first.state_dict())
    before = {key: value.tolist() for key, value in first.state[p].items()}
    train(second, [q], 3)
    assert {key: value.tolist() for key, value in first.state[p].items()} == before
    assert second.state[q]["step"].item() == 6


def test_load_keeps_what_the_state_does_not_name() -> None:
    """A state saved before an option existed gets the default."""
    optimizer = optim.Adam([leaf(1)], amsgrad=True)
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["amsgrad"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["amsgrad"] is True
    group = optimizer.param_groups[0]
    optimizer.load_state_dict({"state": {}, "param_groups": [{"lr": 0.5, "params": [0]}]})
    assert optimizer.param_groups[0] is group
    assert group["lr"] == 0.5


def test_adamw_stays_adamw_with_the_state_of_adam() -> None:
    p = leaf(1)
    adamw = optim.AdamW([p])
    adamw.load_state_dict(optim.Adam([leaf(1)]).state_dict())
    assert adamw.param_groups[0]["decoupled_weight_decay"] is True


def test_load_errors() -> None:
    optimizer = optim.SGD([leaf(1), leaf(1)], momentum=0.9)
    with pytest.raises(ValueError, match="different number of parameter groups: 2, expected 1"):
        optimizer.load_state_dict(optim.SGD([{"params": [leaf(1)]}, {"params": [leaf(1)]}]).state_dict())
    with pytest.raises(ValueError, match=r"doesn't match the size of optimizer's group: \[1\] parameters"):
        optimizer.load_state_dict(optim.SGD([leaf(1)]).state_dict())
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"lr": -1, "params": [0, 1]}]})
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_what_fails_to_load_leaves_the_optimizer_as_it_was() -> None:
    p, q = leaf(3), leaf(4)
    optimizer = optim.Adam([p, q])
    train(optimizer, [p, q], 1)
    moment = optimizer.state[p]["exp_avg"].tolist()
    saved = optimizer.state_dict()
    wrong = {"exp_avg": np.array(["a"] * 4), "step": 1.0}  # of the right shape, and no numbers
    state = {0: {"exp_avg": gpunn.zeros(3), "step": 5.0}, 1: wrong}
    with pytest.raises(TypeError):
        optimizer.load_state_dict({"state": state, "param_groups": [{**saved["param_groups"][0], "lr": 7.0}]})
    assert optimizer.state[p]["exp_avg"].tolist() == moment
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_state_of_another_model_is_refused() -> None:
    p, q = leaf(3), leaf(4)
    first, second = optim.Adam([p]), optim.Adam([q])
    train(first, [p], 1)
    with pytest.raises(ValueError, match=r"'exp_avg' of a parameter float32\[4\] has shape \[3\]"):
        second.load_state_dict(first.state_dict())
    assert not second.state
    second.state[q] = dict(first.state[p])  # past the look at it
    q.grad = gpunn.ones(4)
    with pytest.raises(RuntimeError, match=r"'exp_avg' of a parameter float32\[4\] has shape \[3\]"):
        second.step()


def test_state_can_be_cleared_and_set() -> None:
    p = leaf(2)
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    p.grad = gpunn.ones(2)
    optimizer.step()
    optimizer.step()  # b = 1.5
    optimizer.state.clear()
    optimizer.step()  # b = 1 again
    assert optimizer.state[p]["momentum_buffer"].tolist() == [1.0, 1.0]
    optimizer.state[p]["momentum_buffer"] = gpunn.full((2,), 8.0)
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].tolist() == [5.0, 5.0]
    with gpunn.no_grad():
        optimizer.state[p]["momentum_buffer"].zero_()
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].tolist() == [1.0, 1.0]


def test_momentum_switched_on_later() -> None:
    """As in PyTorch the buffer then starts with the gradient."""
    p = leaf(1, value=0.0)
    optimizer = optim.SGD([p], lr=1.0, dampening=0.5)
    p.grad = gpunn.ones(1)
    optimizer.step()
    assert not optimizer.state[p]
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].item() == 1.0


@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(how: Any) -> None:
    params = [leaf(3), leaf(2, 2)]
    optimizer = optim.Adam(params)
    train(optimizer, params, 5)
    other_params, other = how((params, optimizer))
    train(other, other_params, 5, seed=1)
    assert params[0].tolist() != other_params[0].tolist()
    train(optimizer, params, 5, seed=1)
    for p, q in zip(params, other_params):
        assert p.tolist() == q.tolist()


def test_repr() -> None:
    text = repr(optim.SGD([leaf(1)], lr=0.25, momentum=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n")
    assert "    lr: 0.25\n" in text
