// C = A B for matrices of float16 whose products are summed in float32, without tensor cores, three rungs, after the
// first programs of https://github.com/jovantehno/rtx5090-gemm-210tflops.
//
// A (m, k), B (k, n), C (m, n) in row-major order, any size. Work: 2 m n k FLOP. What was measured is in ladders.toml.
#include "ptx.cuh"

struct Half {
    unsigned short bits;
};

// First rung, an element a thread, blocks of 16 x 16.
extern "C" __global__ void hgemm_rows(
    const Half* __restrict__ a, const Half* __restrict__ b, Half* __restrict__ c, int m, int n, int k) {
    const int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < m && column < n) {
        float sum = 0;
        for (int i = 0; i < k; ++i) sum += half_to_float(a[row * k + i].bits) * half_to_float(b[i * n + column].bits);
        c[row * n + column].bits = float_to_half(sum);
    }
}

__device__ __forceinline__ float element(const Half* __restrict__ x, int row, int column, int rows, int columns) {
    return row < rows && column < columns ? half_to_float(x[row * columns + column].bits) : 0;
}

// Second rung, tiles of 32 x 32 in shared memory, as float32.
extern "C" __global__ void hgemm_tiled(
    const Half* __restrict__ a, const Half* __restrict__ b, Half* __restrict__ c, int m, int n, int k) {
    constexpr int SIDE = 32;
    __shared__ float as[SIDE][SIDE + 1], bs[SIDE][SIDE + 1];
    const int y = threadIdx.y, x = threadIdx.x, row = blockIdx.y * SIDE + y, column = blockIdx.x * SIDE + x;
    float sum = 0;
    for (int tile = 0; tile < (k + SIDE - 1) / SIDE; ++tile) {
        as[y][x] = element(a, row, tile * SIDE + x, m, k);
        bs[y][x] = element(b, tile * SIDE + y, column, k, n);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < SIDE; ++i) sum += as[y][i] * bs[i][x];
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column].bits = float_to_half(sum);
}

// Third rung, a square of 4 x 4 a thread and two buffers: the next tiles are read before these are multiplied.
constexpr int BM = 64, BN = 64, BK = 32, TM = 4, TN = 4;

__device__ __forceinline__ void load(
    float (&as)[BM][BK + 1], float (&bs)[BK][BN + 1], const Half* __restrict__ a, const Half* __restrict__ b, int first,
    int m, int n, int k) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    for (int i = thread; i < BM * BK; i += threads)
        as[i / BK][i % BK] = element(a, blockIdx.y * BM + i / BK, first + i % BK, m, k);
    for (int i = thread; i < BK * BN; i += threads)
        bs[i / BN][i % BN] = element(b, first + i / BN, blockIdx.x * BN + i % BN, k, n);
}

extern "C" __global__ void hgemm_double_buffered(
    const Half* __restrict__ a, const Half* __restrict__ b, Half* __restrict__ c, int m, int n, int k) {
    __shared__ float as[2][BM][BK + 1], bs[2][BK][BN + 1];
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, row = thread / 16 * TM, column = thread % 16 * TN;
    const int tiles = (k + BK - 1) / BK;
    float sum[TM][TN] = {};
    int now = 0;
    load(as[now], bs[now], a, b, 0, m, n, k);
    __syncthreads();
    for (int tile = 0; tile < tiles; ++tile) {
        const int next = 1 - now;
        if (tile + 1 < tiles) load(as[next], bs[next], a, b, (tile + 1) * BK, m, n, k);
#pragma unroll
        for (int i = 0; i < BK; ++i) {
            float x[TM], y[TN];
#pragma unroll
            for (int j = 0; j < TM; ++j) x[j] = as[now][row + j][i], y[j] = bs[now][i][column + j];
#pragma unroll
            for (int r = 0; r < TM; ++r)
#pragma unroll
                for (int s = 0; s < TN; ++s) sum[r][s] += x[r] * y[s];
        }
        __syncthreads();
        now = next;
    }
#pragma unroll
    for (int r = 0; r < TM; ++r)
#pragma unroll
        for (int s = 0; s < TN; ++s) {
            const int to_row = blockIdx.y * BM + row + r, to_column = blockIdx.x * BN + column + s;
            if (to_row < m && to_column < n) c[to_row * n + to_column].bits = float_to_half(sum[r][s]);
        }
}
