"""Methods of tensors beside those that `gpunn.tensor` has: functions made of ops, and functions in place."""

from __future__ import annotations

from typing import Any

from gpunn import ops
from gpunn.autograd.inplace import in_place, update
from gpunn.backend.dtypes import float64
from gpunn.later_methods import LaterMethods


class FurtherMethods(LaterMethods):
    """Functions of `gpunn.ops.composed` as methods, and the functions that change a tensor in place."""

    __slots__ = ()

    absolute, addbmm, addmv, addr, adjoint = ops.absolute, ops.addbmm, ops.addmv, ops.addr, ops.adjoint
    aminmax, arccos, arcsin, arctan, arctan2 = ops.aminmax, ops.arccos, ops.arcsin, ops.arctan, ops.arctan2
    argwhere, baddbmm, bincount, copysign = ops.argwhere, ops.baddbmm, ops.bincount, ops.copysign
    corrcoef, cov, cross, deg2rad, diff, dist = ops.corrcoef, ops.cov, ops.cross, ops.deg2rad, ops.diff, ops.dist
    divide, dsplit, fix, fliplr, flipud = ops.divide, ops.dsplit, ops.fix, ops.fliplr, ops.flipud
    float_power, fmax, fmin, frac, ger = ops.float_power, ops.fmax, ops.fmin, ops.frac, ops.ger
    greater, greater_equal, heaviside, histc = ops.greater, ops.greater_equal, ops.heaviside, ops.histc
    hsplit, hypot, inner, isin, isneginf = ops.hsplit, ops.hypot, ops.inner, ops.isin, ops.isneginf
    isposinf, isreal, kron, kthvalue, ldexp = ops.isposinf, ops.isreal, ops.kron, ops.kthvalue, ops.ldexp
    less, less_equal, logaddexp, logaddexp2 = ops.less, ops.less_equal, ops.logaddexp, ops.logaddexp2
    logit, matrix_power, median, moveaxis, msort = ops.logit, ops.matrix_power, ops.median, ops.moveaxis, ops.msort
    multiply, nanmean, nanmedian, nanquantile = ops.multiply, ops.nanmean, ops.nanmedian, ops.nanquantile
    nansum, negative, not_equal, positive = ops.nansum, ops.negative, ops.not_equal, ops.positive
    quantile, rad2deg, ravel, renorm, rot90 = ops.quantile, ops.rad2deg, ops.ravel, ops.renorm, ops.rot90
    sgn, signbit, sinc, split_with_sizes = ops.sgn, ops.signbit, ops.sinc, ops.split_with_sizes
    subtract, swapaxes, swapdims, trace = ops.subtract, ops.swapaxes, ops.swapdims, ops.trace
    true_divide, unique, unique_consecutive = ops.true_divide, ops.unique, ops.unique_consecutive
    unsafe_chunk, unsafe_split, vdot, vsplit = ops.unsafe_chunk, ops.unsafe_split, ops.vdot, ops.vsplit
    unsafe_split_with_sizes = ops.unsafe_split_with_sizes
    xlogy, acosh, asinh, atanh = ops.xlogy, ops.acosh, ops.asinh, ops.atanh
    arccosh, arcsinh, arctanh, prelu = ops.arccosh, ops.arcsinh, ops.arctanh, ops.prelu

    absolute_, arccos_, arcsin_ = in_place(ops.absolute), in_place(ops.arccos), in_place(ops.arcsin)
    arctan_, arctan2_, divide_ = in_place(ops.arctan), in_place(ops.arctan2), in_place(ops.divide)
    fix_, greater_, greater_equal_ = in_place(ops.fix), in_place(ops.greater), in_place(ops.greater_equal)
    less_, less_equal_, multiply_ = in_place(ops.less), in_place(ops.less_equal), in_place(ops.multiply)
    negative_, not_equal_, subtract_ = in_place(ops.negative), in_place(ops.not_equal), in_place(ops.subtract)
    true_divide_, addmv_, addr_ = in_place(ops.true_divide), in_place(ops.addmv), in_place(ops.addr)
    baddbmm_, addbmm_, copysign_ = in_place(ops.baddbmm), in_place(ops.addbmm), in_place(ops.copysign)
    deg2rad_, rad2deg_ = in_place(ops.deg2rad), in_place(ops.rad2deg)
    frac_, heaviside_, hypot_ = in_place(ops.frac), in_place(ops.heaviside), in_place(ops.hypot)
    ldexp_, logit_, sgn_, sinc_ = in_place(ops.ldexp), in_place(ops.logit), in_place(ops.sgn), in_place(ops.sinc)
    xlogy_, renorm_, bitwise_and_ = in_place(ops.xlogy), in_place(ops.renorm), in_place(ops.bitwise_and)
    bitwise_or_, bitwise_xor_ = in_place(ops.bitwise_or), in_place(ops.bitwise_xor)
    bitwise_not_, logical_and_ = in_place(ops.bitwise_not), in_place(ops.logical_and)
    logical_or_, logical_xor_ = in_place(ops.logical_or), in_place(ops.logical_xor)
    logical_not_, eq_, ne_, lt_ = in_place(ops.logical_not), in_place(ops.eq), in_place(ops.ne), in_place(ops.lt)
    le_, gt_, ge_, addmm_ = in_place(ops.le), in_place(ops.gt), in_place(ops.ge), in_place(ops.addmm)

    add_, sub_, mul_, div_, pow_ = map(in_place, (ops.add, ops.sub, ops.mul, ops.div, ops.pow))
    floor_divide_, remainder_, fmod_ = map(in_place, (ops.floor_divide, ops.remainder, ops.fmod))
    neg_, abs_, reciprocal_, square_ = map(in_place, (ops.neg, ops.abs, ops.reciprocal, ops.square))
    sign_, nan_to_num_, erf_ = map(in_place, (ops.sign, ops.nan_to_num, ops.erf))
    exp_, exp2_, expm1_, sqrt_, rsqrt_ = map(in_place, (ops.exp, ops.exp2, ops.expm1, ops.sqrt, ops.rsqrt))
    log_, log1p_, log2_, log10_ = map(in_place, (ops.log, ops.log1p, ops.log2, ops.log10))
    sin_, cos_, tan_, sinh_, cosh_ = map(in_place, (ops.sin, ops.cos, ops.tan, ops.sinh, ops.cosh))
    asin_, acos_, atan_ = map(in_place, (ops.asin, ops.acos, ops.atan))
    asinh_, acosh_, atanh_ = map(in_place, (ops.asinh, ops.acosh, ops.atanh))
    arcsinh_, arccosh_, arctanh_ = map(in_place, (ops.arcsinh, ops.arccosh, ops.arctanh))
    sigmoid_, tanh_, relu_ = map(in_place, (ops.sigmoid, ops.tanh, ops.relu))
    lerp_, addcmul_, addcdiv_ = in_place(ops.lerp), in_place(ops.addcmul), in_place(ops.addcdiv)
    atan2_, cumsum_ = in_place(ops.atan2), in_place(ops.cumsum)
    floor_, ceil_, trunc_, round_ = map(in_place, (ops.floor, ops.ceil, ops.trunc, ops.round))
    clamp_, clip_, clamp_min_, clamp_max_ = map(in_place, (ops.clamp, ops.clamp, ops.clamp_min, ops.clamp_max))
    masked_fill_, index_add_ = in_place(ops.masked_fill), in_place(ops.index_add)
    scatter_, scatter_add_ = in_place(ops.scatter), in_place(ops.scatter_add)
    tril_, triu_ = in_place(ops.tril), in_place(ops.triu)

    def float_power_(self: Any, exponent: Any) -> Any:
        """`float_power` in place, of a float64 tensor.

        Raises:
            RuntimeError: the tensor is of another type.
        """
        if self.dtype is not float64:
            raise RuntimeError(f"float_power_: takes a float64 tensor, got {self._spec!r}; use float_power or pow_")
        return update(self, ops.float_power, exponent)
