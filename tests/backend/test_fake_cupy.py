"""The CuPy without a GPU finds what would go wrong on one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backend.recording import Recorder, capture

from . import fake_cupy
from .fake_launch import CUDADriverError
from .fake_pool import DevicePool, OutOfMemoryError

# Memory ---------------------------------------------------------------------------------------------------------------


def numbers(*values: float) -> fake_cupy.ndarray:
    x = fake_cupy.empty(len(values), np.float32)
    x.set(np.array(values, np.float32))
    return x


def copied(x: fake_cupy.ndarray) -> fake_cupy.ndarray:
    y = fake_cupy.empty(x.shape, x.dtype)
    y.data.copy_from_device_async(x.data, x.nbytes)
    return y


def test_the_next_array_of_a_stream_gets_the_memory_at_once(machine) -> None:
    x = numbers(1, 2, 3)
    address = x.data.ptr
    y = copied(x)
    del x
    z = numbers(7, 8, 9)
    assert z.data.ptr == address
    assert y.get().tolist() == [1, 2, 3]  # in the order of the stream all is well
    assert z.get().tolist() == [7, 8, 9]


def test_another_stream_gets_other_memory(machine) -> None:
    x = numbers(1, 2, 3)
    address = x.data.ptr
    del x
    own = fake_cupy.Stream()
    with own:
        assert numbers(4).data.ptr != address
        own.synchronize()
    assert numbers(5).data.ptr == address


def test_what_another_stream_reads_too_late_is_spoiled(machine) -> None:
    x = numbers(1, 2, 3)
    fake_cupy.Stream.null.synchronize()
    own = fake_cupy.Stream()
    with own:
        y = copied(x)
    del x
    fake_cupy.Stream.null.synchronize()
    with own:
        assert (y.get() > 1e38).all()


def test_what_another_stream_waits_for_is_not(machine) -> None:
    x = numbers(1, 2, 3)
    own, event = fake_cupy.Stream(), fake_cupy.Event()
    event.record()
    own.wait_event(event)
    with own:
        y = copied(x)
        event.record()
    fake_cupy.Stream.null.wait_event(event)
    del x
    fake_cupy.Stream.null.synchronize()
    with own:
        assert y.get().tolist() == [1, 2, 3]


def test_a_graph_holds_no_memory(machine) -> None:
    backend = gpunn.device("cuda").backend
    x, y = backend.from_numpy(np.ones(3, np.float32)), backend.full((3,), 0, np.float32)
    backend.add(x, x, out=y)  # the kernel is loaded
    recorder = Recorder(backend)
    with recorder.call() as launches:
        backend.add(x, x, out=y)
    graph = capture(backend, launches)
    graph.launch()
    assert backend.to_numpy(y).tolist() == [2, 2, 2]
    launches.clear()
    del recorder, x
    graph.launch()
    assert not np.isfinite(backend.to_numpy(y)).any()


def test_the_work_of_a_stream_that_is_gone_is_done(machine) -> None:
    x = fake_cupy.empty(3, np.float32)
    with fake_cupy.Stream():
        y = copied(numbers(1, 2, 3))
        x.data.copy_from_device_async(y.data, y.nbytes)
    fake_cupy.Device().synchronize()
    assert x.get().tolist() == [1, 2, 3]


def test_what_is_kept_for_later_goes_before_memory_is_out() -> None:
    pool = DevicePool()
    pool.limit = 4 << 10
    blocks = [pool.take(1 << 10, 0) for _ in range(4)]
    for block in blocks:
        pool.give_back(block, 0, [])
    assert (pool.used, pool.reserved) == (0, 4 << 10)
    whole = pool.take(4000, 0)
    assert (pool.used, pool.reserved) == (4 << 10, 4 << 10)
    with pytest.raises(OutOfMemoryError):
        pool.take(1, 0)
    pool.give_back(whole, 0, [])
    pool.free_all()
    assert (pool.used, pool.reserved) == (0, 0)


# Launches -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fill(machine: Any) -> Any:
    """The kernel ``fill(y, value, count)``, as CuPy calls it, with right arguments."""
    backend = gpunn.device("cuda").backend
    function = backend.launcher.function("fill.cu", "fill", element_t=np.dtype(np.int32))
    y = fake_cupy.empty(4, np.int32)
    right = {"grid": (1,), "block": (32,), "args": (y, np.int32(7), np.int64(4)), "shared_mem": 0}

    def launch(**changes: Any) -> Any:
        given = right | changes
        function(given["grid"], given["block"], given["args"], shared_mem=given["shared_mem"])
        return y

    return launch


def test_a_launch(fill) -> None:
    assert fill().get().tolist() == [7] * 4


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (TypeError, {"grid": [1]}),
        (TypeError, {"block": [32]}),
        (TypeError, {"grid": (1.0,)}),
        (TypeError, {"shared_mem": 1.5}),
        (AssertionError, {"grid": (0,)}),
        (AssertionError, {"grid": (1, 1, 1, 1)}),
        (CUDADriverError, {"grid": (1, 65536)}),
        (CUDADriverError, {"grid": (1 << 31,)}),
        (CUDADriverError, {"block": (32, 33)}),
        (CUDADriverError, {"block": (1, 1, 65)}),
        (CUDADriverError, {"shared_mem": (48 << 10) + 1}),
    ],
)
def test_sizes_of_a_launch(fill, error, changes) -> None:
    with pytest.raises(error):
        fill(**changes)


@pytest.mark.parametrize(
    ("error", "wrong", "said"),
    [
        (AssertionError, (None, np.int32(7)), "takes 3 arguments"),
        (AssertionError, (None, 7, np.int64(4)), "4 bytes, and gets 8"),
        (AssertionError, (None, np.int32(7), np.int32(4)), "8 bytes, and gets 4"),
        (AssertionError, (None, True, np.int64(4)), "4 bytes, and gets 1"),
        (AssertionError, (None, np.float32(7), np.int64(4)), "takes int32, and gets float32"),
        (AssertionError, (None, None, np.int64(4)), "is no pointer"),
        (AssertionError, (np.int64(0), np.int32(7), np.int64(4)), "is a pointer"),
        (TypeError, (np.zeros(2), np.int32(7), np.int64(4)), "size one"),
        (TypeError, (None, "7", np.int64(4)), "Unsupported type"),
    ],
)
def test_arguments_of_a_launch(fill, error, wrong, said) -> None:
    with pytest.raises(error, match=said):
        fill(args=wrong)


def test_more_shared_memory_has_to_be_asked_for(machine) -> None:
    function = gpunn.device("cuda").backend.launcher.function("fill.cu", "fill", element_t=np.dtype(np.int32))
    args = fake_cupy.empty(4, np.int32), np.int32(7), np.int64(4)
    function.max_dynamic_shared_size_bytes = 100 << 10
    function((1,), (32,), args, shared_mem=100 << 10)
    with pytest.raises(CUDADriverError):
        function((1,), (32,), args, shared_mem=(100 << 10) + 1)


def test_a_launch_bound(machine) -> None:
    function = gpunn.device("cuda").backend.launcher.function("check.cu", "first_outside", integer_t=np.dtype(np.int8))
    with pytest.raises(CUDADriverError, match="too many resources"):
        function((1,), (512,), ())


def test_a_driver_for_an_older_cuda() -> None:
    with fake_cupy.installed(driver=12080, toolkit=13000):
        assert "driver is for CUDA 12.8, and this CuPy is for CUDA 13.0" in gpunn.cuda.why_unavailable()
    with fake_cupy.installed(driver=13000, toolkit=12080):
        assert gpunn.cuda.is_available()
