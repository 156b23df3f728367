"""What may happen to a training from outside: launches that fail, memory that ends, clocks that jump, stops, threads.

GPUNN_TRUST says how many; `make trust` takes many.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend.simulator.function import RawKernel
from gpunn.plan import StepFailed
from tests.train.conftest import assert_same_bits, make_model, make_trainer, weights
from tests.train.kills import Server, contents, has_checkpoint

TRUST = int(os.environ.get("GPUNN_TRUST", "0"))


class LaunchFailed(RuntimeError):
    """As a GPU reports it."""


class Failing:
    """Launches of simulated kernels are counted, and one of them fails."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count, self.at = 0, 0
        launch = RawKernel.__call__

        def counted(kernel: Any, *args: Any, **kwargs: Any) -> None:
            self.count += 1
            if self.count == self.at:
                raise LaunchFailed(f"CUDA_ERROR_LAUNCH_FAILED: launch {self.at}")
            launch(kernel, *args, **kwargs)

        patch.setattr(RawKernel, "__call__", counted)


@pytest.mark.promise("a launch that fails in the middle of a step: nothing is changed, or the step goes no further")
@pytest.mark.parametrize("capture", [True, False])
def test_a_launch_that_fails_within_a_step(
    capture: bool, monkeypatch: pytest.MonkeyPatch, record_property: Any, tmp_path: Path
) -> None:
    """Steps are op by op, taken down, captured, and a graph; where one fails, it can be done from its start."""
    failing = Failing(monkeypatch)
    x, y = gpunn.randn(6, 4, device="sim"), gpunn.randint(3, (6,), device="sim")

    def make() -> tuple[Any, ...]:
        model = make_model(dropout=0.3, batch_norm=True).to("sim")
        optimizer = optim.Adam(model.parameters(), 0.01)
        return model, optimizer, TrainStep(model, nn.CrossEntropyLoss(), optimizer, capture=capture)

    def state(model: Any, optimizer: Any) -> dict[str, Any]:
        moments = {f"{i}.{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()}
        return {k: np.array(v.detach().cpu().numpy()) for k, v in {**model.state_dict(), **moments}.items()}

    def run(at: int) -> tuple[dict[str, Any], int]:
        model, optimizer, step = make()
        gpunn.manual_seed(5)
        failing.count, failing.at = 0, at
        for _ in range(4):
            saved = gpunn.get_rng_state(), {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            gpunn.save(saved[1], tmp_path / "before")
            before = state(model, optimizer)
            try:
                step(x, y)
            except LaunchFailed:
                now = state(model, optimizer)
                if all(now[k].tobytes() == v.tobytes() for k, v in before.items()) and not step._failed:
                    gpunn.set_rng_state(saved[0])
                    step(x, y)
                    continue
                with pytest.raises(StepFailed, match="load them and the optimizer's state from a checkpoint"):
                    step(x, y)
                model, optimizer, step = make()
                found = gpunn.load(tmp_path / "before")
                model.load_state_dict(found["model"])
                optimizer.load_state_dict(found["optimizer"])
                gpunn.set_rng_state(saved[0])
                step(x, y)
        return state(model, optimizer), failing.count

    expected, launches = run(0)
    places = range(1, launches + 1)
    if not TRUST:
        places = sorted(random.Random(int(capture)).sample(places, 8))
    for at in places:
        assert_same_bits(run(at)[0], expected)
    record_property("tried", len(places))


@pytest.mark.promise(
    "a training whose device fails is resumed, and leaves what an uninterrupted one leaves, to the bit"
)
def test_a_training_whose_device_fails_is_resumed(monkeypatch: pytest.MonkeyPatch, task: Any, tmp_path: Path) -> None:
    failing = Failing(monkeypatch)

    def train(name: str, resume: bool = False) -> Any:
        trainer = make_trainer(make_model(dropout=0.2), device="sim", run_dir=tmp_path / name, seed=2)
        trainer.fit((task.x[:40], task.y[:40]), 3, batch_size=20, resume=resume)
        return weights(trainer.model.to("cpu"))

    expected = train("a")
    failing.count, failing.at = 0, failing.count * 2 // 3
    with pytest.raises(LaunchFailed):
        train("b")
    assert_same_bits(train("b", resume=has_checkpoint(tmp_path / "b")), expected)


@pytest.mark.promise("clocks that jump change no bit")
def test_clocks_that_jump(monkeypatch: pytest.MonkeyPatch, task: Any, tmp_path: Path) -> None:
    """`time.time` may be set by anybody, to before 1970 too; the others can't go back, but stand for hours."""

    def train(name: str) -> tuple[Any, Any]:
        trainer = make_trainer(run_dir=tmp_path / name, seed=2, progress=gpunn.train.Lines())
        history = trainer.fit((task.x, task.y), 2, 0.2, 20)
        rows = [{k: v for k, v in row.items() if "second" not in k} for row in history.rows]
        return weights(trainer.model), rows

    expected = train("a")
    rng, began = random.Random(0), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: rng.uniform(-1e9, 1e10))
    jumps = [0.0]

    def jumping() -> float:
        jumps[0] += rng.choice([0.0, 1e-9, 1.0, 1e6])
        return began + jumps[0]

    monkeypatch.setattr(time, "perf_counter", jumping)
    monkeypatch.setattr(time, "monotonic", jumping)
    found = train("b")
    assert_same_bits(found[0], expected[0])
    assert found[1] == expected[1]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.mark.promise("a run that is stopped and continued (SIGSTOP, SIGCONT) leaves what any run leaves")
@pytest.mark.parametrize("seed", range(TRUST // 10 or 1))
def test_stopped_and_continued(seed: int, server: Server, tmp_path: Path) -> None:
    assert server.run(tmp_path, [seed, "a", 3]) == 0, (tmp_path / "log").read_text()
    moments = int((tmp_path / "moments").read_text())
    for number in range(4 if TRUST else 1):
        moment = random.Random(10 * seed + number).randrange(1, moments)
        name = f"b{number}"
        assert server.run(tmp_path, [seed, name, 3], moment=moment, number=signal.SIGSTOP) == 0
        a, b = contents(tmp_path / "a"), contents(tmp_path / name)
        assert [key for key in {**a, **b} if a.get(key) != b.get(key)] == []


@pytest.mark.promise("a process whose memory is limited says so in a line, or trains; it leaves nothing half-written")
@pytest.mark.parametrize("seed", range(TRUST // 10 or 1))
def test_memory_that_is_limited(seed: int, server: Server, tmp_path: Path) -> None:
    rng = random.Random(seed)
    width = rng.choice([1000, 2000, 4000])
    options = ["train", "--model", f"mlp:{width},{width}", "--epochs", "1", "--batch-size", rng.choice(["64", "full"])]
    options += ["--optimizer", rng.choice(["sgd", "adam"]), "--out", "a", *rng.choice([[], ["--eager"]])]
    code = server.run(tmp_path, options, memory=int(rng.choice([10e6, 40e6, 100e6, 200e6])))
    log = (tmp_path / "log").read_text()
    assert code in (0, 1), (options, log)
    if code:
        assert "memory" in log.splitlines()[-1], log
        assert "Traceback" not in log
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")] == []


def in_threads(*works: Any) -> None:
    errors: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.promise("threads that share a model get what one alone gets")
@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_threads_that_share_a_model(device: str) -> None:
    """Answers and gradients of it, through one plan for all, and op by op."""
    model = make_model(batch_norm=True).to(device).eval()
    batches = [gpunn.randn(n, 4, device=device) for n in (3, 5, 7, 5)]
    expected = [model(x).detach().cpu().numpy() for x in batches]
    parameters = list(model.parameters())
    gradients = [[g.cpu().numpy() for g in gpunn.autograd.grad(model(x).sum(), parameters)] for x in batches]
    step, rounds = EvalStep(model), 20 if device == "cpu" else 3

    def answers(number: int) -> None:
        for _ in range(rounds):
            np.testing.assert_array_equal(step(batches[number]).cpu().numpy(), expected[number])

    def differentiate(number: int) -> None:
        for _ in range(rounds):
            found = gpunn.autograd.grad(model(batches[number]).sum(), parameters)
            for a, b in zip(found, gradients[number], strict=True):
                np.testing.assert_array_equal(a.cpu().numpy(), b)

    in_threads(*(lambda n=n: answers(n) for n in range(4)), *(lambda n=n: differentiate(n) for n in range(4)))


@pytest.mark.promise("threads that share a model get what one alone gets")
def test_threads_that_train_one_model_take_turns() -> None:
    """All by the same batch, so that their order does not matter."""
    x, y = gpunn.randn(8, 4), gpunn.randint(3, (8,))

    def make() -> tuple[Any, Any]:
        model = make_model()
        return model, TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1, momentum=0.9))

    alone, step = make()
    for _ in range(80):
        step(x, y)
    shared, step = make()
    in_threads(*[lambda: [step(x, y) for _ in range(20)]] * 4)
    assert_same_bits(weights(shared), weights(alone))
