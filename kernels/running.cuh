// Running statistics of a norm, which move towards those of a batch.
#pragma once
#include "accumulate.cuh"

// keep old + share value. The products are rounded before they are added, as elementwise ops would do it.
template <class T> __device__ __forceinline__ T moved(T old, acc_t keep, acc_t value, acc_t share) {
    return T(product(acc_t(old), keep) + product(value, share));
}

// The running statistics after one more batch, and how many batches there were. In place if new_mean is mean, and so on.
template <class T> struct Running {
    const T* mean;  // null: there are none
    const T* var;
    const long long* batches;  // null: they are not counted
    T *new_mean, *new_var;
    long long* new_batches;  // null: they are not counted
    acc_t keep, mean_share, var_share;

    // One thread of each channel calls it.
    __device__ __forceinline__ void move(index_t channel, acc_t mu, acc_t v) const {
        if (mean == nullptr) return;
        if (channel == 0) count();
        new_mean[channel] = moved(mean[channel], keep, mu, mean_share);
        new_var[channel] = moved(var[channel], keep, v, var_share);
    }

    __device__ __forceinline__ void count() const {
        if (new_batches != nullptr) *new_batches = *batches + 1;
    }
};
