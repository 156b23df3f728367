"""gpunn report."""

import pytest

SMALL = ("--model", "linear", "--epochs", "1", "--schedule", "none")


@pytest.fixture
def runs(gpunn_command):
    for name, more in (("one", ["--watch-gradients"]), ("two", ["--lr", "0.01"])):
        assert gpunn_command("train", *SMALL, "--out", name, *more).code == 0


def test_runs_on_a_page(runs, gpunn_command, tmp_path):
    written = (tmp_path / "one" / "report.html").read_text()
    (tmp_path / "one" / "report.html").unlink()
    result = gpunn_command("report", "one")
    assert (result.code, result.out) == (0, "report: one/report.html\n")
    assert (tmp_path / "one" / "report.html").read_text() == written  # from the files of the run alone
    result = gpunn_command("report", "one", "two", "--out", "both <b>.html", "--json")
    assert result.json["report"] == "both <b>.html"
    assert [(run["run"], run["epochs"]) for run in result.json["runs"]] == [("one", 1), ("two", 1)]
    text = (tmp_path / "both <b>.html").read_text()
    for part in ("≠ lr", "≠ watch_gradients", "Confusion matrices", "Gradient flow", "F1 by class"):
        assert part in text
    assert gpunn_command("report", "one", "two").out == "report: report.html\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none"], "none holds no run: there is no config.toml"),
        (["one", "one/"], "one is given twice"),
        (["one", "--out", "no/where.html"], "can't write no/where.html: the folder "),
        (["one", "--out", "."], ". is a folder; expected the name of a file"),
        (["bad"], "bad/metrics.jsonl, line 1: no JSON"),
        (["torn"], "torn/metrics.jsonl, line 1: "),
    ],
)
def test_wrong_calls(arguments, line, gpunn_command, tmp_path):
    for name, text in (("one", ""), ("bad", "nonsense\n"), ("torn", '{"epoch": "x"}\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("lr = 0.1\n")
        (tmp_path / name / "metrics.jsonl").write_text(text)
    result = gpunn_command("report", *arguments)
    assert result.code == 2
    assert line in result.err
    assert result.err.count("\n") == 1


def test_a_network_that_is_watched_says_so_in_its_page(gpunn_command, tmp_path):
    """A deep network of sigmoids on the digits: the line on standard error stands on the page too."""
    (tmp_path / "deep.py").write_text(
        "from gpunn import nn\n\ndef make(shape, outputs):\n"
        "    layers = [nn.Flatten(), nn.Linear(64, 16), nn.Sigmoid()]\n"
        "    for _ in range(8):\n        layers += [nn.Linear(16, 16), nn.Sigmoid()]\n"
        "    return nn.Sequential(*layers, nn.Linear(16, outputs))\n"
    )
    result = gpunn_command("train", "--model", "deep.py:make", "--epochs", "1", "--watch-gradients", "5", "--out", "r")
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if "gradients vanish from layer" in line]
    text = (tmp_path / "r" / "report.html").read_text()
    assert line.replace("'", "&#x27;") in text
    assert 'class="broad"' in text  # ten layers are drawn as rows of colours
    assert "watch_gradients = 5" in (tmp_path / "r" / "config.toml").read_text()
