// The second pass of a product whose sums were cut into parts: the parts of each element, added up in order.
//
//   y = f(sum of the parts + bias)      parts (parts, count + tail)  y (count) = (..., columns)  bias (columns)
//
// `tail` more elements, without bias and activation, go to `rest`: the bias gradient, which comes in one pass with the
// weight gradient. This reads `parts` times what it writes, and is one launch more; it pays where the blocks of the
// first pass would else be too few to keep a GPU busy.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "common.cuh"
#include "scalar.cuh"
#include "shares.cuh"

extern "C" __global__ void add_parts(
    const acc_t* __restrict__ part,
    const scalar_t* __restrict__ bias,  // null: none
    scalar_t* __restrict__ y,
    scalar_t* __restrict__ rest,  // null: no tail
    int parts, long long count, int tail, int columns, int kind, acc_t parameter) {
    for (index_t i = first_index(); i < count + tail; i += index_stride()) {
        acc_t sum = sum_of_parts(part + i, count + tail, parts);
        if (i >= count) {
            rest[i - count] = sum;
        } else {
            if (bias != nullptr) sum += bias[i % columns];
            y[i] = activation(sum, kind, parameter);
        }
    }
}
