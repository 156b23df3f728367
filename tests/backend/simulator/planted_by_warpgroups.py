"""Bugs with wgmma: fences, waits, descriptors, warps that part."""

import numpy as np

from .planted import Bug

BEGIN = """
            extern __shared__ __align__(16) unsigned char bytes[];
            unsigned short* s = (unsigned short*)(bytes + (0u - shared_address(bytes)) % 1024);
            float d[16][4] = {};
            const unsigned long long a = wgmma_matrix(s, 16, 1024), b = wgmma_matrix(s + 64 * 64, 16, 1024);"""
WRITE = """
            for (int i = threadIdx.x; i < 192 * 64; i += 128) s[i] = p[i % 64];"""
FENCE = """
            fence_async_proxy();
            __syncthreads();"""
MULTIPLY = "wgmma_m64n128k16_bf16<false, false>(d, a, b);"
WAIT = """
            wgmma_commit();
            wgmma_wait<0>();"""
END = """
            p[128 + threadIdx.x] = d[0][0];
        }"""
BYTES = 192 * 128 + 1024


def bug(name, kind, body, shared_mem=BYTES, fast=False, **more):
    """One of a kernel of a warpgroup, with what most of them have in common."""
    code = f"\n        __global__ void {name}(unsigned short* p) {{{BEGIN}{body}{END}"
    return Bug(name, kind, code, lambda: (np.ones(256, np.uint16),), 128, shared_mem=shared_mem, fast=fast, **more)


BY_WARPGROUPS = [
    bug("wgmma_without_fence", "missing wgmma fence", f"""{WRITE}{FENCE}
            //+ wgmma_fence();
            {MULTIPLY}  // BUG{WAIT}""", fast=True),
    bug("no_fence_after_sums_were_read", "missing wgmma fence", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}{WAIT}
            d[0][0] *= 2.0f;
            //+ wgmma_fence();
            {MULTIPLY}  // BUG{WAIT}""", fast=True),
    bug("no_proxy_fence", "missing proxy fence", f"""{WRITE}
            //+ fence_async_proxy();
            __syncthreads();
            wgmma_fence();
            {MULTIPLY}  // BUG{WAIT}"""),
    bug("proxy_fence_before_the_write", "missing proxy fence", f"""
            fence_async_proxy();  // GOES
            {WRITE}
            //+ fence_async_proxy();
            __syncthreads();
            wgmma_fence();
            {MULTIPLY}  // BUG{WAIT}"""),
    bug("proxy_fence_before_the_copies_landed", "missing proxy fence", f"""
            for (int i = threadIdx.x; i < 192 * 8; i += 128) cp_async_16(s + i * 8, p, true);
            cp_async_commit();
            fence_async_proxy();  // GOES
            cp_async_wait<0>();
            //+ fence_async_proxy();
            __syncthreads();
            wgmma_fence();
            {MULTIPLY}  // BUG{WAIT}"""),
    bug("sum_read_too_soon", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}
            wgmma_commit();
            //+ wgmma_wait<0>();
            p[128 + threadIdx.x] = d[3][1];  // BUG
            wgmma_wait<0>();"""),
    bug("sum_read_of_the_last_group", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}
            wgmma_commit();
            {MULTIPLY}
            wgmma_commit();
            wgmma_wait<1>();  // GOES
            //+ wgmma_wait<0>();
            p[128 + threadIdx.x] = d[3][1];  // BUG
            wgmma_wait<0>();"""),
    bug("sum_changed_under_way", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}
            d[15][3] = 1.0f; {MULTIPLY}  // BUG
            //+ {MULTIPLY}{WAIT}""", fast=True),
    bug("never_waited_for", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}  // BUG
            wgmma_commit();
            //+ wgmma_wait<0>();
            if (p == nullptr)  // GOES""", fast=True),
    bug("waited_for_without_a_group", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}  // BUG
            //+ wgmma_commit();
            wgmma_wait<0>();
            if (p == nullptr)  // GOES""", fast=True),
    bug("matrix_written_under_way", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}
            wgmma_commit();
            //+ wgmma_wait<0>(); __syncthreads();
            s[threadIdx.x] = 0;  // BUG
            wgmma_wait<0>();"""),
    bug("matrix_copied_to_under_way", "missing wgmma wait", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}
            wgmma_commit();
            //+ wgmma_wait<0>(); __syncthreads();
            cp_async_16(s + threadIdx.x * 8, p, true);  // BUG
            cp_async_commit();
            cp_async_wait<0>();
            wgmma_wait<0>();"""),
    bug("matrix_written_where_others_wait", "race", f"""{WRITE}{FENCE}
            wgmma_fence();
            {MULTIPLY}{WAIT}
            //+ __syncthreads();
            s[64 * 64 + threadIdx.x] = 0;  // BUG"""),
    bug("three_warps_of_four", "divergent warpgroup operation", f"""{WRITE}{FENCE}
            wgmma_fence();
            if (threadIdx.x < 96)  // GOES
            {MULTIPLY}  // BUG{WAIT}""", fast=True),
    bug("half_a_warp", "divergent warp operation", f"""{WRITE}{FENCE}
            wgmma_fence();
            if (threadIdx.x % 32 < 16)  // GOES
            {MULTIPLY}  // BUG{WAIT}""", fast=True),
    bug("descriptors_of_warps", "divergent warpgroup operation", f"""{WRITE}{FENCE}
            wgmma_fence();
            wgmma_m64n128k16_bf16<false, false>(d, a + threadIdx.x / 32, b);  // BUG
            //+ {MULTIPLY}{WAIT}""", fast=True),
    bug("descriptors_of_lanes", "wrong matrix descriptor", f"""{WRITE}{FENCE}
            wgmma_fence();
            wgmma_m64n128k16_bf16<false, false>(d, a + threadIdx.x % 2, b);  // BUG
            //+ {MULTIPLY}{WAIT}""", fast=True),
    bug("without_swizzle", "wrong matrix descriptor", f"""{WRITE}{FENCE}
            wgmma_fence();
            wgmma_m64n128k16_bf16<false, false>(d, a & ~(1ull << 62), b);  // BUG
            //+ {MULTIPLY}{WAIT}""", fast=True),
    bug("a_base_offset", "wrong matrix descriptor", f"""{WRITE}{FENCE}
            wgmma_fence();
            wgmma_m64n128k16_bf16<false, false>(d, a, b | 1ull << 49);  // BUG
            //+ {MULTIPLY}{WAIT}""", fast=True),
    bug("matrix_beyond_the_memory", "out of bounds", f"""{WRITE}{FENCE}
            wgmma_fence();
            wgmma_m64n128k16_bf16<false, false>(d, a, b + (1024 >> 4));  // BUG
            //+ {MULTIPLY}{WAIT}""", shared_mem=192 * 128 + 896, fast=True),
]  # fmt: skip
