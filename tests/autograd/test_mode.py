"""Whether operations are recorded: blocks, decorators, threads."""

from __future__ import annotations

import threading

import pytest

import gpunn
from gpunn import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled


@pytest.fixture
def x() -> gpunn.Tensor:
    return gpunn.ones(2, requires_grad=True)


def test_nothing_is_recorded_under_no_grad(x) -> None:
    with no_grad():
        y = x * 2
        assert not y.requires_grad
        assert y.is_leaf
        with enable_grad():
            assert (x * 2).requires_grad
        assert not is_grad_enabled()
    assert is_grad_enabled()
    assert (x * 2).requires_grad


def test_modes_end_with_an_exception(x) -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_leaves_made_under_no_grad_may_require_grad() -> None:
    with no_grad():
        x = gpunn.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("decorator", [no_grad, no_grad(), inference_mode, inference_mode(), set_grad_enabled])
def test_decorators(decorator) -> None:
    if decorator is set_grad_enabled:
        decorator = set_grad_enabled(False)

    @decorator
    def depth(n: int) -> list[bool]:
        """Call itself."""
        return [is_grad_enabled(), *(depth(n - 1) if n else ())]

    assert is_grad_enabled()
    assert depth(2) == [False] * 3
    assert is_grad_enabled()
    assert depth.__doc__ == "Call itself."


def test_a_decorated_function_goes_back_to_the_mode_of_its_call() -> None:
    for decorator in (no_grad(), set_grad_enabled(False)):
        set_grad_enabled(True)
        work = decorator(is_grad_enabled)
        with no_grad():
            work()
            assert not is_grad_enabled()
        assert is_grad_enabled()


def test_enable_grad_as_a_decorator() -> None:
    with no_grad():
        assert enable_grad()(is_grad_enabled)()
        assert enable_grad(is_grad_enabled)()
        assert not is_grad_enabled()


def test_generators_run_each_step_in_the_mode() -> None:
    @no_grad()
    def steps():
        reply = yield is_grad_enabled()
        try:
            yield reply
        except ValueError:
            yield is_grad_enabled()
        return "end"

    def outer():
        result = yield from steps()
        assert result == "end"

    generator = outer()
    assert next(generator) is False
    assert is_grad_enabled()
    assert generator.send(7) == 7
    assert generator.throw(ValueError()) is False
    assert list(generator) == []
    closed = steps()
    next(closed)
    closed.close()
    assert is_grad_enabled()


def test_set_grad_enabled_at_once_and_as_a_block() -> None:
    set_grad_enabled(False)
    try:
        assert not is_grad_enabled()
        with set_grad_enabled(True):
            assert is_grad_enabled()
        assert not is_grad_enabled()
    finally:
        set_grad_enabled(True)
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_inference_mode(x) -> None:
    with inference_mode():
        assert gpunn.is_inference_mode_enabled()
        assert not (x * 2).requires_grad
        with enable_grad():
            assert not (x * 2).requires_grad
        with inference_mode(False):
            assert (x * 2).requires_grad
    assert not gpunn.is_inference_mode_enabled()
    assert is_grad_enabled()


def test_each_thread_has_its_own_mode() -> None:
    seen: dict[str, bool] = {}
    with no_grad():
        thread = threading.Thread(target=lambda: seen.update(other=is_grad_enabled()))
        thread.start()
        thread.join()
        seen["here"] = is_grad_enabled()
    assert seen == {"other": True, "here": False}


def test_one_decorated_function_in_two_threads_at_once() -> None:
    """What a mode goes back to is kept per thread: the calls overlap, and the modes outside differ."""
    inside, leave = threading.Barrier(2), threading.Event()
    after: dict[str, bool] = {}

    @no_grad()
    def work(first: bool) -> None:
        inside.wait()
        if not first:
            leave.wait()

    def run(first: bool) -> None:
        with set_grad_enabled(first):
            work(first)
            after["first" if first else "second"] = is_grad_enabled()
            leave.set()

    threads = [threading.Thread(target=run, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert after == {"first": True, "second": False}


def test_one_block_object_can_be_nested() -> None:
    mode = no_grad()
    with mode:
        with enable_grad():
            with mode:
                assert not is_grad_enabled()
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()
