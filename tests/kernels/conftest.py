"""Random numbers of a test are its own; tiles that it chooses."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from gpunn.backend.kernel import gemm

START = np.random.default_rng(0).bit_generator.state


@pytest.fixture(autouse=True)
def from_the_start() -> None:
    """Each test begins with the generators of these modules at the same place, whatever ran before it."""
    for name, module in list(sys.modules.items()):
        generator = getattr(module, "RNG", None) if name.startswith(__package__ or "") else None
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = START


@pytest.fixture
def large_tiles(replan: Any) -> None:
    """No others, in products of floats."""
    replan(gemm, "TILES", {"large": gemm.TILES["large"]})
