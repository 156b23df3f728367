"""The device cuda, on a CuPy without a GPU: arrays, copies, memory, devices, streams, errors, training."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend import cuda_staging
from gpunn.backend.dtypes import DTYPES

from . import fake_cupy

# Arrays ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [d.name for d in DTYPES])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4)])
def test_there_and_back(machine, dtype, shape) -> None:
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(gpunn.backend.dtypes.as_dtype(dtype).numpy)
    there = gpunn.tensor(x, device="cuda")
    assert isinstance(there._data, fake_cupy.ndarray)
    assert (there.shape, there.dtype.name, there.device) == (shape, dtype, gpunn.device("cuda:0"))
    back = there.cpu().numpy()
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    assert back.tobytes() == x.tobytes()


def test_strided_arrays_there_and_back(machine) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    backend = gpunn.device("cuda").backend
    for view in (x.T, x[:, ::-2], x[..., 1], np.broadcast_to(x, (2, 2, 3, 4))):
        there = backend.from_numpy(view)
        assert there.flags.c_contiguous
        np.testing.assert_array_equal(backend.to_numpy(there), view)
    there = backend.from_numpy(x)
    np.testing.assert_array_equal(backend.to_numpy(there.transpose(2, 0, 1)[::-1]), x.transpose(2, 0, 1)[::-1])


def test_the_host_may_change_its_array_at_once(machine) -> None:
    x = np.arange(1000.0)
    there = [gpunn.device("cuda").backend.from_numpy(x)]
    for _ in range(20):  # more than may wait
        x += 1
        there.append(gpunn.device("cuda").backend.from_numpy(x))
    x[...] = -1
    for i, y in enumerate(there):
        assert gpunn.device("cuda").backend.to_numpy(y)[0] == i


def test_large_arrays_go_in_pieces(machine, monkeypatch) -> None:
    monkeypatch.setattr(cuda_staging, "PIECE", 1024)
    monkeypatch.setattr(cuda_staging, "SMALL", 512)
    x = np.arange(9_900, dtype=np.int16)
    np.testing.assert_array_equal(gpunn.tensor(x, device="cuda").cpu().numpy(), x)
    assert set(machine.pinned) == {1024, 512}
    staging = gpunn.device("cuda").backend._staging
    assert len(staging.waiting) <= cuda_staging.MOST_WAITING
    gpunn.tensor([1.0], device="cuda").item()
    gpunn.tensor([1.0], device="cuda")
    assert len(staging.waiting) == 1  # what was read was let go of


def test_without_page_locked_memory(machine) -> None:
    machine.no_pinned_memory = True
    x = np.arange(5.0)
    there = gpunn.device("cuda").backend.from_numpy(x)
    x[...] = 0
    assert gpunn.device("cuda").backend.to_numpy(there).tolist() == [0, 1, 2, 3, 4]


def test_what_the_backend_says_of_an_array(machine) -> None:
    x = gpunn.tensor(np.zeros((4, 6), np.float32), device="cuda")
    assert x.data_ptr() % 4 == 0
    assert x.data_ptr() == x._data.data.ptr
    assert x[1:].data_ptr() == x.data_ptr() + 24
    assert (x.stride(), x.T.stride(), x.T.is_contiguous()) == ((6, 1), (1, 6), False)
    assert x.is_cuda
    assert repr(gpunn.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"


# Memory ---------------------------------------------------------------------------------------------------------------


def test_memory(machine) -> None:
    gc.collect()
    before = gpunn.cuda.memory_allocated()
    x = gpunn.zeros(1024, 256, device="cuda")
    assert gpunn.cuda.memory_allocated() == before + x.nbytes
    gpunn.cuda.reset_peak_memory_stats()
    for _ in range(3):
        y = x + 1
    assert gpunn.cuda.max_memory_allocated() == before + 3 * x.nbytes
    del y
    assert gpunn.cuda.memory_allocated() == before + x.nbytes
    assert gpunn.cuda.memory_reserved() >= before + 3 * x.nbytes
    gpunn.cuda.empty_cache()
    assert gpunn.cuda.memory_reserved() == gpunn.cuda.memory_allocated()
    gpunn.cuda.reset_peak_memory_stats()
    assert gpunn.cuda.max_memory_allocated() == gpunn.cuda.memory_allocated()
    free, total = gpunn.cuda.mem_get_info()
    assert (total, total - free) == (fake_cupy.TOTAL, gpunn.cuda.memory_reserved())
    y = gpunn.zeros(1024, 256, device="cuda")
    del y  # the pool keeps it
    assert gpunn.cuda.free_memory() == total - gpunn.cuda.memory_allocated() > gpunn.cuda.mem_get_info()[0]
    gpunn.cuda.set_per_process_memory_fraction(0.5)
    assert gpunn.cuda.free_memory() == total // 2 - gpunn.cuda.memory_allocated()


def test_out_of_memory_says_where_the_memory_is(machine) -> None:
    kept = gpunn.empty(64, 1 << 20, device="cuda")
    with pytest.raises(gpunn.cuda.OutOfMemoryError) as error:
        gpunn.zeros(1024, 1 << 20, device="cuda")
    message = str(error.value)
    assert "cuda:0 is out of memory: 4.0 GiB were asked for, for an array (1024, 1048576) of float32" in message
    assert "arrays take 256.0 MiB, CuPy's pool keeps 0 B more, and 768.0 MiB of 1.0 GiB are free" in message
    assert "Take smaller batches" in message
    assert isinstance(error.value, MemoryError)
    assert isinstance(error.value, RuntimeError)
    kept[0, :3] = 2
    assert kept[0, :3].tolist() == [2, 2, 2]  # and all goes on


def test_a_limit_of_the_pool(machine) -> None:
    gpunn.cuda.set_per_process_memory_fraction(0.25)
    with pytest.raises(gpunn.cuda.OutOfMemoryError, match=r"more, which may take 256\.0 MiB, and"):
        gpunn.zeros(300 << 20, dtype="uint8", device="cuda")
    gpunn.cuda.set_per_process_memory_fraction(1)
    gpunn.zeros(300 << 20, dtype="uint8", device="cuda")
    for wrong in (0, -1, 1.5):
        with pytest.raises(ValueError, match="fraction is above 0 and up to 1"):
            gpunn.cuda.set_per_process_memory_fraction(wrong)


# Devices --------------------------------------------------------------------------------------------------------------


def test_cuda_is_the_current_device(two) -> None:
    assert gpunn.device("cuda") is gpunn.device("cuda:0") is gpunn.device("cuda", 0)
    assert (gpunn.cuda.device_count(), gpunn.cuda.current_device()) == (2, 0)
    with gpunn.cuda.device(1):
        assert gpunn.device("cuda") is gpunn.device("cuda:1")
        assert gpunn.ones(2).cuda().device is gpunn.device("cuda:1")
        assert gpunn.ones(2, device="cuda").to("cuda:0").device is gpunn.device("cuda:0")
        with gpunn.cuda.device(None):
            assert gpunn.cuda.current_device() == 1
    gpunn.cuda.set_device("cuda:1")
    assert gpunn.cuda.current_device() == 1
    assert nn.Linear(2, 2).cuda().weight.device is gpunn.device("cuda:1")
    assert nn.Linear(2, 2).cuda(0).weight.device is gpunn.device("cuda:0")
    gpunn.cuda.set_device(0)
    for wrong in ("cpu", gpunn.device("sim")):
        with pytest.raises(ValueError, match="is no CUDA device; give an index, 'cuda' or 'cuda:1'"):
            gpunn.cuda.set_device(wrong)
        with pytest.raises(ValueError, match="is no CUDA device"):
            gpunn.ones(1).cuda(wrong)
        with pytest.raises(ValueError, match="is no CUDA device"):
            nn.Linear(1, 1).cuda(wrong)


def test_work_goes_to_the_device_of_its_arrays(two) -> None:
    x = gpunn.tensor(np.arange(6.0).reshape(2, 3), device="cuda:1", requires_grad=True)
    y = (x.T.contiguous().exp() * x.T).sum()
    y.backward()
    assert x.grad.device is gpunn.device("cuda:1")
    assert x.grad._data.data.device_id == 1
    expected = (1 + np.arange(6.0)) * np.exp(np.arange(6.0))
    np.testing.assert_allclose(x.grad.cpu().numpy().ravel(), expected, rtol=1e-12)
    assert gpunn.cuda.current_device() == 0
    assert gpunn.cuda.memory_allocated(1) > 0
    assert gpunn.cuda.memory_allocated(0) == 0
    assert gpunn.tensor([3.0], device="cuda:1").to("cuda:0").item() == 3


def test_the_current_device_is_left_alone(two) -> None:
    x = gpunn.ones(3, device="cuda:0")
    before = two.switches
    (x + x).sum()
    assert two.switches == before
    (gpunn.ones(3, device="cuda:1") + 1).tolist()
    assert two.switches > before
    assert gpunn.cuda.current_device() == 0


def test_two_devices_in_one_op(two) -> None:
    x, y = gpunn.ones(2, device="cuda:0"), gpunn.ones(3, device="cuda:1")
    with pytest.raises(
        RuntimeError, match=r"one device, got float32\[2\] on cuda:0 and float32\[3\] on cuda:1; move one"
    ):
        x + y
    with pytest.raises(RuntimeError, match=r"one device, got float32\[2\] on cuda:0 and float32\[3\] on cpu; move one"):
        x + np.ones(3, np.float32)


def test_a_device_that_is_not_there(machine, two) -> None:
    with pytest.raises(gpunn.cuda.DeviceError, match="no device cuda:2; there are 2, cuda:0 to cuda:1"):
        gpunn.ones(2, device="cuda:2")
    with fake_cupy.installed(), pytest.raises(gpunn.cuda.DeviceError, match="no device cuda:1; the only one is cuda:0"):
        gpunn.ones(2, device="cuda:1")


def test_without_a_driver() -> None:
    with fake_cupy.installed(driver=0):
        assert not gpunn.cuda.is_available()
        assert gpunn.cuda.why_unavailable() == "there is no NVIDIA driver"
        assert gpunn.cuda.device_count() == 0
        with pytest.raises(
            gpunn.cuda.DeviceError, match=r"^the device cuda:0 can't be used: there is no NVIDIA driver$"
        ):
            gpunn.ones(2, device="cuda")
        gpunn.cuda.empty_cache()
    with fake_cupy.installed(devices=0, driver=12080):
        assert "no CUDA-capable device is detected" in gpunn.cuda.why_unavailable()
    with fake_cupy.installed(devices=0, driver=11040):
        assert "driver is for CUDA 11.4, and this CuPy is for CUDA 12.8" in gpunn.cuda.why_unavailable()


def test_without_cupy(monkeypatch) -> None:
    with fake_cupy.installed(), monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cupy", None)  # an import of it fails
        assert not gpunn.cuda.is_available()
        with pytest.raises(ImportError, match=r"needs CuPy, which .*; pip install 'gpunn\[cuda12\]'"):
            gpunn.ones(2, device="cuda")


def test_what_a_device_is(machine) -> None:
    assert gpunn.cuda.is_available()
    assert gpunn.cuda.get_device_name() == "Simulated GPU"
    assert gpunn.cuda.get_device_capability("cuda:0") == (9, 0)
    properties = gpunn.cuda.get_device_properties(0)
    assert (properties.total_memory, properties.multi_processor_count) == (fake_cupy.TOTAL, 4)
    assert gpunn.cuda.versions()["gpu"] == "Simulated GPU"
    assert gpunn.cuda.versions()["nvrtc"] == f"{machine.toolkit // 1000}.{machine.toolkit % 1000 // 10}"


def test_importing_gpunn_does_not_import_cupy(tmp_path) -> None:
    (tmp_path / "cupy.py").write_text("raise RuntimeError('CuPy was imported')\n")
    program = (
        "import gpunn, gpunn.cuda, gpunn.nn, gpunn.optim, gpunn.train; from gpunn.cli import main\n"
        "gpunn.device('cuda'); x = gpunn.tensor([1.0]) + 1; gpunn.as_tensor([1]); gpunn.ops.equal(x, x)\n"
        "import sys; assert 'cupy' not in sys.modules\n"
        "print(gpunn.cuda.is_available(), gpunn.cuda.why_unavailable())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False CuPy was imported\n"


# Streams --------------------------------------------------------------------------------------------------------------


def test_work_goes_to_the_current_stream(machine) -> None:
    x = gpunn.tensor(np.ones(4), device="cuda")
    gpunn.cuda.synchronize()
    own = gpunn.cuda.Stream()
    with gpunn.cuda.stream(own):
        assert gpunn.cuda.current_stream() == own
        y = x + 1
    assert gpunn.cuda.current_stream() == gpunn.cuda.default_stream() != own
    assert not own.query()
    assert gpunn.cuda.default_stream().query()
    own.synchronize()
    assert own.query()
    assert y.cpu().tolist() == [2, 2, 2, 2]
    with gpunn.cuda.stream(own.cupy), gpunn.cuda.stream(None):  # CuPy's own is taken too
        assert gpunn.cuda.current_stream() == own
    assert own.__cuda_stream__() == (0, own.cuda_stream)
    assert len({own, gpunn.cuda.default_stream(), gpunn.cuda.current_stream()}) == 2


def test_streams_wait_for_one_another(machine) -> None:
    a, b = gpunn.cuda.Stream(), gpunn.cuda.Stream()
    with gpunn.cuda.stream(a):
        x = gpunn.tensor(np.ones(4), device="cuda") * 3
    b.wait_stream(a)
    with gpunn.cuda.stream(b):
        y = x + 1
        assert y.cpu().tolist() == [4, 4, 4, 4]


def test_events(machine) -> None:
    first, last, plain = gpunn.cuda.Event(enable_timing=True), gpunn.cuda.Event(enable_timing=True), gpunn.cuda.Event()
    assert plain.query()
    plain.synchronize()
    first.record()
    x = gpunn.ones(3, device="cuda") + 1
    last.record()
    assert not last.query()
    last.synchronize()
    assert first.query()
    assert last.query()
    assert first.elapsed_time(last) > 0
    plain.record()
    with pytest.raises(RuntimeError, match="enable_timing=True"):
        first.elapsed_time(plain)
    assert x.sum().item() == 6


def test_a_stream_of_another_device(two) -> None:
    own = gpunn.cuda.Stream(1, priority=-1)
    assert own.device is gpunn.device("cuda:1")
    with gpunn.cuda.stream(own):
        assert gpunn.cuda.current_device() == 1
        x = gpunn.ones(3, device="cuda") + 1
    assert gpunn.cuda.current_device() == 0
    assert x.device is gpunn.device("cuda:1")
    own.wait_stream(gpunn.cuda.default_stream(0))
    gpunn.cuda.synchronize(1)
    assert own.query()


# What is above --------------------------------------------------------------------------------------------------------


def test_training_gives_the_bits_of_the_simulator(machine) -> None:
    from .test_second_backend import train

    losses, parameters = train("cuda")
    expected_losses, expected = train("sim")
    assert losses == expected_losses
    for p, e in zip(parameters, expected):
        np.testing.assert_array_equal(p, e)


def test_half_precision_parameters_move(machine) -> None:
    w = gpunn.ones(3, dtype="bfloat16").cuda()
    assert w._data.dtype == ml_dtypes.bfloat16
    assert (w + w).cpu().tolist() == [2, 2, 2]


def test_a_planned_step_is_captured(two) -> None:
    def losses(device: str) -> list[float]:
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 3)).to(device)
        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.Adam(model.parameters(), lr=0.01))
        rng = np.random.default_rng(0)
        x = gpunn.tensor(rng.standard_normal((5, 6)), dtype=gpunn.float32, device=device)
        y = gpunn.tensor(rng.integers(0, 3, 5), device=device)
        return [step(x, y).item() for _ in range(6)]

    np.testing.assert_allclose(losses("cuda:1"), losses("cpu"), rtol=1e-5)
    assert gpunn.cuda.current_device() == 0
