"""On several ranks: ``gpunn train``, in which one rank gets a signal at one of its moments, see `tests.train.kills`.

Arguments: the rank, its moment, the number of the signal, and those of the command.
"""

from __future__ import annotations

import sys

from gpunn import parallel
from gpunn.cli import main
from tests.train.kills import _at

if __name__ == "__main__":
    rank, moment, number = map(int, sys.argv[1:4])
    world = parallel.init()
    _at(moment if world.rank == rank else 0, number)
    raise SystemExit(main(sys.argv[4:]))
