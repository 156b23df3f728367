"""What the mode "profile" counts equals what was counted by hand: sectors, conflicts between banks, executed lines.

Arrays begin at multiples of 256 bytes, a sector has 32 bytes, and there are 32 banks of 4 bytes.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpunn.backend.simulator import Access, RawModule, SimulatorError

from .texts import KERNELS

F, I = np.float32, np.int32

# One warp reads `T` from x at an index. By name: T, the index of lane t, the lanes that take part; then by hand
# (requests, sectors, bytes asked for).
GLOBAL = {
    "stride_1": ("float", "t", "true", (1, 4, 128)),
    "stride_2": ("float", "2 * t", "true", (1, 8, 128)),
    "stride_4": ("float", "4 * t", "true", (1, 16, 128)),
    "stride_8": ("float", "8 * t", "true", (1, 32, 128)),
    "stride_32": ("float", "32 * t", "true", (1, 32, 128)),
    "stride_33": ("float", "33 * t", "true", (1, 32, 128)),
    "reversed_lanes": ("float", "31 - t", "true", (1, 4, 128)),
    "off_by_one": ("float", "t + 1", "true", (1, 5, 128)),
    "off_by_a_sector": ("float", "t + 8", "true", (1, 4, 128)),
    "one_for_all": ("float", "5", "true", (1, 1, 4)),
    "one_for_two": ("float", "t / 2", "true", (1, 2, 64)),
    "bytes": ("unsigned char", "t", "true", (1, 1, 32)),
    "bytes_off_by_one": ("unsigned char", "t + 1", "true", (1, 2, 32)),
    "halves": ("short", "t", "true", (1, 2, 64)),
    "doubles": ("double", "t", "true", (1, 8, 256)),
    "quads": ("float4", "t", "true", (1, 16, 512)),
    "every_other_quad": ("float4", "2 * t", "true", (1, 32, 512)),
    "quads_for_all": ("float4", "3", "true", (1, 1, 16)),
    "half_a_warp": ("float", "t", "t < 16", (1, 2, 64)),
    "every_other_lane": ("float", "t", "t % 2 == 0", (1, 4, 64)),
    "nobody": ("float", "t", "t > 40", None),
    "triples": ("float3", "t", "true", (3, 3 * 12, 384)),  # 12 bytes a lane: three accesses over the same 384 bytes
    "columns": ("float", "(t % 8) * 32 + t / 8", "true", (1, 8, 128)),  # 4 neighbours in each of 8 rows
}

# The same with an array in shared memory: T, the index, the lanes; then by hand (passes, conflicts).
SHARED = {
    "s_stride_1": ("float", "t", "true", (1, 0)),
    "s_stride_2": ("float", "2 * t", "true", (2, 1)),
    "s_stride_4": ("float", "4 * t", "true", (4, 3)),
    "s_stride_32": ("float", "32 * t", "true", (32, 31)),
    "s_padded_to_33": ("float", "33 * t", "true", (1, 0)),
    "s_stride_3": ("float", "3 * t", "true", (1, 0)),  # odd strides meet every bank once
    "s_swizzled": ("float", "32 * t + (5 ^ t)", "true", (1, 0)),  # column 5 of rows whose columns are permuted
    "s_one_for_all": ("float", "7", "true", (1, 0)),
    "s_one_for_two": ("float", "t / 2", "true", (1, 0)),
    "s_two_words_of_a_bank": ("float", "t == 1 ? 32 : 0", "true", (2, 1)),
    "s_rows_of_a_tile": ("float", "(t / 8) * 32 + t % 8", "true", (4, 3)),  # 4 rows of pitch 32: the same 8 banks
    "s_rows_of_a_padded_tile": ("float", "(t / 8) * 40 + t % 8", "true", (1, 0)),
    "s_half_a_warp": ("float", "2 * t", "t < 16", (1, 0)),
    "s_bytes": ("unsigned char", "t", "true", (1, 0)),  # four lanes ask for one word
    "s_halves_stride_2": ("short", "2 * t", "true", (1, 0)),
    "s_halves_stride_4": ("short", "4 * t", "true", (2, 1)),
    "s_doubles": ("double", "t", "true", (2, 0)),  # two halves of a warp
    "s_doubles_stride_2": ("double", "2 * t", "true", (4, 2)),
    "s_quads": ("float4", "t", "true", (4, 0)),  # four quarters
    "s_quads_stride_2": ("float4", "2 * t", "true", (8, 4)),
    "s_quads_of_pitch_20": ("float4", "5 * t", "true", (4, 0)),  # 20 words on: 8 lanes meet every bank once
    "s_quads_of_pitch_16": ("float4", "4 * t", "true", (16, 12)),  # 16 words on: lanes 0, 2, 4, 6 share banks
    "s_quads_for_all": ("float4", "1", "true", (2, 0)),  # neighbours agree: a half at once
    "s_quads_for_pairs": ("float4", "t / 2", "true", (2, 0)),  # 8 different quads of each half meet every bank once
    "s_quads_for_every_second": ("float4", "t / 4 * 2 + t % 2", "true", (2, 0)),  # lanes i and i^2 agree
    "s_quads_for_fours": ("float4", "t % 4", "true", (4, 0)),  # i and i^4 agree only: as if none did
    "s_quads_for_pairs_of_pitch_16": ("float4", "t / 2 * 4", "true", (8, 6)),  # 8 quads, 4 in the same banks
    "s_pairs_for_pairs": ("double", "t / 2", "true", (1, 0)),  # the warp at once
    "s_quads_for_four_apart": ("float4", "t / 8 * 4 + t % 4", "true", (4, 0)),
    "s_quads_for_active_neighbours": ("float4", "t", "t % 2 == 0", (4, 2)),  # in a half 8 of every other quad
    "s_quads_for_neighbours_stride_2": ("float4", "t / 2 * 2", "true", (4, 2)),
}


def kernels() -> str:
    text = [
        f'extern "C" __global__ void {name}(const {T}* x, {T}* y) {{ const int t = threadIdx.x;\n'
        f"    if ({lanes}) y[t] = x[{index}];  // {name}\n}}"
        for name, (T, index, lanes, _) in GLOBAL.items()
    ] + [
        f'extern "C" __global__ void {name}(const {T}* x, {T}* y) {{ const int t = threadIdx.x;\n'
        f"    __shared__ {T} s[1100];\n"
        f"    for (int i = t; i < 1100; i += 32) s[i] = x[i];\n"
        f"    __syncthreads();\n"
        f"    if ({lanes}) y[t] = s[{index}];  // {name}\n}}"
        for name, (T, index, lanes, _) in SHARED.items()
    ]
    return '#include "ptx.cuh"\n' + "\n".join(text) + MORE


MORE = r"""
extern "C" __global__ void write(float* y) {
    y[threadIdx.x * 2] = 1;                                                     // write: strided
}
extern "C" __global__ void copy(const float* x, float* y) {
    const int t = blockIdx.x * 64 + threadIdx.x;
    y[t] = x[t];                                                                // copy: body
}
extern "C" __global__ void loop(const float* x, float* y, int n) {
    float sum = 0;
    for (int k = 0; k < n; ++k)
        sum += x[k * 32 + threadIdx.x];                                         // loop: body
    y[threadIdx.x] = sum;                                                       // loop: end
}
extern "C" __global__ void triangle(const float* x, float* y) {
    float sum = 0;
    for (int k = 0; k <= threadIdx.x; ++k)
        sum += x[k];                                                            // triangle: body
    y[threadIdx.x] = sum;
}
extern "C" __global__ void branches(const float* x, float* y, float* z) {
    const int t = threadIdx.x;
    if (t < 40)
        y[t] = x[t];                                                            // branches: first
    else
        z[t] = 2 * x[t];                                                        // branches: second
}
extern "C" __global__ void count(int* x) {
    atomicAdd(x + threadIdx.x % 4, 1);                                          // count: body
}
__device__ float __noinline__ helper(const float* x, int i) {
    return x[i];                                                                // helper
}
extern "C" __global__ void called(const float* x, float* y) {
    const int t = threadIdx.x;
    y[t] = helper(x, t) + helper(x, 2 * t);
}
extern "C" __global__ void dynamic(const float* x, float* y) {
    extern __shared__ float s[];
    const int t = threadIdx.x;
    for (int step = 0; step < 3; ++step) {
        s[t] = x[t + step];                                                     // dynamic: write
        __syncthreads();
        y[t] += s[(t * 2) % 32];                                                // dynamic: read
        __syncthreads();
    }
}
extern "C" __global__ void copied(const float4* x, float4* y) {
    __shared__ float4 s[64];
    cp_async_16(&s[2 * threadIdx.x], &x[threadIdx.x], true);                    // copied: copy
    cp_async_commit();
    cp_async_wait<0>();
    y[threadIdx.x] = s[2 * threadIdx.x];
}
extern "C" __global__ void meeting(const float* x, float* y, unsigned* counter) {
    const int t = blockIdx.x * 32 + threadIdx.x;
    y[t] = x[t];                                                                // meeting: before
    grid_barrier(counter);
    y[t] += x[63 - t];                                                          // meeting: after
}
extern "C" __global__ void matrices(unsigned* y) {
    __shared__ __align__(16) unsigned s[32 * 8];
    for (int i = threadIdx.x; i < 32 * 8; i += 32) s[i] = i;
    __syncthreads();
    unsigned r[4];
    ldmatrix_x4(r, s + 4 * threadIdx.x);                                        // matrices: close
    y[threadIdx.x] = r[0];
    ldmatrix_x4(r, s + 8 * threadIdx.x);                                        // matrices: apart
    y[threadIdx.x] += r[0];
}
__device__ __forceinline__ float element(const float* x, int i) {
    return x[i];                                                                // inlined
}
extern "C" __global__ void twice(const float* x, float* y) {
    const int t = threadIdx.x;
    float v = element(x, t);                                                    // first call
    for (int k = 0; k < 3; ++k)
        v += element(x, t + 8 * k);                                             // second call
    y[t] = v;
}
extern "C" __global__ void sums(const float* x, float* y) {
    float v = x[threadIdx.x];
    for (int k = 16; k > 0; k /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, k);                                // sums: shuffle
    if (threadIdx.x == 0)
        y[0] = v;                                                               // sums: end
}
extern "C" __global__ void local(const int* x, int* y) {
    int v[8];
    for (int i = 0; i < 8; ++i) v[i] = x[i];
    y[threadIdx.x] = v[x[threadIdx.x] & 7];                                     // local: end
}
"""
TEXT = kernels()
ELEMENT = {"float": F, "unsigned char": np.uint8, "short": np.int16, "double": np.float64, "float3": F, "float4": F}


def line_of(comment: str) -> int:
    (number,) = (i for i, line in enumerate(TEXT.splitlines(), 1) if re.search(rf"// {comment}$", line))
    return number


@pytest.fixture(scope="module")
def module():
    return RawModule(code=TEXT, options=(f"-I{KERNELS}",), mode="profile")


@pytest.fixture
def run(module):
    def launch(name, grid, block, *args, shared_mem=0):
        module.get_function(name)(grid, block, args, shared_mem=shared_mem)
        return module.profiles.pop()

    return launch


def at(profile, comment: str) -> list[Access]:
    """The accesses at a line."""
    return [a for a in profile.accesses if a.line == line_of(comment)]


def executions(profile, comment: str) -> tuple[int, int]:
    (found,) = ((line.warps, line.threads) for line in profile.lines if line.line == line_of(comment))
    return found


# Counted by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GLOBAL)
def test_sectors(run, name) -> None:
    element, _, _, expected = GLOBAL[name]
    x = np.zeros(4404, ELEMENT[element])
    found = [a for a in at(run(name, (1,), (32,), x, x.copy()), name) if a.kind == "read"]
    assert [(a.requests, a.sectors, a.useful_bytes) for a in found] == ([expected] if expected else [])
    assert {(a.memory, a.passes, a.conflicts) for a in found} <= {("global", 0, 0)}


@pytest.mark.parametrize("name", SHARED)
def test_conflicts_between_banks(run, name) -> None:
    element, _, _, expected = SHARED[name]
    x = np.zeros(4404, ELEMENT[element])
    (found,) = (a for a in at(run(name, (1,), (32,), x, x.copy()), name) if a.memory == "shared")
    assert (found.kind, found.requests, found.sectors) == ("read", 1, 0)
    assert (found.passes, found.conflicts) == expected


def test_writes(run) -> None:
    (found,) = at(run("write", (1,), (32,), np.zeros(64, F)), "write: strided")
    assert found == Access(
        "kernel.cu", line_of("write: strided"), (), "global", "write", 4, 1, 32, 2, 8, 128, 0, 0, 0, 0
    )


def test_a_view_lies_where_it_lies_in_its_owner(run) -> None:
    x, y = np.zeros(300, F), np.zeros(32, F)
    sectors = [at(run("stride_1", (1,), (32,), x[n : n + 32], y), "stride_1")[0].sectors for n in (0, 1, 7, 8, 64, 65)]
    assert sectors == [4, 5, 5, 4, 4, 5]


def test_several_blocks_of_several_warps(run) -> None:
    x = np.zeros(192, F)
    profile = run("copy", (3,), (64,), x, x.copy())
    assert [(a.kind, a.requests, a.threads, a.sectors) for a in at(profile, "copy: body")] == [
        ("read", 6, 192, 24),
        ("write", 6, 192, 24),
    ]
    assert executions(profile, "copy: body") == (6, 192)
    assert (profile.kernel, profile.grid, profile.block) == ("copy", (3, 1, 1), (64, 1, 1))


def test_of_a_large_grid_some_blocks_are_counted_and_scaled() -> None:
    module = RawModule(code=TEXT, options=(f"-I{KERNELS}",), mode="profile", counted_blocks=4)
    x = np.arange(640, dtype=F)
    y = np.zeros(640, F)
    module.get_function("copy")((10,), (64,), (x, y))
    (profile,) = module.profiles
    assert (y == x).all()
    assert profile.counted_blocks == 4
    assert [(a.kind, a.requests, a.sectors) for a in at(profile, "copy: body")] == [("read", 20, 80), ("write", 20, 80)]
    assert executions(profile, "copy: body") == (20, 640)
    assert [(t.read, t.written) for t in profile.arrays] == [(2560, 0), (0, 2560)]


def test_a_block_that_is_no_multiple_of_a_warp(run) -> None:
    x = np.zeros(40, F)
    (found,) = (a for a in at(run("copy", (1,), (40,), x, x.copy()), "copy: body") if a.kind == "read")
    assert (found.requests, found.threads, found.sectors, found.useful_bytes) == (2, 40, 5, 160)


def test_each_pass_through_a_loop_is_a_request(run) -> None:
    x = np.zeros(320, F)
    profile = run("loop", (1,), (32,), x, x.copy(), I(10))
    assert [(a.requests, a.sectors) for a in at(profile, "loop: body")] == [(10, 40)]
    assert executions(profile, "loop: body") == (10, 320)
    assert executions(profile, "loop: end") == (1, 32)


def test_lanes_that_leave_a_loop_earlier(run) -> None:
    x = np.zeros(32, F)
    profile = run("triangle", (1,), (32,), x, x.copy())
    (found,) = at(profile, "triangle: body")
    assert (found.requests, found.threads, found.sectors) == (32, 32 * 33 // 2, 32)  # each time one element
    assert executions(profile, "triangle: body") == (32, 32 * 33 // 2)


def test_the_sides_of_a_branch(run) -> None:
    x = np.zeros(64, F)
    profile = run("branches", (1,), (64,), x, x.copy(), x.copy())
    assert executions(profile, "branches: first") == (2, 40)
    assert executions(profile, "branches: second") == (1, 24)
    assert [(a.kind, a.sectors) for a in at(profile, "branches: second")] == [("read", 3), ("write", 3)]


def test_atomic_operations(run) -> None:
    x = np.zeros(32, I)
    (found,) = at(run("count", (1,), (32,), x), "count: body")
    assert (found.kind, found.requests, found.threads, found.sectors, found.useful_bytes) == ("atomic", 1, 32, 1, 16)
    assert x[:4].tolist() == [8, 8, 8, 8]


def test_a_function_that_is_called_twice(run) -> None:
    x = np.zeros(64, F)
    profile = run("called", (1,), (32,), x, x.copy())
    (found,) = at(profile, "helper")
    assert (found.requests, found.sectors) == (2, 4 + 8)
    assert executions(profile, "helper") == (2, 64)


def test_dynamic_shared_memory_between_barriers(run) -> None:
    x, y = np.zeros(34, F), np.zeros(32, F)
    profile = run("dynamic", (1,), (32,), x, y, shared_mem=128)
    by_memory = {a.memory: a for a in at(profile, "dynamic: write")}
    assert by_memory["global"].sectors == 4 + 5 + 5
    assert (by_memory["shared"].passes, by_memory["shared"].conflicts) == (3, 0)
    (found,) = (a for a in at(profile, "dynamic: read") if a.memory == "shared")
    assert (found.requests, found.passes, found.conflicts) == (3, 3, 0)  # two lanes for each of 16 words


def test_asynchronous_copies(run) -> None:
    x = np.zeros((32, 4), F)
    found = at(run("copied", (1,), (32,), x, x.copy()), "copied: copy")
    assert [(a.memory, a.kind, a.bytes, a.requests, a.sectors, a.passes, a.conflicts) for a in found] == [
        ("global", "read", 16, 1, 16, 0, 0),
        ("shared", "write", 16, 1, 0, 8, 4),
    ]


def test_blocks_that_meet(run) -> None:
    x, y = np.arange(64, dtype=F), np.zeros(64, F)
    profile = run("meeting", (2,), (32,), x, y, np.zeros(1, np.uint32))
    assert (y == 63).all()
    for comment, arrays in (("meeting: before", 1), ("meeting: after", 2)):  # that are read there
        (found,) = (a for a in at(profile, comment) if a.kind == "read")
        assert (found.requests, found.threads, found.sectors) == (2 * arrays, 64 * arrays, 8 * arrays)
        assert executions(profile, comment) == (2, 64)


def test_matrices_of_tensor_cores(run) -> None:
    profile = run("matrices", (1,), (32,), np.zeros(32, np.uint32))
    for comment, expected in (("matrices: close", (1, 4, 0)), ("matrices: apart", (1, 8, 4))):
        (found,) = (a for a in at(profile, comment) if a.memory == "shared")
        assert (found.requests, found.passes, found.conflicts) == expected


def test_a_function_that_is_inlined_at_two_places(run) -> None:
    x = np.zeros(64, F)
    profile = run("twice", (1,), (32,), x, x.copy())
    assert executions(profile, "inlined") == (1 + 3, 4 * 32)
    assert [(a.called_at, a.requests, a.sectors) for a in at(profile, "inlined")] == [
        ((("kernel.cu", line_of("first call")),), 1, 4),
        ((("kernel.cu", line_of("second call")),), 3, 12),
    ]


def test_operations_of_a_warp(run) -> None:
    x, y = np.ones(32, F), np.zeros(1, F)
    profile = run("sums", (1,), (32,), x, y)
    assert y[0] == 32
    assert executions(profile, "sums: shuffle") == (5, 160)
    assert executions(profile, "sums: end") == (1, 1)


def test_local_arrays_are_no_memory(run) -> None:
    x = np.arange(32, dtype=I)
    found = at(run("local", (1,), (32,), x, x.copy()), "local: end")
    assert [(a.memory, a.kind, a.requests) for a in found] == [("global", "read", 1), ("global", "write", 1)]


def test_bytes_touched_at_least_once(run) -> None:
    x, y = np.zeros(100, F), np.zeros(100, F)
    touched = run("stride_2", (1,), (32,), x, y).arrays
    assert [(t.name, t.bytes, t.read, t.written) for t in touched] == [
        ("argument 1 'x'", 400, 128, 0),
        ("argument 2 'y'", 400, 0, 128),
    ]


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_the_order_of_threads_makes_no_difference(module, run, order) -> None:
    kernel = module.get_function("dynamic")
    kernel.order = order
    x, y = np.zeros(34, F), np.zeros(32, F)
    kernel((1,), (32,), (x, y), shared_mem=128)
    assert module.profiles.pop() == run("dynamic", (1,), (32,), x, y, shared_mem=128)


def test_results_are_those_of_the_other_modes(run) -> None:
    x, y = np.arange(100, dtype=F), np.zeros(100, F)
    run("stride_2", (1,), (32,), x, y)
    assert (y[:32] == 2 * np.arange(32)).all()


# What caches would keep ---------------------------------------------------------------------------------------------

REUSE = """
extern "C" __global__ void again(const float* x, float* y, int n) {
    const int t = threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; ++k) sum += x[t + k / n];   // 4 sectors of a line, and n - 1 = 3 times again at once
    for (int k = 0; k < 3; ++k) sum += x[32 * k + t];  // the first once more; two new lines of 4 sectors
    y[t] = sum + x[t + n / 5];                         // the first again, with two lines in between
}
extern "C" __global__ void by_turns(const float* x, float* y, int n) {
    const int t = threadIdx.x;
    float sum = 0;
    for (int k = 0; k < 8; ++k) sum += x[8 * (k % 2)];  // all warps take turns: two sectors of one line
    y[t] = sum;
}
"""


@pytest.mark.parametrize(
    ("kernel", "threads", "reads"),
    [
        ("again", 32, [12, 4 * 3 + 4, 0, 4]),
        # Two warps take turns with lines 0 and 1, four times each; then with 0 and 1, 1 and 2, 2 and 3; then 0 and 1.
        ("again", 64, [16, 4 + 4, 6 * 4 + 8 + 0, 0 + 8]),
        ("by_turns", 128, [2, 8 * 4 - 2]),
    ],
)
def test_reuse(kernel, threads, reads) -> None:
    module = RawModule(code=REUSE, mode="profile")
    x, y = np.zeros(1024, np.float32), np.zeros(128, np.float32)
    module.get_function(kernel)((3,), (threads,), (x, y, 4))
    (found,) = module.profiles
    assert found.reuse[: len(reads)] == [3 * n for n in reads]
    assert sum(found.reuse) == 3 * sum(reads)


def test_sectors_of_a_block() -> None:
    module = RawModule(code=REUSE, mode="profile")
    x, y = np.zeros(1024, np.float32), np.zeros(128, np.float32)
    module.get_function("again")((3,), (32,), (x, y, 4))
    (found,) = module.profiles
    assert [array.block_sectors for array in found.arrays] == [12.0, 4.0]


def test_only_counted_blocks_run() -> None:
    module = RawModule(code=REUSE, mode="profile", counted_blocks=2, only_counted=True)
    x, y = np.ones(1024, np.float32), np.zeros(128, np.float32)
    module.get_function("again")((1000,), (32,), (x, y, 4))
    (found,) = module.profiles
    assert (found.counted_blocks, found.reuse[0]) == (2, 12 * 1000)


def test_contention() -> None:
    text = """
    extern "C" __global__ void count(int* y) { atomicAdd(y + threadIdx.x / 16, 1); atomicAdd(y, 1); }
    """
    module = RawModule(code=text, mode="profile")
    module.get_function("count")((5,), (64,), (np.zeros(4, np.int32),))
    assert module.profiles[0].contention == 5 * (16 + 64)


@pytest.mark.parametrize("body", ["for (volatile int go = 1; go;) {}", "while (x[0] == 0.0f) {}"])
def test_a_loop_without_end_is_an_error(body) -> None:
    code = f"""#line 1 "t.cu"
extern "C" __global__ void f(volatile float* x) {{
    {body}
}}"""
    x = np.zeros(1, np.float32)
    with pytest.raises(SimulatorError, match=r"t.cu:2: no end in kernel f: ") as error:
        RawModule(code=code, mode="profile").get_function("f")((1,), (1,), (x,))
    assert error.value.kind == "no end"
