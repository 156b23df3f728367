"""``python3 -m benchmarks.published``: predict the published ladders, and write what came out beside them.

It takes half an hour on two cores, and needs what ``gpunn profile --gpu`` does. ``--only NAME`` looks at those ladders
whose names have it, and writes nothing.
"""

from __future__ import annotations

import argparse

from .ladders import ladders
from .predicted import judged
from .report import row, text, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.published", description=__doc__)
    parser.add_argument("--only", metavar="NAME", default="", help="ladders with this in their names; writes nothing")
    options = parser.parse_args()
    rows = []
    for ladder in ladders():
        if options.only in ladder.name:
            mine = [row(judged(ladder, rung)) for rung in ladder.rungs if rung.kernel]
            print(text(ladder, mine), flush=True)
            rows += mine
    if not options.only:
        write(rows)


if __name__ == "__main__":
    main()
