// Matrix product, for elements of any type; the first two rungs. What is fastest for floats is in matmul_vectorised.cu.
//
//   Z = X Y      X (batch, rows, depth)  Y (batch, depth, columns)  ->  Z (batch, rows, columns)
//
// X and Y have strides for their rows and columns, so either may lie transposed, and a Layout for the batch, so either
// may be broadcast. Z is row-major. 2 batch rows depth columns operations.
//
// compiled for scalar_t = float32, float64, float16, bfloat16, uint8, int8, int16, int32, int64
#include "common.cuh"
#include "layout.cuh"
#include "scalar.cuh"

// a b + c; for floats rounded once, so that a sum has the same bits however it is compiled
template <class T> __device__ __forceinline__ T multiply_add(T a, T b, T c) { return a * b + c; }
__device__ __forceinline__ float multiply_add(float a, float b, float c) { return fma(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return fma(a, b, c); }

// First rung: naive. One thread computes one element of Z: the formula and nothing else. It reads a row of X and a
// column of Y from memory (or cache) for it, two elements for each multiplication.
extern "C" __global__ void matmul_naive(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ y,
    scalar_t* __restrict__ z,
    long long batch, int rows, int columns, int depth,
    Layout x_batch, long long x_row, long long x_column,
    Layout y_batch, long long y_row, long long y_column) {
    const index_t count = batch * rows * columns;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t column = i % columns, row = i / columns % rows, b = i / columns / rows;
        const scalar_t* row_of_x = x + offset_of(x_batch, b) + row * x_row;
        const scalar_t* column_of_y = y + offset_of(y_batch, b) + column * y_column;
        acc_t sum = 0;
        for (int k = 0; k < depth; ++k)
            sum = multiply_add(acc_t(row_of_x[k * x_column]), acc_t(column_of_y[k * y_row]), sum);
        z[i] = sum;
    }
}

// Second rung: tiled. A block computes SIDE x SIDE elements of Z, one a thread, and brings the tiles of X and Y that
// they share into shared memory, where each element is read SIDE times: memory is read SIDE times less. Still, every
// multiplication reads two elements of shared memory, which is then what bounds it.
//
// It costs two barriers a tile, and threads that compute nothing at the edges.
constexpr int SIDE = 16;

extern "C" __global__ void __launch_bounds__(256) matmul_tiled(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ y,
    scalar_t* __restrict__ z,
    long long batch, int rows, int columns, int depth,
    Layout x_batch, long long x_row, long long x_column,
    Layout y_batch, long long y_row, long long y_column) {
    __shared__ acc_t tile_x[SIDE][SIDE + 1], tile_y[SIDE][SIDE + 1];
    const int tiles_across = (columns + SIDE - 1) / SIDE;
    const int across = threadIdx.x % SIDE, down = threadIdx.x / SIDE;
    const int row = blockIdx.x / tiles_across * SIDE + down, column = blockIdx.x % tiles_across * SIDE + across;
    for (index_t b = blockIdx.z; b < batch; b += gridDim.z) {
        const scalar_t* from_x = x + offset_of(x_batch, b) + row * x_row;
        const scalar_t* from_y = y + offset_of(y_batch, b) + column * y_column;
        acc_t sum = 0;
        for (int k0 = 0; k0 < depth; k0 += SIDE) {
            const int k_x = k0 + across, k_y = k0 + down;
            tile_x[down][across] = row < rows && k_x < depth ? acc_t(from_x[k_x * x_column]) : acc_t(0);
            tile_y[down][across] = column < columns && k_y < depth ? acc_t(from_y[k_y * y_row]) : acc_t(0);
            __syncthreads();
#pragma unroll
            for (int k = 0; k < SIDE; ++k) sum = multiply_add(tile_x[down][k], tile_y[k][across], sum);
            __syncthreads();
        }
        if (row < rows && column < columns) z[(b * rows + row) * columns + column] = sum;
    }
}
