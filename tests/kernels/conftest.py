"""Random numbers of a test are its own."""

from __future__ import annotations

import sys

import numpy as np
import pytest

START = np.random.default_rng(0).bit_generator.state


@pytest.fixture(autouse=True)
def from_the_start() -> None:
    """Each test begins with the generators of these modules at the same place, whatever ran before it."""
    for name, module in list(sys.modules.items()):
        generator = getattr(module, "RNG", None) if name.startswith(__package__ or "") else None
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = START
