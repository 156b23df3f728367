// One block's tile of a matrix product of halves on the tensor cores of Hopper (sm_90a); matmul_wgmma.cu is made of it.
//
//   C (rows, columns) = A (rows, depth) B (depth, columns), sums in float
//
// What it adds to tensor.cuh: a warpgroup of four warps multiplies 64 x 16 elements of A with 16 x 128 of B in one
// instruction (wgmma.mma_async), which reads both from shared memory by itself and goes on while the warps do something
// else. So no register holds a factor, and B is read from shared memory once for 64 rows of A. A warpgroup has 64 rows
// of the tile and all of its columns, 128 at a time; a warp has 16 of the rows.
//
// Steps of 64 along the depth come to shared memory by cp.async, as in tensor.cuh, and lie there in lines of 128 bytes,
// swizzled as wgmma reads them (`wgmma_matrix` in ptx.cuh). Tensor maps (cp.async.bulk.tensor), which would spare the
// threads the copying, are not used: they want a descriptor of each matrix from the host, and lines whose steps are
// multiples of 16 bytes; and bulk copies of rows without one can't swizzle. With cp.async all but the multiplication is
// what has run on a GPU before, and every matrix goes this way, whichever way its lines run.
//
// Of halves alone: wgmma takes TF32 only along k, and cuts off what it should round, which others do in registers.
//
// Of two steps one is multiplied and one may still be read, so copies go to the stage of the one before them. What was
// copied is seen by wgmma only after fence.proxy.async.
//
// This has never run on a GPU. It compiles for sm_90a, and on the CPU, where the twins of its instructions do what the
// PTX ISA says and complain of a missing fence or wait, it gives what NumPy gives.
#pragma once
#include "tensor.cuh"

// R rows by C columns, in S stages. Fragments of 16 x 8 are those of mma.sync: a warp has one of rows and, of each 128
// columns, 16.
template <int R, int C, int S> struct WarpgroupTile {
    static constexpr int ROWS = R, COLUMNS = C, DEPTH = 64, STAGES = S, WARP_ROWS = 16, WARPS_ACROSS = 1;
    static constexpr int WARP_COLUMNS = C, WIDE = 128, PARTS = C / WIDE, THREADS = R * 2;
    static constexpr int DOWN = 1, ACROSS = WIDE / 8;
    static constexpr int SIZE_A = R * DEPTH, SIZE_B = C * DEPTH, SIZE = STAGES * (SIZE_A + SIZE_B);
    static_assert(R % 64 == 0 && C % WIDE == 0, "made of what a warpgroup multiplies");

    // Where a step of WIDTH x DEPTH elements has chunk c of line k, or of line i: lines of 64 elements; where they run
    // along i, 64 lines of all k for each 64 of i.
    template <int WIDTH, bool ALONG_K> static __device__ __forceinline__ int chunk_at(int line, int c) {
        return ((ALONG_K ? 0 : c / 8 * DEPTH) + line) * DEPTH + (c % 8 ^ line % 8) * CHUNK;
    }

    // 16 k from k on, of the i from first_i on, a multiple of 64, as wgmma takes them.
    template <bool ALONG_K>
    static __device__ __forceinline__ unsigned long long matrix(const scalar_t* step, int first_i, int k) {
        constexpr unsigned LINE = DEPTH * sizeof(scalar_t);
        static_assert(LINE == 128, "a line of the pattern");
        const scalar_t* first = step + first_i * DEPTH + (ALONG_K ? k : k * DEPTH);
        return wgmma_matrix(first, ALONG_K ? 16 : DEPTH * LINE, 8 * LINE);
    }
};
typedef WarpgroupTile<128, 256, 4> WgmmaLarge;  // 256 threads, 192 KiB
typedef WarpgroupTile<64, 128, 3> WgmmaSmall;   // 128 threads, 72 KiB
constexpr int PATTERN = 1024;  // bytes that shared memory is aligned to: eight lines

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

// c += A B for the tile. `memory` is shared, of T::SIZE elements, aligned to PATTERN, and free again after the call.
template <class T, bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void multiply_tile_by_warpgroups(
    const Operand& a, const Operand& b, const Work<T>& work, scalar_t* memory,
    float (&c)[T::PARTS][T::DOWN][T::ACROSS][4]) {
    const int steps = (work.k_end - work.k_begin + T::DEPTH - 1) / T::DEPTH;
    const int row = threadIdx.x / 128 * 64;  // of the warpgroup, in the block
    scalar_t* memory_b = memory + T::STAGES * T::SIZE_A;
    // The copies of a step that is not there are a group too, so that as many groups are under way in every round.
    for (int step = 0; step < T::STAGES - 2; ++step) {
        if (step < steps) {
            const int k = work.k_begin + step * T::DEPTH;
            fetch<T, T::ROWS, A_ALONG_K>(a, work.first_row, k, work.k_end, memory + step * T::SIZE_A);
            fetch<T, T::COLUMNS, B_ALONG_K>(b, work.first_column, k, work.k_end, memory_b + step * T::SIZE_B);
        }
        cp_async_commit();
    }
    int stage = 0, free = T::STAGES - 2;  // the stage that is multiplied, and the one that was before the last
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        cp_async_wait<T::STAGES - 3>();
        fence_async_proxy();
        __syncthreads();
        const scalar_t *step_a = memory + stage * T::SIZE_A, *step_b = memory_b + stage * T::SIZE_B;
#pragma unroll
        for (int part = 0; part < T::PARTS; ++part) wgmma_keep(c[part][0]);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < T::DEPTH; k += 16)
#pragma unroll
            for (int part = 0; part < T::PARTS; ++part)
                multiply_add<!A_ALONG_K, !B_ALONG_K>(
                    c[part][0], T::template matrix<A_ALONG_K>(step_a, row, k),
                    T::template matrix<B_ALONG_K>(step_b, part * T::WIDE, k), (const scalar_t*)nullptr);
        wgmma_commit();
        if (step + T::STAGES - 2 < steps) {
            const int k = work.k_begin + (step + T::STAGES - 2) * T::DEPTH;
            fetch<T, T::ROWS, A_ALONG_K>(a, work.first_row, k, work.k_end, memory + free * T::SIZE_A);
            fetch<T, T::COLUMNS, B_ALONG_K>(b, work.first_column, k, work.k_end, memory_b + free * T::SIZE_B);
        }
        cp_async_commit();
        wgmma_wait<1>();
        stage = stage + 1 == T::STAGES ? 0 : stage + 1;
        free = free + 1 == T::STAGES ? 0 : free + 1;
    }
    wgmma_wait<0>();
#pragma unroll
    for (int part = 0; part < T::PARTS; ++part) wgmma_keep(c[part][0]);
    __syncthreads();
}

// f(c + bias), or c itself where it is a part, to where C lies, straight from registers: for functions of one
// instruction, and rows of whole pairs. `write_tile` does all else.
template <int KIND, class T, class Y>
__device__ __forceinline__ void write_pairs(
    const float (&c)[T::ACROSS][4], const Result& to, Y* y, const scalar_t* bias, int first_row, int first_column) {
    const int lane = threadIdx.x % 32, column = first_column + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = first_row + half * 8 + lane / 4;
        if (row >= to.rows) continue;
#pragma unroll
        for (int n = 0; n < T::ACROSS; ++n) {
            if (column + n * 8 >= to.columns) continue;
            Pair<Y> pair;
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float z = c[n][half * 2 + e];
                if (bias != nullptr) z += bias[column + n * 8 + e];
                pair.v[e] = activation(z, KIND, 0.0f);
            }
            *(Pair<Y>*)(y + to.at(row, column + n * 8)) = pair;
        }
    }
}

// All columns of the warp's rows. `memory` is that of `multiply_tile_by_warpgroups`.
template <class T>
__device__ __forceinline__ void write_sums(
    const float (&c)[T::PARTS][T::DOWN][T::ACROSS][4], const Result& to, const Work<T>& work, scalar_t* memory) {
    const int row = work.first_row + work.row;
#pragma unroll
    for (int n = 0; n < T::PARTS; ++n) {
        const int column = work.first_column + n * T::WIDE;
        if (to.pairs && to.part != nullptr)
            write_pairs<ACTIVATION_NONE, T>(c[n][0], to, to.part, nullptr, row, column);
        else if (to.pairs && to.kind == ACTIVATION_NONE)
            write_pairs<ACTIVATION_NONE, T>(c[n][0], to, to.y, to.bias, row, column);
        else if (to.pairs && to.kind == ACTIVATION_RELU)
            write_pairs<ACTIVATION_RELU, T>(c[n][0], to, to.y, to.bias, row, column);
        else
            write_tile<T>(c[n], to, row, column, (float*)memory);
    }
}
