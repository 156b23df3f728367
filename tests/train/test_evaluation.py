"""Evaluation, validation and prediction through plans give what they give op by op, and nothing is traced again."""

import json
import threading

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.plan import TraceError
from gpunn.train import LambdaCallback, Trainer

CPU = gpunn.device("cpu")
N = 50


def network():
    """A CNN with batch norm and dropout, in float64."""
    gpunn.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(36, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)),
    ).double()


@pytest.fixture
def data(rng):
    """Images (50, 1, 6, 6), and labels of three classes."""
    return rng.normal(size=(N, 1, 6, 6)), rng.integers(0, 3, size=N)


def make(model, eager=False, loss="cross_entropy", metrics=("accuracy",), **options):
    optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9)
    return Trainer(model, loss, optimizer, metrics=metrics, progress=False, seed=1, eager=eager, **options)


def watched(trainer):
    """The training steps that the trainer makes from now on."""
    steps, make_step = [], trainer.make_step

    def watch():
        steps.append(make_step())
        return steps[-1]

    trainer.make_step = watch
    return steps


# Results --------------------------------------------------------------------------------------------------------------


def results(eager, data, fuse=True):
    """What a trained network gives in all ways, for batches of several sizes."""
    model = network()
    make(model).fit(data, 2, batch_size=16)  # for running statistics that are not those of the beginning
    trainer = make(model, eager, l2=0.1)
    if not fuse:
        for step in trainer.evaluator.steps:
            step.rules = ()
    found = []
    for size in (16, 50, 7):
        found += list(trainer.evaluate(data, size).values())
        found.append(trainer.predict(data[0], size).numpy())
    assert model.training
    assert [len(step.plans_made) for step in trainer.evaluator.steps] == ([] if eager else [5, 5])
    return found


def test_they_are_those_of_eager_work_within_rounding(data):
    for a, b in zip(results(False, data), results(True, data), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_where_nothing_is_fused_they_are_equal_to_the_bit(data):
    for a, b in zip(results(False, data, fuse=False), results(True, data), strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_is_that_of_eager_work(data):
    rows = [make(network(), eager).fit(data, 3, validation=0.3, batch_size=16).rows for eager in (False, True)]
    for ours, theirs in zip(*rows, strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-9)
        assert ours["val_accuracy"] == theirs["val_accuracy"]


def test_batches_in_which_no_target_counts(data):
    x, y = data
    y = np.where(np.arange(N) < 20, 2, y)
    loss = nn.CrossEntropyLoss(ignore_index=2)
    found = [make(network(), eager, loss).evaluate((x, y), 10) for eager in (False, True)]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-12)
    counts = y != 2
    assert make(network(), True, loss).evaluate((x[counts], y[counts]))["loss"] == pytest.approx(found[0]["loss"])


# Plans and memory -----------------------------------------------------------------------------------------------------


def test_epochs_trace_nothing_again(data):
    """36 samples to train on and 14 to validate with: a plan for each size of batches, however many epochs."""

    def look(trainer, epoch, logs):
        trainer.evaluate((data[0][:30], data[1][:30]), 20)
        trainer.predict(data[0][:8])

    trainer = make(network(), callbacks=[LambdaCallback(on_epoch_end=look)])
    steps, (measuring, predicting) = watched(trainer), trainer.evaluator.steps
    trainer.fit(data, 4, validation=0.3, batch_size=16)
    assert len(steps[0].plans_made) == 2  # of 16 and 4
    assert len(measuring.plans_made) == 1 + 2  # of 14; of 20 and 10
    assert len(predicting.plans_made) == 1


def test_evaluations_trace_nothing_again(data):
    trainer = make(network())
    for _ in range(3):
        trainer.evaluate(data, 20)
        trainer.predict(data[0], 20)
    assert [len(step.plans_made) for step in trainer.evaluator.steps] == [2, 2]


@pytest.mark.parametrize("size", [3, 30])
def test_validation_lies_in_the_memory_of_training(size, data):
    """Whichever of the two needs more: training on batches of 3 or 30, validation on one of 25."""
    seen = []

    def look(trainer, epoch, logs):
        seen.append((arena.nbytes(CPU), steps[0].plan.memory().arena))

    trainer = make(network(), callbacks=[LambdaCallback(on_epoch_end=look)])
    steps, arena = watched(trainer), trainer.evaluator.arena
    x, y = data
    trainer.fit((x[:30], y[:30]), 2, validation=(x[25:], y[25:]), batch_size=size)
    (held, training), (again, _) = seen
    assert held == again
    assert arena.nbytes(CPU) == 0  # after the training nothing is held
    trainer.evaluate((x[25:], y[25:]))
    evaluation = arena.nbytes(CPU)
    assert held == max(training, evaluation)
    assert (size == 30) == (training > evaluation)


def test_parameters_move_to_the_optimizer_after_an_evaluation(data):
    trainer = make(network())
    trainer.evaluate(data)
    trainer.fit(data, 1)
    assert all(segment.inside for segment in trainer.optimizer._segments.values())


# Modes ----------------------------------------------------------------------------------------------------------------


def test_the_mode_of_each_module_is_put_back(data):
    model = network()
    model[1].eval()
    trainer = make(model)
    trainer.evaluate(data)
    trainer.predict(data[0])
    assert [module.training for module in model] == [i != 1 for i in range(len(model))]


# What a plan can't express --------------------------------------------------------------------------------------------


class Named(nn.Module):
    """A result by its name."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return {"value": self.layer(x)}


def test_an_output_that_is_no_tensor():
    model = Named()
    trainer = make(model, loss=lambda output, target: (output["value"] - target).square().mean(), metrics=())
    x, y = np.ones((6, 2), np.float32), np.zeros((6, 1), np.float32)
    expected = model(gpunn.tensor(x))["value"].square().mean().item()
    assert trainer.evaluate((x, y), 4)["loss"] == pytest.approx(expected)
    with pytest.raises(TypeError, match="the model gives dict, not one tensor"):
        trainer.predict(x)
    trainer, seen = make(model, loss=trainer.objective.function, metrics=()), []
    model.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    trainer.evaluate((x, y), 4)
    assert seen == [4, 2]


def test_hooks_see_every_batch_once(data):
    model, seen = network(), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.numpy().shape[0]))
    trainer = make(model)
    trainer.evaluate(data, 20)
    trainer.predict(data[0], 30)
    assert seen == [20, 20, 10, 30, 20]


class Choice(nn.Module):
    """Decides by the elements of a tensor, in evaluation alone."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        y = self.layer(x)
        if not self.training and y.sum() > 0:
            return y
        return -y


def test_a_decision_by_elements_is_an_error_that_says_what_to_do():
    model = Choice()
    x, y = np.ones((6, 2), np.float32), np.zeros((6, 1), np.float32)
    message = r"test_evaluation\.py:\d+: \"if not self.training and y.sum\(\) > 0:\".*eager=True"
    for call in (
        lambda t: t.evaluate((x, y)),
        lambda t: t.predict(x),
        lambda t: t.fit((x, y), 1, validation=(x, y)),
    ):
        with pytest.raises(TraceError, match=message):
            call(make(model, loss="mse", metrics=()))
        assert model.training
    trainer = make(model, eager=True, loss="mse", metrics=())
    assert (trainer.predict(x).numpy() >= 0).all()
    assert trainer.evaluate((x, y))["loss"] >= 0


# On a device with kernels ---------------------------------------------------------------------------------------------


def test_on_a_device():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(22, 5)).astype(np.float32), rng.integers(0, 3, 22)
    found = []
    for device, eager in (("cpu", True), ("sim", True), ("sim", False)):
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        trainer = make(model, eager, device=device)
        steps = watched(trainer)
        row = trainer.fit((x, y), 3, validation=(x, y), batch_size=8).last
        found.append([row["val_loss"], trainer.evaluate((x, y), 9)["loss"], *trainer.predict(x, 9).cpu().numpy()])
        if not eager:
            assert len(steps[0].plans_made) == 2
            assert [len(step.plans_made) for step in trainer.evaluator.steps] == [1 + 2, 2]
    for a, b, c in zip(*found, strict=True):
        np.testing.assert_allclose(c, b, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(c, a, rtol=1e-4, atol=1e-5)


def test_a_bad_label_on_a_device():
    model = nn.Linear(5, 3)
    trainer = make(model, device="sim")
    x, y = np.ones((8, 5), np.float32), np.array([0, 1, 2, 0, 1, 5, 0, 1])
    with pytest.raises(IndexError, match="Target 5 is out of bounds"):
        trainer.evaluate((x, y), 4)
    assert np.isfinite(trainer.evaluate((x, y % 3), 4)["loss"])


# The command ----------------------------------------------------------------------------------------------------------

MODEL = """
from gpunn import nn

class Choice(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(64, outputs)

    def forward(self, x):
        y = self.layer(x.flatten(1))
        return y if y.sum() > 0 else y - 1

def make(shape, outputs):
    return Choice(outputs)
"""


def test_commands_go_op_by_op_where_the_training_did(tmp_path, monkeypatch, capsys):
    from gpunn.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL)
    assert main(["train", "--model", "net.py:make", "--epochs", "1", "--out", "run"]) == 1
    assert "--eager of gpunn train, evaluate and predict" in capsys.readouterr().err
    assert main(["train", "--model", "net.py:make", "--epochs", "1", "--out", "eager", "--eager", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["evaluate", "eager", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == trained["test_accuracy"]
    assert main(["predict", "eager"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 360


def test_commands_go_op_by_op_when_told_to(tmp_path, monkeypatch, capsys):
    from gpunn.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--model", "mlp:8", "--epochs", "1", "--out", "run"]) == 0
    monkeypatch.setattr("gpunn.plan.Step.__call__", lambda *_: pytest.fail("a plan is used"))
    assert main(["evaluate", "run", "--eager"]) == 0
    assert main(["predict", "run", "--eager"]) == 0


def test_the_first_thing_that_a_program_does_is_planned_too():
    """What tracing sets for the first time is no change that the step makes."""
    found = []

    def evaluate():
        trainer = Trainer(nn.Linear(4, 3), "cross_entropy", "sgd", progress=False)
        trainer.evaluate((np.ones((6, 4), np.float32), np.zeros(6, np.int64)))
        found.append(len(trainer.evaluator.steps[0].plans_made))

    thread = threading.Thread(target=evaluate)  # the state of traces is one per thread
    thread.start()
    thread.join()
    assert found == [1]
