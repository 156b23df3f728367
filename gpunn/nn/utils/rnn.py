"""Sequences of different lengths: padded to one length, or packed without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gpunn import ops
from gpunn.backend.dtypes import float16, float32, float64, int64
from gpunn.tensor import Tensor, as_tensor

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "pack_sequence",
    "unpad_sequence",
    "unpack_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


class PackedSequence(_Packed):
    """A batch of sequences, longest first, without padding: the first elements of all, then the second ones, ...

    Attributes:
        data: all elements (sum of the lengths, ...).
        batch_sizes: how many sequences have a first element, a second one, ...; int64 on the CPU.
        sorted_indices: for each packed sequence its place in the batch; None where they came in order.
        unsorted_indices: the inverse, which is computed where it is not given.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None and sorted_indices is not None:
            unsorted_indices = ops.argsort(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With the elements in another type, or with the indices on another device."""
        data = self.data.to(*args, **kwargs)
        order, inverse = (None if i is None else i.to(data.device) for i in self[2:])
        return PackedSequence(data, self.batch_sizes, order, inverse)

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> PackedSequence:
        """On a GPU."""
        return self.to(device)

    def double(self) -> PackedSequence:
        """In float64."""
        return self.to(float64)

    def float(self) -> PackedSequence:
        """In float32."""
        return self.to(float32)

    def half(self) -> PackedSequence:
        """In float16."""
        return self.to(float16)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Sequences (longest, batch, ...), or with `batch_first` (batch, longest, ...), without what is behind their ends.

    Args:
        input: the padded sequences.
        lengths: of each one, at least 1.
        batch_first: which of the first two dimensions is the batch.
        enforce_sorted: whether they have to come longest first; else they are sorted here.

    Raises:
        RuntimeError: lengths do not fit, or are not sorted.
    """
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    x = input.transpose(0, 1) if batch_first else input
    if len(sizes) != x.shape[1]:
        raise RuntimeError(f"pack_padded_sequence: {x.shape[1]} sequences need as many lengths, got {len(sizes)}")
    if not sizes or min(sizes) < 1 or max(sizes) > x.shape[0]:
        raise RuntimeError(f"pack_padded_sequence: lengths are from 1 to {x.shape[0]}, got {sizes}")
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    indices = None
    if enforce_sorted:
        if sizes != sorted(sizes, reverse=True):
            raise RuntimeError(
                f"pack_padded_sequence: lengths must come longest first, got {sizes}; or give enforce_sorted=False"
            )
    else:
        indices = as_tensor(order, dtype=int64, device=input.device)
        x, sizes = x.index_select(1, indices), [sizes[i] for i in order]
    counts = [sum(n > t for n in sizes) for t in range(sizes[0])]
    data = ops.cat([x[t, :count] for t, count in enumerate(counts)], 0)
    return PackedSequence(data, as_tensor(counts, dtype=int64, device="cpu"), indices)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded sequences of a packed one, in the order in which they were packed, and their lengths.

    Raises:
        ValueError: `total_length` is shorter than the longest one.
    """
    counts: list[int] = sequence.batch_sizes.tolist()
    length = len(counts) if total_length is None else total_length
    if length < len(counts):
        raise ValueError(f"total_length has to be at least the longest length {len(counts)}, got {length}")
    batch, rest = counts[0], sequence.data.shape[1:]
    steps = []
    for part in ops.split(sequence.data, counts, 0):
        missing = batch - part.shape[0]
        steps.append(ops.cat([part, part.new_full((missing, *rest), padding_value)], 0) if missing else part)
    padded = ops.stack(steps, 0)
    if length > len(counts):
        padded = ops.cat([padded, padded.new_full((length - len(counts), batch, *rest), padding_value)], 0)
    lengths = as_tensor([sum(count > i for count in counts) for i in range(batch)], dtype=int64, device="cpu")
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices.cpu())
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (length, ...) as one tensor (longest, batch, ...), or with `batch_first` (batch, longest, ...)."""
    if padding_side not in ("right", "left"):
        raise ValueError(f"padding_side is 'right' or 'left', got {padding_side!r}")
    if not sequences:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    longest = max(x.shape[0] for x in sequences)
    rows = []
    for x in sequences:
        filling = x.new_full((longest - x.shape[0], *x.shape[1:]), padding_value)
        rows.append(ops.cat([x, filling] if padding_side == "right" else [filling, x], 0))
    return ops.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences that `pad_sequence` put together."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(n)] for row, n in zip(rows.unbind(0), lengths.tolist())]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, ...), packed; see `pack_padded_sequence`."""
    if not sequences:
        raise RuntimeError("pack_sequence: received an empty list of sequences")
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed one."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
