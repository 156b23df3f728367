// What is made of indices before elements are picked, put or added up by them.
#include "index.cuh"

constexpr unsigned long long NONE = 0xffffffffffffffffull;  // the largest key: after all others

// What of an index is sorted: as a key its place among all n (or outer * n * inner where each element has its own),
// NONE for bad ones, `skipped` ones, and those beyond `count`, which fill up to a power of two; and where it stood.
extern "C" __global__ void index_keys(
    const long long* __restrict__ index, unsigned long long* __restrict__ key, int* __restrict__ position,
    long long n, long long batch, long long inner, int wrap, long long skipped, long long count, long long padded) {
    for (index_t i = first_index(); i < padded; i += index_stride()) {
        index_t place = -1;
        if (i < count) place = place_of(index[i], n, wrap);
        if (place == skipped) place = -1;
        const index_t row = i / inner, q = i - row * inner;
        key[i] = place < 0 ? NONE : (unsigned long long)((row / batch * n + place) * inner + q);
        position[i] = (int)i;
    }
}

// One index for several axes together: place = place * n + that of a further index, -1 where either is bad.
extern "C" __global__ void join_indices(
    const long long* __restrict__ index, long long* __restrict__ place,
    long long n, int wrap, int first, long long count) {
    for (index_t i = first_index(); i < count; i += index_stride()) {
        const index_t here = place_of(index[i], n, wrap);
        const index_t before = first ? 0 : place[i];
        place[i] = here < 0 || before < 0 ? -1 : before * n + here;
    }
}
