"""Keras's manner: what works, and what says how to write it."""

import pytest

import gpunn
from gpunn import nn, optim
from gpunn.train import Trainer

from .conftest import make_model


@pytest.mark.parametrize("name", ["adam", "Adam", "adamw", "sgd", "SGD", "rmsprop", "RMSprop", "adagrad"])
def test_an_optimizer_by_name(task, name):
    """It is the class with its defaults, on all of the model's parameters."""
    trainer = Trainer(make_model(), "cross_entropy", name, progress=False)
    wanted = next(cls for cls in vars(optim).values() if getattr(cls, "__name__", "").lower() == name.lower())
    assert type(trainer.optimizer) is wanted
    assert trainer.optimizer.defaults == wanted(trainer.model.parameters()).defaults
    assert trainer.optimizer.param_groups[0]["params"] == list(trainer.model.parameters())
    assert trainer.fit((task.x, task.y), 1).epochs == 1


@pytest.mark.parametrize(
    "optimizer, error, message",
    [
        ("adom", ValueError, r"there is no optimizer 'adom'; did you mean adam\?; there are: adam, adamw, sgd"),
        (optim.Adam, TypeError, r"such as gpunn.optim.Adam\(model.parameters\(\)\) or a name, not Adam"),
        (0.1, TypeError, "or a name, not float"),
        (None, TypeError, "or a name, not NoneType"),
    ],
)
def test_what_is_none(optimizer, error, message):
    with pytest.raises(error, match=message):
        Trainer(make_model(), "cross_entropy", optimizer)


@pytest.mark.parametrize("kind", [lambda y: y, gpunn.tensor, lambda y: y.tolist()], ids=["array", "tensor", "list"])
def test_targets_as_an_argument_of_their_own(task, kind):
    gpunn.manual_seed(0)
    trainer = Trainer(make_model(), "cross_entropy", "adam", progress=False, seed=0)
    found = trainer.fit(task.x, kind(task.y), epochs=2, batch_size=16)["loss"]
    gpunn.manual_seed(0)
    again = Trainer(make_model(), "cross_entropy", "adam", progress=False, seed=0)
    assert again.fit((task.x, task.y), 2, batch_size=16)["loss"] == found
    assert trainer.evaluate(task.x, kind(task.y)) == trainer.evaluate((task.x, task.y), 256)


def test_losses_and_metrics_with_a_slip():
    with pytest.raises(ValueError, match=r"no loss 'cross_entrop'; did you mean cross_entropy\?"):
        Trainer(make_model(), "cross_entrop", "adam")
    with pytest.raises(ValueError, match=r"no metric 'acuracy'; did you mean accuracy\?"):
        Trainer(make_model(), "cross_entropy", "adam", metrics=["acuracy"])


def test_a_trainer_in_one_line(task):
    """4 * 8 + 8 and 8 * 3 + 3 parameters."""
    trainer = Trainer(make_model(), nn.CrossEntropyLoss(), "adam", progress=False)
    text = (
        "<Trainer of Sequential with 67 parameters by CrossEntropyLoss and Adam, lr 0.001, on cpu: {} epochs trained>"
    )
    assert repr(trainer) == text.format(0)
    trainer.fit((task.x, task.y), 2)
    assert repr(trainer) == text.format(2)


def test_the_command_knows_those_that_a_plan_can_do():
    from gpunn.cli.options import OPTIMIZERS as of_command
    from gpunn.train.optimizers import OPTIMIZERS as by_name

    assert set(of_command) == {name for name, cls in by_name.items() if getattr(optim, cls)._planned}
