// Windows on images: where the elements of a window lie, and in which windows an element lies. im2col, pooling and
// convolution share it.
//
// The rows and the columns of an image go by the same rule, so it is one for an axis: element k of the window at
// position r is element r stride - corner + k dilation of the image, where that is inside.
#pragma once
#include "common.cuh"

// i / n for i >= 0. Division of 64 bits takes a GPU several times as long as that of 32, and few arrays need it.
__device__ __forceinline__ index_t quotient(index_t i, int n) {
    return i >> 32 == 0 ? (unsigned)i / (unsigned)n : i / n;
}

// Element i of an array (planes, rows, columns).
struct Place {
    index_t plane;
    int row, column;

    __device__ __forceinline__ Place(index_t i, int rows, int columns) {
        const index_t line = quotient(i, columns);
        plane = quotient(line, rows);
        row = line - plane * rows;
        column = i - line * columns;
    }
};

struct Axis {
    int size, positions, kernel, stride, corner, dilation;

    // The place of the window's first element, which is negative in the padding.
    __device__ __forceinline__ int start(int position) const { return position * stride - corner; }

    // The elements of a window that lie in the image: from the first up to the end.
    __device__ __forceinline__ int first_inside(int start) const {
        return start >= 0 ? 0 : dilation == 1 ? -start : (dilation - 1 - start) / dilation;
    }
    __device__ __forceinline__ int end_inside(int start) const {
        if (start >= size) return 0;
        return min(kernel, dilation == 1 ? size - start : (size - 1 - start) / dilation + 1);
    }

    // The windows that an element of the image may lie in: from the first up to the last.
    __device__ __forceinline__ int first_window(int element) const {
        const int beyond = element + corner - (kernel - 1) * dilation;
        return beyond <= 0 ? 0 : (beyond + stride - 1) / stride;
    }
    __device__ __forceinline__ int last_window(int element) const {
        return element + corner < 0 ? -1 : min(positions - 1, (element + corner) / stride);
    }

    // Which element of such a window it is; -1 if it lies between two of them.
    __device__ __forceinline__ int element_of(int position, int element) const {
        const int distance = element - start(position);
        return dilation == 1 ? distance : distance % dilation == 0 ? distance / dilation : -1;
    }
};
