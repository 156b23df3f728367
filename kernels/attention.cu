// Attention, and its gradients, tile by tile: no matrix of scores is ever stored.
//
//   S = scale Q K^T + M          O_i = sum over j of P_ij V_j,  P_ij = e^(S_ij - s_i),  s_i = ln sum over j of e^(S_ij)
//   D_i = dO_i . O_i             dS = P o (dO V^T - D),  dQ = scale dS K,  dK = scale dS^T Q,  dV = P^T dO
//
// Q (matrices, queries, width)  K (matrices, keys, width)  V (matrices, keys, value_width)  ->  O (matrices, queries,
// value_width), s (matrices, queries); widths to 128. M is broadcast, its matrices by a Layout; with `causal` query i
// has the keys 0 to i; tiles of which it has none are not read. A query without any key has O = 0 and s = -inf.
//
// A block keeps 32 rows (16 of float64) in shared memory, 8 warps with 4 (2) each, and meets the other side 32 columns
// at a time, a lane for each. Largest score and sum are brought along from tile to tile (Milakov and Gimelshein 2018,
// algorithm 3; Rabe and Staats 2021; Dao et al. 2022, algorithm 1). The gradients compute P anew from s (Dao et al.
// 2022, algorithm 4), once by tiles of queries for dQ and once by tiles of keys for dK and dV: 7 products in the place
// of 5, so that every sum has one writer, and no atomics.
//
// With dropout O and dV have Z o P in the place of P, and dS has Z o dO V^T: Z is 1 / (1 - p) where the number of the
// weight is at least p, else 0. For weight i of (matrices, queries, keys) it lies at place offset + i of a draw, as in
// dropout.cu. A lane makes 8 numbers at a time: by rows, 4 lanes or 5 make those of one row in a tile, as bits that the
// others ask them for; by columns, a lane makes its own ones.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "accumulate.cuh"
#include "layout.cuh"
#include "philox.cuh"
#include "team.cuh"

constexpr int MOST = 128;  // elements of a query, a key or a value
constexpr int LANES = 32;
constexpr int WARPS = 8;
constexpr int OWN = sizeof(acc_t) == 8 ? 2 : 4;  // rows of a warp
constexpr int ROWS = WARPS * OWN;
constexpr int PARTS = MOST / LANES;
constexpr unsigned ALL = ~0u;  // bits of rows that are all kept

typedef acc_t Rows[MOST];       // a row that a block keeps
typedef acc_t Line[LANES + 1];  // a line of what comes along: one element more, so that a column lies in all banks
typedef acc_t Weights[LANES];   // what a row has for each lane

// Rows first to first + ROWS of x (count, width), 0 beyond it.
__device__ __forceinline__ void keep_rows(const scalar_t* x, int first, int count, int width, Rows* rows) {
    for (int r = threadIdx.y; r < ROWS; r += WARPS)
        for (int c = threadIdx.x; c < MOST; c += LANES)
            rows[r][c] = first + r < count && c < width ? acc_t(x[(index_t)(first + r) * width + c]) : acc_t(0);
}

// Columns `column` to column + 32 of the rows first to first + 32, 0 beyond.
__device__ __forceinline__ void bring(const scalar_t* x, int first, int count, int width, int column, Line* lines) {
    const int c = column + threadIdx.x;
#pragma unroll
    for (int r = threadIdx.y; r < LANES; r += WARPS)
        lines[r][threadIdx.x] = first + r < count && c < width ? acc_t(x[(index_t)(first + r) * width + c]) : acc_t(0);
}

// products[r] = (this warp's row r) . (row first + lane of x)
__device__ __forceinline__ void dot_products(
    const Rows* rows, const scalar_t* x, int first, int count, int width, Line* lines, acc_t (&products)[OWN]) {
#pragma unroll
    for (int r = 0; r < OWN; ++r) products[r] = 0;
    for (int column = 0; column < width; column += LANES) {
        __syncthreads();  // before `lines` is used again
        bring(x, first, count, width, column, lines);
        __syncthreads();
#pragma unroll 8
        for (int e = 0; e < LANES; ++e) {
            const acc_t other = lines[threadIdx.x][e];
#pragma unroll
            for (int r = 0; r < OWN; ++r)
                products[r] = fma(rows[threadIdx.y * OWN + r][column + e], other, products[r]);
        }
    }
}

// sums[p][r] += sum over k of weights[this warp's row r][k] x[first + k][32 p + lane]
__device__ __forceinline__ void add_weighted(
    const Weights* weights, const scalar_t* x, int first, int count, int width, Line* lines,
    acc_t (&sums)[PARTS][OWN]) {
#pragma unroll
    for (int p = 0; p < PARTS; ++p) {
        if (p * LANES >= width) break;
        __syncthreads();  // before `lines` is used again, and for `weights`
        bring(x, first, count, width, p * LANES, lines);
        __syncthreads();
#pragma unroll 8
        for (int k = 0; k < LANES; ++k) {
            const acc_t other = lines[k][threadIdx.x];
#pragma unroll
            for (int r = 0; r < OWN; ++r)
                sums[p][r] = fma(weights[threadIdx.y * OWN + r][k], other, sums[p][r]);
        }
    }
}

// This warp's rows of y (count, width): sums, over `divisors`.
__device__ __forceinline__ void write_rows(
    scalar_t* y, int first, int count, int width, const acc_t (&sums)[PARTS][OWN], const acc_t (&divisors)[OWN]) {
#pragma unroll
    for (int r = 0; r < OWN; ++r) {
        const int row = first + threadIdx.y * OWN + r;
#pragma unroll
        for (int p = 0; p < PARTS; ++p) {
            const int c = p * LANES + threadIdx.x;
            if (row < count && c < width) y[(index_t)row * width + c] = sums[p][r] / divisors[r];
        }
    }
}

__device__ __forceinline__ acc_t minus_infinity() { return -__int_as_float(0x7f800000); }

// What is subtracted from scores: a number also where there is no key.
__device__ __forceinline__ acc_t finite_base(acc_t m) { return m == minus_infinity() ? acc_t(0) : m; }

// The scores of one pair of matrices.
struct Scores {
    const scalar_t* mask;  // of these matrices, or null
    index_t row, column;   // steps of it
    int queries, keys, causal;
    acc_t scale;

    __device__ __forceinline__ acc_t operator()(acc_t product, int query, int key) const {
        if (query >= queries || key >= keys || (causal && key > query)) return minus_infinity();
        return mask ? fma(product, scale, acc_t(mask[query * row + key * column])) : product * scale;
    }
};

// Dropout among the weights of one pair of matrices; without dropout the threshold is 0, and the scale 1.
struct Dropout {
    word_t place, threshold, seed, stream;  // place of the first weight
    const word_t* live;                     // the draw's number, or null: it is `number`
    word_t number;
    int keys;
    acc_t scale;

    // The bits of the 8 weights of an octet, 1 for those that are kept.
    __device__ __forceinline__ unsigned octet(word_t o) const {
        word_t block[4];
        philox_block(block, o, live ? live[0] : number, seed, stream);
        unsigned bits = 0;
#pragma unroll
        for (int i = 0; i < PHILOX_WORDS; ++i) bits |= unsigned(philox_word(block, i) >= threshold) << i;
        return bits;
    }
    // Of this lane's key for the queries from `query` on, which all lanes share: a bit for each of this warp's rows.
    __device__ __forceinline__ unsigned of_queries(int query, int key) const {
        const word_t first = place + (word_t)query * keys + key;
        const unsigned lane = threadIdx.x;
        const unsigned bits = octet((first + (word_t)(lane / 8) * keys) / PHILOX_WORDS + lane % 8);
        unsigned kept = 0;
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const unsigned i = unsigned(first + (word_t)r * keys) % PHILOX_WORDS + lane;
            const unsigned others = __shfl_sync(0xffffffffu, bits, 8 * r + i / PHILOX_WORDS);
            kept |= (others >> i % PHILOX_WORDS & 1) << r;
        }
        return kept;
    }
    // Of this lane's query for the keys from `key` on.
    __device__ __forceinline__ unsigned of_keys(int query, int key) const {
        const word_t first = place + (word_t)query * keys + key;
        const unsigned skip = unsigned(first) % PHILOX_WORDS;
        unsigned bits = octet(first / PHILOX_WORDS);
        if (skip + OWN > PHILOX_WORDS) bits |= octet(first / PHILOX_WORDS + 1) << PHILOX_WORDS;
        return bits >> skip;
    }
    // What a row's weight is multiplied by: 1 / (1 - p) where it is kept, else 0.
    __device__ __forceinline__ acc_t factor(unsigned kept, int row) const { return kept >> row & 1 ? scale : acc_t(0); }
};

__device__ __forceinline__ acc_t largest_of_warp(acc_t x) {
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) x = fmax(x, from_lane(x, threadIdx.x ^ distance));
    return x;
}

extern "C" __global__ void __launch_bounds__(256, 2) attention_forward(
    const scalar_t* __restrict__ q, const scalar_t* __restrict__ k, const scalar_t* __restrict__ v,
    const scalar_t* __restrict__ mask,  // null: no mask
    scalar_t* __restrict__ o, acc_t* __restrict__ lse,
    int queries, int keys, int width, int value_width,
    Layout mask_matrices, long long mask_row, long long mask_column,
    acc_t scale, int causal, long long offset, unsigned long long threshold, acc_t drop_scale, unsigned long long seed,
    unsigned long long stream,
    const unsigned long long* __restrict__ live,  // null: the draw is the one that is passed
    unsigned long long draw) {
    __shared__ Rows rows[ROWS];
    __shared__ Line lines[LANES];
    __shared__ Weights weights[ROWS];
    const int tiles = (queries + ROWS - 1) / ROWS, first = blockIdx.x % tiles * ROWS;
    const index_t matrix = blockIdx.x / tiles;
    const Scores scores = {
        mask ? mask + offset_of(mask_matrices, matrix) : mask, mask_row, mask_column, queries, keys, causal, scale};
    const Dropout dropout = {
        word_t(offset + matrix * queries * keys), threshold, seed, stream, live, draw, keys, drop_scale};
    k += matrix * keys * width;
    v += matrix * keys * value_width;
    keep_rows(q + matrix * queries * width, first, queries, width, rows);

    acc_t m[OWN], total[OWN], sums[PARTS][OWN] = {};
#pragma unroll
    for (int r = 0; r < OWN; ++r) m[r] = minus_infinity(), total[r] = 0;
    const int end = causal ? min(keys, first + ROWS) : keys;
    for (int key = 0; key < end; key += LANES) {
        acc_t products[OWN];
        dot_products(rows, k, key, keys, width, lines, products);
        __syncthreads();  // before `weights` is used again, also where there is no width
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const int row = threadIdx.y * OWN + r;
            const acc_t score = scores(products[r], first + row, key + threadIdx.x);
            const acc_t largest = fmax(m[r], largest_of_warp(score)), base = finite_base(largest);
            const acc_t weight = exp(score - base), shrink = exp(m[r] - base);
            m[r] = largest;
            total[r] = fma(total[r], shrink, weight);  // of this lane alone
            weights[row][threadIdx.x] = weight;
#pragma unroll
            for (int p = 0; p < PARTS; ++p) sums[p][r] *= shrink;
        }
        if (threshold) {
            const unsigned kept = dropout.of_queries(first + threadIdx.y * OWN, key);
#pragma unroll
            for (int r = 0; r < OWN; ++r) weights[threadIdx.y * OWN + r][threadIdx.x] *= dropout.factor(kept, r);
        }
        add_weighted(weights, v, key, keys, value_width, lines, sums);
    }
#pragma unroll
    for (int r = 0; r < OWN; ++r) {
        const int row = first + threadIdx.y * OWN + r;
        const acc_t sum = Warp::reduce(Sum{total[r]}).value;
        if (row < queries && threadIdx.x == 0)
            lse[matrix * queries + row] = sum == 0 ? minus_infinity() : m[r] + log(sum);
        total[r] = sum == 0 ? acc_t(1) : sum;
    }
    write_rows(o + matrix * queries * value_width, first, queries, value_width, sums, total);
}

// D (rows,), the sum of dO o O (rows, width) over its rows.
extern "C" __global__ void __launch_bounds__(256) attention_backward_rows(
    const scalar_t* __restrict__ d_o, const scalar_t* __restrict__ o, acc_t* __restrict__ delta,
    long long rows, int width) {
    const index_t row = Warp::row();
    const int end = row < rows ? width : 0;
    Sum sum = {0};
    for (int i = Warp::rank(); i < end; i += Warp::size())
        sum.value = fma(acc_t(d_o[row * width + i]), acc_t(o[row * width + i]), sum.value);
    sum = Warp::reduce(sum);
    if (row < rows && Warp::rank() == 0) delta[row] = sum.value;
}

extern "C" __global__ void __launch_bounds__(256, 2) attention_backward_queries(
    const scalar_t* __restrict__ d_o, const scalar_t* __restrict__ q, const scalar_t* __restrict__ k,
    const scalar_t* __restrict__ v,
    const scalar_t* __restrict__ mask,  // null: no mask
    const acc_t* __restrict__ lse, const acc_t* __restrict__ delta, scalar_t* __restrict__ dq,
    int queries, int keys, int width, int value_width,
    Layout mask_matrices, long long mask_row, long long mask_column,
    acc_t scale, int causal, long long offset, unsigned long long threshold, acc_t drop_scale, unsigned long long seed,
    unsigned long long stream,
    const unsigned long long* __restrict__ live,  // null: the draw is the one that is passed
    unsigned long long draw) {
    __shared__ Rows rows[ROWS];
    __shared__ Rows gradients[ROWS];
    __shared__ Line lines[LANES];
    __shared__ Weights weights[ROWS];
    const int tiles = (queries + ROWS - 1) / ROWS, first = blockIdx.x % tiles * ROWS;
    const index_t matrix = blockIdx.x / tiles;
    const Scores scores = {
        mask ? mask + offset_of(mask_matrices, matrix) : mask, mask_row, mask_column, queries, keys, causal, scale};
    const Dropout dropout = {
        word_t(offset + matrix * queries * keys), threshold, seed, stream, live, draw, keys, drop_scale};
    k += matrix * keys * width;
    v += matrix * keys * value_width;
    keep_rows(q + matrix * queries * width, first, queries, width, rows);
    keep_rows(d_o + matrix * queries * value_width, first, queries, value_width, gradients);

    acc_t base[OWN], d[OWN], ones[OWN], sums[PARTS][OWN] = {};
#pragma unroll
    for (int r = 0; r < OWN; ++r) {
        const int row = first + threadIdx.y * OWN + r;
        base[r] = row < queries ? finite_base(lse[matrix * queries + row]) : acc_t(0);
        d[r] = row < queries ? delta[matrix * queries + row] : acc_t(0);
        ones[r] = 1;
    }
    const int end = causal ? min(keys, first + ROWS) : keys;
    for (int key = 0; key < end; key += LANES) {
        const unsigned kept = threshold ? dropout.of_queries(first + threadIdx.y * OWN, key) : ALL;
        acc_t products[OWN], of_weights[OWN];
        dot_products(rows, k, key, keys, width, lines, products);
        dot_products(gradients, v, key, keys, value_width, lines, of_weights);  // with barriers: there is a width
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const int row = threadIdx.y * OWN + r;
            const acc_t weight = exp(scores(products[r], first + row, key + threadIdx.x) - base[r]);
            weights[row][threadIdx.x] = scale * weight * fma(of_weights[r], dropout.factor(kept, r), -d[r]);
        }
        add_weighted(weights, k, key, keys, width, lines, sums);
    }
    write_rows(dq + matrix * queries * width, first, queries, width, sums, ones);
}

extern "C" __global__ void __launch_bounds__(256, 2) attention_backward_keys(
    const scalar_t* __restrict__ d_o, const scalar_t* __restrict__ q, const scalar_t* __restrict__ k,
    const scalar_t* __restrict__ v,
    const scalar_t* __restrict__ mask,  // null: no mask
    const acc_t* __restrict__ lse, const acc_t* __restrict__ delta,
    scalar_t* __restrict__ dk,  // null: not wanted
    scalar_t* __restrict__ dv,  // null: not wanted
    int queries, int keys, int width, int value_width,
    Layout mask_matrices, long long mask_row, long long mask_column,
    acc_t scale, int causal, long long offset, unsigned long long threshold, acc_t drop_scale, unsigned long long seed,
    unsigned long long stream,
    const unsigned long long* __restrict__ live,  // null: the draw is the one that is passed
    unsigned long long draw) {
    __shared__ Rows rows[ROWS];
    __shared__ Rows values[ROWS];
    __shared__ Line lines[LANES];
    __shared__ Weights weights[ROWS];
    const int tiles = (keys + ROWS - 1) / ROWS, first = blockIdx.x % tiles * ROWS;
    const index_t matrix = blockIdx.x / tiles;
    const Scores scores = {
        mask ? mask + offset_of(mask_matrices, matrix) : mask, mask_row, mask_column, queries, keys, causal, scale};
    const Dropout dropout = {
        word_t(offset + matrix * queries * keys), threshold, seed, stream, live, draw, keys, drop_scale};
    q += matrix * queries * width;
    d_o += matrix * queries * value_width;
    keep_rows(k + matrix * keys * width, first, keys, width, rows);
    keep_rows(v + matrix * keys * value_width, first, keys, value_width, values);

    acc_t ones[OWN], of_keys[PARTS][OWN] = {}, of_values[PARTS][OWN] = {};
#pragma unroll
    for (int r = 0; r < OWN; ++r) ones[r] = 1;
    for (int query = causal ? first / LANES * LANES : 0; query < queries; query += LANES) {
        const int own = query + threadIdx.x;
        const acc_t base = own < queries ? finite_base(lse[matrix * queries + own]) : acc_t(0);
        const acc_t d = own < queries ? delta[matrix * queries + own] : acc_t(0);
        const unsigned kept = threshold ? dropout.of_keys(own, first + threadIdx.y * OWN) : ALL;
        acc_t products[OWN], of_weights[OWN];
        dot_products(rows, q, query, queries, width, lines, products);
        dot_products(values, d_o, query, queries, value_width, lines, of_weights);  // with barriers: one has a width
#pragma unroll
        for (int r = 0; r < OWN; ++r) {
            const int row = threadIdx.y * OWN + r;
            const acc_t weight = exp(scores(products[r], own, first + row) - base);
            const acc_t factor = dropout.factor(kept, r);
            weights[row][threadIdx.x] = weight * factor;
            of_weights[r] = scale * weight * fma(of_weights[r], factor, -d);
        }
        if (dv) add_weighted(weights, d_o, query, queries, value_width, lines, of_values);
        __syncthreads();  // before `weights` is used again
#pragma unroll
        for (int r = 0; r < OWN; ++r) weights[threadIdx.y * OWN + r][threadIdx.x] = of_weights[r];
        if (dk) add_weighted(weights, q, query, queries, width, lines, of_keys);
    }
    if (dk) write_rows(dk + matrix * keys * width, first, keys, width, of_keys, ones);
    if (dv) write_rows(dv + matrix * keys * value_width, first, keys, value_width, of_values, ones);
}
