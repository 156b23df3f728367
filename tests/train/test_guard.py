"""Infinities and NaN: found where they begin, written down, and taken back."""

import os
import re
import shutil
import signal
from itertools import product

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.nn import Module
from gpunn.train import LambdaCallback, RunFolder, TrainingError, failure
from gpunn.train.guard import Guard
from tests.train.conftest import CLASSES, FEATURES, assert_same_bits, make_trainer, weights

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9),
    "adam": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "adafactor": lambda p: optim.Adafactor(p, 0.01),
    "nadam": lambda p: optim.NAdam(p, 0.01),
}


class Root(Module):
    """sqrt(x^2): where x is 0, the gradient is 0 times infinity, and the result is finite."""

    def forward(self, x):
        return (x * x).sqrt()


def make_network():
    gpunn.manual_seed(3)
    layers = [nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, CLASSES)]
    return nn.Sequential(*layers)


def trained(x, y, optimizer, **options):
    model = make_network()
    trainer = make_trainer(model, optimizer=OPTIMIZERS[optimizer](model.parameters()), seed=1, **options)
    history = trainer.fit((x, y), 2, batch_size=10, shuffle=False)
    moments = {f"{i}.{k}": v for i, s in trainer.optimizer.state_dict()["state"].items() for k, v in s.items()}
    found = {name: np.array(v.detach().cpu().numpy()) for name, v in {**model.state_dict(), **moments}.items()}
    return found, history, trainer


@pytest.mark.promise("a step that is skipped for its infinities or NaN leaves all as it was before it, to the bit")
@pytest.mark.parametrize(
    ("how", "bad", "optimizer"), [*product(["planned", "eager", "accumulated"], [0, 4], OPTIMIZERS), ("sim", 4, "adam")]
)
def test_a_skipped_step_has_never_been(how, bad, optimizer, task):
    """The run is, to the bit, that of the data without the batch; its first one is that where moments are made."""
    x, size = task.x[:60].copy(), 20 if how == "accumulated" else 10
    ways = {"accumulated": {"grad_accumulation": 2}, "eager": {"eager": True}, "sim": {"device": "sim"}}
    options = {"on_nan": "skip", **ways.get(how, {})}
    x[bad * 10 + 3, 2] = np.inf
    first = bad * 10 // size * size
    rest = np.r_[0:first, first + size : 60]
    without, clean, _ = trained(x[rest], task.y[rest], optimizer, **options)
    found, history, _ = trained(x, task.y[:60], optimizer, **options)
    assert_same_bits(found, without)
    assert (history["skipped"], clean["skipped"]) == ([1, 1], [0, 0])
    assert history["loss"] == clean["loss"]


def test_a_gradient_of_nan_under_a_finite_loss_is_skipped():
    model = nn.Sequential(nn.Linear(2, 1, bias=False), Root())
    before = weights(model)
    x, y = np.zeros((6, 2), np.float32), np.zeros((6, 1), np.float32)
    x[4:] = 1
    trainer = make_trainer(model, loss="mse", metrics=[], on_nan="skip")
    history = trainer.fit((x, y), 1, batch_size=2, shuffle=False)
    assert history["skipped"] == [2]
    assert not np.array_equal(weights(model)["0.weight"], before["0.weight"])
    with pytest.raises(TrainingError, match=r"every step of epoch 1 gave infinities or NaN and was skipped; try a sma"):
        make_trainer(model, loss="mse", metrics=[], on_nan="skip").fit((x[:4], y[:4]), 1, batch_size=2)


@pytest.mark.parametrize("eager", [True, False])
def test_training_stops_where_it_began(eager, tmp_path):
    """The loss is NaN in batch 3 of epoch 2, since the gradient was in batch 2 before; the op is named, and kept."""
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2, bias=False), Root(), nn.Linear(2, 1))
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    data = [(gpunn.tensor(a), gpunn.tensor(b)) for a, b in zip(x, y)]
    count = []

    class Data(gpunn.utils.data.Dataset):
        def __len__(self):
            return len(data)

        def __getitem__(self, i):
            count.append(i)
            return (data[i][0] * (0 if trainer.epoch == 2 and i in (2, 3) else 1), data[i][1])

    trainer = make_trainer(model, lr=0.01, loss="mse", metrics=[], run_dir=tmp_path, eager=eager)
    states = {}
    callback = LambdaCallback(on_batch_end=lambda t, batch: states.update({(t.epoch, batch): weights(model)}))
    trainer.callbacks = type(trainer.callbacks)([callback])
    with pytest.raises(TrainingError) as raised:
        trainer.fit(Data(), 3, batch_size=2, shuffle=False)
    dump = RunFolder(tmp_path).failed_step_path
    message = str(raised.value)
    assert message.startswith("the loss became nan in epoch 2, batch 3, at learning rate 0.01; try a smaller")
    where = "It began in epoch 2, batch 2: the backward of Sqrt (Div) in layer 1 gave 4 infinite of 4 numbers, then "
    where += "the backward of Mul (Mul) in layer 1 gave 4 NaN of 4 numbers"
    assert f". {where}. To look at that step: gpunn debug {dump}" in message
    assert message.endswith("epoch_001.safetensors")
    assert_same_bits(weights(model), states[2, 1])
    again = make_trainer(model=nn.Sequential(nn.Linear(2, 2, bias=False), Root(), nn.Linear(2, 1)), loss="mse")
    found = failure.debug(again, dump)
    assert (found.epoch, found.batch, found.lr) == (2, 2, 0.01)
    assert re.sub(r"\. To look.*", "", found.cause) == where
    assert f"It began in epoch 2, batch 2: {found.trace}" == found.cause
    assert np.isfinite(found.trace.loss)
    trainer.fit((x, y), 3, batch_size=2, shuffle=False, resume=True)  # nobody needs it any more
    assert not dump.exists()


def test_the_op_is_named_where_gradients_of_several_batches_add_up(task):
    x = task.x.copy()
    x[-1] = np.nan
    with pytest.raises(
        TrainingError, match=r"It began in epoch 1, batch \d+: the forward of LinearActivation in layer 0"
    ):
        make_trainer(grad_accumulation=2).fit((x, task.y), 1, batch_size=4, shuffle=False)


def test_validation_names_the_op_too(task):
    x = task.x.copy()
    x[0] = np.inf
    with pytest.raises(TrainingError, match=r"It began here: the forward of Linear\w* in layer 0 gave \d+ (infin|NaN)"):
        make_trainer().fit((task.x, task.y), 2, validation=(x, task.y))


def test_a_callback_that_spoils_the_weights_is_named(task):
    def spoil(trainer, batch):
        if (trainer.epoch, batch) == (2, 3):
            trainer.model[0].weight.data.fill_(float("nan"))

    trainer = make_trainer(callbacks=[LambdaCallback(on_batch_end=spoil)])
    with pytest.raises(TrainingError, match=r"0\.weight was finite after the step of epoch 2, batch 3, and no longer "):
        trainer.fit((task.x, task.y), 3, batch_size=9)


def test_moments_that_are_infinite_are_found(task):
    """A gradient whose square is infinite leaves Adam's update at 0 for ever, and all weights finite."""
    model = nn.Linear(FEATURES, 1)
    trainer = make_trainer(model, loss="l1", metrics=[], optimizer=optim.Adam(model.parameters()))
    with pytest.raises(
        TrainingError, match=r"exp_avg_sq of weight is no longer finite in epoch 1.*update .Adam step. gave"
    ):
        trainer.fit((task.x * 1e30, task.y[:, None].astype(np.float32)), 1)


def test_infinities_that_belong_there_are_let_be(task, tmp_path):
    class Masked(Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(FEATURES, CLASSES)
            self.register_buffer("mask", gpunn.tensor([0.0, 0.0, float("-inf")]))

        def forward(self, x):
            return self.inner(x) + self.mask

    x, y = task.x, task.y % 2
    history = make_trainer(Masked(), run_dir=tmp_path).fit((x, y), 1)
    assert np.isfinite(history["loss"][0])
    assert len(RunFolder(tmp_path).checkpoints()) == 1


def test_whoever_wants_goes_on(task, tmp_path):
    x = task.x.copy()
    x[7] = np.nan
    trainer = make_trainer(on_nan="ignore", run_dir=RunFolder(tmp_path, model="last"))
    history = trainer.fit((x, task.y), 2, validation=(x, task.y))
    assert np.isnan(history["loss"] + history["val_loss"]).all()
    make_trainer(on_nan="ignore", run_dir=tmp_path).fit((x, task.y), 3, validation=(x, task.y), resume=True)
    with pytest.raises(ValueError, match="on_nan is 'never'; expected one of 'stop', 'skip', 'ignore'"):
        make_trainer(on_nan="never")


def test_skipped_steps_are_counted_over_an_interruption(task, tmp_path):
    x = task.x.copy()
    x[[5, 75]] = np.nan

    whole = make_trainer(on_nan="skip", seed=0).fit((x, task.y), 1, batch_size=9, shuffle=False)

    def interrupt(trainer, batch):
        if batch == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        make_trainer(on_nan="skip", seed=0, run_dir=tmp_path, callbacks=[LambdaCallback(on_batch_end=interrupt)]).fit(
            (x, task.y), 1, batch_size=9, shuffle=False
        )
    trainer = make_trainer(on_nan="skip", seed=0, run_dir=tmp_path)
    again = trainer.fit((x, task.y), 1, batch_size=9, shuffle=False, resume=True)
    assert (again["skipped"], again["loss"]) == (whole["skipped"], whole["loss"]) == ([2], whole["loss"])


def test_what_is_kept_comes_back_for_halves_and_large_sums():
    model = nn.Linear(300, 2).to(dtype=gpunn.float16)
    guard = Guard(model, optim.SGD(model.parameters(), 0.1))
    with gpunn.no_grad():
        model.weight.fill_(6e4)  # the sum is more than float16 has
    assert guard.not_finite() == ""
    guard.keep()
    with gpunn.no_grad():
        model.weight[1, 7] = float("inf")
    assert guard.not_finite() == "weight"
    guard.put_back()
    assert guard.not_finite() == ""
    assert (model.weight.detach().numpy() == 6e4).all()


def test_files_that_are_none(tmp_path, task):
    gpunn.save({"epoch": 1}, tmp_path / "t.safetensors")
    with pytest.raises(gpunn.io.FileFormatError, match="is no step that failed"):
        failure.debug(make_trainer(), tmp_path / "t.safetensors")
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        failure.debug(make_trainer(), tmp_path / "t.safetensors")
