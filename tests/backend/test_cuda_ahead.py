"""Copies on a stream of their own, on a CuPy without a GPU: done as late as may be, and as early as may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backend import cuda_staging

from . import fake_cupy

Pair = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
SIZES = [40, 40, 7, 40, 40, 40, 64, 40, 40, 3, 3, 40]
PAIRS: list[Pair] = [(RNG.random((n, 5)), RNG.random((n, 5))) for n in SIZES]
ONCE = fake_cupy.Stream.wait_event


@pytest.fixture(params=[False, True], ids=["late", "early"])
def hasty(request: pytest.FixtureRequest, machine: Any) -> bool:
    """Copies are done when somebody waits for them, or at once, before all work that they do not wait for."""
    machine.hasty = request.param
    return request.param


def sums(ahead: int, pairs: list[Pair], group: int = 1) -> list[np.ndarray]:
    """x + y of each pair, of which `group` are asked for before anything is done with them."""
    backend = gpunn.device("cuda").backend
    backend.add(backend.from_numpy(np.ones(1)), backend.from_numpy(np.ones(1)))  # the kernel is loaded
    copies, found = backend.copies_ahead(ahead), []
    for start in range(0, len(pairs), group):
        there = [copies(pair) for pair in pairs[start : start + group]]
        found += [backend.add(x, y) for x, y in there]
    return [backend.to_numpy(z) for z in found]


@pytest.mark.parametrize(("ahead", "group"), [(1, 1), (4, 4), (3, 1), (1, 5)])
def test_each_batch_is_there_when_it_is_used(hasty, ahead, group) -> None:
    for (x, y), z in zip(PAIRS, sums(ahead, PAIRS, group), strict=True):
        np.testing.assert_array_equal(z, x + y)


def test_arrays_of_all_types_and_shapes(hasty) -> None:
    arrays = [
        np.arange(5, dtype=np.int64),
        np.array(True),
        np.zeros((0, 3), np.float32),
        np.arange(24.0).reshape(2, 3, 4).T,
        np.arange(3, dtype=np.uint8),
        np.float16([1, 2]),
    ]
    backend = gpunn.device("cuda").backend
    copies = backend.copies_ahead()
    for _ in range(4):
        there = copies(arrays)
        assert all((y.data.ptr - there[0].data.ptr) % 256 == 0 for y in there if y.size)
        for x, y in zip(arrays, there, strict=True):
            back = backend.to_numpy(y)
            assert (back.dtype, back.shape) == (x.dtype, x.shape)
            np.testing.assert_array_equal(back, x)


def test_the_host_may_change_its_arrays_at_once(hasty, monkeypatch) -> None:
    monkeypatch.setattr(cuda_staging, "PIECE", 512)  # a batch of several pieces
    x, backend = np.zeros(200), gpunn.device("cuda").backend
    copies, found = backend.copies_ahead(), []
    for i in range(12):
        x[...] = i
        found.append(backend.add(*copies([x, x])))
    x[...] = -1
    assert [set(backend.to_numpy(z)) for z in found] == [{2.0 * i} for i in range(12)]


def test_who_holds_a_batch_keeps_its_memory(hasty) -> None:
    backend = gpunn.device("cuda").backend
    copies = backend.copies_ahead()
    held = [copies([x])[0][:2] for x, _ in PAIRS]
    for (x, _), y in zip(PAIRS, held):
        np.testing.assert_array_equal(backend.to_numpy(y), x[:2])


# What goes wrong without the events -----------------------------------------------------------------------------------


def without_waiting(which: Callable[[Any], bool]) -> Callable[..., None]:
    def wait_event(stream: Any, event: Any) -> None:
        if not which(stream):
            ONCE(stream, event)

    return wait_event


@pytest.mark.parametrize("group", [1, 4])
def test_a_copy_that_does_not_wait_for_its_memory_is_found(machine, monkeypatch, group) -> None:
    machine.hasty = True
    monkeypatch.setattr(fake_cupy.Stream, "wait_event", without_waiting(lambda stream: stream.ptr != 0))
    found = sums(group, 2 * PAIRS, group)
    assert not all(np.array_equal(z, x + y) for (x, y), z in zip(2 * PAIRS, found))


def test_work_that_does_not_wait_for_its_copy_is_found(machine, monkeypatch) -> None:
    monkeypatch.setattr(fake_cupy.Stream, "wait_event", without_waiting(lambda stream: stream.ptr == 0))
    found = sums(1, PAIRS)
    assert not all(np.array_equal(z, x + y) for (x, y), z in zip(PAIRS, found))


def test_memory_that_is_set_aside_too_early_is_found(machine, monkeypatch) -> None:
    """As if the place of a copy had been free before it was taken."""
    machine.hasty = True
    event = fake_cupy.Event
    monkeypatch.setattr(event, "record", without_recording(event.record))
    found = sums(1, PAIRS)
    assert not all(np.array_equal(z, x + y) for (x, y), z in zip(PAIRS, found))


def without_recording(record: Any) -> Callable[..., None]:
    def recorded(event: Any, stream: Any = None) -> None:
        if event.count == 0 or stream is None or stream.ptr:  # else it is that of an earlier time
            record(event, stream)

    return recorded


# While the device computes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 3])
def test_a_batch_is_copied_while_the_step_before_is_done(machine, group) -> None:
    machine.hasty = True
    backend = gpunn.device("cuda").backend
    copies, done = backend.copies_ahead(group), []
    for step in range(6):
        for _ in range(group):
            copies(PAIRS[0])
            assert not copies._stream.work  # it is done,
            if step > 1:
                assert done == list(range(step - 1))  # and of the step before there is still nothing done
        fake_cupy.Stream.null.give(lambda step=step: done.append(step))


def test_places_of_the_device_are_used_again(machine) -> None:
    backend = gpunn.device("cuda").backend
    copies = backend.copies_ahead()
    addresses = []
    for _ in range(9):
        there = copies(PAIRS[0])
        addresses.append(there[0].data.ptr)
    assert len(set(addresses)) <= 3
    used = machine.pools[0].used
    del there, copies
    assert machine.pools[0].used == 0 < used


def test_without_memory_to_set_aside_copies_wait(hasty, machine) -> None:
    backend = gpunn.device("cuda").backend
    machine.pools[0].limit = 20 << 10
    size = 12 << 10  # so that there is no room for two
    copies = backend.copies_ahead()
    for i in range(5):
        (y,) = copies([np.full(size, i, np.uint8)])
        assert set(backend.to_numpy(y)) == {i}
        del y
    with pytest.raises(gpunn.cuda.OutOfMemoryError, match="out of memory"):
        copies([np.zeros(30 << 10, np.uint8)])
    (y,) = copies([np.full(size, 7, np.uint8)])
    assert set(backend.to_numpy(y)) == {7}


def test_what_is_set_aside_is_given_to_whom_needs_it(hasty, machine) -> None:
    backend = gpunn.device("cuda").backend
    machine.pools[0].limit = 20 << 10
    copies = backend.copies_ahead(2)
    for size in (6 << 10, 6 << 10, 16 << 10, 6 << 10):  # with two places of 6 KiB there is no room for 16
        (y,) = copies([np.full(size, 5, np.uint8)])
        assert set(backend.to_numpy(y)) == {5}
        del y


def test_there_is_room_for_the_largest_batch_up_to_now(machine) -> None:
    """Batches of different sizes, such as sentences, are copied while the device computes all the same."""
    machine.hasty = True
    backend = gpunn.device("cuda").backend
    copies, done = backend.copies_ahead(), []
    for step, size in enumerate((9, 3, 9, 4, 8)):
        copies([np.zeros((size, 600))])
        assert len(done) == max(step - 1, 0)
        fake_cupy.Stream.null.give(lambda step=step: done.append(step))


def test_a_copy_that_fails_is_waited_for(machine, monkeypatch) -> None:
    """Its memory may be another array's at once, and the part that was copied must not come into that."""
    backend = gpunn.device("cuda").backend
    write, given = backend.write, []

    def failing(x: Any, out: Any) -> None:
        given.append(x)
        if len(given) == 2:
            raise KeyboardInterrupt
        write(x, out)

    copies = backend.copies_ahead()
    monkeypatch.setattr(backend, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        copies(PAIRS[0])
    monkeypatch.undo()
    del copies
    others = [backend.full((2 * 1792 // 8,), i, np.float64) for i in range(3)]  # as large as the two arrays were
    fake_cupy.Device().synchronize()
    for i, y in enumerate(others):
        assert set(backend.to_numpy(y)) == {float(i)}


def test_on_another_device(two) -> None:
    backend = gpunn.device("cuda:1").backend
    copies = backend.copies_ahead()
    for x, y in PAIRS[:4]:
        a, b = copies([x, y])
        assert a.device.id == b.device.id == 1
        np.testing.assert_array_equal(backend.to_numpy(backend.add(a, b)), x + y)
    assert gpunn.cuda.current_device() == 0


def test_on_a_stream_of_ones_own(hasty) -> None:
    with gpunn.cuda.stream(gpunn.cuda.Stream()):
        for (x, y), z in zip(PAIRS, sums(1, PAIRS), strict=True):
            np.testing.assert_array_equal(z, x + y)


@pytest.mark.gpu
def test_on_a_gpu(cuda: gpunn.device) -> None:
    pairs = [(RNG.random((2000, 300)), RNG.random((2000, 300))) for _ in range(20)]
    copies, found = cuda.backend.copies_ahead(), []
    for x, y in pairs:
        found.append(cuda.backend.add(*copies([x, y])))
    for (x, y), z in zip(pairs, found):
        np.testing.assert_array_equal(cuda.backend.to_numpy(z), x + y)
