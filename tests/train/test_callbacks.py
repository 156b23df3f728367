"""What callbacks are told, and what they do."""

import numpy as np
import pytest

import gpunn
from gpunn import optim
from gpunn.optim import lr_scheduler
from gpunn.train import (
    BestModel,
    Callback,
    EarlyStopping,
    LambdaCallback,
    ScheduleCallback,
    TrainingError,
)

from .conftest import assert_same_bits, make_model, make_trainer, weights


class Scripted(Callback):
    """Writes given numbers into the logs, as a metric would, and keeps the weights of each epoch."""

    def __init__(self, values):
        self.values = values
        self.seen = []

    def on_epoch_end(self, trainer, epoch, logs):
        logs["val_loss"] = self.values[epoch - 1]
        self.seen.append(weights(trainer.model))


def test_events_come_in_their_order(task):
    events = []

    class Recorder(Callback):
        def on_fit_begin(self, trainer):
            events.append("begin")

        def on_epoch_begin(self, trainer, epoch):
            events.append(f"epoch {epoch}")

        def on_batch_end(self, trainer, batch):
            events.append(f"batch {batch}")
            assert (trainer.epoch, trainer.batch) == (int(events[-1 - batch // 2 - batch % 2][-1]), batch)

        def on_epoch_end(self, trainer, epoch, logs):
            events.append(f"end {epoch}: {sorted(logs)[:2]}")

        def on_fit_end(self, trainer):
            events.append("done")

    make_trainer(callbacks=[Recorder()], grad_accumulation=2).fit((task.x[:9], task.y[:9]), 2, batch_size=3)
    epoch = ["batch 2", "batch 3", "end {}: ['accuracy', 'epoch']"]
    assert events == [
        "begin",
        *[text.format(e) for e in (1, 2) for text in ("epoch {}", *epoch)],
        "done",
    ]


def test_early_stopping_waits_and_restores(task):
    script = Scripted([3.0, 2.0, 2.5, 2.5, 2.5, 1.0])
    trainer = make_trainer(callbacks=[script, EarlyStopping(patience=3)])
    history = trainer.fit((task.x, task.y), 6)
    assert history.epochs == 5
    assert trainer.stop_reason == "val_loss has not improved for 3 epochs (best: 2 in epoch 2)"
    assert_same_bits(weights(trainer.model), script.seen[1])


def test_one_callback_for_several_trainings_begins_anew(task, tmp_path):
    """As in a loop over folds: no best value and no weights of the network before."""
    stopping, best = EarlyStopping(patience=2), BestModel(tmp_path / "best.safetensors")
    for values in ([1.0, 0.5, 0.7], [3.0, 2.0, 2.5]):
        script = Scripted(values)
        trainer = make_trainer(callbacks=[script, stopping, best])
        assert trainer.fit((task.x, task.y), 3).epochs == 3
        assert best.best_epoch == stopping.best_epoch == 2
        assert_same_bits(weights(trainer.model), script.seen[1])


def test_early_stopping_without_restoring(task):
    script = Scripted([1.0, 2.0, 3.0])
    trainer = make_trainer(callbacks=[script, EarlyStopping(patience=2, restore_best=False)])
    trainer.fit((task.x, task.y), 9)
    assert_same_bits(weights(trainer.model), script.seen[2])


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        ([1.0, 0.99, 0.98, 0.97], {"min_delta": 0.05, "patience": 2}, 3),
        ([1.0, 0.9, 0.8, 0.7], {"min_delta": 0.05, "patience": 2}, 4),
        ([1.0, 2.0, 3.0, 4.0], {"mode": "max", "patience": 1}, 4),
        ([float("nan")] * 4, {"patience": 2}, 2),
        ([float("nan"), 1.0, 0.5, 0.7], {"patience": 1}, 1),
    ],
)
def test_what_counts_as_better(values, options, epochs, task):
    trainer = make_trainer(callbacks=[Scripted(values), EarlyStopping(**options)])
    assert trainer.fit((task.x, task.y), 4).epochs == epochs


def test_accuracy_is_to_rise_and_loss_to_fall(task):
    trainer = make_trainer(metrics=["accuracy", "mse"])
    assert trainer.higher_is_better("val_accuracy")
    assert trainer.higher_is_better("accuracy")
    assert not trainer.higher_is_better("val_loss")
    assert not trainer.higher_is_better("val_mse")


def test_best_model_holds_the_best_weights(task, tmp_path):
    script = Scripted([3.0, 1.0, 2.0])
    best = BestModel(tmp_path / "best.safetensors")
    make_trainer(callbacks=[script, best]).fit((task.x, task.y), 3)
    assert best.best_epoch == 2
    stored = {name: value.numpy() for name, value in gpunn.load(tmp_path / "best.safetensors").items()}
    assert_same_bits(stored, script.seen[1])


def test_a_monitor_that_is_not_there(task):
    trainer = make_trainer(callbacks=[EarlyStopping("val_loss")])
    with pytest.raises(TrainingError, match=r"EarlyStopping failed in on_epoch_end: .*no 'val_loss', but epoch, loss"):
        trainer.fit((task.x, task.y), 2)


def test_one_cycle_steps_with_every_update(task):
    """As the scheduler stepped by hand: 90 samples in batches of 20 are 5 batches, in groups of 2 three updates."""
    rates = []
    model = make_model()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    trainer = make_trainer(
        model,
        optimizer=optimizer,
        scheduler=lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=6),
        grad_accumulation=2,
        callbacks=[LambdaCallback(on_batch_end=lambda trainer, batch: rates.append(trainer.learning_rate))],
    )
    trainer.fit((task.x, task.y), 2, batch_size=20)
    other = optim.SGD(make_model().parameters(), 0.1, momentum=0.9)
    by_hand = lr_scheduler.OneCycleLR(other, 0.5, total_steps=6)
    expected = []
    for _ in range(5):  # the callback comes after the schedule, and so sees the rate of the next update
        other.step()
        by_hand.step()
        expected.append(other.param_groups[0]["lr"])
    assert rates[:5] == expected
    assert len(rates) == 6


def test_other_schedules_step_with_epochs(task):
    model = make_model()
    optimizer = optim.SGD(model.parameters(), 0.8)
    trainer = make_trainer(model, optimizer=optimizer, scheduler=lr_scheduler.StepLR(optimizer, 2, 0.5))
    assert trainer.fit((task.x, task.y), 5)["lr"] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_plateau_watches_the_validation_loss(task):
    model = make_model()
    optimizer = optim.SGD(model.parameters(), 0.8)
    scheduler = ScheduleCallback(lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0))
    script = Scripted([1.0, 2.0, 0.5, 3.0, 3.0])
    trainer = make_trainer(model, optimizer=optimizer, callbacks=[script, scheduler])
    assert trainer.fit((task.x, task.y), 5)["lr"] == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_functions_as_a_callback(task):
    seen = []
    callback = LambdaCallback(
        on_epoch_end=lambda trainer, epoch, logs: seen.append((epoch, logs["loss"] > 0)),
        on_fit_end=lambda trainer: seen.append("end"),
    )
    make_trainer(callbacks=[callback]).fit((task.x, task.y), 2)
    assert seen == [(1, True), (2, True), "end"]


def test_a_callback_can_stop(task):
    callback = LambdaCallback(on_batch_end=lambda trainer, batch: trainer.stop("enough"))
    assert make_trainer(callbacks=[callback]).fit((task.x, task.y), 7).epochs == 1


def test_an_error_names_the_callback(task):
    class Faulty(Callback):
        def on_batch_end(self, trainer, batch):
            raise IndexError("out of luck")

    with pytest.raises(TrainingError, match="the callback Faulty failed in on_batch_end: IndexError: out of luck") as e:
        make_trainer(callbacks=[Faulty()]).fit((task.x, task.y), 1)
    assert isinstance(e.value.__cause__, IndexError)


def test_a_training_error_of_a_callback_is_its_own(task):
    def fail(trainer, batch):
        raise TrainingError("I say so")

    with pytest.raises(TrainingError, match=r"^I say so$"):
        make_trainer(callbacks=[LambdaCallback(on_batch_end=fail)]).fit((task.x, task.y), 1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(patience=0), ValueError, "patience is 0"),
        (lambda: EarlyStopping(mode="lowest"), ValueError, "mode is 'lowest'"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, "min_delta is -1"),
        (lambda: LambdaCallback(on_epoch=print), TypeError, "there is no event 'on_epoch'; there are: on_fit_begin"),
        (lambda: ScheduleCallback(None, every="step"), ValueError, "every is 'step'"),
        (lambda: make_trainer(callbacks=[print]), TypeError, "is no callback"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_plateau_by_batch_is_refused():
    scheduler = lr_scheduler.ReduceLROnPlateau(optim.SGD(make_model().parameters(), 0.1))
    with pytest.raises(ValueError, match="ReduceLROnPlateau watches epochs"):
        ScheduleCallback(scheduler, every="batch")


def test_weights_kept_for_later_are_copies(task):
    stopping = EarlyStopping(monitor="loss", patience=5)
    trainer = make_trainer(callbacks=[stopping])
    trainer.fit((task.x, task.y), 2)
    kept = {name: np.asarray(value.detach().numpy()).copy() for name, value in stopping.state_dict()["weights"].items()}
    assert_same_bits(kept, weights(trainer.model))
    trainer.fit((task.x, task.y), 1)
    assert stopping.best_epoch == 1
