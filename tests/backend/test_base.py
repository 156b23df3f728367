"""The list of primitives is what the NumPy backend offers and what everything above asks for, no less and no more."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
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
    if not name.startswith("_") and name not in ("name", "writes_images", "updates_by_product")
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


@cache
def named_in(path: Path) -> set[str]:
    """What a file takes from something called `backend`."""
    text = path.read_text()
    nodes = ast.walk(ast.parse(text)) if "backend" in text else ()
    attributes = [n for n in nodes if isinstance(n, ast.Attribute)]
    names = {n.attr for n in attributes if ast.unparse(n.value).split(".")[-1] == "backend"}
    # Modules of gpunn.backend, and what it is.
    return names - {"base", "device", "dtypes", "spec", "numpy", "name", "writes_images", "updates_by_product"}


PACKAGE = Path(gpunn.__file__).parent
KNOW_THEIR_BACKEND = {
    "plan/capture.py": ("sim.py", "cuda.py"),
    "plan/together.py": ("sim.py", "cuda.py"),
    "plan/dry_run.py": ("../plan/dry_run.py",),
    **dict.fromkeys(("cuda/memory.py", "cuda/streams.py"), ("cuda.py",)),
    "autograd/tape.py": ("meta.py",),
    "inspect/profile/launches.py": ("sim.py",),
    **dict.fromkeys(("inspect/profile/measured.py", "train/fingerprint.py", "bench/kernels.py"), ("sim.py", "cuda.py")),
    "train/copies.py": ("cuda.py",),
}
"""Files that are for some backends only, and ask for more than primitives: of which of them."""


@pytest.mark.parametrize("path", KNOW_THEIR_BACKEND)
def test_what_is_asked_of_some_backends_is_there(path: str) -> None:
    for backend in KNOW_THEIR_BACKEND[path]:
        texts = [(PACKAGE / "backend" / name).read_text() for name in (backend, "kernel/family.py")]
        offered = set(re.findall(r"^ +(?:def |self\.)?(\w+)(?:\(|: | = )", "\n".join(texts), re.MULTILINE))
        assert named_in(PACKAGE / path) - offered - set(PRIMITIVES) == set()


OF_THE_CPU_ALONE = {"sgd_product_step", "Joined"}
"""What is asked for only where BLAS can be called by itself, and where the loops are compiled."""


@pytest.fixture(scope="module")
def asked_for() -> set[str]:
    """The primitives that the cases of all ops call, and those whose names stand in the code."""
    backend = RecordingBackend()
    for case in CASES:
        with recorded_ops(backend=backend):
            run(case, case.dtypes[-1])
    others = set(PACKAGE.rglob("*.py")) - {PACKAGE / path for path in KNOW_THEIR_BACKEND}
    return set(backend.calls).union(*(named_in(path) for path in others - set((PACKAGE / "backend").rglob("*.py"))))


def test_what_is_asked_for_is_declared(asked_for) -> None:
    assert asked_for - set(PRIMITIVES) == OF_THE_CPU_ALONE


def test_what_is_declared_is_asked_for(asked_for) -> None:
    assert set(PRIMITIVES) - asked_for == set()
