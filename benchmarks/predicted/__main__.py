"""Compare what is recorded of every kernel with what is found now, or record it anew; no GPU is needed.

::

    python3 -m benchmarks.predicted            # says which rows are worse, better, other, new, gone; exit code 1 if any
    python3 -m benchmarks.predicted --renew    # records what is found
    python3 -m benchmarks.predicted --only code
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

from gpunn.backend.nvrtc import CompileError, NvrtcMissing
from gpunn.backend.simulator import SimulatorError
from gpunn.cli.progress import progress
from gpunn.inspect.profile import DisassemblerMissing

from . import code, counted, steps
from .table import Row, Table, differences, read, write

PARTS: dict[str, ModuleType] = {"counted": counted, "code": code, "steps": steps}
"""By their files' names; what takes longest begins."""
FOLDER = Path(__file__).parent
RENEW = "python3 -m benchmarks.predicted --renew"


def measure(names: Sequence[str]) -> dict[str, Table]:
    """The tables of some parts as they are now, on all cores."""
    versions = {name: PARTS[name].versions() for name in names}
    with progress("measuring", "measured") as on_progress:
        pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn"))
        try:
            pending: dict[str, list[Future[list[Row]]]] = {
                name: [pool.submit(PARTS[name].rows, *job) for job in PARTS[name].jobs()] for name in names
            }
            futures = [future for futures in pending.values() for future in futures]
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                on_progress(done, len(futures))
        finally:
            pool.shutdown(cancel_futures=True)
    return {
        name: Table(versions[name], [row for f in futures for row in f.result()]) for name, futures in pending.items()
    }


def check(name: str, found: Table, folder: Path = FOLDER) -> list[str]:
    """What is to be said of a part: its differences to what is recorded, none if there are none."""
    file = folder / f"{name}.txt"
    try:
        recorded = read(file, PARTS[name].LAYOUT)
    except ValueError as error:
        return [f"{error}; record them by: {RENEW}"]
    if recorded.versions != found.versions:
        return [
            f"{file.name} was recorded with {recorded.versions}, and here is {found.versions}, so it was not compared; "
            f"install those versions (pip install '.[profile]'), or record it anew by: {RENEW}"
        ]
    return [str(d) for d in differences(PARTS[name].LAYOUT, recorded.rows, found.rows)]


def main() -> None:
    """Check or renew."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.predicted", description=__doc__.split("\n")[0])
    parser.add_argument("--renew", action="store_true", help="record what is found")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", help="this part (default: all of them)")
    options = parser.parse_args()
    try:
        tables = measure([name for name in PARTS if name in (options.only or PARTS)])
    except (CompileError, NvrtcMissing, DisassemblerMissing, SimulatorError) as error:
        sys.exit(str(error))
    said = 0
    for name, table in sorted(tables.items()):
        lines = check(name, table)
        said += len(lines)
        print(f"{name}.txt: {len(table.rows)} rows, " + (f"{len(lines)} to look at" if lines else "as recorded"))
        print("".join(f"  {line}\n" for line in lines), end="")
        if options.renew:
            write(FOLDER / f"{name}.txt", PARTS[name].TITLE, PARTS[name].LAYOUT, table)
    if said and not options.renew:
        sys.exit(f"not as recorded: {said} to look at. If that is meant, record it by: {RENEW}")


if __name__ == "__main__":
    main()
