// Patches of images whose channels lie last (images_last.cuh) as an operand of a product in the tiles of gemm.cuh: they
// come past the registers, and are never in memory. conv_channels_last.cu is made of it.
#pragma once
#include "images_last.cuh"
#include "spots.cuh"
#include "tile.cuh"

// The pixels of a tile, for all threads: where they lie, and what is outside of the image from there.
template <int COUNT> struct PixelsOfTile {
    __align__(16) index_t offset[COUNT];
    __align__(16) unsigned outside[COUNT];
};

// Rows are pixels, of which each is a patch; k are terms. As a `Stage` of lines along k. A thread has one k, and some of
// the pixels, which lie side by side in the table.
template <class T> struct PixelRows {
    static constexpr int OWN = T::ROWS * T::DEPTH / T::THREADS, APART = AlongK<T>::APART, AT_ONCE = 4;
    const Images& f;
    Term term;  // the next one
    const PixelsOfTile<T::ROWS>& pixels;

    // Beyond the last pixel that one is read again: what comes of it is not written.
    __device__ __forceinline__ PixelRows(
        const Images& f, int first_pixel, int first_k, PixelsOfTile<T::ROWS>& pixels)
        : f(f), term(f, first_k + AlongK<T>::k()), pixels(pixels) {
        const int own = threadIdx.x;
        if (own < T::ROWS) {
            const Pixel pixel(min(first_pixel + own, f.pixels() - 1), f.down.positions, f.across.positions);
            const int row = f.down.start(pixel.row), column = f.across.start(pixel.column);
            const int place = own % APART * OWN + own / APART;
            pixels.offset[place] = f.at(pixel.plane, row, column) - f.x;
            pixels.outside[place] = lines_outside(f.down, f.across, row, column);
        }
        __syncthreads();
    }

    // The next DEPTH terms, or the first `count` ones and zeros.
    template <bool WHOLE> __device__ __forceinline__ void fetch(int count, acc_t* tile) {
        int k = AlongK<T>::k(), line = AlongK<T>::line();
        keep_here(k);  // else what follows from it takes registers throughout
        const unsigned lines = WHOLE || k < count ? lines_of(f.down, term.row, term.column) : NEVER;
        const scalar_t* at = f.x + term.offset(f);
        acc_t* to = tile + T::template word_of<T::ROWS>(k) + line;
        keep_here(at);
#pragma unroll
        for (int first = 0; first < OWN; first += AT_ONCE) {  // before a copy, which may change the rest
            Pair<index_t> offset[AT_ONCE / 2];
#pragma unroll
            for (int n = 0; n < AT_ONCE / 2; ++n)
                offset[n] = *(const Pair<index_t>*)(pixels.offset + line * OWN + first + 2 * n);
            const Quad<unsigned> outside = *(const Quad<unsigned>*)(pixels.outside + line * OWN + first);
#pragma unroll
            for (int n = 0; n < AT_ONCE; ++n)
                bring(to + (first + n) * APART, at + offset[n / 2].v[n % 2], (outside.v[n] & lines) == 0);
        }
        term.advance(f, WHOLE ? T::DEPTH : count);
    }
    __device__ __forceinline__ void place(acc_t*) const {}
};

// k are pixels; columns are terms. As a `Stage` of lines along the columns, of which four terms are copied at once, or
// one by one where addresses do not allow it.
template <class T> struct TermColumns {
    static constexpr int OWN = T::COLUMNS * T::DEPTH / 4 / T::THREADS, PER_LINE = T::COLUMNS / 4;
    static constexpr int APART = T::THREADS / PER_LINE;
    static_assert(OWN * APART == T::DEPTH, "the next step's pixels follow those of this one");
    const Images& f;
    const int position, inside;  // so many terms there are from its own on
    const Term term;
    int next_k;
    Walk pixel;  // the next one

    static __device__ __forceinline__ int line() { return threadIdx.x / PER_LINE; }

    // Beyond the last term that one is read again: what comes of it is not written.
    __device__ __forceinline__ TermColumns(const Images& f, int first_term, int first_k)
        : f(f), position(threadIdx.x % PER_LINE * 4),
          inside(max(f.terms() - first_term - position, f.vector ? 4 : 1)), term(f, f.terms() - inside),
          next_k(first_k), pixel(walk_from_next()) {}
    __device__ __forceinline__ Walk walk_from_next() const {
        return walk_from(next_k + line(), APART, f.down.positions, f.across.positions);
    }

    template <bool WHOLE> __device__ __forceinline__ void fetch(int count, acc_t* tile) {
        acc_t* to = tile + T::template word_of<T::COLUMNS>(line()) + position;
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const bool there = WHOLE || line() + own * APART < count;
            const int row = f.down.start(pixel.row), column = f.across.start(pixel.column);
            acc_t* four = to + T::template word_of<T::COLUMNS>(own * APART);
            if (f.vector) {
                const int at_row = row + term.down(f), at_column = column + term.right(f);
                bring_quad(four, f.at(pixel.layer, at_row, at_column) + term.channel, there && f.has(at_row, at_column));
            } else {
                Term next = term;
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int at_row = row + next.down(f), at_column = column + next.right(f);
                    bring(four + e, f.at(pixel.layer, at_row, at_column) + next.channel,
                          there && e < inside && f.has(at_row, at_column));
                    next.advance(f, 1);
                }
            }
            pixel.next();
        }
        if (WHOLE) return;
        next_k += count;
        pixel = walk_from_next();
    }
    __device__ __forceinline__ void place(acc_t*) const {}
};
