"""A derivation as plain text, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from gpunn.printing import bytes_text, printable

from .derivation import Derivation, Flow, Formula, Jacobian, Lesson, Path, Statistics, Step, Table, Variable
from .formula.render import unicode_name

NUMBERS = 64
"""Up to so many elements a tensor is shown with its numbers."""
_BARS = "▁▂▃▄▅▆▇█"
_INDENT = " " * 4


def as_text(told: Derivation | Lesson, width: int = 100) -> str:
    """All of it: the steps with formulas, shapes, numbers and sentences; memory; gradients by layer; findings."""
    lines = _lines(told, width) if isinstance(told, Derivation) else _lesson(told, width)
    return printable("\n".join(lines))


def _lesson(lesson: Lesson, width: int) -> Iterator[str]:
    yield lesson.title.upper()
    for part in lesson.parts:
        if not isinstance(part, Formula):
            yield ""
        if isinstance(part, str):
            yield textwrap.fill(part, width)
        elif isinstance(part, Formula):
            yield f"{_INDENT}{part.text}"
        elif isinstance(part, Table):
            yield from table([part.head, *part.rows])
        else:
            yield from _lines(part, width)


def _lines(d: Derivation, width: int) -> Iterator[str]:
    yield d.title
    for paragraph in d.introduction:
        yield ""
        yield textwrap.fill(paragraph, width)
    yield ""
    yield from _given(d)
    phase = ""
    for step in d.steps:
        if step.phase != phase:
            phase = step.phase
            yield ""
            yield phase.upper()
        yield ""
        yield from _step(d, step, width)
        if step.number in d.remarks:
            yield ""
            yield textwrap.fill(d.remarks[step.number], width, initial_indent="  | ", subsequent_indent="  | ")
    yield from _end(d, width)


def _given(d: Derivation) -> Iterator[str]:
    """What was there before the first step."""
    there = [v for v in d.variables if v.written_by is None and v.role != "gradient"]
    for v in there:
        path = f", {v.path}" if v.path else ""
        yield f"{_INDENT}{_named(v)}: {v.role}{path}{_short(v)}"
        yield from _numbers(v, small=True)


def _step(d: Derivation, step: Step, width: int) -> Iterator[str]:
    where = f", layer {step.layer}" if step.layer else ""
    yield f"{step.number:3} {step.title}{where}"
    for f in step.formulas:
        yield f"{_INDENT}  {f.text}"
    read, made = ("   ".join(_named(d.variables[i]) for i in ids[:8]) for ids in (step.inputs, step.outputs))
    more = "   ..." if len(step.inputs) > 8 or len(step.outputs) > 8 else ""
    yield f"{_INDENT}{read}{'   ->   ' if read else ''}{made}{more}"
    for sentence in step.sentences:
        yield textwrap.fill(sentence, width, initial_indent=f"{_INDENT}- ", subsequent_indent=f"{_INDENT}  ")
    for i in step.outputs:
        v = d.variables[i]
        yield from _numbers(v)
        if v.value is not None and v.value.size > NUMBERS and v.statistics is not None:
            yield f"{_INDENT}{unicode_name(v.name)}: {statistics_text(v.statistics)}"
    for j in step.jacobians:
        yield from _jacobian(d, j, width)
    done = f"done by {', '.join(step.primitives)}; " if step.primitives else ""
    yield f"{_INDENT}{done}memory in use {bytes_text(step.live_bytes)}"


def path_text(d: Derivation, path: Path) -> str:
    """By which steps J depends on one element of a weight, and its gradient beside the central difference."""
    v = d.variables[path.variable]
    name = f"{unicode_name(v.name)}[{', '.join(map(str, path.index))}]"
    lines = [f"{name} = {path.value:.6g}, an element of {v.path}", "", "J depends on it by"]
    for title, numbers in (("", path.forward), ("and its gradient comes back by", path.backward)):
        lines += ["", title] if title else []
        for n in numbers:
            step = d.steps[n - 1]
            lines.append(f"{n:5}  " + (";  ".join(f.text for f in step.formulas) or step.title))
    difference = abs(path.gradient - path.difference)
    lines += [
        "",
        f"dJ/d{name} by the derivation       {path.gradient:.9g}",
        f"dJ/d{name} by central difference   {path.difference:.9g}   (h = {path.h:.2g}, in {path.dtype})",
        f"difference {difference:.2g}",
    ]
    return printable("\n".join(lines))


def _named(v: Variable) -> str:
    return f"{unicode_name(v.name)} {v.shape}"


def _short(v: Variable) -> str:
    return f", {v.dtype}"


def _numbers(v: Variable, small: bool = False) -> Iterator[str]:
    """The elements of a small tensor."""
    if v.value is None or not 0 < v.value.size <= (16 if small else NUMBERS):
        return
    start = f"{_INDENT}{unicode_name(v.name)} = "
    yield from (start + array_text(v.value).replace("\n", "\n" + " " * len(start))).split("\n")


def array_text(x: np.ndarray) -> str:
    """Elements with 4 digits."""
    x = x.astype(np.float32) if x.dtype.kind not in "biuf" else x
    return np.array2string(x, precision=4, suppress_small=bool(np.abs(x).max(initial=0) > 1e-3), max_line_width=110)


def statistics_text(s: Statistics) -> str:
    """Norm, mean, range, zeros; dead and saturated units."""
    told = [f"norm {s.norm:.4g}", f"mean {s.mean:.4g} ± {s.std:.3g}", f"from {s.min:.4g} to {s.max:.4g}"]
    if s.zeros:
        told.append(f"{s.zeros:.0%} zeros")
    if s.dead:
        told.append(f"{s.dead:.0%} of the units dead")
    if s.saturated:
        told.append(f"{s.saturated:.0%} saturated")
    if s.not_finite:
        told.append(f"{s.not_finite:,} NaN or infinite")
    return ", ".join(told)


def _jacobian(d: Derivation, j: Jacobian, width: int) -> Iterator[str]:
    rows, columns = j.value.shape
    if rows > 12 or rows * columns > 64:
        return
    start = f"{_INDENT}∂{unicode_name(d.variables[j.output].name)}/∂{unicode_name(d.variables[j.input].name)} = "
    yield from (start + array_text(j.value).replace("\n", "\n" + " " * len(start))).split("\n")


# Behind the last step -------------------------------------------------------------------------------------------------


def _end(d: Derivation, width: int) -> Iterator[str]:
    memory = d.memory
    if memory:
        peak = max(range(len(memory)), key=memory.__getitem__)
        yield ""
        yield (
            f"Memory: parameters {bytes_text(d.parameters)}, batch {bytes_text(d.batch)}; all else at most "
            f"{bytes_text(memory[peak])}, at step {peak + 1}"
        )
        most = max(memory[peak], 1)
        bars = "".join(_BARS[min(7, 8 * m // most)] for m in memory)
        for start in range(0, len(bars), width - 8):
            yield f"{start + 1:5}  {bars[start : start + width - 8]}"
    if d.flow:
        yield ""
        yield "Gradients by layer"
        yield from flow_table(d)
    for finding in d.findings:
        yield ""
        yield textwrap.fill(finding.sentence, width)
    if d.fused:
        yield ""
        yield "Fusion"
        yield from (f"{_INDENT}{line}" for line in d.fused)


FLOW_COLUMNS = ("layer", "result", "rms", "gradient's rms", "to the next layer", "weight", "norm of gradient / weight")


def flow_rows(d: Derivation) -> list[list[str]]:
    """A row for each layer, under `FLOW_COLUMNS`."""

    def told(f: Flow) -> list[str]:
        weight = "" if f.weight is None else unicode_name(d.variables[f.weight].name)
        ratio = "" if f.ratio is None else f"x {f.ratio:.3g}"
        update = "" if f.update is None else f"{f.update:.3g}"
        name = unicode_name(d.variables[f.variable].name)
        return [f.layer, name, f"{f.activation:.3g}", f"{f.gradient:.3g}", ratio, weight, update]

    return [told(f) for f in d.flow]


def flow_table(d: Derivation) -> Iterator[str]:
    """The gradients by layer, in columns."""
    yield from table([FLOW_COLUMNS, *flow_rows(d)])


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        yield (_INDENT + "  ".join(cell.ljust(w) for cell, w in zip(row, widths))).rstrip()
