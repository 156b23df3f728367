"""A derivation as Markdown, with formulas in LaTeX between dollar signs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from gpunn.printing import bytes_text, printable

from .derivation import Derivation, Formula, Lesson, Step, Table, Variable
from .formula.render import latex_name
from .text import FLOW_COLUMNS, NUMBERS, array_text, flow_rows, statistics_text


def as_markdown(told: Derivation | Lesson, level: int = 1) -> str:
    """All of it: the steps with formulas, shapes, numbers and sentences; memory; gradients by layer; findings.

    Args:
        told: what is told.
        level: of the first heading.
    """
    heading = "#" * level
    return "\n".join(_lines(told, heading) if isinstance(told, Derivation) else _lesson(told, heading))


def _lesson(lesson: Lesson, heading: str) -> Iterator[str]:
    yield f"{heading} {escaped(lesson.title)}"
    for part in lesson.parts:
        yield ""
        if isinstance(part, str):
            yield escaped(part)
        elif isinstance(part, Formula):
            yield from ("$$", part.latex, "$$")
        elif isinstance(part, Table):
            yield from markdown_table([[escaped(cell) for cell in row] for row in (part.head, *part.rows)])
        else:
            yield from _lines(part, f"{heading}#")


def _lines(d: Derivation, heading: str) -> Iterator[str]:
    yield f"{heading} {escaped(d.title)}"
    for paragraph in d.introduction:
        yield from ("", escaped(paragraph))
    yield ""
    yield from markdown_table(
        [
            ("variable", "what it is", "shape", "type"),
            *(
                (_math(v), escaped(f"{v.role}{', ' if v.path else ''}") + code(v.path), str(v.shape), v.dtype)
                for v in d.variables
                if v.written_by is None and v.role != "gradient"
            ),
        ]
    )
    phase = ""
    for step in d.steps:
        if step.phase != phase:
            phase = step.phase
            yield from ("", f"{heading}# {phase.capitalize()}")
        yield from _step(d, step, heading)
        if step.number in d.remarks:
            yield from ("", f"> {escaped(d.remarks[step.number])}")
    yield from _end(d, heading)


def _step(d: Derivation, step: Step, heading: str) -> Iterator[str]:
    where = f", layer {code(step.layer)}" if step.layer else ""
    yield from ("", f"{heading}## {step.number}. {escaped(step.title)}{where}", "")
    for f in step.formulas:
        yield from ("$$", f.latex, "$$", "")
    read, made = (", ".join(f"{_math(d.variables[i])} {d.variables[i].shape}" for i in ids[:8]) for ids in _io(step))
    yield f"{read}{' → ' if read else ''}{made}"
    if step.sentences:
        yield ""
        yield from (f"- {escaped(sentence)}" for sentence in step.sentences)
    for i in step.outputs:
        yield from _value(d.variables[i])
    for j in step.jacobians:
        if j.value.size <= 64 and len(j.value) <= 12:
            y, x = (latex_name(d.variables[k].name) for k in (j.output, j.input))
            yield from ("", "$$", rf"\frac{{\partial {y}}}{{\partial {x}}} = {matrix(j.value)}", "$$")
    done = f"Done by {', '.join(code(p) for p in step.primitives)}. " if step.primitives else ""
    yield from ("", f"{done}Memory in use: {bytes_text(step.live_bytes)}.")


def _io(step: Step) -> tuple[list[int], list[int]]:
    return step.inputs, step.outputs


def _value(v: Variable) -> Iterator[str]:
    x = v.value
    if x is None or not x.size:
        return
    if x.size <= NUMBERS and x.ndim <= 2 and x.shape[-1:] < (13,):
        yield from ("", "$$", f"{latex_name(v.name)} = {matrix(x)}", "$$")
    elif x.size <= NUMBERS:
        yield from ("", f"{_math(v)} =", "", "```text", array_text(x), "```")
    elif v.statistics is not None:
        yield from ("", f"{_math(v)}: {escaped(statistics_text(v.statistics))}")


def matrix(x: np.ndarray) -> str:
    """A number, a row or a matrix in LaTeX, with 4 digits."""
    if x.ndim == 0:
        return _number(x.item())
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    return (
        r"\begin{bmatrix} "
        + r" \\ ".join(" & ".join(_number(n) for n in row.tolist()) for row in rows)
        + r" \end{bmatrix}"
    )


def _number(n: float) -> str:
    text = f"{n:.4g}"
    mantissa, e, exponent = text.partition("e")
    if text in ("nan", "inf", "-inf"):
        return {"nan": r"\text{NaN}", "inf": r"\infty", "-inf": r"-\infty"}[text]
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else text


def _math(v: Variable) -> str:
    return f"${latex_name(v.name)}$"


def _end(d: Derivation, heading: str) -> Iterator[str]:
    memory = d.memory
    if memory:
        peak = max(range(len(memory)), key=memory.__getitem__)
        yield from ("", f"{heading}# Memory", "")
        yield (
            f"Parameters {bytes_text(d.parameters)}, batch {bytes_text(d.batch)}; all else at most "
            f"{bytes_text(memory[peak])}, at step {peak + 1}."
        )
    if d.flow:
        yield from ("", f"{heading}# Gradients by layer", "")
        yield from markdown_table([FLOW_COLUMNS, *([escaped(cell) for cell in row] for row in flow_rows(d))])
    for finding in d.findings:
        yield from ("", f"**{escaped(finding.sentence)}.**")
    if d.fused:
        yield from ("", f"{heading}# Fusion", "", "```text", *(printable(line) for line in d.fused), "```")


def escaped(text: str) -> str:
    """Text in which nothing is taken for Markdown or HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", printable(text.replace("\n", " ")))


def code(text: str) -> str:
    """Text as code; empty for none."""
    text = printable(text.replace("\n", " "))
    if not text:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text.replace('|', chr(92) + '|')}{space}{fence}"


def markdown_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table, of which the first row is the head."""
    yield f"| {' | '.join(rows[0])} |"
    yield f"|{'---|' * len(rows[0])}"
    yield from (f"| {' | '.join(row)} |" for row in rows[1:])
