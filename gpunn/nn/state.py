"""Loading a module's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpunn.autograd.mode import no_grad
from gpunn.tensor import Tensor, tensor

from .parameter import UninitializedBuffer, UninitializedParameter

if TYPE_CHECKING:
    from .module import Module


class IncompatibleKeys(NamedTuple):
    """The keys that a module has and its state_dict has not, and those that only the state_dict has."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def load(module: Module, state_dict: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """See `Module.load_state_dict`. Everything is checked before anything is written."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"load_state_dict takes a dict of tensors, got {type(state_dict).__name__}")
    own = dict(module.named_state())
    keys = IncompatibleKeys([k for k in own if k not in state_dict], [k for k in state_dict if k not in own])
    errors = []
    if strict and keys.missing_keys:
        errors.append(f"Missing key(s) in state_dict: {_quoted(keys.missing_keys)}.")
    if strict and keys.unexpected_keys:
        errors.append(f"Unexpected key(s) in state_dict: {_quoted(keys.unexpected_keys)}.")
    values = {}
    for key, target in own.items():
        if key not in state_dict:
            continue
        try:
            values[key] = value = _as_tensor(state_dict[key], target)
        except (TypeError, ValueError) as error:
            errors.append(f"{key} is no tensor: {error}")
            continue
        if not isinstance(target, (UninitializedParameter, UninitializedBuffer)) and value.shape != target.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {list(value.shape)} from checkpoint, "
                f"the shape in current model is {list(target.shape)}."
            )
    if errors:
        raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {type(module).__name__}:", *errors]))
    with no_grad():
        for key, value in values.items():
            target = own[key]
            if isinstance(target, (UninitializedParameter, UninitializedBuffer)):
                target.materialize(value.shape)
            own[key].copy_(value)
    return keys


def _as_tensor(value: Any, target: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        if value.device.type == "meta" != target.device.type:
            raise ValueError("it is on the device meta, where tensors have no elements")
        return value.detach()
    if not hasattr(value, "__array__"):
        raise TypeError(f"expected a tensor or an array, got {type(value).__name__}")
    return tensor(np.asarray(value), device="cpu")


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)
