"""What layers compute, as functions, under the names of torch.nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from gpunn import ops
from gpunn.autograd.inplace import in_place, update
from gpunn.ops import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    alpha_dropout,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    batch_norm,
    bilinear,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    celu,
    channel_shuffle,
    conv1d,
    conv2d,
    conv2d_activation,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    embedding,
    feature_alpha_dropout,
    fold,
    gaussian_nll_loss,
    gelu,
    glu,
    group_norm,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hinge_embedding_loss,
    huber_loss,
    instance_norm,
    kl_div,
    l1_loss,
    layer_norm,
    linear,
    linear_activation,
    log_softmax,
    logsigmoid,
    margin_ranking_loss,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    mish,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    normalize,
    one_hot,
    pad,
    pairwise_distance,
    pdist,
    pixel_shuffle,
    pixel_unshuffle,
    poisson_nll_loss,
    prelu,
    relu6,
    rms_norm,
    scaled_dot_product_attention,
    selu,
    sigmoid,
    smooth_l1_loss,
    soft_margin_loss,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
    unfold,
)
from gpunn.ops.composed.ctc import ctc_loss
from gpunn.ops.composed.embedding_bag import embedding_bag
from gpunn.ops.composed.fractional_pool import fractional_max_pool2d, fractional_max_pool3d
from gpunn.ops.composed.grid_sample import affine_grid, grid_sample
from gpunn.ops.composed.interpolate import interpolate, upsample, upsample_bilinear, upsample_nearest
from gpunn.ops.composed.multi_head import multi_head_attention_forward
from gpunn.ops.composed.pooling import (
    local_response_norm,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from gpunn.ops.composed.random import gumbel_softmax, rrelu
from gpunn.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv2d_activation",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "pairwise_distance",
    "pdist",
    "bilinear",
    "scaled_dot_product_attention",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "fold",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_activation",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "unfold",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d_with_indices",
    "affine_grid",
    "celu_",
    "ctc_loss",
    "elu_",
    "embedding_bag",
    "feature_alpha_dropout",
    "grid_sample",
    "gumbel_softmax",
    "hardtanh_",
    "interpolate",
    "leaky_relu_",
    "linear_cross_entropy",
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d_with_indices",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "multi_head_attention_forward",
    "native_channel_shuffle",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu_",
    "threshold_",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0); `inplace` also makes it the new value of input."""
    return update(input, ops.relu) if inplace else ops.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Input where it is positive, else negative_slope * input."""
    return update(input, ops.leaky_relu, negative_slope) if inplace else ops.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Input where it is positive, else alpha (e^input - 1)."""
    return update(input, ops.elu, alpha) if inplace else ops.elu(input, alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Input * sigmoid(input)."""
    return update(input, ops.silu) if inplace else ops.silu(input)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
) -> Tensor:
    """`cross_entropy` of the scores that a linear layer makes of the input.

    Args:
        input: (in_features,) or (N, in_features).
        linear_weight: (C, in_features), or (C, d_1, ..., in_features) for scores (N, C, d_1, ...).
        target: as in `cross_entropy`; likewise for `weight`, `reduction`, `ignore_index` and `label_smoothing`.
        linear_bias: (C,) or (C, d_1, ...), or None.
        weight: see there.
        reduction: see there.
        ignore_index: see there; None as -100.
        label_smoothing: see there.
        options: None; a planned step says by itself what it needs memory for.
    """
    if options is not None:
        raise NotImplementedError("linear_cross_entropy: there are no options; leave options=None")
    size = tuple(linear_weight.shape[:-1])
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    scores = linear(input, linear_weight.reshape(-1, linear_weight.shape[-1]), bias)
    return cross_entropy(
        scores.reshape(*input.shape[:-1], *size),
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _with_indices(pool: Callable[..., Any]) -> Callable[..., Any]:
    """The pooling that also says where the elements were, whatever it is asked for."""

    @wraps(pool)
    def with_indices(*args: Any, **kwargs: Any) -> Any:
        return pool(*args, **{**kwargs, "return_indices": True})

    with_indices.__name__ += "_with_indices"
    with_indices.__doc__ = f"`{pool.__name__}` with ``return_indices=True``."
    return with_indices


max_pool1d_with_indices, max_pool2d_with_indices = _with_indices(max_pool1d), _with_indices(max_pool2d)
max_pool3d_with_indices = _with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d)
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d)

relu_, elu_, leaky_relu_ = in_place(ops.relu), in_place(ops.elu), in_place(ops.leaky_relu)
selu_, celu_, hardtanh_ = in_place(selu), in_place(celu), in_place(hardtanh)
threshold_, rrelu_ = in_place(threshold), in_place(rrelu)
native_channel_shuffle = channel_shuffle
