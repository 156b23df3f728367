"""J = L + s and its gradient."""

from functools import partial

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import functional as F
from gpunn.train.objective import LOSSES, Objective


def test_penalty_is_of_weights_and_not_of_biases(rng):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    w0, w1 = (np.asarray(model[i].weight.detach().numpy(), np.float64) for i in (0, 2))
    objective = Objective("mse", model, 0.3)
    assert objective.penalty() == pytest.approx(0.15 * (np.square(w0).sum() + np.square(w1).sum()), rel=1e-7)


def test_gradient_of_the_objective_by_central_differences(rng):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    objective = Objective(nn.MSELoss(), model, 0.7)
    x, y = gpunn.tensor(rng.normal(size=(5, 3))), gpunn.tensor(rng.normal(size=(5, 2)))

    def value():
        with gpunn.no_grad():
            return objective.loss(model(x), y).item() + objective.penalty()

    objective.loss(model(x), y).backward()
    objective.add_penalty_gradient()
    for parameter in model.parameters():
        array, gradient = parameter.detach().numpy(), parameter.grad.numpy()
        for place in np.ndindex(array.shape):
            before = array[place]
            array[place] = before + 1e-6
            above = value()
            array[place] = before - 1e-6
            below = value()
            array[place] = before
            assert gradient[place] == pytest.approx((above - below) / 2e-6, rel=1e-6, abs=1e-8)


def test_textbook_gradient_of_a_hidden_layer_with_l2(rng):
    """dJ/dW2 = dJ/do h^T + l W2, dJ/dW1 = dJ/dz x^T + l W1 for one sample x, h = relu(z), z = W1 x, o = W2 h and
    L = (o - y)^2 / 2 (A. Zhang et al., "Dive into Deep Learning", 2023, 5.3)."""
    x, y, l = rng.normal(size=3), rng.normal(size=2), 0.1
    w1, w2 = rng.normal(size=(4, 3)), rng.normal(size=(2, 4))
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)).double()
    model.load_state_dict({"0.weight": gpunn.tensor(w1), "2.weight": gpunn.tensor(w2)})

    def half_squares(output, target):
        return 0.5 * (output - target).square().sum()

    objective = Objective(half_squares, model, l)
    objective.loss(model(gpunn.tensor(x[None])), gpunn.tensor(y[None])).backward()
    objective.add_penalty_gradient()

    z = w1 @ x
    h = np.maximum(z, 0)
    d_o = w2 @ h - y
    d_z = (w2.T @ d_o) * (z > 0)
    np.testing.assert_allclose(model[2].weight.grad.numpy(), np.outer(d_o, h) + l * w2, rtol=1e-12)
    np.testing.assert_allclose(model[0].weight.grad.numpy(), np.outer(d_z, x) + l * w1, rtol=1e-12)


def test_frozen_weights_and_those_without_gradient_are_left_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].weight.requires_grad_(False)
    objective = Objective("mse", model, 1.0)
    objective.add_penalty_gradient()
    assert all(p.grad is None for p in model.parameters())
    w = model[1].weight.detach().numpy().astype(np.float64)
    assert objective.penalty() == pytest.approx(0.5 * np.square(w).sum(), rel=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_name(name):
    assert type(Objective(name, nn.Linear(1, 1)).function) is getattr(nn, LOSSES[name])


def test_share_is_what_a_mean_was_divided_by():
    model, weight = nn.Linear(1, 1), gpunn.tensor([0.5, 1.0, 4.0])
    labels = gpunn.tensor([0, 1, 2, 2, 1])
    assert Objective("cross_entropy", model).share(labels) == 5
    assert Objective(nn.CrossEntropyLoss(ignore_index=2), model).share(labels) == 3
    assert Objective(nn.CrossEntropyLoss(weight=weight), model).share(labels) == 10.5
    assert Objective(nn.CrossEntropyLoss(weight=weight, ignore_index=2), model).share(labels) == 2.5
    assert Objective("cross_entropy", model).share(gpunn.tensor([0, -100, 1])) == 2
    assert Objective(nn.MSELoss(reduction="sum"), model).share(labels) == 1
    assert Objective("mse", model).share(gpunn.zeros(5, 2)) == 10
    assert Objective(lambda output, target: output.sum(), model).share(labels) == 5


def test_share_of_functions_with_their_options():
    model, labels = nn.Linear(1, 1), gpunn.tensor([0, 1, 2, 2, -100])
    assert Objective(F.cross_entropy, model).share(labels) == 4
    assert Objective(partial(F.nll_loss, ignore_index=2), model).share(labels) == 3
    assert Objective(partial(F.cross_entropy, reduction="sum"), model).share(labels) == 1
    assert Objective(partial(F.smooth_l1_loss, beta=0.5), model).share(gpunn.zeros(5, 2)) == 10


@pytest.mark.parametrize(
    ("loss", "separable"),
    [
        (nn.CrossEntropyLoss(), True),
        (F.cross_entropy, True),
        (partial(F.mse_loss, reduction="sum"), True),
        (
            partial(F.mse_loss, weight=gpunn.ones(2, 1)),
            False,
        ),  # a mean over the weights, whose shape is that of a batch
        (lambda output, target: F.cross_entropy(output, target), False),
        (partial(lambda power, output, target: (output - target) ** power, 2), False),
    ],
)
def test_of_which_losses_is_known_how_they_add_up(loss, separable):
    assert Objective(loss, nn.Linear(1, 1)).separable is separable


@pytest.mark.parametrize(
    ("loss", "l2", "error", "message"),
    [
        ("cross_entropi", 0, ValueError, r"there is no loss 'cross_entropi'; did you mean cross_entropy\?; there are"),
        (3, 0, TypeError, "not 3"),
        ("mse", -0.1, ValueError, "l2 is -0.1"),
        ("mse", float("nan"), ValueError, "l2 is nan"),
    ],
)
def test_bad_arguments(loss, l2, error, message):
    with pytest.raises(error, match=message):
        Objective(loss, nn.Linear(1, 1), l2)


def test_a_loss_is_one_number():
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"gave a tensor of shape \(3, 2\); expected one number"):
        Objective(nn.MSELoss(reduction="none"), model).loss(gpunn.zeros(3, 2), gpunn.zeros(3, 2))
    with pytest.raises(ValueError, match="gave float"):
        Objective(lambda output, target: 1.0, model).loss(gpunn.zeros(3, 2), gpunn.zeros(3, 2))
