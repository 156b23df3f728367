"""The report in a few lines and tables."""

from __future__ import annotations

from typing import Any

from gpunn.cli.common import print_table


def summarise(result: dict[str, Any]) -> list[str]:
    """Print the report; returns what failed in it, a line each."""
    where = result["machine"]
    print(f"{where.get('gpu', result['device'])}; gpunn {where['revision']}; {where['date']}")
    if "note" in result:
        print(result["note"])
    failed = []
    for part, outcome in result["parts"].items():
        print()
        if "error" in outcome:
            failed.append(f"{part}: {outcome['error']}")
            print(f"{part} failed: {outcome['error']}")
            continue
        failed += [f"{part}: {line}" for line in TABLES[part](outcome["found"])]
    if failed:
        print(f"\nfailures: {len(failed)}")
        for line in failed:
            print(f"  {line}")
    else:
        print("\nnothing failed")
    return failed


def _tests(found: dict[str, Any]) -> list[str]:
    print(f"tests: {found['passed']} passed, {len(found['failed'])} failed, {sum(found['skipped'].values())} skipped")
    return [f"{f['test']}: {f['message']}" for f in found["failed"]]


def _ops(found: dict[str, Any]) -> list[str]:
    print(f"ops: {found['cases']} cases against the CPU, {len(found['failed'])} failed")
    for dtype, (case, error) in found["largest_error_in_tolerances"].items():
        print(f"  {dtype}: at most {error:.2f} of what is tolerated ({case})")
    return [f"{f['case']} in {f['dtype']}: {f['error']}" for f in found["failed"]]


def _trainings(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (r["workload"], r["optimizer"], r["kind"], f"{r.get('loss_error', float('nan')):.1e}", r.get("same_bits_twice"))
        for r in found
    ]
    print_table(
        ("workload", "optimizer", "kind", "error of the losses", "same bits twice"), rows, "training against the CPU"
    )
    return [
        f"{r['workload']} {r['optimizer']} {r['kind']}: {r.get('error', 'other losses, or other bits the second time')}"
        for r in found
        if "error" in r or not (r["agrees"] and r["same_bits_twice"])
    ]


def _ceilings(found: list[dict[str, Any]]) -> list[str]:
    rows = [(r["name"], r.get("precision", ""), _number(r.get("us")), _rate(r)) for r in found]
    print_table(("what", "precision", "us", "rate"), rows, "ceilings")
    return [f"{r['name']} {r.get('precision', '')}: {r['error']}" for r in found if "error" in r]


def _kernels(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            r["name"],
            " x ".join(map(str, r.get("sizes", ()))),
            _number(r.get("us")),
            _number(r.get("gb_s")),
            _number(r.get("with_gradient_us")),
            _number(r.get("cupy_us")),
            f"{r['cupy_over_ours']:.2f} x" if "cupy_over_ours" in r else "",
        )
        for r in found
    ]
    print_table(("kernel", "sizes", "us", "GB/s", "with gradient", "CuPy us", "CuPy / ours"), rows, "kernels")
    return [
        f"{r['name']}: {r.get('error') or 'differs from CuPy by ' + format(r['error_to_cupy'], '.1e')}"
        for r in found
        if "error" in r or not r.get("agrees", True)
    ]


def _training(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        (r["workload"], r.get("batch_size", ""), r.get("implementation", ""), _number(r.get("microseconds")),
         _number(r.get("samples_per_second")), "" if r.get("valid") else "void")
        for r in found
    ]  # fmt: skip
    print_table(("workload", "batch", "who", "us a step", "samples/s", ""), rows, "training")
    return [
        f"{r['workload']} at {r.get('batch_size')}, {r.get('implementation')}: {r.get('error', 'other losses')}"
        for r in found
        if not r.get("valid")
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _rate(row: dict[str, Any]) -> str:
    if "gb_s" in row:
        return f"{row['gb_s']:,.1f} GB/s"
    return f"{row['tflop_s']:,.2f} TFLOP/s" if "tflop_s" in row else row.get("error", "")


TABLES = {
    "tests": _tests,
    "ops": _ops,
    "trainings": _trainings,
    "ceilings": _ceilings,
    "tf32": _ceilings,
    "kernels": _kernels,
    "training": _training,
}
