"""What all optimizers share: groups of parameters, state, and a step that walks flat memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gpunn.autograd.hooks import RemovableHandle
from gpunn.autograd.mode import enable_grad
from gpunn.autograd.mode import state as mode
from gpunn.autograd.tape import TensorBase
from gpunn.backend.memory_format import in_memory_order
from gpunn.backend.numpy.optimizer import walk_product, walk_product_needs

from .arena import Run, Segment, pack
from .hints import without_hints
from .state import advance, check_shapes, owned

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Optimizer:
    """The base of all optimizers, with the interface of `torch.optim.Optimizer`.

    A subclass gives `_moment_names` and `_update`, and `_check` for its options; or, to do everything itself,
    ``step``, with what it remembers in ``self.state[p]``.

    The first step that finds a gradient for a parameter moves it into flat memory of the optimizer, where one walk
    does all of its update; see `gpunn.optim.arena`. Parameters whose ``grad`` is None are left alone: no update, no
    weight decay, no step counted.

    Args:
        params: the parameters, or groups of them as dictionaries ``{"params": [...], "lr": ...}`` with options of
            their own; a parameter may be a pair (name, parameter).
        defaults: the options of groups that do not name them.

    Attributes:
        param_groups: the groups, dictionaries of options and ``"params"``.
        state: for each parameter a dictionary: its moments under PyTorch's names, and ``"step"``.

    Raises:
        TypeError: `params` is a tensor or holds something else than tensors, or an option is no number.
        ValueError: there are no parameters, one comes twice or is the result of an operation, or an option is out of
            its range.
    """

    _counts: bool = False
    """Whether the state holds the number of steps, as ``"step"``."""
    _planned: bool = True
    """Whether a plan can do the update, by `_update`."""
    _by_element: bool = False
    """Whether `_update` treats each element by itself, so that it may get some rows of a gradient at a time."""
    _in_product: str = ""
    """The primitive of such an update that kernels also have in the product that makes a weight's gradient."""
    _scratches: int = 2
    """In how many arrays the NumPy backend computes such an update."""
    _numbers: tuple[str, ...] = ("step",)
    """What of the state are numbers, tensors without dimensions on the CPU; all else is of the parameter's shape."""

    def __init_subclass__(cls) -> None:
        if "__init__" in vars(cls):
            cls.__init__ = without_hints(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        self.defaults = defaults
        self._check(defaults)
        if isinstance(params, TensorBase):
            raise TypeError(f"params takes an iterable of tensors or dictionaries, got a tensor {params._spec!r}")
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.__setstate__({})
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # For subclasses

    def _check(self, group: dict[str, Any]) -> None:
        """Raise if an option is out of its range."""

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """What the update of this group keeps for each parameter, by the names in the state."""
        return ()

    def _initial(self, group: dict[str, Any], name: str) -> float:
        """What a moment starts from."""
        return 0.0

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        """Update flat arrays in place: parameters `p` with gradients `g`, and their moments in the order of the names.

        `step` is what `_advance` gave (0 where the class does not count); `first` says that there were no moments.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    def _update_product(
        self,
        backend: Any,
        group: dict[str, Any],
        p: Any,
        a: Any,
        b: Any,
        moments: list[Any],
        step: float,
        first: bool,
    ) -> None:
        """`_update` on the CPU for matrices and the gradient a^T b, which is there some rows at a time."""
        walk_product(lambda p, g, moments: self._update(backend, group, p, g, moments, step, first), p, moments, a, b)

    def _product_needs(self, group: dict[str, Any], p: Any, a: Any) -> int:
        """The bytes that `_update_product` computes in, by the shapes of p and a."""
        return 0 if self._adds_product(group) else walk_product_needs(p, a, self._scratches)

    def _adds_product(self, group: dict[str, Any]) -> bool:
        """Whether `_update_product` adds the gradient to what is there as it is made."""
        return False

    # The step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: called first, with gradients recorded: it computes the loss anew, calls ``backward`` and returns
                the loss.

        Returns:
            What the closure returned, else None.
        """
        if mode.tracer is not None:
            if not self._planned:
                mode.tracer.leave(f"{type(self).__name__} computes its update op by op")
            return mode.tracer.step(self, closure)
        for before in list(self._pre_hooks.values()):
            before(self, (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        self._stepped = True
        for after in list(self._post_hooks.values()):
            after(self, (closure,), {})
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        names = self._moment_names(group)
        runs: list[Run] = []
        for segment in self._active(group):
            gradient = self._gradient(segment)
            key = self._begin(segment, group, names)
            if not runs or not runs[-1].takes(segment, gradient, key):
                runs.append(Run(segment, gradient, key))
        for run in runs:
            for segment in run.segments:
                segment.update_begins()
            p, g, moments = run.arrays(names)
            mode.quietly(self._update, run.segments[0].arena.backend, group, p, g, moments, *run.key)
            for segment in run.segments:
                segment.update_ends()

    def _begin(self, segment: Segment, group: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, bool]:
        """Count a step of a parameter and see to its moments: the number of the step, and whether there were none."""
        state = self.state[segment.param]
        first = False
        for name in names:
            first = first or state.get(name) is None
            segment.moment(name, state, self._initial(group, name))
        return (self._advance(state, group) if self._counts else 0, first)

    def _advance(self, state: dict[str, Any], group: dict[str, Any]) -> Any:
        """Count a step of a parameter: its number, and other numbers that its update needs, as `_update` gets them."""
        return advance(state)

    def _active(self, group: dict[str, Any]) -> list[Segment]:
        """The segments of the parameters that have a gradient."""
        return self.place([p for p in group["params"] if p._grad is not None])

    def place(self, params: list[Tensor]) -> list[Segment]:
        """The segments of parameters, which come into an arena here, if they are in none."""
        known = self._segments
        moved = [p for p in params if (s := known.get(id(p))) is None or s.data is not p._data]
        if moved:
            known.update((id(s.param), s) for s in pack(moved))
        return [known[id(p)] for p in params]

    def _gradient(self, segment: Segment) -> Any:
        mine, its = segment.param._spec, segment.param._grad._spec  # type: ignore[union-attr]
        if its.shape != mine.shape or its.dtype is not mine.dtype or its.device is not mine.device:
            raise RuntimeError(
                f"{type(self).__name__}: a parameter {mine!r} has a gradient {its!r}; "
                "was the parameter changed after backward()? Call zero_grad() then"
            )
        return segment.in_order(segment.param._grad._data)  # type: ignore[union-attr]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or, with ``set_to_none=False``, fill them with 0 where they are."""
        for group in self.param_groups:
            for p in group["params"]:
                g = p._grad
                if g is None or set_to_none:
                    p._grad = None
                    continue
                g._node, g._requires_grad = None, False
                there = in_memory_order(g._data)
                g.device.backend.full(there.shape, 0, g.dtype.numpy, out=there)
                g._version[0] += 1

    # Groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: a dictionary with ``"params"``, and the options that differ from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"a parameter group needs 'params', got only {sorted(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("the order of parameters in a set changes between runs; give a list")
        params = [params] if isinstance(params, TensorBase) else list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        for p in params:
            if not isinstance(p, TensorBase):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if p._node is not None:
                raise ValueError(
                    f"can't optimize a non-leaf Tensor: {p._spec!r} is the result of {p._node.name}; use detach()"
                )
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        if not seen.isdisjoint(map(id, params)):
            raise ValueError("some parameters appear in more than one parameter group")
        if len(set(map(id, params))) < len(params):
            raise ValueError("a parameter group has duplicate parameters: each would be updated twice a step")
        if any(("param_names" in group) != bool(names) for group in self.param_groups):
            raise ValueError("all optimizer param groups should be with/without names")
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for name, value in self.defaults.items():
            param_group.setdefault(name, value)
        self._check(param_group)
        self.param_groups.append(param_group)

    # State

    def state_dict(self) -> dict[str, Any]:
        """State and options: ``{"state": {index: {name: tensor}}, "param_groups": [{"lr": ..., "params": [index]}]}``.

        Parameters stand as their indices, counted over all groups. The tensors are the optimizer's own: they change at
        the next step.
        """
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            index.update((id(p), i) for i, p in enumerate(group["params"], len(index)))
            packed = {name: value for name, value in group.items() if name != "params"}
            groups.append({**packed, "params": [index[id(p)] for p in group["params"]]})
        state = {(index[id(p)] if isinstance(p, TensorBase) else p): value for p, value in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, of this class or of PyTorch's with arrays in the place of its tensors.

        Everything is copied, moments into the type and to the device of their parameter.

        Raises:
            ValueError: the number of groups, or of the parameters in one, is another one, or a moment has not the
                shape of its parameter.
        """
        saved = [dict(group) for group in state_dict["param_groups"]]
        mine = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in saved]
        if len(mine) != len(theirs):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(theirs)}, expected {len(mine)}"
            )
        if mine != theirs:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                f"{theirs} parameters, expected {mine}"
            )
        state: defaultdict[Any, dict[str, Any]] = defaultdict(
            dict, state_dict["state"]
        )  # what no parameter is of stays
        for group, new in zip(self.param_groups, saved):
            own = dict(zip(new.pop("params"), group["params"]))
            options = {**self.defaults, **new}
            self._check(options)
            for i, p in own.items():
                values = state.pop(i, None)
                if values is not None:
                    check_shapes(p, values, self._moment_names(options))
                    state[p] = {name: owned(p, value, name in self._numbers) for name, value in values.items()}
        for group, new in zip(self.param_groups, saved):
            kept: dict[str, Any] = {name: group[name] for name in ("params", "param_names") if name in group}
            group.clear()
            group.update({**self.defaults, **kept, **new})
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._segments: dict[int, Segment] = {}
        self._pre_hooks: dict[int, Any] = {}
        self._post_hooks: dict[int, Any] = {}
        self._stepped = False

    # Around

    def register_step_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step. Returns a handle with ``remove()``."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step. Returns a handle with ``remove()``."""
        return RemovableHandle(self._post_hooks, hook)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join(lines) + "\n)"
