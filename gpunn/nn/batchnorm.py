"""Normalisation over the batch."""

from __future__ import annotations

from typing import Any, ClassVar

from gpunn.autograd.mode import state
from gpunn.backend import collective
from gpunn.ops import empty, ones, zeros
from gpunn.ops.batch_norm import counted_batch_norm, sync_batch_norm
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _ChannelNorm(Module):
    """A normalisation that may have a scale and a shift for each channel, and running statistics."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(empty(num_features, **options)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_features, **options)) if affine and bias else None)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **options) if track else None)
        self.register_buffer("running_var", ones(num_features, **options) if track else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype="int64", device=device) if track else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running statistics to mean 0 and variance 1."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Set scales to 1, shifts to 0, and the running statistics as they were in the beginning."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    allowed: ClassVar[tuple[int, ...]]
    """How many dimensions the input may have."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        factor, batches = self.momentum, self.num_batches_tracked if self.training else None
        if factor is None:
            factor = 0.0 if batches is None or state.recomputing else 1 / (self._so_far(batches) + 1)
        use_running = self.track_running_stats or not self.training
        mean, var = (self.running_mean, self.running_var) if use_running else (None, None)
        return self._normalised(input, mean, var, factor, batches)

    def _so_far(self, batches: Tensor) -> int:
        """How many batches there were. A plan knows that of before the step, and not where this one was used since."""
        if state.tracer is not None and state.tracer.is_written(batches):
            state.tracer.leave(f"a {type(self).__name__} with momentum=None is used more than once in the step")
        return int(batches.item())

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.allowed:
            wanted = " or ".join(f"{n}D" for n in self.allowed)
            raise ValueError(
                f"{type(self).__name__}: expected {wanted} input (got {input.ndim}D input {input._spec!r})"
            )

    def _normalised(
        self, input: Tensor, mean: Tensor | None, var: Tensor | None, factor: float, batches: Any
    ) -> Tensor:
        training = self.training or self.running_mean is None
        return counted_batch_norm(input, mean, var, self.weight, self.bias, training, factor, self.eps, batches)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of vectors (N, C) or sequences (N, C, L); see `BatchNorm2d`."""

    allowed = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W): each channel has mean 0 and variance 1 over batch and pixels.

    y = (x - mean) / sqrt(var + eps) weight + bias

    In training, mean and variance (over n elements, biased) are those of the batch, and the running ones follow:
    running = (1 - momentum) running + momentum batch, with the unbiased variance. Evaluation uses the running ones.
    Ioffe, Szegedy 2015, "Batch normalization: accelerating deep network training by reducing internal covariate shift".

    Args:
        num_features: the channels C.
        eps: added to the variance, against division by 0.
        momentum: the weight of a new batch in the running statistics; None for the mean over all batches.
        affine: whether there are weight and bias.
        track_running_stats: whether there are running statistics; without them the batch's are always used.
        bias: whether there is a bias beside the weight.

    Attributes:
        weight: scale (C,), starts as 1; or None.
        bias: shift (C,), starts as 0; or None.
        running_mean: (C,), or None.
        running_var: (C,), or None.
        num_batches_tracked: how many batches the running statistics have seen, 0-d int64; or None.
    """

    allowed = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W); see `BatchNorm2d`."""

    allowed = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, ...) over the samples of all ranks; see `BatchNorm2d`.

    In training, mean and variance are those of all ranks' batches together, which are all in this layer at the same
    time; so N ranks do what one does with the whole batch. With one rank, and in evaluation, it is batch norm.

    Args:
        num_features: as for `BatchNorm2d`, and so are all others.
        process_group: accepted for PyTorch's sake; it is always all ranks.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _check(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"SyncBatchNorm: expected at least 2D input (got {input.ndim}D input {input._spec!r})")

    def _normalised(
        self, input: Tensor, mean: Tensor | None, var: Tensor | None, factor: float, batches: Any
    ) -> Tensor:
        if not self.training or collective.current().size == 1:
            return super()._normalised(input, mean, var, factor, batches)
        return sync_batch_norm(input, mean, var, self.weight, self.bias, factor, self.eps, batches)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """A module with `SyncBatchNorm` in the place of every batch norm in it, with its parameters and buffers."""
        result = module
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            result = cls(
                module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats,
                bias=module.bias is not None, dtype=module.weight.dtype if module.weight is not None else None,
            )  # fmt: skip
            result._parameters.update(module._parameters)
            result._buffers.update(module._buffers)
            result.train(module.training)
        for name, child in module.named_children():
            setattr(result, name, cls.convert_sync_batchnorm(child))
        return result


class _InstanceNorm(_ChannelNorm):
    dims: ClassVar[int]
    """How many dimensions the input has with a batch."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        name = type(self).__name__
        if input.ndim not in (self.dims - 1, self.dims):
            raise ValueError(
                f"{name}: expected {self.dims - 1}D or {self.dims}D input (got {input.ndim}D input {input._spec!r})"
            )
        batch = input if input.ndim == self.dims else input.unsqueeze(0)
        if batch.shape[1] != self.num_features:
            raise ValueError(f"{name}: expected {self.num_features} channels, got {input._spec!r}")
        result = F.instance_norm(
            batch,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return result if input.ndim == self.dims else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of sequences (N, C, L) or (C, L); see `InstanceNorm2d`."""

    dims = 3


class InstanceNorm2d(_InstanceNorm):
    """As `BatchNorm2d`, but with the mean and the variance of each image by itself: (N, C, H, W) or (C, H, W).

    By default without weight and bias, and without running statistics, so training and evaluation are alike.
    Ulyanov et al. 2016, "Instance normalization: the missing ingredient for fast stylization".

    Args:
        num_features: the channels C.
        eps: added to the variance.
        momentum: the weight of a new batch in the running statistics.
        affine: whether there are weight and bias.
        track_running_stats: whether there are running statistics, used in evaluation.
        bias: whether there is a bias beside the weight.
    """

    dims = 4


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes (N, C, D, H, W) or (C, D, H, W); see `InstanceNorm2d`."""

    dims = 5
