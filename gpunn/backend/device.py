"""Devices, and the registry that maps each to the backend that serves it."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from gpunn.printing import did_you_mean

_BACKENDS: dict[str, Callable[[int | None], Any]] = {
    "cpu": lambda index: importlib.import_module(
        "gpunn.backend.native" if os.environ.get("GPUNN_NATIVE") == "1" else "gpunn.backend.numpy"
    ),
    "meta": lambda index: importlib.import_module("gpunn.backend.meta").Meta(),
    "cuda": lambda index: importlib.import_module("gpunn.backend.cuda").backend(index),
    "sim": lambda index: importlib.import_module("gpunn.backend.sim").backend(),
}
_INTERNED: dict[tuple[str, int | None], device] = {}


class DeviceError(RuntimeError):
    """There is no such CUDA device, or none can be used; the message says why."""


class OutOfMemoryError(RuntimeError, MemoryError):
    """A device has too little memory left; the message says how much was asked for, and where the rest is."""


class device:
    """Where a tensor's elements live: ``gpunn.device("cpu")``, ``gpunn.device("cuda", 1)``, ``gpunn.device("cuda:1")``.

    There is one object per device, so devices are compared with ``is`` or ``==``. ``"cuda"`` is CUDA's current device,
    ``"cuda:0"`` unless `gpunn.cuda.set_device` or CuPy chose another. On ``"meta"`` tensors have no elements, so that a
    network of any size can be made, called and traced, which gives the shapes alone.

    In a ``with`` block it is the default device: ``with gpunn.device("meta"): model = make()``.

    Attributes:
        type: the backend's name, such as ``"cpu"``.
        index: which of several devices; None where there is only one.
        backend: the object whose functions compute there (see ``gpunn.backend.base``); loaded when first asked for.

    Raises:
        ValueError: the text is no device, or no backend of that name is registered.
    """

    __slots__ = ("backend", "index", "type")
    type: str
    index: int | None
    backend: Any

    def __new__(cls, type: str | device, index: int | None = None) -> device:
        """The one object for this device."""
        if isinstance(type, device):
            return type
        key = (type, index)
        found = _INTERNED.get(key) if isinstance(type, str) else None
        if found is not None:
            return found
        match = re.fullmatch(r"([a-z]\w*?)(?::(\d+))?", type) if isinstance(type, str) else None
        if match is None or (match[2] and index is not None):
            raise ValueError(f"{type!r} is no device; write a name such as 'cpu', 'cuda' or 'cuda:1'")
        name = match[1]
        if name not in _BACKENDS:
            near = did_you_mean(name, _BACKENDS)
            raise ValueError(f"there is no device {name!r} here{near}; there are: {', '.join(_usable())}")
        if match[2]:
            index = int(match[2])
        if name in ("cpu", "sim", "meta"):
            index = None
        elif name == "cuda" and index is None:
            index = _current_cuda()
        key = (name, index)
        self = _INTERNED.get(key)
        if self is None:
            self = object.__new__(cls)
            self.type, self.index = key
            _INTERNED[key] = self
        return self

    def __getattr__(self, name: str) -> Any:
        # Reached only while the slot `backend` is still empty.
        if name != "backend":
            raise AttributeError(name)
        self.backend = _BACKENDS[self.type](self.index)
        return self.backend

    def __enter__(self) -> device:
        global _default
        _outer.append(_default)
        _default = self
        return self

    def __exit__(self, *_: object) -> None:
        global _default
        _default = _outer.pop()

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (str(self),)


def _current_cuda() -> int:
    """CUDA's current device, which CuPy knows; before CuPy is loaded nobody can have chosen another than the first."""
    cupy: Any = sys.modules.get("cupy")
    try:
        return int(cupy.cuda.runtime.getDevice())
    except (AttributeError, RuntimeError):  # CuPy is not loaded, or has no driver
        return 0


def cuda_device(which: str | int | device | None = None) -> device:
    """A CUDA device, by its index, its name or itself; the current one for None.

    Raises:
        ValueError: this is no CUDA device.
    """
    found = device("cuda", which) if which is None or isinstance(which, int) else device(which)
    if found.type != "cuda":
        raise ValueError(f"{found} is no CUDA device; give an index, 'cuda' or 'cuda:1'")
    return found


def register_backend(name: str, loader: Callable[[int | None], Any]) -> None:
    """Make ``gpunn.device(name)`` work. ``loader(index)`` returns the backend, and is called at the first use."""
    _BACKENDS[name] = loader
    for key in [key for key in _INTERNED if key[0] == name]:
        del _INTERNED[key]


def _usable() -> list[str]:
    """The names of the backends that work here: with a GPU, a compiler, or whatever they need."""
    found = []
    for name in sorted(_BACKENDS):
        try:
            _BACKENDS[name](0)
            if name == "sim":
                importlib.import_module("gpunn.backend.simulator.compiler").command()
        except Exception:  # noqa: S112 (why it is not there is said where it is asked for)
            continue
        found.append(name)
    return found


def device_types() -> list[str]:
    """The names of the registered backends."""
    return sorted(_BACKENDS)


_default: device | None = None
_outer: list[device | None] = []  # what the ``with`` blocks that are entered go back to


def get_default_device() -> device:
    """The device of tensors made without ``device=``: ``set_default_device``, else ``GPUNN_DEVICE``, else the CPU."""
    global _default
    if _default is None:
        _default = device(os.environ.get("GPUNN_DEVICE") or "cpu")
    return _default


_Device = device


def set_default_device(device: str | _Device | None) -> None:
    """Set the device of tensors made without ``device=``; None is the CPU."""
    global _default
    _default = _Device("cpu" if device is None else device)
