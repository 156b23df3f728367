"""Attention as one op, which never has the whole matrix of weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Composite, Cost, Op, frozen, shape_error
from .cast import cast
from .comparison import eq, where
from .creation import ones, zeros
from .diagonal import tril
from .dropout import Dropout
from .elementwise import broadcast_shapes
from .matmul import matmul
from .norm import placed, statistic_spec
from .softmax import softmax
from .view import transpose

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

MOST = 128
"""The elements of a query, a key or a value at most: what the kernels keep of each in shared memory."""
_FLOP_OF_WEIGHT = 5
"""As `gpunn.ops.softmax` counts them."""


@frozen
class ScaledDotProductAttention(Op):
    """O = softmax(scale Q K^T + M) V, row by row  (Vaswani et al. 2017, equation 1).

    Q (..., L, E)  K (..., S, E)  V (..., S, Ev)  M, broadcast to (..., L, S), or None  ->  O (..., L, Ev), s (..., L)

    S = scale Q K^T + M;  s = ln sum of e^S over the keys; it is a statistic, and has no gradient. With `is_causal`
    query i has the keys 0 to i. A query without any key gets 0.
    dQ = scale G K;  dK = scale G^T Q;  dV = P^T dO;  dM = G
    G = P o (dO V^T - D);  D = sum of dO o O over the values;  P = e^(S - s)

    With a `dropout` among the weights, O and dV have dropout(P) in the place of P, and G has dropout(dO V^T): the mask
    is that of `gpunn.ops.dropout.Dropout` on the matrix (..., L, S), made again in the backward from its place. The
    last input is the call number, None without dropout.

    Forward and backward go over the scores in tiles (Rabe and Staats 2021; Dao et al. 2022, algorithms 1 and 4); only
    for dM there is a whole matrix.
    """

    scale: float
    is_causal: bool = False
    dropout: Dropout | None = None
    saved = (0, 1, 2, 3)
    saves_output = (0, 1)

    def shape(self, q: Spec, k: Spec, v: Spec, m: Spec | None, call: int | None) -> Any:
        specs = [s for s in (q, k, v, m) if s is not None]
        if not q.dtype.is_floating_point or len({s.dtype for s in specs}) > 1:
            raise shape_error(self, f"takes floats of one type, got {', '.join(map(repr, specs))}")
        if not fits(q, k, v):
            raise shape_error(
                self,
                "takes queries (..., L, E), keys (..., S, E) and values (..., S, Ev), of one batch and "
                f"E and Ev at most {MOST}, got {q!r}, {k!r} and {v!r}",
            )
        scores = (*q.shape[:-1], k.shape[-2])
        if m is not None and broadcast_shapes(self, m.shape, scores) != scores:
            raise shape_error(self, f"a mask is broadcast to {list(scores)}, got {m!r}")
        return q.like((*q.shape[:-1], v.shape[-1])), statistic_spec(q, q.shape[:-1])

    def forward(self, backend: Any, q: Any, k: Any, v: Any, m: Any, call: Any, out: Any = None) -> Any:
        return backend.attention_forward(q, k, v, m, self.scale, self.is_causal, *_drop(self.dropout, call), out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, q: Any, k: Any, v: Any, m: Any, call: Any) -> Any:
        if needs[3]:
            from gpunn.autograd.engine import vjp_of

            return vjp_of(self.formula, needs, dy[0], (q, k, v, m, call))
        backward = AttentionBackward(self.scale, self.is_causal, tuple(needs[:3]), self.dropout)
        parts = apply(backward, dy[0], q, k, v, m, y[0].detach(), y[1].detach(), call)
        return placed(parts, needs)

    def formula(self, q: Any, k: Any, v: Any, m: Any, call: Any) -> Any:
        """O by elementary ops, with all weights in memory."""
        return matmul(_dropped(attention_weights(q, k, m, self.is_causal, self.scale), self.dropout, call), v)

    def cost(self, q: Spec, k: Spec, v: Spec, m: Spec | None, call: int | None) -> Cost:
        moved = sum(s.nbytes for s in (q, k, v, m, *self.shape(q, k, v, m, call)) if s is not None)
        per_score = 2 * (q.shape[-1] + v.shape[-1]) + _FLOP_OF_WEIGHT
        return Cost(per_score * _scores(q, k, self.is_causal), moved)


@frozen
class AttentionBackward(Composite):
    """The gradients of `ScaledDotProductAttention` in Q, K and V; `wanted` says which of them are the results."""

    scale: float
    is_causal: bool
    wanted: tuple[bool, bool, bool]
    dropout: Dropout | None = None
    saved = (0, 1, 2, 3, 4)

    def shape(self, do: Spec, q: Spec, k: Spec, v: Spec, m: Spec | None, o: Spec, s: Spec, call: int | None) -> Any:
        return tuple(x for x, wanted in zip((q, k, v), self.wanted) if wanted)

    def forward(
        self, backend: Any, do: Any, q: Any, k: Any, v: Any, m: Any, o: Any, s: Any, call: Any, out: Any = None
    ) -> Any:
        options = (self.scale, self.is_causal, self.wanted, *_drop(self.dropout, call))
        return backend.attention_backward(do, q, k, v, m, o, s, *options, out=out)

    def formula(self, do: Any, q: Any, k: Any, v: Any, m: Any, o: Any, s: Any, call: Any) -> Any:
        p = attention_weights(q, k, m, self.is_causal, self.scale)
        of_weights = _dropped(matmul(do, transpose(v, -2, -1)), self.dropout, call)
        g = p * (of_weights - (of_weights * p).sum(-1, keepdim=True)) * self.scale
        of_values = transpose(_dropped(p, self.dropout, call), -2, -1)
        results = (matmul(g, k), matmul(transpose(g, -2, -1), q), matmul(of_values, do))
        return tuple(x for x, wanted in zip(results, self.wanted) if wanted)

    def cost(self, do: Spec, q: Spec, k: Spec, v: Spec, m: Spec | None, o: Spec, s: Spec, call: int | None) -> Cost:
        results = self.shape(do, q, k, v, m, o, s, call)
        moved = sum(x.nbytes for x in (do, q, k, v, m, o, s, *results) if x is not None)
        # The scores and the gradient of the weights, and from those each result.
        e, ev = q.shape[-1], v.shape[-1]
        products = e + ev + sum(n for n, wanted in zip((e, e, ev), self.wanted) if wanted)
        return Cost((2 * products + _FLOP_OF_WEIGHT) * _scores(q, k, self.is_causal), moved)


def _drop(dropout: Dropout | None, call: Any) -> tuple[Any, ...]:
    """What the primitives take: p, seed, call number, and the place of the first weight; nothing without dropout."""
    return () if dropout is None else (dropout.p, dropout.seed, call, dropout.offset)


def _dropped(weights: Any, dropout: Dropout | None, call: Any) -> Any:
    return weights if dropout is None else apply(dropout, weights, call)


def fits(q: Spec, k: Spec, v: Spec) -> bool:
    """Whether queries, keys and values are such as `ScaledDotProductAttention` takes them."""
    return (
        q.ndim == k.ndim == v.ndim >= 2
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        and q.shape[-1] == k.shape[-1] <= MOST
        and k.shape[-2] == v.shape[-2]
        and v.shape[-1] <= MOST
    )


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """softmax(Q K^T scale + mask) (..., L, S), 0 where a query may look at nothing."""
    # The scale on both sides, so that no product overflows which would not in the end.
    scale = default_scale(query) if scale is None else scale
    root = math.sqrt(abs(scale))
    scores = matmul(query * math.copysign(root, scale), transpose(key * root, -2, -1))
    if is_causal:
        mask = tril(ones(scores.shape[-2:], device=query.device)).gt(0)
    if mask is None:
        return softmax(scores, -1)
    scores = scores + added(mask, scores)
    nothing = eq(scores, -math.inf).all(-1, keepdim=True)
    return where(nothing, 0.0, softmax(where(nothing, 0.0, scores), -1))


def added(mask: Tensor, scores: Tensor) -> Tensor:
    """A mask as floats of the type of the scores, which are added to them: -inf where it is False."""
    if mask.dtype.name == "bool":
        mask = where(mask, 0.0, zeros(mask.shape, dtype=scores.dtype, device=mask.device) - math.inf)
    return cast(mask, scores.dtype)


def default_scale(query: Any) -> float:
    """1 / sqrt(E), for queries (..., L, E)."""
    return 1 / math.sqrt(max(query.shape[-1], 1))


def _scores(q: Spec, k: Spec, is_causal: bool) -> int:
    """How many scores are computed."""
    n, m = q.shape[-2], k.shape[-2]
    count = sum(min(i + 1, m) for i in range(n)) if is_causal else n * m
    return count * math.prod(q.shape[:-2])
