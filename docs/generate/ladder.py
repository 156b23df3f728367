"""The kernel ladder: for each operation its rungs, each as a difference to the one before, with what is counted of it.

Which kernels a rung has is what `benchmarks/predicted/counted.txt` says that it launched.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from pathlib import Path

from benchmarks.predicted import code, counted
from benchmarks.predicted.call import CALLS
from benchmarks.predicted.table import NONE, Layout, read
from gpunn.backend.kernel.ladder import LADDERS
from gpunn.backend.kernel_texts import kernel_text

from .cuda_text import comment_of, header_comment, kernels_and_what_they_call, text_of

importlib.import_module("gpunn.backend.kernel")  # where the ladders are
PREDICTED = Path(code.__file__).parent
SHOWN = ("blocks", "threads", "read", "written", "requests", "sectors", "useful %", "shared cycles", "conflicts %")
"""The columns of counted.txt that a page has."""

_SUMMED = ("blocks", "requests", "sectors", "shared cycles")


@cache
def _table(file: str, layout: Layout) -> tuple[dict[str, str], ...]:
    rows = read(PREDICTED / file, layout).rows
    return tuple(dict(zip(layout.headings, row)) for row in rows)


def launches(ladder: str, rung: str) -> dict[str, list[dict[str, str]]]:
    """What a rung launched, as rows of counted.txt, by the call that was made."""
    calls = [name for name, call in CALLS.items() if call.ladder == ladder]
    rows = _table("counted.txt", counted.LAYOUT)
    return {name: [row for row in rows if row["work"] == f"{name}, {rung}"] for name in calls}


def kernels(ladder: str, rung: str) -> tuple[str, ...]:
    """The kernels of a rung, without those that all rungs launch."""
    of_rung = {
        r: dict.fromkeys(row["kernel"] for rows in launches(ladder, r).values() for row in rows)
        for r in LADDERS[ladder].rungs
    }
    common = set.intersection(*map(set, of_rung.values()))
    return tuple(kernel for kernel in of_rung[rung] if kernel not in common)


def pages() -> dict[str, str]:
    """The text of each page, in Markdown, by its name."""
    names = sorted(LADDERS)
    listed = "\n".join(f"| [{name}]({name}.md) | {', '.join(LADDERS[name].rungs)} |" for name in names)
    index = f"""# The kernel ladder

An important operation keeps every version of its kernel that it ever had. The first rung is the formula and nothing
else, or nearly so; each further one is shown as the difference to the rung before, with the comment that says what it
adds and what that costs, and with what NVIDIA's compiler and the simulator say of it. All rungs are tested, and
`GPUNN_RUNGS="matmul=naive"` chooses one.

These pages are made of the texts in `kernels/`, of which [a page](../kernels/index.md) tells, and of the tables in
`benchmarks/predicted/`. **Nothing here was measured on a GPU.** What the compiler made of a kernel is for `sm_90`, in
float32 (int32 where elements are only moved):

- registers of a thread, bytes of shared memory of a block, and the warps that a multiprocessor runs at once;
- loads and stores of global memory: bits of a thread, and how many such instructions there are;
- instructions of the loop, and of these the share of fused multiply-adds (FFMA) and of divisions, exponentials and the
  like (special).

What a launch does is counted by the simulator, at the shape that the page names; of large grids some blocks are
counted, and scaled. There is a row for each launch:

- bytes that are read and written at least once, requests of warps to global memory, and the sectors of 32 bytes that
  they are made of; "useful" is the share of their bytes that was asked for;
- cycles of shared memory, and the share of them that conflicts between banks cost.

What is not shown of a text are the headers `common.cuh`, `scalar.cuh`, `layout.cuh` and `ptx.cuh`: indices, types,
strides and machine instructions, which all kernels speak in.

| operation | rungs, the first one first |
|---|---|
{listed}

```{{toctree}}
:hidden:

{chr(10).join(names)}
```
"""
    return {"index": index, **{name: _page(name) for name in names}}


def _page(ladder: str) -> str:
    rungs = LADDERS[ladder].rungs
    parts = [
        f"# {ladder}",
        f"Rungs: {', '.join(f'**{rung}**' for rung in rungs)}. "
        f'`GPUNN_RUNGS="{ladder}={rungs[0]}"` takes the first one, also where another one is better.',
    ]
    parts += ["What the kernels of each rung do in all:", *_side_by_side(ladder)]
    told: set[str] = set()  # texts whose header was shown
    before = ""
    for i, rung in enumerate(rungs):
        found = kernels(ladder, rung)
        text = kernels_and_what_they_call(found)
        parts += [f"## {rung}", *_comments(found, told), _counts(ladder, rung, found)]
        if i:
            parts.append(_difference(rungs[i - 1], rung, before, text))
        else:
            parts.append(_folded("The text", text, "cuda"))
        before = text
    return "\n\n".join(parts) + "\n"


def _side_by_side(ladder: str) -> list[str]:
    """A table for each call, with a row for each rung: the sums over the launches of its own kernels."""
    tables = []
    for call in launches(ladder, LADDERS[ladder].rungs[0]):
        rows = []
        for rung in LADDERS[ladder].rungs:
            own = [row for row in launches(ladder, rung)[call] if row["kernel"] in kernels(ladder, rung)]
            sums = [sum(int(row[c]) for row in own if row[c] != NONE) for c in _SUMMED]
            rows.append((rung, str(len(own)), *(f"{n:,}" for n in sums)))
        tables.append(_markdown((call, "launches", *_SUMMED), rows))
    return tables


def _comments(found: tuple[str, ...], told: set[str]) -> list[str]:
    """The header of each text that was not shown before, and the comment of each kernel."""
    shown = []
    for kernel in found:
        name = text_of(kernel)
        comments = [] if name in told else [header_comment(kernel_text(name))]
        comments += [comment_of(kernel)]
        told.add(name)
        title = f"`{kernel}`, in `kernels/{name}`"
        shown.append(
            title + ("\n\n" + "\n\n".join(f"```text\n{c}\n```" for c in comments if c) if any(comments) else "")
        )
    return shown


def _counts(ladder: str, rung: str, found: tuple[str, ...]) -> str:
    """Tables of what the compiler and the simulator say."""
    parts = []
    machine = [
        row
        for row in _table("code.txt", code.LAYOUT)
        if row["kernel"].split(":")[1] in found and row["arch"] == "sm_90" and row["types"] in ("float32", "int32")
    ]
    if machine:
        columns = ("registers", "shared", "warps", "loads", "stores", "loop", "FFMA %", "special %")
        parts.append(
            _markdown(("kernel", *columns), [(f"`{_last(r['kernel'])}`", *(r[c] for c in columns)) for r in machine])
        )
    for call, rows in launches(ladder, rung).items():
        own = [row for row in rows if row["kernel"] in found]
        cells = [(f"`{row['kernel']}`", *(_digits(row[c]) for c in SHOWN)) for row in own]
        parts.append(f"Counted, {call}:\n\n" + _markdown(("kernel", *SHOWN), cells))
    return "\n\n".join(parts)


def _last(kernel: str) -> str:
    return kernel.split(":")[1]


def _digits(cell: str) -> str:
    return f"{int(cell):,}" if cell.isdigit() else cell


def _markdown(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join("" if c == NONE else c for c in row) + " |" for row in rows])


def _difference(before: str, after: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), before, after, lineterm="")
    return _folded(f"The difference to {before}", "\n".join(lines), "diff")


def _folded(title: str, text: str, language: str) -> str:
    fence = f"```{language}\n{text.rstrip()}\n```"
    open_ = " open" if text.count("\n") <= 150 else ""
    return f"<details{open_}><summary>{title} ({text.count(chr(10)) + 1} lines)</summary>\n\n{fence}\n\n</details>"
