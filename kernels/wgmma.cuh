// One block's tile of a matrix product of halves on the tensor cores of Hopper (sm_90a); matmul_wgmma.cu is made of it.
//
//   C (rows, columns) = A (rows, depth) B (depth, columns), sums in float
//
// What it adds to tensor.cuh: a warpgroup of four warps multiplies 64 x 16 elements of A with 16 x 128 or 256 of B in one
// instruction (wgmma.mma_async), which reads both from shared memory by itself and goes on while the warps do something
// else. So no register holds a factor, and B is read from shared memory once for 64 rows of A. A warpgroup has 64 rows
// of the tile and all of its columns; a warp has 16 of the rows.
//
// Steps of 64 along the depth come to shared memory as boxes of 64 x 64 elements that the copy unit brings by itself
// (TMA): one thread says which, and registers and threads have no part in it. A box lies there in lines of 128 bytes,
// swizzled as wgmma reads them (`wgmma_matrix` in ptx_sm90.cuh); beyond the edges of a matrix it has zeros. The host
// describes the matrices by tensor maps (gpunn/backend/tensor_map.py).
//
// A warp more than those that multiply does nothing but copy, as many steps ahead as there are stages. Each stage has
// two barriers: `filled`, which its copies complete, and `emptied`, at which each warp arrives when its products of that
// stage are done. So the warps of a block meet nowhere in the loop. A producer of one warp, and not of four as
// setmaxnreg would want, leaves the others 224 registers each, more than they use.
//
// Of halves alone: wgmma takes TF32 only along k, and cuts off what it should round, which others do in registers.
//
// This has never run on a GPU. It compiles for sm_90a, and on the CPU, where the twins of its instructions do what the
// PTX ISA says and complain of a missing fence or wait, it gives what NumPy gives.
#pragma once
#include "ptx_sm90.cuh"
#include "tensor.cuh"

constexpr int BOX = 64;        // elements of a box, along both of its axes
constexpr int PATTERN = 1024;  // bytes that shared memory is aligned to: eight lines

// R rows by C columns, in S stages. Fragments of 16 x 8 are those of mma.sync: a warp has one of rows and all of columns.
template <int R, int C, int S> struct WarpgroupTile {
    static constexpr int ROWS = R, COLUMNS = C, DEPTH = BOX, STAGES = S, WARP_ROWS = 16, WARPS_ACROSS = 1;
    static constexpr int WARP_COLUMNS = C, DOWN = 1, ACROSS = C / 8;
    static constexpr int THREADS = R * 2;  // that multiply; behind them is the warp that copies
    static constexpr int SIZE_A = R * DEPTH, SIZE_B = C * DEPTH, SIZE = STAGES * (SIZE_A + SIZE_B);
    static_assert(R % 64 == 0, "made of what a warpgroup multiplies");

    // 16 k from k on, of the i from first_i on, a multiple of 64, as wgmma takes them: a box has all k of 64 i.
    template <bool ALONG_K>
    static __device__ __forceinline__ unsigned long long matrix(const scalar_t* step, int first_i, int k) {
        constexpr unsigned LINE = BOX * sizeof(scalar_t);
        static_assert(LINE == 128, "a line of the pattern");
        const scalar_t* first = step + first_i * BOX + (ALONG_K ? k : k * BOX);
        return wgmma_matrix(first, ALONG_K ? 16 : BOX * LINE, 8 * LINE);
    }
};
typedef WarpgroupTile<128, 256, 4> WgmmaLarge;  // 288 threads, 192 KiB
typedef WarpgroupTile<64, 128, 3> WgmmaSmall;   // 160 threads, 72 KiB

// The barriers of the stages, in shared memory.
template <class T> struct Stages {
    unsigned long long filled[T::STAGES], emptied[T::STAGES];
};

// A stage after the other, and the parity of the phases that their barriers are in.
template <class T> struct Turn {
    int stage = 0;
    unsigned parity = 0;
    __device__ __forceinline__ void next() {
        if (++stage == T::STAGES) stage = 0, parity ^= 1;
    }
};

// A or B among the matrices that a tensor map is of. Its axis i is the one that the product keeps, its axis k is summed
// over; lines run along one of them.
struct Matrix {
    const TensorMap& map;
    int number;
    bool along_k;
};

template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void multiply_add(
    float (&d)[16][4], unsigned long long a, unsigned long long b, const half_t*) {
    wgmma_m64n128k16_f16<A_ACROSS, B_ACROSS>(d, a, b);
}
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void multiply_add(
    float (&d)[16][4], unsigned long long a, unsigned long long b, const bfloat16_t*) {
    wgmma_m64n128k16_bf16<A_ACROSS, B_ACROSS>(d, a, b);
}
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void multiply_add(
    float (&d)[32][4], unsigned long long a, unsigned long long b, const half_t*) {
    wgmma_m64n256k16_f16<A_ACROSS, B_ACROSS>(d, a, b);
}
template <bool A_ACROSS, bool B_ACROSS>
__device__ __forceinline__ void multiply_add(
    float (&d)[32][4], unsigned long long a, unsigned long long b, const bfloat16_t*) {
    wgmma_m64n256k16_bf16<A_ACROSS, B_ACROSS>(d, a, b);
}

// The i from first_i on, of 64 k.
template <int WIDTH>
__device__ __forceinline__ void copy_step(
    const Matrix& from, int first_i, int k, scalar_t* to, unsigned long long* filled) {
#pragma unroll
    for (int i = 0; i < WIDTH; i += BOX)
        copy_box(to + i * BOX, from.map, from.along_k ? k : first_i + i, from.along_k ? first_i + i : k, from.number,
                 filled);
}

// All steps, each as soon as the stage that it goes to is free. One thread calls it.
template <class T>
__device__ __forceinline__ void copy_steps(
    const Matrix& a, const Matrix& b, const Work<T>& work, scalar_t* memory, Stages<T>& stages) {
    scalar_t* memory_b = memory + T::STAGES * T::SIZE_A;
    Turn<T> turn;
#pragma unroll 1
    for (int k = work.k_begin; k < work.k_end; k += T::DEPTH, turn.next()) {
        unsigned long long* filled = &stages.filled[turn.stage];
        mbarrier_wait(&stages.emptied[turn.stage], turn.parity ^ 1);  // in the first round it is
        mbarrier_arrive_expecting(filled, (T::SIZE_A + T::SIZE_B) * sizeof(scalar_t));
        copy_step<T::ROWS>(a, work.first_row, k, memory + turn.stage * T::SIZE_A, filled);
        copy_step<T::COLUMNS>(b, work.first_column, k, memory_b + turn.stage * T::SIZE_B, filled);
    }
}

// c += A B for the tile, of what `copy_steps` brings. All warps but the one that copies call it.
template <class T, bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void multiply_steps(
    const Work<T>& work, const scalar_t* memory, Stages<T>& stages, float (&c)[T::DOWN][T::ACROSS][4]) {
    const int row = threadIdx.x / 128 * 64;  // of the warpgroup, in the block
    const scalar_t* memory_b = memory + T::STAGES * T::SIZE_A;
    unsigned long long* before = nullptr;  // the barrier of the stage before
    Turn<T> turn;
#pragma unroll 1
    for (int k_first = work.k_begin; k_first < work.k_end; k_first += T::DEPTH, turn.next()) {
        mbarrier_wait(&stages.filled[turn.stage], turn.parity);
        const scalar_t *step_a = memory + turn.stage * T::SIZE_A, *step_b = memory_b + turn.stage * T::SIZE_B;
        wgmma_keep(c[0]);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < T::DEPTH; k += 16)
            multiply_add<!A_ALONG_K, !B_ALONG_K>(
                c[0], T::template matrix<A_ALONG_K>(step_a, row, k), T::template matrix<B_ALONG_K>(step_b, 0, k),
                (const scalar_t*)nullptr);
        wgmma_commit();
        wgmma_wait<1>();
        if (before != nullptr && threadIdx.x % 32 == 0) mbarrier_arrive(before);
        before = &stages.emptied[turn.stage];
    }
    wgmma_wait<0>();
    wgmma_keep(c[0]);
}

// c += A B for the tile. `memory` is shared, of T::SIZE elements, aligned to PATTERN, and free again after the call.
template <class T>
__device__ __forceinline__ void multiply_tile_by_warpgroups(
    const Matrix& a, const Matrix& b, const Work<T>& work, scalar_t* memory, float (&c)[T::DOWN][T::ACROSS][4]) {
    __shared__ Stages<T> stages;
    if (threadIdx.x == T::THREADS) {
        for (int stage = 0; stage < T::STAGES; ++stage) {
            mbarrier_init(&stages.filled[stage], 1);
            mbarrier_init(&stages.emptied[stage], T::THREADS / 32);
        }
        fence_async_proxy();
    }
    __syncthreads();
    if (threadIdx.x >= T::THREADS) {
        if (threadIdx.x == T::THREADS) copy_steps(a, b, work, memory, stages);
    } else if (a.along_k) {
        if (b.along_k) multiply_steps<T, true, true>(work, memory, stages, c);
        else multiply_steps<T, true, false>(work, memory, stages, c);
    } else {
        if (b.along_k) multiply_steps<T, false, true>(work, memory, stages, c);
        else multiply_steps<T, false, false>(work, memory, stages, c);
    }
    __syncthreads();
}
