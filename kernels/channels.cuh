// The elements of one channel of x (n, c, m), and how the members of a team share them.
#pragma once
#include "common.cuh"
#include "team.cuh"

// Goes over the elements `begin` + rank, + size, ... of a channel up to `end`, as they are counted over n and m:
//
//   for (ChannelWalk<Team> walk(channel, begin, end, c, m); walk.left(); walk.next()) ... x[walk.at]
//
// The division that finds the first element is the only one: each step is a number of rows and of places in a row.
template <class Team> struct ChannelWalk {
    index_t at;   // the element's place in x
    index_t row;  // of n

    __device__ __forceinline__ ChannelWalk(index_t channel, index_t begin, index_t end, index_t c, index_t m)
        : element(begin + Team::rank()), end(end), column(0), m(m), step_rows(0), step_columns(0), gap((c - 1) * m) {
        if (!left()) return;
        row = element / m;
        column = element - row * m;
        step_rows = Team::size() / m;
        step_columns = Team::size() - step_rows * m;
        step = step_rows * c * m + step_columns;
        at = (row * c + channel) * m + column;
    }
    __device__ __forceinline__ bool left() const { return element < end; }
    // Whether `count` are left
    __device__ __forceinline__ bool left(int count) const { return element + (count - 1) * Team::size() < end; }
    __device__ __forceinline__ void next() {
        element += Team::size();
        at += step;
        row += step_rows;
        column += step_columns;
        if (column >= m) {
            column -= m;
            at += gap;
            ++row;
        }
    }

  private:
    index_t element, end, column, m, step_rows, step_columns, step, gap;
};

// The part of `count` elements that belongs to this block: blocks along y share the elements of a channel.
__device__ __forceinline__ index_t share_begin(index_t count) {
    const index_t share = (count + gridDim.y - 1) / gridDim.y;
    const index_t begin = blockIdx.y * share;
    return begin < count ? begin : count;
}
__device__ __forceinline__ index_t share_end(index_t count) {
    const index_t share = (count + gridDim.y - 1) / gridDim.y;
    const index_t end = (blockIdx.y + 1) * share;
    return end < count ? end : count;
}
