"""Functions, methods and subpackages that are loaded when they are first asked for: ``import gpunn`` stays quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from gpunn.argument_names import with_other_names
from gpunn.out_argument import TAKES_OUT, with_out

_FURTHER = {
    "special": "erfc erfinv i0",
    "gamma": "digamma igamma igammac lgamma mvlgamma polygamma",
    "scans": "cummax cummin cumprod logcumsumexp",
    "counting": "histogram histogramdd mode nonzero_static segment_reduce tril_indices triu_indices unravel_index",
    "scattering": "diagflat diagonal_scatter index_copy index_fill index_put index_reduce"
    " masked_scatter put scatter_reduce select_scatter slice_scatter",
    "strides": "as_strided as_strided_scatter",
    "numeric": "bitwise_left_shift bitwise_right_shift frexp gcd gradient lcm nextafter",
    "making": "asarray bartlett_window blackman_window empty_permuted empty_strided frombuffer hamming_window"
    " hann_window kaiser_window logspace randint_like range scalar_tensor",
    "sampling": "bernoulli binomial multinomial normal poisson",
    "asking": "angle can_cast conj conj_physical get_device is_complex is_conj is_distributed is_floating_point"
    " is_inference is_neg is_nonzero is_same_size is_signed is_storage is_tensor numel real resolve_conj resolve_neg"
    " typename",
    "copies": "alias_copy as_strided_copy detach_copy diagonal_copy expand_copy narrow_copy permute_copy select_copy"
    " slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy"
    " unsqueeze_copy view_copy",
    "old": "cholesky cholesky_inverse cholesky_solve det frobenius_norm geqrf inverse logdet lstsq lu lu_solve"
    " lu_unpack matrix_exp matrix_rank nuclear_norm orgqr ormqr pca_lowrank pinverse qr slogdet svd svd_lowrank"
    " triangular_solve norm_except_dim",
    "layers": "batch_norm binary_cross_entropy_with_logits constant_pad_nd cosine_embedding_loss embedding group_norm"
    " gru_cell hinge_embedding_loss instance_norm kl_div layer_norm lstm_cell margin_ranking_loss poisson_nll_loss"
    " rms_norm rnn_relu_cell rnn_tanh_cell triplet_margin_loss alpha_dropout dropout feature_dropout rsub fill detach"
    " alpha_dropout_ dropout_ feature_alpha_dropout_",
}
_ELSEWHERE = {
    "gpunn.nn.functional": "adaptive_max_pool1d celu_ channel_shuffle conv3d conv_tbc conv_transpose3d ctc_loss"
    " feature_alpha_dropout hardshrink max_pool1d_with_indices max_pool3d native_channel_shuffle pixel_shuffle"
    " pixel_unshuffle rrelu rrelu_ selu_ threshold threshold_",
    "gpunn.func": "vmap",
    "gpunn.io": "load save",
    "gpunn.autograd.autocast": "autocast get_autocast_dtype is_autocast_available is_autocast_enabled",
    "gpunn.settings": "compile get_deterministic_debug_mode get_float32_matmul_precision get_num_interop_threads"
    " get_num_threads is_anomaly_check_nan_enabled is_anomaly_enabled is_autocast_cpu_enabled"
    " get_autocast_cpu_dtype get_autocast_gpu_dtype is_autocast_cache_enabled"
    " is_vulkan_available is_warn_always_enabled seed set_anomaly_enabled set_default_tensor_type"
    " set_deterministic_debug_mode set_float32_matmul_precision set_flush_denormal set_num_interop_threads"
    " set_num_threads set_printoptions",
    "gpunn.train": "Trainer",
    "gpunn.amp": "GradScaler",
    "gpunn.cuda": "Event Stream",
    "gpunn.plan": "TrainStep EvalStep",
    "gpunn.legacy": "FloatTensor DoubleTensor HalfTensor LongTensor IntTensor ShortTensor CharTensor ByteTensor"
    " BoolTensor _assert to_dlpack",
}
_METHODS = {
    "asking": "H dense_dim dim_order is_pinned is_set_to is_shared ndimension sparse_dim storage_offset type",
    "changing": "apply_ as_strided_ byte char fill_diagonal_ map2_ map_ new_empty_strided pin_memory resize_"
    " resize_as_ set_ share_memory_ short squeeze_ swapaxes_ swapdims_ t_ transpose_ unsqueeze_ where",
    "sampling": "cauchy_ exponential_ geometric_ log_normal_",
    "strides": "sum_to_size unfold",
}
IN_PLACE = tuple(
    f"{name}_"
    for name in (
        *("abs", "acos", "acosh", "addmv", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "asin"),
        *("asinh", "atan", "atanh", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "cos", "cosh", "deg2rad"),
        *("detach", "erf", "erfc", "exp", "exp2", "expm1", "fill", "fix", "floor", "frac", "gcd", "i0", "index_put"),
        *("lcm", "ldexp", "log", "log10", "log1p", "log2", "logit", "nan_to_num", "neg", "negative", "rad2deg"),
        *("reciprocal", "relu", "round", "rsqrt", "sigmoid", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh"),
        *("trunc", "xlogy", "zero", "as_strided", "conj_physical", "resize_as"),
    )
)
"""Functions of `gpunn` that are methods of tensors, and change them."""
SUBPACKAGES = (
    "accelerator",
    "amp",
    "backends",
    "cuda",
    "datasets",
    "distributions",
    "func",
    "fx",
    "inspect",
    "io",
    "jit",
    "linalg",
    "models",
    "nn",
    "onnx",
    "optim",
    "parallel",
    "plan",
    "special",
    "train",
    "transforms",
    "utils",
)
WHERE = {name: f"gpunn.ops.further.{module}" for module, names in _FURTHER.items() for name in names.split()}
WHERE |= {name: module for module, names in _ELSEWHERE.items() for name in names.split()}
"""For each name of `gpunn` that is loaded later, the module that has it."""
_METHOD_WHERE = WHERE | {
    name: f"gpunn.ops.further.{module}" for module, names in _METHODS.items() for name in names.split()
}
NAMES = (*WHERE, *IN_PLACE, *SUBPACKAGES)


def load(name: str) -> Any:
    """What `gpunn` has under that name.

    Raises:
        AttributeError: nothing.
    """
    if name in WHERE:
        value = getattr(importlib.import_module(WHERE[name]), name)
        further = WHERE[name].startswith("gpunn.ops")
        found = with_other_names(value) if further else value
        found = with_out(found) if name in TAKES_OUT else found
        setattr(sys.modules["gpunn"], name, found)
        return found
    if name in IN_PLACE:
        from gpunn.tensor import Tensor

        return getattr(Tensor, name)
    if name in SUBPACKAGES:
        return importlib.import_module(f"gpunn.{name}")
    raise AttributeError(f"module 'gpunn' has no attribute {name!r}")


class Method:
    """A method of tensors that takes the place of this object when it is first asked for.

    It is the function of its name; with an underscore behind, where there is none of that name, the function without it
    in place.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name

    def load(self) -> Callable[..., Any]:
        """The function, as the method from now on."""
        from gpunn.autograd.inplace import in_place

        name, function = self.name, None
        if name in _METHOD_WHERE:
            function = with_other_names(getattr(importlib.import_module(_METHOD_WHERE[name]), name))
        else:
            plain = name.removesuffix("_")
            function = in_place(with_other_names(getattr(importlib.import_module(_METHOD_WHERE[plain]), plain)))
        setattr(self.owner, name, function)
        return function

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        function = self.load()
        return function if instance is None else function.__get__(instance, owner)


def methods(count: int) -> list[Any]:
    """So many methods that are loaded later: ``erfc, erfinv = methods(2)`` in the body of a class."""
    return [Method() for _ in range(count)]
