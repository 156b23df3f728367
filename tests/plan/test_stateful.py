"""Random networks in random sequences of calls: eager, planned and fused steps, the simulator and PyTorch agree.

Hypothesis chooses the network, its loss and optimizer, and what is done with it: training on batches of any size,
evaluation, changes of anything, saving and going on from the file, moving to another device and back. GPUNN_TRUST says
how many; `make trust` takes many.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis", reason="Hypothesis is not installed")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule  # noqa: E402

import gpunn  # noqa: E402
from gpunn import EvalStep, TrainStep  # noqa: E402

from .random_models import ACTIVATIONS, Plan, build, plan  # noqa: E402

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

TRUST = int(os.environ.get("GPUNN_TRUST", "0"))
CHANGES = ("lr", "weight_decay", "freeze", "scale", "dropout", "activation", "mode")


class Chosen:
    """Hypothesis in the place of a generator of random numbers."""

    def __init__(self, draw: Any):
        self.draw = draw

    def integers(self, low: int, high: int | None = None) -> Any:
        return self.draw(st.integers(0, low - 1) if high is None else st.integers(low, high - 1))

    def random(self) -> Any:
        return self.draw(st.sampled_from([0.25, 0.75]))

    def uniform(self, low: float, high: float) -> Any:
        return self.draw(st.sampled_from([low, (low + high) / 2, high]))

    def choice(self, values: Any) -> Any:
        return self.draw(st.sampled_from(list(values)))


@st.composite
def plans(draw: Any, dropout: bool) -> Plan:
    return plan(Chosen(draw), dropout)


class World:
    """One way to do it: a network with its optimizer, on a device, in a type."""

    library: Any = gpunn

    def __init__(self, p: Plan, how: str, dtype: str, seed: int, folder: Path):
        self.plan, self.how, self.dtype, self.folder = p, how, dtype, folder
        self.device = "sim" if how == "sim" else "cpu"
        self.make(seed)

    def make(self, seed: int) -> None:
        """A new network."""
        library, (name, options) = self.library, self.plan.optimizer
        gpunn.manual_seed(seed)
        start = build(gpunn, self.plan.layers)
        self.model = start if library is gpunn else build(library, self.plan.layers)
        if library is not gpunn:
            self.model.load_state_dict({k: library.tensor(v.numpy()) for k, v in start.state_dict().items()})
        self.model = self.model.to(dtype=getattr(library, self.dtype))
        self.model = self.model.to(self.device)
        self.optimizer = getattr(library.optim, name)(self.model.parameters(), **options)
        self.loss = getattr(library.nn, self.plan.loss)()
        self.steps()

    def steps(self) -> None:
        """New steps, as at the beginning of a program."""
        fuse = self.how in ("fused", "sim")
        self.step = TrainStep(self.model, self.loss, self.optimizer, fuse=fuse)
        self.answer = EvalStep(self.model, fuse=fuse)

    def tensor(self, x: np.ndarray) -> Any:
        kind = getattr(self.library, self.dtype if x.dtype.kind == "f" else "int64")
        return self.library.tensor(x, dtype=kind, device=self.device)

    def train(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        batch = self.tensor(x), self.tensor(y)
        return self.array((self.step.body if self.how == "eager" else self.step)(*batch))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        modes = [module.training for module in self.model.modules()]
        self.model.eval()
        found = self.array((self.model if self.how == "eager" else self.answer)(self.tensor(x)))
        for module, mode in zip(self.model.modules(), modes):
            module.training = mode
        return found

    def change(self, what: str, number: int) -> None:
        """Change something; which one of several `number` says."""
        parameters = list(self.model.parameters())
        if what in ("lr", "weight_decay"):
            self.optimizer.param_groups[0][what] = (0.001, 0.02, 0.005)[number % 3]
        elif what == "freeze":
            p = parameters[number % (len(parameters) - 1)]  # not the last one: there is a gradient
            p.requires_grad_(not p.requires_grad)
            self.optimizer.zero_grad()
        elif what == "scale":
            with self.library.no_grad():
                parameters[number % len(parameters)].mul_(0.5)
        elif what == "dropout":
            for module in self.model.modules():
                if hasattr(module, "p"):
                    module.p = (0.0, 0.3, 0.5)[number % 3]
        elif what == "activation":
            places = [i for i, layer in enumerate(self.plan.layers) if layer[0] in ACTIVATIONS]
            if places:
                name = ("Tanh", "SiLU", "Identity")[number % 3]
                self.model[places[number % len(places)]] = getattr(self.library.nn, name)()
        elif what == "mode":
            modules = [m for m in self.model.modules() if "Norm" in type(m).__name__ or "Dropout" in type(m).__name__]
            if modules:
                module = modules[number % len(modules)]
                module.train(not module.training)

    def go_on_from_a_file(self) -> None:
        """Save, and go on in a network that was made anew."""
        before, path = self.model, self.folder / self.how
        gpunn.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}, path)
        self.make(99)
        for (place, old), (_, new) in zip(list(before.named_modules()), list(self.model.named_modules()), strict=True):
            if type(old).__name__ != type(new).__name__:
                self.model[int(place)] = type(old)()
            new.training = old.training
            if hasattr(old, "p"):
                new.p = old.p
        for old, new in zip(before.parameters(), self.model.parameters(), strict=True):
            new.requires_grad_(old.requires_grad)
        found = gpunn.load(path)
        self.model.load_state_dict(found["model"])
        self.optimizer.load_state_dict(found["optimizer"])

    def move(self, device: str) -> None:
        """To another device and back, with all that the optimizer remembers."""
        here = self.device
        for there in (device, here):
            self.model.to(there)
            self.optimizer.load_state_dict(self.optimizer.state_dict())
        self.steps()

    def array(self, t: Any) -> np.ndarray:
        return np.array(t.detach().cpu().numpy())

    def state(self) -> list[np.ndarray]:
        return [self.array(t) for t in (*self.model.parameters(), *self.model.buffers())]


class TorchWorld(World):
    """PyTorch, op by op."""

    library = torch

    def steps(self) -> None:
        self.answer = self.model

    def train(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.tensor(x)), self.tensor(y))
        loss.backward()
        self.optimizer.step()
        return self.array(loss)

    def go_on_from_a_file(self) -> None:
        """What PyTorch does with files is not what is looked at."""

    def move(self, device: str) -> None:
        """It has no simulator."""


class Machine(RuleBasedStateMachine):
    """The worlds side by side."""

    sim = False

    @initialize(data=st.data(), dtype=st.sampled_from(["float64", "float32"]), seed=st.integers(0, 9))
    def begin(self, data: Any, dtype: str, seed: int) -> None:
        dropout = data.draw(st.booleans())
        p = data.draw(plans(dropout=dropout))
        self.plan, self.folder = p, tempfile.TemporaryDirectory()
        dtype = "float64" if self.sim else dtype
        ways = ["eager", "planned", *(["fused"] if dtype == "float64" else []), *(["sim"] if self.sim else [])]
        self.worlds = [World(p, how, dtype, seed, Path(self.folder.name)) for how in ways]
        if torch is not None and not dropout and dtype == "float64":
            self.worlds.append(TorchWorld(p, "torch", dtype, seed, Path(self.folder.name)))
        self.rng = np.random.default_rng(seed)

    def inputs(self, n: int) -> np.ndarray:
        return self.rng.standard_normal((n, *self.plan.shape))

    def agree(self, found: list[list[np.ndarray]]) -> None:
        """Planned ones have the bits of eager ones, the others agree within rounding."""
        for world, arrays in zip(self.worlds[1:], found[1:]):
            for a, b in zip(arrays, found[0], strict=True):
                if world.how == "planned":
                    np.testing.assert_array_equal(a, b)
                else:
                    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8, err_msg=world.how)

    def each(self, work: Any) -> list[Any]:
        """Work done in each world, from the same random state."""
        state, found = gpunn.get_rng_state(), []
        for world in self.worlds:
            gpunn.set_rng_state(state)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(work(world))
        return found

    @rule(n=st.integers(2, 6), times=st.integers(1, 3))
    def train(self, n: int, times: int) -> None:
        for _ in range(times):
            x, labels = self.inputs(n), self.plan.loss == "CrossEntropyLoss"
            y = self.rng.integers(0, self.plan.outputs, n) if labels else self.rng.random((n, self.plan.outputs))
            losses = self.each(lambda world, x=x, y=y: [world.train(x, y)])
            self.agree(losses)
        self.agree([world.state() for world in self.worlds])

    @rule(n=st.integers(1, 5))
    def evaluate(self, n: int) -> None:
        x = self.inputs(n)
        self.agree(self.each(lambda world: [world.evaluate(x)]))

    @rule(what=st.sampled_from(CHANGES), number=st.integers(0, 11))
    def change(self, what: str, number: int) -> None:
        for world in self.worlds:
            world.change(what, number)

    @rule()
    def go_on_from_a_file(self) -> None:
        before = [world.state() for world in self.worlds]
        self.each(lambda world: world.go_on_from_a_file())
        for world, arrays in zip(self.worlds, before):
            for a, b in zip(world.state(), arrays, strict=True):
                np.testing.assert_array_equal(a, b)

    @precondition(lambda self: self.sim)
    @rule()
    def move(self) -> None:
        for world in self.worlds:
            world.move("cpu" if world.device == "sim" else "sim")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


class SimMachine(Machine):
    """With the simulator among them."""

    sim = True


def run(machine: type[Machine], examples: int, steps: int) -> None:
    hypothesis.stateful.run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # a sequence is short enough to be looked at as it is
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.promise("random networks and calls: eager, planned and fused steps and PyTorch agree")
def test_on_the_cpu(record_property: Any) -> None:
    examples = TRUST * 2 or 12
    run(Machine, examples, 12)
    record_property("tried", examples)


@pytest.mark.promise("random networks and calls: the CUDA kernels on the simulator agree with the CPU and PyTorch")
def test_on_the_simulator(record_property: Any) -> None:
    examples = TRUST // 2 or 3
    run(SimMachine, examples, 8)
    record_property("tried", examples)
