// Affine map of the last axis with its activation, and its gradients: tiles in registers, four elements at a time;
// gemm.cuh says how. The last rung; the formulas, naive, are in linear.cu.
//
//   Y = f(Z), Z = X W^T + b      X (rows, inputs)  W (outputs, inputs)  b (outputs)  Y (rows, outputs)
//   dZ = dY o f'(Z);  dX = dZ W;  dW = dZ^T X;  db = sum of dZ over the rows
//
// Bias and activation are applied to the sums before they are written: Z is never in memory. Likewise dZ is made of dY
// on its way to the product, and db is added up from the same elements as dW. That spares a pass over memory or two,
// and a launch or two; it costs that f' is computed again by every block that needs an element.
//
// There is a kernel for each size of tile, and the host picks one by shape. Where the tiles are too few for a GPU, the
// sums are cut too, into parts of `part_depth`, one for each block along y; split_k.cu adds them up.
// `vectors` says whose lines can be moved four elements at a time: 1 for the first matrix, 2 for the second, 4 for the
// result.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "gemm.cuh"

// For few outputs Y^T = f(W X^T + b) is computed: tiles are wider than high.
template <class T>
__device__ __forceinline__ void forward(
    const scalar_t* x, const scalar_t* w, const scalar_t* bias, scalar_t* y, acc_t* parts, int rows, int inputs,
    int outputs, int kind, acc_t parameter, bool transposed, int part_depth, int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    acc_t* part = parts == nullptr ? nullptr : parts + (index_t)blockIdx.y * rows * outputs;
    const Operand first = {transposed ? w : x, transposed ? outputs : rows, inputs, true, (vectors & 1) != 0};
    const Operand second = {transposed ? x : w, transposed ? rows : outputs, inputs, true, (vectors & 2) != 0};
    const Result to = {y, part, rows, outputs, transposed, (vectors & 4) != 0, bias, kind, parameter};
    product<T>(first, second, {}, to, blockIdx.x, inputs, part_depth, words);
}

// Both gradients are products of dZ with a row-major matrix: dX = dZ W, and, `transposed`, dW = dZ^T X. There db is the
// sum of dZ over the depth, the rows; in a part it lies behind dW.
template <class T>
__device__ __forceinline__ void backward(
    const scalar_t* dy, const scalar_t* y, const scalar_t* factor, scalar_t* result, scalar_t* db, acc_t* parts,
    int rows, int columns, int depth, bool transposed, int kind, acc_t parameter, int part_depth, int vectors) {
    __shared__ __align__(16) acc_t words[T::WORDS];
    const index_t size = (index_t)rows * columns;
    acc_t* part = parts == nullptr ? nullptr : parts + blockIdx.y * (size + (db != nullptr ? rows : 0));
    acc_t* part_of_db = part == nullptr || db == nullptr ? nullptr : part + size;
    const Operand dz = {dy, rows, transposed ? rows : depth, !transposed, (vectors & 1) != 0};
    const Operand other = {factor, columns, columns, false, (vectors & 2) != 0};
    Result to = {result, part, rows, columns, false, (vectors & 4) != 0};
    to.sums = db;
    to.part_of_sums = part_of_db;
    product<T, true>(dz, other, {y, kind, parameter}, to, blockIdx.x, depth, part_depth, words);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_forward_large(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    bool transposed, int part_depth, int vectors) {
    forward<Large>(x, w, bias, y, parts, rows, inputs, outputs, kind, parameter, transposed, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(256, 2) linear_forward_medium(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    bool transposed, int part_depth, int vectors) {
    forward<Medium>(x, w, bias, y, parts, rows, inputs, outputs, kind, parameter, transposed, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(64, 6) linear_forward_small(
    const scalar_t* __restrict__ x,
    const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int inputs, int outputs, int kind, acc_t parameter,
    bool transposed, int part_depth, int vectors) {
    forward<Small>(x, w, bias, y, parts, rows, inputs, outputs, kind, parameter, transposed, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_backward_large(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,  // null: dy is dZ already
    const scalar_t* __restrict__ factor,
    scalar_t* __restrict__ result,
    scalar_t* __restrict__ db,  // null: not wanted
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int columns, int depth, bool transposed,
    int kind, acc_t parameter, int part_depth, int vectors) {
    backward<Large>(
        dy, y, factor, result, db, parts, rows, columns, depth, transposed, kind, parameter, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(256, 2) linear_backward_medium(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,  // null: dy is dZ already
    const scalar_t* __restrict__ factor,
    scalar_t* __restrict__ result,
    scalar_t* __restrict__ db,  // null: not wanted
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int columns, int depth, bool transposed,
    int kind, acc_t parameter, int part_depth, int vectors) {
    backward<Medium>(
        dy, y, factor, result, db, parts, rows, columns, depth, transposed, kind, parameter, part_depth, vectors);
}

extern "C" __global__ void __launch_bounds__(64, 6) linear_backward_small(
    const scalar_t* __restrict__ dy,
    const scalar_t* __restrict__ y,  // null: dy is dZ already
    const scalar_t* __restrict__ factor,
    scalar_t* __restrict__ result,
    scalar_t* __restrict__ db,  // null: not wanted
    acc_t* __restrict__ parts,  // null: no parts
    int rows, int columns, int depth, bool transposed,
    int kind, acc_t parameter, int part_depth, int vectors) {
    backward<Small>(
        dy, y, factor, result, db, parts, rows, columns, depth, transposed, kind, parameter, part_depth, vectors);
}
