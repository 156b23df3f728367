"""The parts of a derivation's page: steps, tables, the memory curve. Whatever is a name becomes text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gpunn.inspect.draw.steps import shape_text
from gpunn.printing import bytes_text, printable

from .derivation import Derivation, Formula, Step, Variable
from .formula.render import unicode_name
from .text import FLOW_COLUMNS, flow_rows

CURVE_WIDTH, CURVE_HEIGHT, CURVE_LEFT, CURVE_TOP = 900, 190, 120, 12


def text(content: str) -> str:
    """Text as it stands in a page."""
    return escape(printable(content))


def formulas(found: Iterable[Formula]) -> str:
    """Formulas, one below the other, as MathML."""
    inside = "".join(formula.mathml for formula in found)
    return f'<div class="formulas" tabindex="0" role="group" aria-label="formulas">{inside}</div>' if inside else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names its rows."""
    top = "".join(_head("col", name) for name in head)
    body = "".join(
        f"<tr>{_head('row', row[0])}{''.join(f'<td>{text(cell)}</td>' for cell in row[1:])}</tr>" for row in rows
    )
    return _wide(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")


def _head(scope: str, name: str) -> str:
    """A cell that names a column or a row; one without a name heads nothing."""
    return f'<th scope="{scope}">{text(name)}</th>' if name else "<td></td>"


def article(derivation: Derivation, step: Step, number: int) -> str:
    """A step: where it is, what it does, its formulas, what it reads and makes, and by what it is done.

    Args:
        derivation: that it is of.
        step: the step.
        number: of the derivation in the page.
    """
    layer = f" · layer <code>{text(step.layer)}</code>" if step.layer else ""
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in step.sentences)
    remark = derivation.remarks.get(step.number)
    name = f"d{number}-step-{step.number}"
    hidden = "" if step.number == 1 else " hidden"
    return f"""<article class="step {step.phase}" id="{name}" aria-labelledby="{name}-title"{hidden}>
<p class="where"><span class="phase">{step.phase}</span>step {step.number} of {len(derivation.steps)}{layer}</p>
<h3 id="{name}-title">{text(step.title[:1].upper() + step.title[1:])}</h3>
{formulas(step.formulas)}
{f'<ul class="sentences">{sentences}</ul>' if sentences else ""}
{f'<p class="remark">{text(remark)}</p>' if remark else ""}
{_tensors(derivation, step)}
{_jacobians(derivation, step)}
{_calls(step)}
</article>
"""


def _tensors(derivation: Derivation, step: Step) -> str:
    """What the step reads and makes, each with a button that opens it."""

    def row(what: str, v: Variable) -> str:
        norm = "" if v.statistics is None else f"{v.statistics.norm:.4g}"
        cells = (what, shape_text(v.shape), v.dtype, bytes_text(v.nbytes), norm)
        button = f'<button type="button" data-variable="{v.id}">{text(unicode_name(v.name))}</button>'
        return f'<tr><th scope="row">{button}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'

    rows = [row("reads", derivation.variables[i]) for i in dict.fromkeys(step.inputs)]
    rows += [row("makes", derivation.variables[i]) for i in step.outputs]
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("tensor", "use", "shape", "type", "memory", "norm"))
    return _wide(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def _jacobians(derivation: Derivation, step: Step) -> str:
    """Buttons that open the matrices of partial derivatives, where they are small."""
    buttons = []
    for number, j in enumerate(step.jacobians):
        y, x = (unicode_name(derivation.variables[i].name) for i in (j.output, j.input))
        name = f"{step.number}.{number}"
        buttons.append(f'<button type="button" data-jacobian="{name}">∂{text(y)}/∂{text(x)}</button>')
    return f'<p class="row">Jacobians: {" ".join(buttons)}</p>' if buttons else ""


def _calls(step: Step) -> str:
    """The primitives and the kernel texts that do the step, each with a button that shows it."""
    if not step.primitives and not step.kernels:
        return ""

    def buttons(names: Iterable[str]) -> str:
        return "".join(f'<button type="button" data-source="{text(n)}"><code>{text(n)}</code></button>' for n in names)

    found = ""
    if step.primitives:
        found += f"<p>On the CPU, in NumPy: {buttons(dict.fromkeys(step.primitives))}</p>"
    if step.kernels:
        found += f"<p>On a GPU, in CUDA: {buttons(dict.fromkeys(step.kernels))}</p>"
    return f"<details><summary>What does it: primitives and kernels</summary>{found}</details>"


def flow(derivation: Derivation) -> str:
    """How large gradients are from layer to layer."""
    if not derivation.flow:
        return ""
    return f"<section><h2>Gradients by layer</h2>{table(FLOW_COLUMNS, flow_rows(derivation))}</section>"


def fused(derivation: Derivation) -> str:
    """What fusion made of the step."""
    if not derivation.fused:
        return ""
    lines = text("\n".join(derivation.fused))
    return f"<section><h2>What fusion made of it</h2>{_wide(f'<pre>{lines}</pre>')}</section>"


def curve(derivation: Derivation) -> str:
    """Bytes in use over the steps, with lines between the phases, and a marker at the current step."""
    memory = derivation.memory
    peak = max(memory, default=0)
    across = curve_step(derivation)
    base = CURVE_TOP + CURVE_HEIGHT

    def at(place: float, n: float) -> str:
        return f"{CURVE_LEFT + place * across:.1f},{base - CURVE_HEIGHT * n / (peak or 1):.1f}"

    points = " ".join(f"{at(i, n)} {at(i + 1, n)}" for i, n in enumerate(memory))
    where = memory.index(peak) + 1 if memory else 0
    label = f"memory in use by step: at most {bytes_text(peak)}, at step {where} of {len(memory)}"
    turns = [i for i, (a, b) in enumerate(zip(derivation.steps, derivation.steps[1:]), 1) if a.phase != b.phase]
    parts = [
        f'<svg class="curve" viewBox="0 0 {CURVE_WIDTH} {base + 30}" role="img" aria-label="{label}">',
        f'<polygon class="area" points="{at(0, 0)} {points} {at(len(memory), 0)}"/>',
        f'<polyline class="edge" points="{points}"/>',
        f'<line class="axis" x1="{CURVE_LEFT}" x2="{CURVE_WIDTH}" y1="{base}" y2="{base}"/>',
    ]
    for share in (0, 0.5, 1):
        y = base - CURVE_HEIGHT * share + 4
        parts.append(f'<text x="{CURVE_LEFT - 8}" y="{y:.1f}" text-anchor="end">{bytes_text(peak * share)}</text>')
    for start, end in zip([0, *turns], [*turns, len(memory)]):
        if start:
            x = CURVE_LEFT + start * across
            parts.append(f'<line class="turn" x1="{x:.1f}" x2="{x:.1f}" y1="{CURVE_TOP}" y2="{base}"/>')
        if (end - start) * across > 90:
            x = CURVE_LEFT + (start + end) / 2 * across
            phase = derivation.steps[start].phase
            parts.append(f'<text x="{x:.1f}" y="{base + 22}" text-anchor="middle">{phase}</text>')
    parts.append(f'<line class="now" x1="0" x2="0" y1="{CURVE_TOP - 6}" y2="{base}"/></svg>')
    return "".join(parts)


def curve_step(derivation: Derivation) -> float:
    """How wide a step is on the curve."""
    return (CURVE_WIDTH - CURVE_LEFT) / max(len(derivation.steps), 1)


def _wide(inside: str) -> str:
    """What may be wider than the window, and is then scrolled."""
    return f'<div class="wide" tabindex="0" role="group" aria-label="table">{inside}</div>'
