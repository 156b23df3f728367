"""Norms of weights, gradients and updates by layer while a network trains, and what is said of them."""

import json
import signal

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.train import Batch, GradientFlow, LambdaCallback, Progress, RunFolder, TrainingInterrupted
from gpunn.train.gradient_findings import Findings, Measured

from .conftest import assert_same_bits, make_model, make_trainer, weights


def norm(*arrays):
    return np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays))


class Told(Progress):
    def __init__(self):
        super().__init__()
        self.lines = []

    def note(self, text):
        self.lines.append(text)


@pytest.mark.parametrize("eager", [False, True], ids=["planned", "eager"])
def test_the_norms_of_a_softmax_regression_by_hand(eager, rng):
    """Two steps of gradient descent in NumPy: P = softmax(X W^T + b), dZ = (P - Y) / n, dW = dZ^T X + l W."""
    x, y, lr, l2 = rng.normal(size=(6, 4)), np.array([0, 2, 1, 1, 0, 2]), 0.5, 0.1
    gpunn.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3)).double()
    w, b = (p.detach().numpy().copy() for p in model.parameters())
    flow = GradientFlow(every=1)
    trainer = make_trainer(model, lr, 0.0, l2=l2, callbacks=[flow], eager=eager)
    trainer.fit((x, y), 2, batch_size=6, shuffle=False)
    for step, row in enumerate(flow.rows, 1):
        z = x @ w.T + b
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        dz = (p - np.eye(3)[y]) / 6
        dw, db = dz.T @ x + l2 * w, dz.sum(0)
        expected = {
            "epoch": step, "batch": 1, "step": step,
            "weight": norm(w, b), "gradient": norm(dw, db), "update": lr * norm(dw, db),
            "ratio": lr * norm(dw, db) / norm(w, b), "silent": 0.0, "dead": 0.0,
        }  # fmt: skip
        assert (row.pop("layer"), row.pop("kind")) == ("0", "Linear")
        assert row == pytest.approx(expected, rel=1e-12)
        w, b = w - lr * dw, b - lr * db


def test_a_clipped_gradient_is_seen_clipped(task):
    flow = GradientFlow(1)
    make_trainer(clip_norm=0.01, callbacks=[flow]).fit((task.x, task.y), 1)
    for step in (1, 2, 3):
        assert norm([row["gradient"] for row in flow.rows if row["step"] == step]) == pytest.approx(0.01, rel=1e-3)


WAYS = {
    "dropout and batch norm": {"model": lambda: make_model(0.3, batch_norm=True)},
    "accumulation": {"model": make_model, "grad_accumulation": 2},
    "micro-batches": {"model": lambda: make_model(0.3), "memory_limit": True},
    "penalty, clipped": {"model": make_model, "l2": 0.01, "clip_norm": 0.5},
    "op by op": {"model": lambda: make_model(0.3), "eager": True},
    "adam": {"model": make_model, "optimizer": optim.Adam},
}


@pytest.mark.parametrize("way", WAYS)
def test_who_is_watched_learns_the_same(way, task):
    found, rows = [], []
    for callbacks in ([], [GradientFlow(2)]):
        options = dict(WAYS[way])
        model = options.pop("model")()
        if "optimizer" in options:
            options["optimizer"] = options["optimizer"](model.parameters())
        if "memory_limit" in options:  # a little too small for a batch
            batch = Batch((gpunn.tensor(task.x[:32]),), gpunn.tensor(task.y[:32]), 32.0)
            options["memory_limit"] = make_trainer(model).make_step().memory([batch]).total - 1
        trainer = make_trainer(model, callbacks=callbacks, seed=1, progress=(told := Told()), **options)
        trainer.fit((task.x, task.y), 2, validation=0.2, batch_size=32)
        assert [line for line in told.lines if "is cut into" in line] == told.lines
        assert bool(told.lines) is ("memory_limit" in options)
        found.append(weights(model) | {"drawn": np.array(gpunn.get_rng_state()["calls"].get("1", 0))})
        rows += [row for callback in callbacks for row in callback.rows]
    assert_same_bits(*found)
    assert {row["layer"] for row in rows} == {n for n, m in model.named_modules() if list(m.parameters(recurse=False))}
    assert all(row["gradient"] > 0 for row in rows)


def test_captured_steps_are_watched(task):
    """The kernels of a device that captures, on the simulator: the same bits, and about the norms of the CPU."""
    found, rows = [], []
    for device, callbacks in (("sim", []), ("sim", [GradientFlow(1)]), ("cpu", [GradientFlow(1)])):
        trainer = make_trainer(callbacks=callbacks, device=device, seed=1)
        trainer.fit((task.x[:32], task.y[:32]), 1, batch_size=16)
        found.append({name: value.cpu().numpy() for name, value in trainer.model.state_dict().items()})
        rows += [[row["gradient"] for row in callback.rows] for callback in callbacks]
    assert_same_bits(*found[:2])
    assert rows[0] == pytest.approx(rows[1], rel=1e-5)


def test_the_same_plan_is_made_when_nobody_watches(task, monkeypatch):
    def plan(callbacks):
        trainer = make_trainer(callbacks=callbacks)
        step = trainer.make_step()
        monkeypatch.setattr(trainer, "make_step", lambda: step)
        listing = LambdaCallback(on_epoch_end=lambda *_: made.append(str(step.plan)))
        made = []
        trainer.callbacks.callbacks.append(listing)
        trainer.callbacks._busy["on_epoch_end"].append(listing)
        trainer.fit((task.x, task.y), 1)
        return made, step.plans_made

    assert plan([]) == plan([GradientFlow(1)])
    assert not make_trainer().callbacks._busy["on_step_begin"]


def test_planned_and_eager_steps_show_the_same(task):
    rows = []
    for eager in (False, True):
        flow = GradientFlow(2)
        make_trainer(make_model(0.3, batch_norm=True), callbacks=[flow], seed=1, eager=eager).fit((task.x, task.y), 2)
        rows.append(flow.rows)
    assert len(rows[0]) == 3 * 3
    for planned, eager in zip(*rows):
        assert [planned.pop(name) for name in ("layer", "kind")] == [eager.pop(name) for name in ("layer", "kind")]
        assert planned == pytest.approx(eager, rel=1e-4)


def test_a_model_with_a_hook_is_watched_too(task):
    """It is done op by op, and once only: the hook counts the steps."""
    model, calls = make_model(), []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    flow = GradientFlow(1)
    make_trainer(model, callbacks=[flow]).fit((task.x, task.y), 1)
    assert len(calls) == 3
    assert [row["gradient"] > 0 for row in flow.rows] == [True] * 6


def test_a_frozen_layer_is_left_out_and_unused_parameters_have_no_gradient(task):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    model[0].weight.requires_grad_(False)
    model[0].bias.requires_grad_(False)
    model.register_parameter("spare", nn.Parameter(gpunn.ones(2)))
    flow = GradientFlow(1)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    make_trainer(model, optimizer=optimizer, callbacks=[flow]).fit((task.x, task.y), 1)
    assert [row["layer"] for row in flow.rows[:2]] == ["", "2"]
    assert (flow.rows[0]["gradient"], flow.rows[0]["update"]) == (None, 0.0)


def test_silent_and_dead_units(task):
    """Two of eight units never fire; three in four of another layer do from no batch on."""
    model = make_model()
    with gpunn.no_grad():
        model[0].bias[:2] = -1e6
    flow = GradientFlow(1)
    make_trainer(model, callbacks=[flow]).fit((task.x, task.y), 4)
    mine = [row for row in flow.rows if row["layer"] == "0"]
    assert [row["dead"] for row in mine] == [0.0] * 9 + [0.25] * 3
    assert all(row["silent"] >= 0.25 for row in mine)
    assert flow.warnings == []


@pytest.mark.parametrize(("l2", "bias"), [(0.0, True), (0.01, True), (0.0, False), (0.01, False)])
def test_most_units_dead_is_said_once(task, l2, bias):
    model = nn.Sequential(nn.Linear(4, 8, bias=bias), nn.ReLU(), nn.Linear(8, 3))
    x = abs(task.x)
    with gpunn.no_grad():
        model[0].weight[:6] = -1.0
        if bias:
            model[0].bias[:6] = -1.0
    flow, told = GradientFlow(1), Told()
    make_trainer(model, lr=1e-3, l2=l2, callbacks=[flow], progress=told).fit((x, task.y), 5)
    if l2 and not bias:  # the penalty's gradient reaches every weight
        assert "dead" not in flow.rows[-2]
        assert told.lines == []
        return
    assert told.lines == flow.warnings
    (line,) = told.lines
    assert line.startswith(
        "epoch 4, batch 1: most units are dead, since no gradient reaches them any more: 75% of 8 in "
    )
    assert "layer 0 (Linear); what usually helps: a smaller learning rate, leaky ReLU" in line


def deep(activation, depth=9):
    """Layers of 16 with Glorot's initial values."""
    gpunn.manual_seed(0)
    layers = [nn.Linear(4, 16), activation()]
    for _ in range(depth):
        layers += [nn.Linear(16, 16), activation()]
    model = nn.Sequential(*layers, nn.Linear(16, 3))
    for layer in model[::2]:
        nn.init.xavier_uniform_(layer.weight)
    return model


def test_gradients_vanish_in_a_deep_sigmoid_network_and_not_with_relu(task):
    said = {}
    for activation in (nn.Sigmoid, nn.ReLU):
        flow, told = GradientFlow(1), Told()
        trainer = make_trainer(deep(activation), 0.01, callbacks=[flow], progress=told)
        trainer.fit((task.x, task.y), 3)
        said[activation] = told.lines
    assert said[nn.ReLU] == []
    (line,) = said[nn.Sigmoid]
    assert line.startswith("epoch 1, batch 3: gradients vanish from layer ")
    assert "ReLU or GELU in place of sigmoid" in line


def measured(*rms, ratio=1e-3):
    return [Measured(str(i), "Linear", r, r, ratio, None, 0) for i, r in enumerate(rms)]


def test_where_gradients_vanish_and_explode():
    """The layer nearest to the output counts: there it begins."""
    findings = Findings()
    for _ in range(2):
        assert findings.of(measured(1e-9, 1e-5, 0.5, 1.0), "now") == []
    (line,) = findings.of(measured(1e-9, 1e-5, 0.5, 1.0), "epoch 1, batch 3")
    assert line.startswith(
        "epoch 1, batch 3: gradients vanish from layer 1 (Linear) on towards the input: its weights "
    )
    assert "get 1e-05 times what those of layer 3 (Linear) get" in line
    assert findings.of(measured(1e-9, 1e-5, 0.5, 1.0), "now") == []
    findings = Findings()
    lines = [findings.of(measured(3e5, 2e4, 2.0, 1.0), "now") for _ in range(3)]
    assert lines[:2] == [[], []]
    assert "gradients explode from layer 1 (Linear) on towards the input: its weights get 2e+04 times" in lines[2][0]
    findings = Findings()
    for rms in (1.0, 1e-5, 1e-5, 1e-5):  # three in a row, or nothing
        assert findings.of(measured(rms, 1.0), "now") == [] or rms != 1.0
    findings = Findings()
    for rms in (1e-5, 1e-5, 1.0, 1e-5, 1e-5):
        assert findings.of(measured(rms, 1.0), "now") == []


def test_gradients_explode_in_time():
    findings = Findings()
    for _ in range(5):
        assert findings.of(measured(3.0, 4.0), "now") == []
    (line,) = findings.of(measured(300.0, 500.0), "now")
    assert "the norm of all of them is 5.8e+02, and was at most 5 before" in line
    (line,) = Findings().of(measured(1.0, 1.0, ratio=3.0), "now")
    assert "gradients explode: the update of layer 0 (Linear) is 3 times as large as its weights" in line
    (line,) = Findings().of(measured(1.0, float("nan"), float("inf"), 1.0), "now")
    assert "the gradient of layer 2 (Linear) is not finite" in line


def test_a_network_that_diverges_is_said_to(task):
    flow, told = GradientFlow(1), Told()
    trainer = make_trainer(nn.Linear(4, 3), lr=1e4, callbacks=[flow], progress=told)
    trainer.fit((task.x, task.y), 1)
    assert "gradients explode: the update of the model (Linear) is" in told.lines[0]


def test_rows_are_kept_and_a_resumed_run_has_those_of_one_that_was_not_interrupted(task, tmp_path):
    def run(path, stop_at=None, resume=False, epochs=3):
        def stop(trainer, batch):
            if (trainer.epoch, batch) == stop_at:
                signal.raise_signal(signal.SIGINT)

        flow = GradientFlow(2)
        callbacks = [flow, LambdaCallback(on_batch_end=stop)]
        trainer = make_trainer(make_model(0.3), callbacks=callbacks, run_dir=path, seed=1)
        trainer.fit((task.x, task.y), epochs, resume=resume)
        return flow

    whole = run(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "parts", stop_at=(2, 2))
    flow = run(tmp_path / "parts", resume=True)
    assert flow.rows == whole.rows
    text = (tmp_path / "parts" / "gradients.jsonl").read_text()
    assert text == (tmp_path / "whole" / "gradients.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == whole.rows
    # What was written behind the checkpoint that a run goes back to is written anew.
    with (tmp_path / "parts" / "gradients.jsonl").open("a") as file:
        file.write('{"epoch": 4, "batch": 1, "step": 10, "layer": "0"}\n{"epoch": 4')
    flow = run(tmp_path / "parts", resume=True, epochs=4)
    assert [row["step"] for row in flow.rows if row["layer"] == "0"] == [1, 3, 5, 7, 9, 11]
    # A new run begins with none.
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "gradients.jsonl").write_text("of a run that was killed in its first epoch")
    run(tmp_path / "new")
    assert (tmp_path / "new" / "gradients.jsonl").read_text() == (tmp_path / "whole" / "gradients.jsonl").read_text()


def test_a_run_that_is_watched_again(task, tmp_path):
    """Rows of a part that nobody watched are missing; steps are counted on from the last row."""
    for epochs, flow in ((1, GradientFlow(2)), (2, None), (3, again := GradientFlow(2))):
        callbacks = [] if flow is None else [flow]
        make_trainer(callbacks=callbacks, run_dir=RunFolder(tmp_path / "run"), seed=1).fit(
            (task.x, task.y), epochs, resume=epochs > 1
        )
    assert [(row["epoch"], row["step"]) for row in again.rows if row["layer"] == "0"] == [(1, 1), (1, 3), (3, 5)]


def test_a_damaged_file_of_gradients(tmp_path):
    folder = RunFolder(tmp_path)
    for text in ("[]", "{", '{"epoch": 1}', '{"epoch": 1, "batch": -1, "step": 1, "layer": "a"}', '{"epoch": true}'):
        folder.gradients_path.write_text(text + "\n")
        with pytest.raises(gpunn.io.FileFormatError, match=r"gradients.jsonl, line 1: "):
            folder.read_gradients()
    folder.gradients_path.unlink()
    assert folder.read_gradients() == []


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "10"])
def test_a_wrong_interval(every):
    with pytest.raises(ValueError, match="GradientFlow: every is"):
        GradientFlow(every)


def test_too_little_memory_for_the_gradients_ends_only_the_watch(task, monkeypatch):
    from gpunn.train import TrainingError, gradient_step

    def refuse(self, batches, scale):
        raise TrainingError("a step needs 2 MiB")

    monkeypatch.setattr(gradient_step.GradientStep, "__call__", refuse)
    flow, told = GradientFlow(1), Told()
    history = make_trainer(callbacks=[flow], progress=told).fit((task.x, task.y), 1)
    assert (history.epochs, flow.rows) == (1, [])
    assert told.lines == ["gradients are not watched, for lack of memory: a step needs 2 MiB"]


def test_a_label_that_is_none_is_the_steps_own_error(task):
    y = task.y.copy()
    y[5] = 7
    with pytest.raises(IndexError, match="7"):
        make_trainer(callbacks=[GradientFlow(1)]).fit((task.x, y), 1)
