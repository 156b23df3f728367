"""Attention, and what belongs to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .table import from_onnx, to_onnx


@to_onnx("ScaledDotProductAttention")
def _scaled_dot_product(w: Writer, call: Call) -> Any:
    """By products and a softmax; 0 for a query that has no key."""
    if call.attribute("dropout") is not None:
        raise call.error("drops out weights; export in evaluation, without dropout_p")
    q, k, v, mask = call.inputs()[:4]
    d, rank = call.spec(0).dtype, call.spec(0).ndim
    root = math.sqrt(abs(call.scale))  # on both sides, so that no product overflows which would not in the end
    turned = w("Transpose", k, perm=[*range(rank - 2), rank - 1, rank - 2])
    q, k = (w("Mul", x, w.constant(c, d)) for x, c in ((q, math.copysign(root, call.scale)), (turned, root)))
    scores, nothing = w("MatMul", q, k), w.constant(-np.inf, d)
    if call.is_causal:
        size = w("Slice", w("Shape", scores), w.constant([-2]), w.constant([rank]))
        seen = w("Trilu", w("Expand", w.constant(1), size), upper=0)
        scores = w("Where", w("Equal", seen, w.constant(1)), scores, nothing)
    if mask is not None:
        scores = w("Add", scores, mask)
    zero = w.constant(0, d)
    blind = w("Equal", w("ReduceMax", scores, w.constant([-1]), keepdims=1), nothing)
    weights = w("Softmax", w("Where", blind, zero, scores), axis=-1)
    return w("MatMul", w("Where", blind, zero, weights), v), None


def _split_heads(x: Any, heads: int) -> Any:
    """(batch, steps, heads size) -> (batch, heads, steps, size)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _seen(node: Any, n: int, m: int, first: Any, lengths: Any) -> Any:
    """Which of m keys each of n queries sees: up to itself, within a window, and none behind the end.

    The first query stands behind `first` keys: one number, or one for each sample, as `lengths` are.
    """
    place = np.arange(n)[:, None] + np.asarray(first).reshape(-1, 1, 1, 1)
    keys = np.arange(m)
    seen = np.ones((1, 1, n, m), bool)
    if node.get("is_causal", 0):
        seen = seen & (keys <= place)
    left, right = node.get("left_window_size", -1), node.get("right_window_size", -1)
    if left >= 0:
        seen = seen & (place - keys <= left)
    if right >= 0:
        seen = seen & (keys - place <= right)
    return seen if lengths is None else seen & (keys < lengths.reshape(-1, 1, 1, 1))


@from_onnx("Attention", host=(6,))
def _attention(
    node: Any, q: Any, k: Any, v: Any, mask: Any = None, past_k: Any = None, past_v: Any = None, lengths: Any = None
) -> Any:
    """softmax(cap(scale Q K^T) + mask) V, of heads that may share keys and values; 0 for a query that sees nothing."""
    flat = q.ndim == 3
    if flat:
        q = _split_heads(q, node.get("q_num_heads"))
        k, v = (_split_heads(t, node.get("kv_num_heads")) for t in (k, v))
    if past_k is not None:
        k, v = gpunn.cat([past_k, k], 2), gpunn.cat([past_v, v], 2)
    repeats = q.shape[1] // k.shape[1]
    keys, values = (t.repeat_interleave(repeats, 1) if repeats > 1 else t for t in (k, v))
    scale = gpunn.tensor(node.get("scale", q.shape[-1] ** -0.5) ** 0.5, dtype=q.dtype, device=q.device)
    scores = shown = gpunn.matmul(q * scale, keys.transpose(-1, -2) * scale)
    n, m = scores.shape[-2:]
    mode = node.get("qk_matmul_output_mode", 0)
    if cap := node.get("softcap", 0.0):
        scores = gpunn.tanh(scores / cap) * cap
        shown = scores
    first = past_k.shape[2] if past_k is not None else 0 if lengths is None else lengths - n
    seen = gpunn.tensor(_seen(node, n, m, first, lengths), device=q.device)
    if mask is not None:
        if mask.shape[-1] < m:
            mask = F.pad(mask, [0, m - mask.shape[-1]], value=False if mask.dtype is gpunn.bool else -np.inf)
        if mask.dtype is gpunn.bool:
            seen = seen & mask
        else:
            scores, seen = scores + mask.to(q.dtype), seen & (mask > -np.inf)
    scores = gpunn.where(seen, scores, -np.inf)
    if mode == 2:
        shown = scores
    exact = scores if node.get("softmax_precision") is None else scores.to(node.dtype("softmax_precision"))
    any_seen = seen.any(-1, keepdim=True)
    weights = gpunn.where(any_seen, gpunn.softmax(gpunn.where(any_seen, exact, 0), -1), 0)
    if mode == 3:
        shown = weights
    y = gpunn.matmul(weights.to(q.dtype), values)
    return (y.transpose(1, 2).flatten(2) if flat else y), k, v, shown.to(q.dtype)


@from_onnx("LinearAttention")
def _linear_attention(node: Any, q: Any, k: Any, v: Any, state: Any = None, decay: Any = None, beta: Any = None) -> Any:
    """y = scale q S, with a state S += k v^T at each step; of some rules it decays, or learns v - S k instead of v."""
    heads, shared, rule = node.get("q_num_heads"), node.get("kv_num_heads"), node.get("update_rule", "gated_delta")
    dtype, kept = q.dtype, (q if state is None else state).dtype
    q, (k, v) = _split_heads(q, heads).float(), (_split_heads(t, shared).float() for t in (k, v))
    size = q.shape[-1]
    if "gated" in rule:
        decay = gpunn.exp(_split_heads(decay, shared).float())
    if "delta" in rule:
        beta = beta.float().transpose(1, 2).unsqueeze(-1)
    if state is None:
        state = gpunn.zeros(q.shape[0], shared, size, v.shape[-1], device=q.device)
    state, found = state.float(), []
    for t in range(q.shape[2]):
        key, value = k[:, :, t, :, None], v[:, :, t]
        if "gated" in rule:
            state = state * decay[:, :, t, :, None]
        if "delta" in rule:
            value = beta[:, :, t] * (value - (state * key).sum(-2))
        state = state + key * value.unsqueeze(-2)
        read = state.repeat_interleave(heads // shared, 1) if heads > shared else state
        found.append((q[:, :, t, :, None] * read).sum(-2))
    y = gpunn.stack(found, 1) * (node.get("scale", 0.0) or size**-0.5)
    return y.flatten(2).to(dtype), state.to(kept)


@from_onnx("RotaryEmbedding")
def _rotary_embedding(node: Any, x: Any, cos: Any, sin: Any, places: Any = None) -> Any:
    """Pairs of features turned by the angle of their place."""
    flat = x.ndim == 3
    x = _split_heads(x, node.get("num_heads")) if flat else x
    if places is not None:
        cos, sin = cos[places.long()], sin[places.long()]
    size = node.get("rotary_embedding_dim", 0) or x.shape[-1]
    cos, sin = (t.unsqueeze(1)[..., : size // 2] for t in (cos, sin))
    turned, rest = x[..., :size], x[..., size:]
    if node.get("interleaved", 0):
        a, b = turned[..., 0::2], turned[..., 1::2]
        y = gpunn.stack([cos * a - sin * b, sin * a + cos * b], -1).flatten(-2)
    else:
        a, b = turned[..., : size // 2], turned[..., size // 2 :]
        y = gpunn.cat([cos * a - sin * b, sin * a + cos * b], -1)
    y = gpunn.cat([y, rest], -1) if rest.shape[-1] else y
    return y.transpose(1, 2).flatten(2) if flat else y


@from_onnx("CausalConvWithState")
def _causal_convolution(node: Any, x: Any, weight: Any, bias: Any = None, past: Any = None) -> Any:
    """Each channel convolved by itself with what was before, which may come from an earlier call."""
    before = weight.shape[-1] - 1
    past = gpunn.zeros(*x.shape[:2], before, dtype=x.dtype, device=x.device) if past is None else past
    padded = gpunn.cat([past, x], 2)
    y = F.conv1d(padded, weight, bias, groups=x.shape[1])
    if node.get("activation", "none") != "none":
        y = F.silu(y.float()).to(x.dtype)
    return y, padded.narrow(2, padded.shape[2] - before, before)
