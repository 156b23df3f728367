"""In the manner of Keras: its arguments and its hooks."""

import numpy as np
import pytest

import gpunn
from gpunn.train import KerasCallback
from gpunn.utils.data import TensorDataset

from .conftest import make_trainer


class Recorder(KerasCallback):
    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        value = object.__getattribute__(self, name)
        if not name.startswith("on_"):
            return value
        return lambda *args: self.events.append((name, *args)) or value(*args)

    def on_train_batch_end(self, batch, logs=None):
        assert self.trainer.model is self.model


def test_hooks_come_as_in_keras(task):
    callback = Recorder()
    history = make_trainer(metrics=["accuracy"]).fit(
        task.x[:10], task.y[:10], batch_size=4, epochs=2, validation_split=0.2, callbacks=[callback]
    )
    names = [event[0] for event in callback.events]
    steps = ["on_train_batch_begin", "on_train_batch_end"] * 2
    assert names == ["on_train_begin", *["on_epoch_begin", *steps, "on_epoch_end"] * 2, "on_train_end"]
    assert [event[1] for event in callback.events if event[0] == "on_train_batch_end"] == [0, 1, 0, 1]
    assert [event[1] for event in callback.events if event[0] == "on_epoch_end"] == [0, 1]
    assert callback.params == {"epochs": 2, "steps": 2}
    logs = {event[0]: event[-1] for event in callback.events}
    assert logs["on_train_batch_end"] == {name: history[name][-1] for name in ("loss", "accuracy")}
    assert logs["on_epoch_end"] == logs["on_train_end"] == history.last
    assert history.history["val_loss"] == history["val_loss"]


def test_the_last_samples_are_those_to_validate_with(task):
    found = make_trainer(lr=1e-30).fit(task.x, task.y, validation_split=0.25)
    n = len(task.x) * 3 // 4
    assert found["val_loss"] == [make_trainer(lr=1e-30).evaluate(task.x[n:], task.y[n:])["loss"]]
    data = task.x[n:], task.y[n:]
    assert make_trainer(lr=1e-30).fit(task.x, task.y, validation_data=data)["val_loss"] == found["val_loss"]


def test_training_stops_where_a_callback_says_so(task):
    class Stop(KerasCallback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    trainer = make_trainer()
    assert trainer.fit(task.x, task.y, epochs=5, callbacks=[Stop()]).epochs == 2
    assert trainer.stop_reason == "Stop has set model.stop_training"
    assert trainer.fit(task.x, task.y, epochs=3).epochs == 3  # the callback was that call's


def test_wrong_calls(task):
    class Idle(KerasCallback):
        def on_test_begin(self, logs=None):
            pass

    trainer = make_trainer()
    with pytest.raises(TypeError, match="Idle: on_test_begin would never be called; expected hooks of training"):
        trainer.fit(task.x, task.y, callbacks=[Idle()])
    with pytest.raises(TypeError, match="is no callback; derive it from"):
        trainer.fit(task.x, task.y, callbacks=[Idle])
    with pytest.raises(ValueError, match="epochs is given twice, 2 and 3"):
        trainer.fit((task.x, task.y), 2, epochs=3)
    with pytest.raises(ValueError, match="expected one of them"):
        trainer.fit(task.x, task.y, validation=0.1, validation_split=0.1)
    with pytest.raises(ValueError, match=r"validation_split is 1\.5; expected a fraction between 0 and 1"):
        trainer.fit(task.x, task.y, validation_split=1.5)
    with pytest.raises(ValueError, match="the tensors have shapes"):
        trainer.fit(task.x, task.y[1:])
    data = TensorDataset(gpunn.tensor(task.x), gpunn.tensor(task.y))
    with pytest.raises(TypeError, match="a TensorDataset has targets of its own; leave y out"):
        trainer.fit(data, task.y)
    with pytest.raises(TypeError, match=r"validation_split cuts arrays \(x, y\)"):
        trainer.fit(data, validation_split=0.5)


def test_the_history_is_plotted(task, tmp_path):
    figure_of = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
    trainer = make_trainer(metrics=["accuracy"])
    with pytest.raises(ValueError, match="nothing to plot"):
        trainer.history.plot()
    history = trainer.fit(task.x, task.y, epochs=3, validation_split=0.2)
    figure = history.plot(tmp_path / "curves.svg")
    assert isinstance(figure, figure_of.Figure) and "<svg" in (tmp_path / "curves.svg").read_text()
    lines = figure.axes[0].get_lines()
    np.testing.assert_array_equal(lines[1].get_ydata(), history["val_loss"])


@pytest.mark.parametrize("loss", ["cross_entropy", "bce_with_logits"])
def test_class_weights_as_in_keras(loss, tmp_path):
    """The first loss by hand: sum w_y l / n, over all samples in one batch; validation has no weights."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 4)), np.arange(12) % 3 % 2
    model = gpunn.nn.Linear(4, 2 if loss == "cross_entropy" else 1).double()
    z = x @ model.weight.detach().numpy().T + model.bias.detach().numpy()
    scores = z if loss == "cross_entropy" else np.stack([np.zeros(12), z[:, 0]], 1)
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(12), y]
    target = y if loss == "cross_entropy" else y[:, None].astype(float)
    for weights in ({1: 5.0}, {0: 0.5, 1: 2.0, 7: 3.0}):
        trainer = gpunn.Trainer(model, loss, gpunn.optim.SGD(model.parameters(), 1e-30), progress=False)
        data = {"batch_size": 12, "validation_data": (x, target), "class_weight": weights}
        row = trainer.fit(x, target, **data).last
        np.testing.assert_allclose(row["loss"], (losses * [weights.get(k, 1.0) for k in y]).mean())
        np.testing.assert_allclose(row["val_loss"], losses.mean())
    run = gpunn.Trainer(model, loss, gpunn.optim.SGD(model.parameters(), 1e-30), progress=False, run_dir=tmp_path)
    run.fit(x, target, class_weight={1: 5.0})
    assert run.run_folder.read_config()["class_weight"] == {"1": 5.0}
    with pytest.raises(ValueError, match=r"class_weight: expected \{class: weight\}"):
        trainer.fit(x, target, class_weight={-1: 2.0})
    with pytest.raises(ValueError, match="class_weight: expected one of the losses CrossEntropyLoss"):
        make_trainer(loss=gpunn.nn.MSELoss()).fit(x, target, class_weight={1: 2.0})
