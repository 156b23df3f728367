"""Where the kernel texts are."""

from pathlib import Path

KERNELS = Path(__file__).parents[3] / "kernels"
