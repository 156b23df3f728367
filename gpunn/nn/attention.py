"""Attention with several heads."""

from __future__ import annotations

from typing import Any

from gpunn.ops import empty
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class MultiheadAttention(Module):
    """Several attentions side by side, each over a part of the embedding  (Vaswani et al. 2017, section 3.2.2).

    With heads i of size d = embed_dim / num_heads::

        head_i = softmax((Q W_i^Q) (K W_i^K)^T / sqrt(d) + mask) V W_i^V,  output = (head_1 ... head_h) W^O

    Shapes:
        query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), with `batch_first` (N, L, embed_dim) and so on,
        without a batch (L, embed_dim) and so on; output like the query, weights (N, L, S).

    Args:
        embed_dim: of the queries and the output.
        num_heads: how many; `embed_dim` is a multiple of it.
        dropout: among the weights, in training.
        bias: whether there are biases.
        add_bias_kv: whether a learned key and value are added.
        add_zero_attn: whether a key and value of zeros are added.
        kdim: of the keys, `embed_dim` where it is None.
        vdim: of the values, likewise.
        batch_first: which dimension is the batch.

    Attributes:
        in_proj_weight: W^Q, W^K and W^V below one another (3 embed_dim, embed_dim); where the sizes differ
            ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight``.
        in_proj_bias: their biases (3 embed_dim,).
        out_proj: W^O, a `Linear`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        made = {"device": device, "dtype": dtype}
        same = self._qkv_same_embed_dim
        for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            weight = None if same else Parameter(empty(embed_dim, size, **made))
            self.register_parameter(f"{name}_proj_weight", weight)
        self.register_parameter("in_proj_weight", Parameter(empty(3 * embed_dim, embed_dim, **made)) if same else None)
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **made)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, **made)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, embed_dim, **made)) if add_bias_kv else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)  # type: ignore[arg-type]
        for name in ("bias_k", "bias_v"):
            if getattr(self, name) is not None:
                init.xavier_normal_(getattr(self, name))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The attention, and its weights or None.

        Args:
            query: see the class, as key and value.
            key: likewise.
            value: likewise.
            key_padding_mask: (N, S), True where a key is left out, or floats that are added.
            need_weights: whether the weights are given back.
            attn_mask: (L, S) or (N heads, L, S), True where a query may not look at a key, or floats that are added.
            average_attn_weights: whether the weights are the mean over the heads, else (N, heads, L, S).
            is_causal: a hint that `attn_mask` is causal.
        """
        transposed = self.batch_first and query.ndim == 3
        if transposed:
            same = query is key is value
            query = query.transpose(0, 1)
            key, value = (query, query) if same else (key.transpose(0, 1), value.transpose(0, 1))
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            not self._qkv_same_embed_dim,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (output.transpose(0, 1) if transposed else output), weights
