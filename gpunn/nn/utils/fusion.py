"""Batch norm in evaluation taken into the layer before it."""

from __future__ import annotations

import copy
from typing import TypeVar

from gpunn import ops
from gpunn.tensor import Tensor

from ..batchnorm import _BatchNorm
from ..conv import _Conv
from ..linear import Linear
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

C = TypeVar("C", bound=_Conv)
L = TypeVar("L", bound=Linear)


def fuse_conv_bn_eval(conv: C, bn: _BatchNorm, transpose: bool = False) -> C:
    """A copy of the convolution that does what both do in evaluation.

    w' = w g / sqrt(var + eps),  b' = (b - mean) g / sqrt(var + eps) + beta, with g and beta the batch norm's

    Args:
        conv: in evaluation.
        bn: behind it, in evaluation, with running statistics.
        transpose: whether it is a transposed convolution.

    Raises:
        AssertionError: one of them is in training, or there are no running statistics.
    """
    mean, var = _statistics(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, mean, var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """w' and b' of `fuse_conv_bn_eval`, of what both layers hold."""
    shape = (1, -1, *(1,) * (conv_w.ndim - 2)) if transpose else (-1, *(1,) * (conv_w.ndim - 1))
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_eval(linear: L, bn: _BatchNorm) -> L:
    """As `fuse_conv_bn_eval`, for a linear layer.

    Raises:
        AssertionError: see there; or the layers do not fit.
    """
    mean, var = _statistics(linear, bn)
    if bn.num_features not in (1, linear.out_features):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, mean, var, bn.eps, bn.weight, bn.bias)
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """w' and b' of `fuse_linear_bn_eval`, of what both layers hold."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, (-1, 1))


def _statistics(layer: _Conv | Linear, bn: _BatchNorm) -> tuple[Tensor, Tensor]:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    return bn.running_mean, bn.running_var


def _fused(
    w: Tensor,
    b: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    g: Tensor | None,
    beta: Tensor | None,
    shape: tuple[int, ...],
) -> tuple[Parameter, Parameter]:
    scale = ops.rsqrt(var + eps) if g is None else ops.rsqrt(var + eps) * g.detach()
    weight = (w.detach() * scale.reshape(shape)).to(w.dtype)
    bias = ((-mean if b is None else b.detach() - mean) * scale).to(w.dtype if b is None else b.dtype)
    bias = bias if beta is None else bias + beta.detach()
    return Parameter(weight, w.requires_grad), Parameter(bias, True if b is None else b.requires_grad)
