"""What `doctor` makes of what it finds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gpunn
from gpunn.inspect.doctor import ABSENT, OK, WRONG, Diagnosis, Finding, cuda, devices, host, nvidia
from gpunn.inspect.doctor.nvidia import Driver, Gpu

H100 = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 80 * 2**30, 79 * 2**30)
OLD = Gpu("Tesla V100", (7, 0), 16 * 2**30, None)
DRIVER = Driver((12, 4), "550.54.15", [H100, OLD])


def test_a_machine_without_a_gpu() -> None:
    (driver,) = cuda.driver_findings(None, hardware=False)
    assert (driver.state, driver.remedy) == (ABSENT, "")
    found = cuda.cupy_finding([], None)
    assert (found.state, found.remedy) == (ABSENT, "pip install 'gpunn[cuda12]'")
    libraries = list(cuda.library_findings({"nvrtc": None, "cublas": None}, cupy_is_there=False))
    assert [f.state for f in libraries] == [ABSENT, ABSENT]
    assert "nvidia-cuda-nvrtc" in libraries[0].remedy


def test_a_gpu_without_a_driver() -> None:
    (driver,) = cuda.driver_findings(None, hardware=True)
    assert driver.state == WRONG
    assert "nvidia.com/drivers" in driver.remedy


def test_devices_of_a_driver() -> None:
    driver, h100, old = cuda.driver_findings(DRIVER, hardware=True)
    assert driver.found == "550.54.15, runs CUDA up to 12.4"
    assert h100.found == "NVIDIA H100 80GB HBM3, compute capability 9.0, 80.0 GiB, 79.0 GiB free"
    assert (h100.state, old.state) == (OK, WRONG)
    assert "need 7.5" in old.found
    (failed,) = cuda.driver_findings(Driver((12, 4), "", [], "no CUDA-capable device is detected"), hardware=True)
    assert failed.state == WRONG
    assert failed.found == "version not known, runs CUDA up to 12.4: no CUDA-capable device is detected"


@pytest.mark.parametrize(
    ("installed", "driver", "words", "remedy"),
    [
        ([], DRIVER, "not installed", "pip install 'gpunn[cuda12]'"),
        ([], Driver((13, 0), "", []), "not installed", "pip install 'gpunn[cuda13]'"),
        (
            [("cupy", "14.0.1"), ("cupy-cuda12x", "14.0.1")],
            DRIVER,
            "they overwrite one another",
            "pip uninstall -y cupy cupy-cuda12x && pip install 'gpunn[cuda12]'",
        ),
        (
            [("cupy-cuda12x", "13.4.0")],
            DRIVER,
            "gpunn needs 14",
            "pip uninstall -y cupy-cuda12x && pip install 'gpunn[cuda12]'",
        ),
        (
            [("cupy-cuda13x", "14.0.1")],
            DRIVER,
            "it needs a driver for CUDA 13, and this one runs up to 12.4",
            "pip uninstall -y cupy-cuda13x && pip install 'gpunn[cuda12]'",
        ),
    ],
)
def test_a_cupy_that_will_not_do(installed, driver, words: str, remedy: str) -> None:
    found = cuda.cupy_finding(installed, driver)
    assert words in found.found
    assert found.remedy == remedy
    assert found.state == (WRONG if installed else ABSENT)


def test_a_cupy_that_cannot_be_imported(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    found = cuda.cupy_finding([("cupy-cuda12x", "14.0.1")], None)
    assert found.state == WRONG
    assert "can't be imported" in found.found
    assert "gpunn[cuda12]" in found.remedy


def test_libraries_that_cupy_needs() -> None:
    found = {"nvrtc": ("12.9", "/lib/libnvrtc.so.12"), "cublas": None, "cudart": None}
    nvrtc, cublas, cudart = cuda.library_findings(found, cupy_is_there=True, extra="cuda13")
    assert (nvrtc.state, nvrtc.found) == (OK, "12.9 (/lib/libnvrtc.so.12)")
    assert (cublas.state, cudart.state) == (ABSENT, WRONG)  # gpunn multiplies matrices itself
    assert (cublas.remedy, cudart.remedy) == ("pip install 'gpunn[cuda13-blas]'", "pip install 'gpunn[cuda13]'")


LIBCUDA = r"""
#include <cstring>
#include <cstddef>
extern "C" {
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int* v) { *v = 12040; return 0; }
int cuDeviceGetCount(int* n) { *n = 2; return 0; }
int cuDeviceGet(int* device, int index) { *device = index + 7; return 0; }
int cuDeviceGetName(char* name, int n, int device) { strncpy(name, device == 7 ? "one" : "two", n); return 0; }
int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = (size_t)(device - 6) << 33; return 0; }
int cuDeviceGetAttribute(int* v, int a, int device) { *v = a == 75 ? 9 : a == 76 ? 1 : -1; return 0; }
void* const CONTEXT = (void*)0x123456789abc;
int cuDevicePrimaryCtxRetain(void** context, int device) { *context = CONTEXT; return device == 7 ? 0 : 2; }
int cuCtxPushCurrent_v2(void* context) { return context != CONTEXT; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = (size_t)5 << 30; *total = (size_t)8 << 30; return 0; }
int cuCtxPopCurrent_v2(void** context) { return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuGetErrorString(int code, const char** text) { *text = "no CUDA-capable device is detected"; return code != 100; }
}
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")
def test_the_driver_is_asked(tmp_path: Path) -> None:
    (tmp_path / "cuda.cpp").write_text(LIBCUDA)
    for init in (0, 100):
        command = ["g++", "-shared", "-fPIC", f"-DINIT={init}", "cuda.cpp", "-o", f"lib{init}.so"]
        subprocess.run(command, cwd=tmp_path, check=True)
    found = nvidia.driver(str(tmp_path / "lib0.so"))
    assert found is not None
    assert (found.cuda, found.error) == ((12, 4), "")
    assert found.gpus == [Gpu("one", (9, 1), 2**33, 5 * 2**30), Gpu("two", (9, 1), 2**34, None)]
    failed = nvidia.driver(str(tmp_path / "lib100.so"))
    assert failed is not None
    assert (failed.error, failed.gpus) == ("no CUDA-capable device is detected", [])
    assert nvidia.driver(str(tmp_path / "none.so")) is None


def test_the_versions_of_libraries() -> None:
    found = nvidia.libraries()
    assert set(found) == {"nvrtc", "cublas", "cudart"}
    if found["nvrtc"] is not None:
        version, file = found["nvrtc"]
        assert version.split(".")[0] in ("12", "13")
        assert "libnvrtc.so" in file


def test_the_oldest_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f'"numpy>={host.LEAST_NUMPY},<3"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()
    states = {}
    for version in ("2.1.2", "2.1.3", "2.4.0", "2.10.0"):
        monkeypatch.setattr(host.np, "__version__", version)
        finding = host._numpy()
        states[version] = finding.state, finding.remedy
    fine = (OK, "")
    remedy = "pip install --upgrade 'numpy>=2.1.3'"
    assert states == {"2.1.2": (WRONG, remedy), "2.1.3": fine, "2.4.0": fine, "2.10.0": fine}


def test_the_widest_kernels_of_a_blas() -> None:
    avx512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
    assert host.widest(avx512 | {"avx2", "fma"}) == "AVX-512"
    assert host.widest({"avx512f", "avx2", "fma"}) == "AVX2"
    assert host.widest({"sse4_2"}) is None


@pytest.mark.parametrize(
    ("kernels", "flags", "forced", "state", "remedy"),
    [
        ("SkylakeX", "avx512f avx512bw avx512dq avx512vl avx2 fma", "SkylakeX", OK, ""),
        ("Haswell", "avx512f avx512bw avx512dq avx512vl avx2 fma", "Haswell", WRONG, "unset OPENBLAS_CORETYPE"),
        ("Haswell", "avx512f avx512bw avx512dq avx512vl avx2 fma", "", WRONG, "pip install --upgrade numpy"),
        ("Zen", "avx2 fma", "", OK, ""),
        ("Nehalem", "avx2 fma", "Nehalem", WRONG, "unset OPENBLAS_CORETYPE"),
        ("Nehalem", "sse4_2", "", OK, ""),
    ],
)
def test_kernels_that_the_environment_forces(monkeypatch, kernels, flags, forced, state, remedy) -> None:
    monkeypatch.setattr(host, "_openblas", lambda: (kernels, 1))
    monkeypatch.setattr(host, "_cpu_flags", lambda: set(flags.split()))
    monkeypatch.setenv("OPENBLAS_CORETYPE", forced)
    found = host.blas()
    assert (found.state, found.remedy) == (state, remedy)
    assert f"{kernels} kernels, threads: 1" in found.found


def test_openblas_tells_its_kernels() -> None:
    from threadpoolctl import threadpool_info

    expected = [i for i in threadpool_info() if i["internal_api"] == "openblas" and "numpy" in i["filepath"]]
    if not expected:
        pytest.skip("NumPy has no OpenBLAS here")
    assert host._openblas() == (expected[0]["architecture"], expected[0]["num_threads"])


def test_a_variable_reaches_openblas() -> None:
    if host._openblas() is None or host.widest(host._cpu_flags()) != "AVX-512":
        pytest.skip("needs OpenBLAS and a processor with AVX-512")
    code = "import json; from gpunn.inspect.doctor import host; f = host.blas(); print(json.dumps([f.state, f.remedy]))"
    environment = os.environ | {"OPENBLAS_CORETYPE": "Haswell"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [WRONG, "unset OPENBLAS_CORETYPE"]


def test_a_compiler_that_is_not_there(monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = host.compiler()
    assert found.state == ABSENT
    assert found.remedy
    assert "`" not in found.remedy


def test_caches_that_cannot_be_written(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "nvrtc").mkdir()
    (tmp_path / "nvrtc" / "one").write_bytes(b"0" * 2**20)
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path))
    monkeypatch.setenv("GPUNN_DATA", "/proc/self/status")
    nvrtc, nvdisasm, simulator, data = host.caches()
    assert nvrtc.found == f"{tmp_path}/nvrtc: 1 files, 1.0 MiB"
    assert nvdisasm.found == f"{tmp_path}/nvdisasm: 0 files, 0 B"
    assert simulator.found == f"{tmp_path}/simulator: 0 files, 0 B"
    assert (data.state, data.remedy) == (WRONG, "export GPUNN_DATA=DIR")


def test_only_the_cpu_decides_whether_gpunn_works(monkeypatch) -> None:
    assert Diagnosis([Finding("a", "", OK, needed=True), Finding("b", "", WRONG)]).works
    assert not Diagnosis([Finding("a", "", WRONG, needed=True)]).works
    monkeypatch.setattr(gpunn.Tensor, "__matmul__", lambda x, w: gpunn.matmul(x, w) * 2)
    broken = devices._try("cpu", needed=True)
    assert broken.state == WRONG
    assert not Diagnosis([broken]).works
    assert "computes something else" in broken.found
