"""`gpunn explain`."""

from __future__ import annotations

import json

import pytest

from gpunn.inspect.explain.lessons import LESSONS

SMALL = ["explain", "--model", "mlp:4", "--input", "3", "--classes", "2", "--batch-size", "3"]


def test_a_network(gpunn_command) -> None:
    lines = gpunn_command(*SMALL).out.splitlines()
    assert lines[0] == "mlp:4, a batch of 3, cross_entropy"
    assert "      Z₁ = X W₁ᵀ + b₁" in lines and "      dW₂ = dZ₂ᵀ A₁" in lines
    assert sum(line.startswith("    dW₁ = [[") for line in lines) == 1
    fused = gpunn_command(*SMALL, "--fused", "--optimizer", "sgd").out
    assert "A₁ = max(Z, 0)" in fused and "product_update" in fused


def test_json(gpunn_command) -> None:
    answer = gpunn_command(*SMALL, "--l2", "0.5", "--json").json
    assert answer["steps"][0]["formulas"][0]["latex"] == r"Z_{1} = X \, W_{1}^{\top} + b_{1}"
    assert [f["text"] for f in answer["objective"]] == ["s = (λ / 2) (‖W₁‖² + ‖W₂‖²)", "J = L + s"]
    assert len(answer["memory"]) == len(answer["steps"])


def test_markdown(gpunn_command, tmp_path) -> None:
    result = gpunn_command(*SMALL, "--markdown", str(tmp_path / "a.md"))
    assert result.out == f"the derivation is in {tmp_path / 'a.md'}\n"
    assert "$$\nZ_{1} = X \\, W_{1}^{\\top} + b_{1}\n$$" in (tmp_path / "a.md").read_text()


def test_the_way_of_a_weight(gpunn_command) -> None:
    lines = gpunn_command(*SMALL, "--weight", "1.weight[0,2]").out.splitlines()
    assert lines[0].startswith("W₁[0, 2] = ") and lines[0].endswith("an element of 1.weight")
    answer = gpunn_command(*SMALL, "--weight", "b2[1]", "--json").json
    assert answer["forward"] == [3, 4] and answer["index"] == [1] and answer["dtype"] == "float64"
    assert answer["gradient"] == pytest.approx(answer["difference"], rel=1e-5)


def test_lessons(gpunn_command) -> None:
    listed = gpunn_command("explain", "--lessons").out.splitlines()
    assert [line.split()[0] for line in listed] == list(LESSONS)
    assert gpunn_command("explain", "--lessons", "--json").json == {name: title for name, (title, _) in LESSONS.items()}
    assert gpunn_command("explain", "--lesson", "scalar").out.startswith("A NETWORK OF SINGLE NUMBERS")
    assert gpunn_command("explain", "--lesson", "l2", "--json").json["name"] == "l2"


def test_a_trained_network(gpunn_command, tmp_path) -> None:
    run = tmp_path / "run"
    gpunn_command("train", "--model", "mlp:8", "--epochs", "1", "--l2", "0.25", "--out", str(run))
    out = gpunn_command("explain", str(run), "--batch-size", "5").out
    assert out.startswith("run, 5 of its training samples") and "λ = 0.25" in out and "X (5, 1, 8, 8)" in out


def test_shapes_alone(gpunn_command) -> None:
    command = ["explain", "--model", "mlp:100000,100000", "--input", "784", "--no-numbers", "--json"]
    answer = gpunn_command(*command).json
    assert {tuple(v["shape"]) for v in answer["variables"] if v["name"] == "W2"} == {(100000, 100000)}
    assert all(v["value"] is None for v in answer["variables"]) and json.dumps(answer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lesson", "sofmax"], "there is no lesson 'sofmax'; did you mean softmax?"),
        (["--lesson", "l2", "run"], "--lesson has a network of its own; leave out run, or --lesson"),
        (["--weight", "W1"], "--weight is a name and the indices of an element, such as W1[0,2], got 'W1'"),
        (["--weight", "W9[0]"], "--weight W9[0]: there is no variable 'W9' in the derivation; there are X, y, W1"),
        (["--weight", "W1[128,0]"], "W1 has the shape (128, 64); there is no element (128, 0)"),
        (["--weight", "X[0,0]"], "--weight X[0,0]: X is no parameter with a gradient; it is: input"),
        (["--loss", "mes"], "argument --loss: invalid choice: 'mes'; did you mean mse?"),
        (["--l2", "-1"], "argument --l2: '-1' is not"),
        (["nowhere"], "nowhere holds no trained network"),
        (["--markdown", "nowhere/a.md"], "nowhere/a.md: No such file or directory"),
    ],
)
def test_wrong_calls(gpunn_command, options, message) -> None:
    result = (
        gpunn_command("explain", "--model", "mlp:128", *options)
        if "--lesson" not in options
        else gpunn_command("explain", *options)
    )
    assert result.code == 2 and message in result.err
