"""gpunn through a plan, with the compiled loops of `gpunn.backend.native`."""

from __future__ import annotations

import os

os.environ["GPUNN_NATIVE"] = "1"  # read when the device cpu is first used

from . import gpunn_plan


class Training(gpunn_plan.Training):
    """As `gpunn_plan.Training`."""

    def versions(self) -> dict[str, str]:
        return {**super().versions(), "loops": "native"}
