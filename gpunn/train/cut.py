"""Batches that do not fit into memory: cut into micro-batches, where the model treats samples one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpunn import cuda, nn
from gpunn.backend.device import device as Device
from gpunn.plan import MemoryReport, obstacle, trace
from gpunn.printing import bytes_text
from gpunn.train.batch import Batch
from gpunn.train.errors import TrainingError
from gpunn.train.objective import Objective

Forecast = Callable[[list[Batch]], MemoryReport]


def cut(batch: Batch, parts: int, objective: Objective) -> list[Batch]:
    """A batch as so many micro-batches, which differ by at most one sample."""
    n = batch.samples
    ends = [n * (i + 1) // parts for i in range(parts)]
    pieces = []
    for start, end in zip([0, *ends], ends):
        piece = batch.part(start, end)
        piece.share = objective.share(piece.host_target())
        pieces.append(piece)
    return pieces


def parts_that_fit(
    batch: Batch, model: nn.Module, objective: Objective, forecast: Forecast, limit: int, mixed: bool = False
) -> int:
    """Into how many micro-batches a batch has to be cut so that a step needs at most `limit` bytes; 1 if it fits.

    forecast: what a step on these micro-batches needs; it looks at their shapes alone
    mixed:    whether samples are mixed before the model

    Raises TrainingError where model or loss mix the samples of a batch, or a single sample does not fit.
    """
    whole = forecast([batch])
    if whole.total <= limit or batch.samples < 2:
        return 1
    if not objective.separable:
        reason = (
            "the loss is a function of the whole batch for all that is known, so the batch can't be cut; those of "
            "gpunn.nn, or an object with an attribute reduction = 'mean' or 'sum', say how parts add up"
        )
        raise TrainingError(_refusal(batch, whole, limit, reason, forecast))
    if mixed:
        raise TrainingError(_refusal(batch, whole, limit, "augment mixes samples, so the batch can't be cut", forecast))
    layers = {id(m): name for name, m in model.named_modules()}
    reason = obstacle(trace(lambda *inputs: model(*inputs), batch.input_shapes(), layers=layers)[0])
    if reason:
        raise TrainingError(_refusal(batch, whole, limit, f"{reason}, so the batch can't be cut", forecast))
    n = batch.samples

    def fits(parts: int) -> bool:
        return forecast([batch.like(-(-n // parts))] * parts).total <= limit

    # More parts need less, until each is so small that what is kept of all of them counts.
    parts = 2
    while not fits(parts):
        if parts == n:
            raise TrainingError(_refusal(batch, whole, limit, "cut into samples it does not fit either", forecast))
        parts = min(2 * parts, n)
    return _first(fits, parts // 2 + 1, parts)


def free_memory(device: Device) -> int | None:
    """The bytes that are free on a device; None where that is not known."""
    if device.type == "cuda":
        return cuda.free_memory(device)
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest number from low to high for which something holds that holds for all larger ones, and for high."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _refusal(batch: Batch, whole: MemoryReport, limit: int, reason: str, forecast: Forecast) -> str:
    n = batch.samples
    largest = ", ".join(f"{spec} of {layer} ({bytes_text(size)})" for size, spec, layer in whole.largest[:3])
    text = (
        f"a training step on a batch of {n} needs {bytes_text(whole.total)}, and {bytes_text(limit)} are there: "
        f"{reason}. The largest tensors are {largest}"
    )

    def too_large(size: int) -> bool:
        try:
            return forecast([batch.like(size)]).total > limit
        except ValueError:  # such as batch norm of one sample
            return False

    if too_large(1):
        fixed = bytes_text(whole.parameters + whole.buffers + whole.gradients + whole.optimizer + whole.workspace)
        return f"{text}. No batch would fit: parameters, gradients, optimizer and workspace need {fixed}"
    return f"{text}. A batch of {_first(too_large, 1, n) - 1} would fit"
