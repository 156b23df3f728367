"""What has no place in a plan is done op by op, with one line that says so, wherever layers are."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.plan.step import CHANGES
from gpunn.train.progress import Progress


class Cube(gpunn.autograd.Function):
    """x^3, by tensors."""

    @staticmethod
    def forward(ctx: Any, x: gpunn.Tensor) -> gpunn.Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, dy: gpunn.Tensor) -> gpunn.Tensor:
        (x,) = ctx.saved_tensors
        return dy * 3 * x * x


class CubeOfResult(gpunn.autograd.Function):
    """x^3, whose gradient is made of the result."""

    @staticmethod
    def forward(x: gpunn.Tensor) -> gpunn.Tensor:
        return x * x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, dy: gpunn.Tensor) -> gpunn.Tensor:
        x, y = ctx.saved_tensors
        return dy * 3 * gpunn.where(x == 0, x, y / x)


class Powers(gpunn.autograd.Function):
    """x^2 and x^3, and a mask without gradient; x^3 is read off."""

    @staticmethod
    def forward(ctx: Any, x: gpunn.Tensor, unused: float) -> tuple[gpunn.Tensor, ...]:
        ctx.save_for_backward(x)
        mask = x > 0
        ctx.mark_non_differentiable(mask)
        return x * x, x * x * x, mask

    @staticmethod
    def backward(ctx: Any, d2: gpunn.Tensor, d3: gpunn.Tensor, _: Any) -> tuple[Any, ...]:
        (x,) = ctx.saved_tensors
        return d2 * 2 * x + d3 * 3 * x * x, None


class CubeByNumpy(gpunn.autograd.Function):
    """x^3, by NumPy."""

    @staticmethod
    def forward(ctx: Any, x: gpunn.Tensor) -> gpunn.Tensor:
        ctx.x = x.detach().numpy()
        return gpunn.from_numpy(ctx.x**3)

    @staticmethod
    def backward(ctx: Any, dy: gpunn.Tensor) -> gpunn.Tensor:
        return gpunn.from_numpy(dy.numpy() * 3 * ctx.x**2)


class CubeWithNumpyBehind(Cube):
    """x^3, whose gradient is made by NumPy."""

    @staticmethod
    def backward(ctx: Any, dy: gpunn.Tensor) -> gpunn.Tensor:
        (x,) = ctx.saved_tensors
        return gpunn.from_numpy(dy.numpy() * 3 * x.detach().numpy() ** 2)


class CubeByElement(Cube):
    """x^3, which looks at an element."""

    @staticmethod
    def forward(ctx: Any, x: gpunn.Tensor) -> gpunn.Tensor:
        ctx.save_for_backward(x)
        return x * x * x if x.sum().item() < 1e9 else x


FUNCTIONS: dict[str, tuple[Callable[[gpunn.Tensor], gpunn.Tensor], bool]] = {
    "tensors": (Cube.apply, True),
    "the result saved": (CubeOfResult.apply, True),
    "several results": (lambda x: Powers.apply(x, 0.5)[1], True),
    "numpy": (CubeByNumpy.apply, False),
    "numpy in the gradient": (CubeWithNumpyBehind.apply, False),
    "an element": (CubeByElement.apply, False),
}
"""A function that gives x^3, and whether it can be planned."""


class Cubed(nn.Module):
    def __init__(self, function: Callable[[gpunn.Tensor], gpunn.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.function(x)


def network(function: Callable[[gpunn.Tensor], gpunn.Tensor]) -> nn.Sequential:
    gpunn.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Cubed(function), nn.Linear(4, 2)).double()


def by_hand(steps: int, lr: float) -> list[np.ndarray]:
    """Weights of the network after steps of gradient descent on the mean square error, in NumPy."""
    w1, b1, w2, b2 = (p.detach().numpy().copy() for p in network(Cube.apply).parameters())
    x, y = data()
    for _ in range(steps):
        z = x @ w1.T + b1
        d = 2 * (z**3 @ w2.T + b2 - y) / y.size
        dz = d @ w2 * 3 * z**2
        w1, b1, w2, b2 = w1 - lr * dz.T @ x, b1 - lr * dz.sum(0), w2 - lr * d.T @ z**3, b2 - lr * d.sum(0)
    return [w1, b1, w2, b2]


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((8, 3)), rng.standard_normal((8, 2))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_s_own_in_a_step(name: str) -> None:
    function, planned = FUNCTIONS[name]
    model = network(function)
    step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.01))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(3):
            step(*map(gpunn.tensor, data()))
    for p, expected in zip(model.parameters(), by_hand(3, 0.01)):
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10)
    assert bool(step.plans_made) == planned
    lines = [str(w.message) for w in found]
    assert lines == [] if planned else len(lines) == 1 and "reads the elements of a tensor" in lines[0]


class Lines(Progress):
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def fitted(model: nn.Module, epochs: int = 3) -> tuple[gpunn.Trainer, list[str]]:
    told = Lines()
    trainer = gpunn.Trainer(model, "mse", optim.SGD(model.parameters(), 0.01), progress=told)
    trainer.fit(data(), epochs, batch_size=8, shuffle=False)
    return trainer, [line for line in told.lines if "op by op" in line]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_s_own_in_a_trainer(name: str) -> None:
    function, planned = FUNCTIONS[name]
    model = network(function)
    trainer, lines = fitted(model)
    for p, expected in zip(model.parameters(), by_hand(3, 0.01)):
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10)
    assert len(lines) == (0 if planned else 1)
    x, y = data()
    output = model(gpunn.tensor(x)).detach().numpy()
    np.testing.assert_allclose(trainer.predict(x).numpy(), output, rtol=1e-12)
    np.testing.assert_allclose(trainer.evaluate((x, y))["loss"], ((output - y) ** 2).mean(), rtol=1e-12)


HOOKS: dict[str, Callable[[nn.Sequential, list[Any]], Any]] = {
    "full backward": lambda m, seen: m[0].register_full_backward_hook(
        lambda m, gi, go: seen.append(go[0].sum().item())
    ),
    "full backward of the model": lambda m, seen: m.register_full_backward_hook(lambda m, gi, go: seen.append(gi[0])),
    "forward": lambda m, seen: m[1].register_forward_hook(lambda m, args, y: seen.append(y.mean().item())),
    "before forward": lambda m, seen: m[1].register_forward_pre_hook(lambda m, args: seen.append(args[0].max().item())),
    "of a parameter": lambda m, seen: m[0].weight.register_hook(lambda g: seen.append(g.sum().item())),
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_in_a_trainer(name: str) -> None:
    """They see each step, with elements, and training is what it is without."""
    seen: list[Any] = []
    model = network(Cube.apply)
    HOOKS[name](model, seen)
    _, lines = fitted(model)
    assert len(seen) >= 3
    assert len(lines) == 1
    for p, expected in zip(model.parameters(), by_hand(3, 0.01)):
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_in_a_step_that_come_and_go(name: str) -> None:
    seen: list[Any] = []
    model = network(Cube.apply)
    step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.01))
    step(*map(gpunn.tensor, data()))
    handle = HOOKS[name](model, seen)
    with pytest.warns(UserWarning, match="has a hook, so steps are done op by op"):
        step(*map(gpunn.tensor, data()))
    handle.remove()
    step(*map(gpunn.tensor, data()))
    assert len(seen) == 1
    assert len(step.plans_made) == 2
    for p, expected in zip(model.parameters(), by_hand(3, 0.01)):
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-10)


def test_a_gradient_changed_by_a_backward_hook() -> None:
    """It comes to nothing, so that the first layer stays as it is."""
    model = network(Cube.apply)
    model[1].register_full_backward_hook(lambda m, grad_input, grad_output: (grad_input[0] * 0,))
    first = model[0].weight.detach().numpy().copy()
    second = model[2].weight.detach().numpy().copy()
    fitted(model)
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), first)
    assert (model[2].weight.detach().numpy() != second).all()


def test_a_forecast_of_what_is_done_op_by_op_says_so() -> None:
    model = network(CubeByNumpy.apply)
    step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.01))
    with pytest.raises(gpunn.plan.NotPlanned, match="CubeByNumpy"):
        step.forecast(*map(gpunn.tensor, data()))


def test_forecasts_are_no_steps_that_change() -> None:
    """What changes from step to step is done op by op, after some steps; looking ahead is none of them."""
    model = network(gpunn.relu)
    loss = Scaled()
    step = TrainStep(model, loss, optim.SGD(model.parameters(), 0.01))
    batch = [*map(gpunn.tensor, data())]
    step(*batch)
    for k in range(2 * CHANGES):
        loss.scale = 1.0 + k
        step.forecast(*batch)
    step(*batch)
    assert len(step.plans_made) == 2
    assert step.changes == 0
    with pytest.warns(UserWarning, match="changes from step to step"):
        for k in range(CHANGES):
            loss.scale = -1.0 - k
            step(*batch)
    made = len(step.plans_made)
    step(*batch)  # nothing changes any more
    step(*batch)
    assert len(step.plans_made) == made + 1


def test_a_forecast_between_two_changes_is_none_itself() -> None:
    model = network(gpunn.relu)
    loss = Scaled()
    step = TrainStep(model, loss, optim.SGD(model.parameters(), 0.01))
    batch = [*map(gpunn.tensor, data())]
    for k in range(CHANGES - 2):
        loss.scale = 1.0 + k
        step(*batch)
    loss.scale = 50.0
    step.forecast(*batch)
    loss.scale = 60.0
    step(*batch)
    assert step.changes == CHANGES - 1
    assert len(step.plans_made) == CHANGES - 1  # each of them was planned


class Scaled:
    """A loss that something in Python goes into."""

    scale = 1.0

    def __call__(self, y: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return nn.functional.mse_loss(y, target) * self.scale


def test_a_step_that_always_changes_something_is_not_traced_again_and_again() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            self.calls += 1
            return x * self.calls

    model = Counting()
    step = EvalStep(model)
    with pytest.warns(
        UserWarning, match=r"the step changes model.calls in Python, so steps are done op by op"
    ) as found:
        results = [step(gpunn.ones(2)).tolist()[0] for _ in range(20)]
    assert results == list(range(1, 21))
    assert len(found) == 1
    assert step._tries == 3


def test_a_layer_that_is_made_at_the_first_call_is_planned_from_the_second_on() -> None:
    class Lazy(nn.Module):
        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            if not hasattr(self, "inner"):
                self.inner = nn.Linear(x.shape[1], 2)
            return self.inner(x)

    step = EvalStep(Lazy())
    with pytest.warns(UserWarning, match="op by op"):
        first = step(gpunn.ones(4, 3)).tolist()
    assert step(gpunn.ones(4, 3)).tolist() == first
    assert len(step.plans_made) == 1


def test_memory_with_two_names_that_the_step_changes() -> None:
    """A weight that shows running means: norm and move see each other's changes only where both are known as one."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.var = gpunn.tensor([5.0, 5.0]), gpunn.ones(2)
            self.weight = self.mean[:]

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            y = nn.functional.batch_norm(x, self.mean, self.var, training=True)
            return y * self.weight

    first, second = Two(), Two()
    step, x = EvalStep(first), gpunn.tensor([[1.0, 2.0], [3.0, 6.0]])
    with pytest.warns(UserWarning, match=r"which the step changes, shares memory with a tensor float32\[2\]"):
        for _ in range(3):
            np.testing.assert_array_equal(step(x).numpy(), second(x).numpy())
    np.testing.assert_array_equal(first.weight.numpy(), second.weight.numpy())
    assert not step.plans_made


def test_numbers_that_are_none_do_not_change_from_trace_to_trace() -> None:
    step = EvalStep(network(lambda x: x * float("nan") + float("inf")))
    assert np.isnan(step(gpunn.tensor(data()[0])).numpy()).all()
    assert len(step.plans_made) == 1


def test_what_changes_at_each_step_is_not_traced_for_ever() -> None:
    """A coefficient that is annealed, and from the 20th step on is not."""
    beta = [0.0]
    model, other = network(Cube.apply), network(Cube.apply)

    def loss_fn(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return (output - target).square().mean() * beta[0]

    step = TrainStep(model, loss_fn, optim.SGD(model.parameters(), 0.01), fuse=False)
    twin = TrainStep(other, loss_fn, optim.SGD(other.parameters(), 0.01))
    with pytest.warns(UserWarning, match="what the step reads in Python changes from step to step") as found:
        for k in range(25):
            beta[0] = min(1.0, k / 20)
            assert step(*map(gpunn.tensor, data())).item() == twin.body(*map(gpunn.tensor, data())).item()
    assert len(found) == 1
    assert len(step.plans_made) == 7 + 1  # up to the eighth state that is seen, and that of the end
    for p, q in zip(model.parameters(), other.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_an_argument_that_requires_grad_is_told() -> None:
    step = EvalStep(network(Cube.apply))
    with pytest.warns(UserWarning, match="an argument requires grad, so steps are done op by op"):
        step(gpunn.tensor(data()[0], requires_grad=True))
