"""JSON of numbers that were computed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np


def json_text(value: Any) -> str:
    """One line of JSON. It has no NaN and no infinity: null stands for them. NumPy's numbers are numbers."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
