"""Whether options of optimizers are what they should be."""

from __future__ import annotations

import numbers
from typing import Any


def is_number(value: Any) -> bool:
    """Whether an option is a Python or NumPy number."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_at_least_zero(group: dict[str, Any], **named: str) -> None:
    """Raise unless the options are numbers >= 0; the keywords give the words for each in the message."""
    for name, words in named.items():
        value = group[name]
        if not is_number(value):
            raise TypeError(f"{name} takes a number, got {type(value).__name__}")
        if not value >= 0:
            raise ValueError(f"Invalid {words}: {value}; it is at least 0")


def check_betas(group: dict[str, Any]) -> None:
    """Raise unless ``group["betas"]`` are two numbers from 0 to below 1."""
    if len(group["betas"]) != 2:
        raise ValueError(f"betas takes two numbers, got {group['betas']}")
    for i, beta in enumerate(group["betas"]):
        if not is_number(beta):
            raise TypeError(f"betas takes two numbers, got {type(beta).__name__} at index {i}")
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}; it is at least 0 and below 1")
