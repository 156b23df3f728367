"""Linear algebra of matrices and batches of them (..., m, n), as torch.linalg.

NumPy's and CuPy's routines do the work (on the device ``sim`` NumPy's); gradients are gpunn's own, with their formulas
in `gpunn.ops.further.factor`. Elements are float32 or float64. What has complex results (``eig``, ``eigvals``) is not
here.
"""

from gpunn.autograd.autocast import full_precision
from gpunn.ops.further.factor import LinAlgError
from gpunn.ops.vector_norm import vector_norm
from gpunn.out_argument import with_out

from .factors import cholesky, eigh, eigvalsh, householder_product, qr, svd, svdvals
from .least_squares import lstsq, matrix_rank, pinv
from .norms import cond, det, matrix_norm, norm, slogdet, vecdot
from .products import cross, diagonal, matmul, matrix_exp, matrix_power, multi_dot, tensorinv, tensorsolve, vander
from .solving import cholesky_ex, inv, inv_ex, solve, solve_ex, solve_triangular
from .triangular import lu, lu_factor, lu_factor_ex, lu_solve

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

_PRODUCTS = {"cross", "diagonal", "matmul", "matrix_norm", "multi_dot", "norm", "vander", "vecdot", "vector_norm"}
for _name in {*__all__} - {
    "LinAlgError",
    *_PRODUCTS,
}:  # in no lower precision, so that autocast takes halves to float32
    globals()[_name] = full_precision(globals()[_name])
for _name in {*__all__} - {"LinAlgError", "diagonal", "lstsq", "lu_factor", "matrix_exp", "vander"}:
    globals()[_name] = with_out(globals()[_name])
del _name
