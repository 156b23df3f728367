// A batch of images picked from a data set that lies in memory as bytes, converted and normalised in one pass:
//
//   y[b, c, k] = x[index[b], c, k] scale[c] + shift[c]
//
// x (n, channels, inner) of bytes, index (batch,), scale and shift (channels,), y (batch, channels, inner). With scale
// = 1 / (255 std) and shift = -mean / std it is what a network wants. A bad index gives an image of zeros. Each byte is
// read once and each result written once: picking, converting, scaling and shifting one after the other would move 4
// times as much in float32.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "common.cuh"
#include "quad.cuh"

// First rung, naive: one thread an element.
extern "C" __global__ void gather_images_naive(
    const unsigned char* __restrict__ x, const long long* __restrict__ index,
    const acc_t* __restrict__ scale, const acc_t* __restrict__ shift, scalar_t* __restrict__ y,
    long long n, long long channels, long long inner, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t row = i / inner, k = i - row * inner;
        const index_t b = row / channels, c = row - b * channels;
        const index_t image = index[b];
        const bool there = image >= 0 && image < n;
        y[i] = there ? fma(acc_t(x[(image * channels + c) * inner + k]), scale[c], shift[c]) : acc_t(0);
    }
}

// Second rung, vectorised: one thread for four neighbours, which are read and written as one. For an inner that is a
// multiple of 4, and arrays that start at multiples of four elements.
extern "C" __global__ void gather_images_vectorised(
    const unsigned char* __restrict__ x, const long long* __restrict__ index,
    const acc_t* __restrict__ scale, const acc_t* __restrict__ shift, scalar_t* __restrict__ y,
    long long n, long long channels, long long inner, long long count) {
    for (index_t i = 4 * first_index(); i < count; i += 4 * index_stride()) {
        const index_t row = i / inner, k = i - row * inner;
        const index_t b = row / channels, c = row - b * channels;
        const index_t image = index[b];
        acc_t v[4] = {0, 0, 0, 0};
        if (image >= 0 && image < n) {
            const Quad<unsigned char> bytes = *(const Quad<unsigned char>*)(x + (image * channels + c) * inner + k);
#pragma unroll
            for (int e = 0; e < 4; ++e) v[e] = fma(acc_t(bytes.v[e]), scale[c], shift[c]);
        }
        store_quad(y + i, v, 4, true);
    }
}
