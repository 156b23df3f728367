"""What a plan rests on, and whether it is still so.

Modes of modules, training or evaluation, go to and fro; there is a plan for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpunn.autograd.mode import state
from gpunn.nn import Module
from gpunn.nn.attributes import last_change
from gpunn.random import default_generator


class Watch:
    """The model's tree with its attributes, modes and hooks, where its tensors lie and which are trained, and the seed.

    Args:
        model: the model; its attributes count their changes themselves, see `gpunn.nn.attributes`.
        optimizer: whose groups are watched too, or None.

    Attributes:
        hooked: what has a hook that wants to see what happens, in words; empty if nothing has.
        mode: a number for the modes, training or evaluation, in which the modules were at the last look at all this;
            the same for the same modes.
    """

    def __init__(self, model: Module, optimizer: Any = None):
        self.model = model
        self.optimizer = optimizer
        self.hooked = ""
        self.mode = 0
        self._modes: dict[tuple[bool, ...], int] = {}
        self._clock = -1
        self._modules: list[Module] = []
        self._tensors: list[Any] = []
        self._seen: list[tuple[Any, int, bool]] = []
        self._rest: tuple[Any, ...] = ()

    def tensors(self) -> list[Any]:
        """Parameters and buffers of the model, and the optimizer's parameters, each once."""
        found = [*self.model.parameters(), *self.model.buffers()]
        for group in self.optimizer.param_groups if self.optimizer is not None else ():
            found += group["params"]
        return list({id(t): t for t in found}.values())

    def changed(self) -> bool:
        """Whether something but the mode is not as it was at the last `look`."""
        if self._module_changed() or self._others() != self._rest:
            return True
        # Programs hold the arrays that they use, so that no other array can get the id of one of them.
        for t, place, grad in self._seen:  # noqa: SIM110 (any() takes twice as long)
            if id(t._data) != place or t._requires_grad is not grad or t._hooks:
                return True
        return False

    def difference(self) -> str:
        """What is not as it was at the last `look`, in words; empty where that is nothing."""
        if self._module_changed():
            return "a layer, an attribute or a hook of a module was changed"
        if self._others() != self._rest:
            return "the seed, the mode of gradients, or the optimizer's groups or hooks were changed"
        for t, place, grad in self._seen:
            if id(t._data) != place:
                return f"a tensor {t._spec!r} got other memory"
            if t._requires_grad is not grad or t._hooks:
                return f"a tensor {t._spec!r} got {'a hook' if t._hooks else f'requires_grad={t._requires_grad}'}"
        return ""

    def look(self) -> None:
        """Take things as they are now."""
        self._clock = last_change()
        self._modules = list(self.model.modules())
        self._look_at_mode()
        self._rest = self._others()
        self._seen = [(t, id(t._data), t._requires_grad) for t in self.tensors()]
        self.hooked = next(self._hooks(), "")

    def _hooks(self) -> Iterator[str]:
        """What has hooks."""
        for name, m in self.model.named_modules():
            if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks:
                yield f"the layer {name}" if name else "the model"
        yield from (f"a tensor {t._spec!r}" for t in self.tensors() if t._hooks)
        if self.optimizer is not None and (self.optimizer._pre_hooks or self.optimizer._post_hooks):
            yield "the optimizer"

    def _module_changed(self) -> bool:
        now = last_change()
        if now == self._clock:
            return False
        if self._clock < 0 or any(m._changed > self._clock for m in self._modules):
            return True
        self._clock = now  # it was a mode, or a module of another model
        self._look_at_mode()
        return False

    def _look_at_mode(self) -> None:
        modes = tuple([m.training for m in self._modules])
        self.mode = self._modes.setdefault(modes, len(self._modes))

    def _others(self) -> tuple[Any, ...]:
        optimizer = self.optimizer
        if optimizer is None:
            return default_generator.initial_seed(), state.grad_enabled
        groups = [len(group["params"]) for group in optimizer.param_groups]
        hooks = len(optimizer._pre_hooks), len(optimizer._post_hooks)
        return default_generator.initial_seed(), state.grad_enabled, groups, hooks
