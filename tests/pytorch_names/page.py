"""The page ``docs/pytorch.md``: each public name of PyTorch, and what it is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import signatures
from .calls import CALLS
from .names import SECTIONS, Name, names
from .reasons import NOTES, reason

FILE = Path(__file__).parents[2] / "docs" / "pytorch.md"
SAME, BUT, NOT_YET, MISSING = "same", "same, but", "not yet", "missing"

HEAD = """\
# Names of PyTorch

Every public name of PyTorch {version}, and what it is in gpunn. The tests write this page out of both libraries, and
fail where it is not what they find (`python -m tests.pytorch_names` writes it anew).

- **same**: the parameters have the same names, order and defaults; or, where a signature does not tell, the calls that
  the tests make give the same. What the functions compute is compared with PyTorch by the tests of each.
- **same, but**: it is there, and differs in what stands beside it.
- **missing**: it has no meaning here; the reason stands above the names.
- **not yet**: it would have one.

Nowhere taken are `layout=`, `names=` and `pin_memory=`, as all tensors are dense and without names,
and `size_average=` and `reduce=` of losses, which `reduction=` replaced. The hints `foreach=`, `fused=`,
`capturable=` and `differentiable=` of optimizers are taken, and change nothing. What comes behind any of these is taken
by name. All that PyTorch takes by the name `dim`, `keepdim` or `size` is taken by that name, and by NumPy's.

"""


def state(name: Name) -> tuple[str, str]:
    """What a name is here, and how it differs or why it is missing."""
    if name.ours is None:
        why = reason(name.path)
        return (MISSING, why) if why else (NOT_YET, "")
    differences = [] if name.path in CALLS else _differences(name)
    differences += [NOTES[name.path]] if name.path in NOTES else []
    return (BUT, "; ".join(differences)) if differences else (SAME, "")


def _differences(name: Name) -> list[str]:
    ours = getattr(name.ours, "__func__", name.ours)
    if not callable(name.theirs) or not callable(ours):
        return []
    theirs, own = signatures.theirs(name.path, name.theirs, name.is_method), signatures.of(ours, name.is_method)
    found = signatures.differences(theirs, own) if theirs and own else []
    if name.is_class and name.section == "torch.nn" and hasattr(name.theirs, "forward") and hasattr(ours, "forward"):
        call = signatures.of(name.theirs.forward, method=True), signatures.of(ours.forward, method=True)
        if all(call) and "forward" in vars(name.theirs):
            found += [f"{text} of the call" for text in signatures.differences([call[0]], call[1])]  # type: ignore[list-item, arg-type]
    return found


def text() -> str:
    """The whole page."""
    import torch

    found = {section: [(name, *state(name)) for name in names(section)] for section in SECTIONS}
    lines = [HEAD.format(version=torch.__version__.partition("+")[0])]
    lines += ["| | names | same | same, but | missing | not yet |", "|---|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for title, states in _groups(found):
        count = Counter(states)
        total += count if "in place" not in title and " without " not in title else Counter()
        lines.append(_count_row(title, count))
    lines += [_count_row("all", total), ""]
    for section, rows in found.items():
        lines += [f"## {section}", "", "| name | here | |", "|---|---|---|"]
        lines += [f"| `{name.name}` | {here} | {how} |" for name, here, how in rows if here != MISSING]
        why: dict[str, list[str]] = {}
        for name, here, how in rows:
            if here == MISSING:
                why.setdefault(how, []).append(f"`{name.name}`")
        lines += ["", *(f"- missing, {how}: {', '.join(group)}" for how, group in why.items()), *([""] if why else [])]
    return "\n".join(lines).rstrip() + "\n"


def _groups(found: dict[str, list[tuple[Name, str, str]]]) -> Iterator[tuple[str, list[str]]]:
    """The rows of the table of counts: a title, and the states of its names."""
    for section, rows in found.items():
        if section == "torch":
            functions = [here for name, here, _ in rows if callable(name.theirs) and not name.is_class]
            yield "`torch`, functions", functions
            yield "`torch`, classes and values", [h for n, h, _ in rows if not callable(n.theirs) or n.is_class]
        elif section == "torch.Tensor":
            yield "`torch.Tensor`", [here for name, here, _ in rows if not name.name.endswith("_")]
            yield "`torch.Tensor`, changing it", [here for name, here, _ in rows if name.name.endswith("_")]
        else:
            yield f"`{section}`", [here for _, here, _ in rows]


def _count_row(title: str, count: Any) -> str:
    states = (SAME, BUT, MISSING, NOT_YET)
    return f"| {title} | {sum(count.values())} | " + " | ".join(str(count[s]) for s in states) + " |"
