"""Which names of PyTorch the table has, and where gpunn has them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SECTIONS = (
    "torch",
    "torch.Tensor",
    "torch.nn",
    "torch.nn.Module",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.nn.utils.rnn",
    "torch.nn.utils.parametrize",
    "torch.nn.utils.parametrizations",
    "torch.nn.utils.prune",
    "torch.nn.utils.stateless",
    "torch.nn.attention",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.optim.swa_utils",
    "torch.utils.data",
    "torch.utils.checkpoint",
    "torch.linalg",
    "torch.special",
    "torch.fft",
    "torch.func",
    "torch.distributions",
    "torch.autograd",
    "torch.autograd.functional",
    "torch.autograd.forward_ad",
    "torch.autograd.graph",
    "torch.amp",
    "torch.accelerator",
)
"""The modules and classes whose public names are compared."""


@dataclass(frozen=True)
class Name:
    """A public name of PyTorch, with what stands for it here; `ours` is None where nothing does."""

    section: str
    name: str
    theirs: Any
    ours: Any

    @property
    def path(self) -> str:
        """``torch.nn.Linear``."""
        return f"{self.section}.{self.name}"

    @property
    def is_class(self) -> bool:
        """Whether PyTorch has a class there."""
        return inspect.isclass(self.theirs)

    @property
    def is_method(self) -> bool:
        """Whether it is a method, whose first argument is the object."""
        return self.section in ("torch.Tensor", "torch.nn.Module")


def find(path: str) -> Any:
    """A module or a class by its path, None where there is none."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        owner, _, name = path.rpartition(".")
        return getattr(find(owner), name, None) if owner else None


def names(section: str) -> Iterator[Name]:
    """The public names of a section, in order."""
    home = find(section)
    here = find("gpunn" + section.removeprefix("torch"))
    for name in sorted(_public(home), key=lambda name: (name.lower(), name)):
        theirs = inspect.getattr_static(home, name) if inspect.isclass(home) else getattr(home, name)
        ours = getattr(here, name, None)
        if inspect.isclass(here) and ours is not None:
            ours = inspect.getattr_static(here, name)
        if theirs is None and hasattr(here, name):  # newaxis
            ours = type(None)
        yield Name(section, name, theirs, ours)


def _public(home: Any) -> set[str]:
    """What a module lists, or else all that it has and that is PyTorch's; of a class all that is not of `object`."""
    found = {name for name in dir(home) if not name.startswith("_")}
    if inspect.isclass(home):
        return {name for name in found if not isinstance(inspect.getattr_static(home, name), type)}
    listed = set(getattr(home, "__all__", ()))
    if home.__name__ == "torch.optim":
        found |= listed
    elif listed and home.__name__ != "torch":
        found = listed
    return {name for name in found if _is_theirs(home, name, name in listed)}


def _is_theirs(home: Any, name: str, listed: bool) -> bool:
    value = getattr(home, name)
    if inspect.ismodule(value):
        return False
    where = getattr(value, "__module__", None) or ""
    if where and not where.startswith("torch"):
        return listed
    return listed or (callable(value) and bool(getattr(value, "__doc__", None))) or home.__name__ != "torch"
