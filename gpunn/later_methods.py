"""Methods of tensors that are loaded when they are first asked for; `gpunn.later` says from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.interchange import Interchange
from gpunn.later import methods
from gpunn.ops.promote import OPERANDS

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class LaterMethods(Interchange):
    """Functions of `gpunn.ops.further` as methods; with an underscore behind they change the tensor."""

    __slots__ = ()

    erfc, erfc_, erfinv, erfinv_, i0, i0_, digamma, digamma_, lgamma, lgamma_, igamma, igamma_ = methods(12)
    igammac, igammac_, mvlgamma, mvlgamma_, cumprod, cumprod_, cummax, cummin, logcumsumexp = methods(9)
    histogram, mode, nonzero_static, as_strided, as_strided_, as_strided_scatter, diagflat = methods(7)
    diagonal_scatter, index_copy, index_copy_, index_fill, index_fill_, index_put, index_put_ = methods(7)
    index_reduce, index_reduce_, masked_scatter, masked_scatter_, put, put_, scatter_reduce = methods(7)
    scatter_reduce_, select_scatter, slice_scatter, sum_to_size, unfold, bitwise_left_shift = methods(6)
    bitwise_left_shift_, bitwise_right_shift, bitwise_right_shift_, frexp, gcd, gcd_, lcm = methods(7)
    lcm_, nextafter, nextafter_, bernoulli, multinomial, cauchy_, exponential_, geometric_ = methods(8)
    log_normal_, angle, conj, conj_physical, conj_physical_, get_device, is_complex, is_conj = methods(8)
    is_distributed, is_inference, is_neg, is_nonzero, is_same_size, is_signed, resolve_conj = methods(7)
    resolve_neg, dense_dim, dim_order, is_pinned, is_set_to, is_shared, ndimension, sparse_dim = methods(8)
    storage_offset, type, narrow_copy, apply_, byte, char, fill_diagonal_, map2_, map_ = methods(9)
    new_empty_strided, pin_memory, resize_, resize_as_, set_, share_memory_, short, squeeze_ = methods(8)
    swapaxes_, swapdims_, t_, transpose_, unsqueeze_, where, cholesky, cholesky_inverse = methods(8)
    cholesky_solve, det, geqrf, inverse, logdet, lu, lu_solve, matrix_exp, orgqr, ormqr = methods(10)
    pinverse, qr, slogdet, svd, triangular_solve, hardshrink = methods(6)

    def polygamma(self, n: int) -> Tensor:
        """`gpunn.polygamma` of order n."""
        from gpunn.ops.further.gamma import polygamma

        return polygamma(n, self)  # type: ignore[arg-type]

    def polygamma_(self, n: int) -> Tensor:
        """`polygamma` in place."""
        from gpunn.autograd.inplace import update

        result: Tensor = update(self, lambda x: x.polygamma(n))
        return result

    def __lshift__(self, other: Any) -> Any:
        return self.bitwise_left_shift(other) if isinstance(other, OPERANDS) else NotImplemented

    def __rshift__(self, other: Any) -> Any:
        return self.bitwise_right_shift(other) if isinstance(other, OPERANDS) else NotImplemented

    def __rlshift__(self, other: Any) -> Any:
        from gpunn.ops.further.numeric import bitwise_left_shift

        return bitwise_left_shift(other, self) if isinstance(other, OPERANDS) else NotImplemented  # type: ignore[arg-type]

    def __rrshift__(self, other: Any) -> Any:
        from gpunn.ops.further.numeric import bitwise_right_shift

        return bitwise_right_shift(other, self) if isinstance(other, OPERANDS) else NotImplemented  # type: ignore[arg-type]

    @property
    def H(self) -> Tensor:
        """A matrix transposed."""
        from gpunn.ops.further.asking import H

        return H(self)  # type: ignore[arg-type]

    @property
    def mH(self) -> Tensor:
        """The last two dimensions exchanged."""
        from gpunn.ops import transpose

        return transpose(self, -2, -1)  # type: ignore[arg-type]

    @property
    def real(self) -> Tensor:
        """The tensor itself."""
        return self  # type: ignore[return-value]

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this tensor, which is no leaf."""
        from gpunn.autograd import hooks

        return hooks.is_retained(self)

    @property
    def output_nr(self) -> int:
        """Which of the results of `grad_fn` this is."""
        return self._index

    @property
    def name(self) -> None:
        """None: tensors have no names."""
        return None

    def register_post_accumulate_grad_hook(self, hook: Any) -> Any:
        """Call ``hook(tensor)`` each time `backward` has added to the grad of this leaf; returns a handle.

        Raises:
            RuntimeError: this tensor is no leaf that requires grad.
        """
        from gpunn.autograd import hooks

        return hooks.after_accumulation(self, hook)

    @property
    def is_cpu(self) -> bool:
        """Whether the elements live on the CPU."""
        return self.device.type == "cpu"

    @property
    def is_meta(self) -> bool:
        """Whether the elements live on the device meta, which has none."""
        return self.device.type == "meta"

    is_sparse = is_sparse_csr = is_quantized = is_mkldnn = is_mps = is_nested = is_xla = is_xpu = False
    is_ipu = is_maia = is_mtia = is_vulkan = False
