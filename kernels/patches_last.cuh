// Patches of images whose channels lie last (images_last.cuh) as an operand of a product that is never in memory, four
// terms at a time, in the tiles of gemm.cuh. conv_channels_last.cu is made of it.
#pragma once
#include "images_last.cuh"
#include "tile.cuh"

// Rows are pixels, of which each is a patch; k are terms. As a `Stage` of lines along k.
template <class T> struct PixelRows {
    static constexpr int OWN = T::ROWS * T::DEPTH / 4 / T::THREADS, PER_LINE = T::DEPTH / 4;
    static constexpr int APART = T::THREADS / PER_LINE;
    const Images f;
    const int position;
    Term term;  // the next one
    const scalar_t* first[OWN];
    int row[OWN], column[OWN];
    Quad<scalar_t> quads[OWN];

    static __device__ __forceinline__ int line() { return threadIdx.x / PER_LINE; }

    // Beyond the last pixel that one is read again: what comes of it is not written.
    __device__ __forceinline__ PixelRows(const Images& f, int first_pixel, int first_k)
        : f(f), position(threadIdx.x % PER_LINE * 4), term(f, first_k + position) {
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const int i = min(first_pixel + line() + own * APART, f.pixels() - 1);
            const Pixel pixel(i, f.down.positions, f.across.positions);
            row[own] = f.down.start(pixel.row);
            column[own] = f.across.start(pixel.column);
            first[own] = f.at(pixel.plane, row[own], column[own]);
        }
    }

    // The next DEPTH terms, or the first `count` ones and zeros.
    template <bool WHOLE> __device__ __forceinline__ void fetch(int count, acc_t*) {
        if (f.vector) {
            const index_t offset = term.offset(f);
            const int down = term.down(f), right = term.right(f);
            const bool there = WHOLE || position < count;
#pragma unroll
            for (int own = 0; own < OWN; ++own) {
                quads[own] = {};
                if (there && f.has(row[own] + down, column[own] + right))
                    quads[own] = *(const Quad<scalar_t>*)(first[own] + offset);
            }
        } else {
            Term next = term;
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const index_t offset = next.offset(f);
                const int down = next.down(f), right = next.right(f);
                const bool there = WHOLE || position + e < count;
#pragma unroll
                for (int own = 0; own < OWN; ++own) {
                    const bool inside = there && f.has(row[own] + down, column[own] + right);
                    quads[own].v[e] = inside ? first[own][offset] : scalar_t(0);
                }
                next.advance(f, 1);
            }
        }
        term.advance(f, WHOLE ? T::DEPTH : count);
    }

    __device__ __forceinline__ void place(acc_t* tile) const {
        tile += T::template word_of<T::ROWS>(position) + line();
#pragma unroll
        for (int n = 0; n < 4 * OWN; ++n)
            tile[n / 4 * APART + T::template word_of<T::ROWS>(n % 4)] = quads[n / 4].v[n % 4];
    }
};

// k are pixels; columns are terms. As a `Stage` of lines along the columns.
template <class T> struct TermColumns {
    static constexpr int OWN = T::COLUMNS * T::DEPTH / 4 / T::THREADS, PER_LINE = T::COLUMNS / 4;
    static constexpr int APART = T::THREADS / PER_LINE;
    const Images f;
    const int position, inside;  // so many terms there are from its own on
    const Term term;
    int next_k;
    Walk pixels[OWN];  // the next ones
    Quad<scalar_t> quads[OWN];

    static __device__ __forceinline__ int line() { return threadIdx.x / PER_LINE; }

    // Beyond the last term that one is read again: what comes of it is not written.
    __device__ __forceinline__ TermColumns(const Images& f, int first_term, int first_k)
        : f(f), position(threadIdx.x % PER_LINE * 4),
          inside(max(f.terms() - first_term - position, f.vector ? 4 : 1)), term(f, f.terms() - inside),
          next_k(first_k) {
        walk();
    }
    __device__ __forceinline__ void walk() {
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            pixels[own] = walk_from(next_k + line() + own * APART, T::DEPTH, f.down.positions, f.across.positions);
    }

    template <bool WHOLE> __device__ __forceinline__ void fetch(int count, acc_t*) {
        const int down = term.down(f), right = term.right(f);
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const Walk& pixel = pixels[own];
            const bool there = WHOLE || line() + own * APART < count;
            const int row = f.down.start(pixel.row), column = f.across.start(pixel.column);
            quads[own] = {};
            if (f.vector) {
                if (there && f.has(row + down, column + right))
                    quads[own] = *(const Quad<scalar_t>*)(f.at(pixel.layer, row + down, column + right) + term.channel);
                continue;
            }
            Term next = term;
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int at_row = row + next.down(f), at_column = column + next.right(f);
                if (there && e < inside && f.has(at_row, at_column))
                    quads[own].v[e] = f.at(pixel.layer, at_row, at_column)[next.channel];
                next.advance(f, 1);
            }
        }
        if (WHOLE) {
#pragma unroll
            for (int own = 0; own < OWN; ++own) pixels[own].next();
        } else {
            next_k += count;
            walk();
        }
    }

    __device__ __forceinline__ void place(acc_t* tile) const {
        tile += T::template word_of<T::COLUMNS>(line()) + position;
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            Quad<acc_t> q;
#pragma unroll
            for (int e = 0; e < 4; ++e) q.v[e] = quads[own].v[e];
            *(Quad<acc_t>*)&tile[T::template word_of<T::COLUMNS>(own * APART)] = q;
        }
    }
};
