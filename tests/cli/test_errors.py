"""One clear line for each mistake, the right exit code, and nothing left behind."""

import numpy as np
import pytest

CALLS = {
    "unknown command": (("fly",), 2, "invalid choice: 'fly'"),
    "unknown option": (("train", "--epoch-count", 3), 2, "--epoch-count"),
    "unknown data": (("train", "--data", "digit"), 2, "Did you mean digits?"),
    "missing file": (("train", "--data", "there/is.npz"), 2, "is.npz"),
    "missing root": (("train", "--data", "mnist", "--data-root", "nowhere"), 2, "nowhere"),
    "unknown model": (("train", "--model", "gpt"), 2, "there is no model 'gpt'"),
    "model sizes": (("train", "--model", "mlp:12,x"), 2, "mlp:512,512"),
    "model needs images": (("train", "--model", "lenet"), 2, "at least 12 x 12"),
    "model file": (("train", "--model", "no.py:make"), 2, "no.py"),
    "activation": (("train", "--activation", "reku"), 2, "reku"),
    "epochs": (("train", "--epochs", 0), 2, "whole number above 0"),
    "batch size": (("train", "--batch-size", "many"), 2, "'many'"),
    "learning rate": (("train", "--lr", -1), 2, "number above 0"),
    "device": (("train", "--device", "tpu"), 2, "tpu"),
    "momentum of adam": (("train", "--momentum", 0.5), 2, "--momentum is for sgd and rmsprop"),
    "config": (("train", "--config", "no.toml"), 2, "no.toml"),
    "resume": (("train", "--resume", "nothing"), 2, "nothing"),
    "evaluate nothing": (("evaluate", "nothing"), 2, "holds no trained network"),
    "predict nothing": (("predict", "nothing"), 2, "holds no trained network"),
    "summary input": (("summary", "--input", "1,x"), 2, "--input"),
    "bench workload": (("bench", "batch-size", "--workload", "W99"), 2, "W99"),
    "bench peer": (("bench", "batch-size", "--peers", "keras"), 2, "keras"),
    "bench sizes": (("bench", "batch-size", "--batch-sizes", "8,0"), 2, "'0'"),
    "bench seconds": (("bench", "strategies", "--seconds", 0), 2, "above 0"),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_call(gpunn_command, tmp_path, name):
    arguments, code, message = CALLS[name]
    result = gpunn_command(*arguments)
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


def _save(path, **arrays):
    np.savez(path, **arrays)


X, Y = np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) % 2
BAD_FILES = {
    "no file of that kind": ("x.npz", lambda p: p.write_bytes(b"not a zip"), "x.npz"),
    "lengths differ": ("x.npz", lambda p: _save(p, x=X, y=Y[:10]), "10"),
    "empty": ("x.npz", lambda p: _save(p, x=X[:0], y=Y[:0]), "empty"),
    "label out of range": ("x.npz", lambda p: _save(p, x=X, y=Y - 5), "-5"),
    "wrong type": ("x.npz", lambda p: _save(p, x=X.astype("U9"), y=Y), "expected"),
    "truncated": ("x.npz", lambda p: (_save(p, x=X, y=Y), p.write_bytes(p.read_bytes()[:300])), "x.npz"),
    "not a number": ("x.csv", lambda p: p.write_text("a,b,y\n1,2,0\n1,nan,1\n"), "nan"),
    "ragged": ("x.csv", lambda p: p.write_text("a,b,y\n1,2,0\n1,1\n"), "line 3"),
    "empty table": ("x.csv", lambda p: p.write_text(""), "empty"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_data(gpunn_command, tmp_path, name):
    file, write, message = BAD_FILES[name]
    write(tmp_path / file)
    result = gpunn_command("train", "--data", file, "--epochs", 1)
    assert result.code == 2
    assert file in result.err
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_loss_that_is_not_finite(gpunn_command, tmp_path):
    result = gpunn_command("train", "--optimizer", "sgd", "--lr", 1e20, "--epochs", 2, "--out", "run")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "learning rate" in result.err
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_folder_with_a_run_is_not_overwritten(gpunn_command, tmp_path):
    gpunn_command("train", "--epochs", 1, "--model", "mlp:8", "--out", "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    result = gpunn_command("train", "--epochs", 1, "--model", "mlp:8", "--out", "run", "--seed", 5)
    assert result.code == 2
    assert "run already" in result.err
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "line, message",
    [
        ("epoch = 3", "did you mean epochs"),
        ("epochs = 0", "above 0"),
        ('optimizer = "adom"', "adom"),
        ("= 3", "no TOML"),
    ],
)
def test_bad_config(gpunn_command, tmp_path, line, message):
    (tmp_path / "o.toml").write_text(line + "\n")
    result = gpunn_command("train", "--config", "o.toml")
    assert result.code == 2
    assert message in result.err


def test_debug_shows_the_traceback(gpunn_command):
    with pytest.raises(Exception, match="there is no model"):
        gpunn_command("train", "--model", "gpt", "--debug")


def test_every_command_has_help_with_an_example(gpunn_command):
    for command in (
        ("train",),
        ("evaluate",),
        ("predict",),
        ("summary",),
        ("bench",),
        ("bench", "batch-size"),
        ("bench", "strategies"),
    ):
        result = gpunn_command(*command, "--help")
        assert result.code == 0
        assert "examples:" in result.out
        assert f"gpunn {' '.join(command)}" in result.out
