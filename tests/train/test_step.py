"""One training step: gradients of micro-batches, clipping, and PyTorch's update."""

from functools import partial

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.nn import functional as F
from gpunn.train import Batch, EagerStep, PlannedStep
from gpunn.train.objective import Objective


def make(loss, clip_norm=None, l2=0.0):
    gpunn.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    objective = Objective(loss, model, l2)
    return EagerStep(model, objective, optim.SGD(model.parameters(), 0.0), clip_norm), objective, model


def in_batches(objective, x, y, sizes):
    ends = np.cumsum(sizes)
    assert ends[-1] == len(x)
    parts = [(x[end - size : end], y[end - size : end]) for size, end in zip(sizes, ends)]
    return [Batch((gpunn.tensor(a),), gpunn.tensor(b), objective.share(gpunn.tensor(b))) for a, b in parts]


def gradient(model):
    return np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])


CLASS_WEIGHT = [0.2, 3.0, 1.0, 0.5]

LOSSES = {
    "cross_entropy": lambda: nn.CrossEntropyLoss(),
    "class weights": lambda: nn.CrossEntropyLoss(weight=gpunn.tensor(CLASS_WEIGHT, dtype="float64")),
    "ignore_index": lambda: nn.CrossEntropyLoss(ignore_index=2),
    "label smoothing": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    "sum": lambda: nn.CrossEntropyLoss(reduction="sum"),
    "as it is": lambda: F.cross_entropy,
    "in a partial": lambda: partial(F.cross_entropy, ignore_index=1, weight=weights_of_classes()),
    "in a function, ignoring": lambda: lambda output, target: F.cross_entropy(output, target, ignore_index=2),
    "in a function, class weights": lambda: lambda o, t: F.cross_entropy(o, t, weight=weights_of_classes()),
    "in a function, nll": lambda: lambda o, t: F.nll_loss(o.log_softmax(1), t, weight=weights_of_classes()),
    "in a function, sum": lambda: lambda output, target: F.cross_entropy(output, target, reduction="sum"),
    "in a function, mask": lambda: masked_mean,
    "two means": lambda: lambda o, t: F.cross_entropy(o, t, ignore_index=2) + 0.1 * o.square().mean(),
    "samples meet": lambda: lambda o, t: F.cross_entropy(o @ o.T, gpunn.arange(len(o))),
    "its root": lambda: lambda output, target: F.cross_entropy(output, target).sqrt(),
}


def weights_of_classes():
    return gpunn.tensor(CLASS_WEIGHT, dtype="float64")


def masked_mean(output, target):
    counts = (target != 2).double()
    return (F.cross_entropy(output, target, reduction="none") * counts).sum() / counts.sum()


@pytest.mark.parametrize("sizes", [[11], [4, 4, 3], [1] * 11, [10, 1]], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_give_the_gradient_of_the_whole(name, sizes, rng):
    x, y = rng.normal(size=(11, 6)), rng.integers(0, 4, size=11)
    whole, objective, model = make(LOSSES[name]())
    whole(in_batches(objective, x, y, [11]))
    step, objective, other = make(LOSSES[name]())
    step(in_batches(objective, x, y, sizes))
    np.testing.assert_allclose(gradient(other), gradient(model), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_planned_micro_batches_train_as_the_whole_does(name, rng):
    x, y = rng.normal(size=(2, 11, 6)), rng.integers(0, 4, size=(2, 11))
    seen = []
    for sizes in ([11], [4, 4, 3]):
        _, objective, model = make(LOSSES[name]())
        step = PlannedStep(EagerStep(model, objective, optim.SGD(model.parameters(), 0.5)))
        for inputs, target in zip(x, y):
            step(in_batches(objective, inputs, target, sizes))
        seen.append(np.concatenate([p.detach().numpy().ravel() for p in model.parameters()]))
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [lambda y, z: (y, z), lambda y, z: {"y": y, "z": [z]}])
def test_outputs_that_are_no_tensors_are_joined(kind, rng):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.y, self.z = nn.Linear(6, 4).double(), nn.Linear(6, 2).double()

        def forward(self, x):
            return kind(self.y(x), self.z(x))

    def loss(output, target):
        y, z = (output["y"], output["z"][0]) if isinstance(output, dict) else output
        return F.cross_entropy(y, target, ignore_index=1) + z.square().mean()

    x, y = rng.normal(size=(7, 6)), rng.integers(0, 4, size=7)
    gradients = []
    for sizes in ([7], [4, 3]):
        gpunn.manual_seed(0)
        model = Two()
        objective = Objective(loss, model)
        step = EagerStep(model, objective, optim.SGD(model.parameters(), 0.0))
        results = step(in_batches(objective, x, y, sizes))
        assert len({value.item() for value, _ in results}) == 1  # that of all
        gradients.append(gradient(model))
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12, atol=1e-15)


def test_what_cannot_be_joined_is_named(rng):
    class Output:
        def __init__(self, y):
            self.y = y

    class Model(nn.Linear):
        def forward(self, input):
            return Output(super().forward(input))

    model = Model(6, 4).double()
    objective = Objective(lambda output, target: F.cross_entropy(output.y, target), model)
    step = EagerStep(model, objective, optim.SGD(model.parameters(), 0.0))
    with pytest.raises(TypeError, match=r"all batches of a step.* gives Output, which can't be joined"):
        step(in_batches(objective, rng.normal(size=(4, 6)), rng.integers(0, 4, size=4), [2, 2]))


def test_micro_batches_of_a_regression(rng):
    x, y = rng.normal(size=(11, 6)), rng.normal(size=(11, 4))
    whole, objective, model = make("mse", l2=0.3)
    whole(in_batches(objective, x, y, [11]))
    step, objective, other = make("mse", l2=0.3)
    step(in_batches(objective, x, y, [4, 4, 3]))
    np.testing.assert_allclose(gradient(other), gradient(model), rtol=1e-12, atol=1e-15)


def test_a_batch_in_which_no_target_counts_changes_nothing(rng):
    step, objective, model = make(nn.CrossEntropyLoss(ignore_index=2, reduction="mean"))
    x, y = rng.normal(size=(4, 6)), np.array([2, 2, 0, 1])
    step(in_batches(objective, x[:2], y[:2], [2]))
    assert all(p.grad is None for p in model.parameters())
    step(in_batches(objective, x, y, [2, 2]))
    expected, objective, other = make(nn.CrossEntropyLoss())
    expected(in_batches(objective, x[2:], y[2:], [2]))
    assert np.isfinite(gradient(model)).all()
    np.testing.assert_allclose(gradient(model), gradient(other), rtol=1e-12)


def test_clipping_is_of_the_whole_gradient_with_its_penalty(rng):
    x, y = rng.normal(size=(6, 6)), rng.integers(0, 4, size=6)
    free, objective, model = make("cross_entropy", l2=5.0)
    free(in_batches(objective, x, y, [6]))
    clipped, objective, other = make("cross_entropy", clip_norm=0.25, l2=5.0)
    clipped(in_batches(objective, x, y, [3, 3]))
    norm = np.linalg.norm(gradient(model))
    assert norm > 1
    np.testing.assert_allclose(gradient(other), gradient(model) * (0.25 / norm), rtol=1e-5)


def test_results_are_from_before_the_update(rng):
    gpunn.manual_seed(5)
    model = nn.Linear(3, 2).double()
    objective = Objective("mse", model)
    step = EagerStep(model, objective, optim.SGD(model.parameters(), 0.5))
    x, y = gpunn.tensor(rng.normal(size=(4, 3))), gpunn.tensor(rng.normal(size=(4, 2)))
    before = model(x).detach().numpy().copy()
    ((loss, output),) = step([Batch((x,), y, 8.0)])
    np.testing.assert_array_equal(output.numpy(), before)
    assert loss.item() == pytest.approx(np.square(before - y.numpy()).mean())
    assert not output.requires_grad
    assert not loss.requires_grad
    assert not np.array_equal(model(x).detach().numpy(), before)


def test_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(gpunn.ones(1))

        def forward(self, a, b):
            return self.scale * (a + b)

    model = Sum()
    step = EagerStep(model, Objective("mse", model), optim.SGD(model.parameters(), 0.0))
    ((_, output),) = step([Batch((gpunn.ones(2, 1), 2 * gpunn.ones(2, 1)), gpunn.zeros(2, 1), 2.0)])
    assert output.tolist() == [[3.0], [3.0]]


def test_twenty_steps_as_in_torch(torch, rng):
    """L2 and clipping as PyTorch's users write them."""
    gpunn.manual_seed(5)
    ours = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4)).double()
    theirs.load_state_dict({k: torch.tensor(v.detach().numpy()) for k, v in ours.state_dict().items()})
    objective = Objective("cross_entropy", ours, 0.05)
    step = EagerStep(ours, objective, optim.SGD(ours.parameters(), 0.3, momentum=0.9), clip_norm=0.5)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.3, momentum=0.9)
    for _ in range(20):
        x, y = rng.normal(size=(8, 6)), rng.integers(0, 4, size=8)
        ((loss, _),) = step(in_batches(objective, x, y, [8]))
        optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
        penalty = 0.025 * sum((p**2).sum() for p in theirs.parameters() if p.ndim > 1)
        (expected + penalty).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-10)


# Through a plan -------------------------------------------------------------------------------------------------------


def both(loss, clip_norm=None, l2=0.0, lr=0.3):
    """An eager step and a planned one of equal models."""
    steps = []
    for planned in (False, True):
        gpunn.manual_seed(5)
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(5, 4)).double()
        objective = Objective(loss(), model, l2)
        step = EagerStep(model, objective, optim.SGD(model.parameters(), lr, momentum=0.9), clip_norm)
        steps.append((PlannedStep(step) if planned else step, objective, model))
    return steps


@pytest.mark.parametrize("sizes", [[11], [4, 4, 3]], ids=str)
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}, {"l2": 0.3, "clip_norm": 0.5}], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_planned_step_is_the_eager_one(name, options, sizes, rng):
    data = [(rng.normal(size=(11, 6)), rng.integers(0, 4, size=11)) for _ in range(3)]
    results = []
    for step, objective, model in both(LOSSES[name], **options):
        gpunn.manual_seed(1)
        found = [t.numpy() for x, y in data for pair in step(in_batches(objective, x, y, sizes)) for t in pair]
        results.append(found + [p.detach().numpy() for p in model.parameters()])
    for a, b in zip(*results, strict=True):  # to rounding: a fused update adds products to the momentum
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-13)


def test_a_batch_without_targets_that_count(rng):
    x, y = rng.normal(size=(3, 6)), np.full(3, 2)
    for step, objective, model in both(LOSSES["ignore_index"]):
        before = [p.detach().numpy().copy() for p in model.parameters()]
        step(in_batches(objective, x, y, [3]))
        for p, b in zip(model.parameters(), before):
            np.testing.assert_array_equal(p.detach().numpy(), b)


def test_a_model_whose_output_is_no_tensor_is_trained_op_by_op():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            y = self.layer(x)
            return {"value": y}

    gpunn.manual_seed(0)
    model = Pair()
    objective = Objective(lambda output, target: (output["value"] - target).square().mean(), model)
    step = PlannedStep(EagerStep(model, objective, optim.SGD(model.parameters(), 0.1)))
    x, y = gpunn.ones(4, 2), gpunn.ones(4, 1)
    losses = [step([Batch((x,), y, 4.0)])[0][0].item() for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]


def test_a_hook_is_told(capsys):
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 1))
    step = PlannedStep(EagerStep(model, Objective("mse", model), optim.SGD(model.parameters(), 0.1)))
    step.note = print
    model[0].register_forward_hook(lambda *_: None)
    for _ in range(2):
        step([Batch((gpunn.ones(4, 2),), gpunn.ones(4, 1), 4.0)])
    assert capsys.readouterr().out == "the layer 0 has a hook, so steps are done op by op, and not through a plan\n"
