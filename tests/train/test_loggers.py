"""What was measured, told to other programs."""

import csv
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gpunn.train import CSVLogger, MLflowLogger, TensorBoardLogger, WandbLogger

from .conftest import make_trainer


def test_csv(task, tmp_path):
    path = tmp_path / "history.csv"
    trainer = make_trainer(callbacks=[CSVLogger(path)], run_dir=tmp_path / "run", seed=0)
    trainer.fit((task.x, task.y), 2, validation=0.2)
    again = make_trainer(callbacks=[CSVLogger(path)], run_dir=tmp_path / "run", seed=0)
    history = again.fit((task.x, task.y), 4, validation=0.2, resume=True)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]


def test_tensorboard(task, tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    history = make_trainer(callbacks=[TensorBoardLogger(tmp_path / "logs")]).fit((task.x, task.y), 2, validation=0.2)
    (file,) = (tmp_path / "logs").iterdir()
    content, found = file.read_bytes(), {}
    while content:  # records: 8 bytes length, 4 of a checksum, the event, 4 of a checksum
        n = int.from_bytes(content[:8], "little")
        event, content = Event.FromString(content[12 : 12 + n]), content[16 + n :]
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    losses = [(epoch, np.float32(loss)) for epoch, loss in zip((1, 2), history["loss"])]
    assert found["loss/training"] == losses and len(found["accuracy/validation"]) == 2


def stand_in(calls):
    """A module that notes what is called."""

    class Module(SimpleNamespace):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *args, **options: calls.append((name, args, options)) or self

    return Module()


def test_wandb(task, monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "wandb", stand_in(calls))
    history = make_trainer(callbacks=[WandbLogger(project="p", config={"own": 1})]).fit((task.x, task.y), 2)
    assert [name for name, *_ in calls] == ["init", "log", "log", "finish"]
    options = calls[0][2]
    assert options["project"] == "p" and options["config"]["own"] == 1 and options["config"]["lr"] == 0.1
    assert calls[2][1][0]["loss"] == history["loss"][1] and calls[2][2] == {"step": 2}


def test_mlflow(task, monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "mlflow", stand_in(calls))
    logger = MLflowLogger("experiment", "file:runs", run_name="r")
    history = make_trainer(callbacks=[logger]).fit((task.x, task.y), 1)
    assert [name for name, *_ in calls] == [
        *("set_tracking_uri", "set_experiment", "start_run", "log_params", "log_metrics", "end_run"),
    ]  # fmt: skip
    assert calls[2][2] == {"run_name": "r"} and calls[3][1][0]["optimizer"] == "SGD"
    assert calls[4][1][0]["accuracy"] == history["accuracy"][0] and calls[4][2] == {"step": 1}


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda: TensorBoardLogger("x"), "tensorboardX"), (WandbLogger, "wandb"), (MLflowLogger, "mlflow")],
)
def test_what_is_missing_is_missed_by_name(monkeypatch, make, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"Logger needs {name}: pip install {name}"):
        make()
