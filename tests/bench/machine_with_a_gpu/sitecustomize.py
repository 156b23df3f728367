"""A process that has this folder on its path is on a machine with a GPU that is none: CuPy is the fake one.

``GPUNN_TEST_ABSENT`` names packages that are not installed there, ``GPUNN_TEST_BROKEN`` stages of the report that fail.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))


class Absent:
    """Packages that are not found, whatever is installed."""

    names = tuple(filter(None, os.environ.get("GPUNN_TEST_ABSENT", "").split(",")))

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())

from tests.backend import fake_cupy  # noqa: E402

installed = fake_cupy.installed()
installed.__enter__()

if broken := os.environ.get("GPUNN_TEST_BROKEN"):
    from benchmarks.gpu_report import stages

    def fail(setup):
        raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    stages.STAGES |= dict.fromkeys(broken.split(","), fail)
