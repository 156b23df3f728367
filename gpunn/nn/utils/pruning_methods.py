"""The methods of `gpunn.nn.utils.prune`: how each chooses what of a parameter is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further.scattering import index_fill
from gpunn.tensor import Tensor

from ..module import Module
from .computed import compute, compute_no_more, computed_by, named_tensor


class BasePruningMethod(ABC):
    """A way to choose what of a parameter is kept; a subclass writes `compute_mask`.

    Attributes:
        PRUNING_TYPE: of what a mask is of, where some is pruned already: "unstructured" of the elements that are left,
            "structured" of the slices along ``dim`` that have some left, "global" of all.
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str = ""

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask (as t) of what is kept, at most that of `default_mask`; `t` says what counts how much."""

    def apply_mask(self, module: Module) -> Tensor:
        """The parameter times its mask."""
        mask, orig = getattr(module, f"{self._tensor_name}_mask"), getattr(module, f"{self._tensor_name}_orig")
        found: Tensor = mask.to(orig.dtype) * orig
        return found

    def __call__(self, module: Module) -> Tensor:
        """What the parameter is, of its module."""
        return self.apply_mask(module)

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune a parameter of a module by this method, given its arguments; what is pruned already stays so.

        Args:
            module: the layer.
            name: the parameter, ``"weight"``.
            importance_scores: what counts in the place of the elements themselves, of the same shape.

        Returns:
            The method; a `PruningContainer` of all where the parameter was pruned before.

        Raises:
            ValueError: the module has no such parameter, or the scores another shape.
        """
        before = method_of(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name = name
        orig = named_tensor(module, name)
        scores = orig if importance_scores is None else importance_scores
        if scores.shape != orig.shape:
            raise ValueError(
                f"importance_scores has the shape of {name!r}, {list(orig.shape)}, got {list(scores.shape)}"
            )
        if before is None and name not in module._parameters:
            raise ValueError(f"{name!r} of {type(module).__name__} is no parameter, so that it can't be pruned")
        all_of_it: BasePruningMethod = method
        if before is not None:
            all_of_it = PruningContainer(*(before if isinstance(before, PruningContainer) else (before,)))
            all_of_it.add_pruning_method(method)
        with no_grad():
            now = ops.ones_like(orig) if before is None else getattr(module, f"{name}_mask").clone()
            mask = all_of_it.compute_mask(scores.detach(), default_mask=now)
        if before is None:
            parameter = module._parameters[name]
            delattr(module, name)
            module.register_parameter(f"{name}_orig", parameter)
        else:
            compute_no_more(module, name)
        module.register_buffer(f"{name}_mask", mask)
        compute(module, name, all_of_it)
        return all_of_it

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t` times the mask that this method makes, without any module."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise ValueError(f"importance_scores has the shape of t, {list(t.shape)}, got {list(scores.shape)}")
        return t * self.compute_mask(scores, ops.ones_like(t) if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Make the product the parameter, for good."""
        name = self._tensor_name
        with no_grad():
            value = self.apply_mask(module)
        parameter: Any = module._parameters[f"{name}_orig"]
        compute_no_more(module, name)
        delattr(module, f"{name}_orig")
        delattr(module, f"{name}_mask")
        parameter.data = value
        module.register_parameter(name, parameter)


class PruningContainer(BasePruningMethod):
    """Several methods of one parameter, one after the other: each chooses from what those before it left."""

    def __init__(self, *args: BasePruningMethod):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        for method in args:
            self._tensor_name = self._tensor_name or getattr(method, "_tensor_name", "")
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add one, of the same parameter.

        Raises:
            TypeError: it is no method.
            ValueError: it is of another parameter.
        """
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                f"the methods of a PruningContainer are of one parameter, {self._tensor_name!r}, "
                f"got one of {method._tensor_name!r}"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> BasePruningMethod:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """What the last method keeps of what the mask has."""
        method = self._pruning_methods[-1]
        where: Any = ()
        if method.PRUNING_TYPE == "unstructured":
            where = default_mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = _axis(t, method.dim)  # type: ignore[attr-defined]  # which structured ones have
            kept = default_mask.sum([d for d in range(t.ndim) if d != dim]) != 0 if t.ndim > 1 else default_mask != 0
            where = (*(slice(None) for _ in range(dim)), kept)
        elif method.PRUNING_TYPE != "global":
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        mask = default_mask.to(t.dtype).clone()
        mask[where] = method.compute_mask(t[where], default_mask=default_mask[where]).to(mask.dtype)
        return mask


class Identity(BasePruningMethod):
    """Keeps everything: a parameter with a mask of ones."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask that is there."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> Any:
        """See `BasePruningMethod.apply`."""
        return super().apply(module, name)


class _OfAnAmount(BasePruningMethod):
    """Prunes an amount: a share from 0 to 1 as a float, or a number as an int.

    Raises:
        TypeError, ValueError: it is neither.
    """

    amount: Any

    def __init__(self, amount: Any):
        if not isinstance(amount, Real):
            raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
        self.amount = amount
        if self.amount < 0 or (not isinstance(amount, Integral) and self.amount > 1):
            raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")

    def _count(self, size: int) -> int:
        count = int(self.amount) if isinstance(self.amount, Integral) else round(self.amount * size)
        if count > size:
            raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
        return count


class _Unstructured(_OfAnAmount):
    """Prunes the elements that count least."""

    def _importance(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """0 where the element counts least, the mask that is there elsewhere."""
        if not (count := self._count(t.numel())):
            return default_mask.clone()
        least = ops.topk(self._importance(t).reshape(-1), count, largest=False).indices
        return index_fill(default_mask.reshape(-1), 0, least, 0).reshape(default_mask.shape)


class RandomUnstructured(_Unstructured):
    """Prunes elements at random."""

    def _importance(self, t: Tensor) -> Tensor:
        from gpunn.random import rand_like

        return rand_like(t)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> Any:
        """See `BasePruningMethod.apply`."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the elements of the smallest magnitude."""

    def _importance(self, t: Tensor) -> Tensor:
        return ops.abs(t)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, importance_scores: Any = None) -> Any:
        """See `BasePruningMethod.apply`."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_OfAnAmount):
    """Prunes the slices along a dimension that count least.

    Raises:
        ValueError: the parameter has less than two dimensions.
        IndexError: it has not that one.
    """

    PRUNING_TYPE = "structured"
    dim: int

    def _importance(self, t: Tensor, dim: int) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """0 where a slice counts least, the mask that is there elsewhere."""
        if t.ndim < 2:
            raise ValueError(
                f"Structured pruning can only be applied to multidimensional tensors, got the shape {list(t.shape)}"
            )
        dim = _axis(t, self.dim)
        size = t.shape[dim]
        if not (count := self._count(size)):
            return default_mask
        kept = ops.topk(self._importance(t, dim), size - count).indices
        shape = [size if d == dim else 1 for d in range(t.ndim)]
        mask = index_fill(ops.zeros(size, dtype=t.dtype, device=t.device), 0, kept, 1).reshape(shape)
        return mask * default_mask.to(t.dtype)


class RandomStructured(_Structured):
    """Prunes slices at random."""

    def __init__(self, amount: float, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def _importance(self, t: Tensor, dim: int) -> Tensor:
        from gpunn.random import rand

        return rand(t.shape[dim], device=t.device)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, dim: int = -1) -> Any:
        """See `BasePruningMethod.apply`."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the slices of the smallest n-norm."""

    def __init__(self, amount: float, n: Any, dim: int = -1):
        super().__init__(amount)
        self.n, self.dim = n, dim

    def _importance(self, t: Tensor, dim: int) -> Tensor:
        return ops.norm(t, self.n, [d for d in range(t.ndim) if d != dim])

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Any = None) -> Any:
        """See `BasePruningMethod.apply`."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Keeps what a mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Both masks."""
        if default_mask.shape != self.mask.shape:
            raise ValueError(
                f"the mask has the shape of the parameter, {list(default_mask.shape)}, got {list(self.mask.shape)}"
            )
        return default_mask * self.mask.to(default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> Any:
        """See `BasePruningMethod.apply`."""
        return super().apply(module, name, mask=mask)


def method_of(module: Module, name: str) -> BasePruningMethod | None:
    """The method by which a parameter is pruned, None where it is not."""
    found = computed_by(module).get(name)
    return found if isinstance(found, BasePruningMethod) else None


def _axis(t: Tensor, dim: int) -> int:
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {list(t.shape)}")
    return dim % t.ndim
