"""What all functions of `gpunn.linalg` share: what they take, and what they return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.autograd.tape import TensorBase
from gpunn.ops.base import shape_error

if TYPE_CHECKING:
    pass


def _named(name: str, *fields: str) -> Any:
    return NamedTuple(name, [(field, Any) for field in fields])


CholeskyEx, InverseEx = _named("CholeskyEx", "L", "info"), _named("InverseEx", "inverse", "info")
SolveEx, LUFactor = _named("SolveEx", "result", "info"), _named("LUFactor", "LU", "pivots")
LUFactorEx, Eigen = _named("LUFactorEx", "LU", "pivots", "info"), _named("Eigen", "eigenvalues", "eigenvectors")
Factors, Singular = _named("Factors", "Q", "R"), _named("Singular", "U", "S", "Vh")
SignAndLogDet, PLU = _named("SignAndLogDet", "sign", "logabsdet"), _named("PLU", "P", "L", "U")
LeastSquares = _named("LeastSquares", "solution", "residuals", "rank", "singular_values")


def _matrices(name: str, *tensors: Any, square: bool = False) -> None:
    for x in tensors:
        if not isinstance(x, TensorBase):
            raise TypeError(f"linalg.{name}: takes tensors, got {type(x).__name__}; use gpunn.tensor(...)")
        if x.ndim < 2:
            raise shape_error(f"linalg.{name}", f"The input tensor A must have at least 2 dimensions, got {x._spec!r}")
        if x.dtype.name not in ("float32", "float64"):
            raise shape_error(
                f"linalg.{name}",
                f"takes float32 and float64 (no low precision), got {x._spec!r}; convert with .float()",
            )
        if square and x.shape[-1] != x.shape[-2]:
            raise shape_error(
                f"linalg.{name}", f"A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]}"
            )
