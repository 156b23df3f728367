// Sums in pairs: terms 0 and 1, 2 and 3, ... first, then pairs of those sums, and so on, so that rounding errors grow
// with the logarithm of the number of terms. Needs acc_t.
//
// The terms come one by one, and are counted in binary: where the count has a 1 in place k, a sum of 2^k terms waits
// for its like, as a digit waits for the carry. Sums of 2^(LEVELS - 1) terms are added up in order.
#pragma once
#include "scalar.cuh"

constexpr int LEVELS = 24;

struct Pairwise {
    acc_t waiting[LEVELS];
    unsigned long long count;

    __device__ __forceinline__ Pairwise() : count(0) {
#pragma unroll
        for (int k = 0; k < LEVELS; ++k) waiting[k] = 0;
    }

    __device__ __forceinline__ void add(acc_t sum) {
        bool carried = true;
#pragma unroll
        for (int k = 0; k < LEVELS; ++k) {
            const bool met = k == LEVELS - 1 || (count >> k & 1);
            if (carried) waiting[k] = sum = met ? waiting[k] + sum : sum;
            carried = carried && met;
        }
        ++count;
    }

    __device__ __forceinline__ acc_t total() const {
        acc_t sum = 0;
#pragma unroll
        for (int k = 0; k < LEVELS; ++k)
            if (k == LEVELS - 1 || (count >> k & 1)) sum = waiting[k] + sum;
        return sum;
    }
};
