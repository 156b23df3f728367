// The last layer of a classifier and its loss in one launch: logits, their cross entropy and its gradient.
//
//   Z = X W^T + b,  l = sum or mean of the cross entropy of Z's rows,  dZ = its gradient for the gradient dy in l
//
//   X (rows, inputs)  W (classes, inputs)  b (classes)  labels (rows)  ->  l, Z, dZ (rows, classes)
//
// loss.cu has the formulas. For few classes: a block has all logits of its rows together, in shared memory. Its warps
// take the classes in turn, some at a time; their lanes go along the inputs, four elements at a time, with a sum for
// each row and class, and these are added as a tree. Then a warp has a row. Where there are many rows, a block has more
// of them at a time, as it reads W for all of them, and goes on to others, as it adds up the labels' weights but once.
//
// compiled for scalar_t = float32, float64
#include "labels.cuh"
#include "quad.cuh"

constexpr int WARPS = 8, LANES = 32;
constexpr int MOST_CLASSES = 64;  // whose logits have room

// z = x w^T + b for ROWS rows from `first_row` on. Beyond the last row and class those are read again, for nothing. Of
// few rows several quads are on their way at a time; of many there are no registers for more than one.
template <int ROWS, int CLASSES>
__device__ __forceinline__ void multiply(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ w, const scalar_t* __restrict__ bias, int first_row,
    int rows, int inputs, int classes, bool vector, scalar_t (&z)[ROWS][MOST_CLASSES]) {
    for (int first = CLASSES * threadIdx.y; first < classes; first += CLASSES * WARPS) {
        const scalar_t *of_row[ROWS], *of_class[CLASSES];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) of_row[r] = x + (index_t)min(first_row + r, rows - 1) * inputs;
#pragma unroll
        for (int c = 0; c < CLASSES; ++c) of_class[c] = w + (index_t)min(first + c, classes - 1) * inputs;
        acc_t sums[ROWS * CLASSES] = {};
#pragma unroll ROWS == 2 ? 4 : 1
        for (int k = 4 * threadIdx.x; k < inputs; k += 4 * LANES) {
            Quad<scalar_t> row[ROWS], one[CLASSES];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) row[r] = load_quad(of_row[r] + k, inputs - k, vector);
#pragma unroll
            for (int c = 0; c < CLASSES; ++c) one[c] = load_quad(of_class[c] + k, inputs - k, vector);
#pragma unroll
            for (int n = 0; n < ROWS * CLASSES; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    sums[n] = fma(row[n / CLASSES].v[e], one[n % CLASSES].v[e], sums[n]);
        }
        const acc_t own = sum_of_lanes(sums, threadIdx.x);
        const int c = first + threadIdx.x % CLASSES;
        if (threadIdx.x < ROWS * CLASSES && c < classes)
            z[threadIdx.x / CLASSES][c] = own + (bias == nullptr ? acc_t(0) : acc_t(bias[c]));
    }
}

template <int ROWS, int CLASSES>
__device__ __forceinline__ void linear_cross_entropy(
    const scalar_t* dy, const scalar_t* x, const scalar_t* w, const scalar_t* bias, scalar_t* z, scalar_t* dz,
    const Labels& labels, acc_t* parts, const acc_t* weights, int weight_count, unsigned* arrived, scalar_t* result,
    long long* found, int inputs, bool vector, int reduction, acc_t sharp, acc_t smooth) {
    static_assert(ROWS <= WARPS, "a warp for each row");
    __shared__ scalar_t logits[ROWS][MOST_CLASSES];
    const int rows = labels.rows, classes = labels.classes;
    const acc_t divisor = reduction == MEAN ? total_weight(labels, weights, weight_count) : acc_t(1);
    for (int first_row = blockIdx.x * ROWS; first_row < rows; first_row += gridDim.x * ROWS) {
        multiply<ROWS, CLASSES>(x, w, bias, first_row, rows, inputs, classes, vector, logits);
        __syncthreads();
        const int row = first_row + threadIdx.y;
        const bool exists = threadIdx.y < ROWS && row < rows;
        const scalar_t* own = logits[exists ? threadIdx.y : 0];
        const index_t start = (index_t)row * classes;
        for (int c = threadIdx.x; exists && c < classes; c += LANES) z[start + c] = own[c];
        loss_and_gradient<Warp>(dy, own, labels, row, exists, divisor, parts, dz + start, reduction, sharp, smooth);
        __syncthreads();  // before the next logits take their place
    }
    finish_loss(labels, parts, arrived, result, found, reduction);
}

// sharp = 1 - e, smooth = e / classes, for the label smoothing e
extern "C" __global__ void __launch_bounds__(256, 2) linear_cross_entropy_few(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ z, scalar_t* __restrict__ dz, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    acc_t* __restrict__ parts,
    const acc_t* __restrict__ weights,  // null: each block adds up the weights of the labels, for a mean
    unsigned* __restrict__ arrived, scalar_t* __restrict__ result, long long* __restrict__ found, int weight_count,
    int rows, int inputs, int classes, bool vector, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, 1, ignore_index};
    linear_cross_entropy<2, 2>(dy, x, w, bias, z, dz, labels, parts, weights, weight_count, arrived, result, found,
                               inputs, vector, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(256, sizeof(acc_t) == 8 ? 1 : 2) linear_cross_entropy_many(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ z, scalar_t* __restrict__ dz, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    acc_t* __restrict__ parts,
    const acc_t* __restrict__ weights,  // null: each block adds up the weights of the labels, for a mean
    unsigned* __restrict__ arrived, scalar_t* __restrict__ result, long long* __restrict__ found, int weight_count,
    int rows, int inputs, int classes, bool vector, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, 1, ignore_index};
    linear_cross_entropy<8, 2>(dy, x, w, bias, z, dz, labels, parts, weights, weight_count, arrived, result, found,
                               inputs, vector, reduction, sharp, smooth);
}
