"""Products by cuBLASLt, held against a stand-in for the library that computes on the CPU and checks what it gets."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

import gpunn
from gpunn.backend import cublaslt, cuda_library, numpy
from gpunn.backend.cublaslt import CublasLt
from gpunn.backend.device import DeviceError
from gpunn.backend.kernel.ladder import LADDERS, rung
from gpunn.backend.products import computing_in
from gpunn.backend.recording import Recorder
from gpunn.backend.sim import SimBackend

from ..kernels.harness import assert_rounded_once, close
from ..kernels.test_matmul import layouts, normal

STREAM = 0x5000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cublaslt") / "libcublasLt.so.12"
    source = Path(__file__).with_name("cublaslt_stand_in.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", path, source, "-lm"], check=True)
    return path


@pytest.fixture
def library(built: Path) -> Any:
    found = ctypes.CDLL(str(built))
    for name in ("asked", "computed", "refuse", "fail"):
        ctypes.c_int.in_dll(found, name).value = 0
    return found


@pytest.fixture
def backend(library: Any, monkeypatch: pytest.MonkeyPatch) -> SimBackend:
    """The simulated device, whose memory is that of the host, with the stand-in."""
    made = SimBackend()
    lt = CublasLt(library, made.address, lambda: STREAM, made.here)
    monkeypatch.setattr(made, "cublaslt", lambda: lt)
    return made


def read(library: Any, name: str, kind: Any = ctypes.c_int) -> Any:
    return kind.in_dll(library, name).value


def compare(backend: SimBackend, primitive: str, *args: Any) -> np.ndarray:
    """The primitive gives what NumPy's gives, also to memory that is there."""
    expected = getattr(numpy, primitive)(*args)
    wide = getattr(numpy, primitive)(*(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args))
    got = getattr(backend, primitive)(*args)
    close((got,), (expected,), None, None, False, primitive)
    assert_rounded_once((got,), (wide,), primitive)
    out = np.full_like(got, 7)
    getattr(backend, primitive)(*args, out=out)
    assert out.tobytes() == got.tobytes()
    return got


@pytest.mark.parametrize("dtype", ["float16", bfloat16])
@pytest.mark.parametrize(("x", "y"), [((3, 8), (8, 16)), ((24, 40), (40, 8)), ((5, 7), (7, 3)), ((1, 16), (16, 8))])
def test_halves(backend, library, x, y, dtype):
    with rung("half_product", "cublaslt"):
        compare(backend, "matmul", normal(*x, dtype=dtype), normal(*y, dtype=dtype))
    assert read(library, "computed") == 2
    assert read(library, "last_compute") == 68
    assert read(library, "last_stream", ctypes.c_void_p) == STREAM
    assert read(library, "last_reduction") == 2


def test_lines_of_any_direction_and_batches(backend, library):
    with rung("half_product", "cublaslt"):
        for x in layouts(8, 24):
            for y in layouts(24, 16):
                compare(backend, "matmul", x.astype("float16", order="K"), y.astype("float16", order="K"))
        before = read(library, "computed")
        for x, y in (((4, 8, 24), (4, 24, 16)), ((4, 8, 24), (24, 16)), ((8, 24), (4, 24, 16))):
            compare(backend, "matmul", normal(*x, dtype="float16"), normal(*y, dtype="float16"))
            transposed = normal(*y[:-2], y[-1], y[-2], dtype="float16").swapaxes(-1, -2)
            compare(backend, "matmul", normal(*x, dtype="float16"), transposed)
    assert read(library, "computed") == before + 12


@pytest.mark.parametrize(
    ("kind", "epilogue"), [("none", {True: 4, False: 1}), ("relu", {True: 6, False: 2}), ("gelu", {True: 1, False: 1})]
)
@pytest.mark.parametrize("bias", [True, False])
def test_bias_and_activation(backend, library, kind, epilogue, bias):
    x, w, b = (normal(*shape, dtype="float16") for shape in ((8, 24), (16, 24), (16,)))
    with rung("half_product", "cublaslt"):
        compare(backend, "linear_activation", x, w, b if bias else None, kind, 0.0)
    assert read(library, "last_epilogue") == epilogue[bias]


def test_gradients(backend, library):
    dz, x, w = (normal(*shape, dtype="float16") for shape in ((40, 16), (40, 24), (16, 24)))
    expected = numpy.linear_backward(dz, x, w, (True, True, True))
    with rung("half_product", "cublaslt"):
        got = backend.linear_backward(dz, x, w, (True, True, True))
    close(got, expected, None, None, False, "linear_backward")
    assert read(library, "computed") == 2


def test_precisions_of_float32(backend, library):
    x, y = normal(8, 24), normal(24, 16)
    for ladder, precision, compute in (
        ("half_product", "high", 77),
        ("half_product", "medium", 68),
        ("matmul", "highest", 68),
        ("matmul", "high", 77),
    ):
        with rung(ladder, "cublaslt"), computing_in(precision):
            got = backend.matmul(x, y)
        np.testing.assert_allclose(got, x @ y, rtol=1e-6 if precision != "medium" else 0.02, atol=0.1)
        assert read(library, "last_compute") == compute
    before = read(library, "computed")
    with rung("half_product", "cublaslt"):
        backend.matmul(x, y)
    with rung("matmul", "cublaslt"):
        assert (backend.matmul(np.eye(3, dtype=np.int64), np.eye(3, dtype=np.int64)) == np.eye(3)).all()
        np.testing.assert_allclose(backend.matmul(x.astype(float), y.astype(float)), x.astype(float) @ y, rtol=1e-12)
    assert read(library, "computed") == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_affine_maps_of_floats(backend, library, dtype):
    """In float32 they are the library's; it is not asked for float64, nor for what lies at an odd address."""
    x, w, b, dz = (normal(*shape, dtype=dtype) for shape in ((40, 24), (16, 24), (16,), (40, 16)))
    odd = normal(40 * 24 + 1, dtype=dtype)[1:].reshape(40, 24)
    with rung("linear_forward", "cublaslt"), rung("linear_backward", "cublaslt"):
        for kind in ("none", "relu", "gelu"):
            compare(backend, "linear_activation", x, w, b, kind, 0.0)
        got = backend.linear_backward(dz, x, w, (True, True, True))
        computed = read(library, "computed")
        compare(backend, "linear_activation", odd, w, b, "relu", 0.0)
        compare(backend, "linear_activation", odd, w, None, "none", 0.0)
    close(got, numpy.linear_backward(dz, x, w, (True, True, True)), None, None, False, "linear_backward")
    assert computed == read(library, "computed") == (8 if dtype == "float32" else 0)


def test_a_step_without_a_device_has_none_of_its_kernels_and_its_room():
    model = gpunn.nn.Linear(64, 32).to(gpunn.bfloat16)
    batch = gpunn.zeros(16, 64, dtype=gpunn.bfloat16), gpunn.zeros(16, dtype=gpunn.int64)
    for name, has in (("tensor", True), ("cublaslt", False)):
        step = gpunn.TrainStep(model, gpunn.nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        with rung("half_product", name):
            assert ("matmul_tensor.cu" in [text.name for text in step.texts(*batch)]) is has


def test_what_it_does_not_take_goes_another_way(backend, library):
    x, y = normal(9, 24, dtype="float16"), normal(24, 16, dtype="float16")
    with rung("half_product", "cublaslt"):
        compare(backend, "matmul", x.reshape(-1)[1:193].reshape(8, 24), y)  # an odd address
        compare(backend, "matmul", normal(2, 3, 8, 24, dtype="float16"), normal(2, 1, 24, 16, dtype="float16"))
        compare(backend, "matmul", normal(8, 0, dtype="float16"), normal(0, 16, dtype="float16"))
        compare(backend, "matmul", x, np.broadcast_to(y[:, :1], y.shape))
        assert read(library, "computed") == 2  # of the last one, which was copied
        ctypes.c_int.in_dll(library, "refuse").value = 1
        compare(backend, "matmul", x, y)
        ctypes.c_int.in_dll(library, "refuse").value = 0
        compare(backend, "matmul", x, y)
    assert read(library, "computed") == 2  # what it could not once is not asked again


def test_a_shape_is_asked_for_once_and_before_it_is_recorded(backend, library):
    x, y = normal(8, 24, dtype="float16"), normal(24, 16, dtype="float16")
    z, recorder = np.zeros((8, 16), np.float16), Recorder(backend)
    with rung("half_product", "cublaslt"):
        with recorder.call() as launches:
            backend.matmul(x, y, out=z)
        assert (read(library, "asked"), read(library, "computed")) == (1, 0)
        assert recorder.workspace_bytes >= 32 << 20
        with recorder.call(launches) as again:
            backend.matmul(x, y, out=z)
    (launch,) = launches
    assert launch.name == "cublasLtMatmul"
    for _ in range(2):
        z[...] = 0
        launch.run()
        np.testing.assert_allclose(z, numpy.matmul(x, y), rtol=2e-3, atol=1e-3)
    assert (len(again), read(library, "asked"), read(library, "computed")) == (1, 1, 2)


def test_where_there_is_no_library(monkeypatch: pytest.MonkeyPatch, built: Path, library: Any, tmp_path: Path):
    x = normal(8, 8, dtype="float16")
    with rung("half_product", "cublaslt"), pytest.raises(DeviceError, match="computes on the device cuda alone, not"):
        SimBackend().matmul(x, x)
    assert all("cublaslt" not in ladder.rungs for ladder in LADDERS.values())
    with pytest.raises(ValueError, match="it has vectorised, tensor, wgmma, cublaslt"), rung("half_product", "cublas"):
        pass

    class Backend(SimBackend):
        class xp:
            class cuda:
                class runtime:
                    runtimeGetVersion = staticmethod(lambda: 12090)

    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter([str(tmp_path / f"lib{name}")]))
    with pytest.raises(DeviceError, match=r"cuBLASLt of CUDA 12, .* pip install 'gpunn\[cuda12-blas\]'.*libcublasLt"):
        cublaslt.of_device(Backend())
    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter([str(built)]))
    ctypes.c_int.in_dll(library, "fail").value = 1
    with pytest.raises(DeviceError, match=r"cublasLtCreate: not supported \(1\)"):
        cublaslt.of_device(Backend())
    ctypes.c_int.in_dll(library, "fail").value = 0
    assert cublaslt.of_device(Backend()).handle


def test_the_librarys_errors_have_its_words(library: Any):
    made = SimBackend()
    lt = CublasLt(library, made.address, lambda: STREAM, made.here)
    lines = cublaslt.Lines(8, True, 8, 0)
    wrong = cublaslt.Product(lines, lines, 8, 1, "float32", "float16", False, False, False)
    with pytest.raises(RuntimeError, match=r"cublasLtMatmulAlgoGetHeuristic: an invalid value \(7\)"):
        lt.plan(wrong)


def test_the_device_cuda_looks_for_it_where_it_is_chosen(machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    x = gpunn.ones(8, 8, dtype=gpunn.float16, device="cuda")
    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter([str(tmp_path / f"lib{name}")]))
    assert (x @ x).sum().item() == 8**3
    with (
        rung("half_product", "cublaslt"),
        pytest.raises(DeviceError, match="the rung 'cublaslt' needs NVIDIA's cuBLASLt"),
    ):
        x @ x
