"""What a step has changed is put back, and the first that differs is named: for each kind of thing that is watched."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

import gpunn
from gpunn.plan.probe import MISSING, Cells, Items, Names, Probe, Slots


class Slotted:
    __slots__ = ("a", "b", "c")


def made_class() -> Any:
    return type("Made", (), {"a": 1, "b": 2})


def made_object() -> Any:
    made = made_class()()
    made.a, made.b = 1, 2
    return made


def made_slotted() -> Any:
    made = Slotted()
    made.a, made.b = 1, 2
    return made


ATTRIBUTES = {
    "object": (made_object, lambda owner: Names("it", owner, "abc")),
    "class": (made_class, lambda owner: Names("it", owner, "abc")),
    "slots": (made_slotted, lambda owner: Slots("it", owner, "abc")),
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_attributes(kind: str) -> None:
    """The first one stays, the second one changes, the third one comes; then the second one goes."""
    make, watched = ATTRIBUTES[kind]
    owner = make()
    probe: Probe = watched(owner)
    then = probe.now()
    assert then == [1, 2, MISSING]
    owner.b, owner.c = 5, 6
    probe.put_back(then)
    assert (owner.a, owner.b, hasattr(owner, "c")) == (1, 2, False)
    del owner.b
    probe.put_back(then)
    assert (owner.a, owner.b, hasattr(owner, "c")) == (1, 2, False)


def test_the_first_attribute_that_differs() -> None:
    owner = made_object()
    probe = Names("it", owner, "abc")
    then = probe.now()
    owner.b, owner.c = 5, 6
    assert probe.differs(then) == "it.b"
    there = {"a": 1, "b": 2}
    named = Names("", there, "ab")
    assert named.differs([1, 3]) == "the global b"


@pytest.mark.parametrize("container", [[1, 2], {1, 2}, deque([1, 2]), {"x": 1, "y": 2}], ids=lambda c: type(c).__name__)
def test_containers(container: Any) -> None:
    before = type(container)(container)
    probe = Items("it", container)
    then = probe.now()
    container.clear()
    probe.put_back(then)
    assert container == before and list(container) == list(before)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda there: there.update(y=5), "it.y"),
        (lambda there: there.update(z=5), "it.z"),
        (lambda there: there.pop("y"), "it.y"),
        (lambda there: there.update({3: 4}), "it"),
        (lambda there: there.update(_changed=1), "it"),  # which everything that is changed has
    ],
)
def test_the_first_entry_that_differs(change: Any, name: str) -> None:
    there = {"x": 1, "y": 2}
    probe = Items("it", there)
    then = probe.now()
    change(there)
    assert probe.differs(then) == name
    assert Items("it", [1]).differs([1, 2]) == "it"


def test_variables_of_functions_around() -> None:
    a = b = c = 1

    def inner() -> Any:
        return a, b, c

    cells = dict(zip(inner.__code__.co_freevars, inner.__closure__ or ()))
    probe = Cells([(f"variable {name}", cell) for name, cell in cells.items()])
    then = probe.now()
    cells["b"].cell_contents = 5
    del cells["c"].cell_contents
    probe.put_back(then)
    assert inner() == (1, 1, 1)


def test_globals_that_are_read_by_any_text() -> None:
    there: dict[str, Any] = {"odd name": 1.0}
    exec("def loss(output, target): return (output - target).sum() * globals()['odd' + ' name']", there)
    model = gpunn.nn.Linear(2, 1)
    step = gpunn.TrainStep(model, there["loss"], gpunn.optim.SGD(model.parameters(), 0.0))
    batch = gpunn.ones(3, 2), gpunn.zeros(3, 1)
    once = [step(*batch).item() for _ in range(2)][-1]
    there["odd name"] = 2.0
    assert step(*batch).item() == 2 * once
