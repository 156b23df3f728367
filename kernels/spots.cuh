// Patches of images as a matrix of a product that is never in memory; conv_implicit.cu and conv_tensor.cu are made of
// it, and say what is multiplied.
//
// P are the columns of im2col.cu: row k is an element (c, i, j) of the kernels, column m a pixel (image, r, q) of the
// result. An element of P lies in x at the pixel's place plus the kernel element's:
//
//   row (r s - p) + i d,  column (q s - p) + j d
//
// So each has a Spot, the two are added, and the bounds are checked. The spots along a block's tile are in registers;
// those along the axis that is summed over are found once for all threads, one step ahead, each from one two steps
// before, without a division, and lie in shared memory.
//
// A tile says where the elements of a step lie there: `place_of`.
#pragma once
#include "convolution.cuh"

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

// Lines along k, element by element: the first one of a thread. A warp takes eight k, a sector of memory, of four
// lines, which in shared memory lie in 32 banks.
template <class T> struct AlongK {
    static constexpr int APART = T::THREADS / T::DEPTH;  // the lines of a thread
    static __device__ __forceinline__ int k() { return threadIdx.x / 32 % (T::DEPTH / 8) * 8 + threadIdx.x % 8; }
    static __device__ __forceinline__ int line() { return threadIdx.x / 32 / (T::DEPTH / 8) * 4 + threadIdx.x / 8 % 4; }
};

// P or P^T step by step. Neighbouring threads are neighbours in the image: along k where that is pixels.
template <class T, bool ALONG_K> struct Patches {
    static constexpr int OWN = T::COLUMNS * T::DEPTH / T::THREADS;
    static constexpr int APART = ALONG_K ? AlongK<T>::APART : T::THREADS / T::COLUMNS;
    static constexpr int SPOTS = ALONG_K ? OWN : 1;
    const int height, width;
    const char* at[SPOTS];  // the thread's spots
    int row[SPOTS], column[SPOTS];
    scalar_t values[OWN];

    __device__ __forceinline__ Patches(const Convolution& f) : height(f.down.size), width(f.across.size) {}

    __device__ __forceinline__ void set(int n, const scalar_t* x, const Spot& spot, bool exists) {
        at[n] = (const char*)x + spot.offset;
        row[n] = exists ? spot.row : -2 * NOWHERE;
        column[n] = spot.column;
    }

    // The column of the tile that belongs to one of the thread's spots.
    static __device__ __forceinline__ int column_of(int n) {
        return ALONG_K ? AlongK<T>::line() + n * APART : threadIdx.x % T::COLUMNS;
    }
    static __device__ __forceinline__ int k_of(int own) {
        return ALONG_K ? AlongK<T>::k() : threadIdx.x / T::COLUMNS + own * APART;
    }
    __device__ __forceinline__ void fetch(const Step<T>& step) {
#pragma unroll
        for (int own = 0; own < OWN; ++own) {
            const int n = ALONG_K ? own : 0;
            const Spot spot = step.spot[k_of(own)];
            const bool inside = (unsigned)(row[n] + spot.row) < (unsigned)height &&
                                (unsigned)(column[n] + spot.column) < (unsigned)width;
            values[own] = inside ? *(const scalar_t*)(at[n] + spot.offset) : (scalar_t)0;
        }
    }
    template <class V> __device__ __forceinline__ void place(V* tile) const {
#pragma unroll
        for (int own = 0; own < OWN; ++own)
            tile[T::template place_of<T::COLUMNS, ALONG_K>(column_of(ALONG_K ? own : 0), k_of(own))] = values[own];
    }
};
