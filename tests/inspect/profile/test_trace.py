"""The trace of a step, by the rules of Google's Trace Event Format."""

from __future__ import annotations

import json

import pytest

import gpunn
from gpunn import nn, optim
from gpunn.inspect.profile import profile_step
from gpunn.inspect.profile.parts import What
from gpunn.inspect.profile.trace import trace_of
from gpunn.inspect.profile.watch import Recording, Span


def check(trace: dict) -> list[dict]:
    """The ranges of a trace, once it is known to be well-formed JSON whose ranges nest within each row."""
    assert json.loads(json.dumps(trace, allow_nan=False)) == trace
    assert trace.keys() == {"traceEvents", "displayTimeUnit"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    rows: dict[tuple[int, int], list[dict]] = {}
    named = set()
    for event in trace["traceEvents"]:
        place = event["pid"], event["tid"]
        assert type(event["pid"]) is int and type(event["tid"]) is int
        assert type(event["name"]) is str and event["name"]
        assert type(event["args"]) is dict
        if event["ph"] == "M":
            assert event.keys() == {"name", "ph", "pid", "tid", "args"}
            assert event["name"] in ("process_name", "thread_name")
            assert event["args"].keys() == {"name"}
            named.add(place)
            continue
        assert event["ph"] == "X"
        assert event.keys() == {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"}
        assert type(event["cat"]) is str
        assert isinstance(event["ts"], float) and isinstance(event["dur"], float)
        assert event["ts"] >= 0 and event["dur"] >= 0
        rows.setdefault(place, []).append(event)
    assert set(rows) == named
    for events in rows.values():
        open_until: list[float] = []
        for event in events:  # in the order of their starts, the outer one first
            start, end = event["ts"], event["ts"] + event["dur"]
            while open_until and open_until[-1] <= start + 1e-6:
                open_until.pop()
            assert not open_until or end <= open_until[-1] + 1e-6
            open_until.append(end)
    return [event for events in rows.values() for event in events]


def told(events: list[dict]) -> list[tuple]:
    return [(e["tid"], e["cat"], e["name"], e["ts"], e["dur"]) for e in events]


CONV, LOSS = What("forward", "0", "Conv2d", 0, 10, 20), What("forward", "", "Loss", 1)
BACK = What("backward", "0", "Conv2dBackward", 2)


def test_a_recording_by_hand() -> None:
    spans = (
        Span(CONV, "im2col", 5.000001, 5.000002),
        Span(CONV, "matmul", 5.000003, 5.000005),
        Span(LOSS, "loss", 5.000006, 5.000007),
        Span(BACK, "matmul", 5.000008, 5.000009),
    )
    trace = trace_of(Recording(spans, 5.0, 5.00001), "a step", "cpu")
    assert told(check(trace)) == [
        (1, "step", "step", 0.0, 10.0),
        (1, "phase", "forward", 1.0, 6.0),
        (1, "layer", "0", 1.0, 4.0),
        (1, "op", "Conv2d", 1.0, 4.0),
        (1, "call", "im2col", 1.0, 1.0),
        (1, "call", "matmul", 3.0, 2.0),
        (1, "layer", "the model", 6.0, 1.0),
        (1, "op", "Loss", 6.0, 1.0),
        (1, "phase", "backward", 8.0, 1.0),
        (1, "layer", "0", 8.0, 1.0),
        (1, "op", "Conv2dBackward", 8.0, 1.0),
    ]
    names = [(e["name"], e["args"]["name"]) for e in trace["traceEvents"] if e["ph"] == "M"]
    assert names == [("process_name", "a step"), ("thread_name", "host")]
    (conv,) = [e for e in trace["traceEvents"] if e["name"] == "Conv2d"]
    assert conv["args"] == {"phase": "forward", "layer": "0", "op": "Conv2d", "flop": 10, "bytes": 20}


def test_a_row_of_the_device() -> None:
    spans = (
        Span(CONV, "conv", 5.000001, 5.000002, (0.0, 30.0)),
        Span(LOSS, "loss", 5.000003, 5.000004, (31.5, 2.0)),
    )
    trace = trace_of(Recording(spans, 5.0, 5.00004), "a step", "cuda:0")
    assert [t for t in told(check(trace)) if t[0] == 2] == [
        (2, "call", "conv", 1.0, 30.0),
        (2, "call", "loss", 32.5, 2.0),
    ]
    assert {"name": "thread_name", "ph": "M", "pid": 1, "tid": 2, "args": {"name": "cuda:0"}} in trace["traceEvents"]


@pytest.mark.parametrize("eager", [False, True])
def test_a_step(eager) -> None:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5), nn.Sequential(nn.ReLU(), nn.Linear(4, 3)))
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    x, y = gpunn.randn(6, 5), gpunn.randint(0, 3, (6,))
    profile = profile_step(step, x, y, steps=2, eager=eager, title="small")
    events = check(profile.trace())
    ops = [event for event in events if event["cat"] == "op"]
    assert [(e["args"]["phase"], e["args"]["layer"], e["name"]) for e in ops] == [
        (part.phase, part.layer, part.op) for part in profile.parts
    ]
    assert {e["name"] for e in events if e["cat"] == "phase"} == {"forward", "backward", "update"}
    assert {e["name"] for e in events if e["cat"] == "layer"} >= {"0", "2.1", "the model"}
    calls = sum(len(part.calls) for part in profile.parts if len(part.calls) > 1)
    assert len([e for e in events if e["cat"] == "call"]) == calls
