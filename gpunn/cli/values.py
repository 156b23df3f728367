"""What the texts of options become: types of argparse, which refuse what is none."""

from __future__ import annotations

import argparse
import re
from typing import Any

from gpunn.printing import did_you_mean

from .common import int_list, positive_int

AUGMENTATIONS = {"flip": 0.0, "crop": 4.0, "cutout": 8.0, "affine": 10.0, "mixup": 0.2}
"""What --augment takes, each with the number that it has if none is given; 0 for those without one."""
LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")


def batch_size(text: str) -> int | str:
    """A number of samples, or "full"."""
    return "full" if text == "full" else positive_int(text)


def every(text: str) -> str:
    """How often: epochs, steps or seconds."""
    from gpunn.train.every import Every

    try:
        return Every(text).text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def augmentations(text: str) -> list[str]:
    """Names of augmentations, some with a number behind a colon."""
    for part in text.split(","):
        name, colon, number = part.partition(":")
        if name not in AUGMENTATIONS:
            raise argparse.ArgumentTypeError(
                f"{name!r} is none of {', '.join(AUGMENTATIONS)}{did_you_mean(name, AUGMENTATIONS)}"
            )
        if colon and not AUGMENTATIONS[name]:
            raise argparse.ArgumentTypeError(f"{name} takes no number, got {part!r}")
        if colon and name in ("crop", "cutout"):
            positive_int(number)
        elif colon:
            positive(number)
    return text.split(",")


def loggers(text: str) -> list[str]:
    """Names of loggers."""
    for name in text.split(","):
        if name not in LOGGERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(LOGGERS)}{did_you_mean(name, LOGGERS)}")
    return text.split(",")


def image_size(text: str) -> tuple[int, int]:
    """A height and a width, or one number for both."""
    height, *width = int_list(text)
    if len(width) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a height and a width")
    return height, width[0] if width else height


def seed_of(text: str) -> int:
    """A whole number from 0 to 2^63 - 1."""
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):  # as large as TOML has whole numbers
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^63 - 1")
    return int(text)


def number(text: str, what: str, good: Any) -> float:
    """A number that is `good`; `what` says which ones are."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not good(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    return number(text, "a number above 0", lambda v: 0 < v < float("inf"))


def not_negative(text: str) -> float:
    """An argparse type: 0 or a positive number."""
    return number(text, "0 or a number above", lambda v: 0 <= v < float("inf"))


def fraction(text: str) -> float:
    """A number from 0 up to 1, without 1."""
    return number(text, "a number from 0 up to 1, without 1", lambda v: 0 <= v < 1)


def bytes_of(text: str) -> int:
    """A size in bytes, as 500MiB or 1.5GB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kKMGT])(i?)B|B)?", str(text))
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"expected a size such as 500MiB or 1.5GB, got {text!r}")
    power = " KMGT".index(match[2].upper()) if match[2] else 0
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)
