// The gradients of the affine map of linear_forward.cu, through the activation before it: tiles in registers, copied past
// them; gemm.cuh says how. The last rung; the formulas, naive, are in linear.cu.
//
//   dX = dZ W o f'(V), X = f(V);  dW = dZ^T X;  db = sum of dZ over the rows
//
// f' is multiplied where dX is written, as it follows from X: once for each element, and what comes of it is the dZ of
// the layer before. Where a max pooling by 2 x 2 is between the two, its gradient is written at once: `chosen` says which
// of the four elements of its window X is. db is added up from the same elements as dW. That spares a pass over memory or two, and a launch or
// two.
//
// The first `dx_blocks` blocks make dX, the others dW and db; either may be all. Both in one launch fill a GPU better,
// and there is one launch less.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, the
// sums are cut too, into parts, one for each block: all tiles of the first part, then of the second, ... The last block
// of a tile adds them up, or, without a counter for each tile, split_k.cu does.
// `vectors` says whose lines can be moved four elements at a time: 1 for dZ, 2 for W, 4 for dX, 8 for X, 16 for dW.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"

// One of the two products.
struct Gradient {
    const scalar_t* factor;
    scalar_t* result;
    acc_t* parts;
    unsigned* arrived;
    int rows, depth, part_depth;
    bool factor_vector, vector;
};

// dZ, or dZ^T where it is OF_WEIGHT, with a row-major matrix (depth, columns).
template <class T, bool OF_WEIGHT>
__device__ __forceinline__ void backward(
    const scalar_t* dz, const Gradient& g, scalar_t* sums, const scalar_t* activated, const SlopeOfOutput& slope,
    const unsigned char* chosen, int windows_across, int columns, int pitch, bool dz_vector, int block, acc_t* words) {
    const int tiles = tiles_of<T>(g.rows, columns), part = block / tiles;
    const index_t size = (index_t)g.rows * columns;
    const bool for_another = g.parts != nullptr && g.arrived == nullptr;
    Result to = {g.result, for_another ? g.parts + part * (size + (sums != nullptr ? g.rows : 0)) : nullptr};
    to.rows = g.rows;
    to.columns = columns;
    to.transposed = false;
    to.vector = g.vector;
    to.sums = sums;
    to.part_of_sums = for_another && sums != nullptr ? to.part + size : nullptr;
    to.activated = activated;
    to.slope = slope;
    to.chosen = chosen;
    to.windows_across = windows_across;
    to.slabs = g.parts;
    to.arrived = g.arrived;
    to.parts = (g.depth + g.part_depth - 1) / g.part_depth;
    constexpr bool SPREADS = !OF_WEIGHT && T::DOWN * T::ACROSS < 64;  // with 64 there are no registers for it
    product<T, SPREADS>({dz, g.rows, pitch, !OF_WEIGHT, dz_vector}, {g.factor, columns, columns, false, g.factor_vector},
                        to, block % tiles, part, g.depth, g.part_depth, words);
}

// The layouts are known in each of the two calls, so each has a loop of its own.
template <class T>
__device__ __forceinline__ void backward(
    const scalar_t* dz, scalar_t* db, const Gradient& dx, const Gradient& dw, int inputs, int outputs, int kind,
    acc_t parameter, const unsigned char* chosen, int windows_across, int dx_blocks, bool dz_vector) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const int block = blockIdx.x;
    if (block >= dx_blocks)
        backward<T, true>(dz, dw, db, nullptr, {ACTIVATION_NONE, 0}, nullptr, 1, inputs, outputs, dz_vector,
                          block - dx_blocks, words);
    else
        backward<T, false>(dz, dx, nullptr, kind == ACTIVATION_NONE ? nullptr : dw.factor, {kind, parameter}, chosen,
                           windows_across, inputs, outputs, dz_vector, block, words);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_backward_large(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ w,     // null: dX is not wanted
    scalar_t* __restrict__ dx,          // null: likewise
    acc_t* __restrict__ dx_parts,       // null: no parts
    unsigned* __restrict__ dx_arrived,  // null: another launch adds them up
    const scalar_t* __restrict__ x,     // null: neither dW nor f' is wanted
    scalar_t* __restrict__ dw,          // null: dW is not wanted
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
        dz, db, of_x, of_w, inputs, outputs, kind, parameter, nullptr, 1, dx_blocks, (vectors & 1) != 0);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 8 ? 2 : 4) linear_backward_medium(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ w,     // null: dX is not wanted
    scalar_t* __restrict__ dx,          // null: likewise
    acc_t* __restrict__ dx_parts,       // null: no parts
    unsigned* __restrict__ dx_arrived,  // null: another launch adds them up
    const scalar_t* __restrict__ x,     // null: neither dW nor f' is wanted
    scalar_t* __restrict__ dw,          // null: dW is not wanted
    acc_t* __restrict__ dw_parts,       // null: no parts
    unsigned* __restrict__ dw_arrived,  // null: another launch adds them up
    scalar_t* __restrict__ db,          // null: not wanted
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    int dx_blocks, int dx_part_depth, int dw_part_depth, int vectors,
    const unsigned char* __restrict__ chosen,  // null: dX is not spread over windows
    int windows_across) {
    const Gradient of_x = {w, dx, dx_parts, dx_arrived, rows, outputs, dx_part_depth, (vectors & 2) != 0,
                           (vectors & 4) != 0};
    const Gradient of_w = {x, dw, dw_parts, dw_arrived, outputs, rows, dw_part_depth, (vectors & 8) != 0,
                           (vectors & 16) != 0};
    backward<Medium>(dz, db, of_x, of_w, inputs, outputs, kind, parameter, chosen, windows_across, dx_blocks,
                     (vectors & 1) != 0);
}

extern "C" __global__ void __launch_bounds__(64, 6) linear_backward_small(
    const scalar_t* __restrict__ dz,
    const scalar_t* __restrict__ w,     // null: dX is not wanted
    scalar_t* __restrict__ dx,          // null: likewise
    acc_t* __restrict__ dx_parts,       // null: no parts
    unsigned* __restrict__ dx_arrived,  // null: another launch adds them up
    const scalar_t* __restrict__ x,     // null: neither dW nor f' is wanted
    scalar_t* __restrict__ dw,          // null: dW is not wanted
    acc_t* __restrict__ dw_parts,       // null: no parts
    unsigned* __restrict__ dw_arrived,  // null: another launch adds them up
    scalar_t* __restrict__ db,          // null: not wanted
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    int dx_blocks, int dx_part_depth, int dw_part_depth, int vectors,
    const unsigned char* __restrict__ chosen,  // null: dX is not spread over windows
    int windows_across) {
    const Gradient of_x = {w, dx, dx_parts, dx_arrived, rows, outputs, dx_part_depth, (vectors & 2) != 0,
                           (vectors & 4) != 0};
    const Gradient of_w = {x, dw, dw_parts, dw_arrived, outputs, rows, dw_part_depth, (vectors & 8) != 0,
                           (vectors & 16) != 0};
    backward<Small>(dz, db, of_x, of_w, inputs, outputs, kind, parameter, chosen, windows_across, dx_blocks,
                    (vectors & 1) != 0);
}
