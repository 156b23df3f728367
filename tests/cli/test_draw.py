"""``gpunn draw``, and the page of ``gpunn explain``."""

import pytest


@pytest.mark.parametrize("view", [[], ["--layers"], ["--gradients"], ["--step"]])
@pytest.mark.parametrize("name", ["out.svg", "out.dot", "out.html"])
def test_each_view_in_each_format(gpunn_command, tmp_path, view, name):
    result = gpunn_command("draw", "--model", "mlp:4", "--input", "3", *view, "--out", name, "--engine", "layers")
    assert result.code == 0 and result.out.startswith(f"{name}: ") and "boxes" in result.out
    start = {"svg": "<svg", "dot": "digraph", "html": "<!DOCTYPE html>"}[name[4:]]
    assert (tmp_path / name).read_text().startswith(start)


def test_a_file_with_a_model_of_ones_own_and_another_loss(gpunn_command, tmp_path):
    (tmp_path / "m.py").write_text(
        "from gpunn import nn\ndef make(shape, outputs):\n    return nn.Linear(shape[0], outputs)\n"
    )
    result = gpunn_command("draw", "--model", "m.py:make", "--input", "3", "--loss", "mse", "--gradients")
    assert result.code == 0 and (tmp_path / "graph.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.jpg"], "--out x.jpg: a picture is written as .svg, .png, .dot or .html"),
        (["--out", "no/such/folder.svg"], "no/such"),
        (["--model", "lenett", "--input", "1,28,28"], "did you mean lenet?"),
        (["--input", "0"], "--input is a shape"),
        (["--layers", "--step"], "not allowed with argument"),
        (["--engine", "neato"], "invalid choice: 'neato'"),
        (["--model", "mlp:4", "--batch-size", "0"], "not a whole number above 0"),
    ],
)
def test_a_wrong_call_is_an_error_that_names_it(gpunn_command, arguments, message):
    result = gpunn_command("draw", *arguments)
    assert result.code == 2 and message in result.err and result.err.count("\n") <= 2


def test_explain_writes_a_page(gpunn_command, tmp_path):
    result = gpunn_command("explain", "--model", "mlp:4", "--input", "3", "--classes", "2", "--html", "x.html")
    assert result.code == 0 and result.out == "the derivation is in x.html\n"
    assert (tmp_path / "x.html").read_text().startswith("<!DOCTYPE html>")
    result = gpunn_command("explain", "--lesson", "scalar", "--html", "no/such/x.html")
    assert result.code == 2 and "no/such" in result.err
