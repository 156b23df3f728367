"""Compiling and caching modules, and what happens around a launch: faults, threads, processes."""

import faulthandler
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule, SimulatorError, compiler
from gpunn.backend.simulator import cache as cache_module
from gpunn.backend.simulator.cache import _remove_old

F, I = np.float32, np.int32

ADD = r"""
extern "C" __global__ void add(float* p, float a) { p[threadIdx.x] += a; }
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that has nothing but what all modules share."""
    folder = tmp_path / "simulator"
    folder.mkdir()
    for shared in (*compiler.scheduler_objects("fast", ucontext=False), compiler.host_library()):
        shutil.copy(shared, folder)
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path))
    return folder


def run_add(code=ADD, **options):
    p = np.zeros(4, F)
    RawModule(code=code, **options).get_function("add")((1,), (4,), (p, F(1)))
    return p


def modules_in(folder):
    return sorted(path.name for path in folder.glob("*.so") if path.name.startswith(("fast", "check")))


# ---- Compiling


def test_a_compile_error_names_file_and_line():
    with pytest.raises(SimulatorError, match=r"kernel\.cu:3:.*error") as caught:
        run_add(ADD + "extern int wrong wrong;\n")
    assert (caught.value.kind, caught.value.file, caught.value.line) == ("compile", "kernel.cu", 3)
    with pytest.raises(SimulatorError, match=r"named\.cu:1:.*error"):
        run_add('#line 1 "named.cu"\nint wrong = missing;' + ADD)


def test_a_compile_error_in_a_header_names_the_header(tmp_path):
    (tmp_path / "part.cuh").write_text("\n\nint wrong = missing;\n")
    with pytest.raises(SimulatorError) as caught:
        run_add('#include "part.cuh"\n' + ADD, options=("-I", str(tmp_path)))
    assert (caught.value.file, caught.value.line) == ("part.cuh", 3)


def test_an_unknown_kernel_lists_those_there_are():
    with pytest.raises(SimulatorError, match="no kernel 'sub'; there are: add"):
        RawModule(code=ADD).get_function("sub")
    with pytest.raises(SimulatorError, match="no kernel 'add'; there are: other"):
        RawModule(code=ADD, name_expressions=["other"]).get_function("add")


def test_options():
    code = """
    #ifndef GPUNN_SIMULATOR
    #error not the simulator
    #endif
    extern "C" __global__ void add(float* p, float a) { p[threadIdx.x] += a * SCALE; }
    """
    nvrtc = ("-std=c++17", "--use_fast_math", "-arch=sm_80", "--gpu-architecture=compute_90", "-lineinfo")
    assert (run_add(code, options=(*nvrtc, "-DSCALE=3")) == 3).all()
    assert (run_add(code, options=("-D", "SCALE=4")) == 4).all()
    assert (run_add(code, options=("--define-macro=SCALE=5",)) == 5).all()
    with pytest.raises(SimulatorError, match="'--unknown' is not known"):
        RawModule(code=code, options=("--unknown",))
    with pytest.raises(SimulatorError, match="mode is one of fast, check"):
        RawModule(code=code, mode="quick")


def test_dynamic_shared_memory_is_found_in_all_its_spellings():
    code = """
    typedef float value;
    template <class T> struct Pair { T a, b; };
    extern "C" __global__ void add(float* p, float a) {
        extern __shared__ __align__(16) unsigned char bytes[];
        extern
            __shared__ float
            lines[];
        extern __shared__ Pair<float> pairs[]; extern __shared__ value values [ ] ;
        lines[threadIdx.x] = a;
        assert((void*)bytes == pairs && (void*)values == bytes && pairs[threadIdx.x / 2].a == a);
        p[threadIdx.x] = values[threadIdx.x];
        if (p[0] != a) asm("this is line 12");
    }
    """
    p = np.zeros(4, F)
    RawModule(code=code.replace('asm("this is line 12")', "__trap()")).get_function("add")(
        (1,), (4,), (p, F(2)), shared_mem=16
    )
    assert (p == 2).all()
    with pytest.raises(SimulatorError, match=r"kernel\.cu:13:"):
        RawModule(code=code.replace('asm("this is line 12")', "wrong()")).get_function("add")


# ---- The cache


def test_a_module_is_compiled_once(cache):
    assert (run_add() == 1).all()
    compiled = modules_in(cache)
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert (run_add() == 1).all()
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before
    assert len(compiled) == 1
    leftovers = {path.suffix for path in cache.iterdir()} - {".so", ".json", ".o", ".h", ".gch"}
    assert not leftovers


def test_what_was_not_used_for_long_is_removed(cache):
    old, used = ADD + "// old", ADD + "// used"
    run_add(old)
    run_add(used)
    month_ago = time.time() - 31 * 24 * 3600
    for path in cache.iterdir():
        os.utime(path, (month_ago, month_ago))
    run_add(used)  # in use again
    before = set(modules_in(cache))
    _remove_old.cache_clear()
    run_add(ADD + "// new")
    after = set(modules_in(cache))
    assert len(before) == 2 and len(after) == 2 and len(before & after) == 1
    assert (run_add(used) == 1).all()


def test_the_oldest_are_removed_where_there_is_much(tmp_path, monkeypatch):
    """Until the rest is no more than that; what was used within two days stays."""
    monkeypatch.setattr(cache_module, "_MUCH", 250)
    for name, days in (("a", 9), ("b", 5), ("c", 3), ("d", 1)):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, 2 * (time.time() - days * 24 * 3600,))
    _remove_old.cache_clear()
    _remove_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]
    monkeypatch.setattr(cache_module, "_MUCH", 50)
    _remove_old.cache_clear()
    _remove_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]


def test_what_the_key_depends_on(cache, tmp_path, monkeypatch):
    header = tmp_path / "part.cuh"
    nested = tmp_path / "nested.cuh"
    header.write_text('#include "nested.cuh"\n')
    nested.write_text("// nothing\n")
    code, options = '#include "part.cuh"\n' + ADD, (f"-I{tmp_path}",)

    def count():
        run_add(code, options=options)
        return len(modules_in(cache))

    assert count() == 1
    nested.write_text("// another text\n")
    assert count() == 2
    options = (*options, "-DX")
    assert count() == 3
    monkeypatch.setattr(compiler, "_processor", lambda: "another processor")
    assert count() == 4
    code += "// another text"
    assert count() == 5


def test_a_damaged_module_is_removed(cache):
    code = ADD + "// to be damaged"
    RawModule(code=code)._compiled().write_bytes(b"not a library")
    with pytest.raises(SimulatorError, match="could not be loaded and was removed"):
        run_add(code)
    assert (run_add(code) == 1).all()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000], ids=len)
def test_a_damaged_layout_is_made_anew(cache, content):
    code = ADD + "// to be damaged"
    RawModule(code=code)._compiled().with_suffix(".json").write_bytes(content)
    assert (run_add(code) == 1).all()


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path / "file"))
    with pytest.raises(SimulatorError, match=r"GPUNN_CACHE: the folder .*file.* can't be made"):
        run_add(ADD + "// no cache")


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SimulatorError, match=r"no 'no-such-compiler'.*install .*CXX") as caught:
        run_add(ADD + "// no compiler")
    assert caught.value.kind == "compiler"
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SimulatorError, match=r"no 'g\+\+': install"):
        run_add(ADD + "// no compiler")


def test_two_processes_may_compile_at_once(cache):
    script = (
        "import sys, numpy as np; from gpunn.backend.simulator import RawModule; p = np.zeros(4, np.float32);"
        "RawModule(code=sys.argv[1]).get_function('add')((1,), (4,), (p, np.float32(1))); assert (p == 1).all()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, ADD], cwd=os.getcwd()) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(modules_in(cache)) == 1


# ---- Faults of the processor, in the mode "fast"

FAULTS = r"""
#line 1 "faults.cu"
__device__ __noinline__ int deep(int n) { volatile int at[256]; at[n % 256] = n; return deep(n + 1) + at[n % 256]; }
extern "C" __global__ void overflow(int* p) { p[0] = deep(0); }
extern "C" __global__ void null(int* p) { p[2] = 1; }
extern "C" __global__ void wild(int* p) { *(int*)((size_t)p + (1ull << 46)) = 1; }
extern "C" __global__ void impossible(int* p) { *(int*)((size_t)p ^ (1ull << 62)) = 1; }
extern "C" __global__ void divide(int* p) { p[0] = p[1] / p[0]; }
extern "C" __global__ void late(int* p) {
    __shared__ int s[64];
    s[threadIdx.x] = 0;
    __syncthreads();
    if (threadIdx.x == 40) p = nullptr;
    p[s[threadIdx.x]] = 1;
}
extern "C" __global__ void good(int* p) { p[threadIdx.x] = threadIdx.x; }
"""


@pytest.fixture(scope="module", params=["", "ucontext"])
def faults(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUNN_SIMULATOR_FIBERS", request.param)
        module = RawModule(code=FAULTS, workers=2)
        module.compile()
    return module


@pytest.mark.parametrize(
    ("name", "kind", "line", "pointer"),
    [
        ("overflow", "stack overflow", 1, True),
        ("null", "null pointer", 3, False),
        ("wild", "wild access", 4, True),
        ("impossible", "wild access", 5, True),
        ("divide", "division by zero", 6, True),
        ("late", "null pointer", 12, True),
    ],
)
@pytest.mark.parametrize("grid", [1, 500])
def test_a_fault_becomes_an_error(faults, name, kind, line, pointer, grid):
    for _ in range(2):
        with pytest.raises(SimulatorError) as caught:
            faults.get_function(name)((grid,), (64,), (np.zeros(4, I) if pointer else None,))
        assert (caught.value.kind, caught.value.file, caught.value.line) == (kind, "faults.cu", line)
    p = np.zeros(64, I)
    faults.get_function("good")((1,), (64,), (p,))
    assert (p == np.arange(64)).all()


def test_handlers_are_those_of_before_outside_a_launch(faults):
    seen = []
    before = signal.signal(signal.SIGFPE, lambda *_: seen.append("mine"))
    try:
        with pytest.raises(SimulatorError, match="division by zero"):
            faults.get_function("divide")((1,), (1,), (np.zeros(2, I),))
        os.kill(os.getpid(), signal.SIGFPE)
    finally:
        signal.signal(signal.SIGFPE, before)
    assert seen == ["mine"]
    assert faulthandler.is_enabled()  # by pytest: the signal stack of this thread is its own


# ---- Threads and processes


def test_launches_from_several_threads():
    modules = [RawModule(code=ADD + f"// {i}") for i in range(2)]
    p = [np.zeros(256, F) for _ in range(4)]

    def work(i):
        kernel = modules[i % 2].get_function("add")
        for _ in range(300):
            kernel((1,), (256,), (p[i], F(1)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((array == 300).all() for array in p)


def _in_child(queue, module):
    p = np.zeros(4096, F)
    module.get_function("add")((1,), (256,), (p, F(1)))
    try:
        module.get_function("add")((1,), (256,), (None, F(1)))
    except SimulatorError as error:
        queue.put((p[:256].tolist() == [1] * 256, error.kind))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_launches_after_a_fork():
    module = RawModule(code=ADD)
    module.get_function("add")((1,), (256,), (np.zeros(256, F), F(1)))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with module.lock:  # as another thread might hold it
        child = context.Process(target=_in_child, args=(queue, module))
        child.start()
    assert queue.get(timeout=30) == (True, "null pointer")
    child.join()


def test_the_number_of_workers(monkeypatch):
    monkeypatch.setenv("GPUNN_SIMULATOR_WORKERS", "3")
    assert RawModule(code=ADD).workers == 3
    assert RawModule(code=ADD, workers=1).workers == 1
    monkeypatch.setenv("GPUNN_SIMULATOR_WORKERS", "many")
    with pytest.raises(SimulatorError, match="GPUNN_SIMULATOR_WORKERS is a number of threads, got 'many'"):
        RawModule(code=ADD)


def test_a_small_launch_is_quick():
    code = """extern "C" __global__ void small(float* x, float* y, float* z, float a, int b, int c, int d, float e) {
        x[threadIdx.x] = a + b; }"""
    kernel = RawModule(code=code).get_function("small")
    x = np.zeros(32, F)
    args = (x, x, x, F(1), I(1), I(1), I(1), F(1))
    best = min(_seconds(kernel, args) for _ in range(20))
    assert best < 100e-6, f"{best * 1e6:.1f} microseconds"  # some 5 on a machine that does nothing else


def _seconds(kernel, args, times=100):
    start = time.perf_counter()
    for _ in range(times):
        kernel((1,), (32,), args)
    return (time.perf_counter() - start) / times


def test_the_end_of_dynamic_shared_memory_is_noticed_in_fast_mode():
    code = """extern "C" __global__ void past(float* p, int n) {
        extern __shared__ float s[];
        s[n] = p[0];
    }"""
    kernel = RawModule(code=code).get_function("past")
    for size in (128, 4096, 20000 * 4 // 128 * 128):
        kernel.max_dynamic_shared_size_bytes = 200 * 1024
        kernel((1,), (1,), (np.zeros(1, F), I(size // 4 - 1)), shared_mem=size)
        with pytest.raises(
            SimulatorError, match=rf"kernel\.cu:3: out of bounds .* dynamic shared memory, .* {size} bytes"
        ):
            kernel((1,), (1,), (np.zeros(1, F), I(size // 4)), shared_mem=size)
    with pytest.raises(SimulatorError, match="null pointer"):
        kernel((1,), (1,), (np.zeros(1, F), I(0)))


def test_folders_that_the_environment_adds_do_not_matter(monkeypatch, tmp_path):
    (tmp_path / "math.h").write_text("#error the environment's\n")
    monkeypatch.setenv("CPLUS_INCLUDE_PATH", str(tmp_path))
    monkeypatch.setenv("CPATH", str(tmp_path))
    text = f'extern "C" __global__ void f(float* x) {{ x[0] = exp(x[0]); }} // {tmp_path}'
    x = np.zeros(1, np.float32)
    RawModule(code=text).get_function("f")((1,), (1,), (x,))
    assert x[0] == 1
