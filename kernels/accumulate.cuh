// What the members of a team gather from the elements of a row, and how two such findings become one. Needs acc_t.
#pragma once
#include "common.cuh"
#include "scalar.cuh"

__device__ __forceinline__ acc_t from_lane(acc_t value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }

// a b, rounded, also where something is added to it: an fma would make g - g other than 0 for g = a b.
__device__ __forceinline__ float product(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double product(double a, double b) { return __dmul_rn(a, b); }

// Below all that the sum of e^(x - m) may start from: finite, so that m - m is 0.
constexpr acc_t LOWEST = sizeof(acc_t) == 8 ? -1.7976931348623157e308 : -3.4028234663852886e38;

// One sum
struct Sum {
    acc_t value;

    __device__ __forceinline__ Sum of_lane(int lane) const { return {from_lane(value, lane)}; }
    __device__ __forceinline__ void merge(const Sum& other) { value += other.value; }
};

// Two sums
struct Sums {
    acc_t first, second;

    __device__ __forceinline__ Sums of_lane(int lane) const {
        return {from_lane(first, lane), from_lane(second, lane)};
    }
    __device__ __forceinline__ void merge(const Sums& other) {
        first += other.first;
        second += other.second;
    }
};

// m = max x and s = sum of e^(x - m) in one pass: where m grows, s shrinks (Milakov and Gimelshein 2018, algorithm 3).
// Start with {LOWEST, 0}.
struct Exponentials {
    acc_t m, s;

    __device__ __forceinline__ void add(acc_t x) { merge({x, acc_t(1)}); }
    // The largest first, so that no exponential waits for another one.
    template <int N> __device__ __forceinline__ void add(const acc_t (&x)[N]) {
        acc_t largest = m;
#pragma unroll
        for (int e = 0; e < N; ++e) largest = fmax(largest, x[e]);
        s *= exp(m - largest);
#pragma unroll
        for (int e = 0; e < N; ++e) s += exp(x[e] - largest);
        m = largest;
    }
    __device__ __forceinline__ Exponentials of_lane(int lane) const { return {from_lane(m, lane), from_lane(s, lane)}; }
    // The smaller of the two m is what shrinks: one exponential, and none of them overflows.
    __device__ __forceinline__ void merge(const Exponentials& other) {
        const acc_t step = other.m - m;
        const acc_t shrink = exp(-fabs(step));
        s = step > 0 ? fma(s, shrink, other.s) : fma(other.s, shrink, s);
        m = fmax(m, other.m);
    }
};

// Number, mean and sum of squared deviations from it, in one pass and without the cancellation of E[x^2] - E[x]^2
// (Welford 1962; Chan, Golub, LeVeque 1983, equation 2.1). Start with {0, 0, 0}. Means are most precise where they are
// small: give the elements less one of them.
struct Moments {
    acc_t count, mean, squares;

    __device__ __forceinline__ void add(acc_t x) {
        count += 1;
        const acc_t step = x - mean;
        mean += step / count;
        squares = fma(step, x - mean, squares);
    }
    // N elements, a power of two: those of them alone, of which nothing waits for a division, and then merged.
    template <int N> __device__ __forceinline__ void add(const acc_t (&x)[N]) {
        acc_t sum = 0, own = 0;
#pragma unroll
        for (int e = 0; e < N; ++e) sum += x[e];
        const acc_t middle = sum * (acc_t(1) / N);
#pragma unroll
        for (int e = 0; e < N; ++e) own = fma(x[e] - middle, x[e] - middle, own);
        merge({acc_t(N), middle, own});
    }
    __device__ __forceinline__ Moments of_lane(int lane) const {
        return {from_lane(count, lane), from_lane(mean, lane), from_lane(squares, lane)};
    }
    __device__ __forceinline__ void merge(const Moments& other) {
        if (other.count == 0) return;
        count += other.count;
        const acc_t share = other.count / count, step = other.mean - mean;
        squares += fma(step * step * (count - other.count), share, other.squares);
        mean = fma(step, share, mean);
    }
};

// m and s of the elements of a row, x[0], x[inner], ..., by a team that reads several at once. All of it get them.
template <class Team, class T>
__device__ __forceinline__ Exponentials row_exponentials(const T* x, int length, index_t inner) {
    Exponentials found = {LOWEST, 0};
    int i = Team::rank();
    for (; i + (AT_ONCE - 1) * Team::size() < length; i += AT_ONCE * Team::size()) {
        acc_t next[AT_ONCE];
#pragma unroll
        for (int e = 0; e < AT_ONCE; ++e) next[e] = x[(i + e * Team::size()) * inner];
        found.add(next);
    }
    for (; i < length; i += Team::size()) found.add(x[i * inner]);
    return Team::reduce(found);
}

// Of COUNT sums of the lanes of a warp all but one go, at each step half of them: a lane gives them to another one, for
// its part of the others. M is the power of two from the first COUNT on.
template <int COUNT, int M> struct Halving {
    static constexpr int HALF = COUNT > 16 ? 16 : COUNT > 8 ? 8 : COUNT > 4 ? 4 : COUNT > 2 ? 2 : 1;
    static __device__ __forceinline__ void run(acc_t* value, int lane) {
        const bool upper = (lane & HALF) != 0;
#pragma unroll
        for (int n = 0; n < HALF; ++n) {
            const acc_t second = n + HALF < COUNT ? value[n + HALF] : value[n];  // what is not there nobody reads
            const acc_t got = from_lane(upper ? value[n] : second, lane ^ HALF);
            value[n] = (upper ? second : value[n]) + got;
        }
        Halving<HALF, M>::run(value, lane);
    }
};
template <int M> struct Halving<1, M> {
    static __device__ __forceinline__ void run(acc_t* value, int lane) {
#pragma unroll
        for (int distance = M; distance < 32; distance *= 2) value[0] += from_lane(value[0], lane ^ distance);
    }
};

// N sums over the lanes of a warp, more than one, of which lane l gets the one of number l % M, if there is one; M is
// the power of two from N on. It takes fewer shuffles than if all lanes got all of them.
template <int N> __device__ __forceinline__ acc_t sum_of_lanes(acc_t (&value)[N], int lane) {
    static_assert(N <= 32, "a lane for each sum");
    Halving<N, 2 * Halving<N, 0>::HALF>::run(value, lane);
    return value[0];
}
