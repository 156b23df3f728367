// Windows on images: where the elements of a window lie, and in which windows an element lies. im2col, pooling and
// convolution share it.
//
// Rows and columns go by the same rule: element k of the window at position r is element r stride - corner + k dilation
// of the image, where that is inside.
#pragma once
#include "common.cuh"

// Two numbers of 16 bits in a register
struct Two {
    int both;

    __device__ __forceinline__ Two() : both(0) {}
    __device__ __forceinline__ Two(int high, int low) : both((int)((unsigned)high << 16) | (low & 0xffff)) {}
    __device__ __forceinline__ int high() const { return both >> 16; }
    __device__ __forceinline__ int low() const { return (short)both; }
};

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

// Goes over the elements i, i + step, i + 2 step, ... of an array (layers, rows, columns). It divides once, at the
// start. (It has no constructor, so that it may lie in shared memory.)
struct Walk {
    int layer, row, column, rows, columns, layer_step, row_step, column_step;

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
};
__device__ __forceinline__ Walk walk_from(int i, int step, int rows, int columns) {
    return {i / columns / rows, i / columns % rows, i % columns, rows, columns,
            step / columns / rows, step / columns % rows, step % columns};
}
__device__ __forceinline__ Walk walk_from(const Pixel& first, int step, int rows, int columns) {
    Walk walk = walk_from(0, step, rows, columns);
    walk.layer = first.plane;
    walk.row = first.row;
    walk.column = first.column;
    return walk;
}

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

    // Which element of a window that reaches there an element of the image is; -1 if it lies between two of them.
    __device__ __forceinline__ int element_of(int position, int element) const {
        const int distance = element - start(position);
        return dilation == 1 ? distance : distance % dilation == 0 ? distance / dilation : -1;
    }
};

// The windows that reach an element of the image, or one of several neighbours, and those of the next ones. It divides
// once, at the start; by strides of 1 and 2 it shifts.
//
// Whoever adds up over them in the order of the kernel's elements, which is that from the last window to the first, goes
// up from 0 to count() and takes last() - k. A loop that goes down makes the compiler count its turns by a maximum of
// three, of which one is negated, and ptxas loses the sign; see gpunn/backend/lost_negation.py.
struct Windows {
    __device__ __forceinline__ Windows(const Axis& axis, int element) : Windows(axis, element, element) {}
    __device__ __forceinline__ Windows(const Axis& axis, int first, int last) : axis(axis) {
        const int to = last + axis.corner;
        const int from = first + axis.corner - (axis.kernel - 1) * axis.dilation + axis.stride - 1;
        high = floor_quotient(to, axis.stride);
        low = floor_quotient(from, axis.stride);
        high_rest = to - high * axis.stride;
        low_rest = from - low * axis.stride;
    }
    __device__ __forceinline__ int first() const { return max(low, 0); }
    __device__ __forceinline__ int last() const { return min(high, axis.positions - 1); }
    __device__ __forceinline__ int count() const { return last() - first() + 1; }

    __device__ __forceinline__ void next() {
        if (++high_rest == axis.stride) {
            high_rest = 0;
            ++high;
        }
        if (++low_rest == axis.stride) {
            low_rest = 0;
            ++low;
        }
    }

  private:
    const Axis& axis;
    int low, high, low_rest, high_rest;

    static __device__ __forceinline__ int floor_quotient(int i, int n) {
        if (n <= 2) return i >> (n - 1);
        return i >= 0 ? i / n : -((n - 1 - i) / n);
    }
};

// So many pixels, one below the other, has a thread that would else divide more than it computes.
constexpr int RUN = 4;
