"""Losses: stability, labels that are wrong, shapes and types that do not fit."""

import math

import numpy as np
import pytest

import gpunn
from gpunn import ops
from gpunn.autograd import grad

from .harness import normal


def logits(values, dtype="float32"):
    return gpunn.tensor(values, dtype=dtype, requires_grad=True)


def test_cross_entropy_of_extreme_logits_is_finite_and_exact():
    # By hand: ln(e^1e4 + ...) - x_y; where the others are 1e4 below, the loss is the distance itself.
    x = logits([[1e4, -1e4, 0.0], [1e4, 0.0, -1e4], [-1e4, -1e4 + 1, -1e4]])
    target = gpunn.tensor([0, 2, 1])
    loss = ops.cross_entropy(x, target, reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, 2e4, math.log(1 + 2 * math.exp(-1))], rtol=1e-6)
    loss.sum().backward()
    e = math.exp(-1) / (1 + 2 * math.exp(-1))
    expected = [[0, 0, 0], [1, 0, -1], [e, -2 * e, e]]
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-7)


def test_cross_entropy_keeps_small_losses():
    # ln(1 + e^-20) = 2.06e-9 in float64; the probability itself rounds to 1 in float32.
    x = logits([[20.0, 0.0]], "float64")
    assert ops.cross_entropy(x, gpunn.tensor([0])).item() == pytest.approx(math.log1p(math.exp(-20)), rel=1e-7)


def test_infinite_logits_rule_classes_out():
    x = logits([[0.0, -math.inf, 0.0]])
    loss = ops.cross_entropy(x, gpunn.tensor([2]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    np.testing.assert_allclose(x.grad.numpy(), [[0.5, 0, -0.5]])


def test_ignored_rows_count_as_nothing_even_if_infinite():
    x = logits([[math.inf, 0.0], [0.0, 0.0]])
    loss = ops.cross_entropy(x, gpunn.tensor([-100, 1]))
    assert loss.item() == pytest.approx(math.log(2))


def test_mean_over_ignored_labels_only_is_nan_with_gradient_0():
    for function in (ops.cross_entropy, ops.nll_loss):
        x = logits([[0.1, 0.2], [0.3, 0.4]])
        loss = function(x, gpunn.tensor([-100, -100]))
        loss.backward()
        assert math.isnan(loss.item())
        np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 2)))


def test_mean_over_no_samples_is_nan():
    assert math.isnan(ops.cross_entropy(gpunn.zeros(0, 3), gpunn.zeros(0, dtype="int64")).item())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_labels_of_any_integer_type(dtype):
    x = logits([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    expected = (math.log(1 + math.exp(-1) + math.exp(-2)) + math.log(3)) / 2
    assert ops.cross_entropy(x, gpunn.tensor([2, 0], dtype=dtype)).item() == pytest.approx(expected)


@pytest.mark.parametrize("function", [ops.cross_entropy, ops.nll_loss])
def test_label_that_is_no_class_is_named(function):
    with pytest.raises(IndexError, match=r"Target 5 is out of bounds.*position 2 .*4 classes"):
        function(gpunn.zeros(3, 4), gpunn.tensor([0, 1, 5]))
    with pytest.raises(IndexError, match=r"Target -1 is out of bounds.*position \[1, 0\]"):
        function(gpunn.zeros(2, 4, 3), gpunn.tensor([[0, 1, 2], [-1, 0, 3]]))
    with pytest.raises(IndexError, match="Target 4 "):
        function(gpunn.zeros(2, 4), gpunn.tensor([-100, 4]))
    with pytest.raises(IndexError, match="Target -100 "):
        function(gpunn.zeros(2, 4), gpunn.tensor([-100, 3]), ignore_index=0)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (gpunn.zeros(3), RuntimeError, "labels must be integers of shape"),
        (gpunn.tensor([True, False, True]), RuntimeError, "labels must be integers"),
        (gpunn.tensor([0, 1]), ValueError, "batch"),
        (gpunn.tensor([[0, 1, 2]] * 3), RuntimeError, r"have shape \[3\]"),
        (gpunn.zeros(3, 4, dtype="int64"), RuntimeError, "class probabilities, which are floats"),
    ],
)
def test_targets_that_do_not_fit(target, error, message):
    with pytest.raises(error, match=message):
        ops.cross_entropy(gpunn.zeros(3, 4), target)


def test_options_that_do_not_fit():
    x, target = gpunn.zeros(3, 4), gpunn.tensor([0, 1, 2])
    with pytest.raises(ValueError, match="'avg' is not a valid value for reduction"):
        ops.cross_entropy(x, target, reduction="avg")
    with pytest.raises(RuntimeError, match="label_smoothing"):
        ops.cross_entropy(x, target, label_smoothing=1.5)
    with pytest.raises(RuntimeError, match=r"one for each class, got float32\[3\]"):
        ops.cross_entropy(x, target, gpunn.ones(3))
    with pytest.raises(RuntimeError, match=r"weights must be float32\[4\]"):
        ops.cross_entropy(x, target, gpunn.ones(4, dtype="float64"))
    with pytest.raises(RuntimeError, match="no gradient in the class weights"):
        ops.cross_entropy(x, target, gpunn.ones(4, requires_grad=True))
    with pytest.raises(RuntimeError, match="ignore_index"):
        ops.cross_entropy(x, x, ignore_index=2)
    with pytest.raises(RuntimeError, match="must be floats"):
        ops.cross_entropy(x.long(), target)
    with pytest.raises(ValueError, match="1 or more dimensions"):
        ops.nll_loss(gpunn.zeros(()), gpunn.tensor(0))
    with pytest.raises(TypeError):
        ops.cross_entropy(x, target, None, None)  # PyTorch's size_average


def test_label_gradient_is_one_op_each_way():
    x = logits(np.zeros((3, 4)))
    loss = ops.cross_entropy(x, gpunn.tensor([0, 1, 2]))
    assert loss.grad_fn.name == "SoftmaxCrossEntropy"
    assert loss.grad_fn.next_functions[0][0] is None


def test_second_order_of_nll_loss_needs_no_formula():
    x = gpunn.tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    (first,) = grad(ops.nll_loss(x, gpunn.tensor([1, 0, 3])) ** 2, x, create_graph=True)
    (second,) = grad(first.sum(), x)
    # l = -(x_01 + x_10 + x_23) / 3, so the derivative of the sum of 2 l dl is 2 (sum of dl) dl = 2 dl (-1).
    expected = np.zeros((3, 4))
    expected[[0, 1, 2], [1, 0, 3]] = 2 / 3
    np.testing.assert_allclose(second.numpy(), expected)


def test_losses_warn_of_broadcasting():
    for function in (ops.mse_loss, ops.l1_loss, ops.smooth_l1_loss, ops.huber_loss):
        with pytest.warns(UserWarning, match=r"float32\[3\] has another shape than the input float32\[3, 1\]"):
            assert function(gpunn.ones(3, 1), gpunn.zeros(3), reduction="none").shape == (3, 3)


def test_losses_promote_types_but_take_no_integers():
    x = gpunn.ones(2, dtype="float64")
    assert ops.mse_loss(x, gpunn.zeros(2)).dtype is gpunn.float64
    with pytest.raises(RuntimeError, match="takes floats"):
        ops.mse_loss(x.long(), x.long())


def test_smooth_l1_and_huber_refuse_what_has_no_meaning():
    x = gpunn.zeros(2)
    with pytest.raises(RuntimeError, match="negative values for beta"):
        ops.smooth_l1_loss(x, x, beta=-1.0)
    with pytest.raises(RuntimeError, match="non-positive values for delta"):
        ops.huber_loss(x, x, delta=0.0)
    with pytest.raises(ValueError, match="weight"):
        ops.mse_loss(x, x, weight=gpunn.ones(3))


def test_binary_cross_entropy_refuses_what_is_no_probability():
    t = gpunn.zeros(2)
    with pytest.raises(RuntimeError, match=r"between 0 and 1, got 1.5 at \[1\].*with_logits"):
        ops.binary_cross_entropy(gpunn.tensor([0.5, 1.5]), t)
    with pytest.raises(RuntimeError, match="between 0 and 1, got nan"):
        ops.binary_cross_entropy(gpunn.tensor([0.5, math.nan]), t)
    with pytest.raises(ValueError, match="target"):
        ops.binary_cross_entropy(gpunn.tensor([0.5]), t)
    with pytest.raises(RuntimeError, match="one type"):
        ops.binary_cross_entropy(gpunn.tensor([0.5, 0.5]), t.long())
    with pytest.raises(ValueError, match="target"):
        ops.binary_cross_entropy_with_logits(gpunn.tensor([0.5]), t)
    with pytest.raises(RuntimeError, match="must be floats"):
        ops.binary_cross_entropy_with_logits(t, t.long())


def test_binary_cross_entropy_gradient_stays_finite(torch):
    values, targets = [0.0, 1.0, 1.0, 0.0, 0.25], [1.0, 0.0, 1.0, 0.0, 0.5]
    x, t = logits(values), gpunn.tensor(targets)
    y = torch.tensor(values, requires_grad=True)
    ops.binary_cross_entropy(x, t, reduction="sum").backward()
    torch.nn.functional.binary_cross_entropy(y, torch.tensor(targets), reduction="sum").backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-6)


def test_binary_cross_entropy_with_extreme_logits_has_the_right_gradient():
    x = logits([1e4, 1e4, -1e4, -1e4])
    ops.binary_cross_entropy_with_logits(x, gpunn.tensor([0.0, 1.0, 0.0, 1.0]), reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 0, 0, -1])


def test_binary_cross_entropy_with_logits_of_0_has_the_right_gradient():
    # The kinks of |x| and max(x, 0), of which the formula is made, are not the loss's.
    x = logits([0.0, 0.0, 0.0])
    ops.binary_cross_entropy_with_logits(x, gpunn.tensor([0.0, 1.0, 0.25]), reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.5, -0.5, 0.25])


def test_kl_div_warns_that_its_mean_is_not_the_divergence():
    p = gpunn.full((2, 2), 0.5)
    with pytest.warns(UserWarning, match="batchmean"):
        mean = ops.kl_div(p.log(), gpunn.tensor([[1.0, 0.0], [1.0, 0.0]]))
    assert mean.item() == pytest.approx(math.log(2) / 2)
    with pytest.raises(ValueError, match="reduction"):
        ops.kl_div(p, p, reduction="average")


def test_cosine_embedding_loss_wants_pairs():
    with pytest.raises(RuntimeError, match=r"\(n, d\) and a target \(n,\)"):
        ops.cosine_embedding_loss(gpunn.zeros(2, 3), gpunn.zeros(2, 3), gpunn.zeros(2, 3))


BROADCAST = {
    "mse_loss": lambda f, x, y: f.mse_loss(x, y),
    "l1_loss": lambda f, x, y: f.l1_loss(x, y, reduction="sum"),
    "smooth_l1_loss": lambda f, x, y: f.smooth_l1_loss(x, y, reduction="none"),
    "huber_loss": lambda f, x, y: f.huber_loss(x, y),
    "kl_div": lambda f, x, y: f.kl_div(x, y.exp(), reduction="batchmean"),
    "cosine_similarity": lambda f, x, y: f.cosine_similarity(x, y, dim=-1),
    "cosine_similarity-first": lambda f, x, y: f.cosine_similarity(x, y, dim=0),
}
SHAPES = [((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), ()), ((2, 1), (1, 3)), ((1,), (3,)), ((2, 1, 3), (4, 1))]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", BROADCAST)
def test_inputs_that_broadcast(torch, name, device):
    for shapes in SHAPES:
        arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
        results = []
        for library, where in ((torch, {}), (gpunn, {"device": device})):
            x, y = (library.tensor(a, **where, requires_grad=True) for a in arrays)
            loss = BROADCAST[name](library.nn.functional, x, y)
            loss.sum().backward()
            kept = [loss.detach(), x.grad] + ([] if y.grad is None else [y.grad])
            results.append([t.cpu().numpy() for t in kept])
        for theirs, ours in zip(*results, strict=True):
            assert theirs.shape == ours.shape
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12, err_msg=f"{name} of {shapes}")


def test_cosine_similarity_of_a_vector_and_a_number():
    # (1, 1) and (1, 1): the number stands for both elements.
    assert ops.cosine_similarity(gpunn.tensor([1.0, 1.0]), gpunn.tensor([1.0]), dim=0).item() == pytest.approx(1)
    # 45 degrees between (1, 0) and (2, 2).
    cosine = ops.cosine_similarity(gpunn.tensor([1.0, 0.0]), gpunn.tensor(2.0), dim=0).item()
    assert cosine == pytest.approx(0.5**0.5)


def test_kl_div_of_what_is_no_probability_is_nan():
    loss = ops.kl_div(gpunn.tensor([0.0, 0.0, 0.0]), gpunn.tensor([-1.0, 0.0, math.nan]), reduction="none")
    np.testing.assert_array_equal(loss.numpy(), [math.nan, 0, math.nan])
