// Mean and variance of several channels, of which many blocks have found the moments of a share each: in parts
// (3, shares, channels), which the last blocks to come join (shares.cuh).
#pragma once
#include "accumulate.cuh"
#include "running.cuh"
#include "shares.cuh"

// So many moments as one: first their mean, from the first one on, then the squares of the deviations from it (Chan,
// Golub, LeVeque 1983, equation 1.7). One division in all, where each `merge` has its own.
template <int N> __device__ __forceinline__ Moments joined(const Moments (&parts)[N]) {
    acc_t count = 0, step = 0, squares = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        count += parts[k].count;
        step = fma(parts[k].count, parts[k].mean - parts[0].mean, step);
    }
    const acc_t mean = parts[0].mean + step / count;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        const acc_t off = parts[k].mean - mean;
        squares += fma(parts[k].count * off, off, parts[k].squares);
    }
    return {count, mean, squares};
}

// Where the statistics of the channels of Y go.
struct Statistics {
    acc_t* parts;  // null: they are not wanted
    unsigned* arrived;
    acc_t *mean, *var;
    Running<acc_t> running;
    int channels;

    // The place of the moments of a channel's share, the other two of them `step` further each.
    __device__ __forceinline__ index_t place(int share, int channel) const { return (index_t)share * channels + channel; }

    __device__ __forceinline__ void keep(const Moments& moments, int share, int shares, int channel) const {
        const index_t step = place(shares, 0), at = place(share, channel);
        parts[at] = moments.count;
        parts[at + step] = moments.mean;
        parts[at + 2 * step] = moments.squares;
    }

    // Those of a channel's shares first, first + apart, ..., so many.
    __device__ __forceinline__ Moments found(int first, int apart, int count, int shares, int channel) const {
        const acc_t* counts = parts + place(first, channel);
        const acc_t *means = counts + place(shares, 0), *squares = means + place(shares, 0);
        Moments all = {0, 0, 0};
        for (int done = 0; done < count; done += SIXTEEN) {
            Moments next[SIXTEEN];
#pragma unroll
            for (int k = 0; k < SIXTEEN; ++k) {
                const index_t at = place((done + k) * apart, 0);
                const bool exists = done + k < count;
                next[k] = {exists ? counts[at] : acc_t(0), exists ? means[at] : acc_t(0), exists ? squares[at] : acc_t(0)};
            }
            all.merge(joined(next));
        }
        return all;
    }

    // Joins those of `count` channels from `first` on, of which this block has left those of its share.
    __device__ __forceinline__ void join(int share, int shares, unsigned* counters, int first, int count) const {
        join_in_sixteens(
            share, shares, counters, count,
            [&](int n, int begin, int apart, int members) { return found(begin, apart, members, shares, first + n); },
            [&](int n, int part, const Moments& moments) { keep(moments, part, shares, first + n); },
            [&](int n, const Moments& moments) {
                const acc_t v = moments.squares / moments.count;
                mean[first + n] = moments.mean;
                var[first + n] = v;
                running.move(first + n, moments.mean, v);
            });
    }
};
