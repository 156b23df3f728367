"""Connectionist temporal classification: the loss of a sequence of labels whose places in time are not known."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import full_precision
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import FLOAT, INTEGER, float32, int64

from ..base import shape_error
from ..cast import cast
from ..comparison import clamp_min, gt, logical_and, logical_or, lt, ne, where
from ..construct import as_tensor
from ..creation import arange, full
from ..cross_entropy import check_reduction, reduced
from ..gather import gather
from ..join import cat, stack
from ..math import exp
from ..pad import pad
from ..reduction import logsumexp
from ..selection import index_select
from ..view import expand, reshape, unsqueeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["ctc_loss"]

NEVER = -1e30
"""The logarithm of the probability 0, finite so that differences of two have a value."""


@full_precision
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-ln of the sum of the probabilities of all paths that are the target once repeats and then blanks are taken out.

    With the target's labels between blanks l', the probability a_t(s) of all beginnings that end in l'_s at time t is
    a_t(s) = (a_(t-1)(s) + a_(t-1)(s-1) [+ a_(t-1)(s-2), if l'_s is neither blank nor l'_(s-2)]) p_t(l'_s), computed
    by its logarithm (Graves et al. 2006, "Connectionist temporal classification", equations 6 and 7).

    Args:
        log_probs: ln p (T, N, C), or (T, C), as log_softmax gives it.
        targets: labels (N, S), or those of all samples one after the other (sum of target_lengths,).
        input_lengths: for each sample how many of the T times count, at most T; integers (N,), or () without N.
        target_lengths: likewise how many labels.
        blank: the class that stands for no label.
        reduction: "none", "sum", or "mean" of the losses over their numbers of labels.
        zero_infinity: whether the loss of a target that is longer than its input is 0, not infinite.

    Returns:
        (N,) or (), or with a reduction ().

    The gradient is that of the scores behind log_softmax, p_t(c) less the part of the probability that goes through c
    at t, as in PyTorch: for numbers that are no logarithms of probabilities it is none.

    Raises:
        RuntimeError: shapes or types do not fit, or a length is out of range (which a planned step does not look at).
    """
    check_reduction(reduction)
    _check(log_probs, targets, blank)
    x = unsqueeze(log_probs, 1) if log_probs.ndim == 2 else log_probs
    times, batch, classes = x.shape
    most = targets.shape[1] if targets.ndim == 2 else len(targets)
    label_counts = _lengths("target_lengths", target_lengths, batch, most, x)
    time_counts = _lengths("input_lengths", input_lengths, batch, times, x)
    labels = _rows(targets, target_lengths, batch)
    width = labels.shape[1]
    given = lt(arange(width, device=x.device), unsqueeze(label_counts, 1))
    if state.tracer is None and bool(logical_and(given, logical_or(lt(labels, 0), gt(labels, classes - 1))).any()):
        raise shape_error("ctc_loss", f"targets are labels from 0 to {classes - 1}, got others in {targets._spec!r}")
    labels = where(given, labels, blank)
    blanks = full((batch, width, 1), blank, dtype=int64, device=x.device)
    between = reshape(cat([blanks, unsqueeze(labels, 2)], 2), (batch, 2 * width))
    path = pad(between, (0, 1), value=blank)  # l'
    size = 2 * width + 1
    x32 = cast(x, float32) if x.dtype.itemsize == 2 else x
    p = gather(x32, 2, expand(unsqueeze(path, 0), (times, batch, size)))
    skips = pad(ne(path[:, 2:], path[:, :-2]), (min(size, 2), 0)) if width else ne(path, path)
    place = arange(size, device=x.device)
    a = clamp_min(where(lt(place, 2), p[0], NEVER), NEVER) if times else full((batch, size), NEVER, dtype=x32.dtype)
    for t in range(1, times):
        before = [a, pad(a[:, :-1], (1, 0), value=NEVER)]
        if width:
            before.append(where(skips, pad(a[:, :-2], (2, 0), value=NEVER), NEVER))
        after = clamp_min(logsumexp(stack(before), 0) + p[t], NEVER)
        a = where(unsqueeze(gt(time_counts, t), 1), after, a)
    last = unsqueeze(2 * label_counts, 1).clamp(max=size - 1)
    ends = [gather(a, 1, last), gather(a, 1, clamp_min(last - 1, 0))]
    ends[1] = where(gt(last, 0), ends[1], NEVER)
    loss = -reshape(logsumexp(stack(ends), 0), (batch,))
    loss = where(gt(time_counts, 0), loss, where(gt(label_counts, 0), -NEVER, 0.0))
    counted = lt(unsqueeze(arange(times, device=x.device), 1), time_counts)  # (T, N)
    total = where(counted, exp(x32).sum(2), 0.0).sum(0)
    loss = loss + (total - total.detach())
    never = logical_or(gt(loss, -NEVER / 2), gt(time_counts, times))
    # An infinite loss has an infinite gradient too.
    loss = cast(where(never, 0.0 if zero_infinity else (total + 1) * where(never, math.inf, 1.0), loss), x.dtype)
    if reduction == "mean":
        loss = loss / cast(clamp_min(label_counts, 1), loss.dtype)
    return reshape(loss, ()) if log_probs.ndim == 2 and reduction == "none" else reduced(loss, reduction)


def _check(log_probs: Tensor, targets: Tensor, blank: int) -> None:
    if log_probs.dtype.category != FLOAT or log_probs.ndim not in (2, 3):
        raise shape_error("ctc_loss", f"takes floats (T, N, C) or (T, C), got {log_probs._spec!r}")
    if targets.dtype.category != INTEGER or targets.ndim not in (1, 2):
        raise shape_error("ctc_loss", f"targets are integers (N, S) or (sum of lengths,), got {targets._spec!r}")
    if not 0 <= blank < log_probs.shape[-1]:
        raise shape_error("ctc_loss", f"blank must be in label range, 0 to {log_probs.shape[-1] - 1}, got {blank}")


def _lengths(name: str, given: Any, batch: int, most: int, x: Tensor) -> Tensor:
    lengths: Any = given if isinstance(given, TensorBase) else as_tensor(given)
    if lengths.dtype.category != INTEGER or lengths.numel() != batch or lengths.ndim > 1:
        raise shape_error("ctc_loss", f"{name} are integers, one for each of {batch} samples, got {lengths._spec!r}")
    if state.tracer is None and batch:
        low, high = int(lengths.amin().item()), int(lengths.amax().item())
        if low < 0 or high > most:
            raise shape_error("ctc_loss", f"{name} are from 0 to {most} here, got {low} to {high}")
    return reshape(cast(lengths, int64), (batch,)).to(x.device)


def _rows(targets: Tensor, target_lengths: Any, batch: int) -> Tensor:
    """The labels as (N, S)."""
    labels = cast(targets, int64)
    if labels.ndim == 2:
        if labels.shape[0] != batch:
            raise shape_error("ctc_loss", f"targets are (N={batch}, S), or in a row, got {targets._spec!r}")
        return labels
    given = target_lengths.tolist() if hasattr(target_lengths, "tolist") else target_lengths
    counts = [given] if isinstance(given, int) else list(given)
    if labels.shape[0] != sum(counts):
        raise shape_error("ctc_loss", f"target_lengths add up to {sum(counts)}, the targets are {targets._spec!r}")
    ends = list(itertools.accumulate(counts))
    places = [min(end - n + i, end - 1) for end, n in zip(ends, counts) for i in range(max(counts))]
    index = as_tensor([max(i, 0) for i in places], dtype=int64, device=targets.device)
    return reshape(index_select(labels, 0, index), (batch, max(counts)))
