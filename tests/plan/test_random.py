"""Random numbers within a step: each replay draws those that eager work would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.plan import TraceError
from gpunn.random import Generator

Draw = Callable[[gpunn.Tensor], gpunn.Tensor]
OWN = Generator(11)
"""A generator beside the default one."""


def filled(method: str, *args: Any) -> Draw:
    return lambda x: getattr(gpunn.zeros(x.shape, device=x.device), method)(*args)


DRAWS: dict[str, Draw] = {
    "rand": lambda x: gpunn.rand(x.shape, device=x.device),
    "randn": lambda x: gpunn.randn(x.shape, device=x.device),
    "rand_like": gpunn.rand_like,
    "randn_like": gpunn.randn_like,
    "randint": lambda x: gpunn.randint(-5, 5, x.shape, device=x.device).float(),
    "randperm": lambda x: gpunn.randperm(x.numel(), device=x.device).float().reshape(x.shape),
    "shuffled": lambda x: x[gpunn.randperm(x.shape[0], device=x.device)],
    "normal_": filled("normal_", 1.0, 2.0),
    "uniform_": filled("uniform_", -1.0, 2.0),
    "bernoulli_": filled("bernoulli_", 0.3),
    "random_": filled("random_", 7),
    "twice": lambda x: gpunn.rand_like(x) - gpunn.rand_like(x),
    "over a part": lambda x: (gpunn.zeros_like(x).normal_() * x)[:, :1],
    "of another generator": lambda x: gpunn.randn(x.shape, device=x.device, generator=OWN),
    "of both": lambda x: gpunn.randn(x.shape, device=x.device, generator=OWN) * gpunn.rand_like(x),
    "and dropout": lambda x: nn.functional.dropout(gpunn.randn_like(x), 0.5),
    "init.uniform_": lambda x: nn.init.uniform_(gpunn.empty_like(x), -1, 1),
    "init.normal_": lambda x: nn.init.normal_(gpunn.empty_like(x), 1.0, 0.1),
    "init.trunc_normal_": lambda x: nn.init.trunc_normal_(gpunn.empty_like(x)),
    "init.kaiming_normal_": lambda x: nn.init.kaiming_normal_(gpunn.empty_like(x)),
    "init.orthogonal_": lambda x: nn.init.orthogonal_(gpunn.empty_like(x)),
    "init.sparse_": lambda x: nn.init.sparse_(gpunn.empty_like(x), 0.4),
    "float64": lambda x: gpunn.randn(x.shape, device=x.device, dtype=gpunn.float64).float(),
    "float16": lambda x: gpunn.rand(x.shape, device=x.device, dtype=gpunn.float16).float(),
}


class Noisy(nn.Module):
    """A linear layer of an input with noise."""

    def __init__(self, draw: Draw):
        super().__init__()
        self.out = nn.Linear(3, 2)
        self.draw = draw

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.out(x + self.draw(x))


def trained(draw: Draw, planned: bool, device: str = "cpu", steps: int = 4) -> list[np.ndarray]:
    """Losses, parameters, and a number that is drawn behind the last step."""
    gpunn.manual_seed(5)
    OWN.manual_seed(11)
    model = Noisy(draw).to(device)
    optimizer, loss_fn = optim.SGD(model.parameters(), 0.1), nn.MSELoss()
    step = TrainStep(model, loss_fn, optimizer, fuse=False)
    run = step if planned else step.body
    x = gpunn.tensor(np.random.default_rng(0).standard_normal((4, 3)), dtype=gpunn.float32, device=device)
    found = [run(x, gpunn.ones(4, 2, device=device)) for _ in range(steps)]
    found += [*model.parameters(), gpunn.rand(3), gpunn.rand(3, generator=OWN)]
    assert not planned or len(step.plans_made) == 1
    return [t.detach().cpu().numpy().copy() for t in found]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", DRAWS)
def test_each_step_draws_what_eager_work_would(name: str, device: str) -> None:
    if device == "sim" and not any(word in name for word in ("randn_like", "shuffled", "bernoulli", "both")):
        device = "cpu"  # one of each kind is enough where kernels run on the CPU
    expected = trained(DRAWS[name], False, device)
    for a, b in zip(trained(DRAWS[name], True, device), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len({loss.tobytes() for loss in expected[:4]}) == 4


def test_a_variational_autoencoder_learns_as_it_does_eagerly() -> None:
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

        def forward(self, x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
            mean, log_var = self.encoder(x).chunk(2, 1)
            code = mean + gpunn.randn_like(mean) * (0.5 * log_var).exp()
            return self.decoder(code), mean, log_var

    def loss_fn(output: tuple[gpunn.Tensor, ...], x: gpunn.Tensor) -> gpunn.Tensor:
        again, mean, log_var = output
        return (again - x).square().sum(1).mean() + 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(1).mean()

    def losses(planned: bool, **options: Any) -> list[float]:
        gpunn.manual_seed(2)
        model = Autoencoder()
        step = TrainStep(model, loss_fn, optim.Adam(model.parameters(), 0.05), **options)
        x = gpunn.randn(16, 6)
        return [(step if planned else step.body)(x, x).item() for _ in range(20)]

    assert losses(True, fuse=False) == losses(False)
    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


def test_a_noise_layer_of_a_trained_model_gives_two_predictions() -> None:
    model = Noisy(gpunn.randn_like)
    trainer = gpunn.Trainer(model, "mse", optim.SGD(model.parameters(), 0.1), progress=False)
    x = np.ones((5, 3), np.float32)
    gpunn.manual_seed(1)
    planned = [trainer.predict(x).numpy() for _ in range(3)]
    gpunn.manual_seed(1)
    eager = [model(gpunn.tensor(x)).detach().numpy() for _ in range(3)]
    np.testing.assert_array_equal(planned, eager)
    assert (planned[0] != planned[1]).any()


@pytest.mark.parametrize("own", [False, True])
def test_another_seed_leads_to_its_numbers(own: bool) -> None:
    source = Generator(3) if own else gpunn.random.default_generator
    model = Noisy(lambda x: gpunn.randn(x.shape, generator=source))
    step, x = EvalStep(model, fuse=False), gpunn.ones(2, 3)
    for seed in (1, 2, 1):
        source.manual_seed(seed)
        planned = [step(x).tolist(), step(x).tolist()]
        source.manual_seed(seed)
        assert planned == [model(x).tolist(), model(x).tolist()]


def test_the_numbers_go_on_from_a_state_that_is_set() -> None:
    model = Noisy(gpunn.rand_like)
    step, x = EvalStep(model), gpunn.ones(2, 3)
    step(x)
    state = gpunn.get_rng_state()
    first = step(x).tolist()
    gpunn.set_rng_state(state)
    assert step(x).tolist() == first != step(x).tolist()


def seeds(x: gpunn.Tensor) -> gpunn.Tensor:
    gpunn.manual_seed(4)
    return gpunn.rand_like(x)


def sets_the_state(x: gpunn.Tensor) -> gpunn.Tensor:
    state = gpunn.get_rng_state()
    noise = gpunn.rand_like(x)
    gpunn.set_rng_state(state)
    return noise


def seeds_its_own(x: gpunn.Tensor) -> gpunn.Tensor:
    OWN.manual_seed(4)
    return gpunn.rand(x.shape, generator=OWN)


def draws_on_the_host(x: gpunn.Tensor) -> gpunn.Tensor:
    return gpunn.tensor(OWN.numpy().random(x.shape), dtype=x.dtype)


def makes_a_generator(x: gpunn.Tensor) -> gpunn.Tensor:
    return gpunn.rand(x.shape, generator=Generator(4))


@pytest.mark.parametrize("draw", [seeds, sets_the_state, seeds_its_own, draws_on_the_host, makes_a_generator])
def test_what_can_t_be_drawn_anew_is_refused(draw: Draw) -> None:
    """And the generators are left as they were."""
    step = EvalStep(Noisy(draw))
    gpunn.manual_seed(1)
    OWN.manual_seed(11)
    with pytest.raises(TraceError, match="generator"):
        step(gpunn.ones(2, 3))
    assert gpunn.get_rng_state() == {"seed": 1, "calls": {}}
    assert OWN.get_state() == {"seed": 11, "calls": {}}


def test_a_failed_trace_leaves_generators_as_they_were() -> None:
    def draw(x: gpunn.Tensor) -> gpunn.Tensor:
        return gpunn.rand_like(x) + gpunn.rand(x.shape, generator=OWN) if gpunn.rand(()) > 2 else x

    step = EvalStep(Noisy(draw))
    before = OWN.get_state(), gpunn.get_rng_state()
    with pytest.raises(TraceError, match="reads the elements"):
        step(gpunn.ones(2, 3))
    assert (OWN.get_state(), gpunn.get_rng_state()) == before


@pytest.mark.parametrize("name", ["rand", "randint", "random_", "init.normal_"])
def test_wrong_arguments_are_the_eager_error(name: str) -> None:
    wrong: dict[str, Draw] = {
        "rand": lambda x: gpunn.rand(2, dtype=gpunn.int64),
        "randint": lambda x: gpunn.randint(5, 5, (2,)),
        "random_": lambda x: gpunn.zeros(3, dtype=gpunn.int8).random_(1000),
        "init.normal_": lambda x: nn.init.normal_(x, 0, -1),
    }
    errors = []
    for call in (EvalStep(Noisy(wrong[name])), Noisy(wrong[name])):
        with pytest.raises(RuntimeError) as error:
            call(gpunn.ones(2, 3))
        errors.append(str(error.value).split(";")[0].split("\n")[0])
    assert errors[0] == errors[1]


def test_draws_do_not_cut_a_captured_step_into_several_graphs() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Noisy(gpunn.randn_like)).to("sim")
    step = EvalStep(model, fuse=False)
    step(gpunn.ones(2, 3, device="sim"))
    kinds = [line.split(":")[0] for line in step.plan.explain_capture().splitlines()]
    assert kinds == ["op by op", "graph"]
