"""What `fit` and `evaluate` are called with: ``fit((x, y), epochs)`` or, as in Keras, ``fit(x, y)``."""

from __future__ import annotations

import math
from typing import Any

from gpunn import nn
from gpunn.backend.device import device as Device
from gpunn.backend.device import get_default_device
from gpunn.parallel import world
from gpunn.utils.data import DataLoader, Dataset


def data_and_number(data: Any, y: Any, what: str) -> tuple[Any, int | None]:
    """The data, and the number that stood where targets may stand as well.

    Args:
        data: data as `Trainer.fit` takes it, or inputs: an array, or a tuple of them for several inputs.
        y: None, a number, or the targets of the inputs.
        what: what the number is.

    Raises:
        TypeError: there are targets beside data that has some.
        ValueError: the number is none above 0.
    """
    if y is None:
        return data, None
    if isinstance(y, (bool, int, float, str)):
        if isinstance(y, bool) or not isinstance(y, int) or y < 1:
            raise ValueError(f"{what} is {y!r}; expected a whole number, at least 1")
        return data, y
    if isinstance(data, (Dataset, DataLoader)):
        raise TypeError(f"a {type(data).__name__} has targets of its own; leave y out")
    return (*(data if isinstance(data, tuple) else (data,)), y), None


def validation_of(data: Any, validation: Any, validation_data: Any, validation_split: float) -> tuple[Any, Any]:
    """What to train on, and what to validate with or the fraction to hold out.

    Raises:
        ValueError: more than one of the three is given, or the split is no fraction.
        TypeError: the data to split is none of arrays.
    """
    given = [v for v in (validation, validation_data) if v is not None]
    if len(given) + bool(validation_split) > 1:
        raise ValueError("validation, validation_data and validation_split: expected one of them")
    if not validation_split:
        return data, given[0] if given else None
    if not 0 < validation_split < 1:
        raise ValueError(f"validation_split is {validation_split}; expected a fraction between 0 and 1")
    if not isinstance(data, (tuple, list)) or len(data) < 2:
        raise TypeError("validation_split cuts arrays (x, y); for a Dataset give validation, a fraction too")
    if len({len(part) for part in data}) > 1:
        raise ValueError(f"validation_split: x and y have {[len(part) for part in data]} samples; expected as many")
    first = math.floor(len(data[0]) * (1 - validation_split))
    return tuple([part[:first] for part in data]), tuple([part[first:] for part in data])


def as_augmentation(augment: Any, device: Device) -> Any:
    """What changes the batches of training steps, on the device; None for nothing.

    Raises:
        TypeError: it can't be called.
        ValueError: it mixes samples, which are on several ranks.
    """
    if augment is None:
        return None
    if not callable(augment):
        raise TypeError(f"augment is called with inputs and target, as gpunn.transforms are; got {augment!r}")
    if getattr(augment, "mixes_samples", False) and world().size > 1:
        raise ValueError("augment mixes the samples of a batch, and each rank has a part of them; leave MixUp out")
    return augment.to(device).train() if isinstance(augment, nn.Module) else augment


def device_of(model: nn.Module) -> Device:
    """Where the first parameter is."""
    for parameter in model.parameters():
        return parameter.device
    return get_default_device()
