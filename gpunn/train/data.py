"""From what a user has to batches: arrays, data sets, loaders; and a part held out for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, TypeVar

import numpy as np

from gpunn import nn
from gpunn.backend.device import device as Device
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.dtypes import get_default_dtype, int64
from gpunn.datasets import DataError, stratified_split
from gpunn.parallel import World
from gpunn.tensor import Tensor, as_tensor
from gpunn.train.batch import Batch
from gpunn.train.copies import copies_to
from gpunn.train.objective import Objective
from gpunn.utils.data import ArrayDataset, DataLoader, Subset, TensorDataset, random_split

T = TypeVar("T")
DEFAULT_BATCH_SIZE = 32
EVALUATION_BATCH_SIZE = 256


def as_dataset(data: Any, model: nn.Module) -> Any:
    """A data set of (*inputs, target): one as it is, a pair (x, y) of arrays or tensors as a TensorDataset.

    Of NumPy arrays and lists, floats take the model's own type, and integers become int64. Tensors stay as they are. Of
    memory-mapped arrays the rows of each batch are read when it comes to it.

    Raises TypeError for what is no data, ValueError for lengths that differ, DataError where there are no samples.
    """
    if isinstance(data, (tuple, list)):
        if len(data) < 2:
            raise TypeError(f"data is a tuple of {len(data)}; expected (x, y), a Dataset or a DataLoader")
        if any(isinstance(part, np.memmap) for part in data):
            parts = [part if isinstance(part, np.ndarray) else as_input(part, model).numpy() for part in data]
            data = ArrayDataset(*parts, dtypes=[_type_of(part, model) for part in parts])
        else:
            data = TensorDataset(*(as_input(part, model) for part in data))
    if not hasattr(data, "__getitem__"):
        kind = f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
        raise TypeError(f"data is {kind}; expected (x, y), a Dataset or a DataLoader of gpunn.utils.data")
    if hasattr(data, "__len__") and len(data) == 0:
        raise DataError("there is no sample in the data")
    return data


def as_input(x: Any, model: nn.Module) -> Tensor:
    """A NumPy array or a list as a tensor in the model's type for floats, int64 for integers; a tensor as it is."""
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    return as_tensor(array, _type_of(array, model), "cpu")


def _type_of(array: Any, model: nn.Module) -> DType | None:
    """What the elements of an array become; None for the array's own type."""
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return _float_type(model)
    return int64 if array.dtype.kind in "iu" else None


def as_loader(
    data: Any, model: nn.Module, batch_size: int | None, *, shuffle: bool = False, seed: int | None = None
) -> DataLoader:
    """A loader as it is, anything else in batches of `batch_size`.

    Raises ValueError for a batch size beside a loader, which has its own.
    """
    if isinstance(data, DataLoader):
        if batch_size is not None:
            raise ValueError(f"batch_size is {batch_size}, but the DataLoader has one already; leave it out")
        if data.batch_size is None and data.batch_sampler is None:
            raise ValueError("the DataLoader gives single samples; give it a batch_size")
        return data
    return DataLoader(
        as_dataset(data, model), DEFAULT_BATCH_SIZE if batch_size is None else batch_size, shuffle, generator=seed
    )


def as_evaluation_loader(data: Any, model: nn.Module, batch_size: int | None = None) -> DataLoader:
    """The same for data that a model is measured on: in order, in batches of `EVALUATION_BATCH_SIZE` if not said."""
    if batch_size is None and not isinstance(data, DataLoader):
        batch_size = EVALUATION_BATCH_SIZE
    return as_loader(data, model, batch_size)


def hold_out(data: Any, fraction: float, model: nn.Module, seed: int) -> tuple[Any, Any]:
    """Split data in a part to train on and a part to validate with; the same at every run with one seed.

    Class indices that are at hand, as one integer tensor, are split by class, each in the same proportion; other
    data at random.

    Raises ValueError for a fraction that is not between 0 and 1, DataError for too few samples, TypeError for a
    DataLoader, which can't be split.
    """
    if isinstance(data, DataLoader):
        raise TypeError(
            f"validation={fraction} would split the data, but a DataLoader can't be split; give validation data, or "
            "a Dataset or (x, y) to train on"
        )
    if not 0 < fraction < 1:
        raise ValueError(f"validation is {fraction}; expected a fraction between 0 and 1, data, or None")
    dataset = as_dataset(data, model)
    labels = None
    if isinstance(dataset, TensorDataset) and dataset.tensors[-1].ndim == 1:
        labels = dataset.tensors[-1].cpu().numpy()
    elif isinstance(dataset, ArrayDataset) and dataset.arrays[-1].ndim == 1:
        labels = np.asarray(dataset.arrays[-1])
    if labels is not None and labels.dtype.kind in "iub":
        parts = stratified_split(labels, fraction, seed)
        return Subset(dataset, parts[0].tolist()), Subset(dataset, parts[1].tolist())
    held_out = round(fraction * len(dataset))
    if not 0 < held_out < len(dataset):
        raise DataError(f"{len(dataset)} samples are too few to hold out {fraction:.0%} of them")
    first, second = random_split(dataset, [len(dataset) - held_out, held_out], generator=seed)
    return first, second


def batches(
    loader: DataLoader, objective: Objective, device: Device, ranks: World | None = None, ahead: int = 1
) -> Iterator[Batch]:
    """The batches of one epoch on the device; with several ranks, this one's part of each. `ahead` as for `copies_to`.

    Raises TypeError where a batch is not a sequence of inputs and a target, all of them tensors.
    """
    rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
    copies = copies_to(device, ahead)
    for parts, place in loader.parts(rank, size) if size > 1 else zip(loader, repeat(None)):
        if not isinstance(parts, (tuple, list)) or len(parts) < 2 or not all(isinstance(p, Tensor) for p in parts):
            kinds = ", ".join(type(p).__name__ for p in parts) if isinstance(parts, (tuple, list)) else ""
            raise TypeError(
                f"a batch is {type(parts).__name__}{f' of {kinds}' if kinds else ''}; expected (*inputs, target), each "
                "a tensor"
            )
        counts = place is None or place.samples > 0
        share = objective.share(parts[-1]) if counts else 0.0
        *inputs, target = copies(parts)
        labels = parts[-1] if parts[-1].device.type == "cpu" else None
        yield Batch(tuple(inputs), target, share, labels, 0 if place is None else place.first, counts)


def in_groups(source: Iterator[T], size: int) -> Iterator[list[T]]:
    """What comes, such as batches, in lists of `size`; the last list may be shorter."""
    group: list[T] = []
    for each in source:
        group.append(each)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def length(loader: DataLoader) -> int | None:
    """How many batches an epoch has, None where that is not known before."""
    try:
        return len(loader)
    except TypeError:
        return None


def _float_type(model: nn.Module) -> DType:
    """The type of the model's first parameter of a floating point type, which its inputs have to have."""
    types: Sequence[DType] = [p.dtype for p in model.parameters() if p.dtype.is_floating_point]
    return types[0] if types else get_default_dtype()
