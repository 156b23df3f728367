// Softmax of the rows of a matrix, y = e^(x - m) / s with m the largest x of a row and s the sum of e^(x - m), m and s
// in one pass ("online": Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), one rung at a
// time, after https://github.com/annanyapr/Fast-CUDA-Kernels.
//
// x, y (rows, columns) float32, n = rows columns. A row is read twice and written once: 12 n bytes, and 3 exponentials
// an element. What was measured is in ladders.toml.

// Another element, or another part, into the largest element so far and the sum of exponentials that belongs to it.
__device__ __forceinline__ void add(float& m, float& s, float x) {
    const float larger = fmaxf(m, x);
    s = s * expf(m - larger) + expf(x - larger);
    m = larger;
}
__device__ __forceinline__ void add(float& m, float& s, float other_m, float other_s) {
    const float larger = fmaxf(m, other_m);
    s = s * expf(m - larger) + other_s * expf(other_m - larger);
    m = larger;
}

// First rung, a thread a row: few threads, each of which waits for its own line of memory at every element.
extern "C" __global__ void softmax_threads(const float* x, float* y, size_t columns, size_t n) {
    const size_t first = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) * columns;
    if (first < n) {
        float m = x[first], s = 1;
        for (int i = 1; i < columns; ++i) add(m, s, x[first + i]);
        for (int i = 0; i < columns; ++i) y[first + i] = expf(x[first + i] - m) / s;
    }
}

// A thread's part of the row of its block, every blockDim.x-th element.
__device__ __forceinline__ void add_part(const float* x, size_t columns, float& m, float& s) {
    const size_t row = blockIdx.x, thread = threadIdx.x, threads = blockDim.x;
    const size_t steps = (columns + threads - 1) / threads;
    m = x[row * columns + thread], s = 1;
    for (int i = 1; i < steps; ++i) {
        const int at = row * columns + i * threads + thread;
        if (at < (row + 1) * columns) add(m, s, x[at]);
    }
}
__device__ __forceinline__ void store_part(const float* x, float* y, size_t columns, float m, float s) {
    const size_t row = blockIdx.x, thread = threadIdx.x, threads = blockDim.x;
    const size_t steps = (columns + threads - 1) / threads;
    for (int i = 0; i < steps; ++i) {
        const int at = row * columns + i * threads + thread;
        if (at < (row + 1) * columns) y[at] = expf(x[at] - m) / s;
    }
}

// Second rung, a block a row: neighbours read neighbours, and the parts meet in shared memory, two by two.
extern "C" __global__ void softmax_blocks(const float* x, float* y, size_t columns, size_t n) {
    extern __shared__ float parts[];
    float *m = parts, *s = parts + blockDim.x;
    add_part(x, columns, m[threadIdx.x], s[threadIdx.x]);
    __syncthreads();
    for (int length = blockDim.x; length > 1;) {
        const int partner = length - int(threadIdx.x) - 1;
        length = (length + 1) / 2;
        if (threadIdx.x < length && partner > int(threadIdx.x))
            add(m[threadIdx.x], s[threadIdx.x], m[partner], s[partner]);
        __syncthreads();
    }
    store_part(x, y, columns, m[0], s[0]);
}

// Third rung, shuffles: the parts meet in registers, those of warps in shared memory, once.
__device__ __forceinline__ void add_lanes(float& m, float& s) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) {
        const float other_m = __shfl_down_sync(0xffffffff, m, step), other_s = __shfl_down_sync(0xffffffff, s, step);
        add(m, s, other_m, other_s);
    }
}
extern "C" __global__ void softmax_shuffled(const float* x, float* y, size_t columns, size_t n) {
    extern __shared__ float parts[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float m, s;
    add_part(x, columns, m, s);
    add_lanes(m, s);
    if (lane == 0) parts[2 * warp] = m, parts[2 * warp + 1] = s;
    __syncthreads();
    const bool there = lane < blockDim.x / 32;
    m = there ? parts[2 * lane] : -3.402823466e+38f;
    s = there ? parts[2 * lane + 1] : 0;
    add_lanes(m, s);
    store_part(x, y, columns, __shfl_sync(0xffffffff, m, 0), __shfl_sync(0xffffffff, s, 0));
}
