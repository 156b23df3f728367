"""One clear line for each mistake, the right exit code, and nothing left behind."""

import numpy as np
import pytest

CALLS = {
    "unknown command": (("fly",), 2, "invalid choice: 'fly'; there are train, evaluate"),
    "a command with a slip": (("trian",), 2, "invalid choice: 'trian'; did you mean train?"),
    "a part with a slip": (("bench", "batch-sise"), 2, "did you mean batch-size?"),
    "unknown option": (
        ("train", "--epoch-count", 3),
        2,
        "unrecognized arguments: --epoch-count 3; did you mean --epochs?",
    ),
    "an option with a slip": (("train", "--bach-size=3"), 2, "did you mean --batch-size?"),
    "an option of a part": (("bench", "strategies", "--secs", 3), 2, "gpunn bench strategies: unrecognized arguments"),
    "an option like none": (("summary", "--zzz"), 2, "unrecognized arguments: --zzz\n"),
    "a choice with a slip": (("train", "--optimizer", "adom"), 2, "invalid choice: 'adom'; did you mean adam?"),
    "a model with a slip": (("summary", "--model", "lenett"), 2, "there is no model 'lenett'; did you mean lenet?"),
    "an activation with a slip": (("summary", "--activation", "reku"), 2, "did you mean relu?"),
    "a device with a slip": (("train", "--device", "cudda"), 2, "there is no device 'cudda' here; did you mean cuda?"),
    "no elements": (("train", "--device", "meta"), 2, "its tensors have no elements"),
    "no run": (("evaluate",), 2, "the following arguments are required: RUN"),
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
    assert "Traceback" not in result.err and "[Errno" not in result.err
    assert len(result.err.splitlines()) <= 2  # what is wrong; where help is, or what the data was taken for
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


NETWORK = """\
from gpunn import nn

def raises(shape, outputs):
    return shape[0] / 0

def raises_within(shape, outputs):
    return nn.Linear("many", 10)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x.flatten(1)) + {}["bias"]

def forward_raises(shape, outputs):
    return Net()

def wrong_type(shape, outputs):
    return 3
"""


@pytest.mark.parametrize(
    "function, code, message",
    [
        ("raises", 2, "net.py, line 4: ZeroDivisionError: division by zero"),
        ("raises_within", 2, "net.py, line 7: "),
        ("forward_raises", 1, "net.py, line 15: KeyError: 'bias'"),
        ("wrong_type", 2, "net.py:wrong_type returned int, expected a gpunn.nn.Module"),
        ("raise", 2, "net.py has no function 'raise'; did you mean raises?"),
    ],
)
def test_a_network_of_a_file_that_raises(gpunn_command, tmp_path, function, code, message):
    (tmp_path / "net.py").write_text(NETWORK)
    result = gpunn_command("train", "--model", f"net.py:{function}", "--epochs", 1)
    assert result.code == code
    assert message in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "text, message", [("x = (", "net.py, line 1: SyntaxError"), ("import nothing_of_this_name", "ModuleNotFoundError")]
)
def test_a_file_that_is_no_module(gpunn_command, tmp_path, text, message):
    (tmp_path / "net.py").write_text("# a network\n" * (text[0] == "i") + text)
    result = gpunn_command("summary", "--model", "net.py:make")
    assert result.code == 2
    assert message in result.err


def test_errors_of_the_system_say_which_file(gpunn_command, tmp_path):
    (tmp_path / "file").touch()
    for call in (("--out", "file/run"), ("--out", "file"), ("--config", tmp_path), ("--resume", "file")):
        result = gpunn_command("train", "--model", "mlp:8", "--epochs", 1, *call)
        assert result.code == 2
        assert "file" in result.err or str(tmp_path) in result.err
        assert "[Errno" not in result.err


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
