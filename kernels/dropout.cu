// Dropout (Srivastava et al. 2014): y = x scale where a uniform number is at least p, else x 0;  scale = 1 / (1 - p)
//
// The number of element i is (u >> 8) 2^-24 for the 32 random bits u at place offset + i of a draw (philox.cuh), and it
// is at least p where u >= threshold = ceil(p 2^24) 2^8: exact, and the same mask on every device. It is made again for
// the gradient, never stored. x 0 is NaN for an infinite x, as on the CPU.
//
// The ladder:
//   naive   a thread an element, which makes 8 random words and uses 1: 10 rounds of 2 products of 64 bits an element.
//   octets  a thread for the 8 elements of a block of random bits: an eighth of the arithmetic. Whole octets on
//           multiples of 16 bytes move as vectors, where the host has checked that (`vector`).
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "common.cuh"
#include "philox.cuh"
#include "quad.cuh"
#include "scalar.cuh"

__device__ __forceinline__ acc_t dropped(acc_t x, unsigned bits, word_t threshold, acc_t scale) {
    return x * (bits >= threshold ? scale : acc_t(0));
}

extern "C" __global__ void dropout_naive(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y, long long count, long long offset,
    unsigned long long threshold, acc_t scale, unsigned long long seed, unsigned long long stream,
    const unsigned long long* __restrict__ live,  // null: the draw is the one that is passed
    unsigned long long draw) {
    if (live != nullptr) draw = live[0];
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t place = offset + i;
        word_t block[4];
        philox_block(block, place / PHILOX_WORDS, draw, seed, stream);
        y[i] = dropped(x[i], philox_word(block, place % PHILOX_WORDS), threshold, scale);
    }
}

// Octet o holds the elements from 8 o - skip on, where skip = offset % 8: those of one block of random bits.
extern "C" __global__ void dropout_octets(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ y, long long count, long long offset,
    unsigned long long threshold, acc_t scale, unsigned long long seed, unsigned long long stream,
    const unsigned long long* __restrict__ live,  // null: the draw is the one that is passed
    unsigned long long draw, int vector) {
    if (live != nullptr) draw = live[0];
    const int skip = offset % PHILOX_WORDS;
    const index_t octets = (skip + count + PHILOX_WORDS - 1) / PHILOX_WORDS;
    for (index_t octet = first_index(); octet < octets; octet += index_stride()) {
        word_t block[4];
        philox_block(block, offset / PHILOX_WORDS + octet, draw, seed, stream);
        const index_t start = octet * PHILOX_WORDS - skip;
        if (vector) {  // skip is 0
#pragma unroll
            for (int first = 0; first < PHILOX_WORDS; first += 4) {
                const Quad<scalar_t> q = load_quad(x + start + first, count - start - first, true);
                acc_t v[4];
#pragma unroll
                for (int e = 0; e < 4; ++e) v[e] = dropped(q.v[e], philox_word(block, first + e), threshold, scale);
                store_quad(y + start + first, v, count - start - first, true);
            }
        } else {
#pragma unroll
            for (int e = 0; e < PHILOX_WORDS; ++e) {
                const index_t i = start + e;
                if (0 <= i && i < count) y[i] = dropped(x[i], philox_word(block, e), threshold, scale);
            }
        }
    }
}
