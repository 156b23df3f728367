"""Products by one thread where another process is busy: on a clock of our own, with speeds that are set."""

from __future__ import annotations

import pytest

from gpunn.backend.numpy.watch import FEWEST, MOST, TRIAL, WINDOW, OneThread, Watch


class Machine:
    """Does one multiplication in so many seconds: `together` with both threads, `alone` with one."""

    def __init__(self) -> None:
        self.now, self.threads, self.calls = 0.0, 2, [0, 0, 0]
        self.together, self.alone = 1.0, 1.9
        self.one_thread = OneThread(lambda: self.threads, self.set)
        self.watch = Watch(self.one_thread, lambda: self.now)

    def set(self, count: int) -> None:
        self.threads = count

    def product(self) -> None:
        self.calls[self.threads] += 1
        self.now += 1.01 * WINDOW * (self.alone if self.threads == 1 else self.together)

    def measure(self, count: int) -> list[int]:
        """Calls by one thread and by two, of so many measurements."""
        self.calls = [0, 0, 0]
        for _ in range(count):
            self.watch.run(1, self.product)
        return self.calls[1:]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_both_threads_while_nothing_disturbs(machine: Machine) -> None:
    assert machine.measure(500) == [0, 500]


def test_one_thread_beside_a_busy_process_and_both_when_it_is_gone(machine: Machine) -> None:
    machine.measure(20)
    machine.together, machine.alone = 4.0, 2.0
    alone, together = machine.measure(400)
    assert alone > 0.9 * 400 and together > 0
    machine.together, machine.alone = 1.0, 1.9
    machine.measure(MOST)
    assert machine.measure(100) == [0, 100]


def test_a_machine_that_became_slower_keeps_both_threads(machine: Machine) -> None:
    machine.measure(20)
    machine.together, machine.alone = 2.0, 3.8
    alone, _ = machine.measure(1000)
    assert TRIAL <= alone <= 3 * TRIAL  # tried, and found no better
    assert machine.measure(100) == [0, 100]


def test_what_is_inside_a_scope_is_not_measured(machine: Machine) -> None:
    with machine.one_thread, machine.one_thread:
        assert machine.measure(3 * FEWEST) == [3 * FEWEST, 0] and machine.one_thread.threads_outside() == 2
    assert machine.threads == 2 and machine.watch._best == 0


def test_a_failure_gives_the_threads_back(machine: Machine) -> None:
    machine.watch.alone = True
    with pytest.raises(ZeroDivisionError):
        machine.watch.run(1, lambda: 1 // 0)
    assert machine.threads == 2
