"""The list of primitives is what the NumPy backend offers and what everything above asks for, no less and no more."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import gpunn
from gpunn.backend import numpy as numpy_backend
from gpunn.backend.base import Backend

from ..ops.harness import CASES, recorded_ops, run
from ..ops.test_cases import every_case  # noqa: F401 (loads the cases)
from .recording import RecordingBackend

PRIMITIVES = {
    name: getattr(Backend, name, None)
    for cls in Backend.__mro__
    for name in (*vars(cls), *vars(cls).get("__annotations__", ()))
    if not name.startswith("_") and name != "name"
}


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_the_numpy_backend_offers(name: str) -> None:
    primitive = getattr(numpy_backend, name)
    assert callable(primitive)
    declared = PRIMITIVES[name]
    if declared is None or not inspect.isfunction(primitive):
        return  # a function of elements, or NumPy's own
    expected = list(inspect.signature(declared).parameters.values())[1:]
    got = list(inspect.signature(primitive).parameters.values())
    assert [(p.name, p.default) for p in got] == [(p.name, p.default) for p in expected]


@pytest.fixture(scope="module")
def asked_for() -> set[str]:
    """The primitives that the cases of all ops call, and those whose names stand in the code."""
    backend = RecordingBackend()
    for case in CASES:
        with recorded_ops(backend=backend):
            run(case, case.dtypes[-1])
    names = set(backend.calls)
    for path in Path(gpunn.__file__).parent.rglob("*.py"):
        if "backend" in path.relative_to(Path(gpunn.__file__).parent).parts[:1]:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "backend":
                names.add(node.attr)
    return names - {"base", "device", "dtypes", "spec", "numpy", "name"}  # modules of gpunn.backend, and what it is


def test_what_is_asked_for_is_declared(asked_for) -> None:
    assert asked_for - set(PRIMITIVES) == set()


def test_what_is_declared_is_asked_for(asked_for) -> None:
    assert set(PRIMITIVES) - asked_for == set()
