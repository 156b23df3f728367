"""Modules whose parameters are not set yet."""

from __future__ import annotations

import inspect
from typing import Any

from gpunn.backend.device import get_default_device

from ..module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """``module_cls(*args, **kwargs)`` without drawing initial values, for modules that a state_dict is loaded into.

    Raises:
        RuntimeError: it is no class of modules, or takes no ``device``.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.pop("device", None)
    make: Any = module_cls
    made: Module = make(*args, **kwargs, device="meta")
    return made.to_empty(device=get_default_device() if device is None else device)
