"""Ctrl-C and SIGTERM: the step is finished, the rest is left to a run that is resumed, handlers are put back."""

import os
import signal
import threading

import pytest

from gpunn.plan import interrupt
from gpunn.train import (
    LambdaCallback,
    TrainingInterrupted,
    load_checkpoint,
)
from gpunn.train.interrupt import Interrupt

from .conftest import make_trainer
from .resuming import data_of, interrupt_at, trainer_for


def test_ctrl_c_between_epochs_and_in_the_last(task, tmp_path):
    def press(trainer, epoch, logs):
        if epoch in (2, 4):
            os.kill(os.getpid(), signal.SIGINT)

    callback = LambdaCallback(on_epoch_end=press)
    with pytest.raises(TrainingInterrupted, match="stopped after epoch 2"):
        trainer_for(tmp_path, callbacks=[callback]).fit(epochs=4, **data_of(task))
    history = trainer_for(tmp_path, callbacks=[callback]).fit(epochs=4, resume=True, **data_of(task))
    assert history.epochs == 4  # the last epoch was over: there is nothing to stop


def test_ctrl_c_without_a_run_folder(task):
    trainer = make_trainer(callbacks=[interrupt_at(1, 2)])
    with pytest.raises(TrainingInterrupted, match="no run folder, so nothing was saved") as caught:
        trainer.fit(epochs=3, **data_of(task))
    assert caught.value.checkpoint is None
    assert trainer.batch == 2


def test_a_second_ctrl_c_stops_at_once(task, tmp_path):
    def press_twice(trainer, done):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one was ignored")

    with pytest.raises(KeyboardInterrupt, match="stopped at once, in epoch 1; nothing was saved") as caught:
        trainer_for(tmp_path, callbacks=[LambdaCallback(on_batch_end=press_twice)]).fit(epochs=1, **data_of(task))
    assert not isinstance(caught.value, TrainingInterrupted)
    assert list(tmp_path.iterdir()) == []


def test_sigterm_is_as_ctrl_c(task, tmp_path):
    """What a cluster sends before it takes the machine away: the step is finished, and a checkpoint written."""

    def end(trainer, done):
        if (trainer.epoch, done) == (2, 3):
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted, match="stopped in epoch 2 after batch 3; to go on from") as caught:
        trainer_for(tmp_path, callbacks=[LambdaCallback(on_batch_end=end)]).fit(epochs=3, **data_of(task))
    assert caught.value.signal == signal.SIGTERM
    assert load_checkpoint(caught.value.checkpoint)["batch"] == 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_of_sigterm_of_one_s_own_is_kept(task):
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        end = LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: os.kill(os.getpid(), signal.SIGTERM))
        assert make_trainer(callbacks=[end]).fit(epochs=2, **data_of(task)).epochs == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM] * 2


def test_the_handler_of_ctrl_c_is_put_back(task):
    before = signal.getsignal(signal.SIGINT)
    make_trainer().fit((task.x, task.y), 1)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_one_s_own_is_kept(task):
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        make_trainer(callbacks=[interrupt_at(1, 2)]).fit(epochs=1, **data_of(task))
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [signal.SIGINT]


def test_training_in_another_thread(task):
    found = []
    thread = threading.Thread(target=lambda: found.append(make_trainer().fit((task.x, task.y), 1).epochs))
    thread.start()
    thread.join()
    assert found == [1]


def test_ctrl_c_after_a_step_without_a_trainer():
    """A step by itself leaves a handler of its own, which is no reason for the Trainer to let Ctrl-C through."""
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt.install()
        with Interrupt() as asked:
            os.kill(os.getpid(), signal.SIGINT)
            assert asked.requested
        assert interrupt.nobody_handles()
    finally:
        signal.signal(signal.SIGINT, before)
