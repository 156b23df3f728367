// Images whose channels lie last, and where in them the patches under a kernel are. conv_channels_last.cu and
// conv_tensor_channels_last.cu are made of it, and say what is multiplied.
//
// A patch is a row of terms, in the order (i, j, c), the channel c innermost, as they lie in memory. So neighbouring
// terms are those of one element (i, j) of the kernels, and are read as one, where the channels are a multiple of what is
// read; and one check of the image's bounds is enough for all of them. Which element a thread is at follows from the one
// of the step before, without a division.
#pragma once
#include "scalar.cuh"
#include "windows.cuh"

// X (count, height, width, channels)
struct Images {
    const scalar_t* x;
    int count, channels;
    Axis down, across;
    bool vector;  // whether quads of channels can be read at once

    __device__ __forceinline__ int pixels() const { return count * down.positions * across.positions; }
    __device__ __forceinline__ int terms() const { return down.kernel * across.kernel * channels; }
    __device__ __forceinline__ bool has(int row, int column) const {
        return (unsigned)row < (unsigned)down.size && (unsigned)column < (unsigned)across.size;
    }
    // Where the channels of an element of the images begin, which may lie in the padding.
    __device__ __forceinline__ const scalar_t* at(index_t image, int row, int column) const {
        return x + ((image * down.size + row) * across.size + column) * channels;
    }
};

// A term: an element of the kernels, and a channel.
struct Term {
    int row, column, channel;

    __device__ __forceinline__ Term(const Images& f, int k)
        : row(k / f.channels / f.across.kernel), column(k / f.channels % f.across.kernel), channel(k % f.channels) {}
    __device__ __forceinline__ void advance(const Images& f, int count) {
        channel += count;
        while (channel >= f.channels) {
            channel -= f.channels;
            if (++column == f.across.kernel) {
                column = 0;
                ++row;
            }
        }
    }
    __device__ __forceinline__ int down(const Images& f) const { return row * f.down.dilation; }
    __device__ __forceinline__ int right(const Images& f) const { return column * f.across.dilation; }
    // From where the channels of a patch's first element begin.
    __device__ __forceinline__ index_t offset(const Images& f) const {
        return ((index_t)down(f) * f.across.size + right(f)) * f.channels + channel;
    }
};
