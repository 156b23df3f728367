"""Attention with several heads, with projections before and behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.backend.dtypes import FLOAT

from ..attention import attention_weights
from ..base import shape_error
from ..comparison import where
from ..creation import zeros
from ..dropout import dropout
from ..join import cat
from ..linear import linear
from ..matmul import matmul
from ..pad import pad
from ..slicing import chunk
from ..view import expand, reshape, squeeze, unsqueeze
from .attention import scaled_dot_product_attention

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["multi_head_attention_forward"]


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What `gpunn.nn.MultiheadAttention` computes, with its weights as arguments (Vaswani et al. 2017, section 3.2.2).

    Args:
        query: (L, N, E), or (L, E).
        key: (S, N, E'), or (S, E').
        value: (S, N, E''), or (S, E'').
        embed_dim_to_check: E.
        num_heads: how many heads E is divided into.
        in_proj_weight: W^Q, W^K and W^V below one another (3 E, E), unless `use_separate_proj_weight`.
        in_proj_bias: their biases (3 E,), or None.
        bias_k: a key (1, 1, E) that is added, or None.
        bias_v: a value (1, 1, E) that is added, or None.
        add_zero_attn: whether a key and a value of zeros are added.
        dropout_p: the probability of a 0 among the weights in training.
        out_proj_weight: W^O (E, E).
        out_proj_bias: its bias (E,), or None.
        training: whether there is dropout.
        key_padding_mask: (N, S), or (S,) without N: True where a key is left out, or floats that are added.
        need_weights: whether the weights are given back.
        attn_mask: (L, S) or (N heads, L, S): True where a query may not look at a key, or floats that are added.
        use_separate_proj_weight: whether the three weights below are taken.
        q_proj_weight: W^Q (E, E).
        k_proj_weight: W^K (E, E').
        v_proj_weight: W^V (E, E'').
        static_k: (N heads, S, E / heads): keys that take the place of the projected ones.
        static_v: likewise values.
        average_attn_weights: whether the weights are the mean over the heads.
        is_causal: a hint that `attn_mask` is causal.

    Returns:
        The output (L, N, E), and the weights (N, L, S) or (N, heads, L, S), or None; without N where query has none.
    """
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    embed_dim = query.shape[-1]
    if embed_dim != embed_dim_to_check or embed_dim % num_heads:
        raise shape_error(
            "multi_head_attention_forward",
            f"queries have size {embed_dim_to_check}, a multiple of {num_heads} heads, got {query._spec!r}",
        )
    batched = query.ndim == 3
    if not batched:
        same = query is key is value
        query = unsqueeze(query, 1)
        key, value = (query, query) if same else (unsqueeze(key, 1), unsqueeze(value, 1))
        key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected((query, key, value), in_proj_weight, separate, in_proj_bias)
    length, batch = q.shape[:2]
    mask = _mask(attn_mask, key_padding_mask, batch, num_heads, q)
    if bias_k is not None and bias_v is not None:
        k, v = (cat([x, expand(b, (1, batch, embed_dim))], 0) for x, b in ((k, bias_k), (v, bias_v)))
        mask = None if mask is None else pad(mask, (0, 1))
    head_dim = embed_dim // num_heads
    q, k, v = (reshape(x, (x.shape[0], batch, num_heads, head_dim)).permute(1, 2, 0, 3) for x in (q, k, v))
    k = k if static_k is None else reshape(static_k, (batch, num_heads, -1, head_dim))
    v = v if static_v is None else reshape(static_v, (batch, num_heads, -1, head_dim))
    if add_zero_attn:
        nothing = zeros(batch, num_heads, 1, head_dim, dtype=q.dtype, device=q.device)
        k, v = cat([k, nothing], 2), cat([v, nothing], 2)
        mask = None if mask is None else pad(mask, (0, 1))
    given = None
    if need_weights:
        weights = dropout(attention_weights(q, k, mask), dropout_p, training)
        given = weights.mean(1) if average_attn_weights else weights
        heads = matmul(weights, v)
    else:
        heads = scaled_dot_product_attention(q, k, v, mask, dropout_p if training else 0.0)
    heads = reshape(heads.permute(2, 0, 1, 3), (length, batch, embed_dim))
    output = linear(heads, out_proj_weight, out_proj_bias)
    if not batched:
        return squeeze(output, 1), None if given is None else squeeze(given, 0)
    return output, given


def _projected(inputs: tuple[Tensor, ...], weight: Any, separate: Any, bias: Tensor | None) -> Any:
    if separate is None and inputs[0] is inputs[1] is inputs[2]:
        return chunk(linear(inputs[0], weight, bias), 3, -1)
    weights = chunk(weight, 3, 0) if separate is None else separate
    biases = (None,) * 3 if bias is None else chunk(bias, 3, 0)
    return [linear(x, w, b) for x, w, b in zip(inputs, weights, biases)]


def _mask(attn: Tensor | None, padding: Tensor | None, batch: int, heads: int, q: Tensor) -> Tensor | None:
    """Both masks as floats that are added, (N or 1, heads or 1, L or 1, S)."""
    masks = []
    if attn is not None:
        mask = _added(attn, q)
        size = (batch, heads) if mask.ndim == 3 else (1, 1)
        masks.append(reshape(mask, (*size, *mask.shape[-2:])))
    if padding is not None:
        masks.append(reshape(_added(padding, q), (batch, 1, 1, padding.shape[-1])))
    return None if not masks else masks[0] if len(masks) == 1 else masks[0] + masks[1]


def _added(mask: Tensor, q: Tensor) -> Tensor:
    if mask.dtype.category == FLOAT:
        return mask.to(q.dtype)
    if mask.dtype.name != "bool":
        raise shape_error("multi_head_attention_forward", f"masks are booleans or floats, got {mask._spec!r}")
    return where(mask, float("-inf"), zeros(mask.shape, dtype=q.dtype, device=q.device))
