"""How often checkpoints are written within an epoch, and which of them stay."""

import os
import signal

import pytest

from gpunn.train import LambdaCallback, RunFolder, load_checkpoint
from gpunn.train.every import Every
from tests.train.conftest import assert_same_bits, make_model, make_trainer, weights


def trainer_for(path, every, keep=2, **options):
    folder = RunFolder(path, model="last", checkpoint_every=every, keep_checkpoints=keep)
    return make_trainer(make_model(dropout=0.3, batch_norm=True), run_dir=folder, seed=1, **options)


def names(path):
    return [p.stem for p in RunFolder(path).checkpoints()]


@pytest.mark.parametrize(
    ("every", "keep", "expected"),
    [
        ("epoch", 2, ["epoch_001"]),
        ("2steps", 2, ["epoch_001", "epoch_001_batch_00004", "epoch_001_batch_00006"]),
        ("3steps", 2, ["epoch_001", "epoch_001_batch_00003", "epoch_001_batch_00006"]),
        ("1step", 3, ["epoch_001", "epoch_001_batch_00004", "epoch_001_batch_00005", "epoch_001_batch_00006"]),
        ("0.000001s", 1, ["epoch_001", "epoch_001_batch_00006"]),
        ("900s", 2, ["epoch_001"]),
    ],
)
def test_within_an_epoch(task, tmp_path, every, keep, expected):
    """The process ends after 6 of 8 steps of epoch 2; the run that goes on is as one that never ended."""

    class Killed(BaseException):
        pass

    def kill(trainer, batch):
        if (trainer.epoch, batch) == (2, 7):
            raise Killed

    data = {"validation": (task.x, task.y), "batch_size": 12}
    with pytest.raises(Killed):
        trainer_for(tmp_path / "a", every, keep, callbacks=[LambdaCallback(on_batch_end=kill)]).fit(
            (task.x, task.y), 3, **data
        )
    assert names(tmp_path / "a") == expected
    resumed, straight = trainer_for(tmp_path / "a", every, keep), trainer_for(tmp_path / "b", every, keep)
    resumed.fit((task.x, task.y), 3, resume=True, **data)
    straight.fit((task.x, task.y), 3, **data)
    assert_same_bits(weights(resumed.model), weights(straight.model))
    whole = [f"epoch_{i:03}" for i in range(1, 4)][-keep:]
    assert names(tmp_path / "a") == names(tmp_path / "b") == whole
    rows = [
        [{k: v for k, v in row.items() if "second" not in k} for row in t.history.rows] for t in (resumed, straight)
    ]
    assert rows[0] == rows[1]


def test_a_signal_counts_anew(task, tmp_path):
    def interrupt(trainer, batch):
        if batch == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        trainer_for(tmp_path, "2steps", callbacks=[LambdaCallback(on_batch_end=interrupt)]).fit(
            (task.x, task.y), 1, batch_size=9
        )
    assert names(tmp_path) == ["epoch_000_batch_00002", "epoch_000_batch_00003"]
    assert load_checkpoint(RunFolder(tmp_path).latest_checkpoint())["batch"] == 3


@pytest.mark.parametrize(
    "text", ["", "epochs", "30", "0s", "0steps", "-1s", "s", "steps", "1e3s", "inf s", "30 s", "\n"]
)
def test_texts_that_are_none(text):
    with pytest.raises(
        ValueError, match="is no 'epoch', number of steps such as '500steps' or of seconds such as '30s'"
    ):
        Every(text)
