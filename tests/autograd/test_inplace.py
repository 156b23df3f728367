"""Changes in place: where they are allowed, and that no gradient is ever computed from what is no longer there."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn

BY_INPLACE = "modified by an inplace operation"


def leaf(*values: float) -> gpunn.Tensor:
    return gpunn.tensor(list(values), requires_grad=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1),
        lambda x: x.__iadd__(1),
        lambda x: x.zero_(),
        lambda x: x.copy_(gpunn.ones(2)),
        lambda x: x.exp_(),
        lambda x: x.normal_(),
        lambda x: x.__setitem__(0, 1.0),
    ],
)
def test_a_leaf_that_requires_grad_is_changed_under_no_grad_only(change) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        change(x)
    with gpunn.no_grad():
        change(x)
    assert x.is_leaf
    assert x.requires_grad


@pytest.mark.parametrize("change", [lambda y: y.add_(1), lambda y: y.zero_(), lambda y: y.mul_(gpunn.ones(2))])
def test_a_saved_input_that_was_changed_is_an_error(change) -> None:
    for recorded in (True, False):
        x = leaf(1.0, 2.0)
        y = x * 1
        z = y * y  # saves y
        if recorded:
            change(y)
        else:
            with gpunn.no_grad():
                change(y)
        with pytest.raises(RuntimeError, match=BY_INPLACE):
            z.sum().backward()


def test_a_saved_result_that_was_changed_is_an_error() -> None:
    x = leaf(1.0, 2.0)
    y = x.exp()
    with gpunn.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match=f"Exp saved its result .*{BY_INPLACE}"):
        y.sum().backward()


def test_a_change_through_a_view_counts() -> None:
    x = leaf(1.0, 2.0)
    w = gpunn.ones(2)
    y = (x * w).sum()
    w[0] = 5.0
    with pytest.raises(RuntimeError, match=BY_INPLACE):
        y.backward()
    y = (x * w).sum()
    w.detach().reshape(2, 1).zero_()
    with pytest.raises(RuntimeError, match=BY_INPLACE):
        y.backward()


def test_what_nobody_saved_may_change() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    z = y + 1  # saves nothing
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize("activation", ["none", "gelu", "silu"])
def test_a_layer_s_result_may_change_where_its_gradient_does_not_need_it(activation: str) -> None:
    """As in PyTorch, an affine map needs its inputs alone, and some activations theirs."""
    x, w = leaf(1.0, 2.0), gpunn.ones(3, 2, requires_grad=True)
    y = gpunn.ops.linear_activation(x, w, activation=activation)
    with gpunn.no_grad():
        y.zero_()
    y.sum().backward()
    y = gpunn.ops.linear_activation(x, w, activation="sigmoid")
    with gpunn.no_grad():
        y.zero_()
    with pytest.raises(RuntimeError, match=BY_INPLACE):
        y.sum().backward()


NOT_NEEDED = {
    "w * 3": lambda w, x: w * 3,
    "w / 3": lambda w, x: w / 3,
    "w * x": lambda w, x: w * x,
    "w / x": lambda w, x: w / x,
    "w % x": lambda w, x: w % x,
    "w.fmod(x)": lambda w, x: w.fmod(x),
    "w + x": lambda w, x: w + x,
    "x @ w": lambda w, x: x @ w,
    "w @ x": lambda w, x: w @ x,
    "linear(x, w)": lambda w, x: gpunn.ops.linear(x, w),
    "linear(w, x)": lambda w, x: gpunn.ops.linear(w, x),
    "conv1d(x, w)": lambda w, x: gpunn.ops.conv1d(x.reshape(1, 2, 2), w.reshape(2, 2, 1)),
}


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_an_input_may_change_whose_gradient_alone_is_wanted(name: str) -> None:
    """As in PyTorch: the gradient of w needs the elements of x, and only where x has one those of w."""
    for tracked_x in (False, True):
        w, x = gpunn.ones(2, 2, requires_grad=True), gpunn.full((2, 2), 2.0, requires_grad=tracked_x)
        y = NOT_NEEDED[name](w, x).sum()
        with gpunn.no_grad():
            w.mul_(5)
        if tracked_x and name not in ("w * 3", "w / 3", "w % x", "w.fmod(x)", "w + x"):
            with pytest.raises(RuntimeError, match=BY_INPLACE):
                y.backward()
        elif not tracked_x:
            y.backward()
            assert w.grad is not None


def test_the_gradient_of_a_power_needs_the_result_for_the_exponent_alone() -> None:
    x = leaf(1.0, 2.0)
    y = x**3
    with gpunn.no_grad():
        y.zero_()
    y.sum().backward()
    assert x.grad.tolist() == [3, 12]
    p = leaf(1.0, 2.0)
    y = x.detach() ** p
    with gpunn.no_grad():
        y.zero_()
    with pytest.raises(RuntimeError, match=BY_INPLACE):
        y.sum().backward()


def test_replaced_data_is_a_change() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).sum()
    w.data = gpunn.zeros(2)
    with pytest.raises(RuntimeError, match=BY_INPLACE):
        y.backward()


def test_recorded_changes_have_gradients() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y.mul_(x * 2)  # (2 x)^2
    y.add_(x, alpha=10)
    y += 1
    y.sum().backward()
    assert y.tolist() == [15, 37]
    assert x.grad.tolist() == [8 * 1 + 10, 8 * 2 + 10]


def test_an_untracked_tensor_becomes_tracked() -> None:
    x = leaf(1.0, 2.0)
    buffer = gpunn.zeros(2)
    buffer.copy_(x * 2)
    buffer.add_(x)
    assert buffer.requires_grad
    assert not buffer.is_leaf
    buffer.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_a_recorded_copy_has_memory_of_its_own() -> None:
    source = leaf(1.0, 2.0)
    target = gpunn.zeros(2)
    target.copy_(source)
    with gpunn.no_grad():
        target.add_(1)
    assert source.tolist() == [1, 2]


def test_the_gradient_through_a_tracked_argument_given_by_name() -> None:
    x = leaf(2.0)
    y = gpunn.ones(1)
    y.add_(other=x * 3)
    y.sum().backward()
    assert x.grad.tolist() == [3]


def test_plus_equals_leaves_other_names_alone() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    before = y
    y += 1
    assert before.tolist() == [2, 4]
    assert y.tolist() == [3, 5]


def test_plus_equals_changes_memory_where_nothing_is_tracked() -> None:
    array = np.zeros(2, np.float32)
    x = gpunn.from_numpy(array)
    same = x
    x += 1
    x *= 6
    x /= 3
    x -= 1
    x **= 2
    assert x is same
    assert array.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: gpunn.zeros(2).add_(gpunn.ones(3, 2)), "does not fit into float32"),
        (lambda: gpunn.zeros(2, dtype=gpunn.int64).add_(1.5), "can't be cast"),
        (lambda: gpunn.zeros(2, dtype=gpunn.bool).add_(1), "can't be cast"),
        (lambda: gpunn.zeros(2, dtype=gpunn.int64).div_(2), "can't be cast"),
        (lambda: gpunn.zeros(2).copy_(gpunn.ones(3)), "expand"),
        (lambda: gpunn.zeros(2).fill_(gpunn.ones(1)), "without dimensions"),
        (lambda: gpunn.zeros(2, dtype=gpunn.int64).normal_(), "numbers are floats"),
        (lambda: gpunn.zeros(2).uniform_(1, 0), "from <= to"),
        (lambda: gpunn.zeros(2).normal_(0, -1), "std >= 0"),
        (lambda: gpunn.zeros(2).bernoulli_(1.5), "probability"),
    ],
)
def test_errors(change, message) -> None:
    with pytest.raises(RuntimeError, match=message):
        change()


def test_expanded_memory_is_not_written_to() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with gpunn.no_grad(), pytest.raises(RuntimeError, match=r"read-only, or expanded; clone\(\)"):
        x.expand(3, 2).zero_()
    y.backward()  # nothing was changed, and nothing counted
    assert x.grad.tolist() == [2, 4]


def test_types_are_kept() -> None:
    x = gpunn.zeros(2, dtype=gpunn.float16)
    x.add_(gpunn.ones(2, dtype=gpunn.float64))
    x.copy_(gpunn.tensor([1, 2]))
    assert x.dtype is gpunn.float16
    i = gpunn.zeros(2, dtype=gpunn.int32)
    i.add_(5).copy_(gpunn.tensor([2.7, -2.7]))
    assert i.dtype is gpunn.int32
    assert i.tolist() == [2, -2]


IN_PLACE = {
    "add_": (2.0,),
    "sub_": (2.0,),
    "mul_": (3.0,),
    "div_": (4.0,),
    "pow_": (2,),
    "floor_divide_": (0.7,),
    "remainder_": (0.7,),
    "fmod_": (0.7,),
    "clamp_": (-0.5, 0.5),
    "clamp_min_": (0.1,),
    "clamp_max_": (0.1,),
    "fill_": (1.5,),
    **dict.fromkeys(("zero_", "neg_", "abs_", "reciprocal_", "square_", "exp_", "sigmoid_", "tanh_", "relu_"), ()),
    **dict.fromkeys(("floor_", "ceil_", "trunc_", "round_"), ()),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_methods_agree_with_torch(name: str, torch) -> None:
    values = np.random.default_rng(0).standard_normal((3, 4))
    ours, theirs = gpunn.tensor(values), torch.tensor(values)
    memory = ours.numpy()
    assert getattr(ours, name)(*IN_PLACE[name]) is ours
    getattr(theirs, name)(*IN_PLACE[name])
    np.testing.assert_allclose(memory, theirs.numpy(), rtol=1e-12, atol=1e-15)


def test_inference_tensors_stay_where_they_were_made() -> None:
    with gpunn.inference_mode():
        made = gpunn.ones(2)
        made.add_(1)
    with pytest.raises(RuntimeError, match=r"inference_mode\(\), and is changed in place outside"):
        made.add_(1)
    assert made.tolist() == [2, 2]
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="would save a tensor made in inference_mode"):
        x * made
    (x + made).sum().backward()  # which saves nothing
    (x * made.clone()).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_what_is_copied_may_be_an_array_or_a_number() -> None:
    x = gpunn.zeros(3)
    assert x.copy_(np.arange(3)).tolist() == [0.0, 1.0, 2.0]
    assert x.copy_(2.5).tolist() == [2.5, 2.5, 2.5]
    assert x.dtype == gpunn.float32
