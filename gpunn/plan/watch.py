"""What a plan rests on, and whether it is still so.

Modes of modules, training or evaluation, go to and fro; there is a plan for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import is_
from typing import Any
from weakref import ref

from gpunn.autograd.mode import state
from gpunn.backend import products
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import get_default_dtype
from gpunn.nn import Module
from gpunn.nn.attributes import last_change
from gpunn.random import Generator, default_generator

from .probe import Elements, Probe, same
from .reach import Reach

FROZEN = """\
What a step reads is read when it is traced. A change is seen, and leads to a new plan, where it is in: what is set on a
module, its parameters, buffers and layers, modes and hooks; tensors and modules in variables, lists and objects; the
loss function, its attributes, the variables around it and the globals that it names; what these hold, through lists,
dicts, sets, objects and small NumPy arrays; elements that the step has read; the optimizer, its groups and its state;
seeds; the default type and device; the precision of products. A step that changes such things itself is done op by op.

What is not seen, and stays as it was when the step was traced:

outside: what comes from outside of the program: files, environment variables, the clock, the operating system
iterators: what is left in iterators, Python generators and queues, and context variables
large: elements of NumPy arrays of more than 4 KiB that Python reads, and of containers of more than 1,000 elements
hidden: what lies in objects of extension modules and of Python's library without attributes, behind weak references,
    and in caches such as functools.lru_cache
past setattr: what is written past ``setattr``: into ``vars()`` of one of gpunn's layers, or its registries
code: another code object, other defaults or annotations put into a function; what is patched into gpunn itself, besides
    the forward of a layer
computed names: attributes and globals whose names are computed, if no code of the step has getattr, setattr or vars

And what a plan does not do, since it runs no Python:

effects: what the step prints, logs, sends or counts anywhere that is not seen; tracing does it once or twice more
gradients: gradients of tensors that the optimizer does not have are not added to their ``grad``
"""
"""What plans do not see, by its name here."""


class Watch:
    """All that a step's plans rest on; see `FROZEN`.

    Args:
        step: the step. Its model's attributes count their changes themselves, see `gpunn.nn.attributes`.

    Attributes:
        hooked: what has a hook that wants to see what happens, in words; empty if nothing has.
        mode: a number for the modes, training or evaluation, in which the modules were at the last look at all this;
            the same for the same modes.
        reach: what the step could read then.
        versions: the counts of writes of all tensors, by their ids: an argument with one of them is one of these.
    """

    def __init__(self, step: Any):
        self._step = ref(step)
        self.hooked = ""
        self.mode = 0
        self.reach: Reach | None = None
        self.versions: set[int] = set()
        self._modes: dict[tuple[bool, ...], int] = {}
        self._clock = -1
        self._modules: list[Module] = []
        self._seen: list[tuple[Any, int, bool, bool]] = []
        self._rest: list[Any] = []
        self._sources: list[Generator] = []
        self._probes: list[tuple[Probe, list[Any]]] = []
        self._nows: list[Any] = []
        self._found: list[Any] = []

    def tensors(self) -> list[Any]:
        """Parameters and buffers of all modules, the optimizer's parameters, and other tensors, each once."""
        assert self.reach is not None
        found = dict(self.reach.tensors)
        for module in self._modules:
            found.update((id(t), t) for d in (module._parameters, module._buffers) for t in d.values() if t is not None)
        step = self._step()
        assert step is not None
        if step.optimizer is not None:
            found.update((id(p), p) for group in step.optimizer.param_groups for p in group["params"])
        return list(found.values())

    def changed(self) -> bool:
        """Whether something but the mode is not as it was at the last `look`."""
        if self._module_changed():
            return True
        # Programs hold the arrays that they use, so that no other array can get the id of one of them.
        for t, place, grad, hooked in self._seen:
            if id(t._data) != place or t._requires_grad is not grad or (not t._hooks) is hooked:
                return True
        found = self._others()
        for now in self._nows:
            found += now()
        if all(map(is_, found, self._found)) and len(found) == len(self._found):
            return False
        if not self._probed_is_same() or not same(self._others(), self._rest):
            return True
        self._found = found  # objects are others, but their values are the same
        return False

    def _probed_is_same(self) -> bool:
        return all(same(probe.now(), then) for probe, then in self._probes)

    def difference(self) -> str:
        """What is not as it was at the last `look`, in words; empty where that is nothing."""
        for probe, then in self._probes:
            if not same(probe.now(), then):
                return f"{probe.differs(then)} was changed"
        if self._module_changed():
            return "a layer, an attribute or a hook of a module was changed"
        if not same(self._others(), self._rest):
            return (
                "the seed, a default, the mode of gradients, autocast, the precision of products, what the step has, "
                "or a hook of the optimizer was changed"
            )
        for t, place, grad, hooked in self._seen:
            if id(t._data) != place:
                return f"a tensor {t._spec!r} got other memory"
            if t._requires_grad is not grad or (not t._hooks) is hooked:
                return f"a tensor {t._spec!r} got {'a hook' if t._hooks else f'requires_grad={t._requires_grad}'}"
        return ""

    def look(self, again: bool = False) -> None:
        """Take things as they are now.

        Args:
            again: nothing was done since the last look but to trace the step, whose code so names the same.
        """
        step = self._step()
        assert step is not None
        self.reach = Reach(step.body, self.reach.names if again and self.reach else frozenset())
        self._clock = last_change()
        self._modules = list({id(m): m for m in (*step.model.modules(), *self.reach.modules.values())}.values())
        self._look_at_mode()
        self._sources = [g for g in self.reach.generators.values() if g is not default_generator]
        self._seen, self.versions = [], set()
        self._watch(self.tensors())
        self._look_at(self.reach.probes)
        self.hooked = next(self._hooks(step), "")

    def look_at_trace(self, tracer: Any) -> None:
        """Take what a trace has come upon, besides what was known, as it is now.

        Args:
            tracer: a `gpunn.plan.trace.Tracer`.
        """
        known = {id(m) for m in self._modules}
        self._modules += [m for m in tracer.modules.values() if id(m) not in known]
        self._look_at_mode()
        self._watch([t for t, _ in tracer.used.values()])
        sources = {id(g): g for g, _ in tracer.generators.values()} | {id(g): g for g in self._sources}
        self._sources = [g for g in sources.values() if g is not default_generator]
        read = [Elements(f"a tensor that the step reads, {t._spec!r},", _Host(t)) for t in tracer.read_from]
        self._look_at([*[probe for probe, _ in self._probes], *read])

    def _look_at(self, probes: Sequence[Probe]) -> None:
        """Take what probes show as it is now, and what no probe shows."""
        self._rest = self._others()
        self._probes = [(probe, probe.now()) for probe in probes]
        self._nows = [probe.now for probe in probes]
        self._found = self._others() + [x for _, then in self._probes for x in then]

    def _watch(self, tensors: list[Any]) -> None:
        known = {id(t) for t, *_ in self._seen}
        for t in tensors:
            if id(t) not in known:
                self._seen.append((t, id(t._data), t._requires_grad, bool(t._hooks)))
                self.versions.add(id(t._version))

    def _hooks(self, step: Any) -> Iterator[str]:
        """What has hooks."""
        names = {id(m): name for name, m in step.model.named_modules()}
        for m in self._modules:
            if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks:
                name = names.get(id(m), type(m).__name__)
                yield f"the layer {name}" if name else "the model"
        yield from (f"a tensor {t._spec!r}" for t, *_ in self._seen if t._hooks)
        if step.optimizer is not None and (step.optimizer._pre_hooks or step.optimizer._post_hooks):
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

    def _others(self) -> list[Any]:
        own = vars(self._step())
        found = [
            default_generator._seed,
            state.grad_enabled,
            state.inference,
            None if state.autocast is None else state.autocast.types,
            get_default_dtype(),
            get_default_device(),
            products.precision(),
        ]
        if self.reach is not None:
            found += [own[name] for name in self.reach.of_step]
        found += [g._seed for g in self._sources]
        optimizer = own["optimizer"]
        if optimizer is not None:
            found.append(len(optimizer._pre_hooks) + len(optimizer._post_hooks))
        return found


class _Host:
    """The elements of a tensor as NumPy has them, wherever they are."""

    def __init__(self, tensor: Any):
        self.tensor = tensor

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.tensor._spec.device.backend.to_numpy(self.tensor._data)
