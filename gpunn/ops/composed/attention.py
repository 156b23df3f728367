"""Attention: a mean of values, weighted by how well their keys fit a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpunn.autograd.tape import apply

from ..attention import ScaledDotProductAttention, added, attention_weights, default_scale, fits
from ..base import shape_error
from ..dropout import drop_op, dropout, next_draw
from ..elementwise import broadcast_shapes
from ..matmul import matmul
from ..rearrange import repeat_interleave

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
        dropout_p: the probability of a 0 among the weights, the others over 1 - p; also in evaluation, so give 0
            there.
        is_causal: whether query i looks at keys 0 to i only; without a mask.
        scale: 1 / sqrt(E) where it is None.
        enable_gqa: whether a head of keys and values serves several heads of queries.

    Returns:
        (..., L, Ev).
    """
    if query.shape[-1] != key.shape[-1]:
        raise shape_error("attention", f"queries and keys have one size, got {query._spec!r} and {key._spec!r}")
    if is_causal and attn_mask is not None:
        raise shape_error("attention", "is_causal is for attention without a mask; give one of both")
    key, value = _shared(query, key, enable_gqa), _shared(query, value, enable_gqa)
    if _fused(query, key, value, attn_mask):
        drawn = drop_op((*query.shape[:-1], key.shape[-2]), dropout_p) if dropout_p else None
        op = ScaledDotProductAttention(default_scale(query) if scale is None else float(scale), is_causal, drawn)
        mask, call = None if attn_mask is None else added(attn_mask, query), next_draw() if dropout_p else None
        return apply(op, query, key, value, mask, call)[0]
    weights = attention_weights(query, key, attn_mask, is_causal, scale)
    return matmul(dropout(weights, dropout_p, True) if dropout_p else weights, value)


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """Whether it is one op; else, for sizes or batches that this one does not take, it is made of several."""
    if not q.dtype.is_floating_point or not fits(q._spec, k._spec, v._spec):
        return False
    scores = (*q.shape[:-1], k.shape[-2])
    return mask is None or broadcast_shapes("attention", mask.shape, scores) == scores


def _shared(query: Tensor, x: Tensor, enable: bool) -> Tensor:
    if not enable or query.shape[-3] == x.shape[-3]:
        return x
    if query.shape[-3] % x.shape[-3]:
        raise shape_error("attention", f"{query.shape[-3]} heads of queries are no multiple of {x.shape[-3]} of keys")
    return repeat_interleave(x, query.shape[-3] // x.shape[-3], -3)
