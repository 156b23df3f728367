"""A recorded step as a trace, for Perfetto (https://ui.perfetto.dev) and ``chrome://tracing``.

The format: N. Duca and D. Sinclair, Trace Event Format, Google (2016), "JSON Object Format", "Complete Events" and
"Metadata Events".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from .watch import Recording, Span

HOST, DEVICE = 1, 2
_PROCESS = 1


def trace_of(recording: Recording, title: str, device: str) -> dict[str, Any]:
    """The trace of one step, as an object to be written as JSON.

    Times are in microseconds from the start of the step. The host's row nests: the step, its phases, their layers,
    their ops, and the calls of an op that makes several. Below it is a GPU's row, put so that the first event is where
    the host recorded it.

    Args:
        recording: the step.
        title: what is profiled.
        device: its name.
    """
    start = recording.start
    events = [_metadata("process_name", title), _metadata("thread_name", "host", HOST)]
    events.append(_complete("step", "step", 0.0, recording.end - start, HOST))
    events += _nested(recording.spans, start, _LEVELS)
    on_device = [span for span in recording.spans if span.on_device is not None]
    if on_device:
        events.append(_metadata("thread_name", device, DEVICE))
        zero = on_device[0].start - start
        for span in on_device:
            assert span.on_device is not None
            begin, took = (us / 1e6 for us in span.on_device)
            events.append(_complete(span.name, "call", zero + begin, zero + begin + took, DEVICE, _told(span)))
    return {"traceEvents": events, "displayTimeUnit": "ns"}


_Level = tuple[str, Callable[[Span], Any], Callable[[Span], str]]
_LEVELS: tuple[_Level, ...] = (
    ("phase", lambda span: span.what.phase, lambda span: span.what.phase),
    ("layer", lambda span: span.what.layer, lambda span: span.what.layer or "the model"),
    ("op", lambda span: span.what, lambda span: span.what.op),
)


def _nested(spans: Sequence[Span], zero: float, levels: Sequence[_Level]) -> Iterator[dict[str, Any]]:
    """An event for each run of spans that have the first level in common, and those of the levels below inside it."""
    if not levels:
        if len(spans) > 1:
            yield from (_complete(s.name, "call", s.start - zero, s.end - zero, HOST, _told(s)) for s in spans)
        return
    category, key, name = levels[0]
    for _, group in groupby(spans, key):
        together = list(group)
        first, last = together[0], together[-1]
        args = _told(first) if category == "op" else {}
        yield _complete(name(first), category, first.start - zero, last.end - zero, HOST, args)
        yield from _nested(together, zero, levels[1:])


def _told(span: Span) -> dict[str, Any]:
    what = span.what
    told: dict[str, Any] = {"phase": what.phase, "layer": what.layer, "op": what.op}
    costs = {"flop": what.flop, "bytes": what.bytes}
    return told | {name: count for name, count in costs.items() if count is not None}


def _complete(
    name: str, category: str, start: float, end: float, thread: int, args: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A range of seconds. Both ends are rounded to nanoseconds, so that ranges nest afterwards as they did before."""
    begin, finish = round(start * 1e9), round(end * 1e9)
    times = {"ts": begin / 1e3, "dur": (finish - begin) / 1e3}
    return {"name": name, "cat": category, "ph": "X", **times, "pid": _PROCESS, "tid": thread, "args": args or {}}


def _metadata(kind: str, name: str, thread: int = HOST) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}}
