// The gradient of an activation and of a max pooling behind it, in one go: of Y = f(Z), of which windows of 2 x 2 elements
// that lie side by side have chosen the largest, p with their numbers.
//
//   dz = dp f'(z) at the elements that were chosen, 0 at all others
//
// f'(z) follows from p, since p is f(z) at these elements: for activations whose derivative can be told from their result.
// One thread for each window, which writes its two pairs of neighbours. Memory bounds it: two elements and a byte of each
// window are read, and four elements written.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "activation.cuh"
#include "quad.cuh"
#include "windows.cuh"

extern "C" __global__ void max_pool_slope(
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,
    const unsigned char* __restrict__ numbers,
    scalar_t* __restrict__ dz,
    long long count, int out_w, int kind, acc_t parameter) {
    const SlopeOfOutput slope(kind, parameter);
    Pair<scalar_t>* pairs = (Pair<scalar_t>*)dz;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t upper = i + quotient(i, out_w) * out_w;
        const int number = numbers[i];
        const scalar_t g = slope.times(dp[i], p[i]), zero = acc_t(0);
        pairs[upper] = {number == 0 ? g : zero, number == 1 ? g : zero};
        pairs[upper + out_w] = {number == 2 ? g : zero, number == 3 ? g : zero};
    }
}

// The same of images whose channels lie last: one thread for each window of each channel, whose neighbours have the next
// channels. With ACTIVATION_NONE it is the gradient of the pooling alone, and p is not looked at.
extern "C" __global__ void max_pool_slope_channels_last(
    const scalar_t* __restrict__ dp,
    const scalar_t* __restrict__ p,  // null: no activation
    const unsigned char* __restrict__ numbers,
    scalar_t* __restrict__ dz,
    long long count, int channels, int out_w, int kind, acc_t parameter) {
    const SlopeOfOutput slope(kind, parameter);
    const index_t right = channels, below = (index_t)2 * out_w * channels;
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t window = quotient(i, channels), upper = window + quotient(window, out_w) * out_w;
        const int number = numbers[i];
        const scalar_t g = p == nullptr ? dp[i] : (scalar_t)slope.times(dp[i], p[i]), zero = acc_t(0);
        scalar_t* first = dz + 2 * upper * channels + (i - window * channels);
        first[0] = number == 0 ? g : zero;
        first[right] = number == 1 ? g : zero;
        first[below] = number == 2 ? g : zero;
        first[below + right] = number == 3 ? g : zero;
    }
}
