// Inline PTX of what sm_90a (H100, H200) alone has: tensor maps, barriers in shared memory that count bytes, products of
// warpgroups. Each wrapper has its twin for the CPU simulator, as in ptx.cuh; on another GPU it traps.
//
// Sections, by title or number, are those of PTX ISA 9.0.
#pragma once
#include "ptx.cuh"

#if defined(GPUNN_SIMULATOR) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define IF_SM90(instruction) instruction
#else
#define IF_SM90(instruction) asm volatile("trap;")
#endif

// Makes what this thread has written to shared memory so far seen by the async proxy: wgmma, copies of boxes
// ("membar / fence", .proxykind). Other threads need a barrier after it.
__device__ __forceinline__ void fence_async_proxy() {
#if defined(GPUNN_SIMULATOR)
    simulator::fence_async_proxy();
#else
    IF_SM90(asm volatile("fence.proxy.async.shared::cta;" ::: "memory"));
#endif
}

// ---- Barriers in shared memory (mbarrier): a phase of theirs is complete when as many threads have arrived as were
// ---- said, and as many bytes as were expected; then the next phase begins ("mbarrier")

// Before anybody uses it; then the thread calls `fence_async_proxy`, and all meet in __syncthreads.
__device__ __forceinline__ void mbarrier_init(unsigned long long* barrier, unsigned arrivals CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::mbarrier_init(barrier, arrivals, file, line);
#else
    IF_SM90(asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
                         : "memory"));
#endif
}

// What this thread did before is seen by those who wait for the phase.
__device__ __forceinline__ void mbarrier_arrive(unsigned long long* barrier CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::mbarrier_arrive(barrier, 0, file, line);
#else
    IF_SM90(asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory"));
#endif
}

// The same, and the phase is not complete before copies have brought so many more bytes.
__device__ __forceinline__ void mbarrier_arrive_expecting(unsigned long long* barrier, unsigned bytes CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::mbarrier_arrive(barrier, bytes, file, line);
#else
    IF_SM90(asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                         "r"(bytes)
                         : "memory"));
#endif
}

// Waits until the phase of this parity is complete: the first phase has parity 0, the second 1, and so on by turns. On a
// new barrier the phase before the first, of parity 1, counts as complete.
__device__ __forceinline__ void mbarrier_wait(unsigned long long* barrier, unsigned parity CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::mbarrier_wait(barrier, parity, file, line);
#else
    unsigned complete = 0;
    while (!complete)
        IF_SM90(asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
                             "selp.u32 %0, 1, 0, p; }"
                             : "=r"(complete)
                             : "r"(shared_address(barrier)), "r"(parity)
                             : "memory"));
#endif
}

// ---- Copies of boxes of a tensor to shared memory (TMA)

// How a tensor lies in memory, and which box of it is copied at once: what the driver makes of that, and in the simulator
// what gpunn/backend/tensor_map.py does. A kernel has it as `const __grid_constant__` parameter.
struct TensorMap {
#ifdef GPUNN_SIMULATOR
    unsigned long long words[16];
#else
    unsigned long long __align__(128) words[16];
#endif
};

// Begins to copy the box whose first element is (x, y, z), x along lines; it counts for the barrier with all its bytes.
// What of the box is outside the tensor is 0. `shared` is a multiple of 1,024: lines of 128 bytes lie there as
// `wgmma_matrix` says ("Tensor Swizzling Modes"). One thread calls it ("cp.async.bulk.tensor").
__device__ __forceinline__ void copy_box(
    void* shared, const TensorMap& map, int x, int y, int z, unsigned long long* barrier CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::copy_box(shared, &map, x, y, z, barrier, file, line);
#else
    IF_SM90(asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                         "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(shared_address(shared)),
                         "l"(&map), "r"(x), "r"(y), "r"(z), "r"(shared_address(barrier))
                         : "memory"));
#endif
}

// ---- Tensor cores: the four warps of a warpgroup together, while they go on
//
// 9.7.15 "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions". All 128 threads call
// these functions, the first one being a multiple of 128, and each warp waits for its own part of the product.

// Before the first wgmma, and between accesses to the registers of a sum and the next wgmma that adds to it
// (9.7.15.7.1).
__device__ __forceinline__ void wgmma_fence(CALLED_FROM_ALONE) {
#ifdef GPUNN_SIMULATOR
    simulator::wgmma_fence(file, line);
#else
    IF_SM90(asm volatile("wgmma.fence.sync.aligned;" ::: "memory"));
#endif
}

// Closes the group of the products since the last commit (9.7.15.7.3).
__device__ __forceinline__ void wgmma_commit(CALLED_FROM_ALONE) {
#ifdef GPUNN_SIMULATOR
    simulator::wgmma_commit(file, line);
#else
    IF_SM90(asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"));
#endif
}

// Waits until at most N of this warp's groups are under way (9.7.15.7.4). Until then nobody may touch their sums, nor
// write to their matrices; other warps need a barrier after it.
template <int N> __device__ __forceinline__ void wgmma_wait(CALLED_FROM_ALONE) {
#ifdef GPUNN_SIMULATOR
    simulator::wgmma_wait(N, file, line);
#else
    IF_SM90(asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"));
#endif
}

// Keeps the compiler, which does not know that a wgmma goes on, from moving accesses to a sum past this place.
template <int N> __device__ __forceinline__ void wgmma_keep(float (&d)[N][4]) {
#ifndef GPUNN_SIMULATOR
#pragma unroll
    for (int n = 0; n < N * 4; ++n) asm volatile("" : "+f"(d[n / 4][n % 4])::"memory");
#endif
}

// Where a matrix of halves begins in shared memory, and how it goes on there (9.7.15.5.1.2.2, "Matrix Descriptor
// Format"): bits 0 to 13 have the address, 16 to 29 and 32 to 45 the leading and the stride dimension byte offset, all
// without their low four bits; bits 49 to 51, the base offset, are 0, as patterns begin at multiples of 1,024; bits 62
// and 63 are 1, "128-Byte swizzle".
//
// It lies in lines of 128 bytes, eight of them a pattern: chunk c of 16 bytes of line r is at place c ^ r % 8
// (9.7.15.5.1.2.1.3, "Canonical Layouts": by Swizzle<3, 4, 3> bits 7 to 9 of an address change bits 4 to 6).
// Lines along k: the eight lines of one pattern are eight i; `stride` bytes on are the next eight; `leading`, which is
// not used, is 16.
// Lines along i, across k: the eight lines are eight k; `stride` bytes on are the next eight k, `leading` bytes on the
// next 64 i.
__device__ __forceinline__ unsigned long long wgmma_matrix(const void* first, unsigned leading, unsigned stride) {
    return (shared_address(first) & 0x3ffffu) >> 4 | (unsigned long long)(leading >> 4) << 16 |
           (unsigned long long)(stride >> 4) << 32 | 1ull << 62;
}

// D += A B for A (64 x 16) and B (16 x 128, or 256) as `wgmma_matrix` gives them, D of float; begun here, and done when
// it was waited for. ACROSS says that lines run across k. With g = lane / 4 and t = lane % 4 warp w of the four holds
// (9.7.15.5.1.1.1, figure of "layout for accumulator matrix D")
//   d[n][0..3]: D[16 w + g][8 n + 2 t], [8 n + 2 t + 1], D[16 w + g + 8][8 n + 2 t], [8 n + 2 t + 1]
#ifdef GPUNN_SIMULATOR
#define WGMMA(columns, type, format) simulator::wgmma<simulator::format, A_ACROSS, B_ACROSS>(d, a, b, file, line)
#else
#define ONE(n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define FOUR(n) ONE(n), ONE(n + 1), ONE(n + 2), ONE(n + 3)
#define SIXTEEN(n) FOUR(n), FOUR(n + 4), FOUR(n + 8), FOUR(n + 12)
#define SUMS_128 SIXTEEN(0)
#define SUMS_256 SIXTEEN(0), SIXTEEN(16)
#define OPERANDS_128                                                                                                  \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "           \
    "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "            \
    "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "            \
    "%62, %63}, %64, %65, 1, 1, 1, %66, %67;"
#define OPERANDS_256                                                                                                  \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "           \
    "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "            \
    "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "            \
    "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, "            \
    "%82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, "          \
    "%102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, "          \
    "%119, %120, %121, %122, %123, %124, %125, %126, %127}, %128, %129, 1, 1, 1, %130, %131;"
#define WGMMA(columns, type, format)                                                                                  \
    IF_SM90(asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " " OPERANDS_##columns \
                         : SUMS_##columns                                                                             \
                         : "l"(a), "l"(b), "n"((int)A_ACROSS), "n"((int)B_ACROSS)))
#endif
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void wgmma_m64n128k16_bf16(
    float (&d)[16][4], unsigned long long a, unsigned long long b CALLED_FROM) {
    WGMMA(128, "bf16", BFLOAT16);
}
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void wgmma_m64n128k16_f16(
    float (&d)[16][4], unsigned long long a, unsigned long long b CALLED_FROM) {
    WGMMA(128, "f16", FLOAT16);
}
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void wgmma_m64n256k16_bf16(
    float (&d)[32][4], unsigned long long a, unsigned long long b CALLED_FROM) {
    WGMMA(256, "bf16", BFLOAT16);
}
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void wgmma_m64n256k16_f16(
    float (&d)[32][4], unsigned long long a, unsigned long long b CALLED_FROM) {
    WGMMA(256, "f16", FLOAT16);
}
#undef WGMMA
#undef ONE
#undef FOUR
#undef SIXTEEN
#undef SUMS_128
#undef SUMS_256
#undef OPERANDS_128
#undef OPERANDS_256
#undef IF_SM90
