"""The files that a run leaves."""

import json
import math
import sys
from datetime import datetime, timezone

import numpy as np
import pytest

import gpunn
from gpunn.io import FileFormatError
from gpunn.train import EarlyStopping, LambdaCallback, RunFolder, TrainingError, fingerprint

from .conftest import assert_same_bits, make_trainer, weights


def test_what_a_run_leaves(task, tmp_path):
    trainer = make_trainer(run_dir=tmp_path / "runs" / "one", seed=5, l2=0.01)
    history = trainer.fit((task.x, task.y), 3, validation=0.2, batch_size=20)
    folder = RunFolder(tmp_path / "runs" / "one")
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "checkpoints", "config.toml", "metrics.jsonl", "model.safetensors", "report.html", "report.json", "status.json",
    ]  # fmt: skip
    assert [path.name for path in folder.checkpoints()] == ["epoch_002.safetensors", "epoch_003.safetensors"]
    assert folder.read_rows() == history.rows
    config = folder.read_config()
    assert (config["l2"], config["seed"], config["epochs"], config["batch_size"]) == (0.01, 5, 3, 20)
    assert folder.read_fingerprint() == fingerprint("cpu")
    assert folder.report_path.read_text().startswith("<!DOCTYPE html>")


def test_a_row_is_there_before_the_next_epoch_begins(task, tmp_path):
    def look(trainer, epoch):
        if epoch > 1:
            assert [row["epoch"] for row in RunFolder(tmp_path).read_rows()] == list(range(1, epoch))

    make_trainer(run_dir=tmp_path, callbacks=[LambdaCallback(on_epoch_begin=look)]).fit((task.x, task.y), 3)


def test_the_model_is_the_best_or_the_last(task, tmp_path):
    for kind in ("best", "last"):
        seen = []

        def script(trainer, epoch, logs, seen=seen):
            logs["val_accuracy"] = [0.5, 0.9, 0.7][epoch - 1]
            seen.append(weights(trainer.model))

        folder = RunFolder(tmp_path / kind, model=kind, monitor="val_accuracy")
        trainer = make_trainer(run_dir=folder, callbacks=[LambdaCallback(on_epoch_end=script)])
        trainer.fit((task.x, task.y), 3)
        stored = {name: value.numpy() for name, value in gpunn.load(folder.model_path).items()}
        assert_same_bits(stored, seen[1 if kind == "best" else 2])


def test_the_configuration_of_a_command(task, tmp_path):
    folder = RunFolder(tmp_path, config={"data": "digits", "lr": 0.1, "info": {"classes": ["a", "b"]}})
    make_trainer(run_dir=folder).fit((task.x, task.y), 1)
    assert folder.read_config() == {"data": "digits", "lr": 0.1, "info": {"classes": ["a", "b"]}}


def test_checkpoints_are_ordered_by_epoch_and_batch(tmp_path):
    """Those within an epoch go when it is done, and do not count among those of whole epochs."""
    folder = RunFolder(tmp_path)
    folder.save_checkpoint({"epoch": 9, "batch": 60})
    for epoch, batch in [(9, 0), (10, 0), (10, 20), (10, 120)]:
        folder.save_checkpoint({"epoch": epoch, "batch": batch})
    (folder.checkpoints_path / "notes.safetensors").touch()
    assert [path.stem for path in folder.checkpoints()] == [
        "epoch_009", "epoch_010", "epoch_010_batch_00020", "epoch_010_batch_00120"
    ]  # fmt: skip
    folder.save_checkpoint({"epoch": 1000, "batch": 0})
    assert [path.stem for path in folder.checkpoints()] == ["epoch_010", "epoch_1000"]
    assert folder.latest_checkpoint().stem == "epoch_1000"


def test_numbers_that_json_lacks(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_rows([{"epoch": 1, "r2": math.nan}])
    folder.add_row({"epoch": 2, "r2": -math.inf})
    lines = folder.metrics_path.read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == [
        {"epoch": 1, "r2": None},
        {"epoch": 2, "r2": None},
    ]


def test_a_line_that_was_not_finished(tmp_path):
    folder = RunFolder(tmp_path)
    row = {"epoch": 1, "lr": 0.1, "seconds": 1.5, "samples_per_second": 20.0}
    folder.metrics_path.write_text(json.dumps(row) + '\n{"epo')
    assert folder.read_rows() == [row]


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\n", b"{'epoch': 1}\n", b'{"epoch": 1}\n[1]\n', 100000 * b"[" + b"\n", b"1\n", b"\n"],
    ids=repr,
)
def test_rows_that_are_none(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.metrics_path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"metrics\.jsonl, line [12]: "):
        folder.read_rows()


@pytest.mark.parametrize("content", ["call = 3", "fingerprint = [1]", "a = " + 3000 * "["])
def test_a_configuration_that_is_none(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.config_path.write_text(content)
    with pytest.raises(FileFormatError, match=r"config\.toml"):
        folder.read_config()


def test_a_folder_that_another_training_uses(task, tmp_path):
    """Neither a new run nor a resumed one begins there; afterwards it is free."""

    def begin_another(trainer, epoch, logs):
        for resume in (False, True):
            with pytest.raises(FileExistsError, match="is in use: another training runs there"):
                make_trainer(run_dir=tmp_path / "run").fit((task.x, task.y), 3, resume=resume and epoch > 1)

    trainer = make_trainer(run_dir=tmp_path / "run", callbacks=[LambdaCallback(on_epoch_end=begin_another)])
    trainer.fit((task.x, task.y), 2)
    assert make_trainer(run_dir=tmp_path / "run").fit((task.x, task.y), 3, resume=True).epochs == 3


def test_a_file_system_without_locks(task, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", fail)
    assert make_trainer(run_dir=tmp_path / "run").fit((task.x, task.y), 1).epochs == 1


def test_a_disk_that_is_full(task, tmp_path, monkeypatch):
    """The file is named, what was good stays, and the run goes on when there is room again."""
    save = RunFolder.save_checkpoint

    def fail(self, state, best_epoch=0):
        if state["epoch"] == 2:
            raise OSError(28, "No space left on device", str(self.path / "x"))
        return save(self, state, best_epoch)

    monkeypatch.setattr(RunFolder, "save_checkpoint", fail)
    message = r"can't be written: .*No space left.*x'\. The last good checkpoint is .*epoch_001\.safetensors"
    with pytest.raises(TrainingError, match=message):
        make_trainer(run_dir=tmp_path).fit((task.x, task.y), 3)
    assert [row["epoch"] for row in RunFolder(tmp_path).read_rows()] == [1]
    monkeypatch.undo()
    assert make_trainer(run_dir=tmp_path).fit((task.x, task.y), 3, resume=True).epochs == 3


def test_leftovers_of_a_killed_run_go(task, tmp_path):
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 1)
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path, tmp_path / "checkpoints"):
        (folder / ".x.safetensors.999999999-0123abcd-0.tmp").mkdir()
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 1, resume=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_holds_a_run_is_left_alone(task, tmp_path):
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    folder = RunFolder(tmp_path, resume_hint="gpunn train --resume DIR")
    with pytest.raises(FileExistsError, match=r"holds a run already; resume it \(gpunn train --resume DIR\)"):
        make_trainer(run_dir=folder).fit((task.x, task.y), 1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_that_failed_at_once_leaves_no_results(task, tmp_path):
    def fail(trainer, batch):
        raise ValueError("no")

    trainer = make_trainer(run_dir=tmp_path, callbacks=[LambdaCallback(on_batch_end=fail)])
    with pytest.raises(TrainingError):
        trainer.fit((task.x, task.y), 1)
    assert list(tmp_path.iterdir()) == []
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 1)  # and the folder can be used again


def test_a_run_that_failed_at_once_leaves_no_folder_of_its_own(task, tmp_path):
    def fail(trainer, batch):
        raise ValueError("no")

    (tmp_path / "runs").mkdir()
    folder = RunFolder(tmp_path / "runs" / "a" / "b", files={"model.py": b"# the network"})
    trainer = make_trainer(run_dir=folder, callbacks=[LambdaCallback(on_batch_end=fail)])
    with pytest.raises(TrainingError):
        trainer.fit((task.x, task.y), 1)
    assert list((tmp_path / "runs").iterdir()) == []
    (tmp_path / "runs" / "a" / "b").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "b" / "notes").touch()
    with pytest.raises(TrainingError):
        trainer.fit((task.x, task.y), 1)
    assert [path.name for path in (tmp_path / "runs").rglob("*")] == ["a", "b", "notes"]


def test_a_run_that_failed_later_keeps_what_it_has(task, tmp_path):
    def fail(trainer, epoch):
        if epoch == 2:
            raise ValueError("no")

    with pytest.raises(TrainingError):
        make_trainer(run_dir=tmp_path, callbacks=[LambdaCallback(on_epoch_begin=fail)]).fit((task.x, task.y), 3)
    assert [p.name for p in RunFolder(tmp_path).checkpoints()] == ["epoch_001.safetensors"]
    assert RunFolder(tmp_path).config_path.exists()


def test_the_checkpoint_of_the_best_epoch_is_kept(task, tmp_path):
    def script(trainer, epoch, logs):
        logs["val_loss"] = [0.9, 0.2, 0.4, 0.5, 0.1, 0.3, 0.3][epoch - 1]
        kept.append([int(path.stem.split("_")[1]) for path in RunFolder(tmp_path).checkpoints()])

    kept = []
    make_trainer(run_dir=tmp_path, callbacks=[LambdaCallback(on_epoch_end=script)]).fit((task.x, task.y), 7)
    # before each epoch's own checkpoint is written: the last two, and the best one
    assert kept == [[], [1], [1, 2], [2, 3], [2, 3, 4], [4, 5], [5, 6]]


def test_the_best_epoch_is_that_of_early_stopping(task, tmp_path):
    """Whatever it monitors: what it says in its line, gives back and the folder keeps are the same weights."""
    seen = []

    def script(trainer, epoch, logs):
        logs["val_loss"], logs["score"] = [0.1, 0.2, 0.3, 0.4][epoch - 1], [0.5, 0.9, 0.7, 0.8][epoch - 1]
        seen.append(weights(trainer.model))

    stopping = EarlyStopping("score", patience=2, mode="max")
    trainer = make_trainer(run_dir=tmp_path, callbacks=[LambdaCallback(on_epoch_end=script), stopping])
    assert trainer.fit((task.x, task.y), 9).epochs == 4
    assert trainer.best_epoch == stopping.best_epoch == 2
    stored = {name: value.numpy() for name, value in gpunn.load(RunFolder(tmp_path).model_path).items()}
    assert_same_bits(stored, seen[1])
    assert_same_bits(weights(trainer.model), seen[1])


def test_the_configuration_is_that_of_the_run_as_it_goes_on(task, tmp_path):
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 1)
    before = RunFolder(tmp_path).read_fingerprint()
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 3, resume=True)
    assert RunFolder(tmp_path).read_config()["epochs"] == 3
    assert RunFolder(tmp_path).read_fingerprint() == before


def test_when_and_by_which_command(task, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/gpunn", "train", "--data", "my table.csv"])
    make_trainer(run_dir=tmp_path, lr=0.25).fit((task.x, task.y), 1)
    monkeypatch.setattr(sys, "argv", ["script.py"])
    make_trainer(run_dir=tmp_path, lr=0.25).fit((task.x, task.y), 2, resume=True)
    calls = RunFolder(tmp_path).read_calls()
    assert [command for _, command in calls] == ["gpunn train --data 'my table.csv'", "script.py"]
    times = [datetime.fromisoformat(time) for time, _ in calls]
    assert times == sorted(times) and abs((datetime.now(timezone.utc) - times[0]).total_seconds()) < 60
    page = RunFolder(tmp_path).report_path.read_text()
    for text in (
        "gpunn train --data &#x27;my table.csv&#x27;",
        calls[0][0],
        "CrossEntropyLoss",
        "0.25",
        np.__version__,
    ):
        assert text in page


def test_samples_per_second_mean_one_thing(task, tmp_path):
    """The median of the epochs', in the report as in the history."""

    def script(trainer, epoch, logs):
        logs["samples_per_second"] = [10.0, 5000.0, 2000.0][epoch - 1]

    trainer = make_trainer(run_dir=tmp_path, callbacks=[LambdaCallback(on_epoch_end=script)])
    assert trainer.fit((task.x, task.y), 3).samples_per_second == 2000.0
    assert "samples/s, median of epochs</dt><dd>2,000</dd>" in RunFolder(tmp_path).report_path.read_text()


def test_the_configuration_stays_where_a_run_can_not_go_on(task, tmp_path):
    """With data of another size, or with nothing left to do."""
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 2, batch_size=30)
    before = RunFolder(tmp_path).config_path.read_text()
    with pytest.raises(ValueError, match="loader with 3 batches"):
        make_trainer(run_dir=tmp_path).fit((task.x, task.y), 4, batch_size=20, resume=True)
    make_trainer(run_dir=tmp_path).fit((task.x, task.y), 1, batch_size=30, resume=True)
    assert RunFolder(tmp_path).config_path.read_text() == before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda path: RunFolder(path, model="first"), ValueError, "model is 'first'"),
        (lambda path: RunFolder(path, keep_checkpoints=0), ValueError, "keep_checkpoints is 0"),
        (lambda path: RunFolder(path).latest_checkpoint(), FileNotFoundError, "has no checkpoint to resume from"),
        (lambda path: RunFolder(path).read_config(), FileNotFoundError, r"holds no run: there is no config\.toml"),
        (lambda path: RunFolder(path).read_rows(), FileNotFoundError, "holds no finished epoch"),
    ],
)
def test_errors(call, error, message, tmp_path):
    with pytest.raises(error, match=message):
        call(tmp_path)


def test_a_file_in_the_place_of_the_folder(task, tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(NotADirectoryError, match="run is a file"):
        make_trainer(run_dir=tmp_path / "run").fit((task.x, task.y), 1)


def test_a_config_that_is_no_toml(tmp_path):
    (tmp_path / "config.toml").write_text("lr = = 1")
    with pytest.raises(FileFormatError, match=r"config\.toml is no TOML file"):
        RunFolder(tmp_path).read_config()
