"""Pruning: parameters times a mask of zeros and ones, under PyTorch's names.

A pruned parameter ``weight`` becomes the parameter ``weight_orig`` and the buffer ``weight_mask``, and ``weight`` is
their product whenever it is asked for. So a pruned network needs no hooks, and its steps can be planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.tensor import Tensor

from ..module import Module
from .computed import computed_by, named_tensor
from .pruning_methods import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomStructured,
    RandomUnstructured,
    method_of,
)
from .vector import parameters_to_vector

__all__ = [
    *("BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer"),
    *("RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned"),
    *("l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove"),
]


def identity(module: Module, name: str) -> Module:
    """Give a parameter a mask of ones; the module. This and the next ones change the module, and return it."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune elements of a parameter at random: a share of them (float) or so many (int)."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Any = None) -> Module:
    """Prune the elements of the smallest magnitude, of the parameter or of the scores."""
    L1Unstructured.apply(module, name, amount, importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune slices along a dimension at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Any = None) -> Module:
    """Prune the slices along a dimension whose n-norm is smallest."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: Mapping[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters, ``[(module, name), ...]``, as if they were one.

    Args:
        parameters: which.
        pruning_method: an unstructured one, as `L1Unstructured`; `kwargs` are its arguments.
        importance_scores: for some of them, what counts in the place of the elements.

    Raises:
        TypeError: the method is structured, or an argument is none of these.
    """
    if not isinstance(parameters, Iterable) or not isinstance(importance_scores, (Mapping, type(None))):
        raise TypeError("global_unstructured takes pairs of a module and a name, and a dict of scores by such pairs")
    which, scores = list(parameters), importance_scores or {}
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(f"global_unstructured takes an unstructured method, got {pruning_method.__name__}")
    tensors = [named_tensor(module, name).detach() for module, name in which]
    masks = [getattr(module, f"{name}_mask", ops.ones_like(t)) for (module, name), t in zip(which, tensors)]
    with no_grad():
        important = parameters_to_vector([scores.get(pair, t) for pair, t in zip(which, tensors)])
        mask = PruningContainer(method).compute_mask(important, parameters_to_vector(masks))
    first = 0
    for (module, name), t in zip(which, tensors):
        custom_from_mask(module, name, mask[first : first + t.numel()].reshape(t.shape))
        first += t.numel()


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune what a mask of the parameter's shape says: it keeps what is not 0."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Module, name: str) -> Module:
    """Make the masked parameter a parameter again; what was pruned stays 0, until it is trained.

    Raises:
        ValueError: it is not pruned.
    """
    method = method_of(module, name)
    if method is None:
        raise ValueError(f"Parameter {name!r} of module {module} has to be pruned before pruning can be removed")
    method.remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of one inside it, is pruned."""
    return any(isinstance(by, BasePruningMethod) for m in module.modules() for by in computed_by(m).values())
