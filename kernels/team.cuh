// Teams: the threads that work on one row together. A kernel is written once for any team; each team is a rung of its
// ladder. The members take the elements of a row in turn,
//
//   for (int i = Team::rank(); i < length; i += Team::size()) sum.add(x[i]);
//   sum = Team::reduce(sum);
//
// and what each has found is then put together, in an order that does not change: the same bits on every run, and for
// every member. It is a struct of accumulate.cuh: `merge` takes another one in, `of_lane` is that of another lane of the
// warp. All threads of a block must reach `reduce`, also those whose team has no row.
//
//   Alone    one thread: the formula and nothing else. Neighbouring threads have neighbouring rows.
//   Lanes    4, 8 or 16 neighbouring lanes of a warp, by shuffles: many short rows. Block (lanes, n): n rows.
//   Warp     32 threads, by shuffles. Block (32, n): n rows.
//   Block    all threads of the block, by shuffles and then through shared memory.
//   Columns  8 threads, through shared memory. Block (32, 8): 32 rows, which lie side by side in memory (x[row] beside
//            x[row + 1]), so that a warp reads 32 neighbours at each step.
#pragma once
#include "common.cuh"

constexpr int COLUMN_MEMBERS = 8;

__device__ __forceinline__ int thread_of_block() { return threadIdx.y * blockDim.x + threadIdx.x; }

struct Alone {
    static __device__ __forceinline__ index_t row() { return first_index(); }
    static __device__ __forceinline__ int rank() { return 0; }
    static __device__ __forceinline__ int size() { return 1; }
    template <class T> static __device__ __forceinline__ T reduce(T value) { return value; }
};

struct Lanes {
    static __device__ __forceinline__ index_t row() { return (index_t)blockIdx.x * blockDim.y + threadIdx.y; }
    static __device__ __forceinline__ int rank() { return threadIdx.x; }
    static __device__ __forceinline__ int size() { return blockDim.x; }

    template <class T> static __device__ __forceinline__ T reduce(T value) {
        const int lane = thread_of_block() % 32;
        for (int distance = size() / 2; distance > 0; distance /= 2) value.merge(value.of_lane(lane ^ distance));
        return value.of_lane(lane - rank());  // all take what the first lane of theirs has, as in Warp
    }
};

struct Warp {
    static __device__ __forceinline__ index_t row() { return (index_t)blockIdx.x * blockDim.y + threadIdx.y; }
    static __device__ __forceinline__ int rank() { return threadIdx.x; }
    static __device__ __forceinline__ int size() { return 32; }

    template <class T> static __device__ __forceinline__ T reduce(T value) {
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2)
            value.merge(value.of_lane(thread_of_block() % 32 ^ distance));
        // merge(a, b) and merge(b, a) may differ in the last bit: all take what the first lane has.
        return value.of_lane(0);
    }
};

struct Block {
    static __device__ __forceinline__ index_t row() { return blockIdx.x; }
    static __device__ __forceinline__ int rows() { return 1; }  // of a block
    static __device__ __forceinline__ int rank() { return thread_of_block(); }
    static __device__ __forceinline__ int size() { return blockDim.x * blockDim.y; }

    template <class T> static __device__ __forceinline__ T reduce(T value) {
        __shared__ T of_warp[32];
        value = Warp::reduce(value);
        if (rank() % 32 == 0) of_warp[rank() / 32] = value;
        __syncthreads();
        value = of_warp[0];
        for (int warp = 1; warp < size() / 32; ++warp) value.merge(of_warp[warp]);
        __syncthreads();  // before `of_warp` is used again
        return value;
    }
};

struct Columns {
    static __device__ __forceinline__ index_t row() { return (index_t)blockIdx.x * 32 + threadIdx.x; }
    static __device__ __forceinline__ int rows() { return 32; }  // of a block
    static __device__ __forceinline__ int rank() { return threadIdx.y; }
    static __device__ __forceinline__ int size() { return COLUMN_MEMBERS; }

    template <class T> static __device__ __forceinline__ T reduce(T value) {
        __shared__ T of_member[COLUMN_MEMBERS][32];
        of_member[threadIdx.y][threadIdx.x] = value;
        __syncthreads();
        value = of_member[0][threadIdx.x];
        for (int member = 1; member < COLUMN_MEMBERS; ++member) value.merge(of_member[member][threadIdx.x]);
        __syncthreads();  // before `of_member` is used again
        return value;
    }
};
