"""A planned step does what the eager one does, to the same bits, and sees what changes between steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.plan.reach import Reach

from .networks import NETWORKS, OPTIMIZERS
from .steps import batch, linear_step

BATCH = 4


def eager(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> Callable[..., Any]:
    """The same step as `TrainStep`, written out."""

    def step(x: gpunn.Tensor, y: gpunn.Tensor) -> Any:
        optimizer.zero_grad()
        result = loss_fn(model(x), y)
        loss = result[0] if isinstance(result, tuple) else result
        loss.backward()
        optimizer.step()
        return result

    return step


def train(make_step: Any, network: str, optimizer: str, steps: int = 8, dtype: str = "float32") -> list[Any]:
    """Everything that the steps gave and changed, as NumPy arrays."""
    build, shape, loss_fn = NETWORKS[network]
    gpunn.manual_seed(0)
    model = build().to(getattr(gpunn, dtype))
    opt = OPTIMIZERS[optimizer](model.parameters())
    step = make_step(model, loss_fn, opt)
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(steps):
        x = gpunn.tensor(rng.standard_normal((BATCH, *shape)).astype(dtype))
        result = step(x, gpunn.tensor(rng.integers(0, 10, BATCH)))
        seen += [t.detach().numpy() for t in (result if isinstance(result, tuple) else (result,))]
    states = [v for p in model.parameters() for v in opt.state[p].values() if v is not None]
    return seen + [t.detach().numpy().copy() for t in (*model.parameters(), *model.buffers(), *states)]


def unfused(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> TrainStep:
    """A planned step in which each op stays by itself."""
    return TrainStep(model, loss_fn, optimizer, fuse=False)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_planned_and_eager_are_equal_to_the_bit(network: str, optimizer: str) -> None:
    for a, b in zip(train(unfused, network, optimizer), train(eager, network, optimizer), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_fused_and_eager_agree(network: str, optimizer: str) -> None:
    for a, b in zip(
        train(TrainStep, network, optimizer, dtype="float64"), train(eager, network, optimizer, dtype="float64")
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("network", NETWORKS)
def test_fused_and_eager_agree_for_50_steps(network: str) -> None:
    for a, b in zip(
        train(TrainStep, network, "momentum", 50, "float64"), train(eager, network, "momentum", 50, "float64")
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("network", ["residual", "shared", "gated"])
def test_chains_alone_have_the_bits_of_eager_work(network: str) -> None:
    chains = partial(TrainStep, fuse=["elementwise_chain"])
    for a, b in zip(train(chains, network, "adam"), train(eager, network, "adam"), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("any_size")
def test_what_is_fused_in_the_network_of_elementwise_work() -> None:
    gpunn.manual_seed(0)
    build, shape, loss_fn = NETWORKS["gated"]
    model = build()
    step = TrainStep(model, loss_fn, optim.SGD(model.parameters(), 0.1))
    step(gpunn.ones(BATCH, *shape), gpunn.zeros(BATCH, dtype=gpunn.int64))
    fused = [(n.rule, n.where.split(" float32")[0]) for n in step.plan.notes if not n.reason]
    assert ("softmax_cross_entropy", "LogSoftmax + NLLLoss") in fused
    assert ("elementwise_chain", "Mul + Square + Clamp + Mul + Where + Add") in fused
    assert ("elementwise_chain", "Where + Where + Mul + 11 more + Mul") in fused


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_repeats_to_the_bit(network: str) -> None:
    for a, b in zip(train(TrainStep, network, "adam"), train(TrainStep, network, "adam"), strict=True):
        np.testing.assert_array_equal(a, b)


def expected_step(model: nn.Linear, x: gpunn.Tensor, y: gpunn.Tensor, lr: float) -> np.ndarray:
    """W after a step of gradient descent on the mean square error, by hand: dW = 2 / (n o) (X W^T + b - Y)^T X."""
    w, b = model.weight.detach().numpy().astype(np.float64), model.bias.detach().numpy().astype(np.float64)
    residual = x.numpy() @ w.T + b - y.numpy()
    return w - lr * 2 / residual.size * residual.T @ x.numpy()


def test_a_step_by_hand() -> None:
    step, model, _ = linear_step()
    x, y = batch()
    expected = expected_step(model, x, y, 0.1)
    loss = step(x, y)
    assert loss.shape == ()
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)


def test_a_model_of_two_inputs() -> None:
    """By hand: y = w a b of a = 2 and b = 3, the loss (y - 4)^2, so dw = 2 (6 w - 4) 6 = 24 for w = 1."""

    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(gpunn.ones(1))

        def forward(self, a: gpunn.Tensor, b: gpunn.Tensor) -> gpunn.Tensor:
            return self.w * a * b

    model = Weighted()
    step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.125))
    assert step(gpunn.tensor([2.0]), gpunn.tensor([3.0]), gpunn.tensor([4.0])).item() == 4
    assert model.w.tolist() == [1 - 0.125 * 24]


def test_a_list_of_results_is_a_tuple_of_them() -> None:
    class Both(nn.Module):
        def forward(self, x: gpunn.Tensor) -> list[gpunn.Tensor]:
            return [x + 1, x * 2]

    step = EvalStep(Both())
    for _ in range(2):
        first, second = results = step(gpunn.tensor([3.0]))
        assert isinstance(results, tuple)
        assert (first.tolist(), second.tolist()) == ([4.0], [6.0])


def test_the_learning_rate_is_read_at_each_step() -> None:
    step, model, opt = linear_step()
    x, y = batch()
    step(x, y)
    opt.param_groups[0]["lr"] = 0.7
    expected = expected_step(model, x, y, 0.7)
    step(x, y)
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)


def test_another_shape_makes_another_plan() -> None:
    step, model, _ = linear_step()
    for n in (4, 3, 4, 3):
        x, y = batch(n)
        expected = expected_step(model, x, y, 0.1)
        step(x, y)
        np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)
    assert len(step._plans) == 2


def test_results_are_copies() -> None:
    step, _, _ = linear_step(lambda output, y: ((output - y).square().mean(), output))
    x, y = batch()
    loss, output = step(x, y)
    before = loss.item(), output.numpy().copy()
    step(*batch(seed=1))
    assert loss.item() == before[0]
    np.testing.assert_array_equal(output.numpy(), before[1])


def test_no_gradient_stays() -> None:
    step, model, _ = linear_step()
    step(*batch())
    assert model.weight.grad is None


def test_a_frozen_parameter_stays_as_it_is() -> None:
    step, model, _ = linear_step()
    step(*batch())
    before = model.weight.detach().numpy().copy()
    bias = model.bias.detach().numpy().copy()
    model.weight.requires_grad_(False)
    step(*batch())
    np.testing.assert_array_equal(model.weight.detach().numpy(), before)
    assert (model.bias.detach().numpy() != bias).any()


def test_evaluation_mode_is_seen() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    step = EvalStep(model)
    x, _ = batch()
    model.train()
    gpunn.manual_seed(3)
    dropped = step(x)
    model.eval()
    np.testing.assert_array_equal(step(x).numpy(), model(x).detach().numpy())
    assert (dropped.numpy() != step(x).numpy()).any()


def test_modes_have_plans_of_their_own() -> None:
    """To and fro, for the whole model and for one layer alone, as eager work does, and nothing is traced again."""
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    step, x = EvalStep(model, fuse=False), batch()[0]
    for _ in range(3):
        for change in (model.train, model[0].eval, model.eval):
            change()
            expected = [t.numpy().copy() for t in model.buffers()]
            gpunn.manual_seed(1)
            planned = step(x).numpy()
            after = [t.numpy().copy() for t in model.buffers()]
            for t, value in zip(model.buffers(), expected):
                t.copy_(gpunn.tensor(value))
            gpunn.manual_seed(1)
            np.testing.assert_array_equal(planned, model(x).detach().numpy())
            for t, value in zip(model.buffers(), after):
                np.testing.assert_array_equal(t.numpy(), value)
    assert len(step.plans_made) == 3


def test_loaded_weights_are_used() -> None:
    step, model, _ = linear_step()
    x, y = batch()
    step(x, y)
    model.load_state_dict({"weight": gpunn.ones(2, 3), "bias": gpunn.zeros(2)})
    expected = expected_step(model, x, y, 0.1)
    step(x, y)
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)


def test_replaced_memory_is_seen() -> None:
    step, model, _ = linear_step()
    x, y = batch()
    step(x, y)
    model.weight.data = gpunn.zeros(2, 3)
    expected = expected_step(model, x, y, 0.1)
    step(x, y)
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)


def test_a_changed_model_is_seen() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    step = EvalStep(model)
    x, _ = batch()
    step(x)
    model[1] = nn.Tanh()
    np.testing.assert_array_equal(step(x).numpy(), model(x).detach().numpy())


def test_hooks_see_real_tensors() -> None:
    step, model, _ = linear_step()
    x, y = batch()
    step(x, y)
    seen = []
    handle = model.register_forward_hook(lambda module, args, output: seen.append(output.detach().numpy().copy()))
    with pytest.warns(UserWarning, match="the model has a hook, so steps are done op by op"):
        step(x, y)
    handle.remove()
    step(x, y)
    assert len(seen) == 1


def test_a_new_seed_gives_other_zeros() -> None:
    model = nn.Dropout(0.5)
    step, x = EvalStep(model), gpunn.ones(100)
    gpunn.manual_seed(1)
    first = [step(x).numpy(), step(x).numpy()]
    gpunn.manual_seed(1)
    again = [step(x).numpy(), model(x).numpy()]
    gpunn.manual_seed(2)
    other = step(x).numpy()
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    assert (first[0] != other).any()


def test_gradients_can_be_kept() -> None:
    gpunn.manual_seed(0)
    model = nn.Linear(3, 2)
    opt = optim.SGD(model.parameters(), 0.1)
    step, x, y = TrainStep(model, nn.MSELoss(), opt, keep_grads=True), *batch()
    step(x, y)
    before = model.weight.detach().numpy().copy()
    step(x, y)
    np.testing.assert_allclose(model.weight.detach().numpy(), before - 0.1 * model.weight.grad.numpy(), rtol=1e-6)


def test_parts_and_views_of_the_arguments() -> None:
    class Halves(nn.Module):
        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            a, b = x.split(2, dim=1)
            return a.t() @ b + x[::2].sum()

    step = EvalStep(Halves())
    for seed in range(3):
        x = gpunn.tensor(np.random.default_rng(seed).standard_normal((4, 4)))
        np.testing.assert_array_equal(step(x).numpy(), Halves()(x).numpy())


def test_strides_are_known_without_elements() -> None:
    class Turned(nn.Module):
        def forward(self, x: Any) -> Any:
            turned = (x * 1).permute(1, 0, 2)
            assert turned.stride() == (3, 12, 1) and turned.contiguous().stride() == (6, 3, 1)
            assert not turned.is_contiguous() and turned[:1].is_contiguous() is False and x.contiguous() is x
            return turned.contiguous().view(4, 6) + turned.reshape(4, 6) + turned[:1].contiguous().view(6)

    x = gpunn.arange(24.0).reshape(2, 4, 3)
    assert EvalStep(Turned())(x).tolist() == Turned()(x).tolist()


def test_what_asserts_is_not_followed_into_pytest() -> None:
    class Checked(nn.Module):
        def forward(self, x: Any) -> Any:
            assert x.ndim == 2
            return x

    assert any("pytest" in name for name in Checked.forward.__code__.co_names)
    assert not any("pytest" in probe.what for probe in Reach(EvalStep(Checked()).body).probes)


def test_why_plans_were_made_is_known() -> None:
    step, model, _ = linear_step()
    for n in (4, 3, 4):
        step(*batch(n))
    model.eval()
    step(*batch(4))
    model.slope = 0.1
    step(*batch(4))
    model.bias.requires_grad_(False)
    step(*batch(4))
    model.weight.data = gpunn.zeros(2, 3)
    step(*batch(4))
    assert step.plans_made == [
        "float32[4, 3], float32[4, 2]",
        "float32[3, 3], float32[3, 2]",
        "float32[4, 3], float32[4, 2]: the model, or a layer, is in another mode",
        "float32[4, 3], float32[4, 2]: a layer, an attribute or a hook of a module was changed",
        "float32[4, 3], float32[4, 2]: a tensor float32[2] got requires_grad=False",
        "float32[4, 3], float32[4, 2]: a tensor float32[2, 3] got other memory",
    ]


def test_another_model_does_not_matter() -> None:
    step, _, _ = linear_step()
    step(*batch())
    nn.Linear(2, 2).eval()
    step(*batch())
    assert len(step.plans_made) == 1


def test_modes_of_users_modules_have_plans_of_their_own() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(3, 2)

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            return self.out(x) * 2 if self.training else self.out(x)

    model = Mine()
    step, x = EvalStep(model, fuse=False), batch()[0]
    for _ in range(3):
        for mode in (True, False):
            model.train(mode)
            np.testing.assert_array_equal(step(x).numpy(), model(x).detach().numpy())
    assert len(step.plans_made) == 2


def test_an_unchanged_step_in_the_manner_of_users_is_traced_once() -> None:
    """Numbers that are set again to what they are, and what the step does not read, lead to no new plan."""
    options = {"gain": 2.0, "seen": 0}
    history = []

    def loss_fn(output: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
        return (output * options["gain"] - y).square().mean()

    step, model, _ = linear_step(loss_fn)
    for k in range(4):
        options["gain"] = float("2.0")
        model.rate = 0.5 * 2
        history.append(step(*batch(seed=k)).item())
    assert len(step.plans_made) == 1
