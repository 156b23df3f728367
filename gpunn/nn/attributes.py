"""How parameters, buffers and modules become part of a module: by being set as its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.tensor import Tensor

from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module

_clock = [0]


def last_change() -> int:
    """The time, in changes of any module or of its mode, of the last one.

    What is not later than this in ``_changed`` is as it was, but for its mode, which ``training`` says.
    """
    return _clock[0]


class Attributes:
    """The attributes of a module, and the registries of those of them that are part of its tree."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _not_saved: set[str]
    """The buffers that are not in the state_dict."""
    _changed: int
    """The time (see `last_change`) at which something was last set here; what is inside has its own."""

    def __init__(self) -> None:
        # The registries hold what is found by going through the tree. The same objects are attributes in __dict__ too,
        # where Python finds them 15 times faster than __getattr__ would.
        fields = self.__dict__
        fields["_parameters"] = {}
        fields["_buffers"] = {}
        fields["_modules"] = {}
        fields["_not_saved"] = set()
        self._note_change()

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, as ``module.name = param`` does; None stands for one that this module does without."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"parameter {name!r} is a Parameter or None, got {type(param).__name__}")
        self._register(self._registry("_parameters", "parameters"), name, param, "parameter")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not learned, such as a running mean.

        It moves with the module, and is in the state_dict unless ``persistent=False``.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"buffer {name!r} is a tensor or None, got {type(tensor).__name__}")
        self._register(self._registry("_buffers", "buffers"), name, tensor, "buffer")
        (self._not_saved.discard if persistent else self._not_saved.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a module, as ``module.name = child`` does."""
        if module is not None and not isinstance(module, Attributes):
            raise TypeError(f"module {name!r} is a Module or None, got {type(module).__name__}")
        registry = self._registry("_modules", "module")
        if module is self or (module is not None and module._modules and any(m is self for m in module.modules())):
            raise ValueError(
                f"module {name!r} is or contains the {type(self).__name__} that it is to be a part of, which would be "
                "inside itself for ever; to refer to a module without containing it, keep it in a list: "
                f"self.{name} = [module]"
            )
        self._register(registry, name, module, "module")

    add_module = register_module

    def _registry(self, which: str, what: str) -> dict[str, Any]:
        if which not in self.__dict__:
            raise AttributeError(
                f"cannot assign {what} before Module.__init__() call: "
                f"{type(self).__name__}.__init__ must begin with super().__init__()"
            )
        registry: dict[str, Any] = self.__dict__[which]
        return registry

    def _register(self, registry: dict[str, Any], name: str, value: Any, kind: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a {kind} is a string, got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f"the name of a {kind} is not empty and has no '.', got {name!r}")
        if name not in registry and (name in self.__dict__ or hasattr(type(self), name)):
            raise KeyError(f"attribute {name!r} already exists")
        registry[name] = self.__dict__[name] = value
        self._note_change()

    def _note_change(self) -> None:
        _clock[0] += 1
        self.__dict__["_changed"] = _clock[0]

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        if isinstance(value, Parameter):
            self._forget(name, self._registry("_parameters", "parameters"))
            self.register_parameter(name, value)
        elif isinstance(value, Attributes):
            self._forget(name, self._registry("_modules", "module"))
            self.register_module(name, value)  # type: ignore[arg-type]  # Modules are all there is
        elif isinstance(value, Buffer):
            self._forget(name, self._registry("_buffers", "buffers"))
            self.register_buffer(name, value, value.persistent)
        elif name in fields.get("_parameters", ()):
            self.register_parameter(name, value)
        elif name in fields.get("_modules", ()):
            self.register_module(name, value)
        elif name in fields.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._not_saved)
        elif name not in fields or fields[name] is not value:
            object.__setattr__(self, name, value)
            if name == "training":  # changes to and fro, and leaves everything else as it is
                _clock[0] += 1
            else:
                self._note_change()

    def _forget(self, name: str, registry: dict[str, Any]) -> None:
        """Make place for an attribute of another kind."""
        if name not in registry and name in self.__dict__:
            delattr(self, name)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for registry in (self._parameters, self._buffers, self._modules):
            registry.pop(name, None)
        self._not_saved.discard(name)
        self._note_change()

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is not there.
        if "_modules" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}: Module.__init__() was not called; "
                f"{type(self).__name__}.__init__ must begin with super().__init__()"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
