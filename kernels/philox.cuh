// Random bits from counters: Philox 4x64-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1,
// 2, 3"), the same as numpy.random.Philox. A block of 4 x 64 bits is a function of its counter and its key: there is no
// state, so any thread makes any block.
#pragma once

typedef unsigned long long word_t;

// The multipliers, which the authors chose for how well they mix, and what is added to the key after each round: 2^64
// times the golden ratio and times sqrt(3) - 1, to an integer (philox.h of their library Random123).
constexpr word_t PHILOX_MULTIPLIER_0 = 0xD2E7470EE14C6C93ull;
constexpr word_t PHILOX_MULTIPLIER_1 = 0xCA5A826395121157ull;
constexpr word_t PHILOX_WEYL_0 = 0x9E3779B97F4A7C15ull;
constexpr word_t PHILOX_WEYL_1 = 0xBB67AE8584CAA73Bull;
constexpr int PHILOX_ROUNDS = 10;

// counter -> random bits
__device__ __forceinline__ void philox(word_t (&block)[4], word_t key_0, word_t key_1) {
#pragma unroll
    for (int round = 0; round < PHILOX_ROUNDS; ++round) {
        const word_t high_0 = __umul64hi(PHILOX_MULTIPLIER_0, block[0]), low_0 = PHILOX_MULTIPLIER_0 * block[0];
        const word_t high_1 = __umul64hi(PHILOX_MULTIPLIER_1, block[2]), low_1 = PHILOX_MULTIPLIER_1 * block[2];
        block[0] = high_1 ^ block[1] ^ key_0;
        block[1] = low_1;
        block[2] = high_0 ^ block[3] ^ key_1;
        block[3] = low_0;
        key_0 += PHILOX_WEYL_0;
        key_1 += PHILOX_WEYL_1;
    }
}

// Words of 32 bits in a block
constexpr int PHILOX_WORDS = 8;

// The block at a place of a draw, counted from 0: counter (1 + place, draw, 0, 0), because NumPy counts up before it
// makes a block, and key (seed, stream).
__device__ __forceinline__ void philox_block(
    word_t (&block)[4], word_t place, word_t draw, word_t seed, word_t stream) {
    block[0] = place + 1;
    block[1] = draw;
    block[2] = block[3] = 0;
    philox(block, seed, stream);
}

// Word i of a block: the lower half of each 64 bits, then the upper one. By choices, since registers have no index.
__device__ __forceinline__ unsigned philox_word(const word_t (&block)[4], int i) {
    const word_t both = i < 4 ? (i < 2 ? block[0] : block[1]) : (i < 6 ? block[2] : block[3]);
    return (unsigned)(i % 2 == 0 ? both : both >> 32);
}
