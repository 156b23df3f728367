"""`gpunn profile --device`."""

from __future__ import annotations

import itertools
import json
import time

import pytest

import gpunn

from ..backend import fake_cupy

COMMAND = ("profile", "--model", "mlp:8", "--batch-size", 4, "--steps", 2)


@pytest.fixture
def machine(monkeypatch):
    from gpunn.inspect.profile import clock, measured

    monkeypatch.setattr(clock, "LAUNCHES", 2)
    monkeypatch.setitem(measured.profile_step.__kwdefaults__, "seconds", 0.0)
    with fake_cupy.installed() as found:
        yield found


def test_the_parts_of_a_step(gpunn_command) -> None:
    result = gpunn_command(*COMMAND, "--device", "cpu")
    assert (result.code, result.err) == (0, "")
    title, columns, *rows, _, phases, plain = result.out.splitlines()
    assert title == "mlp:8, batches of 4, adam, measured on cpu: a plan, medians of 2"
    assert columns.split() == ["phase", "layer", "op", "calls", "us", "%", "GFLOP/s", "GB/s"]
    assert rows[0].split()[:4] == ["forward", "1", "LinearActivation", "1"]
    assert rows[-1].split()[:2] == ["between", "them"]
    shares = [float(row[columns.index("%") - 1 :].split()[0]) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(rows))
    assert phases.split()[0::2][:3] == ["forward", "backward", "update"]
    assert plain.startswith("a step that is not watched takes ")


def test_by_op_and_by_layer(gpunn_command) -> None:
    ops = gpunn_command(*COMMAND, "--device", "cpu", "--by", "op").out.splitlines()
    assert ops[1].split() == ["op", "calls", "us", "%", "GFLOP/s", "GB/s"]
    assert {"LinearActivation", "LinearBackward"} <= {row.split()[0] for row in ops[2:] if row}
    layers = gpunn_command(*COMMAND, "--device", "cpu", "--by", "layer", "--eager").out.splitlines()
    assert layers[0].endswith("op by op, medians of 2")
    assert [row.split()[0] for row in layers[2:-3]] == ["0", "1", "2", "3", "the"]


def test_json(gpunn_command) -> None:
    answer = gpunn_command(*COMMAND, "--device", "cpu", "--json").json
    assert {name: answer[name] for name in ("title", "device", "planned", "captured", "steps", "graph")} == {
        "title": "mlp:8, batches of 4, adam",
        "device": "cpu",
        "planned": True,
        "captured": False,
        "steps": 2,
        "graph": 0.0,
    }
    assert answer["microseconds"] == pytest.approx(sum(p["microseconds"] for p in answer["parts"]) + answer["between"])
    first = answer["parts"][0]
    assert (first["phase"], first["layer"], first["op"], first["flop"]) == (
        *("forward", "1", "LinearActivation"),
        2 * 4 * 64 * 8,
    )
    assert first["calls"][0].keys() == {"name", "microseconds", "p10", "p90", "grid", "block"}


def test_a_trace(gpunn_command, tmp_path) -> None:
    result = gpunn_command(*COMMAND, "--device", "cpu", "--trace", "step.json")
    assert result.out.splitlines()[-1] == "a step is in step.json; open it in https://ui.perfetto.dev"
    events = json.loads((tmp_path / "step.json").read_text())["traceEvents"]
    assert {"step", "forward", "backward", "update", "LinearActivation"} <= {event["name"] for event in events}


def test_the_launches_on_a_gpu(gpunn_command, machine) -> None:
    result = gpunn_command(*COMMAND, "--device", "cuda")
    assert (result.code, result.err) == (0, "")
    title, columns, *rows, _, launches, step = result.out.splitlines()
    assert title == "mlp:8, batches of 4, adam, measured on cuda:0: a captured plan, medians of 2"
    assert columns.split() == ["phase", "layer", "op", "kernel", "blocks", "threads", "us", "%"]
    words = [row.split() for row in rows]
    assert [float(row[-2]) for row in words] == [float(row[-4]) for row in words]  # a microsecond for each block
    total = f"{sum(float(row[-2]) for row in words):.1f}"
    assert launches.startswith(f"{len(rows)} launches, each alone: forward ")
    assert launches.endswith(f"; in all {total} us")
    assert step == f"launched as graphs {total} us; the step with all that the host does {total} us"


def test_without_a_gpu(gpunn_command) -> None:
    if gpunn.cuda.is_available():
        pytest.skip("there is a GPU")
    result = gpunn_command(*COMMAND, "--device", "cuda")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("gpunn profile: --device cuda: ")
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "linear", "--device", "tpu"], "--device tpu: "),
        (["--model", "linear", "--device", "sim"], "--device sim: the times of the simulator say nothing about a GPU"),
        (["--model", "linear", "--device", "meta"], "--device meta: its tensors have no elements"),
        (["--model", "linear", "--by", "op"], "--by is for steps that are measured; give --device cpu or cuda too"),
        (["--model", "linear", "--device", "cpu", "--by", "kernel"], "invalid choice: 'kernel'"),
        (["--model", "linear", "--device", "cpu", "--steps", "0"], "'0' is not a whole number above 0"),
        (["--model", "linear", "--device", "cpu", "--trace", "no/step.json"], "--trace no/step.json: No such file"),
        (["--kernel", "softmax.cu:f", "--device", "cpu"], "--device is for --model; it has no meaning with --kernel"),
        (["--kernel", "softmax.cu:f", "--trace", "f"], "--trace is for --model"),
        (["--model", "linear", "--device", "cpu", "--arch", "sm_90"], "--arch is for --kernel"),
    ],
)
def test_a_call_that_is_wrong(gpunn_command, options, message) -> None:
    result = gpunn_command("profile", *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_what_takes_long_says_how_far_it_is(gpunn_command, monkeypatch) -> None:
    seconds = itertools.count(step=4)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    result = gpunn_command(*COMMAND, "--device", "cpu")
    assert result.err.splitlines() == ["measured 1 of 2"]  # and the next line ten seconds later


def test_predicted_beside_measured(gpunn_command, nvdisasm, machine) -> None:
    command = (*COMMAND, "--device", "cuda", "--gpu", "h100")
    lines = gpunn_command(*command).out.splitlines()
    assert lines[1].split()[-5:] == ["%", "predicted,", "H100", "limited", "by"]
    assert lines[2].split()[:4] == ["forward", "1", "LinearActivation", "linear_forward_small"]
    assert any(line.startswith("predicted of the graph: ") for line in lines)
    answer = gpunn_command(*command, "--json").json
    measured = [call["name"] for part in answer["parts"] for call in part["calls"]]
    assert [launch["kernel"] for launch in answer["prediction"]["launches"]] == measured


def test_what_can_not_stand_beside_each_other(gpunn_command) -> None:
    result = gpunn_command(*COMMAND, "--device", "cpu", "--gpu", "h100")
    assert result.code == 2 and "beside measured ones it needs --device cuda, not cpu" in result.err
    result = gpunn_command(*COMMAND, "--device", "cpu", "--plot", "x.png")
    assert result.code == 2 and "leave out --device" in result.err


def test_a_call_that_is_wrong_leaves_no_trace(gpunn_command, tmp_path) -> None:
    trace = tmp_path / "step.json"
    result = gpunn_command(*COMMAND, "--device", "cpu", "--gpu", "h100", "--trace", str(trace))
    assert result.code == 2 and not trace.exists()
