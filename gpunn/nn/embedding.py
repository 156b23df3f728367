"""Vectors for words, or for anything else that is counted."""

from __future__ import annotations

from typing import Any

from gpunn.autograd.mode import no_grad
from gpunn.ops import empty
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """A table of vectors, one for each index: y = W[x].

    The gradient of a row is the sum over the places where it was looked up. W starts with normal numbers.

    Shapes:
        input (...), integers from 0 to num_embeddings - 1; output (..., embedding_dim)

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the length of each.
        padding_idx: a row that starts as 0 and is not learned; negative ones count from the end.
        max_norm: rows longer than this are scaled down to it when they are looked up.
        norm_type: the p of the norm that `max_norm` limits.
        scale_grad_by_freq: divide the gradient of each row by how often it was looked up.
        sparse: there are no sparse gradients here; True is an error.

    Attributes:
        weight: W (num_embeddings, embedding_dim).
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if sparse:
            raise NotImplementedError("Embedding: there are no sparse gradients; leave sparse=False")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"Embedding: padding_idx must be within {num_embeddings} rows, got {padding_idx}")
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **options: Any) -> Embedding:
        """A table with the given rows, on their memory; with `freeze` it is not learned. Options as of the class."""
        if embeddings.ndim != 2:
            raise ValueError(f"from_pretrained takes a matrix, got {embeddings._spec!r}")
        rows, width = embeddings.shape
        table = cls(rows, width, **options)
        table.weight = Parameter(embeddings, requires_grad=not freeze)
        return table

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        text += f", padding_idx={self.padding_idx}" if self.padding_idx is not None else ""
        text += f", max_norm={self.max_norm}" if self.max_norm is not None else ""
        text += f", norm_type={self.norm_type}" if self.norm_type != 2 else ""
        return text + (", scale_grad_by_freq=True" if self.scale_grad_by_freq else "")


class EmbeddingBag(Module):
    """Sums, means or maxima of the rows of a table that bags of indices name, without an `Embedding`'s result between.

    ``forward(input, offsets=None, per_sample_weights=None)``, arguments as of `gpunn.nn.functional.embedding_bag`.

    Shapes:
        input (B, L), or (n,) with offsets (B,); output (B, embedding_dim)

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the length of each.
        max_norm: as in `Embedding`, and so are the next two and `sparse`.
        norm_type: see there.
        scale_grad_by_freq: see there; not for "max".
        mode: "sum", "mean" or "max".
        sparse: see there.
        include_last_offset: whether offsets also have the end of the last bag.
        padding_idx: an index that does not count; its row starts as 0 and is not learned.

    Attributes:
        weight: W (num_embeddings, embedding_dim), starts with normal numbers.
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if sparse:
            raise NotImplementedError("EmbeddingBag: there are no sparse gradients; leave sparse=False")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"EmbeddingBag: padding_idx must be within {num_embeddings} rows, got {padding_idx}")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.mode, self.include_last_offset = mode, include_last_offset
        if _weight is not None and _weight.shape != (num_embeddings, embedding_dim):
            raise ValueError(f"EmbeddingBag: _weight is {[num_embeddings, embedding_dim]}, got {_weight._spec!r}")
        new = empty(num_embeddings, embedding_dim, device=device, dtype=dtype) if _weight is None else _weight
        self.weight = Parameter(new)
        if _weight is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **options: Any) -> EmbeddingBag:
        """A table with the given rows, on their memory; with `freeze` it is not learned. Options as of the class."""
        if embeddings.ndim != 2:
            raise ValueError(f"from_pretrained takes a matrix, got {embeddings._spec!r}")
        rows, width = embeddings.shape
        table = cls(rows, width, _weight=embeddings, **options)
        table.weight.requires_grad_(not freeze)
        return table

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        text += f", max_norm={self.max_norm}" if self.max_norm is not None else ""
        text += f", norm_type={self.norm_type}" if self.norm_type != 2 else ""
        text += ", scale_grad_by_freq=True" if self.scale_grad_by_freq else ""
        text += f", mode={self.mode!r}"
        return text + (f", padding_idx={self.padding_idx}" if self.padding_idx is not None else "")
