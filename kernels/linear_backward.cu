// The gradients of the affine map with its activation, of linear_forward.cu: tiles in registers, four elements at a
// time; gemm.cuh says how. The last rung; the formulas, naive, are in linear.cu.
//
//   dZ = dY o f'(Z);  dX = dZ W;  dW = dZ^T X;  db = sum of dZ over the rows
//
// dZ is made of dY on its way to the products, and db is added up from the same elements as dW. That spares a pass over
// memory or two, and a launch or two; it costs that f' is computed again by every block that needs an element.
//
// The first `dx_blocks` blocks make dX, the others dW and db; either may be all. Both in one launch fill a GPU better,
// and there is one launch less.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, the
// sums are cut too, into parts, one for each block: all tiles of the first part, then of the second, ... The last block
// of a tile adds them up, or, without a counter for each tile, split_k.cu does.
// `vectors` says whose lines can be moved four elements at a time: 1 for dY and Y, 2 for W, 4 for dX, 8 for X, 16 for dW.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"

// One of the two products: dZ, or dZ^T where `of_weight`, with a row-major matrix (depth, inputs).
struct Gradient {
    const scalar_t* factor;
    scalar_t* result;
    acc_t* parts;
    unsigned* arrived;
    int rows, depth, part_depth;
    bool factor_vector, vector;
};

template <class T>
__device__ __forceinline__ void backward(
    const scalar_t* dy, const scalar_t* y, scalar_t* db, const Gradient& dx, const Gradient& dw, int inputs, int outputs,
    int kind, acc_t parameter, int dx_blocks, bool dz_vector) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const bool of_weight = (int)blockIdx.x >= dx_blocks;
    const Gradient g = of_weight ? dw : dx;
    const int block = of_weight ? blockIdx.x - dx_blocks : blockIdx.x, tiles = tiles_of<T>(g.rows, inputs);
    const int part = block / tiles;
    const bool has_sums = of_weight && db != nullptr;
    const index_t size = (index_t)g.rows * inputs;
    const bool for_another = g.parts != nullptr && g.arrived == nullptr;
    const Operand dz = {dy, g.rows, outputs, !of_weight, dz_vector};
    const Operand other = {g.factor, inputs, inputs, false, g.factor_vector};
    Result to = {g.result, for_another ? g.parts + part * (size + (has_sums ? g.rows : 0)) : nullptr};
    to.rows = g.rows;
    to.columns = inputs;
    to.transposed = false;
    to.vector = g.vector;
    to.sums = has_sums ? db : nullptr;
    to.part_of_sums = for_another && has_sums ? to.part + size : nullptr;
    to.slabs = g.parts;
    to.arrived = g.arrived;
    to.parts = (g.depth + g.part_depth - 1) / g.part_depth;
    const Slopes slopes = {y, {kind, parameter}, y - dy};
    product<T, true>(dz, other, slopes, to, block % tiles, part, g.depth, g.part_depth, words);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_backward_large(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,     // null: dy is dZ already
    const scalar_t* __restrict__ w,     // null: dX is not wanted
    scalar_t* __restrict__ dx,          // null: likewise
    acc_t* __restrict__ dx_parts,       // null: no parts
    unsigned* __restrict__ dx_arrived,  // null: another launch adds them up
    const scalar_t* __restrict__ x,     // null: dW is not wanted
    scalar_t* __restrict__ dw,          // null: likewise
    acc_t* __restrict__ dw_parts,       // null: no parts
    unsigned* __restrict__ dw_arrived,  // null: another launch adds them up
    scalar_t* __restrict__ db,          // null: not wanted
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    int dx_blocks, int dx_part_depth, int dw_part_depth, int vectors) {
    const Gradient of_x = {w, dx, dx_parts, dx_arrived, rows, outputs, dx_part_depth, (vectors & 2) != 0,
                           (vectors & 4) != 0};
    const Gradient of_w = {x, dw, dw_parts, dw_arrived, outputs, rows, dw_part_depth, (vectors & 8) != 0,
                           (vectors & 16) != 0};
    backward<Large>(
        dy, y, db, of_x, of_w, inputs, outputs, kind, parameter, dx_blocks, (vectors & 1) != 0);
}

extern "C" __global__ void __launch_bounds__(256, 2) linear_backward_medium(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,     // null: dy is dZ already
    const scalar_t* __restrict__ w,     // null: dX is not wanted
    scalar_t* __restrict__ dx,          // null: likewise
    acc_t* __restrict__ dx_parts,       // null: no parts
    unsigned* __restrict__ dx_arrived,  // null: another launch adds them up
    const scalar_t* __restrict__ x,     // null: dW is not wanted
    scalar_t* __restrict__ dw,          // null: likewise
    acc_t* __restrict__ dw_parts,       // null: no parts
    unsigned* __restrict__ dw_arrived,  // null: another launch adds them up
    scalar_t* __restrict__ db,          // null: not wanted
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    int dx_blocks, int dx_part_depth, int dw_part_depth, int vectors) {
    const Gradient of_x = {w, dx, dx_parts, dx_arrived, rows, outputs, dx_part_depth, (vectors & 2) != 0,
                           (vectors & 4) != 0};
    const Gradient of_w = {x, dw, dw_parts, dw_arrived, outputs, rows, dw_part_depth, (vectors & 8) != 0,
                           (vectors & 16) != 0};
    backward<Medium>(
        dy, y, db, of_x, of_w, inputs, outputs, kind, parameter, dx_blocks, (vectors & 1) != 0);
}

extern "C" __global__ void __launch_bounds__(64, 6) linear_backward_small(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,     // null: dy is dZ already
    const scalar_t* __restrict__ w,     // null: dX is not wanted
    scalar_t* __restrict__ dx,          // null: likewise
    acc_t* __restrict__ dx_parts,       // null: no parts
    unsigned* __restrict__ dx_arrived,  // null: another launch adds them up
    const scalar_t* __restrict__ x,     // null: dW is not wanted
    scalar_t* __restrict__ dw,          // null: likewise
    acc_t* __restrict__ dw_parts,       // null: no parts
    unsigned* __restrict__ dw_arrived,  // null: another launch adds them up
    scalar_t* __restrict__ db,          // null: not wanted
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    int dx_blocks, int dx_part_depth, int dw_part_depth, int vectors) {
    const Gradient of_x = {w, dx, dx_parts, dx_arrived, rows, outputs, dx_part_depth, (vectors & 2) != 0,
                           (vectors & 4) != 0};
    const Gradient of_w = {x, dw, dw_parts, dw_arrived, outputs, rows, dw_part_depth, (vectors & 8) != 0,
                           (vectors & 16) != 0};
    backward<Small>(
        dy, y, db, of_x, of_w, inputs, outputs, kind, parameter, dx_blocks, (vectors & 1) != 0);
}
