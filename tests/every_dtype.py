"""A test for each type of elements."""

from __future__ import annotations

import pytest

from gpunn.backend.dtypes import DTYPES

every_dtype = pytest.mark.parametrize("name", [d.name for d in DTYPES])
