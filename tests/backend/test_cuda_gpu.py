"""The device cuda on a GPU: what a fake CuPy can't show. `pytest -m gpu` runs these and the cases of all ops."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.dtypes import DTYPES, as_dtype
from gpunn.bench.implementations.gpunn_eager import Training
from gpunn.bench.workloads import WORKLOADS

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy() -> Any:
    import cupy

    return cupy


# Copies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [d.name for d in DTYPES])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4), (1025, 1023)])
def test_there_and_back(rng, cuda, dtype, shape) -> None:
    x = rng.integers(0, 100, shape).astype(as_dtype(dtype).numpy)
    there = gpunn.tensor(x, device=cuda)
    assert (there.shape, there.dtype.name, there.device) == (shape, dtype, cuda)
    assert there.cpu().numpy().tobytes() == x.tobytes()
    if there.ndim > 1:
        np.testing.assert_array_equal(there.T.cpu().numpy(), x.T)
        np.testing.assert_array_equal(there[:, 1::2].cpu().numpy(), x[:, 1::2])


def test_larger_than_what_goes_at_once(rng, cuda) -> None:
    from gpunn.backend.cuda import MOST_WAITING, PIECE

    x = rng.integers(0, 256, (MOST_WAITING + 3) * PIECE + 4097, dtype=np.uint8)
    np.testing.assert_array_equal(gpunn.tensor(x, device=cuda).cpu().numpy(), x)


def test_the_host_may_change_its_array_at_once(cuda) -> None:
    x = np.zeros(1 << 20, np.float32)
    busy = gpunn.ones(2048, 2048, device=cuda)
    there = []
    for i in range(24):  # more than may wait, behind work that takes the device a while
        busy = busy @ busy * 1e-3
        x[...] = i
        there.append(cuda.backend.from_numpy(x))
    x[...] = -1
    for i, y in enumerate(there):
        assert (cuda.backend.to_numpy(y) == i).all()


def test_more_elements_than_32_bits_count(cuda) -> None:
    n = 2**31 + 5
    if gpunn.cuda.mem_get_info()[0] < 3 * n:
        pytest.skip("too little memory on the device")
    x = gpunn.zeros(n, dtype="uint8", device=cuda)
    x[n - 3 :] = 7
    y = x + 1
    assert y[n - 4 :].cpu().tolist() == [1, 8, 8, 8]


def test_numbers_below_the_normal_ones_are_kept(cuda) -> None:
    x = gpunn.tensor([1e-40, -3e-42, 1.5e-38], device=cuda)
    expected = gpunn.tensor([1e-40, -3e-42, 1.5e-38])
    for f in (lambda t: t * 0.5, lambda t: t + t, lambda t: t.relu(), lambda t: t.sum().reshape(1)):
        np.testing.assert_array_equal(f(x).cpu().numpy(), f(expected).numpy())
        assert (f(x) != 0).any().item()


# With CuPy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [d.name for d in DTYPES])
def test_memory_is_shared_with_cupy(cupy, cuda, dtype) -> None:
    whole = cupy.zeros((6, 8), as_dtype(dtype).numpy)
    for array in (whole, whole.T, whole[1:, ::2], whole[::-1]):
        for t in (gpunn.as_tensor(array), gpunn.tensor(array, copy=False), gpunn.from_dlpack(array)):
            assert (t.data_ptr(), t.shape, t.dtype.name) == (array.data.ptr, array.shape, dtype)
            assert t._data.strides == array.strides
        back = cupy.from_dlpack(gpunn.as_tensor(array))
        assert (back.data.ptr, back.strides, back.dtype) == (array.data.ptr, array.strides, array.dtype)
    t = gpunn.as_tensor(whole[1:, ::2])
    t.fill_(1)
    assert float(whole.astype(np.float32).sum()) == 5 * 4
    if dtype != "bfloat16":  # which the interface has no name for
        assert cupy.asarray(t).data.ptr == t.data_ptr()


def test_work_of_both_is_in_order(cupy, cuda) -> None:
    x = cupy.ones((512, 512), np.float32)
    for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True)):
        stream.wait_event(cupy.cuda.get_current_stream().record())
        with stream:
            y = x
            for _ in range(50):  # one after another, on one stream, without waiting in between
                y = y * 1.5
                y = (gpunn.as_tensor(y) * 2 - y).cupy()
            found = y.get()
        np.testing.assert_allclose(found, np.full((512, 512), 1.5**50, np.float32), rtol=1e-5)


def test_arithmetic_with_cupy_arrays(cupy, cuda) -> None:
    x, t = cupy.arange(3, dtype=np.float32), gpunn.tensor([10.0, 20.0, 30.0], device=cuda)
    for result, expected in ((t + x, [10, 21, 32]), (x + t, [10, 21, 32]), (x - t, [-10, -19, -28])):
        assert isinstance(result, gpunn.Tensor)
        assert result.cpu().tolist() == expected
    with pytest.raises(RuntimeError, match=r"needs its tensors on one device, got .* on cpu and .* on cuda:0"):
        gpunn.ones(3) + x


def test_with_torch(cuda) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    theirs = torch.arange(12, device="cuda", dtype=torch.bfloat16).reshape(3, 4)
    mine = gpunn.from_dlpack(theirs.T)
    assert (mine.data_ptr(), mine.shape, mine.dtype) == (theirs.data_ptr(), (4, 3), gpunn.bfloat16)
    mine.mul_(2)
    gpunn.cuda.synchronize()
    assert theirs.float().sum().item() == 2 * 66
    assert torch.from_dlpack(mine).data_ptr() == mine.data_ptr()


# Streams --------------------------------------------------------------------------------------------------------------


def test_streams_and_events(cuda) -> None:
    first, last = gpunn.cuda.Event(enable_timing=True), gpunn.cuda.Event(enable_timing=True)
    a, b = gpunn.cuda.Stream(), gpunn.cuda.Stream(priority=-1)
    x = gpunn.ones(1024, 1024, device=cuda)
    a.wait_stream(gpunn.cuda.current_stream())
    with gpunn.cuda.stream(a):
        first.record()
        y = x
        for _ in range(20):
            y = y @ x * (1 / 1024)
        last.record()
    b.wait_stream(a)
    with gpunn.cuda.stream(b):
        assert gpunn.cuda.current_stream() == b
        np.testing.assert_allclose((y + 1).cpu().numpy(), np.full((1024, 1024), 2), rtol=1e-5)
    assert a.query()
    assert first.elapsed_time(last) > 0
    gpunn.cuda.synchronize()


# Memory ---------------------------------------------------------------------------------------------------------------


def test_memory(cuda) -> None:
    gc.collect()
    before = gpunn.cuda.memory_allocated()
    x = gpunn.zeros(1 << 20, device=cuda)
    assert gpunn.cuda.memory_allocated() == before + x.nbytes
    gpunn.cuda.reset_peak_memory_stats()
    x + 1
    gc.collect()
    assert gpunn.cuda.max_memory_allocated() == before + 2 * x.nbytes
    assert gpunn.cuda.memory_allocated() == before + x.nbytes
    gpunn.cuda.empty_cache()
    assert gpunn.cuda.memory_reserved() >= gpunn.cuda.memory_allocated()
    free, total = gpunn.cuda.mem_get_info()
    assert 0 < free < total


def test_out_of_memory(cuda) -> None:
    total = gpunn.cuda.mem_get_info()[1]
    with pytest.raises(gpunn.cuda.OutOfMemoryError, match=r"cuda:0 is out of memory: .* GiB were asked for"):
        gpunn.empty(2 * total, dtype="uint8", device=cuda)
    assert gpunn.ones(3, device=cuda).sum().item() == 3  # and all goes on


# Errors ---------------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there() -> None:
    count = gpunn.cuda.device_count()
    with pytest.raises(gpunn.cuda.DeviceError, match=f"there is no device cuda:{count}"):
        gpunn.ones(1, device=f"cuda:{count}")


def test_bad_indices_are_the_errors_of_the_cpu(cuda) -> None:
    def message(device: Any, call: Any) -> tuple[type, str]:
        with pytest.raises((IndexError, RuntimeError, ValueError)) as error:
            call(device).cpu()
        return error.type, str(error.value)

    table = np.zeros((4, 2), np.float32)
    for call in (
        lambda d: nn.functional.embedding(gpunn.tensor([1, 9], device=d), gpunn.tensor(table, device=d)),
        lambda d: nn.functional.cross_entropy(gpunn.tensor(table, device=d), gpunn.tensor([0, 1, 5, 0], device=d)),
        lambda d: gpunn.tensor(table, device=d)[gpunn.tensor([0, -7], device=d)],
    ):
        assert message(cuda, call) == message("cpu", call)
    assert gpunn.ones(3, device=cuda).sum().item() == 3  # the device still works


def test_nothing_is_trained_from_a_bad_label_on(cuda) -> None:
    layer = nn.Linear(4, 3).to(cuda)
    opt = gpunn.optim.Adam(layer.parameters())
    x = gpunn.ones(5, 4, device=cuda)

    def step(labels: list[int]) -> None:
        opt.zero_grad()
        nn.functional.cross_entropy(layer(x), gpunn.tensor(labels, device=cuda)).backward()
        opt.step()

    step([0, 1, 2, 0, 1])
    before = layer.weight.tolist()
    step([0, 1, 2, 0, 3])
    step([0, 1, 2, 0, 1])
    with pytest.raises(IndexError, match="Target 3"):
        gpunn.cuda.synchronize()
    assert layer.weight.tolist() == before
    step([0, 1, 2, 0, 1])
    assert layer.weight.tolist() != before


def test_running_statistics(cuda) -> None:
    x = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    norms = [nn.BatchNorm1d(3).to(device) for device in (cuda, "sim")]
    for norm in norms:
        for _ in range(3):
            norm(gpunn.tensor(x, device=norm.weight.device))
    for a, b in zip(norms[0].buffers(), norms[1].buffers()):
        np.testing.assert_allclose(a.cpu().numpy(), b.cpu().numpy(), rtol=1e-6)


def test_several_devices() -> None:
    if gpunn.cuda.device_count() < 2:
        pytest.skip("there is one device")
    x = gpunn.tensor(np.arange(6.0), device="cuda:1", requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.device is gpunn.device("cuda:1")
    assert gpunn.cuda.current_device() == 0
    assert x.grad.to("cuda:0").cpu().tolist() == [0, 2, 4, 6, 8, 10]
    with pytest.raises(RuntimeError, match=r"float64\[6\] on cuda:1 and float32\[6\] on cuda:0"):
        x * gpunn.ones(6, device="cuda:0")


# Training -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("workload", ["W1", "W4"])
def test_training_agrees_with_the_cpu(workload, optimizer) -> None:
    w = WORKLOADS[workload]
    expected, got = (Training(w, 32, 4, optimizer, device).losses(20)[: w.gate] for device in ("cpu", "cuda"))
    # Adam divides by the size of a gradient, however small, which makes rounding count more.
    np.testing.assert_allclose(got, expected, rtol=0, atol=(1e-4 if optimizer == "sgd" else 1e-3) * expected[0])
    assert got[-1] < got[0]


@pytest.mark.parametrize("workload", ["W1", "W4"])
def test_training_has_the_same_bits_twice(workload) -> None:
    def bits() -> list[bytes]:
        training = Training(WORKLOADS[workload], 32, 4, "adam", "cuda")
        training.losses(20)
        return [p.detach().cpu().numpy().tobytes() for p in training.model.parameters()]

    first = bits()
    assert bits() == first
    with gpunn.cuda.stream(gpunn.cuda.Stream()):
        assert bits() == first


def test_the_training_loop(rng, cuda) -> None:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    x = rng.standard_normal((300, 20)).astype(np.float32)
    y = np.argmax(x[:, :3], axis=1)
    trainer = gpunn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        gpunn.optim.Adam(model.parameters(), lr=0.01),
        metrics=["accuracy"],
        device=cuda,
        progress=False,
    )
    history = trainer.fit((x, y), 5, batch_size=32)
    assert history.rows[-1]["loss"] < 0.5 * history.rows[0]["loss"]
    assert trainer.evaluate((x, y))["accuracy"] > 0.9
    assert next(model.parameters()).device is cuda
