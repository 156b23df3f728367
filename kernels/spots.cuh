// Patches of images as a matrix of a product that is never in memory; conv_implicit.cu and conv_tensor.cu are made of
// it, and say what is multiplied.
//
// P are the columns of im2col.cu: row k is an element (c, i, j) of the kernels, column m a pixel (image, r, q) of the
// result. An element of P lies in x at the pixel's place plus the kernel element's:
//
//   row (r s - p) + i d,  column (q s - p) + j d
//
// So each has a Spot, and the two are added; outside of the image are zeros. The spots along a block's tile are found
// once; those along the axis that is summed over for all threads together, one step ahead, each from the one a step
// before, without a division, and lie in shared memory.
#pragma once
#include "convolution.cuh"

// Where something lies, or how far from something else: in memory, and as row and column of an image.
struct __align__(16) Spot {
    index_t offset;
    int row, column;
};

// An element (channel, row, column) of the kernels.
__device__ __forceinline__ Spot spot_of_element(const Convolution& f, int channel, int row, int column) {
    const int down = row * f.down.dilation, across = column * f.across.dilation;
    return {(channel * f.down.size + down) * f.across.size + across, down, across};
}

// A pixel (image, row, column) of the result.
__device__ __forceinline__ Spot spot_of_pixel(const Convolution& f, index_t image, int row, int column) {
    const int down = f.down.start(row), across = f.across.start(column);
    return {(image * f.groups * f.inner * f.down.size + down) * f.across.size + across, down, across};
}

// A bit for each line of the kernels, their rows and then their columns, of which the host allows 31: those of the lines
// that an element is in, and those of the lines that lie outside of an image where a kernel's first element lies at
// (row, column) of it. So one test says whether an element does. What does not exist has the bit NEVER, which is outside
// everywhere.
constexpr unsigned NEVER = 1u << 31;
__device__ __forceinline__ unsigned lines_of(const Axis& down, int row, int column) {
    return 1u << row | 1u << down.kernel + column;
}
__device__ __forceinline__ unsigned lines_outside(const Axis& axis, int start) {
    unsigned bits = 0;
#pragma unroll 1
    for (int i = 0; i < axis.kernel; ++i)
        bits |= unsigned((unsigned)(start + i * axis.dilation) >= (unsigned)axis.size) << i;
    return bits;
}
__device__ __forceinline__ unsigned lines_outside(const Axis& down, const Axis& across, int row, int column) {
    return NEVER | lines_outside(down, row) | lines_outside(across, column) << down.kernel;
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
        return (index_t)k.layer * w_channel + (turned ? f.taps() - 1 - tap : tap);
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
        return (index_t)k.layer * f.groups * f.outer * f.positions() + position;
    }
};

// The way along k of each thread that finds those of a step, from which the next ones follow.
template <class T> struct Walks {
    struct {
        Walk walk;
        int gap;  // against conflicts between banks
    } k[T::DEPTH];
};

// Lines along k, element by element: the first one of a thread. A warp takes eight k, a sector of memory, of four
// lines, which in shared memory lie in 32 banks.
template <class T> struct AlongK {
    static constexpr int APART = T::THREADS / T::DEPTH;  // the lines of a thread
    static __device__ __forceinline__ int k() { return threadIdx.x / 32 % (T::DEPTH / 8) * 8 + threadIdx.x % 8; }
    static __device__ __forceinline__ int line() { return threadIdx.x / 32 / (T::DEPTH / 8) * 4 + threadIdx.x / 8 % 4; }
};
