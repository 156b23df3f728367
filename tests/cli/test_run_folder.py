"""A run folder is enough to use a network: from anywhere, and with the network as it was."""

import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from gpunn.cli import main
from gpunn.cli.options import configured, default_options
from gpunn.cli.train import _claim_next
from gpunn.models import ModelError, build
from gpunn.models.from_file import file_and_function
from gpunn.train import RunFolder

QUICK = ("--epochs", 1, "--validation", 0)
NETWORK = """\
from math import prod
from gpunn import nn

def make(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 7), nn.{activation}(), nn.Linear(7, outputs))
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Change to a folder where no relative path of the run is right."""

    def elsewhere():
        (tmp_path / "deep" / "down").mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / "deep" / "down")

    return elsewhere


def write_data(folder):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    x[:, 0] += 3 * y
    np.savez(folder / "t.npz", x=x, y=y)
    rows = [",".join([*(f"{v:.3f}" for v in row), str(label)]) for row, label in zip(x, y)]
    (folder / "t.csv").write_text("\n".join(["a,b,c,y", *rows]))
    for row, label in zip(x, y):
        (folder / "images" / f"class{label}").mkdir(parents=True, exist_ok=True)
        np.save(folder / "images" / f"class{label}" / f"{row[1]:.6f}.npy", row.reshape(1, 3))


@pytest.mark.parametrize("data", ["t.npz", "./t.csv", "sub/../t.csv", "images"])
def test_a_run_is_used_from_elsewhere(gpunn_command, tmp_path, elsewhere, data):
    (tmp_path / "sub").mkdir()
    write_data(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK.format(activation="ReLU"))
    trained = gpunn_command("train", "--data", data, "--model", "net.py:make", *QUICK, "--out", "run", "--json")
    assert trained.code == 0, trained.err
    here = gpunn_command("evaluate", "run", "--json")
    elsewhere()
    there = gpunn_command("evaluate", tmp_path / "run", "--json")
    assert there.json == here.json
    assert "built from its copy" not in there.err
    assert gpunn_command("predict", tmp_path / "run").code == 0
    assert gpunn_command("train", "--resume", tmp_path / "run", "--epochs", 2, "--schedule", "none").code == 0


def test_what_is_a_name_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stored(**options):
        found = configured(Namespace(**{**default_options(), "model": "mlp:8,8", **options}))
        return found["data"], found["data_root"], found["model"]

    assert stored() == ("digits", None, "mlp:8,8")
    assert stored(data="mnist", data_root="files") == ("mnist", str(tmp_path / "files"), "mlp:8,8")
    assert stored(data="./digits", model="cnn") == (str(tmp_path / "digits"), None, "cnn")
    assert stored(data="../t.csv", model="a/net.py:make") == (
        str(tmp_path.parent / "t.csv"),
        None,
        str(tmp_path / "a" / "net.py:make"),
    )


@pytest.mark.parametrize("change", ["changed", "gone"])
@pytest.mark.parametrize("command", ["evaluate", "predict", "resume"])
def test_a_network_is_the_one_that_was_trained(gpunn_command, tmp_path, change, command):
    """With another activation the weights would fit as well, and the answers would be others."""
    (tmp_path / "net.py").write_text(NETWORK.format(activation="Tanh"))
    gpunn_command("train", "--model", "net.py:make", *QUICK, "--out", "run")
    shutil.copytree(tmp_path / "run", tmp_path / "other")

    def answer(run):
        if command == "resume":
            result = gpunn_command("train", "--resume", run, "--epochs", 2, "--schedule", "none", "--json")
            assert result.code == 0, result.err
            return result.json["test_loss"], result.err
        result = gpunn_command(command, run, "--json")
        assert result.code == 0, result.err
        return result.json, result.err

    expected, err = answer("run")
    assert "built from its copy" not in err
    if change == "changed":
        (tmp_path / "net.py").write_text(NETWORK.format(activation="ReLU"))
    else:
        (tmp_path / "net.py").unlink()
    found, err = answer("other")
    assert found == expected
    what = "has changed since the run" if change == "changed" else "is gone"
    assert f"{tmp_path / 'net.py'} {what}: the network is built from its copy other/model.py\n" in err


def test_a_folder_with_a_colon_in_its_name(gpunn_command, tmp_path, monkeypatch):
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path / "a:b")
    (tmp_path / "a:b" / "net.py").write_text(NETWORK.format(activation="Tanh"))
    assert gpunn_command("train", "--model", "net.py:make", *QUICK, "--out", "run").code == 0
    assert gpunn_command("evaluate", "run").code == 0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("net.py:make", ("net.py", "make")),
        ("net.py", ("net.py", "")),
        ("net.py:", ("net.py", "")),
        ("/a:b/net.py:make", ("/a:b/net.py", "make")),
        ("a.py/net.py:make", ("a.py/net.py", "make")),
        ("mlp:8", None),
        ("net.pyc", None),
    ],
)
def test_a_file_and_its_function(spec, expected):
    found = file_and_function(spec)
    assert (None if found is None else (str(found[0]), found[1])) == expected


def test_a_file_without_its_function(tmp_path):
    (tmp_path / "net.py").write_text("")
    with pytest.raises(ModelError, match=r"name the function too, such as .*net\.py:make_model"):
        build(f"{tmp_path}/net.py", (3,), 2)


def test_options_of_a_run_serve_as_a_file_of_options(gpunn_command, tmp_path):
    write_data(tmp_path)
    first = gpunn_command("train", "--data", "t.csv", "--target", "b", *QUICK, "--out", "run", "--json")
    second = gpunn_command("train", "--config", "run/config.toml", "--out", "again", "--json")
    assert second.code == 0, second.err
    assert (second.json["test_loss"], second.json["test_r2"]) == (first.json["test_loss"], first.json["test_r2"])


def test_a_run_that_was_not_eager_goes_on_so(gpunn_command, tmp_path):
    gpunn_command("train", "--model", "mlp:8", *QUICK, "--out", "run")
    assert "eager = false" in (tmp_path / "run" / "config.toml").read_text()
    gpunn_command("train", "--config", "run/config.toml", "--out", "again")
    assert "eager = false" in (tmp_path / "again" / "config.toml").read_text()
    gpunn_command("train", "--config", "run/config.toml", "--eager", "--out", "third")
    assert "eager = true" in (tmp_path / "third" / "config.toml").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nepochs = 3\n", "o.toml: options stand at the top of the file, not in a table such as [train]"),
        ("epochs = 3\n[optimizer]\nlr = 1\n", "not in a table such as [optimizer]"),
        ("train.epochs = 3\n", "not in a table such as [train]"),
        ("[a.b]\nepochs = 3\n", "not in a table such as [a]"),
        ("[[train]]\nepochs = 3\n", "there is no option 'train'"),
        ('eager = "false"\n', "eager is 'false'; expected true or false"),
        ("eager = 0\n", "eager is 0; expected true or false"),
        ("image-size = [8, 8, 8]\n", "image_size: '8,8,8' is not a height and a width"),
    ],
)
def test_a_file_of_options_that_says_nothing_is_refused(gpunn_command, tmp_path, text, message):
    (tmp_path / "o.toml").write_text(text)
    result = gpunn_command("train", "--config", "o.toml")
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_names_of_options_may_have_dashes(gpunn_command, tmp_path):
    (tmp_path / "o.toml").write_text("batch-size = 100\ngrad_accumulation = 2\n")
    gpunn_command("train", "--config", "o.toml", "--model", "mlp:8", *QUICK, "--out", "run")
    config = (tmp_path / "run" / "config.toml").read_text()
    assert "batch_size = 100\n" in config
    assert "grad_accumulation = 2\n" in config


def test_a_folder_that_another_training_uses(gpunn_command, tmp_path):
    """It is left alone; runs without a name for their folder take the next free number, also at the same moment."""
    folder = RunFolder(tmp_path / "run")
    with folder.claimed():
        result = gpunn_command("train", "--model", "mlp:8", "--epochs", 1, "--out", "run")
    assert result.code == 2
    assert "gpunn train: run is in use: another training runs there" in result.err
    assert not folder.path.exists()

    def make(path):
        if path.name == "a-1":  # another process is faster
            path.mkdir(parents=True)
        return RunFolder(path)

    claimed = _claim_next("a", make)
    assert claimed.path == Path("runs/a-2") and claimed.path.is_dir()
    claimed.release()
    assert not claimed.path.exists()


def test_a_run_that_has_no_checkpoint(gpunn_command, tmp_path):
    """Killed in its first epoch: what is there says how to go on, and the folder can be used again."""
    call = ("train", "--model", "mlp:8", "--epochs", 1, "--out", "run")
    gpunn_command(*call)
    for path in (tmp_path / "run").iterdir():
        if path.name != "config.toml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = gpunn_command("train", "--resume", "run")
    assert result.code == 2
    assert "run has no checkpoint to resume from: no epoch of the run was completed; begin it anew" in result.err
    assert gpunn_command(*call).code == 0


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('model = "mlp:8"\n', "", "model is missing"),
        ('model = "mlp:8"', 'model = "mlp:9"', "model.safetensors is not of the network that"),
        ('model = "mlp:8"', 'model = "mlp:9999999,9999999"', "out of memory"),
        ("outputs = 10", "outputs = -10", "outputs in [data_info] is -10; expected a whole number above 0"),
        ("outputs = 10\n", "", "outputs in [data_info] is None; expected a whole number above 0"),
        ("input_shape = [1, 8, 8]", "input_shape = [1, -8, -8]", "input_shape in [data_info] is [1, -8, -8]"),
        ("moments_shape = [1, 1, 1]", "moments_shape = [2, 1, 1]", "moments_shape"),
        ("moments_shape = [1, 1, 1]", "moments_shape = [3]", "moments_shape"),
        ('classes = ["0", ', 'classes = ["1", ', "expected 10 different texts"),
        ("std = [", "std = [-1.0, ", "std in [data_info] is"),
        ("[data_info]", "[other]", "[data_info] is missing"),
        ('optimizer = "adam"', 'optimizer = "adan"', "optimizer is 'adan'"),
        ("seed = 0", "seed = -1", "seed: '-1' is not a whole number"),
        ("[call]", "call = 3\n[calls]", "config.toml"),
    ],
    ids=lambda value: value[:20],
)
def test_a_configuration_that_was_changed(gpunn_command, run_to_change, before, after, message):
    """One error that names the file and the entry; nothing is computed with it."""
    text = run_to_change.read_text()
    assert before in text
    run_to_change.write_text(text.replace(before, after, 1))
    for command in (("evaluate", run_to_change.parent), ("predict", run_to_change.parent)):
        result = gpunn_command(*command)
        assert result.code in (1, 2) and result.out == ""
        assert message in result.err and "--debug" not in result.err


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", "--model", "mlp:8", "--epochs", "1", "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run_to_change(trained_once, tmp_path):
    """The configuration of a run that can be spoilt."""
    shutil.copytree(trained_once, tmp_path / "copy")
    return tmp_path / "copy" / "config.toml"


def test_a_network_in_another_encoding_than_utf_8(gpunn_command, tmp_path):
    """Python reads it by its first line, and its copy has the same bytes; without such a line it is told what fails."""
    text = f"# -*- coding: latin-1 -*-\nNAME = 'caf\xe9'\n{NETWORK.format(activation='Tanh')}".encode("latin-1")
    (tmp_path / "net.py").write_bytes(text)
    assert gpunn_command("train", "--model", "net.py:make", *QUICK, "--out", "run").code == 0
    assert (tmp_path / "run" / "model.py").read_bytes() == text
    assert gpunn_command("evaluate", "run").code == 0
    (tmp_path / "net.py").write_bytes(text.partition(b"\n")[2])
    refused = gpunn_command("train", "--model", "net.py:make", *QUICK, "--out", "other")
    assert (refused.code, refused.out) == (2, "")
    assert "gpunn train: net.py, line 1: SyntaxError: (unicode error) 'utf-8' codec can't" in refused.err
