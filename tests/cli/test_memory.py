"""``gpunn memory``, and training within a limit."""

from __future__ import annotations

import json

import pytest

from gpunn.cli import main


def test_the_forecast_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    call = ["memory", "--model", "mlp:16", "--input", "8", "--batch-size", "4", "--optimizer", "adam", "--json"]
    assert main(call) == 0
    found = json.loads(capsys.readouterr().out)
    # W (16, 8), b (16), W (10, 16), b (10) in float32; each begins at a multiple of 64 bytes.
    parameters = 512 + 64 + 640 + 64
    assert found["parameters"] == found["gradients"] == parameters
    assert found["optimizer"] == 2 * parameters
    assert found["batch"] == 4 * 8 * 4 + 4 * 8
    assert [(layer["name"], layer["parameters"]) for layer in found["layers"] if layer["parameters"]] == [
        ("1", 576),
        ("3", 680),
    ]
    # After the first linear layer its result [4, 16] is kept, after the second one that and the scores [4, 10], in
    # whole cache lines.
    in_use = [(layer["name"], layer["in_use"]) for layer in found["layers"] if layer["in_use"]]
    assert in_use == [("1", 256), ("3", 256 + 192)]
    assert found["constants"] == 64  # one line for the gradient of the loss in itself, 1
    total = sum(found[k] for k in ("parameters", "buffers", "optimizer", "batch", "arena", "workspace", "constants"))
    assert found["total"] == found["by_batch_size"]["4"] == total
    assert list(found["by_batch_size"]) == ["1", "4", "16", "64"]


def test_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "--model", "lenet", "--input", "1,28,28"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "lenet, batches of 64, adam"
    assert "  parameters   241.2 KiB" in shown  # of 61,706: each begins at a multiple of 64 bytes
    assert shown[-1].startswith("by batch size: 16: ")


def test_what_is_computed_again(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Less memory, the same training to the bit, and an error for what can't be cut."""
    network = ["--model", "mlp:64,64,64,64,64,64", "--batch-size", "512"]
    activations, weights = [], []
    for more in ([], ["--recompute", "3"]):
        assert main(["memory", "--input", "1,8,8", *network, *more, "--json"]) == 0
        activations.append(json.loads(capsys.readouterr().out)["activations"])
        out = tmp_path / f"run{len(more)}"
        assert main(["train", "--epochs", "2", "--out", str(out), *network, *more]) == 0
        weights.append((out / "model.safetensors").read_bytes())
        capsys.readouterr()
    # The results of 6 ReLUs, 512 x 64 in float32 each, are kept; or those of the 3 in the last segment of the 14
    # layers, and what goes into the second one.
    assert activations[0] - activations[1] == 2 * 512 * 64 * 4
    assert weights[0] == weights[1]
    assert main(["memory", "--model", "linear", "--recompute", "3"]) == 2
    assert "2 layers can't be cut into 3 segments" in capsys.readouterr().err


def test_a_wrong_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "--input", "eight"]) == 2
    assert (
        "--input is a shape such as 1,28,28 or 784, or int:20 for whole numbers, got 'eight'" in capsys.readouterr().err
    )


def test_training_within_a_limit(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    call = ["train", "--epochs", "1", "--batch-size", "512", "--model", "mlp:64", "--out", out, "--json"]
    assert main([*call, "--memory-limit", "2400kB"]) == 0
    captured = capsys.readouterr()
    assert "does not fit into memory: it is cut into" in captured.err
    assert json.loads(captured.out.splitlines()[-1])["epochs"] == 1


def test_a_limit_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--memory-limit", "much"])
    assert stopped.value.code == 2
    assert "expected a size such as 500MiB or 1.5GB, got 'much'" in capsys.readouterr().err
