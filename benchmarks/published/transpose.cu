// Y = X^T for a square matrix of n x n float32, one rung at a time, after Mark Harris, "An Efficient Matrix Transpose
// in CUDA C/C++", 2013, https://developer.nvidia.com/blog/efficient-matrix-transpose-cuda-cc/, and what was added for
// newer GPUs in "Optimizing GPU Matrix Transpose: From 14% to 88% of Peak Bandwidth", 2025, by the author of
// https://github.com/yencal/gpu-matrix-transpose.
//
// n is a multiple of a rung's tile, which only the first rungs check. Work: each element is read and written once,
// 8 n^2 bytes. The rungs differ in how many of them a thread moves, and in how wide its accesses are. What was measured
// is in ladders.toml.

// First rung, naive: the threads of a warp read neighbours and write elements that are a row apart, 32 sectors for 32
// elements.
extern "C" __global__ void transpose_naive(const float* __restrict__ x, float* __restrict__ y, int n) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column < n && row < n) y[column * n + row] = x[row * n + column];
}

// The same with reads that may not go through the read-only path, since x and y may overlap, and the other way round:
// the threads of a warp read elements that are a row apart and write neighbours.
extern "C" __global__ void transpose_by_rows(const float* x, float* y, int n) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column < n && row < n) y[column * n + row] = x[row * n + column];
}
extern "C" __global__ void transpose_by_columns(const float* x, float* y, int n) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x, column = blockIdx.y * blockDim.y + threadIdx.y;
    if (row < n && column < n) y[column * n + row] = x[row * n + column];
}

// A tile through shared memory, an element a thread: read along rows, written along rows.
template <int WIDTH>
__device__ __forceinline__ void through_tile(const float* __restrict__ x, float* __restrict__ y, int n) {
    __shared__ float tile[32][WIDTH];
    int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column < n && row < n) tile[threadIdx.y][threadIdx.x] = x[row * n + column];
    __syncthreads();
    column = blockIdx.y * blockDim.x + threadIdx.x, row = blockIdx.x * blockDim.y + threadIdx.y;
    if (column < n && row < n) y[row * n + column] = tile[threadIdx.x][threadIdx.y];
}

// Second rung, tiled: whole sectors on both sides, but the 32 elements of a tile's column are all in one bank.
extern "C" __global__ void transpose_tiled(const float* __restrict__ x, float* __restrict__ y, int n) {
    through_tile<32>(x, y, n);
}

// Third rung, padded: rows of 33 elements, so that a column is in 32 different banks.
extern "C" __global__ void transpose_padded(const float* __restrict__ x, float* __restrict__ y, int n) {
    through_tile<33>(x, y, n);
}

// Or swizzled: no element more, but the columns of each row in an order of its own, so that a column of the matrix is
// in 32 different banks too.
extern "C" __global__ void transpose_swizzled(const float* __restrict__ x, float* __restrict__ y, int n) {
    __shared__ float tile[32][32];
    int column = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 32 + threadIdx.y;
    if (column < n && row < n) tile[threadIdx.y][threadIdx.x ^ threadIdx.y] = x[row * n + column];
    __syncthreads();
    column = blockIdx.y * 32 + threadIdx.x, row = blockIdx.x * 32 + threadIdx.y;
    if (column < n && row < n) y[row * n + column] = tile[threadIdx.x][threadIdx.x ^ threadIdx.y];
}

// Vector of `WIDTH` elements, and its element number i.
template <int WIDTH>
struct Vector;
template <>
struct Vector<1> {
    typedef float type;
    static __device__ __forceinline__ float& at(float& v, int) { return v; }
};
template <>
struct Vector<2> {
    typedef float2 type;
    static __device__ __forceinline__ float& at(float2& v, int i) { return i ? v.y : v.x; }
};
template <>
struct Vector<4> {
    typedef float4 type;
    static __device__ __forceinline__ float& at(float4& v, int i) { return i < 2 ? i ? v.y : v.x : i < 3 ? v.z : v.w; }
};

// A padded tile of TILE x TILE: a thread moves WIDTH elements at once, in every ROWS-th row. Reads and writes of memory
// are WIDTH elements wide, of shared memory one, with as many lanes to a bank.
template <int WIDTH, int TILE, int ROWS>
__device__ __forceinline__ void by_vectors(const float* __restrict__ x, float* __restrict__ y, int n) {
    typedef typename Vector<WIDTH>::type vector;
    __shared__ float tile[TILE][TILE + 1];
    const int vectors = n / WIDTH;
    int column = blockIdx.x * (TILE / WIDTH) + threadIdx.x, row = blockIdx.y * TILE + threadIdx.y;
#pragma unroll
    for (int r = 0; r < TILE; r += ROWS) {
        vector v = reinterpret_cast<const vector*>(x)[(row + r) * vectors + column];
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) tile[threadIdx.y + r][threadIdx.x * WIDTH + i] = Vector<WIDTH>::at(v, i);
    }
    __syncthreads();
    column = blockIdx.y * (TILE / WIDTH) + threadIdx.x, row = blockIdx.x * TILE + threadIdx.y;
#pragma unroll
    for (int r = 0; r < TILE; r += ROWS) {
        vector v;
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) Vector<WIDTH>::at(v, i) = tile[threadIdx.x * WIDTH + i][threadIdx.y + r];
        reinterpret_cast<vector*>(y)[(row + r) * vectors + column] = v;
    }
}

// Fourth rung, several rows a thread: more reads are on their way at once, and the indices cost less.
extern "C" __global__ void transpose_rows2(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<1, 32, 16>(x, y, n);
}
extern "C" __global__ void transpose_rows4(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<1, 32, 8>(x, y, n);
}
extern "C" __global__ void transpose_rows8(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<1, 32, 4>(x, y, n);
}

// Fifth rung, wider accesses to memory: 8 and 16 bytes a thread, at the price of conflicts between banks.
extern "C" __global__ void transpose_pairs(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 32, 32>(x, y, n);
}
extern "C" __global__ void transpose_pairs_rows2(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 32, 16>(x, y, n);
}
extern "C" __global__ void transpose_pairs_rows4(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 32, 8>(x, y, n);
}
extern "C" __global__ void transpose_pairs_rows8(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 32, 4>(x, y, n);
}
extern "C" __global__ void transpose_quads(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 32, 32>(x, y, n);
}
extern "C" __global__ void transpose_quads_rows2(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 32, 16>(x, y, n);
}
extern "C" __global__ void transpose_quads_rows4(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 32, 8>(x, y, n);
}
extern "C" __global__ void transpose_quads_rows8(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 32, 4>(x, y, n);
}

// Sixth rung, tiles of 64 x 64: rows of 256 bytes, and fewer barriers for the bytes.
extern "C" __global__ void transpose_large_pairs_rows2(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 64, 32>(x, y, n);
}
extern "C" __global__ void transpose_large_pairs_rows4(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 64, 16>(x, y, n);
}
extern "C" __global__ void transpose_large_pairs_rows8(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<2, 64, 8>(x, y, n);
}
extern "C" __global__ void transpose_large_quads_rows2(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 64, 32>(x, y, n);
}
extern "C" __global__ void transpose_large_quads_rows4(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 64, 16>(x, y, n);
}
extern "C" __global__ void transpose_large_quads_rows8(const float* __restrict__ x, float* __restrict__ y, int n) {
    by_vectors<4, 64, 8>(x, y, n);
}
