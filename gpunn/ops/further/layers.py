"""Layers and losses under the names and in the order of arguments that `torch` itself has for them.

A reduction may be a word or its number: 0 "none", the default of these functions, 1 "mean", 2 "sum".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import batch_norm as _batch_norm
from .. import binary_cross_entropy_with_logits as _bce
from .. import cosine_embedding_loss as _cosine
from .. import dropout as _dropout
from .. import dropout2d, full_like, linear, pad
from .. import embedding as _embedding
from .. import group_norm as _group_norm
from .. import hinge_embedding_loss as _hinge
from .. import instance_norm as _instance_norm
from .. import kl_div as _kl_div
from .. import layer_norm as _layer_norm
from .. import margin_ranking_loss as _ranking
from .. import poisson_nll_loss as _poisson
from .. import rms_norm as _rms_norm
from .. import triplet_margin_loss as _triplet
from ..arithmetic import rsub as _rsub
from ..composed.recurrent import gru_step, lstm_step, rnn_relu_step, rnn_tanh_step

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_REDUCTIONS = ("none", "mean", "sum")


def _word(reduction: Any) -> str:
    if isinstance(reduction, str):
        return reduction
    if reduction not in (0, 1, 2):
        raise ValueError(f"a reduction is 0 (none), 1 (mean) or 2 (sum), or the word; got {reduction!r}")
    return _REDUCTIONS[reduction]


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """`gpunn.nn.functional.batch_norm`."""
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """`gpunn.nn.functional.instance_norm`."""
    return _instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """`gpunn.nn.functional.layer_norm`."""
    return _layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`gpunn.nn.functional.group_norm`."""
    return _group_norm(input, num_groups, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """`gpunn.nn.functional.rms_norm`."""
    return _rms_norm(input, normalized_shape, weight, eps)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight`; as in torch, and unlike `nn.functional.embedding`, a padding_idx of -1 is none."""
    return _embedding(
        indices, weight, padding_idx if padding_idx >= 0 else None, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: Any = 0
) -> Tensor:
    """`gpunn.nn.functional.binary_cross_entropy_with_logits`."""
    return _bce(input, target, weight, reduction=_word(reduction), pos_weight=pos_weight)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: Any = 0
) -> Tensor:
    """`gpunn.nn.functional.cosine_embedding_loss`."""
    return _cosine(input1, input2, target, margin, reduction=_word(reduction))


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: Any = 0) -> Tensor:
    """`gpunn.nn.functional.hinge_embedding_loss`."""
    return _hinge(input, target, margin, reduction=_word(reduction))


def kl_div(input: Tensor, target: Tensor, reduction: Any = 0, *, log_target: bool = False) -> Tensor:
    """`gpunn.nn.functional.kl_div`."""
    return _kl_div(input, target, reduction=_word(reduction), log_target=log_target)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: Any = 0
) -> Tensor:
    """`gpunn.nn.functional.margin_ranking_loss`."""
    return _ranking(input1, input2, target, margin, reduction=_word(reduction))


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: Any) -> Tensor:
    """`gpunn.nn.functional.poisson_nll_loss`."""
    return _poisson(input, target, log_input=log_input, full=full, eps=eps, reduction=_word(reduction))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Any = 0,
) -> Tensor:
    """`gpunn.nn.functional.triplet_margin_loss`."""
    return _triplet(anchor, positive, negative, margin=margin, p=p, eps=eps, swap=swap, reduction=_word(reduction))


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`gpunn.nn.functional.dropout`."""
    return _dropout(input, p, train)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`gpunn.nn.functional.alpha_dropout`."""
    from .. import alpha_dropout as function

    return function(input, p, train)


def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout`, into the input."""
    return _dropout(input, p, train, inplace=True)


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout`, into the input."""
    from .. import alpha_dropout as function

    return function(input, p, train, inplace=True)


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`gpunn.nn.functional.feature_alpha_dropout`, into the input."""
    from .. import feature_alpha_dropout as function

    return function(input, p, train, inplace=True)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Whole channels of (n, c, ...) set to 0; see `gpunn.nn.functional.dropout2d`."""
    shape = input.shape
    x = input.reshape(shape[0], shape[1], -1, 1)
    return dropout2d(x, p, train).reshape(shape)


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """`gpunn.nn.functional.pad` with a constant."""
    return _pad(input, pad, "constant", value)


_pad = pad


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of `gpunn.nn.RNNCell`."""
    return rnn_tanh_step(linear(input, w_ih, b_ih), (hx,), (w_hh, b_hh, None))[0]


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of `gpunn.nn.RNNCell` with a ReLU."""
    return rnn_relu_step(linear(input, w_ih, b_ih), (hx,), (w_hh, b_hh, None))[0]


def gru_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """One step of `gpunn.nn.GRUCell`."""
    return gru_step(linear(input, w_ih, b_ih), (hx,), (w_hh, b_hh, None))[0]


def lstm_cell(input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of `gpunn.nn.LSTMCell`, (h, c)."""
    return lstm_step(linear(input, w_ih, b_ih), tuple(hx), (w_hh, b_hh, None))


def rsub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha input."""
    return _rsub(input, other, alpha=alpha)


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like input of one value, a number or a 0-d tensor."""
    if hasattr(value, "expand"):
        return value.to(input.dtype).to(input.device).expand(input.shape).clone()
    return full_like(input, value)


def detach(input: Tensor) -> Tensor:
    """The same memory without history."""
    return input.detach()
