// The sum of an array, one rung at a time, after Mark Harris, "Optimizing Parallel Reduction in CUDA", NVIDIA, 2007,
// https://developer.download.nvidia.com/assets/cuda/files/reduction.pdf, in the forms in which it was measured on newer
// GPUs: a sum for each block (first part), sums of blocks that are added by atomics (second part), and whole numbers
// (third part). Work: each of the n elements is read once, 4 n bytes. What was measured is in ladders.toml.
//
// x (n,), a multiple of what a block sums. y: the blocks' sums, or y[0], which is 0 before, their sum.
//
// The published kernels leave out barriers within a warp, which GPUs since Volta may not forgive; here they stand.

// How a block's threads sum what they have in `sums`, in shared memory, after a barrier. The types of indices are those
// of the source: a remainder of signed numbers takes more instructions.
//
// Every second thread works in the first step, every fourth in the second: all warps stay at work, with ever fewer
// lanes, and each step divides to find out which.
template <class T, class I>
__device__ __forceinline__ void sum_divergent(T* sums, I thread) {
    for (I s = 1; s < blockDim.x; s *= 2) {
        if (thread % (2 * s) == 0) sums[thread] += sums[thread + s];
        __syncthreads();
    }
}
// The first threads work, and whole warps rest; but neighbours are 2 s elements apart, several to a bank.
template <class T, class I>
__device__ __forceinline__ void sum_interleaved(T* sums, I thread) {
    for (I s = 1; s < blockDim.x; s *= 2) {
        const int at = 2 * s * thread;
        if (at < blockDim.x) sums[at] += sums[at + s];
        __syncthreads();
    }
}
// Neighbours are neighbours, in different banks. `rest`: the number of sums that are left at the end.
template <class T, class I>
__device__ __forceinline__ void sum_sequential(T* sums, I thread, I rest = 1) {
    for (I s = blockDim.x / 2; s > rest / 2; s /= 2) {
        if (thread < s) sums[thread] += sums[thread + s];
        __syncthreads();
    }
}
// The last 64 sums, by the first warp: no barrier of the block.
template <class T>
__device__ __forceinline__ void sum_last(volatile T* sums, int thread) {
#pragma unroll
    for (int s = 32; s > 0; s /= 2) {
        if (thread < s) sums[thread] = sums[thread] + sums[thread + s];
        __syncwarp();
    }
}
// With the number of threads known, no loop is left.
template <unsigned THREADS, class T>
__device__ __forceinline__ void sum_unrolled(T* sums, unsigned thread) {
    if (THREADS >= 512) {
        if (thread < 256) sums[thread] += sums[thread + 256];
        __syncthreads();
    }
    if (THREADS >= 256) {
        if (thread < 128) sums[thread] += sums[thread + 128];
        __syncthreads();
    }
    if (THREADS >= 128) {
        if (thread < 64) sums[thread] += sums[thread + 64];
        __syncthreads();
    }
}
// A warp's sum in its lane 0, from register to register.
template <class T>
__device__ __forceinline__ T sum_shuffled(T sum, int lanes = 32) {
    for (int s = lanes / 2; s > 0; s >>= 1) sum += __shfl_down_sync(0xffffffff, sum, s);
    return sum;
}

// First part, sums of blocks: y[block] is the sum of its part of x.
constexpr unsigned THREADS = 256;

// First rung: an element a thread.
extern "C" __global__ void reduce_divergent(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    sums[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    sum_divergent(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}
extern "C" __global__ void reduce_interleaved(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    sums[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    sum_interleaved(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}
extern "C" __global__ void reduce_sequential(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    sums[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    sum_sequential(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}

// Fourth rung, two elements a thread: the first step is an addition of what was read, by all threads.
extern "C" __global__ void reduce_first_add(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    const unsigned i = blockIdx.x * (blockDim.x * 2) + threadIdx.x;
    sums[threadIdx.x] = x[i] + x[i + blockDim.x];
    __syncthreads();
    sum_sequential(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}
extern "C" __global__ void reduce_last_warp(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    const unsigned i = blockIdx.x * (blockDim.x * 2) + threadIdx.x;
    sums[threadIdx.x] = x[i] + x[i + blockDim.x];
    __syncthreads();
    sum_sequential(sums, threadIdx.x, 64u);
    if (threadIdx.x < 32) sum_last(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}
extern "C" __global__ void reduce_unrolled(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    const unsigned i = blockIdx.x * (blockDim.x * 2) + threadIdx.x;
    sums[threadIdx.x] = x[i] + x[i + blockDim.x];
    __syncthreads();
    sum_unrolled<THREADS>(sums, threadIdx.x);
    if (threadIdx.x < 32) sum_last(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}

// Seventh rung, many elements a thread, a block apart: a thread has so much to read that the rest hardly counts. The
// sum is in shared memory.
constexpr int EACH = 128;

extern "C" __global__ void reduce_many(const float* x, float* y, int n) {
    __shared__ float sums[THREADS];
    const unsigned i = blockIdx.x * (blockDim.x * EACH) + threadIdx.x;
    sums[threadIdx.x] = 0;
#pragma unroll
    for (int e = 0; e < EACH; ++e) sums[threadIdx.x] += x[i + e * THREADS];
    __syncthreads();
    sum_unrolled<THREADS>(sums, threadIdx.x);
    if (threadIdx.x < 32) sum_last(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}

// Eighth rung: warps sum by shuffles, their sums go through shared memory to the first warp.
extern "C" __global__ void reduce_shuffled(const float* x, float* y, int n) {
    __shared__ float sums[32];
    const unsigned i = blockIdx.x * (THREADS * EACH) + threadIdx.x;
    float sum = 0;
#pragma unroll
    for (int e = 0; e < EACH; ++e) sum += x[i + e * THREADS];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    sum = sum_shuffled(sum);
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    sum = threadIdx.x < blockDim.x / 32 ? sums[lane] : 0;
    if (warp == 0) sum = sum_shuffled(sum, THREADS / 32);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

// Two rungs with shuffles alone: an element a thread, and 4 neighbours a thread. To the compiler warpSize is a
// variable, so the loops over a warp stay loops.
__device__ __forceinline__ void store_sum(float sum, float* y) {
    __shared__ float sums[32];
    const int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
    sum = sum_shuffled(sum, warpSize);
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = sum_shuffled(lane < blockDim.x / warpSize ? sums[lane] : 0, warpSize);
        if (lane == 0) y[blockIdx.x] = sum;
    }
}
extern "C" __global__ void reduce_warps(const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    store_sum(i < n ? x[i] : 0, y);
}
extern "C" __global__ void reduce_warps_quads(const float4* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    if (4 * i < n) {
        const float4 v = x[i];
        sum = v.x + v.y + v.z + v.w;
    }
    store_sum(sum, y);
}

// Second part, atomics: y[0] += each block's sum. The number of threads is the launch's, and so is the shared memory.

// 4 elements a thread, and an atomic addition each: they go one by one.
extern "C" __global__ void reduce_atomic(const float4* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (4 * i < n) {
        const float4 v = x[i];
        atomicAdd(y, v.x + v.y + v.z + v.w);
    }
}
extern "C" __global__ void reduce_atomic_divergent(const float* x, float* y, int n) {
    extern __shared__ float sums[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        sums[threadIdx.x] = x[i];
        __syncthreads();
        sum_divergent(sums, int(threadIdx.x));
        if (threadIdx.x == 0) atomicAdd(y, sums[0]);
    }
}
extern "C" __global__ void reduce_atomic_interleaved(const float* x, float* y, int n) {
    extern __shared__ float sums[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        sums[threadIdx.x] = x[i];
        __syncthreads();
        sum_interleaved(sums, int(threadIdx.x));
        if (threadIdx.x == 0) atomicAdd(y, sums[0]);
    }
}
extern "C" __global__ void reduce_atomic_sequential(const float* x, float* y, int n) {
    extern __shared__ float sums[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        sums[threadIdx.x] = x[i];
        __syncthreads();
        sum_sequential(sums, int(threadIdx.x));
        if (threadIdx.x == 0) atomicAdd(y, sums[0]);
    }
}
extern "C" __global__ void reduce_atomic_first_add(const float* x, float* y, int n) {
    extern __shared__ float sums[];
    const int i = blockIdx.x * blockDim.x * 2 + threadIdx.x;
    if (i < n) {
        sums[threadIdx.x] = x[i] + x[i + blockDim.x];
        __syncthreads();
        sum_sequential(sums, int(threadIdx.x));
        if (threadIdx.x == 0) atomicAdd(y, sums[0]);
    }
}
extern "C" __global__ void reduce_atomic_last_warp(const float* x, float* y, int n) {
    extern __shared__ float sums[];
    const int i = blockIdx.x * blockDim.x * 2 + threadIdx.x;
    if (i < n) {
        sums[threadIdx.x] = x[i] + x[i + blockDim.x];
        __syncthreads();
        sum_sequential(sums, int(threadIdx.x), 64);
        if (threadIdx.x < 32) sum_last(sums, threadIdx.x);
        if (threadIdx.x == 0) atomicAdd(y, sums[0]);
    }
}

// Third part, whole numbers in blocks of 512 threads, all of whose warps go through the steps of the last one. The
// first two write the blocks' sums, and are launched again with one block for these; the others add them by atomics.
constexpr int WIDE = 512, BATCH = 12;  // threads of a block, elements of a thread

__device__ __forceinline__ int stride_sum(const int* x, int n) {
    int sum = 0;
    for (int i = blockIdx.x * WIDE + threadIdx.x; i < n; i += WIDE * gridDim.x) sum += x[i];
    return sum;
}
// 12 neighbours a thread, one by one: the lanes of a warp are 48 bytes apart, and the cache has to keep the lines.
__device__ __forceinline__ int batch_sum(const int* x, int n) {
    const int i = blockIdx.x * WIDE + threadIdx.x;
    int sum = 0;
    if (i < n) {
#pragma unroll
        for (int e = 0; e < BATCH; ++e)
            if (i * BATCH + e < n) sum += x[i * BATCH + e];
    }
    return sum;
}
// 12 neighbours a thread, 16 bytes at a time.
__device__ __forceinline__ int quad_sum(const int4* x, int n) {
    const int i = blockIdx.x * WIDE + threadIdx.x;
    int sum = 0;
    if (i < n) {
#pragma unroll
        for (int q = 0; q < BATCH / 4; ++q)
            if (i * BATCH + q * 4 < n) {
                const int4 v = x[i * (BATCH / 4) + q];
                sum += v.x + v.y + v.z + v.w;
            }
    }
    return sum;
}
template <int REST>
__device__ __forceinline__ void sum_wide(int* sums, int thread) {
#pragma unroll
    for (int s = WIDE / 2; s > REST / 2; s /= 2) {
        if (thread < s) sums[thread] += sums[thread + s];
        __syncthreads();
    }
}

extern "C" __global__ void reduce_twice(const int* x, int* y, int n) {
    __shared__ int sums[WIDE];
    sums[threadIdx.x] = stride_sum(x, n);
    __syncthreads();
    sum_wide<1>(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}
extern "C" __global__ void reduce_twice_last_warp(const int* x, int* y, int n) {
    __shared__ int sums[WIDE];
    sums[threadIdx.x] = stride_sum(x, n);
    __syncthreads();
    sum_wide<64>(sums, threadIdx.x);
    sum_last(sums, threadIdx.x);
    if (threadIdx.x == 0) y[blockIdx.x] = sums[0];
}

__device__ __forceinline__ void add_by_shared(int sum, int* y) {
    __shared__ int sums[WIDE];
    sums[threadIdx.x] = sum;
    __syncthreads();
    sum_wide<64>(sums, threadIdx.x);
    sum_last(sums, threadIdx.x);
    if (threadIdx.x == 0) atomicAdd(y, sums[0]);
}
__device__ __forceinline__ void add_by_shuffles(int sum, int* y) {
    __shared__ int sums[WIDE];
    sums[threadIdx.x] = sum;
    __syncthreads();
    sum_wide<64>(sums, threadIdx.x);
    if (threadIdx.x < 32) sum = sum_shuffled(sums[threadIdx.x] + sums[threadIdx.x + 32]);
    if (threadIdx.x == 0) atomicAdd(y, sum);
}

extern "C" __global__ void reduce_once(const int* x, int* y, int n) {
    const int i = blockIdx.x * WIDE + threadIdx.x;
    add_by_shared(i < n ? x[i] : 0, y);
}
extern "C" __global__ void reduce_batch(const int* x, int* y, int n) { add_by_shared(batch_sum(x, n), y); }
extern "C" __global__ void reduce_batch_quads(const int4* x, int* y, int n) { add_by_shared(quad_sum(x, n), y); }
extern "C" __global__ void reduce_batch_shuffled(const int* x, int* y, int n) { add_by_shuffles(batch_sum(x, n), y); }
extern "C" __global__ void reduce_batch_quads_shuffled(const int4* x, int* y, int n) {
    add_by_shuffles(quad_sum(x, n), y);
}
