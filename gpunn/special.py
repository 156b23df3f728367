"""Special functions of each element, as torch.special; formulas and sources stand in `gpunn.ops.further`."""

from gpunn.ops import erf, exp2, expm1, log1p, log_softmax, logit, logsumexp, round, sinc, softmax, xlogy
from gpunn.ops import sigmoid as expit
from gpunn.ops.further.gamma import digamma, polygamma, zeta
from gpunn.ops.further.gamma import digamma as psi
from gpunn.ops.further.gamma import igamma as gammainc
from gpunn.ops.further.gamma import igammac as gammaincc
from gpunn.ops.further.gamma import lgamma as gammaln
from gpunn.ops.further.gamma import mvlgamma as multigammaln
from gpunn.ops.further.special import (
    entr,
    erfc,
    erfcx,
    erfinv,
    i0,
    i0e,
    i1,
    i1e,
    log_ndtr,
    ndtr,
    ndtri,
    xlog1py,
)
from gpunn.out_argument import with_out

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
    "i0", "i0e", "i1", "i1e", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri",
    "polygamma", "psi", "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

for _name in {*__all__} - {"log_softmax", "softmax"}:
    globals()[_name] = with_out(globals()[_name])
del _name
