"""Going back over the tape: backward, grad, what is kept and what is let go."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest

import gpunn
from gpunn.autograd import grad


def leaf(*values: float) -> gpunn.Tensor:
    return gpunn.tensor(list(values), dtype=gpunn.float64, requires_grad=True)


def test_gradient_of_a_product() -> None:
    x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
    (x * y).sum().backward()
    assert x.grad.tolist() == [5, 7]
    assert y.grad.tolist() == [2, 3]


def test_a_tensor_used_twice_gets_the_sum() -> None:
    x = leaf(3.0)
    y = x * x  # 9
    (y * y + x).sum().backward()  # d(x^4 + x) = 4 x^3 + 1
    assert x.grad.item() == 4 * 27 + 1


def test_gradients_add_up_until_they_are_reset() -> None:
    x = leaf(1.0, 2.0)
    for n in (1, 2, 3):
        (x * 2).sum().backward()
        assert x.grad.tolist() == [2 * n, 2 * n]
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_leaves_never_share_the_memory_of_their_gradients() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    assert x.grad is not y.grad
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())
    (x * 10).sum().backward()  # adds to x.grad in place
    assert x.grad.tolist() == [11, 11]
    assert y.grad.tolist() == [1, 1]


def test_a_gradient_that_two_leaves_get_is_no_one_s_alone() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    z = x + y
    (z * z).sum().backward()  # 2 z, computed once
    (x * 10).sum().backward()
    assert x.grad.tolist() == [18, 22]
    assert y.grad.tolist() == [8, 12]


def test_the_given_gradient_is_never_kept() -> None:
    x = leaf(1.0, 2.0)
    v = gpunn.tensor([1.0, 1.0], dtype=gpunn.float64)
    x.reshape(2).backward(v)
    (x * 1).backward(v)
    assert v.tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]
    assert not np.shares_memory(x.grad.numpy(), v.numpy())


def test_what_a_hook_kept_is_never_changed() -> None:
    x = leaf(1.0)
    seen = []
    x.register_hook(seen.append)
    for _ in range(2):
        (x * 3).backward()
    assert [g.item() for g in seen] == [3, 3]
    assert x.grad.item() == 6


def test_only_the_scalar_has_an_implicit_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="implicitly created only for scalar"):
        (x * 2).backward()
    (x * 2).backward(gpunn.tensor([1.0, 10.0]))  # float32, cast to the tensor's type
    assert x.grad.tolist() == [2, 20]
    assert x.grad.dtype is gpunn.float64
    y = leaf(1.0)
    (y * 2).backward()  # one element is enough
    assert y.grad.tolist() == [2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: (x * 2).backward(gpunn.ones(3)), RuntimeError, r"float32\[3\].*float64\[2\]"),
        (lambda x: (x * 2).backward(2.0), TypeError, "must be a tensor or None, got float"),
        (lambda x: x.detach().sum().backward(), RuntimeError, "does not require grad"),
        (lambda x: gpunn.autograd.backward([x.sum(), x.sum()], [None]), RuntimeError, "2 tensors .* 1 gradients"),
        (lambda x: gpunn.autograd.backward(x.sum(), inputs=[]), RuntimeError, "inputs is empty"),
        (lambda x: x.sum().backward(inputs=gpunn.ones(2)), RuntimeError, "input 0 .* does not require grad"),
        (lambda x: gpunn.autograd.backward("x"), TypeError, "got str"),
        (lambda x: grad(x.sum(), gpunn.ones(2)), RuntimeError, "input 0 .* does not require grad"),
        (lambda x: grad(x.sum(), leaf(1.0)), RuntimeError, "do not depend on input 0"),
        (lambda x: grad(x.sum(), x, allow_unused=False, materialize_grads=True), ValueError, "materialize_grads"),
    ],
)
def test_errors_name_what_is_wrong(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(leaf(1.0, 2.0))


def test_several_roots() -> None:
    x = leaf(2.0)
    gpunn.autograd.backward([x * 3, x * x], [None, gpunn.tensor([10.0])])
    assert x.grad.item() == 3 + 10 * 4


def test_inputs_restrict_what_gets_a_gradient() -> None:
    x, y = leaf(2.0), leaf(3.0)
    h = x * y
    (h * h).backward(inputs=[h, y])
    assert x.grad is None
    assert h.grad.item() == 12  # 2 h, also for a tensor that is no leaf
    assert y.grad.item() == 24  # 2 h x


def test_a_root_that_is_a_leaf() -> None:
    x = leaf(2.0)
    x.backward()
    assert x.grad.tolist() == [1]
    assert grad(x, x)[0].tolist() == [1]


def test_grad_touches_no_grad() -> None:
    x, y = leaf(2.0), leaf(3.0)
    dx, dy = grad((x * y * y).sum(), [x, y])
    assert (dx.item(), dy.item()) == (9, 12)
    assert x.grad is None
    assert y.grad is None
    assert not dx.requires_grad


def test_unused_inputs() -> None:
    x, y = leaf(2.0), leaf(3.0, 4.0)
    assert grad(x * 2, [x, y], allow_unused=True)[1] is None
    zeros = grad(x * 2, [x, y], materialize_grads=True)[1]
    assert zeros.tolist() == [0, 0]
    assert zeros.dtype is gpunn.float64


def test_gradients_of_inner_tensors() -> None:
    x = leaf(2.0)
    y = x * 3
    z = y * y
    assert grad(z, [y, x, z], retain_graph=True)[0].item() == 12
    assert [g.item() for g in grad(z, [z, x])] == [1, 36]


def test_grad_goes_only_where_it_must() -> None:
    x, w = leaf(2.0), leaf(3.0)
    calls = []
    h = x * 5
    h.register_hook(lambda g: calls.append("h"))
    y = h * w
    assert grad(y, w, retain_graph=True)[0].item() == 10
    assert calls == []
    grad(y, x)
    assert calls == ["h"]


def test_second_and_third_derivative() -> None:
    x = leaf(2.0)
    y = x**4
    (first,) = grad(y, x, create_graph=True)
    (second,) = grad(first, x, create_graph=True)
    (third,) = grad(second, x)
    assert (first.item(), second.item(), third.item()) == (32, 48, 48)


def test_create_graph_in_backward_accumulates_with_history() -> None:
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    x.grad.backward()  # adds 6 x to 3 x^2
    assert x.grad.item() == 27 + 18
    x.grad = None


def test_create_graph_under_no_grad_records_nothing_else() -> None:
    x = leaf(3.0)
    y = x**3
    with gpunn.no_grad():
        (dx,) = grad(y, x, create_graph=True)
        assert not gpunn.is_grad_enabled()
    assert grad(dx, x)[0].item() == 18


def test_hessian_vector_product() -> None:
    # f = x^T A x / 2 with A symmetric: gradient A x, Hessian A.
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    x = leaf(0.5, -1.0)
    f = (x @ gpunn.from_numpy(a) @ x) / 2
    (g,) = grad(f, x, create_graph=True)
    v = gpunn.tensor([1.0, 2.0], dtype=gpunn.float64)
    np.testing.assert_allclose(g.detach().numpy(), a @ [0.5, -1.0])
    np.testing.assert_allclose(grad(g, x, v)[0].numpy(), a @ [1.0, 2.0])


def test_the_graph_is_freed_by_backward() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2, 4]


def test_retain_graph_goes_through_twice() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]


def test_a_part_of_the_graph_can_be_gone_through_again_where_nothing_was_saved() -> None:
    x = leaf(1.0)
    y = x * x
    (y * 2).backward()
    with pytest.raises(RuntimeError, match="Mul saved were freed"):
        (y * 3).backward()


def test_where_nothing_was_saved_all_can_be_gone_through_again() -> None:
    """As in PyTorch."""
    x = leaf(1.0, 2.0)
    y = (x.float() * 3).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [6, 6]


@pytest.mark.parametrize("n", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_deep_graphs(n: int) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(n):
        y = y + x
    y.backward()
    assert x.grad.item() == n + 1
    del y  # taken down without recursion, too


@pytest.mark.slow
def test_a_deep_graph_that_is_never_gone_through_is_taken_down() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y.sin()
    del y


def test_arrays_die_with_the_loss() -> None:
    """No reference cycles: without the garbage collector, nothing that a step made outlives it."""
    made: list[weakref.ref] = []

    class Watched(np.ndarray):
        pass

    def watched(x: gpunn.Tensor) -> gpunn.Tensor:
        x._data = x._data.view(Watched)
        made.append(weakref.ref(x._data))
        return x

    gc.collect()
    gc.disable()
    try:
        x = gpunn.rand(4, 4, requires_grad=True)
        h = watched((x @ x).tanh())
        h.retain_grad()
        h.register_hook(lambda g: g * 2)
        z = watched(h.exp() * h)
        loss = watched(z.sum())
        loss.backward()
        assert any(ref() is not None for ref in made)
        del h, z, loss
        assert [ref() for ref in made] == [None] * 3
        assert x.grad is not None
        # The same without backward.
        made.clear()
        loss = watched(watched((x @ x).sigmoid()).sum())
        del loss
        assert [ref() for ref in made] == [None] * 2
    finally:
        gc.enable()


def test_what_the_forward_saved_dies_with_backward() -> None:
    x = gpunn.rand(4, requires_grad=True)
    h = x.exp()
    y = (h * h).sum()
    saved = weakref.ref(h)
    del h
    assert saved() is not None
    y.backward()
    assert saved() is None  # though y is still there


def test_only_what_the_gradient_needs_is_saved() -> None:
    x = gpunn.rand(4, requires_grad=True)
    h = x * 2
    y = h + 1
    ref = weakref.ref(h)
    del h
    assert ref() is None
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2, 2]


def test_mixed_devices_name_both() -> None:
    from tests.backend import recording  # noqa: F401

    with pytest.raises(RuntimeError, match=r"Add needs its tensors on one device, .*cpu.*recorder"):
        gpunn.ones(2) + gpunn.ones(2, device="recorder")
    with pytest.raises(RuntimeError, match=r"LinearActivation .*move one with"):
        gpunn.ops.linear(gpunn.ones(2, 2), gpunn.ones(2, 2, device="recorder"))


def test_broadcast_inputs_get_gradients_of_their_own_shape() -> None:
    x, b, s = (
        gpunn.rand(3, 4, requires_grad=True),
        gpunn.rand(4, requires_grad=True),
        gpunn.rand((), requires_grad=True),
    )
    (x * s + b).sum().backward()
    assert x.grad.shape == (3, 4)
    assert b.grad.tolist() == [3, 3, 3, 3]
    assert s.grad.shape == ()
    assert math.isclose(s.grad.item(), x.sum().item(), rel_tol=1e-6)


def test_mixed_types_get_gradients_of_their_own_type() -> None:
    x = gpunn.ones(2, dtype=gpunn.float32, requires_grad=True)
    y = gpunn.ones(2, dtype=gpunn.float64, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.dtype is gpunn.float32
    assert y.grad.dtype is gpunn.float64


def test_grad_fn_tells_the_graph() -> None:
    x = leaf(1.0)
    y = (x * 2).exp()
    assert repr(y.grad_fn) == "<ExpBackward>"
    node, index = y.grad_fn.next_functions[0]
    assert (node.name, index) == ("Mul", 0)
    assert x.grad_fn is None


def test_a_gradient_has_the_spec_of_its_tensor() -> None:
    x = leaf(1.0, 2.0)
    x.grad = gpunn.zeros(2, dtype=gpunn.float64)
    for wrong in (gpunn.zeros(3, dtype=gpunn.float64), gpunn.zeros(2), [0.0, 0.0]):
        with pytest.raises(RuntimeError, match=r"gradient for float64\[2\]"):
            x.grad = wrong
