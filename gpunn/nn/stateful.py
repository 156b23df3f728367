"""The state of a module as a dictionary, and the hooks around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpunn.tensor import Tensor

from .attributes import Attributes
from .hooks import ModuleHandle
from .state import EXTRA, IncompatibleKeys, load


class Stateful(Attributes):
    """What a module knows of its state; `Module` adds what it computes."""

    _state_hooks: Mapping[str, dict[int, Any]] = {}
    """The hooks by the time at which they are called: save, saved, load, loaded."""

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and saved buffers with their keys in the state_dict; what is used twice comes twice."""
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in module._own_state():
                yield f"{path}.{name}" if path else name, value

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        own = dict(self._parameters) | {k: b for k, b in self._buffers.items() if k not in self._not_saved}
        return ((name, value) for name, value in own.items() if value is not None)

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Parameters and saved buffers by their paths, with PyTorch's keys; they share the module's memory.

        Args:
            prefix: put before every key.
            keep_vars: give the parameters themselves, not detached tensors.
        """
        found: dict[str, Any] = {}
        self._save(found, prefix, keep_vars)
        return found

    def _save(self, found: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for hook in self._hooks_of("save"):
            hook(self, prefix, keep_vars)
        found.update((prefix + name, value if keep_vars else value.detach()) for name, value in self._own_state())
        if self._has_extra_state():
            found[prefix + EXTRA] = self.get_extra_state()
        for name, child in self._modules.items():
            if child is not None:
                child._save(found, f"{prefix}{name}.", keep_vars)
        for hook in self._hooks_of("saved"):
            if hook(self, found, prefix, {}) is not None:
                raise RuntimeError("state_dict post-hook must return None")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values of a `state_dict` into this module: all of them, or none where there is an error.

        Args:
            state_dict: tensors or NumPy arrays by key; converted to the type and device of what they replace.
            strict: whether keys that are missing or not expected are an error; hooks that are called after loading
                can take them out of the lists, so that where there are such hooks this is looked at last.
            assign: make the values themselves parameters and buffers, of the type and device that they have. An
                optimizer is made after that, as the parameters are other objects.

        Returns:
            The keys that are ``missing_keys`` and ``unexpected_keys``.

        Raises:
            RuntimeError: keys do not match (with `strict`), or shapes differ; the message names every one of them.
        """
        return load(self, state_dict, strict, assign)  # type: ignore[arg-type]  # Modules are all there is

    def get_extra_state(self) -> Any:
        """What a subclass wants in its state_dict beside tensors: numbers, text, lists of them, dictionaries.

        Where a class has this method, the state_dict has what it returns, and `set_extra_state` gets it in loading.
        """
        raise RuntimeError(f"{type(self).__name__} has no get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(
            f"{type(self).__name__} has get_extra_state() and no set_extra_state(); write one, which takes back what "
            "the other gave"
        )

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Stateful.get_extra_state

    # Hooks

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> ModuleHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the state of this module goes into a state_dict."""
        return self._add_hook("save", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> ModuleHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` when its state is in; the hook changes the dict."""
        return self._add_hook("saved", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> ModuleHandle:
        """Call a hook before loading, which may change the copy that it gets of what the state_dict has of the module.

        It is ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``.
        The dictionary `local_metadata` is empty; what the hook adds to the lists is reported with what loading finds.
        """
        return self._add_hook("load", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> ModuleHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the lists of keys."""
        return self._add_hook("loaded", hook)

    def _add_hook(self, time: str, hook: Callable[..., Any]) -> ModuleHandle:
        hooks = self.__dict__.setdefault("_state_hooks", {}).setdefault(time, {})
        return ModuleHandle(self, hooks, hook)  # type: ignore[arg-type]  # Modules are all there is

    def _hooks_of(self, time: str) -> list[Callable[..., Any]]:
        return list(self._state_hooks.get(time, {}).values())
