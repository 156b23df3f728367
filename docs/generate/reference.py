"""The reference: a page for each public module, with every name that it offers."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import gpunn

from .docstrings import to_rst

_ORDER = (
    "gpunn", "gpunn.autograd", "gpunn.nn", "gpunn.nn.functional", "gpunn.nn.init", "gpunn.nn.utils", "gpunn.optim",
    "gpunn.optim.lr_scheduler", "gpunn.utils.data", "gpunn.train", "gpunn.plan", "gpunn.datasets", "gpunn.io",
    "gpunn.inspect", "gpunn.cuda",
)  # fmt: skip
_INTERNAL = (
    "gpunn.backend",
    "gpunn.ops",
    "gpunn.cli",
    "gpunn.bench",
    "gpunn.__main__",
    "gpunn.datasets.",
    "gpunn.train.",
)
"""What these and what lies in them offer is not for users."""


def module(name: str) -> ModuleType:
    """A module of gpunn."""
    return importlib.import_module(name)


_TABLE = (".. list-table::", "    :widths: 30 70", "    :header-rows: 1", "")


@cache
def modules() -> tuple[str, ...]:
    """The public modules, in the order of the site: those above, and all others that list what they offer."""
    found = [m.name for m in pkgutil.walk_packages(gpunn.__path__, "gpunn.") if not m.name.startswith(_INTERNAL)]
    return (*_ORDER, *(name for name in found if name not in _ORDER and hasattr(module(name), "__all__")))


def public_names(name: str) -> list[str]:
    """What a module offers: what it lists, or else all that it has and that is gpunn's."""
    found = module(name)
    names = getattr(found, "__all__", None) or [n for n in dir(found) if not n.startswith("_")]
    return [n for n in names if not isinstance(getattr(found, n), ModuleType)]


@cache
def names() -> dict[str, Any]:
    """Everything that has an entry in the reference, by its full name, methods too."""
    found: dict[str, Any] = {}
    for name in modules():
        found[name] = module(name)
        for public in public_names(name):
            value = found[f"{name}.{public}"] = getattr(module(name), public)
            if inspect.isclass(value) and not any(value is seen for seen in list(found.values())):
                found |= {f"{name}.{public}.{member}": getattr(value, member) for member in members(value)}
    return found


def shown_bases(cls: type) -> list[type]:
    """Of the classes that a class is derived from, those that have a page, and Python's exceptions."""
    return [b for b in cls.__bases__ if id(b) in public_name_of() or (issubclass(b, Exception) and b is not Exception)]


def members(cls: type) -> list[str]:
    """The methods and properties that a class documents, or a base class that has no page and no other has."""
    bases = [base for base in cls.__mro__ if base is cls or base.__module__.startswith("gpunn")]
    shown = {id(getattr(module(name), public)) for name in modules() for public in public_names(name)}
    above = tuple(base for base in bases if base is not cls and id(base) in shown)
    own = [base for base in bases if base is cls or not any(issubclass(other, base) for other in above)]
    return sorted(
        name
        for name in {name for base in own for name in vars(base)}
        if not name.startswith("_") and _documented(inspect.getattr_static(cls, name))
    )


def _documented(value: Any) -> bool:
    value = getattr(value, "__func__", value)
    return (callable(value) or isinstance(value, (property, cached_property))) and bool(value.__doc__)


@cache
def public_name_of() -> dict[int, str]:
    """The shortest public name of each object."""
    found: dict[int, str] = {}
    for name, value in names().items():
        if callable(value) and (id(value) not in found or len(name) < len(found[id(value)])):
            found[id(value)] = name
    return found


def resolver(where: str) -> Callable[[str], str | None]:
    """Finds what a docstring of `where` calls by a name: its sisters, its own, what its module and gpunn offer."""
    parts = where.split(".")
    around = [".".join(parts[:i]) for i in range(len(parts), 0, -1)] + ["gpunn.nn", "gpunn.nn.functional"]

    def resolve(name: str) -> str | None:
        candidates = [name, *(f"{prefix}.{name}" for prefix in around)]
        return next((c for c in candidates if c in names() and c != where), None)

    return resolve


def pages() -> dict[str, str]:
    """The text of each page, by its name."""
    result = {name: _page(name) for name in modules()}
    toctree = "\n".join(f"    {name}" for name in modules())
    table = [f"    * - :doc:`{name}`\n      - {_first_sentence(name, name)}" for name in modules()]
    result["index"] = "\n".join([
        *_heading("Reference", "="),
        "Every public name. Those that PyTorch has too mean what PyTorch means: arguments, defaults, shapes, types and",
        "errors.",
        "",
        *_TABLE,
        "    * - module\n      - what it has",
        *table,
        "",
        f".. toctree::\n    :hidden:\n\n{toctree}",
        "",
    ])  # fmt: skip
    return result


def _page(name: str) -> str:
    own = module(name)
    found = [(public, getattr(own, public)) for public in public_names(name)]
    classes = [public for public, value in found if inspect.isclass(value)]
    functions = [public for public, value in found if callable(value) and not inspect.isclass(value)]
    rest = [(public, value) for public, value in found if public not in classes and public not in functions]
    lines = [*_heading(name, "="), f".. py:module:: {name}", "", *to_rst(inspect.getdoc(own) or "", resolver(name)), ""]
    for title, group in (("Classes", classes), ("Functions", functions)):
        if group:
            lines += [*_heading(title, "-"), *_summary(name, group)]
            for public in group:
                lines += _class(name, public) if title == "Classes" else [f".. autofunction:: {name}.{public}", ""]
    if rest:
        lines += _heading("Values", "-")
        for public, value in rest:
            lines += [f".. py:data:: {public}", "", f"    {_value(value)}", ""]
    return "\n".join(lines)


def _class(name: str, public: str) -> list[str]:
    cls = getattr(module(name), public)
    first = public_name_of()[id(cls)]
    if first != f"{name}.{public}":
        return [f".. py:class:: {public}", "", f"    The same as :py:obj:`{first}`.", ""]
    listed = members(cls)
    lines = [f".. autoclass:: {name}.{public}", *(["    :show-inheritance:"] if shown_bases(cls) else []), ""]
    for member in listed:
        is_method = callable(getattr(cls, member))
        lines += [f"    .. {'automethod' if is_method else 'autoproperty'}:: {name}.{public}.{member}", ""]
    return lines


def _summary(name: str, group: list[str]) -> list[str]:
    rows = [f"    * - :py:obj:`{public} <{name}.{public}>`\n      - {_first_sentence(name, f'{name}.{public}')}"
            for public in group]  # fmt: skip
    return [*_TABLE, "    * - name\n      - what it is", *rows, ""]


def _first_sentence(where: str, name: str) -> str:
    first = (inspect.getdoc(names()[name]) or "").split("\n\n")[0]
    return " ".join(" ".join(to_rst(first, resolver(where))).split()) or "\\ "


def _value(value: Any) -> str:
    text = repr(value)
    return f"``{text if len(text) <= 400 else text[:400] + ' ...'}``"


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]
