// Where the elements of a convolution lie that is a matrix product without columns in memory (conv_implicit.cu): spots
// of kernel elements and of pixels, which are added, and those of one step along k.
#pragma once
#include "windows.cuh"

struct Convolution {
    int images, groups, inner, outer;
    Axis down, across;

    __device__ __forceinline__ int taps() const { return down.kernel * across.kernel; }
    __device__ __forceinline__ int positions() const { return down.positions * across.positions; }
    __device__ __forceinline__ index_t pixels() const { return (index_t)images * positions(); }
    // Where the first image of a group lies in x.
    __device__ __forceinline__ index_t of_group(int group) const {
        return (index_t)group * inner * down.size * across.size;
    }
};

constexpr index_t BYTES = sizeof(scalar_t);

// Where something lies, or how far from something else: in memory, in bytes, and as row and column of an image. Nothing
// lies inside an image where NOWHERE was added to the row.
struct __align__(16) Spot {
    index_t offset;
    int row, column;
};
constexpr int NOWHERE = 1 << 29;

// An element (channel, row, column) of the kernels.
__device__ __forceinline__ Spot spot_of_element(const Convolution& f, int channel, int row, int column) {
    const int down = row * f.down.dilation, across = column * f.across.dilation;
    return {BYTES * ((channel * f.down.size + down) * f.across.size + across), down, across};
}

// A pixel (image, row, column) of the result.
__device__ __forceinline__ Spot spot_of_pixel(const Convolution& f, index_t image, int row, int column) {
    const int down = f.down.start(row), across = f.across.start(column);
    return {BYTES * ((image * f.groups * f.inner * f.down.size + down) * f.across.size + across), down, across};
}

// The k of the convolution, which are kernel elements. The left matrix is w, and in it channels are `w_channel` apart.
struct Elements {
    const Convolution& f;
    int w_channel;
    bool turned;

    __device__ __forceinline__ Walk walk(int k, int step) const {
        return walk_from(k, step, f.down.kernel, f.across.kernel);
    }
    __device__ __forceinline__ Spot spot(const Walk& k) const { return spot_of_element(f, k.layer, k.row, k.column); }
    __device__ __forceinline__ index_t left(const Walk& k) const {
        const int tap = k.row * f.across.kernel + k.column;
        return BYTES * ((index_t)k.layer * w_channel + (turned ? f.taps() - 1 - tap : tap));
    }
};

// The k of the weight gradient, which are pixels. The left matrix is dz.
struct Pixels {
    const Convolution& f;

    __device__ __forceinline__ Walk walk(index_t k, int step) const {
        const int rows = f.down.positions, columns = f.across.positions;
        return walk_from(Pixel(k, rows, columns), step, rows, columns);
    }
    __device__ __forceinline__ Spot spot(const Walk& k) const { return spot_of_pixel(f, k.layer, k.row, k.column); }
    __device__ __forceinline__ index_t left(const Walk& k) const {
        const int position = k.row * f.across.positions + k.column;
        return BYTES * ((index_t)k.layer * f.groups * f.outer * f.positions() + position);
    }
};

// The k of a step, for all threads: their spots; how far they are in a row of the left matrix, in bytes (negative where
// there is no such k); and what those of two steps later follow from.
template <class T> struct Step {
    Spot spot[T::DEPTH];
    index_t left[T::DEPTH];
    struct {
        Walk walk;
        int gap;  // against conflicts between banks
    } k[T::DEPTH];

    template <class Ks> __device__ __forceinline__ void set(const Ks& ks, const Walk& walk, bool exists) {
        const int own = threadIdx.x;
        k[own].walk = walk;
        spot[own] = exists ? ks.spot(walk) : Spot{0, NOWHERE, 0};
        left[own] = exists ? ks.left(walk) : -1;
    }
};
