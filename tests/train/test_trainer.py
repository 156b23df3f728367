"""Trainer: fit, evaluate, predict."""

import math

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.datasets import DataError
from gpunn.train import LambdaCallback, Trainer, TrainingError
from gpunn.utils.data import DataLoader, TensorDataset

from .conftest import assert_same_bits, make_model, make_trainer, weights


def untimed(history):
    return [{k: v for k, v in row.items() if k not in ("seconds", "samples_per_second")} for row in history.rows]


def test_it_learns(task):
    trainer = make_trainer()
    history = trainer.fit((task.x, task.y), 20, validation=(task.x_test, task.y_test))
    assert history["epoch"] == list(range(1, 21))
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.9
    assert trainer.evaluate((task.x_test, task.y_test)) == {
        "loss": history["val_loss"][-1],
        "accuracy": history["val_accuracy"][-1],
    }


def test_the_first_epoch_by_hand(task):
    """One batch: loss and accuracy are those of the untrained model, the weights those after one plain step."""
    model = make_model()
    scores = model(gpunn.tensor(task.x)).detach().numpy().astype(np.float64)
    log_sum = np.log(np.exp(scores).sum(1))
    row = make_trainer(model).fit((task.x, task.y), 1, batch_size=90).last
    assert row["loss"] == pytest.approx((log_sum - scores[np.arange(90), task.y]).mean(), rel=1e-6)
    assert row["accuracy"] == (scores.argmax(1) == task.y).mean()
    assert row["lr"] == 0.1
    assert row["samples_per_second"] == pytest.approx(90 / row["seconds"])


def test_the_loss_of_an_epoch_is_a_mean_over_samples(task):
    """Without learning, batches of 32, 32 and 26 give what one batch gives."""
    parts = make_trainer(lr=0.0).fit((task.x, task.y), 1, batch_size=32).last
    whole = make_trainer(lr=0.0).fit((task.x, task.y), 1, batch_size=90).last
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert parts["accuracy"] == whole["accuracy"]


def test_the_objective_and_its_parts(task):
    model = make_model()
    trainer = make_trainer(model, l2=0.02)
    row = trainer.fit((task.x, task.y), 1, validation=0.2).last
    s = 0.01 * sum(np.square(w.astype(np.float64)).sum() for w in weights(model).values() if w.ndim > 1)
    assert row["penalty"] == pytest.approx(s, rel=1e-6)
    assert row["objective"] == row["loss"] + row["penalty"]
    assert "val_penalty" not in row
    found = trainer.evaluate((task.x, task.y))
    assert found["objective"] == found["loss"] + found["penalty"]
    assert found["penalty"] == row["penalty"]


def test_l2_keeps_weights_small(task):
    free, held = make_model(), make_model()
    make_trainer(free).fit((task.x, task.y), 10)
    make_trainer(held, l2=0.5).fit((task.x, task.y), 10)
    assert np.abs(held[0].weight.detach().numpy()).sum() < 0.5 * np.abs(free[0].weight.detach().numpy()).sum()


def ignoring(output, target):
    """What it divides by depends on the labels, and nothing says so."""
    return nn.functional.cross_entropy(output, target, ignore_index=1)


@pytest.mark.parametrize("loss", ["cross_entropy", ignoring])
@pytest.mark.parametrize("eager", [False, True])
def test_accumulation_learns_as_larger_batches_do(task, loss, eager):
    """Batches of 10 in groups of 3 against batches of 30, without shuffling, in float64."""
    models, options = [make_model().double() for _ in range(2)], {"loss": loss, "eager": eager}
    rows = [
        make_trainer(models[0], grad_accumulation=3, **options).fit((task.x, task.y), 3, batch_size=10, shuffle=False),
        make_trainer(models[1], **options).fit((task.x, task.y), 3, batch_size=30, shuffle=False),
    ]
    np.testing.assert_allclose(rows[0]["loss"], rows[1]["loss"], rtol=1e-12)
    for name, value in weights(models[0]).items():
        np.testing.assert_allclose(value, weights(models[1])[name], rtol=1e-10)


def test_the_same_seed_gives_the_same_bits(task):
    runs = []
    for seed in (1, 1, 2):
        model = make_model(dropout=0.2, batch_norm=True)
        history = make_trainer(model, seed=seed).fit((task.x, task.y), 3, validation=0.2)
        runs.append((untimed(history), weights(model)))
    assert runs[0][0] == runs[1][0]
    assert_same_bits(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_a_negative_seed_counts_from_the_end(task):
    assert make_trainer(seed=-1).seed == 2**64 - 1
    rows = [make_trainer(seed=seed).fit((task.x, task.y), 1, validation=0.2) for seed in (-1, 2**64 - 1)]
    assert untimed(rows[0]) == untimed(rows[1])


def test_arrays_datasets_and_loaders_are_the_same_data(task):
    x, y = gpunn.tensor(task.x), gpunn.tensor(task.y)
    dataset = TensorDataset(x, y)
    rows = [
        make_trainer(seed=4).fit(data, 2, batch_size=size)
        for data, size in [
            ((task.x, task.y), 16),
            ((task.x.astype(np.float64), task.y.astype(np.uint8)), 16),
            ((x, y), 16),
            (dataset, 16),
            (DataLoader(dataset, 16, shuffle=True, generator=4), None),
        ]
    ]
    assert all(untimed(row) == untimed(rows[0]) for row in rows)


def test_a_second_fit_begins_a_new_history(task):
    trainer = make_trainer()
    first = trainer.fit((task.x, task.y), 3)
    second = trainer.fit((task.x, task.y), 2)
    assert first.epochs == 3
    assert second["epoch"] == [1, 2]
    assert second["loss"][0] < first["loss"][0]


def test_modes_are_put_back(task):
    model = make_model(dropout=0.5)
    trainer = make_trainer(model)
    model.eval()
    trainer.evaluate((task.x, task.y))
    assert not model.training
    model.train()
    trainer.predict(task.x)
    assert model.training
    seen = []
    trainer = make_trainer(
        model,
        metrics=[lambda output, target: seen.append(model.training) or 0.0],
    )
    trainer.fit((task.x, task.y), 1, validation=(task.x, task.y), batch_size=90)
    model.eval()
    trainer.fit((task.x, task.y), 1, batch_size=90)
    assert seen == [True, False, True]


def test_evaluation_leaves_no_trace(task):
    model = make_model(dropout=0.5, batch_norm=True)
    trainer = make_trainer(model)
    before, state = weights(model), gpunn.get_rng_state()
    first = trainer.evaluate((task.x, task.y), batch_size=7)
    trainer.predict(task.x, 7)
    assert_same_bits(weights(model), before)
    assert gpunn.get_rng_state() == state
    assert all(p.grad is None for p in model.parameters())
    assert trainer.evaluate((task.x, task.y), batch_size=90)["loss"] == pytest.approx(first["loss"], rel=1e-6)


def test_predictions(task):
    model = make_model(dropout=0.5)
    trainer = make_trainer(model)
    model.eval()
    expected = model(gpunn.tensor(task.x)).detach().numpy()
    for size in (90, 32, 1):
        found = trainer.predict(task.x, size)
        assert not found.requires_grad
        assert found.shape == (90, 3)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(trainer.predict(gpunn.tensor(task.x)).numpy(), trainer.predict(task.x).numpy())


def test_predictions_of_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(gpunn.ones(1))

        def forward(self, a, b):
            return self.scale * (a + b)

    trainer = make_trainer(Sum(), loss="mse", metrics=[])
    assert trainer.predict(([[1.0], [2.0]], [[10.0], [20.0]]), 1).tolist() == [[11.0], [22.0]]
    with pytest.raises(ValueError, match=r"the inputs have \[1, 2\] samples"):
        trainer.predict(([[1.0]], [[10.0], [20.0]]))


def test_a_regression(rng):
    x = rng.normal(size=(80, 2))
    y = x @ [[2.0], [-1.0]] + 0.5
    model = nn.Linear(2, 1)
    trainer = make_trainer(model, loss="mse", metrics=["mae", "r2"])
    history = trainer.fit((x, y), 30, validation=0.25)
    assert history["val_r2"][-1] > 0.99
    np.testing.assert_allclose(model.weight.tolist(), [[2.0, -1.0]], atol=0.1)


def test_results_by_class_are_in_evaluations_but_not_in_the_history(task):
    trainer = make_trainer(metrics=["accuracy", "per_class"])
    history = trainer.fit((task.x, task.y), 1, validation=0.2)
    assert "per_class" not in history
    assert "val_per_class" not in history
    found = trainer.evaluate((task.x, task.y))
    confusion = np.array(found["per_class"]["confusion"])
    assert confusion.sum() == 90
    assert confusion.trace() / 90 == found["accuracy"]


def test_a_loss_that_is_not_finite(task):
    trainer = make_trainer(lr=1e12, loss="mse", metrics=[], model=nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1)))
    y = task.y[:, None].astype(float)
    message = (
        r"the loss became (nan|inf) in epoch \d+, batch \d+, at learning rate 1e\+12; try a smaller learning rate, "
        r"such as 1e\+11, clip_norm=1.0"
    )
    with pytest.raises(TrainingError, match=message):
        trainer.fit((task.x, y), 50)


def test_data_that_is_not_finite(task):
    x = task.x.copy()
    x[37, 2] = np.nan
    trainer = make_trainer()
    with pytest.raises(
        TrainingError, match=r"the loss became nan in epoch 1, batch 4, .*the inputs of that batch are not"
    ):
        trainer.fit((x, task.y), 2, batch_size=10, shuffle=False)
    with pytest.raises(TrainingError, match=r"the loss is nan in batch 4"):
        make_trainer().evaluate((x, task.y), batch_size=10)


def test_a_validation_loss_that_is_not_finite(task):
    x = task.x.copy()
    x[0] = np.inf
    with pytest.raises(TrainingError, match="the validation loss became nan in epoch 1, batch 1"):
        make_trainer().fit((task.x, task.y), 2, validation=(x, task.y))


def test_the_model_moves_to_the_device():
    trainer = make_trainer(device="cpu")
    assert trainer.device is gpunn.device("cpu")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"grad_accumulation": 0}, ValueError, "grad_accumulation is 0"),
        ({"clip_norm": 0}, ValueError, "clip_norm is 0"),
        ({"l2": -1}, ValueError, "l2 is -1"),
        ({"metrics": ["f1"]}, ValueError, "there is no metric 'f1'"),
        ({"loss": "hinge"}, ValueError, "there is no loss 'hinge'"),
        ({"device": "tpu"}, ValueError, "no device 'tpu'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        make_trainer(**options)


def test_an_optimizer_of_another_model():
    with pytest.raises(ValueError, match="none of the optimizer's parameters belongs to the model"):
        Trainer(make_model(), "mse", optim.SGD(make_model().parameters(), 0.1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 1.5}, ValueError, "epochs is 1.5"),
        ({"validation": 1.0}, ValueError, "validation is 1.0"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"resume": True}, ValueError, "there is no run_dir"),
        ({"resume": "nowhere.safetensors"}, FileNotFoundError, r"no file nowhere\.safetensors"),
    ],
)
def test_bad_arguments_of_fit(arguments, error, message, task):
    with pytest.raises(error, match=message):
        make_trainer().fit((task.x, task.y), **{"epochs": 1, **arguments})


def test_empty_data():
    with pytest.raises(DataError, match="no sample"):
        make_trainer().fit((np.zeros((0, 4)), np.zeros(0, int)))
    with pytest.raises(DataError, match="no sample"):
        make_trainer().predict(np.zeros((0, 4)))
    loader = DataLoader(TensorDataset(gpunn.zeros(3, 4), gpunn.zeros(3, dtype="int64")), 4, drop_last=True)
    with pytest.raises(TrainingError, match="epoch 1 has no batch"):
        make_trainer().fit(loader)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range(label, task):
    y = task.y.copy()
    y[5] = label
    with pytest.raises((IndexError, ValueError, RuntimeError), match=str(label)):
        make_trainer().fit((task.x, y))


def test_a_wrong_number_of_features(task):
    with pytest.raises(RuntimeError, match="4"):
        make_trainer().fit((task.x[:, :3], task.y))


def test_the_learning_rate_is_what_the_optimizer_says():
    trainer = make_trainer(lr=0.25)
    assert trainer.learning_rate == 0.25
    trainer.optimizer.param_groups[0]["lr"] = 0.125
    assert trainer.learning_rate == 0.125


def test_settings_are_plain(task):
    settings = make_trainer(l2=0.1, clip_norm=2.0, seed=9).settings()
    assert settings["loss"] == "CrossEntropyLoss"
    assert settings["optimizer"] == "SGD"
    assert (settings["lr"], settings["momentum"], settings["l2"], settings["clip_norm"]) == (0.1, 0.9, 0.1, 2.0)
    assert settings["parameters"] == (4 + 1) * 8 + (8 + 1) * 3
    assert settings["seed"] == 9


def test_a_metric_of_one_s_own_is_in_the_history(task):
    def constant(output, target):
        return 7.0

    history = make_trainer(metrics=[constant]).fit((task.x, task.y), 2, validation=0.2)
    assert history["constant"] == [7.0, 7.0]
    assert history["val_constant"] == [7.0, 7.0]


def test_a_trainer_within_a_callback_sees_the_epoch(task):
    seen = []
    callback = LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: seen.append((trainer.epoch, epoch)))
    make_trainer(callbacks=[callback]).fit((task.x, task.y), 2)
    assert seen == [(1, 1), (2, 2)]
    assert math.isfinite(seen[0][0])
