"""Streams and their capture."""

import threading

import numpy as np
import pytest

from gpunn.backend.simulator import (
    RawModule,
    SimulatorError,
    Stream,
    forbid_in_capture,
    get_current_stream,
)

CODE = r"""
extern "C" __global__ void add(float* y, const float* x, float a) { y[threadIdx.x] += a * x[threadIdx.x]; }
struct Pair { int first, second; };
extern "C" __global__ void put(int* y, Pair p) { y[0] = p.first; y[1] = p.second; }
"""


@pytest.fixture(scope="module")
def module():
    return RawModule(code=CODE)


def test_the_current_stream_is_the_innermost():
    first, second = Stream(non_blocking=True), Stream()
    assert get_current_stream() is Stream.null
    with first:
        with second:
            assert get_current_stream() is second
        assert get_current_stream() is first
    assert get_current_stream() is Stream.null


def test_the_current_stream_is_the_threads_own():
    seen = []
    with Stream():
        thread = threading.Thread(target=lambda: seen.append(get_current_stream()))
        thread.start()
        thread.join()
    assert seen == [Stream.null]


def test_a_graph_replays_with_arrays_by_reference_and_numbers_by_value(module):
    add, put = module.get_function("add"), module.get_function("put")
    x, y, z = np.ones(4, np.float32), np.zeros(4, np.float32), np.zeros(2, np.int32)
    pair = np.array([(3, 4)], dtype=[("first", "i4"), ("second", "i4")])
    stream = Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        assert stream.is_capturing()
        add((1,), (4,), (y, x, np.float32(2)))
        put((1,), (1,), (z, pair))
        graph = stream.end_capture()
    assert not stream.is_capturing() and len(graph) == 2
    assert not y.any() and not z.any()
    pair["first"] = 7
    x[:] = 5
    graph.launch()
    graph.launch(stream)
    assert (y == 20).all() and z.tolist() == [3, 4]


def test_launches_on_other_streams_run_during_a_capture(module):
    y, x = np.zeros(4, np.float32), np.ones(4, np.float32)
    stream = Stream(non_blocking=True)
    stream.begin_capture()
    with Stream(non_blocking=True):
        module.get_function("add")((1,), (4,), (y, x, np.float32(1)))
    assert len(stream.end_capture()) == 0 and (y == 1).all()


@pytest.mark.parametrize(
    ("what", "action"),
    [
        ("add on the null stream", lambda add: add((1,), (1,), (np.zeros(1, "f4"), np.zeros(1, "f4"), np.float32(1)))),
        ("synchronizing", lambda add: Stream.null.synchronize()),
        ("allocating 64 bytes", lambda add: forbid_in_capture("allocating 64 bytes")),
    ],
)
def test_what_cuda_forbids_ends_the_capture(module, what, action):
    stream = Stream(non_blocking=True)
    stream.begin_capture()
    with pytest.raises(SimulatorError, match=what):
        action(module.get_function("add"))
    with pytest.raises(SimulatorError, match=f"ended by.*{what}"):
        stream.end_capture()
    assert not stream.is_capturing()
    Stream.null.synchronize()
    forbid_in_capture("allocating")


def test_arguments_are_checked_when_they_are_captured(module):
    stream = Stream()
    with stream:
        stream.begin_capture()
        with pytest.raises(SimulatorError, match="argument 2 'x'"):
            module.get_function("add")((1,), (4,), (np.zeros(4, "f4"), np.zeros(4), np.float32(1)))
        with pytest.raises(SimulatorError, match="takes 3 arguments"):
            module.get_function("add")((1,), (4,), ())
        with pytest.raises(SimulatorError, match="blocks of"):
            module.get_function("add")((1,), (2000,), (np.zeros(4, "f4"), np.zeros(4, "f4"), np.float32(1)))
        assert len(stream.end_capture()) == 0


def test_capture_begins_and_ends_in_order():
    with pytest.raises(SimulatorError, match="null stream"):
        Stream.null.begin_capture()
    stream = Stream()
    with pytest.raises(SimulatorError, match="does not capture"):
        stream.end_capture()
    stream.begin_capture()
    with pytest.raises(SimulatorError, match="already"):
        stream.begin_capture()
    stream.end_capture()


def test_another_thread_may_do_what_a_capturing_one_may_not(module):
    stream, errors = Stream(), []

    def work():
        try:
            forbid_in_capture("allocating")
            Stream.null.synchronize()
        except SimulatorError as error:
            errors.append(error)

    stream.begin_capture()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    stream.end_capture()
    assert not errors


def test_streams_that_wait_for_one_that_captures_join_it(module):
    """What they launch is in the graph, in an order that keeps what waits for what."""
    add, x, y, one = module.get_function("add"), *(np.zeros(4, np.float32) for _ in "xy"), np.ones(4, np.float32)
    first, side = Stream(non_blocking=True), Stream(non_blocking=True)
    with first:
        first.begin_capture()
        add((1,), (4,), (x, one, np.float32(1)))
        side.wait_event(first.record())
        with side:
            add((1,), (4,), (y, one, np.float32(1)))
        assert side.is_capturing()
        first.wait_event(side.record())
        graph = first.end_capture()
    assert not side.is_capturing() and len(graph) == 2 and not x.any() and not y.any()
    graph.launch()
    assert (x == 1).all() and (y == 1).all()


def test_a_stream_that_joined_has_to_be_waited_for(module):
    add, x, one = module.get_function("add"), np.zeros(4, np.float32), np.ones(4, np.float32)
    first, side = Stream(non_blocking=True), Stream(non_blocking=True)
    first.begin_capture()
    side.wait_event(first.record())
    with side:
        add((1,), (4,), (x, one, np.float32(1)))
    with pytest.raises(SimulatorError, match="has joined the capture of another one"):
        side.end_capture()
    with pytest.raises(SimulatorError, match="was not waited for"):
        first.end_capture()
    assert not side.is_capturing()


def test_a_stream_that_captures_waits_for_nothing_outside():
    first, other = Stream(non_blocking=True), Stream(non_blocking=True)
    outside = other.record()
    first.begin_capture()
    with pytest.raises(SimulatorError, match="can't wait for what is not captured"):
        first.wait_event(outside)
    first.end_capture()
    first.wait_event(outside)
