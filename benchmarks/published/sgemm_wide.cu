// C = A B in float32 for matrices of any size, four rungs, after matmul/matmul.cu of
// https://github.com/ahmadsharif1/cuda_study: the ladder of sgemm.cu once more, for which a profiler's counts were
// published beside the times.
//
// A (m, k), B (k, n), C (m, n) in row-major order, n and k multiples of 4 on the last rung. Work: 2 m n k FLOP. What
// was measured is in ladders.toml.

// First rung, an element a thread, blocks of 16 x 16: the two halves of a warp are in rows that follow each other.
extern "C" __global__ void sgemm_wide_rows(const float* a, const float* b, float* c, int m, int k, int n) {
    const int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= m || column >= n) return;
    float sum = 0;
    for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
    c[row * n + column] = sum;
}

// Second rung, tiles of 32 x 32 in shared memory.
extern "C" __global__ void sgemm_wide_tiled(const float* a, const float* b, float* c, int m, int k, int n) {
    constexpr int SIDE = 32;
    __shared__ float as[SIDE][SIDE], bs[SIDE][SIDE];
    const int y = threadIdx.y, x = threadIdx.x, row = blockIdx.y * SIDE + y, column = blockIdx.x * SIDE + x;
    float sum = 0;
    for (int i0 = 0; i0 < k; i0 += SIDE) {
        as[y][x] = row < m && i0 + x < k ? a[row * k + i0 + x] : 0;
        bs[y][x] = i0 + y < k && column < n ? b[(i0 + y) * n + column] : 0;
        __syncthreads();
        for (int i = 0; i < SIDE; ++i) sum += as[y][i] * bs[i][x];
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = sum;
}

constexpr int BM = 128, BN = 128, BK = 8, TM = 8, TN = 8, THREADS = BM * BN / (TM * TN);

// Row and column, in C, of a thread's square in the block's tile.
__device__ __forceinline__ int square_row() { return threadIdx.x / (BN / TN) * TM; }
__device__ __forceinline__ int square_column() { return threadIdx.x % (BN / TN) * TN; }

// sum += the tiles' product, for a thread's square; rows of the tiles are `A_WIDTH` and `B_WIDTH` long.
template <int A_WIDTH, int B_WIDTH>
__device__ __forceinline__ void multiply(
    float (&sum)[TM][TN], const float (&as)[BM][A_WIDTH], const float (&bs)[BK][B_WIDTH]) {
#pragma unroll
    for (int i = 0; i < BK; ++i) {
        float x[TM], y[TN];
#pragma unroll
        for (int r = 0; r < TM; ++r) x[r] = as[square_row() + r][i];
#pragma unroll
        for (int s = 0; s < TN; ++s) y[s] = bs[i][square_column() + s];
#pragma unroll
        for (int r = 0; r < TM; ++r)
#pragma unroll
            for (int s = 0; s < TN; ++s) sum[r][s] += x[r] * y[s];
    }
}
__device__ __forceinline__ void store(const float (&sum)[TM][TN], float* c, int m, int n) {
#pragma unroll
    for (int r = 0; r < TM; ++r) {
        const int row = blockIdx.y * BM + square_row() + r;
        if (row >= m) continue;
#pragma unroll
        for (int s = 0; s < TN; ++s) {
            const int column = blockIdx.x * BN + square_column() + s;
            if (column < n) c[row * n + column] = sum[r][s];
        }
    }
}

// Third rung, a square of 8 x 8 a thread.
extern "C" __global__ void sgemm_wide_square(const float* a, const float* b, float* c, int m, int k, int n) {
    __shared__ float as[BM][BK], bs[BK][BN];
    float sum[TM][TN] = {};
    for (int i0 = 0; i0 < k; i0 += BK) {
#pragma unroll
        for (int step = 0; step < BM * BK / THREADS; ++step) {
            const int at = threadIdx.x + step * THREADS, y = at / BK, x = at % BK;
            const int row = blockIdx.y * BM + y, column = i0 + x;
            as[y][x] = row < m && column < k ? a[row * k + column] : 0;
        }
#pragma unroll
        for (int step = 0; step < BK * BN / THREADS; ++step) {
            const int at = threadIdx.x + step * THREADS, y = at / BN, x = at % BN;
            const int row = i0 + y, column = blockIdx.x * BN + x;
            bs[y][x] = row < k && column < n ? b[row * n + column] : 0;
        }
        __syncthreads();
        multiply(sum, as, bs);
        __syncthreads();
    }
    store(sum, c, m, n);
}

// 4 elements of a row, from memory into a tile; zeros beyond the edge.
__device__ __forceinline__ void load_vector(float* to, const float* from, int row, int column, int rows, int columns) {
    if (row < rows && column + 3 < columns) {
        const float4 v = *reinterpret_cast<const float4*>(&from[row * columns + column]);
        to[0] = v.x;
        to[1] = v.y;
        to[2] = v.z;
        to[3] = v.w;
    } else {
        for (int i = 0; i < 4; ++i) to[i] = row < rows && column + i < columns ? from[row * columns + column + i] : 0;
    }
}

// Fourth rung, 16 bytes at once from memory, and rows of the tiles 4 elements longer.
extern "C" __global__ void sgemm_wide_vectors(const float* a, const float* b, float* c, int m, int k, int n) {
    __shared__ float as[BM][BK + 4], bs[BK][BN + 4];
    float sum[TM][TN] = {};
    for (int i0 = 0; i0 < k; i0 += BK) {
        const int a_row = threadIdx.x / (BK / 4), a_column = threadIdx.x % (BK / 4) * 4;
        const int b_row = threadIdx.x / (BN / 4), b_column = threadIdx.x % (BN / 4) * 4;
        load_vector(&as[a_row][a_column], a, blockIdx.y * BM + a_row, i0 + a_column, m, k);
        load_vector(&bs[b_row][b_column], b, i0 + b_row, blockIdx.x * BN + b_column, k, n);
        __syncthreads();
        multiply(sum, as, bs);
        __syncthreads();
    }
    store(sum, c, m, n);
}
