// Patches of images, and the matrix that they are multiplied with, as operands of a product in the tiles of gemm.cuh:
// they come past the registers, element by element, and are never in memory. conv_implicit.cu is made of it.
//
// Where the elements of a step lie follows from a table in shared memory, which is made one step ahead, for all threads;
// and what lies outside of an image, and arrives as zero, from bits. So an element takes a thread a test, an addition and
// a copy.
#pragma once
#include "spots.cuh"
#include "tile.cuh"

// Elements of the kernels, seen from a pixel: how far they are, and their lines' bits (spots.cuh).
template <int COUNT> struct Taps {
    __align__(16) int offset[COUNT];
    __align__(16) unsigned bits[COUNT];

    __device__ __forceinline__ void set(int n, const Elements& ks, const Walk& k, bool exists) {
        offset[n] = ks.spot(k).offset;
        bits[n] = exists ? lines_of(ks.f.down, k.row, k.column) : NEVER;
    }
};

// The k of a step, for all threads, and how far they are in a row of the left matrix: elements of the kernels for Y,
// pixels for dW.
template <class T> struct ElementsOfStep {
    Taps<T::DEPTH> taps;
    index_t left[T::DEPTH];

    __device__ __forceinline__ void set(const Elements& ks, const Walk& k, bool exists) {
        taps.set(threadIdx.x, ks, k, exists);
        left[threadIdx.x] = ks.left(k);
    }
};
template <class T> struct PixelsOfStep {
    index_t offset[T::DEPTH];
    unsigned outside[T::DEPTH];
    index_t left[T::DEPTH];

    __device__ __forceinline__ void set(const Pixels& ks, const Walk& k, bool exists) {
        const Spot spot = ks.spot(k);
        offset[threadIdx.x] = spot.offset;
        outside[threadIdx.x] = exists ? lines_outside(ks.f.down, ks.f.across, spot.row, spot.column) : ~0u;
        left[threadIdx.x] = ks.left(k);
    }
};

// The steps of a product one after the other, as `multiply_stages` fetches them: the first one may not be whole. While
// one is on its way from memory, the k of the next one are found.
template <class T, class Ks, class Step> struct Steps {
    const Ks ks;
    Step (&steps)[2];
    Walks<T>& walks;
    int half = 0;

    template <class K>
    __device__ __forceinline__ Steps(const Ks& ks, K k_begin, K k_end, Step (&steps)[2], Walks<T>& walks)
        : ks(ks), steps(steps), walks(walks) {
        const int own = threadIdx.x, first = int(k_end - k_begin - 1) % T::DEPTH + 1;
        if (own < T::DEPTH) {
            const Walk walk = ks.walk(k_begin + first + own, T::DEPTH);
            walks.k[own].walk = walk;
            steps[0].set(ks, ks.walk(k_begin + own, 0), own < first);
            steps[1].set(ks, walk, true);
        }
        __syncthreads();
    }
    // The one to fetch;
    __device__ __forceinline__ const Step& now() const { return steps[half]; }
    // and on to the next one, when both matrices have fetched it.
    template <bool WHOLE> __device__ __forceinline__ void next() {
        half ^= 1;
        const int own = threadIdx.x;
        if (!WHOLE || own >= T::DEPTH) return;
        Walk walk = walks.k[own].walk;
        walk.next();
        walks.k[own].walk = walk;
        steps[half].set(ks, walk, true);
    }
};
template <class T> using AlongElements = Steps<T, Elements, ElementsOfStep<T>>;
template <class T> using AlongPixels = Steps<T, Pixels, PixelsOfStep<T>>;

// The left matrix as a `Stage`: its rows are `pitch` apart. Beyond the last one are zeros.
template <class T, class Steps> struct Left {
    static constexpr int OWN = T::ROWS * T::DEPTH / T::THREADS, APART = AlongK<T>::APART;
    const Steps& steps;
    const scalar_t* first;  // the thread's first row
    const int pitch, rows;  // from that one on

    __device__ __forceinline__ Left(const Steps& steps, const scalar_t* matrix, int pitch, int rows)
        : steps(steps), first(matrix + (index_t)AlongK<T>::line() * pitch), pitch(pitch),
          rows(rows - AlongK<T>::line()) {}

    template <bool WHOLE> __device__ __forceinline__ void fetch(int count, acc_t* tile) {
        int k = AlongK<T>::k();
        keep_here(k);  // else what follows from it takes registers throughout; so below
        const scalar_t* at = first + steps.now().left[k];
        acc_t* to = tile + T::template word_of<T::ROWS>(k) + AlongK<T>::line();
        int there = WHOLE || k < count ? rows : 0, step = pitch;
        keep_here(there);
        keep_here(step);
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            bring(to + own * APART, at + (index_t)(own * APART) * step, own * APART < there);
    }
    __device__ __forceinline__ void place(acc_t*) const {}
};

// Elements of P, of one pixel and COUNT elements of the kernels, to places WORDS apart. Four are read of the table before
// the first of them is copied: for all that a compiler knows, a copy changes the rest.
template <int COUNT, int WORDS>
__device__ __forceinline__ void bring_elements(
    const scalar_t* at, unsigned outside, const int* offsets, const unsigned* bits, acc_t* to) {
    constexpr int AT_ONCE = 4;
    keep_here(at);
#pragma unroll
    for (int first = 0; first < COUNT; first += AT_ONCE) {
        const Quad<int> offset = *(const Quad<int>*)(offsets + first);
        const Quad<unsigned> bit = *(const Quad<unsigned>*)(bits + first);
#pragma unroll
        for (int n = 0; n < AT_ONCE; ++n)
            bring(to + (first + n) * WORDS, at + offset.v[n], (outside & bit.v[n]) == 0);
    }
}

// P as a `Stage`. Its columns are pixels, of which a thread has one, with some of the k.
template <class T> struct PixelColumns {
    static constexpr int OWN = T::COLUMNS * T::DEPTH / T::THREADS;
    AlongElements<T>& steps;
    const scalar_t* at;  // the pixel
    unsigned out;

    __device__ __forceinline__ PixelColumns(
        const Convolution& f, AlongElements<T>& steps, const scalar_t* x, index_t first_pixel)
        : steps(steps) {
        const index_t own = first_pixel + threadIdx.x % T::COLUMNS;
        const Pixel pixel(own, f.down.positions, f.across.positions);
        const Spot spot = spot_of_pixel(f, pixel.plane, pixel.row, pixel.column);
        at = x + spot.offset;
        out = own < f.pixels() ? lines_outside(f.down, f.across, spot.row, spot.column) : ~0u;
    }
    template <bool WHOLE> __device__ __forceinline__ void fetch(int, acc_t* tile) {
        const int k = threadIdx.x / T::COLUMNS * OWN;
        int place = T::template word_of<T::COLUMNS>(k) + threadIdx.x % T::COLUMNS;
        keep_here(place);
        const Taps<T::DEPTH>& taps = steps.now().taps;
        bring_elements<OWN, T::template word_of<T::COLUMNS>(1)>(at, out, taps.offset + k, taps.bits + k, tile + place);
        steps.template next<WHOLE>();
    }
    __device__ __forceinline__ void place(acc_t*) const {}
};

// P^T as a `Stage`. Its columns are elements of the kernels; a thread has one k, and some of the columns, which lie side
// by side in `taps`.
template <class T> struct ElementColumns {
    static constexpr int OWN = T::COLUMNS * T::DEPTH / T::THREADS, APART = AlongK<T>::APART;
    AlongPixels<T>& steps;
    const scalar_t* x;
    const Taps<T::COLUMNS>& taps;

    __device__ __forceinline__ ElementColumns(
        const Convolution& f, AlongPixels<T>& steps, const scalar_t* x, int first_column, Taps<T::COLUMNS>& taps)
        : steps(steps), x(x), taps(taps) {
        if (threadIdx.x < T::COLUMNS) {
            const int own = first_column + threadIdx.x;
            const Elements ks = {f, 0, false};
            taps.set(threadIdx.x % APART * OWN + threadIdx.x / APART, ks, ks.walk(own, 0), own < f.inner * f.taps());
        }
        __syncthreads();
    }
    template <bool WHOLE> __device__ __forceinline__ void fetch(int, acc_t* tile) {
        const int k = AlongK<T>::k(), line = AlongK<T>::line();
        int place = T::template word_of<T::COLUMNS>(k) + line;
        keep_here(place);
        const PixelsOfStep<T>& pixel = steps.now();
        bring_elements<OWN, APART>(
            x + pixel.offset[k], pixel.outside[k], taps.offset + line * OWN, taps.bits + line * OWN, tile + place);
        steps.template next<WHOLE>();
    }
    __device__ __forceinline__ void place(acc_t*) const {}
};
