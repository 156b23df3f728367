"""What a checkpoint holds, and those that can't be gone on from."""

import pytest

import gpunn
from gpunn.io import FileFormatError
from gpunn.train import (
    EarlyStopping,
    LambdaCallback,
    RunFolder,
    TrainingError,
    fingerprint,
    load_checkpoint,
)

from .conftest import make_trainer
from .resuming import data_of, trainer_for


def test_what_a_checkpoint_holds(task, tmp_path):
    trainer = trainer_for(tmp_path, scheduler="cosine")
    trainer.fit(epochs=2, **data_of(task))
    state = load_checkpoint(RunFolder(tmp_path).latest_checkpoint())
    assert (state["epoch"], state["batch"], state["trained"]) == (2, 0, False)
    assert state["fingerprint"] == fingerprint("cpu")
    assert state["generator"] == gpunn.get_rng_state()
    assert state["history"] == trainer.history.rows
    assert [c["name"] for c in state["callbacks"]] == ["ScheduleCallback", "EarlyStopping", "BestModel"]
    assert state["model"].keys() == trainer.model.state_dict().keys()


def test_a_damaged_checkpoint(task, tmp_path):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    path = RunFolder(tmp_path).latest_checkpoint()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"epoch_001\.safetensors .* is not a whole safetensors file"):
        trainer_for(tmp_path).fit(epochs=2, resume=True, **data_of(task))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("epoch", -1), ("epoch", 7), ("batch", 1.5), ("history", [{}]), ("settings", {}), ("callbacks", [1]),
        ("meter", {}), ("generator", {"seed": "x"}), ("generator", {"seed": -1, "calls": {}}),
        ("loader", {"batches": 8, "epoch": 1, "position": 10**18, "seed": 11}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_checkpoint_that_was_changed(task, tmp_path, entry, value):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    path = RunFolder(tmp_path).latest_checkpoint()
    gpunn.save({**load_checkpoint(path), entry: value}, path)
    with pytest.raises(ValueError, match=r"damaged|the state is of batch|invalid literal|the state of a generator"):
        trainer_for(tmp_path).fit(epochs=2, resume=True, **data_of(task))


def test_a_moment_of_another_shape(task, tmp_path):
    """Known before a step is done."""
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    path = RunFolder(tmp_path).latest_checkpoint()
    state = load_checkpoint(path)
    state["optimizer"]["state"][0]["momentum_buffer"] = gpunn.zeros(3)
    gpunn.save(state, path)
    with pytest.raises(ValueError, match=r"'momentum_buffer' of a parameter float32\[8, 4\] has shape \[3\]"):
        trainer_for(tmp_path).fit(epochs=2, resume=True, **data_of(task))


def test_a_file_that_is_no_checkpoint(task, tmp_path):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    with pytest.raises(FileFormatError, match="is no checkpoint of a training run: it lacks version"):
        trainer_for(tmp_path).fit(epochs=2, resume=tmp_path / "model.safetensors", **data_of(task))


def test_another_model_or_other_data(task, tmp_path):
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    other = make_trainer(run_dir=tmp_path, callbacks=[EarlyStopping(patience=50)])
    with pytest.raises((RuntimeError, KeyError), match=r"(?s)state_dict.*Missing|Unexpected"):
        other.fit(epochs=2, resume=True, **data_of(task))
    with pytest.raises(ValueError, match="loader with 8 batches, this one has 24"):
        trainer_for(tmp_path).fit(epochs=2, resume=True, **{**data_of(task), "batch_size": 3})
    with pytest.raises(ValueError, match="the run to resume was validated, or this one is, but not both"):
        trainer_for(tmp_path).fit((task.x[:72], task.y[:72]), epochs=2, resume=True, batch_size=9)


def test_a_run_that_can_not_go_on_stays_as_it_was(task, tmp_path):
    """Its configuration is that of its checkpoints, and it can be resumed rightly afterwards."""
    trainer_for(tmp_path).fit(epochs=1, **data_of(task))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="loader with 8 batches"):
        trainer_for(tmp_path).fit(epochs=2, resume=True, **{**data_of(task), "batch_size": 3})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    trainer_for(tmp_path).fit(epochs=2, resume=True, **data_of(task))


def test_the_last_good_checkpoint_is_kept(task, tmp_path):
    """Weights that became infinite in a step whose own loss was finite are not saved."""

    def spoil(trainer, batch):
        if (trainer.epoch, batch) == (3, 8):
            trainer.model[0].weight.data.fill_(float("inf"))

    trainer = trainer_for(tmp_path, callbacks=[LambdaCallback(on_batch_end=spoil)])
    with pytest.raises(TrainingError, match=r"last good checkpoint is .*epoch_002\.safetensors"):
        trainer.fit(epochs=4, **data_of(task))
    unvalidated = trainer_for(tmp_path / "b", callbacks=[LambdaCallback(on_batch_end=spoil)])
    with pytest.raises(TrainingError, match=r"0\.weight is no longer finite in epoch 3, .* no checkpoint was written"):
        unvalidated.fit((task.x[:72], task.y[:72]), epochs=4, batch_size=9)
    for path in (tmp_path, tmp_path / "b"):
        assert [p.name for p in RunFolder(path).checkpoints()] == ["epoch_001.safetensors", "epoch_002.safetensors"]
