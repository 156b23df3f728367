"""NVRTC compiles kernel texts where there is no GPU, and remembers what it made."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpunn.backend import cuda_library, nvrtc
from gpunn.backend.compilations import each_kernel, jobs, sample
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.nvrtc import CompileError, Job, Usage, compile_all, compile_job, compile_text, read_usage
from gpunn.backend.signature import signatures
from gpunn.inspect.kernels import KernelReport

LOG = """t.cu(3): warning #177-D: variable "a" was declared but never referenced
ptxas info    : 20 bytes gmem, 40 bytes cmem[4]
ptxas info    : Compiling entry function 'g' for 'sm_90'
ptxas info    : Function properties for g
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compile time = 10.879 ms
ptxas info    : Compiling entry function 'f' for 'sm_90'
ptxas info    : Function properties for f
ptxas         .     712 bytes stack frame, 1564 bytes spill stores, 1600 bytes spill loads
ptxas info    : Function properties for $helper
ptxas         .     8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 720 bytes cumulative stack size
"""


def test_the_report_of_ptxas() -> None:
    assert read_usage(LOG) == {"f": Usage(40, 720, 1568, 1604, 0), "g": Usage(32, 0, 0, 0, 1024)}
    assert [u.spills for u in read_usage(LOG).values()] == [True, False]
    assert read_usage("") == {}


def test_jobs_are_every_combination() -> None:
    assert jobs(["sm_75", "sm_90"], ["linear.cu"])[0].text == "linear.cu"
    assert len(set(jobs(["sm_75"]))) == len(jobs(["sm_75"]))
    assert {job.text for job in jobs(["sm_90"])} == {n for n in kernel_names() if n.endswith(".cu")}
    assert str(Job("t.cu", (("scalar_t", "float32"),), "sm_90")) == "t.cu scalar_t=float32 sm_90"
    assert str(Job("t.cu", (("scalar_t", "float32"),), "sm_90", "f")) == "t.cu:f scalar_t=float32 sm_90"


def test_every_kernel_of_a_text_by_itself() -> None:
    wanted = jobs(["sm_90"], ["optimizer.cu"])
    assert [job.kernel for job in each_kernel(wanted[:1])] == list(signatures(kernel_text("optimizer.cu")))
    assert {job._replace(kernel="") for job in each_kernel(wanted)} == set(wanted)


def test_a_text_for_one_architecture_alone_is_compiled_for_no_other(cuda_compiler: None) -> None:
    everywhere, name = jobs(nvrtc.ARCHITECTURES), "matmul_wgmma.cu"
    assert {job.arch for job in everywhere if job.text == name} == {"sm_90"}
    assert {job.arch for job in everywhere if job.text != name} == set(nvrtc.ARCHITECTURES)
    job = Job(name, (("scalar_t", "float16"),), "sm_90")
    assert "-arch=sm_90a" in nvrtc.source_of(job).options
    for arch in ("sm_80", "sm_100", "compute_90"):
        with pytest.raises(CompileError, match=rf"matmul_wgmma.cu is made for sm_90a alone, and can't be .* {arch}"):
            compile_text(name, {"scalar_t": "float16"}, arch)
    refused = compile_all([job._replace(arch="sm_80")])
    assert isinstance(refused[job._replace(arch="sm_80")], CompileError)
    others = [Job("fill.cu", (("element_t", "int32"),), arch) for arch in ("sm_80", "sm_90")]
    archs, rows = KernelReport("12.9", compile_all([*others, job])).arch_table()
    assert archs == ["sm_80", "sm_90"]
    assert [[cell.isdigit() for cell in row[1:]] for row in rows] == [[True, True], [False, True]]


def test_a_sample_has_every_type_on_two_architectures_and_every_text_on_all() -> None:
    types = [(("scalar_t", name),) for name in ("float64", "float32", "float16")]
    kept = sample([Job("activation.cu", t, arch) for t in types for arch in ("sm_75", "sm_80", "sm_90")])
    assert [sum(j.arch == arch for j in kept) for arch in ("sm_75", "sm_80", "sm_90")] == [3, 2, 3]
    wanted = jobs(nvrtc.ARCHITECTURES)
    assert {(j.text, j.arch) for j in sample(wanted)} == {(j.text, j.arch) for j in wanted}


def test_without_nvrtc_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter(["libnvrtc.so.0"]))
    nvrtc._library.cache_clear()
    try:
        with pytest.raises(nvrtc.NvrtcMissing, match="pip install nvidia-cuda-nvrtc-cu12"):
            nvrtc.version()
        with pytest.raises(nvrtc.NvrtcMissing, match="NVRTC of CUDA 12, the CUDA compiler, was not found"):
            nvrtc.version(12)
        with pytest.raises(nvrtc.NvrtcMissing):
            compile_all(jobs(["sm_90"], ["linear.cu"]))
    finally:
        nvrtc._library.cache_clear()


def test_the_next_nvrtc_is_taken_where_one_does_not_work(cuda_compiler, monkeypatch, tmp_path) -> None:
    whole = nvrtc._library(None).path
    broken = tmp_path / "libnvrtc.so.12"
    broken.write_text("no library")
    absent = str(tmp_path / "absent" / "libnvrtc.so.12")
    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter([absent, str(broken), whole]))
    assert cuda_library.first_working("nvrtc", (12,), nvrtc._Nvrtc).path == whole

    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter([absent, str(broken)]))
    with pytest.raises(cuda_library.LibraryMissing) as missing:
        cuda_library.first_working("nvrtc", (12,), nvrtc._Nvrtc)
    assert f"tried {broken}: " in str(missing.value)
    assert f"not there: {absent}" in str(missing.value)


def test_an_nvrtc_that_compiles_nothing_is_not_taken(cuda_compiler, monkeypatch) -> None:
    whole = nvrtc._library(None).path

    def fail(self, name, code, options):
        raise CompileError("nvrtc: error: failed to open libnvrtc-builtins.so.13.0.\n")

    monkeypatch.setattr(cuda_library, "candidates", lambda name, majors: iter([whole]))
    monkeypatch.setattr(nvrtc._Nvrtc, "compile", fail)
    with pytest.raises(cuda_library.LibraryMissing, match=r"failed to open libnvrtc-builtins\.so\.13\.0"):
        cuda_library.first_working("nvrtc", (12,), nvrtc._Nvrtc)


def test_libraries_that_lie_beside_nvrtc_are_opened_with_it(monkeypatch, tmp_path) -> None:
    opened = []
    monkeypatch.setattr(cuda_library.ctypes, "CDLL", lambda path: opened.append(path))
    for file in ("libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc-builtins.alt.so.13.0", "libother.so"):
        (tmp_path / file).touch()
    cuda_library._open(str(tmp_path / "libnvrtc.so.13"))
    assert opened == [str(tmp_path / "libnvrtc.so.13"), str(tmp_path / "libnvrtc-builtins.so.13.0")]
    cuda_library._open("libnvrtc.so.13")
    assert opened[2:] == ["libnvrtc.so.13"]


BARE = """
import sys
sys.modules["cupy"] = sys.modules["cuda"] = None
from gpunn.backend import cuda_library, nvrtc
major = int(sys.argv[1])
library = cuda_library.load("nvrtc", (major,))
assert library._name == nvrtc.path(major)
made = nvrtc.compile_text("softmax.cu", {"scalar_t": "float32"}, "sm_90", major)
assert made.cubin[:4] == b"\\x7fELF" and not any(usage.spills for usage in made.kernels.values())
print(*nvrtc.version(major), library._name)
"""


@pytest.mark.parametrize("major", cuda_library.MAJORS)
def test_a_process_without_cupy_compiles_by_each_nvrtc(tmp_path, major) -> None:
    if cuda_library.load("nvrtc", (major,)) is None:
        pytest.skip(f"NVRTC of CUDA {major} is not installed")
    # Nothing but the library's own place says where its builtins are.
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"} | {"GPUNN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", BARE, str(major)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(major)


@pytest.fixture
def texts(cuda_compiler, monkeypatch, tmp_path):
    """Texts of one's own, in the folder that is returned, and an empty cache."""
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "kernels"
    folder.mkdir()
    monkeypatch.setattr("gpunn.backend.kernel_texts._folder", lambda package: folder)
    return folder


KERNEL = """// Adds one.
// compiled for scalar_t = float32, float64
#include "one.cuh"

extern "C" __global__ void add(scalar_t* __restrict__ x) {
    __shared__ scalar_t s[64];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = s[63 - threadIdx.x] + ONE;
}
"""


def test_a_text_and_what_it_takes(texts) -> None:
    (texts / "t.cu").write_text(KERNEL)
    (texts / "one.cuh").write_text("#pragma once\nconstexpr int ONE = 1;\n")
    for name, size in (("float32", 4), ("float64", 8)):
        made = compile_text("t.cu", {"scalar_t": name}, "sm_80")
        assert made.cubin[:4] == b"\x7fELF"
        assert made.kernels["add"].shared == 64 * size
        assert made.kernels["add"].registers > 0
        assert not made.kernels["add"].spills
        assert made.warnings == []
    with pytest.raises(ValueError, match="compiled for scalar_t = float32, float64, not int32"):
        compile_text("t.cu", {"scalar_t": "int32"}, "sm_80")


def test_errors_have_file_and_line(texts) -> None:
    (texts / "t.cu").write_text(KERNEL.replace("+ ONE", "+ TWO"))
    (texts / "one.cuh").write_text("#pragma once\nconstexpr int ONE = one;\n")
    with pytest.raises(CompileError) as error:
        compile_text("t.cu", {"scalar_t": "float64"}, "sm_75")
    message = str(error.value)
    assert message.startswith("t.cu scalar_t=float64 sm_75 does not compile:\n")
    assert 't.cu:9: error: identifier "TWO" is undefined' in message
    assert f'{texts}/one.cuh:2: error: identifier "one" is undefined' in message
    with pytest.raises(CompileError, match="sm_1"):
        compile_text("t.cu", {"scalar_t": "float64"}, "sm_1")


def test_the_architecture_for_a_device(texts, monkeypatch) -> None:
    monkeypatch.setattr(nvrtc, "known_architectures", lambda major: ("sm_90", "sm_75", "sm_120"))
    assert [nvrtc.architecture(c) for c in (75, 90, 120)] == ["sm_75", "sm_90", "sm_120"]
    assert [nvrtc.architecture(c) for c in (80, 103, 131)] == ["compute_75", "compute_90", "compute_120"]
    with pytest.raises(CompileError, match=r"the device has compute capability 7.0; .* compiles for 7.5 and newer"):
        nvrtc.architecture(70)


def test_for_a_virtual_architecture_there_is_ptx(texts) -> None:
    (texts / "t.cu").write_text(KERNEL)
    (texts / "one.cuh").write_text("#pragma once\nconstexpr int ONE = 1;\n")
    made = compile_text("t.cu", {"scalar_t": "float32"}, "compute_90", nvrtc.version()[0])
    assert b".target sm_90" in made.cubin
    assert made.kernels == {}


def test_float32_keeps_numbers_below_the_normal_ones(texts) -> None:
    (texts / "t.cu").write_text('extern "C" __global__ void f(float* x) { x[0] = x[1] * x[2] + 1.0f / x[3]; }\n')
    ptx = compile_text("t.cu", {}, "compute_90").cubin
    assert b"rcp.rn.f32" in ptx
    assert b".ftz" not in ptx


def test_warnings(texts) -> None:
    (texts / "t.cu").write_text('extern "C" __global__ void f(int* x) { int unused = 3; x[0] = 1; }\n')
    (warning,) = compile_text("t.cu", {}, "sm_90").warnings
    assert warning.startswith("t.cu:1: warning")
    assert '"unused"' in warning


def test_only_what_changed_is_compiled_again(texts, monkeypatch) -> None:
    (texts / "t.cu").write_text(KERNEL)
    (texts / "one.cuh").write_text('#pragma once\n#include "two.cuh"\n')
    (texts / "two.cuh").write_text("#pragma once\nconstexpr int ONE = 1;\n")
    (texts / "unused.cuh").write_text("#pragma once\n")
    compiled = []
    original = nvrtc._Nvrtc.compile
    monkeypatch.setattr(nvrtc._Nvrtc, "compile", lambda self, *a: compiled.append(a) or original(self, *a))

    def count(scalar_t: str = "float32", arch: str = "sm_90") -> int:
        before = len(compiled)
        compile_text("t.cu", {"scalar_t": scalar_t}, arch)
        return len(compiled) - before

    first = compile_text("t.cu", {"scalar_t": "float32"}, "sm_90")
    assert compile_text("t.cu", {"scalar_t": "float32"}, "sm_90") == first
    assert len(compiled) == 1
    assert (count("float64"), count(arch="sm_80"), count(), count(arch="sm_80")) == (1, 1, 0, 0)
    (texts / "unused.cuh").write_text("#pragma once\n// another\n")
    assert count() == 0
    (texts / "two.cuh").write_text("#pragma once\nconstexpr int ONE = 2;\n")
    assert (count(), count()) == (1, 0)


def test_a_cache_that_is_damaged_or_impossible_does_no_harm(texts, monkeypatch, tmp_path) -> None:
    (texts / "t.cu").write_text(KERNEL)
    (texts / "one.cuh").write_text("#pragma once\nconstexpr int ONE = 1;\n")
    made = compile_text("t.cu", {"scalar_t": "float32"}, "sm_90")
    (stored,) = (tmp_path / "cache" / "nvrtc").iterdir()
    stored.write_bytes(stored.read_bytes()[:100])
    assert compile_text("t.cu", {"scalar_t": "float32"}, "sm_90") == made
    monkeypatch.setenv("GPUNN_CACHE", str(texts / "t.cu"))
    assert compile_text("t.cu", {"scalar_t": "float32"}, "sm_90") == made


def test_many_at_once_give_the_same_as_one_by_one(texts, monkeypatch, tmp_path) -> None:
    (texts / "t.cu").write_text(KERNEL)
    (texts / "bad.cu").write_text('extern "C" __global__ void f(int* x) { y = 1; }\n')
    (texts / "one.cuh").write_text("#pragma once\nconstexpr int ONE = 1;\n")
    wanted = jobs(["sm_75", "sm_80", "sm_90"])
    done = []
    results = compile_all(wanted, done.append)
    assert list(results) == wanted
    assert sorted(map(str, done)) == sorted(map(str, wanted))
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path / "other"))
    for job, made in results.items():
        if job.text == "bad.cu":
            assert isinstance(made, CompileError)
        else:
            assert compile_job(job) == made
