"""The report in some lines: each part as it ends, all of them within `MOST` characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

MOST = 9000
"""Characters on standard output."""
KEPT = 400
"""Of them, what is kept for each of the parts that are still to come, and for the end."""
SHOWN = 5
"""Of equal failures, how many are named."""


class Summary:
    """Says what each part has found.

    Args:
        result: the report, which grows.
        parts: how many parts there will be.
    """

    def __init__(self, result: dict[str, Any], parts: int) -> None:
        self.result, self.parts, self.room = result, parts, MOST
        self.failed: list[str] = []
        where = result["machine"]
        self._print([f"{where.get('gpu', result['device'])}; gpunn {where.get('revision')}; {where.get('date')}"])
        if "note" in result:
            self._print([result["note"]])

    def say(self, part: str) -> None:
        """Print what a part has found, cut to its share."""
        outcome = self.result["parts"][part]
        self.parts -= 1
        lines, failures = TABLES[part](outcome["found"])
        if "error" in outcome:
            failures = [outcome["error"], *failures]
        self.failed += failures
        head = f"== {part}, {outcome['seconds']:.0f} s" + (f", {len(failures)} failed" if failures else "")
        self._print([head, *grouped(failures), *lines], self.room - KEPT * (self.parts + 1))

    def end(self, path: Path) -> int:
        """The last lines; 1 if something failed, else 0."""
        said = f"failures: {len(self.failed)}" if self.failed else "nothing failed"
        self._print([said, f"wrote {path}"])
        return 1 if self.failed else 0

    def _print(self, lines: list[str], most: int = MOST) -> None:
        shown: list[str] = []
        for i, line in enumerate(lines):
            line = line[:300]
            if sum(len(s) + 1 for s in shown) + len(line) + 50 > most:
                shown.append(f"... {len(lines) - i} more lines are left out here")
                break
            shown.append(line)
        text = "\n".join(shown)
        self.room -= len(text) + 1
        print(text, flush=True)


def grouped(failures: Iterable[str]) -> list[str]:
    """Failures that differ in names and numbers only are told once, the first ones by name, with how many there are.

    A failure is "what: why"; those with the same why are equal.
    """
    groups: dict[str, list[str]] = {}
    for failure in failures:
        why = _split(failure)[1]
        groups.setdefault(re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?(e[-+]\d+)?", "#", why), []).append(failure)
    lines = []
    for together in sorted(groups.values(), key=len, reverse=True):
        whats = [_split(failure)[0] for failure in together]
        more = f" and {len(together) - SHOWN} more" if len(together) > SHOWN else ""
        count = f"{len(together)} x " if len(together) > 1 else ""
        names = f"  [{', '.join(whats[:SHOWN])}{more}]" if whats[0] else ""
        lines.append(f"FAIL {count}{_split(together[0])[1]}{names}")
    return lines


def _split(failure: str) -> tuple[str, str]:
    what, colon, why = failure.partition(": ")
    return (what, why) if colon else ("", what)


# A part's lines, and what failed in it, as "what: why" --------------------------------------------------------------

Said = tuple[list[str], list[str]]


def _stages(rows: list[Row]) -> Said:
    return [f"ok   {r['name']}: {r['said']}" for r in rows if r["ok"]], [
        f"{r['name']}: {r['said']}" for r in rows if not r["ok"]
    ]


def _compile(rows: list[Row]) -> Said:
    lines = [f"{r['compiled']} texts compiled in {r['seconds']:.1f} s" for r in rows if "compiled" in r]
    return lines, [f"{r['text']}: {r['error']}" for r in rows if "error" in r]


def _tests(rows: list[Row]) -> Said:
    passed = sum(r.get("passed", 0) for r in rows)
    failed = [r for r in rows if r.get("outcome") == "failed"]
    skipped = [r for r in rows if r.get("outcome") == "skipped"]
    lines = [f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped"]
    lines += [line.replace("FAIL", "skip", 1) for line in grouped(f"{r['test']}: {r['said']}" for r in skipped)]
    failures = [f"{r['test']}: {r['said']}" for r in failed]
    return lines, failures or ([] if passed else ["no test passed"])


def _ops(found: dict[str, Any]) -> Said:
    lines = [f"{found['compared']} results compared with the CPU's, {len(found['failed'])} failed"]
    lines += [
        f"  {dtype}: at most {error:.2f} of what is tolerated ({case})"
        for dtype, (case, error) in found["largest_error_in_tolerances"].items()
    ]
    failures = [f"{r['case']} in {r['dtype']}: {r['failed']}" for r in found["failed"]]
    return lines, failures or ([] if found["compared"] else ["nothing was compared"])


def _trainings(rows: list[Row]) -> Said:
    lines = [
        f"{r['workload']:4} {r['optimizer']:4} {r['kind']:8} losses differ from the CPU's by {r['loss_error']:.1e}; "
        f"{'the same bits twice' if r['same_bits_twice'] else 'other bits the second time'}"
        for r in rows
        if "error" not in r
    ]
    failures = [
        f"{r['workload']} {r['optimizer']} {r['kind']}: {r.get('error', 'other losses, or other bits the second time')}"
        for r in rows
        if "error" in r or not (r["agrees"] and r["same_bits_twice"])
    ]
    return lines, failures or ([] if rows else ["nothing was trained"])


def _training(rows: list[Row]) -> Said:
    lines, batches = [], {(r["workload"], r["batch_size"]): None for r in rows}
    for workload, batch in batches:
        who = [r for r in rows if (r["workload"], r["batch_size"]) == (workload, batch) and "microseconds" in r]
        times = "  ".join(
            f"{r['implementation']} {_number(r['microseconds'])}{'' if r['valid'] else ' (void)'}" for r in who
        )
        floor = next((f"; floor ({r['floor']}) {_number(r['floor_microseconds'])}" for r in who if r["floor"]), "")
        lines.append(f"{workload} B={batch}: {times} us{floor}")
    failures = [
        f"{r['workload']} at {r['batch_size']}, {r['implementation']}: {r.get('error', 'other losses')}"
        for r in rows
        if not r["valid"]
    ]
    return lines, failures


def _launches(rows: list[Row]) -> Said:
    lines: list[str] = []
    for (workload, batch), together in _by_step(rows):
        whole = {r["kernel"]: r["us"] for r in together if "launch" not in r}
        each = [r for r in together if "launch" in r]
        said = ", ".join(f"{name} {_number(us)}" for name, us in whole.items())
        total = _number(sum(r["us"] for r in each))
        lines.append(f"{workload} B={batch}: {said} us; {len(each)} launches, {total} us:")
        kernels: dict[str, list[float]] = {}
        for r in each:
            kernels.setdefault(r["kernel"], []).append(r["us"])
        lines.append("  " + ", ".join(f"{k} {'+'.join(_number(t) for t in ts)}" for k, ts in kernels.items()))
    return lines, [f"{r['workload']} at {r['batch_size']}: {r['error']}" for r in rows if "error" in r]


def _by_step(rows: list[Row]) -> list[tuple[tuple[str, int], list[Row]]]:
    steps: dict[tuple[str, int], list[Row]] = {}
    for r in rows:
        if "error" not in r:
            steps.setdefault((r["workload"], r["batch_size"]), []).append(r)
    return list(steps.items())


def _ceilings(rows: list[Row]) -> Said:
    lines = [f"{_name(r)}: {_number(r['us'])} us{_rate(r)}" for r in rows if "error" not in r]
    return lines, [f"{_name(r)}: {r['error']}" for r in rows if "error" in r]


def _kernels(rows: list[Row]) -> Said:
    lines = []
    for r in rows:
        if "error" in r:
            continue
        more = f", with gradient {_number(r['with_gradient_us'])}" if "with_gradient_us" in r else ""
        more += f", CuPy {_number(r['cupy_us'])}: {r['cupy_us'] / r['us']:.2f} x" if "cupy_us" in r else ""
        more += f", CuPy: {r['cupy_error'][:60]}" if "cupy_error" in r else ""
        lines.append(f"{_name(r)}: {_number(r['us'])} us{_rate(r)}{more}")
    failures = [
        f"{_name(r)}: {r.get('error') or 'differs from CuPy by ' + format(r['error_to_cupy'], '.1e')}"
        for r in rows
        if "error" in r or not r.get("agrees", True)
    ]
    return lines, failures


def _schedules(rows: list[Row]) -> Said:
    lines = []
    for r in rows:
        best = min(r["us"], key=r["us"].get)
        picked = f"{r['picked']} {_number(r['us'][r['picked']])}" if r["picked"] in r["us"] else r["picked"]
        rate = f"{r['flop'] / r['us'][best] / 1e6:.1f} TFLOP/s"
        sizes = " ".join(map(str, r["sizes"]))
        lines.append(f"{r['product']} {sizes}: {picked}; best {best} {_number(r['us'][best])} us, {rate}")
    return lines, []


def _name(row: Row) -> str:
    return " ".join([row["name"], *([row["precision"]] if "precision" in row else []), *map(str, row.get("sizes", ()))])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _rate(row: Row) -> str:
    if "gb_s" in row:
        return f", {row['gb_s']:,.0f} GB/s"
    return f", {row['tflop_s']:,.1f} TFLOP/s" if "tflop_s" in row else ""


TABLES: dict[str, Callable[[Any], Said]] = {
    "stages": _stages,
    "compile": _compile,
    "trainings": _trainings,
    "ops": _ops,
    "training": _training,
    "launches": _launches,
    "kernels": _kernels,
    "ceilings": _ceilings,
    "tf32": _ceilings,
    "schedules": _schedules,
    "tests": _tests,
}
