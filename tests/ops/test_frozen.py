"""Ops' attributes: frozen dataclasses that are written when the first object is made."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields
from typing import ClassVar

import pytest

from gpunn.ops.base import Op, frozen


@frozen
class Window(Op, abstract=True):
    size: int
    stride: int = 1
    kind: ClassVar[str] = "plain"


@frozen
class Dilated(Window, abstract=True):
    dilation: int = 1


def test_a_frozen_class_is_a_frozen_dataclass() -> None:
    one = Dilated(3, dilation=2)  # before any object of the class that it inherits from
    assert (one.size, one.stride, one.dilation) == (3, 1, 2)
    assert [f.name for f in fields(one)] == ["size", "stride", "dilation"]
    assert one == Dilated(3, 1, 2) and hash(one) == hash(Dilated(3, 1, 2)) and one != Dilated(3)
    assert Window(3) == Window(3, 1) != Dilated(3)
    assert repr(Window(3)) == "Window(size=3, stride=1)"
    with pytest.raises(FrozenInstanceError):
        one.size = 4
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'size'"):
        Window()


def test_first_objects_in_several_threads() -> None:
    def define(i: int) -> type:
        @frozen
        class New(Window, abstract=True):
            more: int = i

        return New

    with ThreadPoolExecutor(4) as pool:
        for i in range(20):
            made = list(pool.map(lambda new: new(5), [define(i)] * 8))
            assert [vars(x) for x in made] == [{"size": 5, "stride": 1, "more": i}] * 8


@frozen
class Sized(Op, abstract=True):
    size: int


class Doubled(Sized, abstract=True):
    def __init__(self, half: int, more: int) -> None:
        super().__init__(2 * half + more)


def test_the_first_object_may_be_one_of_a_subclass_with_its_own_arguments() -> None:
    assert Doubled(3, 1).size == Doubled(2, 3).size == 7


def test_the_first_object_may_be_one_that_was_pickled_elsewhere() -> None:
    content = pickle.dumps(Window(3))
    code = f"import pickle; a, b = (pickle.loads({content!r}) for _ in 'ab'); print(a == b, hash(a) == hash(b), a)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True True Window(size=3, stride=1)\n"
    assert copy.deepcopy(Window(3)) == copy.copy(Window(3)) == Window(3)
