"""Where a run is, as another process sees it."""

import json
import math
import threading

import pytest

import gpunn
from gpunn.train import LambdaCallback, Progress, RunFolder, TrainingError
from gpunn.train.status import Follower, Recorded, Status, read_status

from .conftest import make_trainer


def test_a_run_tells_where_it_is(task, tmp_path, monkeypatch):
    """Seen from within: after each batch and epoch, and behind the end."""
    monkeypatch.setattr("gpunn.train.status.Recorded.every", 0.0)
    folder, seen = RunFolder(tmp_path), []

    def look(trainer, *_):
        seen.append(read_status(folder))

    callbacks = [LambdaCallback(on_fit_begin=look, on_batch_end=look, on_epoch_end=look)]
    history = make_trainer(callbacks=callbacks, run_dir=tmp_path).fit((task.x, task.y), 2, batch_size=45)
    assert [(s.state, s.epoch, s.batch, s.batches) for s in seen] == [
        ("at work", 0, 0, None),
        *[("training", 1, 0, 2), ("training", 1, 1, 2), ("at work", 1, 2, 2)],
        *[("training", 2, 0, 2), ("training", 2, 1, 2), ("at work", 2, 2, 2)],
    ]
    assert seen[3].values == pytest.approx({k: history["loss" if k == "loss" else k][0] for k in ("loss", "accuracy")})
    assert seen[3].samples == 90
    assert seen[3].rate > 0
    last = read_status(folder)
    assert (last.state, last.running, last.epoch, last.epochs) == ("finished", False, 2, 2)


def test_validation_is_told(task, tmp_path):
    seen = []

    class Quiet(Progress):
        def validating(self):
            seen.append(RunFolder(tmp_path))

    trainer = make_trainer(run_dir=tmp_path, progress=Quiet())
    trainer.evaluator.measure = lambda batch, measure=trainer.evaluator.measure: (
        seen.append(read_status(seen[0]).state) or measure(batch)
    )
    trainer.fit((task.x, task.y), 1, validation=0.2)
    assert seen[1:] == ["validating"]


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [(ValueError("<b>"), "failed", "the callback LambdaCallback failed in on_epoch_begin: ValueError: <b>"),
     (KeyboardInterrupt(), "interrupted", "stopped at once, in epoch 2; to go on from")],
    ids=["failed", "interrupted"],
)  # fmt: skip
def test_how_a_run_has_ended(error, state, message, task, tmp_path):
    def fail(trainer, epoch):
        if epoch == 2:
            raise error

    with pytest.raises((TrainingError, KeyboardInterrupt)):
        make_trainer(callbacks=[LambdaCallback(on_epoch_begin=fail)], run_dir=tmp_path).fit((task.x, task.y), 3)
    found = read_status(RunFolder(tmp_path))
    assert (found.state, found.epoch) == (state, 1)
    assert found.message.startswith(message)


def test_a_run_that_failed_in_its_first_epoch_leaves_nothing(task, tmp_path):
    def fail(trainer, batch):
        raise ValueError

    with pytest.raises(TrainingError):
        make_trainer(callbacks=[LambdaCallback(on_batch_end=fail)], run_dir=tmp_path / "r").fit((task.x, task.y), 3)
    assert not (tmp_path / "r").exists()


def test_a_run_whose_process_is_gone_has_died(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        read_status(folder)
    folder.config_path.write_text("")
    assert read_status(folder).state == "died"
    folder.report_path.write_text("")
    assert read_status(folder).state == "finished"  # a run of an older version
    Recorded(Progress(), folder.status_path).start(3, 5, 10, 4, 40)
    with folder.claimed():
        assert read_status(folder).state == "training"
    found = read_status(folder)
    assert (found.state, found.running, found.epoch, found.batch) == ("died", False, 3, 4)
    shown = Recorded(Progress(), folder.status_path)
    shown.close()
    with folder.claimed():  # it measures the test set, or is being resumed
        assert (read_status(folder).state, read_status(folder).running) == ("at work", True)
    assert read_status(folder).state == "finished"


def test_where_the_file_system_has_no_locks_the_run_is_believed(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.config_path.write_text("")
    Recorded(Progress(), folder.status_path).start(1, 1, None, 0, 0)

    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    assert folder.in_use() is None
    assert read_status(folder).state == "training"


def test_who_looks_is_in_nobodys_way(tmp_path):
    """While others look at it all the time, a folder can be claimed."""
    folder, end = RunFolder(tmp_path), threading.Event()

    def look():
        while not end.wait(1e-3):
            folder.in_use()

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            other = RunFolder(tmp_path)
            with other.claimed():
                assert folder.in_use() is True
                with pytest.raises(FileExistsError, match="is in use"):
                    RunFolder(tmp_path).claim()
            other.path.mkdir(exist_ok=True)
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert folder.in_use() is False
    assert RunFolder(tmp_path / "none").in_use() is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"state": "training"}', "[[", json.dumps({**vars(Status()), "batch": "x"})]
)
def test_a_damaged_status(text, tmp_path):
    folder = RunFolder(tmp_path)
    folder.config_path.write_text("")
    folder.status_path.write_text(text)
    with pytest.raises(gpunn.io.FileFormatError, match=r"status\.json is damaged: "):
        read_status(folder)


def test_numbers_that_are_not_finite(tmp_path):
    folder = RunFolder(tmp_path)
    folder.config_path.write_text("")
    shown = Recorded(Progress(), folder.status_path)
    shown.start(1, 1, 1, 0, 0)
    shown.show({"loss": math.nan}, math.inf, math.inf)
    found = read_status(folder)
    assert all(map(math.isnan, (found.values["loss"], found.rate)))
    assert found.left is None


def test_a_full_disk_does_not_end_a_run_for_its_status(tmp_path):
    shown = Recorded(Progress(), tmp_path / "no such folder" / "status.json")
    shown.start(1, 1, 1, 0, 0)
    shown.close()


def test_what_is_shown_is_shown_as_before(task, tmp_path):
    """The progress beneath is told the same with a folder as without one."""
    told = []

    class Shown(Progress):
        every = 0.0

        def batch(self, done, samples, values):
            told[-1].append((done, samples, values))
            super().batch(done, samples, values)

        def show(self, values, rate, left):
            told[-1].append(values)

        def end(self, row):
            told[-1].append({k: v for k, v in row.items() if k not in ("seconds", "samples_per_second")})

        def close(self):
            told[-1].append("closed")

    gpunn.manual_seed(0)
    for folder in (None, tmp_path):
        told.append([])
        make_trainer(run_dir=folder, progress=Shown(), seed=1).fit((task.x, task.y), 2, validation=0.2)
    assert told[0] == told[1]
    assert len(told[0]) == 2 * (3 * 2 + 1) + 1


def test_what_is_new_at_each_look(task, tmp_path):
    folder, news = RunFolder(tmp_path), []
    follower = Follower(folder)

    def look(trainer, epoch):
        trainer.note(f"epoch {epoch}")
        rows, notes = follower.look()
        news.append(([row["epoch"] for row in rows], notes))

    make_trainer(callbacks=[LambdaCallback(on_epoch_begin=look)], run_dir=tmp_path).fit((task.x, task.y), 3)
    assert news == [([], ["epoch 1"]), ([1], ["epoch 2"]), ([2], ["epoch 3"])]
    rows, notes = follower.look()
    assert ([row["epoch"] for row in rows], notes, follower.status.state) == ([3], [], "finished")
    folder.write_rows(follower.rows[:1])  # it goes back to a checkpoint: the rows begin anew
    assert [row["epoch"] for row in follower.look()[0]] == [1]
