"""Where parameters and moments lie, and that nobody notices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
import gpunn.backend.numpy as backend
from gpunn import optim
from gpunn.optim import arena
from gpunn.optim.arena import ALIGNMENT


def leaf(array: Any, dtype: Any = np.float32) -> gpunn.Tensor:
    return gpunn.tensor(np.asarray(array, dtype=dtype), requires_grad=True)


def give_gradients(*params: gpunn.Tensor, value: float = 1.0) -> None:
    for p in params:
        p.grad = gpunn.full(p.shape, value, dtype=p.dtype)


def owner(p: gpunn.Tensor) -> Any:
    return p.detach().numpy().base


def address(x: Any) -> int:
    return x.__array_interface__["data"][0]


def test_parameters_and_moments_share_a_layout() -> None:
    params = [leaf(np.ones(s)) for s in [(3, 5), (), (0,), (64,), (2, 2)]]
    optimizer = optim.Adam(params)
    give_gradients(*params)
    optimizer.step()
    flat = owner(params[0])
    assert flat.ndim == 1
    places = [address(p.detach().numpy()) for p in params if p.numel()]
    assert places == sorted(places)
    assert all(place % ALIGNMENT == 0 for place in places)
    for name in ("exp_avg", "exp_avg_sq"):
        moments = [optimizer.state[p][name].numpy() for p in params if p.numel()]
        assert [address(m) - address(moments[0]) for m in moments] == [place - places[0] for place in places]
        assert address(moments[0]) % ALIGNMENT == 0
        assert len({id(m.base) for m in moments}) == 1


def test_types_have_arenas_of_their_own() -> None:
    p, q = leaf([1.0]), leaf([1.0], np.float64)
    optimizer = optim.SGD([p, q], lr=0.5)
    give_gradients(p, q)
    optimizer.step()
    assert owner(p) is not owner(q)
    assert (p.dtype, q.dtype) == (gpunn.float32, gpunn.float64)
    assert (p.item(), q.item()) == (0.5, 0.5)


def test_only_parameters_with_a_gradient_come_in() -> None:
    p, q = leaf([1.0]), leaf([1.0])
    optimizer = optim.SGD([p, q], lr=0.5)
    before = q.detach().numpy()
    give_gradients(p)
    optimizer.step()
    assert q.detach().numpy() is before
    del before
    give_gradients(q)
    optimizer.step()
    assert owner(q) is not None
    assert (p.item(), q.item()) == (0.0, 0.5)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_new_storage(momentum: float) -> None:
    """``p.data = ...`` and a change of type: the update goes to the new storage, and the moments come along."""
    p, q = leaf([1.0, 2.0]), leaf([3.0])
    optimizer = optim.SGD([p, q], lr=1.0, momentum=momentum)
    give_gradients(p, q)
    optimizer.step()
    old = p.detach().numpy()
    p.data = gpunn.tensor([10.0, 20.0])
    optimizer.step()
    assert p.tolist() == [9.0 - momentum, 19.0 - momentum]
    assert q.item() == 3.0 - 2 - momentum
    assert old.tolist() == [0.0, 1.0]
    p.data = p.detach().double()
    give_gradients(p)
    optimizer.step()
    assert p.dtype is gpunn.float64
    b = 1 + momentum * (1 + momentum)
    assert p.tolist() == [9.0 - momentum - b, 19.0 - momentum - b]
    if momentum:
        assert optimizer.state[p]["momentum_buffer"].dtype is gpunn.float64


def test_gradient_from_before_a_change_of_type() -> None:
    p = leaf([1.0])
    optimizer = optim.SGD([p])
    give_gradients(p)
    p.data = p.detach().double()
    with pytest.raises(RuntimeError, match=r"parameter float64\[1\] has a gradient float32\[1\]"):
        optimizer.step()


def test_values_set_in_place_are_seen() -> None:
    p = leaf([1.0])
    optimizer = optim.SGD([p], lr=1.0)
    give_gradients(p)
    optimizer.step()
    with gpunn.no_grad():
        p.fill_(5.0)
    optimizer.step()
    assert p.item() == 4.0


def test_used_twice_in_a_model() -> None:
    p = leaf([2.0])
    optimizer = optim.SGD([p], lr=0.125)
    (p * p * p).sum().backward()
    optimizer.step()
    assert p.item() == 2.0 - 0.125 * 12


# Memory that others show too keeps being shown by them


def test_numpy_array_of_the_user() -> None:
    array = np.ones(3, np.float32)
    p = gpunn.from_numpy(array).requires_grad_()
    optimizer = optim.Adam([p, leaf([1.0])], lr=0.5, eps=0)
    give_gradients(*optimizer.param_groups[0]["params"])
    optimizer.step()
    assert array.tolist() == p.tolist() == [0.5, 0.5, 0.5]


def test_piece_of_a_numpy_array() -> None:
    array = np.ones((4, 4), np.float32)
    p = gpunn.from_numpy(array[:, 1]).requires_grad_()
    optimizer = optim.SGD([p], lr=0.5, momentum=0.5)
    give_gradients(p)
    optimizer.step()
    assert array[:, 1].tolist() == p.tolist() == [0.5] * 4
    array[:, 1] = 3.0
    optimizer.step()
    assert array[:, 1].tolist() == p.tolist() == [2.25] * 4
    assert array[:, 0].tolist() == [1.0] * 4


def test_detached_tensor() -> None:
    p = leaf([1.0, 1.0])
    other = p.detach()
    optimizer = optim.SGD([p], lr=0.5)
    give_gradients(p)
    optimizer.step()
    assert other.tolist() == [0.5, 0.5]
    later = p.detach()
    optimizer.step()
    assert other.tolist() == later.tolist() == [0.0, 0.0]


def test_two_parameters_on_one_memory() -> None:
    p, q = leaf([1.0, 1.0]), leaf([1.0, 1.0])
    q.data = p.data
    optimizer = optim.SGD([p, q], lr=0.5)
    give_gradients(p, q)
    optimizer.step()
    assert p.tolist() == q.tolist() == [0.0, 0.0]


def test_two_optimizers_in_turns() -> None:
    p = leaf([1.0, 1.0])
    first, second = optim.SGD([p], lr=0.5), optim.SGD([p], lr=0.25, momentum=0.5)
    for _ in range(2):
        give_gradients(p)
        first.step()
        second.step()
    assert p.tolist() == [1 - 0.5 - 0.25 - 0.5 - 0.375] * 2


def test_not_contiguous() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    p = gpunn.from_numpy(array.T).requires_grad_()
    optimizer = optim.SGD([p], lr=1.0)
    g = np.arange(6, dtype=np.float32).reshape(3, 2) * 10
    p.grad = gpunn.from_numpy(g)
    optimizer.step()
    assert p.tolist() == (np.arange(6).reshape(2, 3).T - g).tolist()
    assert array.tolist() == p.detach().numpy().T.tolist()


def test_gradients_in_any_memory() -> None:
    p, q = leaf(np.zeros((2, 3))), leaf(np.zeros((2, 3)))
    optimizer = optim.SGD([p, q], lr=1.0)
    g = np.arange(6, dtype=np.float32).reshape(3, 2)
    p.grad = gpunn.from_numpy(g.T)
    q.grad = gpunn.ones(3).expand(2, 3)
    optimizer.step()
    assert p.tolist() == (-g.T).tolist()
    assert q.tolist() == [[-1.0] * 3] * 2


# Changed saved tensors


def test_saved_parameter_that_was_updated() -> None:
    p = leaf([1.0, 2.0])
    optimizer = optim.SGD([p])
    y = (p * p).sum()
    give_gradients(p)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    (p * p).sum().backward()


def test_a_step_without_gradient_changes_nothing_saved() -> None:
    p, q = leaf([1.0, 2.0]), leaf([1.0])
    optimizer = optim.SGD([p, q])
    y = (p * p).sum()
    give_gradients(q)
    optimizer.step()
    y.backward()
    assert p.grad is not None
    assert p.grad.tolist() == [2.0, 4.0]


def test_moments_count_their_writes() -> None:
    p = leaf([1.0])
    optimizer = optim.Adam([p])
    give_gradients(p)
    optimizer.step()
    scale = leaf([1.0])
    y = (optimizer.state[p]["exp_avg"] * scale).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


# Runs


def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes that the backend's Adam was called with."""
    sizes: list[int] = []
    original = backend.adam_step

    def counted(p: Any, *args: Any, **options: Any) -> Any:
        sizes.append(p.size)
        return original(p, *args, **options)

    monkeypatch.setattr(backend, "adam_step", counted)
    return sizes


def test_gradients_in_one_array_are_one_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = steps(monkeypatch)
    shapes = [(2, 3), (32,), (5,), (7,)]
    together, apart = ([leaf(np.ones(s)) for s in shapes] for _ in range(2))
    one, other = optim.Adam(together), optim.Adam(apart)
    for seed in range(3):
        flat = np.random.default_rng(seed).standard_normal(80).astype(np.float32)
        for p, q, offset in zip(together, apart, (0, 16, 48, 64)):
            p.grad = gpunn.from_numpy(flat[offset : offset + p.numel()].reshape(p.shape))
            q.grad = p.grad.clone()
        one.step()
        other.step()
    assert sizes == [71, 6, 32, 5, 7] * 3
    for p, q in zip(together, apart):
        assert p.tolist() == q.tolist()


def test_walks_end_where_segments_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = steps(monkeypatch)
    params = [leaf(np.ones(16)) for _ in range(4)]
    optimizer = optim.Adam(params)
    flat = np.ones(80, np.float32)
    pieces = [gpunn.from_numpy(flat[16 * i : 16 * i + 16]) for i in range(5)]
    for p, g in zip(params, pieces):
        p.grad = g
    optimizer.step()
    params[1].grad = None  # a hole
    optimizer.step()
    params[1].grad = pieces[1]  # which is a step behind the others
    optimizer.step()
    for p in params:
        optimizer.state[p]["step"] = 7
    params[3].grad = pieces[4]  # not behind its neighbour
    optimizer.step()
    assert sizes == [64, 16, 32, 16, 16, 32, 48, 16]
    assert [optimizer.state[p]["step"].item() for p in params] == [8.0] * 4


def test_a_large_parameter_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "ALONE_BYTES", 100)
    params = [leaf([1.0] * 20), leaf([2.0] * 30), leaf([3.0] * 4)]
    places = [address(p.detach().numpy()) for p in params]
    optimizer = optim.SGD(params, lr=0.5, momentum=0.9)
    for _ in range(2):
        give_gradients(*params)
        optimizer.step()
    stayed = [address(p.detach().numpy()) == place for p, place in zip(params, places)]
    assert stayed == [False, True, False]
    moved = 0.5 + 0.5 * 1.9
    for p, start in zip(params, (1.0, 2.0, 3.0)):
        np.testing.assert_allclose(p.detach().numpy(), start - moved, rtol=1e-6)
    assert arena.moving_bytes(params) == 80 + 16  # the other two come to lie side by side


def test_parameters_that_stay_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which somebody holds the state, say; those that are in several pieces are updated in a copy."""
    params = [leaf(np.ones((20, 3))), leaf(np.ones(7))]
    held = [p.detach() for p in params]
    taken: list[int] = []
    given = backend.cache_lines
    monkeypatch.setattr(backend, "cache_lines", lambda count, *how, **more: taken.append(count) or given(count, *how))
    optimizer = optim.SGD(params, lr=0.5)
    give_gradients(*params)
    optimizer.step()
    assert taken == [] and all((p.numpy() == 0.5).all() for p in held)
    across = gpunn.ones(3, 20).t().requires_grad_(True)
    shown = across.detach()
    optimizer = optim.SGD([across], lr=0.5)
    give_gradients(across)
    optimizer.step()
    assert len(taken) == 1 and (shown.numpy() == 0.5).all()


def test_arenas_are_not_larger_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "ARENA_BYTES", 100)
    params = [leaf([1.0] * 10) for _ in range(5)]
    optimizer = optim.SGD(params, lr=0.5)
    give_gradients(*params)
    optimizer.step()
    assert [owner(p) is owner(params[0]) for p in params] == [True, True, False, False, False]
    assert [p.detach().numpy()[0] for p in params] == [0.5] * 5
