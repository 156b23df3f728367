"""Attention: a mean of values, weighted by how well their keys fit a query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..base import shape_error
from ..cast import cast
from ..comparison import eq, where
from ..creation import ones, zeros
from ..diagonal import tril
from ..dropout import dropout
from ..matmul import matmul
from ..rearrange import repeat_interleave
from ..reduction import all
from ..softmax import softmax
from ..view import transpose

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(Q K^T scale + mask) V  (Vaswani et al. 2017, equation 1).

    Args:
        query: Q (..., L, E).
        key: K (..., S, E).
        value: V (..., S, Ev).
        attn_mask: broadcast to (..., L, S); booleans, True where a query may look at a key, or floats that are added.
            A query that may look at nothing gets 0.
        dropout_p: the probability of a 0 among the weights; also in evaluation, so give 0 there.
        is_causal: whether query i looks at keys 0 to i only; without a mask.
        scale: 1 / sqrt(E) where it is None.
        enable_gqa: whether a head of keys and values serves several heads of queries.

    Returns:
        (..., L, Ev).
    """
    weights = attention_weights(query, _shared(query, key, enable_gqa), attn_mask, is_causal, scale)
    if dropout_p:
        weights = dropout(weights, dropout_p, True)
    return matmul(weights, _shared(query, value, enable_gqa))


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """softmax(Q K^T scale + mask) (..., L, S), 0 where a query may look at nothing."""
    if query.shape[-1] != key.shape[-1]:
        raise shape_error("attention", f"queries and keys have one size, got {query._spec!r} and {key._spec!r}")
    if is_causal and mask is not None:
        raise shape_error("attention", "is_causal is for attention without a mask; give one of both")
    # The scale on both sides, so that no product overflows which would not in the end.
    root = math.sqrt(1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else abs(scale))
    q = query * (root if scale is None or scale >= 0 else -root)
    scores = matmul(q, transpose(key * root, -2, -1))
    if is_causal:
        mask = tril(ones(scores.shape[-2:], device=query.device)).gt(0)
    if mask is None:
        return softmax(scores, -1)
    if mask.dtype.name == "bool":
        mask = where(mask, 0.0, zeros(mask.shape, dtype=scores.dtype, device=mask.device) - math.inf)
    scores = scores + cast(mask, scores.dtype)
    nothing = all(eq(scores, -math.inf), -1, keepdim=True)
    return where(nothing, 0.0, softmax(where(nothing, 0.0, scores), -1))


def _shared(query: Tensor, x: Tensor, enable: bool) -> Tensor:
    if not enable or query.shape[-3] == x.shape[-3]:
        return x
    if query.shape[-3] % x.shape[-3]:
        raise shape_error("attention", f"{query.shape[-3]} heads of queries are no multiple of {x.shape[-3]} of keys")
    return repeat_interleave(x, query.shape[-3] // x.shape[-3], -3)
