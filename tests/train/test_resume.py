"""A run that was interrupted and resumed gives the bits of one that was not."""

import io
import json
import os
import random
import signal

import numpy as np
import pytest

import gpunn
from gpunn import optim
from gpunn.optim import lr_scheduler
from gpunn.train import (
    BestModel,
    EarlyStopping,
    LambdaCallback,
    Lines,
    Metric,
    RunFolder,
    TrainingInterrupted,
    load_checkpoint,
)
from gpunn.utils.data import DataLoader, TensorDataset

from .conftest import assert_same_bits, make_model, make_trainer, weights
from .resuming import OPTIMIZERS, data_of, interrupt_at, trainer_for
from .test_trainer import untimed


def nothing():
    return LambdaCallback(on_batch_end=lambda trainer, done: None)


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [("sgd", "none"), ("adam", "onecycle"), ("adamw", "cosine"), ("rmsprop", "plateau"), ("adagrad", "sequence")],
)
def test_two_epochs_and_two_more_are_four(optimizer, scheduler, task, tmp_path):
    straight = trainer_for(tmp_path / "a", optimizer, scheduler)
    straight.fit(epochs=4, **data_of(task))
    trainer_for(tmp_path / "b", optimizer, scheduler).fit(epochs=2, **data_of(task))
    gpunn.manual_seed(99)  # a new process begins with another state
    resumed = trainer_for(tmp_path / "b", optimizer, scheduler, seed=None)
    history = resumed.fit(epochs=4, resume=True, **data_of(task))
    assert untimed(history) == untimed(straight.history)
    assert_same_bits(weights(resumed.model), weights(straight.model))
    assert gpunn.load(tmp_path / "a" / "model.safetensors").keys() == straight.model.state_dict().keys()
    best = [{k: v.numpy() for k, v in gpunn.load(tmp_path / n / "model.safetensors").items()} for n in "ab"]
    assert_same_bits(*best)
    epochs = [json.loads(line)["epoch"] for line in (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2, 3, 4]


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("batch", [1, 5, 8], ids=["first", "middle", "last"])
def test_a_run_interrupted_within_an_epoch(batch, accumulation, task, tmp_path):
    """72 samples in batches of 9 are 8 batches; the step that is under way is finished."""
    batch = min(8, -(-batch // accumulation) * accumulation)
    straight = trainer_for(tmp_path / "a", scheduler="cosine", callbacks=[nothing()], grad_accumulation=accumulation)
    straight.fit(epochs=3, **data_of(task))
    options = {"scheduler": "cosine", "grad_accumulation": accumulation}
    stopped = trainer_for(tmp_path / "b", callbacks=[interrupt_at(2, batch)], **options)
    with pytest.raises(TrainingInterrupted, match=f"stopped in epoch 2 after batch {batch}; to go on from") as caught:
        stopped.fit(epochs=3, **data_of(task))
    assert caught.value.checkpoint.endswith(f"epoch_001_batch_{batch:05}.safetensors")
    resumed = trainer_for(tmp_path / "b", callbacks=[nothing()], **options)
    history = resumed.fit(epochs=3, resume=True, **data_of(task))
    assert untimed(history) == untimed(straight.history)
    assert_same_bits(weights(resumed.model), weights(straight.model))


def test_a_run_interrupted_in_its_validation(task, tmp_path):
    class Key(Metric):
        """Ctrl-C while the second epoch is validated, where it is armed."""

        name = "key"

        def __init__(self, armed):
            self.armed = armed
            super().__init__()

        def reset(self):
            pass

        def update(self, output, target):
            if self.armed and not trainers[-1].model.training and trainers[-1].epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

        def compute(self):
            return 0.0

    def run(path, armed, **options):
        trainers.append(trainer_for(path, metrics=["accuracy", Key(armed)]))
        dataset = TensorDataset(gpunn.tensor(task.x_test), gpunn.tensor(task.y_test))
        validation = DataLoader(dataset, 7, shuffle=True, generator=5)  # whose order is part of the state
        return trainers[-1].fit((task.x, task.y), 3, validation, **options)

    trainers = []
    straight = run(tmp_path / "a", False)
    with pytest.raises(TrainingInterrupted, match="in the validation of epoch 2"):
        run(tmp_path / "b", True)
    history = run(tmp_path / "b", False, resume=True)
    assert untimed(history) == untimed(straight)
    assert_same_bits(weights(trainers[0].model), weights(trainers[2].model))


def test_the_best_weights_survive(task, tmp_path):
    """The best epoch comes before the interruption, and its weights are restored after the end."""

    def scripted(trainer, epoch, logs):
        logs["val_loss"] = [1.0, 0.1, 1.0, 1.0][epoch - 1]
        if epoch == 2:
            kept.append(weights(trainer.model))

    def trainer():
        model = make_model(dropout=0.3)
        callbacks = [LambdaCallback(on_epoch_end=scripted), EarlyStopping(patience=9)]
        return make_trainer(model, callbacks=callbacks, run_dir=tmp_path)

    kept = []
    first = trainer()
    first.fit((task.x, task.y), 3)
    second = trainer()
    second.fit((task.x, task.y), 4, resume=True)
    assert_same_bits(weights(second.model), kept[0])


def test_a_path_and_another_folder(task, tmp_path):
    trainer_for(tmp_path / "a").fit(epochs=2, **data_of(task))
    path = tmp_path / "a" / "checkpoints" / "epoch_001.safetensors"
    other = trainer_for(None)
    history = other.fit(epochs=2, resume=path, **data_of(task))
    straight = trainer_for(None)
    assert untimed(history) == untimed(straight.fit(epochs=2, **data_of(task)))
    third = trainer_for(tmp_path / "c")
    assert untimed(third.fit(epochs=2, resume=path, **data_of(task))) == untimed(history)
    assert third.run_folder.read_rows() == third.history.rows
    assert third.run_folder.read_config()["epochs"] == 2


def test_a_run_that_goes_back(task, tmp_path):
    """From an older checkpoint: those after it are of another run now, and model.safetensors is as it was then."""
    for kind in ("best", "last"):
        path = tmp_path / kind
        folder = RunFolder(path, model=kind, keep_checkpoints=3)
        trainer_for(folder).fit(epochs=3, **data_of(task))
        straight = trainer_for(RunFolder(tmp_path / f"{kind} straight", model=kind))
        straight.fit(epochs=2, **data_of(task))
        resume = folder.checkpoints_path / "epoch_002.safetensors"
        trainer_for(RunFolder(path, model=kind)).fit(epochs=2, resume=resume, **data_of(task))
        assert [p.name for p in folder.checkpoints()] == ["epoch_001.safetensors", "epoch_002.safetensors"]
        stored = [gpunn.load(f.model_path) for f in (folder, straight.run_folder)]
        assert_same_bits(*[{name: value.numpy() for name, value in model.items()} for model in stored])


def test_a_run_that_was_stopped_stays_so(task, tmp_path):
    """Killed after its last checkpoint: patience had run out with it. More epochs are another matter."""
    trainer = trainer_for(tmp_path, callbacks=[EarlyStopping("loss", patience=1, min_delta=9.0)])
    assert trainer.fit(epochs=5, **data_of(task)).epochs == 2
    again = trainer_for(tmp_path, callbacks=[EarlyStopping("loss", patience=1, min_delta=9.0)])
    stream = io.StringIO()
    again.progress = Lines(stream)
    assert again.fit(epochs=5, resume=True, **data_of(task)).epochs == 2
    best = f"{again.history['loss'][0]:.4g}"
    assert f"stopped after epoch 2: loss has not improved for 1 epochs (best: {best} in epoch 1)\n" in stream.getvalue()
    assert_same_bits(weights(again.model), weights(trainer.model))
    more = trainer_for(tmp_path, callbacks=[EarlyStopping("loss", patience=1, min_delta=9.0)])
    assert more.fit(epochs=6, resume=True, **data_of(task)).epochs == 3


def test_a_run_that_is_resumed_where_more_memory_is_free(task, tmp_path, monkeypatch):
    """Its batches stay cut into as many parts: others would give other last bits."""

    def fit(path, parts, **options):
        monkeypatch.setattr("gpunn.train.step.parts_that_fit", lambda *args: parts)
        trainer = make_trainer(run_dir=path, seed=1)
        trainer.fit((task.x, task.y), batch_size=30, **options)
        return load_checkpoint(RunFolder(path).latest_checkpoint())["step"], weights(trainer.model)

    fit(tmp_path / "a", 3, epochs=1)
    parts, resumed = fit(tmp_path / "a", 1, epochs=2, resume=True)
    assert list(parts["parts"].values()) == [3]
    assert_same_bits(resumed, fit(tmp_path / "b", 3, epochs=2)[1])
    parts, _ = fit(tmp_path / "a", 5, epochs=3, resume=True)  # where less is free there is no choice
    assert list(parts["parts"].values()) == [5]


@pytest.mark.parametrize("batch", [3, 7])
def test_a_step_that_changes_each_time(task, tmp_path, batch):
    """After eight changes one behind the other steps are done op by op, unfused; how many there were is known."""

    def fit(path, *callbacks, **options):
        model = make_model(dropout=0.3)
        anneal = LambdaCallback(on_batch_end=lambda t, done: setattr(model[2], "p", 0.3 - t.epoch / 20 - done / 200))
        trainer = make_trainer(model, run_dir=path, seed=1, callbacks=[anneal, *callbacks])
        trainer.fit(epochs=3, **data_of(task), **options)
        return weights(trainer.model)

    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "a", interrupt_at(2, batch))
    path = RunFolder(tmp_path / "a").latest_checkpoint()
    assert load_checkpoint(path)["step"]["changes"] == 7 + batch
    # What a callback has set is not kept by a checkpoint; this one sets it again before the first step.
    again = LambdaCallback(on_fit_begin=lambda t: setattr(t.model[2], "p", 0.3 - 2 / 20 - batch / 200))
    assert_same_bits(fit(tmp_path / "a", again, nothing(), resume=path), fit(tmp_path / "b"))


def test_random_numbers_of_others(task, tmp_path):
    """A data set may draw from the global generators of NumPy and Python."""

    class Noisy:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            noise = np.float32(np.random.normal() + random.random())  # noqa: NPY002
            return gpunn.tensor(task.x[index] + noise), int(task.y[index])

    def fit(path, *callbacks, **options):
        np.random.seed(1)  # noqa: NPY002
        random.seed(2)
        trainer = trainer_for(path, callbacks=callbacks)
        trainer.fit(Noisy(), 3, batch_size=9, **options)
        return weights(trainer.model)

    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "a", interrupt_at(2, 3))
    assert_same_bits(fit(tmp_path / "a", nothing(), resume=True), fit(tmp_path / "b"))


def test_numbers_of_numpy_s(task, tmp_path):
    """In options, schedules and logs: files hold Python's."""
    model = make_model()
    optimizer = optim.SGD(model.parameters(), np.float64(0.1))
    log = LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: logs.update(norm=np.float32(epoch / 2)))
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: np.exp(-epoch))
    trainer = make_trainer(model, optimizer=optimizer, scheduler=scheduler, run_dir=tmp_path, callbacks=[log])
    trainer.fit((task.x, task.y), 2)
    assert [row["norm"] for row in RunFolder(tmp_path).read_rows()] == [0.5, 1.0]
    state = load_checkpoint(RunFolder(tmp_path).latest_checkpoint())
    assert type(state["optimizer"]["param_groups"][0]["lr"]) is float
    assert state["history"][1]["norm"] == 1.0


def test_nothing_is_left_to_do(task, tmp_path):
    trainer = trainer_for(tmp_path)
    trainer.fit(epochs=2, **data_of(task))
    before = weights(trainer.model)
    again = trainer_for(tmp_path)
    assert again.fit(epochs=2, resume=True, **data_of(task)).epochs == 2
    assert_same_bits(weights(again.model), before)


def test_a_changed_fingerprint_is_said_in_one_line(task, tmp_path, monkeypatch):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    stream = io.StringIO()
    trainer_for(tmp_path, progress=Lines(stream)).fit(epochs=2, resume=True, **data_of(task))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "resuming after epoch 1"
    assert lines[1].startswith("results may differ in their last bits from an uninterrupted run: OPENBLAS_NUM_THREADS")
    assert lines[1].endswith("-> 64")
    assert lines[2].startswith("epoch 2/2")


def test_the_same_fingerprint_is_not_mentioned(task, tmp_path):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    stream = io.StringIO()
    trainer_for(tmp_path, progress=Lines(stream)).fit(epochs=2, resume=True, **data_of(task))
    assert [line[:14] for line in stream.getvalue().splitlines()] == ["resuming after", "epoch 2/2  los"]


def test_other_settings_are_said_too(task, tmp_path):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    stream = io.StringIO()
    trainer_for(tmp_path, progress=Lines(stream), l2=0.5).fit(epochs=2, resume=True, **data_of(task))
    assert "the settings are not those of the run so far: l2 0.001 -> 0.5\n" in stream.getvalue()


def test_other_callbacks(task, tmp_path):
    """One that is new begins from nothing, and the others go on."""
    first = trainer_for(tmp_path)
    first.fit(epochs=2, **data_of(task))
    stream, stopping = io.StringIO(), EarlyStopping(patience=50)
    callbacks = [BestModel(tmp_path / "other"), stopping]
    other = make_trainer(make_model(0.3, True), seed=11, l2=1e-3, callbacks=callbacks, progress=Lines(stream))
    other.optimizer = OPTIMIZERS["sgd"](other.model.parameters())
    other.fit(epochs=2, resume=tmp_path / "checkpoints" / "epoch_002.safetensors", **data_of(task))
    assert "callbacks ['EarlyStopping'] -> ['BestModel', 'EarlyStopping']\n" in stream.getvalue()
    assert stopping.monitor.best == min(first.history["val_loss"])
