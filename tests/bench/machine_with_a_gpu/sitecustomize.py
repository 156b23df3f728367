"""A process that has this folder on its path is on a machine with a GPU that is none: CuPy is the fake one.

``GPUNN_TEST_BROKEN`` names a stage of the report that fails there.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.backend import fake_cupy

installed = fake_cupy.installed()
installed.__enter__()

if broken := os.environ.get("GPUNN_TEST_BROKEN"):
    from benchmarks.gpu_report import stages

    def fail(setup):
        raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    stages.STAGES[broken] = fail
