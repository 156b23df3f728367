"""weight_norm and spectral_norm under their first names, with the parameters beside the layer's others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpunn import ops
from gpunn.autograd.autocast import plain
from gpunn.autograd.inplace import assign
from gpunn.autograd.mode import no_grad, state
from gpunn.ops.further.old import norm_except_dim
from gpunn.tensor import Tensor

from .. import functional as F
from ..module import Module
from ..parameter import Parameter
from .computed import compute, compute_no_more, is_computed, named_tensor
from .parametrizations import as_matrix, default_dim

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


@dataclass(frozen=True)
class _WeightNorm:
    name: str
    dim: int

    def __call__(self, module: Any) -> Tensor:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / norm_except_dim(v, 2, self.dim))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """As `gpunn.nn.utils.parametrizations.weight_norm`, with g and v as ``weight_g`` and ``weight_v`` of the layer.

    The weight is computed whenever it is asked for.

    Raises:
        ValueError: there is no such parameter.
        RuntimeError: it has a norm already.
    """
    weight = _parameter(module, name, "weight_norm")
    along = -1 if dim is None else dim
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(norm_except_dim(weight.detach(), 2, along)))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    compute(module, name, _WeightNorm(name, along))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a parameter again, as it is.

    Raises:
        ValueError: it has no weight norm.
    """
    return _removed(module, name, f"{name}_v", (f"{name}_g", f"{name}_v"))


@dataclass(frozen=True)
class _SpectralNorm:
    name: str
    n_power_iterations: int
    dim: int
    eps: float

    @plain
    def __call__(self, module: Any) -> Tensor:
        weight = getattr(module, f"{self.name}_orig")
        u_buffer, v_buffer = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = as_matrix(weight, self.dim)
        u, v = u_buffer.clone(), v_buffer.clone()
        if module.training:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = F.normalize(ops.mv(matrix.t(), u), dim=0, eps=self.eps)
                    u = F.normalize(ops.mv(matrix, v), dim=0, eps=self.eps)
                if not state.recomputing:
                    assign(u_buffer, u)
                    assign(v_buffer, v)
        return weight / ops.dot(u, ops.mv(matrix, v))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """As `gpunn.nn.utils.parametrizations.spectral_norm`, with ``weight_orig``, ``weight_u`` and ``weight_v``.

    The weight is computed whenever it is asked for, which in training moves u and v; v comes before u.

    Raises:
        ValueError: there is no such parameter, or no iterations.
        RuntimeError: it has a norm already.
    """
    weight = _parameter(module, name, "spectral_norm")
    if n_power_iterations <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
    along = default_dim(module) if dim is None else dim
    rows, columns = as_matrix(weight.detach(), along).shape
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    for key, size in (("u", rows), ("v", columns)):
        start = F.normalize(weight.detach().new_empty(size).normal_(), dim=0, eps=eps)
        module.register_buffer(f"{name}_{key}", start)
    compute(module, name, _SpectralNorm(name, n_power_iterations, along, eps))
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a parameter again, as it is in evaluation.

    Raises:
        ValueError: it has no spectral norm.
    """
    training = module.training
    module.training = False
    try:
        return _removed(module, name, f"{name}_orig", (f"{name}_orig", f"{name}_u", f"{name}_v"))
    finally:
        module.training = training


def _parameter(module: Module, name: str, what: str) -> Parameter:
    if is_computed(module, name):
        raise RuntimeError(f"{what}: {name!r} of {type(module).__name__} is computed of others already")
    weight = named_tensor(module, name)
    if not isinstance(weight, Parameter):
        raise ValueError(f"{what}: {name!r} of {type(module).__name__} is no parameter")
    return weight


def _removed(module: Module, name: str, kept: str, parts: tuple[str, ...]) -> Module:
    if not is_computed(module, name) or not hasattr(module, kept):
        raise ValueError(f"{name!r} of {type(module).__name__} has no such norm")
    with no_grad():
        value = getattr(module, name).detach()
    compute_no_more(module, name)
    for part in parts:
        delattr(module, part)
    module.register_parameter(name, Parameter(value))
    return module
