"""A derivation, or a lesson with several of them, as one HTML file that needs nothing else, and asks for nothing.

The steps are written out in the file; the script shows one of them at a time, and in print all of them are shown.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from gpunn import io
from gpunn.inspect.draw.picture import PHASES
from gpunn.inspect.draw.steps import picture_of
from gpunn.inspect.draw.svg import as_svg, heads, style

from . import page_data
from .derivation import Derivation, Formula, Lesson, Table
from .page_parts import article, curve, flow, formulas, fused, table, text


def write_page(told: Derivation | Lesson, path: str | Path) -> None:
    """Write the page.

    Args:
        told: what it shows.
        path: the file, which is made or replaced.
    """
    io.write_text(Path(path), as_page(told))


def as_page(told: Derivation | Lesson) -> str:
    """The page as text."""
    derivations = [told] if isinstance(told, Derivation) else [p for p in told.parts if isinstance(p, Derivation)]
    sheet, script = style() + _file("page.css"), _file("page.js")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(sheet)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    data = {
        "derivations": [page_data.derivation_data(d) for d in derivations],
        "sources": page_data.sources(derivations),
    }
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(told.title)}</title>
<style>{sheet}</style>
</head>
<body>
<svg width="0" height="0" aria-hidden="true" class="graph">{heads()}</svg>
<header><p class="mark">gpunn explain</p><h1>{text(told.title)}</h1></header>
<main>
{_lesson(told) if isinstance(told, Lesson) else ""}
<div class="app">
<section id="graph" aria-labelledby="graph-title">
<div class="tools"><h2 id="graph-title">Graph</h2>
<button type="button" id="fit" aria-pressed="false">whole graph</button></div>
{_key(derivations)}
<div class="scroll" tabindex="0" role="group" aria-labelledby="graph-title">
{_each(derivations, [_graph(d) for d in derivations])}</div>
</section>
<div id="work">
<nav class="bar" aria-label="Steps">
<button type="button" id="first" aria-label="first step" title="Home">«<span class="far"> first</span></button>
<button type="button" id="back" aria-label="step back" title="arrow left">‹ back</button>
<button type="button" id="next" aria-label="next step" title="arrow right">next ›</button>
<button type="button" id="last" aria-label="last step" title="End">»<span class="far"> last</span></button>
<input type="range" id="slider" min="1" max="{max(len(derivations[0].steps), 1)}" value="1" aria-label="step">
<output id="count" for="slider" aria-live="polite">1 of {len(derivations[0].steps)}</output>
</nav>
{_each(derivations, [_summary(d) for d in derivations])}
<section id="steps" aria-labelledby="steps-title">
<h2 id="steps-title">Step by step</h2>
{_each(derivations, ["".join(article(d, s, k) for s in d.steps) for k, d in enumerate(derivations)])}
</section>
<section id="tensor" aria-labelledby="tensor-name" hidden>
<div class="tools"><h2 id="tensor-name" tabindex="-1">Tensor</h2><span id="slice"></span>
<button type="button" id="as-numbers" aria-pressed="false">numbers</button>
<button type="button" id="as-map" aria-pressed="false">heat map</button>
<button type="button" id="close-tensor">close</button></div>
<div id="tensor-about"></div>
<div id="tensor-body"></div>
<div id="path" class="path" hidden></div>
</section>
<section id="source" aria-labelledby="source-name" hidden>
<div class="tools"><h2 id="source-name" tabindex="-1">Text</h2>
<button type="button" id="close-source">close</button></div>
<pre id="source-text" tabindex="0" role="region" aria-labelledby="source-name"></pre>
</section>
<section id="memory" aria-labelledby="memory-title">
<h2 id="memory-title">Memory in use at each step</h2>
{_each(derivations, [curve(d) for d in derivations])}
<p id="held"></p>
</section>
{_each(derivations, [flow(d) + fused(d) for d in derivations])}
</div>
</div>
</main>
<script type="application/json" id="data">{page_data.as_json(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def _each(derivations: list[Derivation], parts: list[str]) -> str:
    """A part of each derivation, of which the first is shown."""
    return "".join(
        f'<div data-derivation="{k}"{" hidden" if k else ""}>{part}</div>' for k, part in enumerate(parts) if part
    )


def _graph(derivation: Derivation) -> str:
    picture = picture_of(derivation)
    picture.engine = "layers"  # the same page everywhere
    return as_svg(picture, head="none")


def _key(derivations: list[Derivation]) -> str:
    """What squares, circles and colours mean."""
    there = {"given", *(step.phase for d in derivations for step in d.steps)}
    entries = [("", "variable"), ("round", "operator"), *((p, p) for p in PHASES if p in there), ("freed", "freed")]
    return '<ul class="key">' + "".join(f'<li class="{name}">{word}</li>' for name, word in entries) + "</ul>"


def _summary(derivation: Derivation) -> str:
    """What comes before the steps: what a lesson says, the objective, findings."""
    said = [f"<p>{text(paragraph)}</p>" for paragraph in derivation.introduction]
    said.append(formulas(derivation.objective))
    said += [f'<p class="finding">{text(finding.sentence)}</p>' for finding in derivation.findings]
    return "".join(said)


def _lesson(lesson: Lesson) -> str:
    """The parts of a lesson in order; in the place of a derivation a button that brings it."""
    found, count = [], 0
    for part in lesson.parts:
        if isinstance(part, str):
            found.append(f"<p>{text(part)}</p>")
        elif isinstance(part, Formula):
            found.append(formulas([part]))
        elif isinstance(part, Table):
            found.append(table(part.head, part.rows))
        else:
            button = f'<button type="button" data-bring="{count}">Step by step: {text(part.title)}</button>'
            found.append(f"<p>{button}</p>")
            count += 1
    return f'<section id="lesson" aria-label="lesson">{"".join(found)}</section>'


def _file(name: str) -> str:
    return resources.files("gpunn.inspect.explain").joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    """What a policy calls a script or a style sheet that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii")
