// Elements from one place to another: contiguous, with any strides, and transposed. What an element is does not matter,
// only its size.
//
// A copy reads and writes every element once, so its cost is 2 n bytes of memory traffic, where the threads of a warp
// touch neighbouring bytes. Each rung is for arrays where the one before it fails to.
//
// compiled for element_t = uint8, int16, int32, int64
#include "layout.cuh"

// y[i] = x[i] for two contiguous arrays that start at multiples of 16 bytes: 16 bytes a thread.
extern "C" __global__ void copy_vectors(const element_t* __restrict__ x, element_t* __restrict__ y, long long count) {
    const index_t each = 16 / sizeof(element_t);
    const index_t vectors = count / each;
    for (index_t i = first_index(); i < vectors; i += index_stride()) ((uint4*)y)[i] = ((const uint4*)x)[i];
    for (index_t i = vectors * each + first_index(); i < count; i += index_stride()) y[i] = x[i];
}

// First rung, naive: y[i, j, ...] = x[i, j, ...] for any strides of both; the layouts have the same sizes. One thread
// an element, neighbours along the last axis. Where x does not lie that way, each thread of a warp reads another line
// of memory for one element of it.
extern "C" __global__ void copy_strided(
    const element_t* __restrict__ x, long long x_offset, Layout x_layout,
    element_t* __restrict__ y, long long y_offset, Layout y_layout,
    long long count) {
    for (index_t i = first_index(); i < count; i += index_stride())
        y[y_offset + offset_of(y_layout, i)] = x[x_offset + offset_of(x_layout, i)];
}

// Second rung, tiled: y[o, r, c] = x[o, r, c] where neighbours along c are neighbours in y, but those along r are in x:
// a transposed copy. A block reads a tile along r into shared memory and writes it along c, so that both are in whole
// lines. Costs a barrier, and threads that idle where a tile hangs over the edge.
//
// A row of the tile is 33 elements long: the 32 threads that read a column of it then meet 32 different banks, for
// elements of every size. The outer axes are any number, with any strides.
constexpr int TILE = 32, TILE_ROWS = 8;  // elements of a tile along each axis; rows that a block moves at a time

extern "C" __global__ void __launch_bounds__(256, 4) copy_tiled(
    const element_t* __restrict__ x, long long x_offset, Layout x_outer, long long x_column_step,
    element_t* __restrict__ y, long long y_offset, Layout y_outer, long long y_row_step,
    long long rows, long long columns) {
    __shared__ element_t tile[TILE][TILE + 1];
    const index_t down = (rows + TILE - 1) / TILE, across = (columns + TILE - 1) / TILE;
    const index_t outer = blockIdx.x / (down * across), place = blockIdx.x - outer * down * across;
    const index_t row = place / across * TILE, column = place % across * TILE;
    x += x_offset + offset_of(x_outer, outer);
    y += y_offset + offset_of(y_outer, outer);

    for (int c = threadIdx.y; c < TILE; c += TILE_ROWS)
        if (row + threadIdx.x < rows && column + c < columns)
            tile[c][threadIdx.x] = x[row + threadIdx.x + (column + c) * x_column_step];
    __syncthreads();
    for (int r = threadIdx.y; r < TILE; r += TILE_ROWS)
        if (row + r < rows && column + threadIdx.x < columns)
            y[(row + r) * y_row_step + column + threadIdx.x] = tile[threadIdx.x][r];
}
