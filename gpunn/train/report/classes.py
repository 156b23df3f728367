"""Classes: how well each is told from the others, which are confused, and which samples."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from gpunn.train.report import page
from gpunn.train.report.facts import EvaluationFacts

MOST_CLASSES_IN_A_MATRIX = 30
MOST_CONFUSIONS = 10


def table(evaluation: EvaluationFacts) -> str:
    """Precision, recall, F1 and support of each class, and their means."""
    found = evaluation.per_class
    if not found:
        return ""
    measures = "precision", "recall", "f1"
    rows: list[list[Any]] = [
        [evaluation.class_name(c), *(f"{found[k][c]:.1%}" for k in measures), found["support"][c]]
        for c in range(len(found["support"]))
    ]
    total = sum(found["support"])
    macro, weighted = means(found)
    rows.append(["mean of classes", *(f"{v:.1%}" for v in macro), total])
    rows.append(["mean by samples", *(f"{v:.1%}" for v in weighted), total])
    head = ["class", "precision", "recall (accuracy within the class)", "F1", "samples"]
    return page.table(head, rows, f"Classes of the {evaluation.name} data")


def means(found: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Precision, recall and F1 averaged over classes, each alike ("macro") and by its samples ("weighted")."""
    support = found["support"]
    values = [found[k] for k in ("precision", "recall", "f1")]
    macro = [sum(v) / max(len(v), 1) for v in values]
    return macro, [sum(x * n for x, n in zip(v, support)) / max(sum(support), 1) for v in values]


def confusion(evaluation: EvaluationFacts) -> str:
    """The confusion matrix or, of many classes, what is confused most often."""
    if not evaluation.per_class:
        return ""
    counts = evaluation.per_class["confusion"]
    return _matrix(counts, evaluation) if len(counts) <= MOST_CLASSES_IN_A_MATRIX else _confusions(counts, evaluation)


def confusion_title(evaluation: EvaluationFacts) -> str:
    """What `confusion` shows."""
    few = len(evaluation.per_class.get("support", ())) <= MOST_CLASSES_IN_A_MATRIX
    return "Confusion matrix" if few else "Most frequent confusions"


def mistakes(evaluation: EvaluationFacts) -> str:
    """The mistakes that the model was most sure of: as pictures, or as rows of the table that they come from."""
    found = evaluation.mistakes
    if not found:
        return ""
    note = page.paragraph(f"The {len(found)} mistakes that the model was most sure of." if len(found) > 1 else "One.")
    if found[0].picture:
        pictures = "".join(
            f'<figure><img src="{escape(m.picture)}" alt="sample {m.sample}">'
            f"<figcaption><b>{escape(evaluation.class_name(m.wanted))}</b> taken for "
            f"<b>{escape(evaluation.class_name(m.predicted))}</b><br>{m.probability:.0%} sure</figcaption></figure>"
            for m in found
        )
        return f'{note}<div class="samples">{pictures}</div>'
    columns = evaluation.columns or [f"feature {i}" for i in range(max(len(m.values) for m in found))]
    rows = [
        [
            m.sample,
            evaluation.class_name(m.wanted),
            evaluation.class_name(m.predicted),
            f"{m.probability:.0%}",
            *m.values,
        ]
        for m in found
    ]
    return note + page.table(["sample", "true class", "taken for", "sure", *columns], rows, "Mistakes")


def _matrix(confusion: Sequence[Sequence[int]], evaluation: EvaluationFacts) -> str:
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
    matrix = f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return page.paragraph("Rows: the true class. Columns: the predicted one.") + page.wide(matrix, "Confusion matrix")


def _confusions(confusion: Sequence[Sequence[int]], evaluation: EvaluationFacts) -> str:
    pairs = [(n, c, d) for c, counts in enumerate(confusion) for d, n in enumerate(counts) if n and c != d]
    pairs.sort(key=lambda pair: -pair[0])
    rows = [[evaluation.class_name(c), evaluation.class_name(d), n] for n, c, d in pairs[:MOST_CONFUSIONS]]
    return page.table(["true class", "taken for", "samples"], rows, "Most frequent confusions")
