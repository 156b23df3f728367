"""Try changes, and report what was tried; see the package."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence

from . import report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description="Change texts, and run tests.")
    parser.add_argument("what", choices=["kernels", "python", "report"])
    parser.add_argument("only", nargs="*", metavar="TEXT", help="softmax.cu or gpunn/ops/pool.py; all without it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (%(default)s)")
    parser.add_argument("--patience", type=float, help="CPU seconds for the tests of one change")
    parser.add_argument("--again", action="store_true", help="try once more what no test has caught")
    parser.add_argument("--record", action="store_true", help="put the counts into benchmarks/results/trust.json")
    options = parser.parse_args(arguments)
    if options.record:
        report.record()
    if options.what == "report":
        print(report.text())
        return 0
    given = (options.only, options.patience, options.again)
    work = [(options.what, part, options.jobs, *given) for part in range(options.jobs)]
    if options.jobs == 1:
        _campaign(*work[0])
    else:
        processes = [multiprocessing.Process(target=_campaign, args=some) for some in work]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            return 1
    print(report.text())
    return 0


def _campaign(what: str, part: int, parts: int, only: Sequence[str], patience: float | None, again: bool) -> None:
    from .session import collected

    if what == "kernels":
        from . import kernels as campaign
    else:
        from . import python as campaign  # type: ignore[no-redef]
    seconds = (10 if again else 1) * campaign.PATIENCE if patience is None else patience
    collected(campaign.TESTS, lambda items: campaign.campaign(items, part, parts, only, seconds, again))


if __name__ == "__main__":
    sys.exit(main())
