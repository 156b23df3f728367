// C = alpha A B + beta C in float32 for matrices of any size, one rung at a time, after Lei Mao, "CUDA Matrix
// Multiplication Optimization", 2024, https://leimao.github.io/article/CUDA-Matrix-Multiplication-Optimization/. The
// ladder is that of sgemm.cu; every access is checked against the edges, and indices have 64 bits.
//
// A (m, k), B (k, n), C (m, n) in row-major order, n and k multiples of 4 where accesses are of 16 bytes. Work: 2 m n k
// FLOP. What was measured is in ladders.toml.

// First rung, not coalesced, and second, coalesced: an element of C a thread, the threads of a warp along a column, and
// along a row.
__device__ __forceinline__ void element(
    size_t row, size_t column, size_t m, size_t n, size_t k, float alpha, const float* a, const float* b, float beta,
    float* c) {
    if (row < m && column < n) {
        float sum = 0;
        for (size_t i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
        c[row * n + column] = alpha * sum + beta * c[row * n + column];
    }
}
extern "C" __global__ void sgemm_any_columns(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    const size_t x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    element(x, y, m, n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void sgemm_any_rows(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    const size_t x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    element(y, x, m, n, k, alpha, a, b, beta, c);
}

// The tiles of a block: BM x BK of A, as they lie there or transposed, and BK x BN of B. `LANES` elements are read at
// once, 1 or 4.
template <int BM, int BN, int BK, bool TRANSPOSED>
struct Tiles {
    alignas(16) float a[TRANSPOSED ? BK : BM][TRANSPOSED ? BM : BK];
    alignas(16) float b[BK][BN];
};

// Zeros for the elements of 4 that lie beyond the end.
__device__ __forceinline__ void cut(float (&v)[4], size_t column, size_t end) {
    if (column + 4 > end)
        for (size_t i = 1; i < 4; ++i)
            if (column + i >= end) v[i] = 0;
}

template <int LANES, int THREADS, int BM, int BN, int BK, bool TRANSPOSED>
__device__ __forceinline__ void load(
    Tiles<BM, BN, BK, TRANSPOSED>& tiles, size_t tile, size_t thread, size_t m, size_t n, size_t k, const float* a,
    const float* b) {
#pragma unroll
    for (size_t step = 0; step < BM * BK / LANES / THREADS; ++step) {
        const size_t at = thread + step * THREADS, row = at / (BK / LANES), column = at % (BK / LANES) * LANES;
        const size_t from_row = blockIdx.y * BM + row, from_column = tile * BK + column;
        alignas(16) float v[4] = {};
        if (from_row < m && from_column < k) {
            if (LANES == 4)
                *reinterpret_cast<float4*>(v) = *reinterpret_cast<const float4*>(&a[from_row * k + from_column]);
            else
                v[0] = a[from_row * k + from_column];
        }
        if (LANES == 4) cut(v, from_column, k);
#pragma unroll
        for (int i = 0; i < LANES; ++i)
            if (TRANSPOSED)
                tiles.a[column + i][row] = v[i];
            else
                tiles.a[row][column + i] = v[i];
    }
#pragma unroll
    for (size_t step = 0; step < BK * BN / LANES / THREADS; ++step) {
        const size_t at = thread + step * THREADS, row = at / (BN / LANES), column = at % (BN / LANES) * LANES;
        const size_t from_row = tile * BK + row, from_column = blockIdx.x * BN + column;
        alignas(16) float v[4] = {};
        if (from_row < k && from_column < n) {
            if (LANES == 4)
                *reinterpret_cast<float4*>(v) = *reinterpret_cast<const float4*>(&b[from_row * n + from_column]);
            else
                v[0] = b[from_row * n + from_column];
        }
        if (LANES == 4) cut(v, from_column, n);
        if (LANES == 4)
            *reinterpret_cast<float4*>(&tiles.b[row][column]) = *reinterpret_cast<float4*>(v);
        else
            tiles.b[row][column] = v[0];
    }
}

// Third rung, a tile of 32 x 32 a block, an element a thread.
extern "C" __global__ void sgemm_any_tiled(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    constexpr int SIDE = 32;
    __shared__ Tiles<SIDE, SIDE, SIDE, false> tiles;
    const size_t thread = threadIdx.y * blockDim.x + threadIdx.x, count = (size_t(k) + SIDE - 1) / SIDE;
    const size_t row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    for (size_t tile = 0; tile < count; ++tile) {
        load<1, SIDE * SIDE>(tiles, tile, thread, m, n, k, a, b);
        __syncthreads();
#pragma unroll
        for (size_t i = 0; i < SIDE; ++i) sum += tiles.a[threadIdx.y][i] * tiles.b[i][threadIdx.x];
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = alpha * sum + beta * c[row * n + column];
}

// Fourth rung, a column of 8 elements a thread.
extern "C" __global__ void sgemm_any_column(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    constexpr int BM = 64, BN = 64, BK = 8, TM = 8;
    __shared__ Tiles<BM, BN, BK, false> tiles;
    const size_t thread = threadIdx.x, count = (size_t(k) + BK - 1) / BK;
    const size_t first = thread / BN * TM, at = thread % BN;
    float sum[TM] = {};
    for (size_t tile = 0; tile < count; ++tile) {
        load<1, BM * BN / TM>(tiles, tile, thread, m, n, k, a, b);
        __syncthreads();
#pragma unroll
        for (size_t i = 0; i < BK; ++i) {
            const float y = tiles.b[i][at];
#pragma unroll
            for (size_t r = 0; r < TM; ++r) sum[r] += tiles.a[first + r][i] * y;
        }
        __syncthreads();
    }
#pragma unroll
    for (size_t r = 0; r < TM; ++r) {
        const size_t row = blockIdx.y * BM + first + r, column = blockIdx.x * BN + at;
        if (row < m && column < n) c[row * n + column] = alpha * sum[r] + beta * c[row * n + column];
    }
}

// Up to 4 elements that lie side by side, from shared memory and to C.
template <int LANES>
__device__ __forceinline__ void read(float* to, const float* from) {
    if (LANES == 4)
        *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
    else
        *to = *from;
}
template <int LANES>
__device__ __forceinline__ void store(
    const float* sum, size_t row, size_t column, size_t m, size_t n, float alpha, float beta, float* c) {
    if (row >= m || column >= n) return;
    alignas(16) float v[LANES];
    read<LANES>(v, &c[row * n + column]);
#pragma unroll
    for (int i = 0; i < LANES; ++i) v[i] = alpha * sum[i] + beta * v[i];
    read<LANES>(&c[row * n + column], v);
}

// A tile of 128 x 128 a block of 256 threads, in parts: TM x TN elements a thread in each of DOWN x ACROSS parts of the
// tile of a warp, which is WM x WN; WN = 128 stands for rungs that know no warps. A's tile may be transposed; B's is
// read and C's written `LANES` elements at once, A and B from memory `FROM`.
constexpr int BM = 128, BN = 128, BK = 16, THREADS = 256;

template <int WM, int WN, int TM, int TN, bool TRANSPOSED, int FROM, int LANES, int A_LANES>
__device__ __forceinline__ void parts(
    size_t m, size_t n, size_t k, float alpha, const float* a, const float* b, float beta, float* c) {
    constexpr int ACROSS_LANES = WN == BN ? BN / TN : 4, DOWN_LANES = WN == BN ? THREADS / ACROSS_LANES : 8;
    constexpr int DOWN = WM / (TM * DOWN_LANES), ACROSS = WN / (TN * ACROSS_LANES);
    __shared__ Tiles<BM, BN, BK, TRANSPOSED> tiles;
    const size_t thread = threadIdx.x, count = (k + BK - 1) / BK;
    const size_t group = thread / (ACROSS_LANES * DOWN_LANES), lane = thread % (ACROSS_LANES * DOWN_LANES);
    const size_t row = group / (BN / WN) * WM + lane / ACROSS_LANES * TM;
    const size_t column = group % (BN / WN) * WN + lane % ACROSS_LANES * TN;

    alignas(16) float sum[DOWN][ACROSS][TM][TN] = {}, x[DOWN][TM], y[ACROSS][TN];
    for (size_t tile = 0; tile < count; ++tile) {
        load<FROM, THREADS>(tiles, tile, thread, m, n, k, a, b);
        __syncthreads();
#pragma unroll
        for (size_t i = 0; i < BK; ++i) {
#pragma unroll
            for (int d = 0; d < DOWN; ++d)
#pragma unroll
                for (int r = 0; r < TM; r += A_LANES) {
                    const size_t at = row + d * (WM / DOWN) + r;
                    read<A_LANES>(&x[d][r], TRANSPOSED ? &tiles.a[i][at] : &tiles.a[at][i]);
                }
#pragma unroll
            for (int e = 0; e < ACROSS; ++e)
#pragma unroll
                for (int s = 0; s < TN; s += LANES)
                    read<LANES>(&y[e][s], &tiles.b[i][column + e * (WN / ACROSS) + s]);
#pragma unroll
            for (int d = 0; d < DOWN; ++d)
#pragma unroll
                for (int e = 0; e < ACROSS; ++e)
#pragma unroll
                    for (int r = 0; r < TM; ++r)
#pragma unroll
                        for (int s = 0; s < TN; ++s) sum[d][e][r][s] += x[d][r] * y[e][s];
        }
        __syncthreads();
    }
#pragma unroll
    for (int d = 0; d < DOWN; ++d)
#pragma unroll
        for (int e = 0; e < ACROSS; ++e)
#pragma unroll
            for (int r = 0; r < TM; ++r)
#pragma unroll
                for (int s = 0; s < TN; s += LANES)
                    store<LANES>(
                        &sum[d][e][r][s], blockIdx.y * BM + row + d * (WM / DOWN) + r,
                        blockIdx.x * BN + column + e * (WN / ACROSS) + s, m, n, alpha, beta, c);
}

// Fifth rung, a square of 8 x 8 elements a thread; and with 16 bytes at once of B's tile and of C.
extern "C" __global__ void sgemm_any_square(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    parts<128, 128, 8, 8, false, 1, 1, 1>(m, n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void sgemm_any_square_vectors(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    parts<128, 128, 8, 8, false, 1, 4, 1>(m, n, k, alpha, a, b, beta, c);
}

// Sixth rung, A's tile transposed; and with 16 bytes at once everywhere.
extern "C" __global__ void sgemm_any_transposed(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    parts<128, 128, 8, 8, true, 1, 1, 1>(m, n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void sgemm_any_transposed_vectors(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    parts<128, 128, 8, 8, true, 4, 4, 1>(m, n, k, alpha, a, b, beta, c);
}

// Seventh rung, a tile of 64 x 32 a warp; and with 16 bytes at once everywhere.
extern "C" __global__ void sgemm_any_warps(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    parts<64, 32, 8, 8, true, 1, 1, 1>(m, n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void sgemm_any_warps_vectors(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    parts<64, 32, 8, 8, true, 4, 4, 4>(m, n, k, alpha, a, b, beta, c);
}
