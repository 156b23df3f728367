// Windows on images: where the elements of a window lie, and in which windows an element lies. im2col, pooling and
// convolution share it.
//
// Rows and columns go by the same rule: element k of the window at position r is element r stride - corner + k dilation of
// the image, where that is inside.
#pragma once
#include "common.cuh"

// i / n for i >= 0. Division of 64 bits takes a GPU several times as long as that of 32, and few arrays need it.
__device__ __forceinline__ index_t quotient(index_t i, int n) {
    return i >> 32 == 0 ? (unsigned)i / (unsigned)n : i / n;
}

// Element i of images (planes, rows, columns).
struct Pixel {
    index_t plane;
    int row, column;

    __device__ __forceinline__ Pixel(index_t i, int rows, int columns) {
        const index_t line = quotient(i, columns);
        plane = quotient(line, rows);
        row = line - plane * rows;
        column = i - line * columns;
    }
};

// Goes over the elements i, i + step, i + 2 step, ... of an array (layers, rows, columns). It divides once, at the start.
struct Walk {
    int layer, row, column;

    __device__ __forceinline__ Walk(int i, int step, int rows, int columns)
        : layer(i / columns / rows), row(i / columns % rows), column(i % columns), rows(rows), columns(columns),
          layer_step(step / columns / rows), row_step(step / columns % rows), column_step(step % columns) {}

    __device__ __forceinline__ void next() {
        column += column_step;
        row += row_step;
        layer += layer_step;
        if (column >= columns) {
            column -= columns;
            ++row;
        }
        if (row >= rows) {
            row -= rows;
            ++layer;
        }
    }

  private:
    int rows, columns, layer_step, row_step, column_step;
};

// The rows or the columns of an image, and the windows on them.
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
