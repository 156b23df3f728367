// C = alpha A B + beta C in float32, one rung at a time, after Simon Boehm, "How to Optimize a CUDA Matmul Kernel for
// cuBLAS-like Performance: a Worklog", 2022, https://siboehm.com/articles/22/CUDA-MMM. What was measured: ladders.toml.
// A (m, k), B (k, n) and C (m, n) in row-major order; m, n and k are multiples of a rung's tile, which nothing checks
// from the second half of the ladder on. Work: 2 m n k FLOP.
//
// Each rung does per thread what the published one does, in its order and with its types: an unsigned index wraps, so
// the compiler may not make it a pointer that moves, a part of what was measured; so no pointer is __restrict__.

// First rung, naive: a thread computes one element of C. The threads of a warp are neighbours along a column, so each
// reads another row of A: 32 sectors for 32 elements.
extern "C" __global__ void sgemm_naive(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    const unsigned row = blockIdx.x * blockDim.x + threadIdx.x, column = blockIdx.y * blockDim.y + threadIdx.y;
    if (row < unsigned(m) && column < unsigned(n)) {
        float sum = 0;
        for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
        c[row * n + column] = alpha * sum + beta * c[row * n + column];
    }
}

// Second rung, coalesced: the threads of a warp are neighbours along a row of C. They read one element of A together,
// and 4 whole sectors of B.
constexpr int SIDE = 32;  // elements of C along each side of a block, up to the third rung
extern "C" __global__ void sgemm_coalesced(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    const int row = blockIdx.x * SIDE + threadIdx.x / SIDE, column = blockIdx.y * SIDE + threadIdx.x % SIDE;
    if (row < m && column < n) {
        float sum = 0;
        for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
        c[row * n + column] = alpha * sum + beta * c[row * n + column];
    }
}

// Third rung, tiled: a block reads square tiles of A and B into shared memory, each element once for 32 threads. Now
// two reads of shared memory for each multiplication are what takes the time.
extern "C" __global__ void sgemm_tiled(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    __shared__ float as[SIDE][SIDE], bs[SIDE][SIDE];
    const unsigned row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
    a += blockIdx.x * SIDE * k;
    b += blockIdx.y * SIDE;
    c += blockIdx.x * SIDE * n + blockIdx.y * SIDE;

    float sum = 0;
    for (int i0 = 0; i0 < k; i0 += SIDE) {
        as[row][column] = a[row * k + column];
        bs[row][column] = b[row * n + column];
        __syncthreads();
        a += SIDE;
        b += SIDE * n;
        for (int i = 0; i < SIDE; ++i) sum += as[row][i] * bs[i][column];
        __syncthreads();
    }
    c[row * n + column] = alpha * sum + beta * c[row * n + column];
}

// Fourth rung, a column of 8 a thread: an element of B in a register serves 8 elements of C, 9 reads of shared memory
// for 8 multiplications. From here on blocks that follow each other share rows of A.
extern "C" __global__ void sgemm_column(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    constexpr int BM = 64, BN = 64, BK = 8, TM = 8;
    __shared__ float as[BM][BK], bs[BK][BN];
    const int column = threadIdx.x % BN, row = threadIdx.x / BN * TM;
    const unsigned a_row = threadIdx.x / BK, a_column = threadIdx.x % BK;
    const unsigned b_row = threadIdx.x / BN, b_column = threadIdx.x % BN;
    a += blockIdx.y * BM * k;
    b += blockIdx.x * BN;
    c += blockIdx.y * BM * n + blockIdx.x * BN;

    float sum[TM] = {};
    for (unsigned i0 = 0; i0 < unsigned(k); i0 += BK) {
        as[a_row][a_column] = a[a_row * k + a_column];
        bs[b_row][b_column] = b[b_row * n + b_column];
        __syncthreads();
        a += BK;
        b += BK * n;
        for (unsigned i = 0; i < BK; ++i) {
            const float y = bs[i][column];
            for (unsigned r = 0; r < TM; ++r) sum[r] += as[row + r][i] * y;
        }
        __syncthreads();
    }
    for (unsigned r = 0; r < TM; ++r)
        c[(row + r) * n + column] = alpha * sum[r] + beta * c[(row + r) * n + column];
}

// What the later rungs share: tiles of BM x BK and BK x BN, and TM x TN elements of C a thread.
constexpr int BM = 128, BN = 128, BK = 8, TM = 8, TN = 8, THREADS = BM * BN / (TM * TN);

// sum += x y^T for TM elements of a column of A and TN of a row of B.
template <int TM, int TN>
__device__ __forceinline__ void outer_product(float (&sum)[TM][TN], const float (&x)[TM], const float (&y)[TN]) {
    for (unsigned r = 0; r < TM; ++r)
        for (unsigned s = 0; s < TN; ++s) sum[r][s] += x[r] * y[s];
}

// c = alpha sum + beta c, 4 elements at a time; `c` points to the first element of the thread.
template <int TM, int TN>
__device__ __forceinline__ void store_vectors(float* c, int n, float alpha, float beta, const float (&sum)[TM][TN]) {
    for (unsigned r = 0; r < TM; ++r)
        for (unsigned s = 0; s < TN; s += 4) {
            float4* at = reinterpret_cast<float4*>(&c[r * n + s]);
            float4 v = *at;
            v.x = alpha * sum[r][s] + beta * v.x;
            v.y = alpha * sum[r][s + 1] + beta * v.y;
            v.z = alpha * sum[r][s + 2] + beta * v.z;
            v.w = alpha * sum[r][s + 3] + beta * v.w;
            *at = v;
        }
}

// Fifth rung, a square of 8 x 8 a thread: 16 reads of shared memory for 64 multiplications.
extern "C" __global__ void __launch_bounds__(THREADS, 1) sgemm_square(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    __shared__ float as[BM][BK], bs[BK][BN];
    const int column = threadIdx.x % (BN / TN) * TN, row = threadIdx.x / (BN / TN) * TM;
    const unsigned a_row = threadIdx.x / BK, a_column = threadIdx.x % BK;
    const unsigned b_row = threadIdx.x / BN, b_column = threadIdx.x % BN;
    a += blockIdx.y * BM * k;
    b += blockIdx.x * BN;
    c += blockIdx.y * BM * n + blockIdx.x * BN;

    float sum[TM][TN] = {}, x[TM], y[TN];
    for (unsigned i0 = 0; i0 < unsigned(k); i0 += BK) {
        for (unsigned r = 0; r < BM; r += THREADS / BK) as[a_row + r][a_column] = a[(a_row + r) * k + a_column];
        for (unsigned r = 0; r < BK; r += THREADS / BN) bs[b_row + r][b_column] = b[(b_row + r) * n + b_column];
        __syncthreads();
        a += BK;
        b += BK * n;
        for (unsigned i = 0; i < BK; ++i) {
            for (unsigned r = 0; r < TM; ++r) x[r] = as[row + r][i];
            for (unsigned s = 0; s < TN; ++s) y[s] = bs[i][column + s];
            outer_product(sum, x, y);
        }
        __syncthreads();
    }
    for (unsigned r = 0; r < TM; ++r)
        for (unsigned s = 0; s < TN; ++s) {
            const unsigned at = (row + r) * n + column + s;
            c[at] = alpha * sum[r][s] + beta * c[at];
        }
}

// How the next three rungs keep the tile of B in shared memory.
struct Rows {  // as it lies in B
    static constexpr int SIZE = BK * BN;
    static __device__ __forceinline__ void store(float* bs, unsigned row, unsigned column, float4 v) {
        *reinterpret_cast<float4*>(&bs[row * BN + column]) = v;
    }
    static __device__ __forceinline__ float load(const float* bs, unsigned row, int thread, unsigned s) {
        return bs[row * BN + thread * TN + s];
    }
};
struct Strided {  // the elements number s of all threads side by side
    static constexpr int SIZE = BK * BN;
    static __device__ __forceinline__ void store(float* bs, unsigned row, unsigned column, float4 v) {
        const unsigned quad = column / 4, first = quad % 2 * 4 + row * 8;
        bs[(first + 0) * 16 + quad / 2] = v.x;
        bs[(first + 1) * 16 + quad / 2] = v.y;
        bs[(first + 2) * 16 + quad / 2] = v.z;
        bs[(first + 3) * 16 + quad / 2] = v.w;
    }
    static __device__ __forceinline__ float load(const float* bs, unsigned row, int thread, unsigned s) {
        return bs[(row * 8 + s) * 16 + thread];
    }
};
struct Padded {  // rows of 5 elements more
    static constexpr int WIDTH = BN + 5, SIZE = BK * WIDTH;
    static __device__ __forceinline__ void store(float* bs, unsigned row, unsigned column, float4 v) {
        bs[row * WIDTH + column + 0] = v.x;
        bs[row * WIDTH + column + 1] = v.y;
        bs[row * WIDTH + column + 2] = v.z;
        bs[row * WIDTH + column + 3] = v.w;
    }
    static __device__ __forceinline__ float load(const float* bs, unsigned row, int thread, unsigned s) {
        return bs[row * WIDTH + thread * TN + s];
    }
};

template <class Tile>
__device__ __forceinline__ void vectorised(
    int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    __shared__ float as[BK * BM], bs[Tile::SIZE];
    const int thread_column = threadIdx.x % (BN / TN), thread_row = threadIdx.x / (BN / TN);
    const unsigned a_row = threadIdx.x / (BK / 4), a_column = threadIdx.x % (BK / 4) * 4;
    const unsigned b_row = threadIdx.x / (BN / 4), b_column = threadIdx.x % (BN / 4) * 4;
    a += blockIdx.y * BM * k;
    b += blockIdx.x * BN;
    c += blockIdx.y * BM * n + blockIdx.x * BN;

    float sum[TM][TN] = {}, x[TM], y[TN];
    for (unsigned i0 = 0; i0 < unsigned(k); i0 += BK) {
        const float4 v = *reinterpret_cast<const float4*>(&a[a_row * k + a_column]);
        as[(a_column + 0) * BM + a_row] = v.x;
        as[(a_column + 1) * BM + a_row] = v.y;
        as[(a_column + 2) * BM + a_row] = v.z;
        as[(a_column + 3) * BM + a_row] = v.w;
        Tile::store(bs, b_row, b_column, *reinterpret_cast<const float4*>(&b[b_row * n + b_column]));
        __syncthreads();
        a += BK;
        b += BK * n;
        for (unsigned i = 0; i < BK; ++i) {
            for (unsigned r = 0; r < TM; ++r) x[r] = as[i * BM + thread_row * TM + r];
            for (unsigned s = 0; s < TN; ++s) y[s] = Tile::load(bs, i, thread_column, s);
            outer_product(sum, x, y);
        }
        __syncthreads();
    }
    store_vectors(c + thread_row * TM * n + thread_column * TN, n, alpha, beta, sum);
}

// Sixth rung, vectorised: memory is read and written 16 bytes a thread, and the tile of A lies transposed in shared
// memory, so that its reads are of 16 bytes too: 4 of them for 64 multiplications.
extern "C" __global__ void sgemm_vectorised(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    vectorised<Rows>(n, k, alpha, a, b, beta, c);
}

// Two rungs aside, against the conflicts between banks that threads meet 8 elements apart: they cost the wide accesses.
extern "C" __global__ void sgemm_strided(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    vectorised<Strided>(n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void sgemm_padded(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    vectorised<Padded>(n, k, alpha, a, b, beta, c);
}

// A block's share of tiles of BM x BK of A and BK x BN of B, in shared memory, A's transposed, by THREADS threads.
template <int BM, int BN, int BK, int THREADS>
struct Loader {
    static constexpr unsigned A_ROWS = THREADS * 4 / BK, B_ROWS = THREADS / (BN / 4);  // that are read at once
    unsigned a_row, a_column, b_row, b_column;

    __device__ __forceinline__ explicit Loader(unsigned thread) {
        a_row = thread / (BK / 4), a_column = thread % (BK / 4) * 4;
        b_row = thread / (BN / 4), b_column = thread % (BN / 4) * 4;
    }
    __device__ __forceinline__ void load(int n, int k, const float* a, const float* b, float* as, float* bs) const {
        for (unsigned r = 0; r + A_ROWS <= BM; r += A_ROWS) {
            const float4 v = *reinterpret_cast<const float4*>(&a[(a_row + r) * k + a_column]);
            as[(a_column + 0) * BM + a_row + r] = v.x;
            as[(a_column + 1) * BM + a_row + r] = v.y;
            as[(a_column + 2) * BM + a_row + r] = v.z;
            as[(a_column + 3) * BM + a_row + r] = v.w;
        }
        for (unsigned r = 0; r + B_ROWS <= BK; r += B_ROWS)
            *reinterpret_cast<float4*>(&bs[(b_row + r) * BN + b_column]) =
                *reinterpret_cast<const float4*>(&b[(b_row + r) * n + b_column]);
    }
};

// Ninth rung, tuned: the sixth with the sizes that a search found, tiles twice as deep. 16 x 16 threads; where the
// block's tile is larger than theirs, they go over it in steps.
template <int BM, int BN, int BK, int TM, int TN>
__device__ __forceinline__ void tuned(
    int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    constexpr int WM = TM * 16, WN = TN * 16, DOWN = BM / WM, ACROSS = BN / WN;
    __shared__ float as[BK * BM], bs[BK * BN];
    const int thread_column = threadIdx.x % (WN / TN), thread_row = threadIdx.x / (WN / TN);
    const Loader<BM, BN, BK, 256> loader(threadIdx.x);
    a += blockIdx.y * BM * k;
    b += blockIdx.x * BN;
    c += blockIdx.y * BM * n + blockIdx.x * BN;

    float sum[DOWN][ACROSS][TM][TN] = {}, x[TM], y[TN];
    for (unsigned i0 = 0; i0 < unsigned(k); i0 += BK) {
        loader.load(n, k, a, b, as, bs);
        __syncthreads();
        for (unsigned down = 0; down < DOWN; ++down)
            for (unsigned across = 0; across < ACROSS; ++across)
                for (unsigned i = 0; i < BK; ++i) {
                    for (unsigned r = 0; r < TM; ++r) x[r] = as[i * BM + down * WM + thread_row * TM + r];
                    for (unsigned s = 0; s < TN; ++s) y[s] = bs[i * BN + across * WN + thread_column * TN + s];
                    outer_product(sum[down][across], x, y);
                }
        __syncthreads();
        a += BK;
        b += BK * n;
    }
    for (unsigned down = 0; down < DOWN; ++down)
        for (unsigned across = 0; across < ACROSS; ++across)
            store_vectors(
                c + (down * WM + thread_row * TM) * n + across * WN + thread_column * TN, n, alpha, beta,
                sum[down][across]);
}

extern "C" __global__ void __launch_bounds__(256) sgemm_tuned_a6000(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    tuned<128, 128, 16, 8, 8>(n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void __launch_bounds__(256) sgemm_tuned_a100(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    tuned<64, 64, 16, 4, 4>(n, k, alpha, a, b, beta, c);
}

// A warp's tile of C, WM x WN elements: a thread has TM x TN of them in each of DOWN x ACROSS parts.
template <int BM, int BN, int BK, int WM, int WN, int ACROSS, int TM, int TN>
struct WarpTile {
    static constexpr unsigned DOWN = WM * WN / (32 * TM * TN * ACROSS), PART_M = WM / DOWN, PART_N = WN / ACROSS;
    unsigned warp_row, warp_column, row, column;  // first element of the warp in the block, of the thread in a part
    float sum[DOWN * TM][ACROSS * TN] = {};

    __device__ __forceinline__ WarpTile() {
        const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        warp_row = warp / (BN / WN) * WM, warp_column = warp % (BN / WN) * WN;
        row = lane / (PART_N / TN) * TM, column = lane % (PART_N / TN) * TN;
    }
    __device__ __forceinline__ void multiply(const float* as, const float* bs) {
        float x[DOWN * TM], y[ACROSS * TN];
        for (unsigned i = 0; i < BK; ++i) {
            for (unsigned down = 0; down < DOWN; ++down)
                for (unsigned r = 0; r < TM; ++r) x[down * TM + r] = as[i * BM + warp_row + down * PART_M + row + r];
            for (unsigned across = 0; across < ACROSS; ++across)
                for (unsigned s = 0; s < TN; ++s)
                    y[across * TN + s] = bs[i * BN + warp_column + across * PART_N + column + s];
            outer_product(sum, x, y);
        }
    }
    __device__ __forceinline__ void store(float* c, int n, float alpha, float beta) const {
        for (unsigned down = 0; down < DOWN; ++down)
            for (unsigned across = 0; across < ACROSS; ++across) {
                float part[TM][TN];
                for (unsigned r = 0; r < TM; ++r)
                    for (unsigned s = 0; s < TN; ++s) part[r][s] = sum[down * TM + r][across * TN + s];
                const unsigned to_row = warp_row + down * PART_M + row;
                const unsigned to_column = warp_column + across * PART_N + column;
                store_vectors(c + to_row * n + to_column, n, alpha, beta, part);
            }
    }
};

// Tenth rung, a tile a warp: between the block's tile and the thread's there is one of the warp, whose threads read
// the same few rows and columns of shared memory, and have them in registers for all parts.
template <int BM, int BN, int BK, int WM, int WN, int ACROSS, int TM, int TN>
__device__ __forceinline__ void warps(int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    __shared__ float as[BK * BM], bs[BK * BN];
    const Loader<BM, BN, BK, 128> loader(threadIdx.x);
    WarpTile<BM, BN, BK, WM, WN, ACROSS, TM, TN> tile;
    a += blockIdx.y * BM * k;
    b += blockIdx.x * BN;
    c += blockIdx.y * BM * n + blockIdx.x * BN;
    for (unsigned i0 = 0; i0 < unsigned(k); i0 += BK) {
        loader.load(n, k, a, b, as, bs);
        __syncthreads();
        tile.multiply(as, bs);
        a += BK;
        b += BK * n;
        __syncthreads();
    }
    tile.store(c, n, alpha, beta);
}

extern "C" __global__ void __launch_bounds__(128) sgemm_warps_a6000(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    warps<128, 128, 16, 64, 64, 4, 8, 4>(n, k, alpha, a, b, beta, c);
}
extern "C" __global__ void __launch_bounds__(128) sgemm_warps_a100(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    warps<64, 128, 16, 32, 64, 1, 4, 4>(n, k, alpha, a, b, beta, c);
}

// A rung that did not help, two buffers: one half of the block's warps reads the next tiles while the other multiplies.
// A pass of the loop is over two tiles, in three parts with a barrier between.
extern "C" __global__ void __launch_bounds__(256) sgemm_double_buffered(
    int m, int n, int k, float alpha, const float* a, const float* b, float beta, float* c) {
    constexpr int BM = 128, BN = 256, BK = 16;
    __shared__ float as[2][BK * BM], bs[2][BK * BN];
    const bool second = threadIdx.x >= 128;
    const Loader<BM, BN, BK, 128> loader(threadIdx.x % 128);
    WarpTile<BM, BN, BK, 128, 32, 1, 8, 8> tile;
    a += blockIdx.y * BM * k;
    b += blockIdx.x * BN;
    c += blockIdx.y * BM * n + blockIdx.x * BN;

    if (!second) loader.load(n, k, a, b, as[0], bs[0]);
    __syncthreads();
    for (unsigned i0 = 0; i0 < unsigned(k); i0 += 2 * BK) {
        const bool more = i0 + BK < unsigned(k);
        if (!second)
            tile.multiply(as[0], bs[0]);
        else if (more)
            loader.load(n, k, a + BK, b + BK * n, as[1], bs[1]);
        __syncthreads();
        if (second)
            tile.multiply(as[0], bs[0]);
        else if (more)
            tile.multiply(as[1], bs[1]);
        __syncthreads();
        if (!second) {
            if (i0 + 2 * BK < unsigned(k)) loader.load(n, k, a + 2 * BK, b + 2 * BK * n, as[0], bs[0]);
        } else if (more) {
            tile.multiply(as[1], bs[1]);
        }
        a += 2 * BK;
        b += 2 * BK * n;
        __syncthreads();
    }
    tile.store(c, n, alpha, beta);
}
