// The only header with inline PTX, beside ptx_sm90.cuh for what sm_90a alone has. Each wrapper has its twin for the CPU
// simulator (GPUNN_SIMULATOR), which does what the PTX ISA says of the instruction, so that a kernel reads the same for
// both.
//
// What a GPU lacks is replaced where that is possible (cp.async before sm_80 becomes a plain copy) and traps where it
// is not (mma of bfloat16, float16 and TF32 before sm_80): the host must not launch such a kernel there.
#pragma once

#ifdef GPUNN_SIMULATOR
// Operations of a whole warp are told apart by the place in the kernel that they are called from.
#define CALLED_FROM_ALONE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define CALLED_FROM , CALLED_FROM_ALONE
#else
#define CALLED_FROM_ALONE
#define CALLED_FROM
#endif

// ---- Half precision, as 16 bits

__device__ __forceinline__ float half_to_float(unsigned short bits) {
#ifdef GPUNN_SIMULATOR
    return simulator::half_to_float(bits);
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#endif
}

// Rounds to nearest, ties to even; beyond 65504 it becomes infinite.
__device__ __forceinline__ unsigned short float_to_half(float value) {
#ifdef GPUNN_SIMULATOR
    return simulator::float_to_half(value);
#else
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#endif
}

__device__ __forceinline__ float bfloat16_to_float(unsigned short bits) {
    return __uint_as_float((unsigned)bits << 16);
}

// Rounds to nearest, ties to even; every NaN becomes the one that cvt gives. Before sm_80, in integers.
__device__ __forceinline__ unsigned short float_to_bfloat16(float value) {
#if !defined(GPUNN_SIMULATOR) && __CUDA_ARCH__ >= 800
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}

// Keeps the compiler from computing what follows from a number before a loop, where it would take registers throughout.
__device__ __forceinline__ void keep_here(int& number) {
#ifndef GPUNN_SIMULATOR
    asm volatile("" : "+r"(number));
#endif
}
template <class T> __device__ __forceinline__ void keep_here(const T*& pointer) {
#ifndef GPUNN_SIMULATOR
    asm volatile("" : "+l"(pointer));
#endif
}

// A float as TF32: 10 bits of mantissa, rounded to nearest, ties away from zero.
__device__ __forceinline__ unsigned float_to_tf32(float value) {
#if defined(GPUNN_SIMULATOR)
    return simulator::float_to_tf32(value);
#elif __CUDA_ARCH__ >= 800
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
#else
    return __float_as_uint(value);
#endif
}

// ---- Addresses

// The address within shared memory that instructions on it take; in the simulator the low half of a pointer.
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
#ifdef GPUNN_SIMULATOR
    return (unsigned)(size_t)pointer;
#else
    return (unsigned)__cvta_generic_to_shared(pointer);
#endif
}

// ---- Copies from global to shared memory that run beside the computation (sm_80)

// 16 bytes, past the L1 cache. Both addresses are multiples of 16. Where not `valid`, zeros arrive and nothing is read.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid CALLED_FROM) {
#if defined(GPUNN_SIMULATOR)
    simulator::copy_async(shared, global, 16, valid, file, line);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    *(uint4*)shared = valid ? *(const uint4*)global : make_uint4(0, 0, 0, 0);
#endif
}

// 8 bytes. Both addresses are multiples of 8. Where not `valid`, zeros arrive and nothing is read.
__device__ __forceinline__ void cp_async_8(void* shared, const void* global, bool valid CALLED_FROM) {
#if defined(GPUNN_SIMULATOR)
    simulator::copy_async(shared, global, 8, valid, file, line);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 8 : 0)
                 : "memory");
#else
    *(uint2*)shared = valid ? *(const uint2*)global : make_uint2(0, 0);
#endif
}

// 4 bytes. Both addresses are multiples of 4. Where not `valid`, zero arrives and nothing is read.
__device__ __forceinline__ void cp_async_4(void* shared, const void* global, bool valid CALLED_FROM) {
#if defined(GPUNN_SIMULATOR)
    simulator::copy_async(shared, global, 4, valid, file, line);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 4 : 0)
                 : "memory");
#else
    *(unsigned*)shared = valid ? *(const unsigned*)global : 0u;
#endif
}

// Closes the group of this thread's copies since the last commit.
__device__ __forceinline__ void cp_async_commit() {
#if defined(GPUNN_SIMULATOR)
    simulator::commit_async();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most N of this thread's groups are under way. What other threads copied needs a barrier after it.
template <int N> __device__ __forceinline__ void cp_async_wait() {
#if defined(GPUNN_SIMULATOR)
    simulator::wait_async(N);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// ---- Tensor cores: all 32 lanes of a warp together

// Four 8x8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8, a multiple of 16; of
// each matrix it gets row l / 4, columns 2 (l % 4) and the next.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::load_matrices<false>(r, row, file, line);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

// The same, with each matrix transposed: rows are given, columns are got.
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void* row CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::load_matrices<true>(r, row, file, line);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

// D += A B for A (16 x 16) and B (16 x 8) of bfloat16, D (16 x 8) of float. With g = lane / 4 and t = lane % 4 a lane
// holds
//   a[0..3]: A[g][2t..], A[g + 8][2t..], A[g][2t + 8..], A[g + 8][2t + 8..], two elements each, the first in the low
//            half
//   b[0..1]: B[2t..][g], B[2t + 8..][g]
//   d[0..3]: D[g][2t], D[g][2t + 1], D[g + 8][2t], D[g + 8][2t + 1]
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4],
                                                  const unsigned (&b)[2] CALLED_FROM) {
#if defined(GPUNN_SIMULATOR)
    simulator::multiply<simulator::BFLOAT16>(d, a, b, file, line);
#elif __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm volatile("trap;");
#endif
}

// The same for float16.
__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const unsigned (&a)[4],
                                                 const unsigned (&b)[2] CALLED_FROM) {
#if defined(GPUNN_SIMULATOR)
    simulator::multiply<simulator::FLOAT16>(d, a, b, file, line);
#elif __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm volatile("trap;");
#endif
}

// D += A B for A (16 x 8) and B (8 x 8) of TF32, D (16 x 8) of float. A lane holds
//   a[0..3]: A[g][t], A[g + 8][t], A[g][t + 4], A[g + 8][t + 4];  b[0..1]: B[t][g], B[t + 4][g];  d as above
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4],
                                                 const unsigned (&b)[2] CALLED_FROM) {
#if defined(GPUNN_SIMULATOR)
    simulator::multiply<simulator::TF32>(d, a, b, file, line);
#elif __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm volatile("trap;");
#endif
}

// ---- Blocks of a grid

// Whether all other ones of `blocks` blocks, which share a counter, have called this before; what they wrote before is
// then seen by all threads of this one. All threads of a block call it. The counter is 0 before, and is 0 again when the
// last block has come.
__device__ __forceinline__ bool comes_last(unsigned* counter, unsigned blocks) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) {
        __threadfence();
        last = atomicInc(counter, blocks - 1) == blocks - 1;
        __threadfence();
    }
    __syncthreads();
    return last;
}


// Waits for all threads of all blocks; what they wrote before is seen by all after. All blocks must be on the device at
// once: the host may launch no more than fit. `counter` is zero before its first use, and needs no reset after.
//
// Block 0 adds 2^31 less what all others add, so the top bit flips just when the last block has come.
__device__ __forceinline__ void grid_barrier(unsigned* counter CALLED_FROM) {
#ifdef GPUNN_SIMULATOR
    simulator::grid_barrier(counter, file, line);
#else
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) {
        const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
        const bool first = blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0;
        __threadfence();
        const unsigned before = atomicAdd(counter, first ? 0x80000000u - (blocks - 1) : 1u);
        while (((before ^ *(volatile unsigned*)counter) & 0x80000000u) == 0) {
        }
        __threadfence();
    }
    __syncthreads();
#endif
}
