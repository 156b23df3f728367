"""The rows of a run, and its columns."""

import math

import pytest

from gpunn.train import History

ROWS = [
    {"epoch": 1, "loss": 2.0, "val_loss": math.nan},
    {"epoch": 2, "loss": 1.0, "val_loss": 0.5, "extra": 7},
    {"epoch": 3, "loss": 0.5, "val_loss": 0.5},
]


def test_columns():
    history = History(list(ROWS))
    assert history["loss"] == [2.0, 1.0, 0.5]
    assert history["extra"] == [None, 7, None]
    assert list(history) == ["epoch", "loss", "val_loss", "extra"]
    assert history.history["epoch"] == [1, 2, 3]
    assert len(history) == 4
    assert "loss" in history
    assert "accuracy" not in history
    assert history.epochs == 3
    assert history.last is history.rows[-1]


def test_best_is_the_first_of_equal_ones_and_never_nan():
    history = History(list(ROWS))
    assert history.best("val_loss", "min")["epoch"] == 2
    assert history.best("val_loss", "max")["epoch"] == 2
    assert history.best("loss", "max")["epoch"] == 1


def test_no_epochs():
    history = History()
    assert history.last == {}
    assert repr(history) == "History(0 epochs)"
    assert list(history) == []


def test_errors_name_what_there_is():
    history = History(list(ROWS))
    with pytest.raises(KeyError, match="there is no 'accuracy'; there are: epoch, loss, val_loss, extra"):
        history["accuracy"]
    with pytest.raises(KeyError, match="no epoch has a finite 'accuracy'"):
        history.best("accuracy", "max")
    with pytest.raises(ValueError, match="mode is 'lowest'"):
        history.best("loss", "lowest")
