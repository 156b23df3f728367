"""report.html: a run on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpunn import io
from gpunn.train.curves import panels
from gpunn.train.history import History
from gpunn.train.pictures import data_url
from gpunn.train.progress import duration
from gpunn.train.scatter import errors_svg, scatter_svg
from gpunn.train.svg import panel_svg

if TYPE_CHECKING:
    from gpunn.train.results import Evaluation

MOST_CLASSES_IN_A_MATRIX = 30
MOST_CONFUSIONS = 10
MOST_TARGETS = 8


def write_report(
    path: Path,
    *,
    title: str,
    model: str,
    history: History,
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
) -> None:
    """Write the page: results, curves, classes, mistakes, configuration."""
    sections = [
        _tiles(history, settings, evaluations),
        _section("Curves", f'<div class="curves">{"".join(map(_figure, map(panel_svg, panels(history))))}</div>'),
    ]
    for evaluation in evaluations:
        sections += _evaluation(evaluation)
    sections += [
        _section("Model", f"<pre>{escape(model)}</pre>"),
        _section("Configuration", _pairs(config)),
        _section("What the bits of the results depend on", _pairs(fingerprint)),
    ]
    style = resources.files("gpunn.train").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header><p class="mark">gpunn</p><h1>{escape(title)}</h1></header>\n'
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )
    io.write_text(path, page)


def _tiles(history: History, settings: Mapping[str, Any], evaluations: Sequence[Evaluation]) -> str:
    tiles = []
    for evaluation in evaluations:
        tiles += [
            (f"{evaluation.name} {name}", _number(name, value))
            for name, value in evaluation.results.items()
            if isinstance(value, (int, float)) and name not in ("penalty", "objective")  # they are the training's
        ]
    last = history.last
    for name in ("loss", "objective", "val_loss", *(n for n in last if n.startswith("val_") and n != "val_loss")):
        if name in last:
            label = name.replace("val_", "validation ") if name.startswith("val_") else f"training {name}"
            tiles.append((label, _number(name, last[name])))
    if history.epochs:
        seconds = sum(history["seconds"])
        tiles += [
            ("epochs", str(history.epochs)),
            ("parameters", f"{settings['parameters']:,}"),
            ("training time", duration(seconds)),
            ("samples/s, median of epochs", f"{history.samples_per_second:,.0f}"),
        ]
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in tiles)
    return f'<dl class="tiles">{cells}</dl>'


def _evaluation(evaluation: Evaluation) -> Iterable[str]:
    found = evaluation.results.get("per_class")
    if isinstance(found, dict):
        classes = range(len(found["support"]))
        rows = [
            [
                evaluation.class_name(c),
                *(f"{found[k][c]:.1%}" for k in ("precision", "recall", "f1")),
                found["support"][c],
            ]
            for c in classes
        ]
        head = ["class", "precision", "recall (accuracy within the class)", "F1", "samples"]
        yield _section(f"Classes, {evaluation.name} data", _table(head, rows))
        if len(classes) <= MOST_CLASSES_IN_A_MATRIX:
            yield _section("Confusion matrix", _matrix(found["confusion"], evaluation))
        else:
            yield _section("Most frequent confusions", _confusions(found["confusion"], evaluation))
    mistakes = evaluation.mistakes
    if mistakes and mistakes[0].picture is not None:
        pictures = "".join(
            f'<figure><img src="{data_url(m.picture)}" alt="sample {-m.index}">'
            f"<figcaption><b>{escape(evaluation.class_name(m.wanted))}</b> taken for "
            f"<b>{escape(evaluation.class_name(m.predicted))}</b><br>{m.probability:.0%} sure</figcaption></figure>"
            for m in mistakes
        )
        note = f"<p>The {len(mistakes)} mistakes that the model was most sure of.</p>"
        yield _section("Misclassified samples", f'{note}<div class="samples">{pictures}</div>')
    if per_target := evaluation.results.get("per_target"):
        rows = [[f"target {i}", *(f"{v:.4g}" for v in values)] for i, values in enumerate(zip(*per_target.values()))]
        yield _section(f"Targets, {evaluation.name} data", _table(["", *per_target], rows))
    if (predictions := evaluation.predictions) is not None:
        drawn = []
        for number, (target, output) in enumerate(zip(*(p.T[:MOST_TARGETS] for p in predictions))):
            title = "target" if predictions[0].shape[1] == 1 else f"target {number}"
            drawn += [_figure(draw(title, target, output)) for draw in (scatter_svg, errors_svg)]
        yield _section(f"Predictions, {evaluation.name} data", f'<div class="curves">{"".join(drawn)}</div>')


def _matrix(confusion: Sequence[Sequence[int]], evaluation: Evaluation) -> str:
    """Counts: the right ones shaded by their part of the row, the wrong ones beside the most frequent of them."""
    worst = max((n for c, counts in enumerate(confusion) for d, n in enumerate(counts) if c != d), default=0)
    names = [escape(evaluation.class_name(c)) for c in range(len(confusion))]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for c, counts in enumerate(confusion):
        cells = "".join(
            f'<td class="{"right" if c == d else "wrong"}" '
            f'style="--part:{100 * n / max(sum(counts) if c == d else worst, 1):.1f}%">{n or ""}</td>'
            for d, n in enumerate(counts)
        )
        rows.append(f'<tr><th scope="row">{names[c]}</th>{cells}</tr>')
    return (
        "<p>Rows: the true class. Columns: the predicted one.</p>"
        f'<div class="wide"><table class="matrix"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _confusions(confusion: Sequence[Sequence[int]], evaluation: Evaluation) -> str:
    pairs = [(n, c, d) for c, counts in enumerate(confusion) for d, n in enumerate(counts) if n and c != d]
    pairs.sort(key=lambda pair: -pair[0])
    rows = [[evaluation.class_name(c), evaluation.class_name(d), n] for n, c, d in pairs[:MOST_CONFUSIONS]]
    return _table(["true class", "taken for", "samples"], rows)


def _pairs(table: Mapping[str, Any]) -> str:
    """Names and values; those of a table within under "table.name"."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
    rows = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(str(v))}</td></tr>' for k, v in flat.items())
    return f'<div class="wide"><table class="pairs">{rows}</table></div>' if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    top = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{escape(str(row[0]))}</th>{"".join(f"<td>{escape(str(v))}</td>" for v in row[1:])}</tr>'
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>" if svg else ""


def _number(name: str, value: float) -> str:
    """Fractions of samples in percent, other numbers with four digits."""
    return f"{value:.2%}" if name.endswith("accuracy") or "top" in name else f"{value:.4g}"
