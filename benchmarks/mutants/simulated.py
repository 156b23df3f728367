"""Which tests launch which kernels, and which kernels a place of a CUDA text belongs to."""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import cache
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from gpunn.backend import kernel_texts, launch
from gpunn.backend.sim import SimBackend
from gpunn.backend.simulator import compiler

from .session import failure, in_a_child, show

LEFT_OUT = ("test_compile.py", "test_product_costs.py", "test_families.py", "test_training.py", "_on_the_cpu")
SECONDS_OF_A_THREAD = 2e-6  # of a kernel, roughly: the checker takes longest

_configure = SimBackend.configure


def check_always() -> None:
    """From now on the simulator is in its mode "check", whatever a test asks for, and compiles without optimising.

    Compiling takes most of the time of a change, and half as long that way.
    """
    compiler.KERNEL_FLAGS["check"] = ["-O0" if flag == "-O1" else flag for flag in compiler.KERNEL_FLAGS["check"]]

    def configure(self: SimBackend, _: str | None = None, order: str | None = None) -> None:
        _configure(self, "check", order)

    SimBackend.configure = configure  # type: ignore[method-assign]
    from tests.kernels import harness

    harness.compare.__kwdefaults__["modes"] = harness.FAST  # two orders of threads
    for made in gc.get_objects():  # when the tests were collected
        if type(made) is SimBackend:
            made.configure()


def record(items: Sequence[pytest.Item]) -> dict[str, Any]:
    """What each test launches, found by running it with launches that do nothing.

    For each test that launches kernels: the ``kernels`` as (text, types, kernel), and about how many ``seconds`` it
    takes under the checker, by its threads. A test whose own assertions end it early may launch more than is found.
    """
    items = [item for item in items if not any(word in item.nodeid for word in LEFT_OUT)]
    found, _ = in_a_child(lambda: _launches(items), 1800)
    if isinstance(found, str):
        raise SystemExit(f"recording what tests launch: {found}")
    show(f"{len(found)} of {len(items)} tests launch kernels")
    return dict(found)


def _launches(items: Sequence[pytest.Item]) -> dict[str, Any]:
    seen: set[tuple[str, str, str]] = set()
    threads = 0

    def watched(self: Any, grid: Sequence[int], block: Sequence[int], *args: Any) -> tuple[()]:
        """In the place of checking arguments, which is done for launches that are made and that are recorded."""
        nonlocal threads
        types = {name: dtype.name for name, dtype in self.types.items() if name != "acc_t"}
        seen.add((self.text, json.dumps(types, sort_keys=True), self.signature.name))
        threads += math.prod(grid) * math.prod(block)
        return ()

    launch._Kernel.checked = watched  # type: ignore[method-assign,assignment]
    launch.Launcher.compile = lambda *_: Mock()  # type: ignore[method-assign]
    for name in ("assert_allclose", "assert_array_equal"):
        setattr(np.testing, name, lambda *_, **__: None)
    for module in {item.module for item in items}:  # type: ignore[attr-defined]
        if hasattr(module, "compare"):
            module.compare = _called
        for name, (function, applies) in getattr(module, "CHECKS", {}).items():
            module.CHECKS[name] = (_whatever_it_raises(function), applies)
    files = set(kernel_texts.kernel_names())
    found = {}
    for item in items:
        seen.clear()
        threads = 0
        failure(item)
        if kernels := sorted(k for k in seen if k[0] in files):
            found[item.nodeid] = {"seconds": 0.01 + threads * SECONDS_OF_A_THREAD, "kernels": kernels}
    return found


def _called(primitive: str, *args: Any, ladder: str | None = None, **options: Any) -> None:
    """In the place of `compare`: each rung is called, and nothing compared."""
    from gpunn.backend.kernel.ladder import LADDERS, rung
    from tests.kernels.harness import simulator

    kwargs = {name: value for name, value in options.items() if name not in ("rtol", "atol", "modes", "exact")}
    for name in LADDERS[ladder].rungs if ladder else (None,):
        with suppress(Exception), rung(ladder, name) if ladder and name else nullcontext():
            getattr(simulator("fast", "forward"), primitive)(*args, **kwargs)


def _whatever_it_raises(function: Any) -> Any:
    def called(*args: Any) -> None:
        with suppress(Exception):
            function(*args)

    return called


def kernels_at(text: str, line: int) -> dict[str, set[str]]:
    """The kernels that a line belongs to, or that use the function or type it belongs to: by the names of their texts.

    A name that is mentioned counts as used, so there may be more of them than there are.
    """
    found = {}
    for user in kernel_texts.kernel_names():
        files = (user, *kernel_texts.included_headers(user))
        if not user.endswith(".cu") or text not in files:
            continue
        pieces = [piece for file in files for piece in _pieces(file)]
        used = {piece.names for piece in pieces if piece.file == text and piece.begin <= line <= piece.end}
        reached = set().union(*used) if used else set()
        grown = True
        while grown:
            users = {name for piece in pieces if reached & piece.words for name in piece.names}
            grown = not users <= reached
            reached |= users
        kernels = {name for piece in pieces if piece.is_kernel for name in piece.names}
        # What is in no function or type, such as a constant, concerns all.
        found[user] = kernels & reached if any(used) else kernels
    return {user: kernels for user, kernels in found.items() if kernels}


class _Piece:
    """A function, a type, or a constant of a text: what begins and ends outside all brackets."""

    def __init__(self, file: str, begin: int, end: int, text: str) -> None:
        self.file, self.begin, self.end = file, begin, end
        self.words = frozenset(re.findall(r"[A-Za-z_]\w*", text))
        self.is_kernel = "__global__" in self.words
        self.names = frozenset(_declared(text))


def _declared(text: str) -> list[str]:
    """The name that a piece gives to something, in a list; an empty one where it names nothing."""
    head = text.split("{")[0]
    if template := re.match(r"\s*template\s*<", head):
        depth, end = 1, template.end()
        while depth and end < len(head):
            depth += (head[end] in "<(") - (head[end] in ">)")
            end += 1
        head = head[end:]
    head = re.sub(r"__(?:launch_bounds|align)__\s*\((?:[^()]|\([^()]*\))*\)", " ", head)
    for pattern in (
        r"\bstruct\s+(\w+)",
        r"\btypedef\b.*?(\w+)\s*;",
        r"^[^(]*?(\w+)\s*(?:\[[^\]]*\]\s*)?=",
        r"(\w+)\s*\(",
    ):
        if found := re.search(pattern, head, re.DOTALL):
            return [found[1]]
    return []


@cache
def _pieces(file: str) -> list[_Piece]:
    return list(_split(file, (kernel_texts.kernel_folder() / file).read_text()))


def _split(file: str, source: str) -> Iterator[_Piece]:
    plain = re.sub(r"//[^\n]*|^[ \t]*#[^\n]*", lambda m: " " * len(m[0]), source, flags=re.MULTILINE)
    depth = begin = 0
    for i, character in enumerate(plain):
        depth += (character in "{(") - (character in "})")
        if depth == 0 and (character == ";" or (character == "}" and not re.match(r"\s*;", plain[i + 1 :]))):
            text = plain[begin : i + 1]
            first = begin + len(text) - len(text.lstrip())
            yield _Piece(file, plain.count("\n", 0, first) + 1, plain.count("\n", 0, i) + 1, text)
            begin = i + 1
