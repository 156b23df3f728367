"""Loading a module's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpunn.autograd.mode import no_grad
from gpunn.tensor import Tensor, tensor

from .parameter import Parameter, UninitializedBuffer, UninitializedParameter

if TYPE_CHECKING:
    from .module import Module


EXTRA = "_extra_state"
"""The key, behind the path of a module, of what its `get_extra_state` gives."""


class IncompatibleKeys(NamedTuple):
    """The keys that a module has and its state_dict has not, and those that only the state_dict has."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool = False) -> IncompatibleKeys:
    """See `Module.load_state_dict`. Everything is checked before anything is written."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"load_state_dict takes a dict of tensors, got {type(state_dict).__name__}")
    given = dict(state_dict)
    modules = [(f"{path}." if path else "", m) for path, m in module.named_modules(remove_duplicate=False)]
    keys, errors = IncompatibleKeys([], []), list[str]()
    for prefix, m in modules:
        for hook in m._hooks_of("load"):
            mine = {key: given.pop(key) for key in list(given) if key.startswith(prefix)}
            hook(m, mine, prefix, {}, strict, *keys, errors)
            given.update(mine)
    own = dict(module.named_state())
    extra = {p + EXTRA: m for p, m in modules if m._has_extra_state()}
    keys.missing_keys.extend(k for k in (*own, *extra) if k not in given)
    keys.unexpected_keys.extend(k for k in given if k not in own and k not in extra)
    values = {}
    for key, target in own.items():
        if key not in given:
            continue
        try:
            values[key] = value = _as_tensor(given[key], target, assign)
        except (TypeError, ValueError) as error:
            errors.append(f"{key} is no tensor: {error}")
            continue
        if not isinstance(target, (UninitializedParameter, UninitializedBuffer)) and value.shape != target.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {list(value.shape)} from checkpoint, "
                f"the shape in current model is {list(target.shape)}."
            )
    after = [(m, hook) for _, m in reversed(modules) for hook in m._hooks_of("loaded")]
    if errors or not after:
        _refuse(module, keys, errors, strict)
    with no_grad():
        for key, value in values.items():
            _put(module, key, own[key], value, assign)
        for key, m in extra.items():
            if key in given:
                m.set_extra_state(given[key])
    for m, hook in after:
        if hook(m, keys) is not None:
            raise RuntimeError("a hook after load_state_dict returns None; it may change the lists of keys in place")
    _refuse(module, keys, errors, strict)
    return keys


def _refuse(module: Module, keys: IncompatibleKeys, errors: list[str], strict: bool) -> None:
    """Raise what is wrong, if anything."""
    found = []
    if strict and keys.missing_keys:
        found.append(f"Missing key(s) in state_dict: {_quoted(keys.missing_keys)}.")
    if strict and keys.unexpected_keys:
        found.append(f"Unexpected key(s) in state_dict: {_quoted(keys.unexpected_keys)}.")
    if found or errors:
        title = f"Error(s) in loading state_dict for {type(module).__name__}:"
        raise RuntimeError("\n\t".join([title, *found, *errors]))


def _put(module: Module, key: str, target: Tensor, value: Tensor, assign: bool) -> None:
    if isinstance(target, (UninitializedParameter, UninitializedBuffer)):
        target.materialize(value.shape)
    if not assign:
        target.copy_(value)
        return
    path, _, name = key.rpartition(".")
    made = value
    if isinstance(target, Parameter):
        made = value if isinstance(value, Parameter) else Parameter(value, target.requires_grad)
        made.requires_grad_(target.requires_grad)
    setattr(module.get_submodule(path), name, made)


def _as_tensor(value: Any, target: Tensor, assign: bool) -> Tensor:
    if isinstance(value, Tensor):
        if assign:
            return value if isinstance(value, Parameter) else value.detach()
        if value.device.type == "meta" != target.device.type:
            raise ValueError("it is on the device meta, where tensors have no elements")
        return value.detach()
    if not hasattr(value, "__array__"):
        raise TypeError(f"expected a tensor or an array, got {type(value).__name__}")
    return tensor(np.asarray(value), device="cpu")


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)
