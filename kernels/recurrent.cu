// A recurrent layer in one direction, all steps of it: a tanh or ReLU layer (Elman 1990), LSTM (Hochreiter,
// Schmidhuber 1997; Gers et al. 2000) and GRU (Cho et al. 2014; the reset gate behind the product), and its gradients.
//
//   p_t = b + W h_(t-1)     x (length, batch, gates * size), the input's part of the gates;  W (gates * size, size)
//
//   tanh, relu  h_t = f(x_t + p_t)
//   lstm        (i, f, g, o) = (s, s, tanh, s)(x_t + p_t),  c_t = f c_(t-1) + i g,  h_t = o tanh c_t
//   gru         (r, z) = s(x_t + p_t),  n = tanh(x_t + r p_t),  h_t = n + z (h_(t-1) - n)      s: the sigmoid
//
// h, c (length, batch, size) have all states; kept (length, batch, 4 * size) has (i, f, g, o), or (r, z, n, p of n).
// Backward, dp is the gradient of p, dx of x, where it is another one (gru), and the state's gradient goes on as
//
//   dh_(t-1) = W^T dp_t  (+ z dh_t: gru),  dc_(t-1) = f dc_t
//
// The samples of a batch do not meet, so a block takes SAMPLES of them through time alone, and no barrier of the grid
// is needed. A thread has a unit with all of its gates, for each of the samples; where there are more units than
// threads it takes one after the other. The states before, or dp, are shared in tiles. Of W each element is used by one
// thread of a block, once a step: shared memory would gain nothing, so neighbouring threads read neighbours from
// memory, which is the L2 cache from the second step on; forward needs W transposed for that, (size, gates * size).
// Costs that all of W goes to each block at each step: for layers of many units products of the whole batch are faster.
//
// compiled for scalar_t = float32, float64
#include "scalar.cuh"
#include "common.cuh"

enum Mode { TANH_LAYER, RELU_LAYER, LSTM_LAYER, GRU_LAYER };

constexpr int SAMPLES = 4;
constexpr int TILE = 64;

template <Mode MODE> constexpr int GATES = MODE == LSTM_LAYER ? 4 : MODE == GRU_LAYER ? 3 : 1;

// What a block works on: its samples, and step by step the time, which goes back where `reverse` is set.
struct Work {
    index_t first, batch;
    int samples, length, size, reverse;

    __device__ __forceinline__ Work(int length, int batch, int size, int reverse)
        : first((index_t)blockIdx.x * SAMPLES), batch(batch), samples(min(SAMPLES, batch - (int)blockIdx.x * SAMPLES)),
          length(length), size(size), reverse(reverse) {}
    // The row of sample s in arrays of all steps.
    __device__ __forceinline__ index_t row(int step, int s) const {
        return (reverse ? length - 1 - step : step) * batch + first + s;
    }
};

__device__ __forceinline__ scalar_t sigmoid(scalar_t x) { return 1 / (1 + exp(-x)); }

// sums[g][s] += sum of shared[s][k] w[k][g * size + unit] over the `count` columns k of `rows` from row0 on.
// All threads of the block come here.
template <int GATES>
__device__ __forceinline__ void add_products(
    const scalar_t* rows, const scalar_t* __restrict__ w, scalar_t (&sums)[GATES][SAMPLES], index_t row0, int samples,
    int count, int size, int unit) {
    __shared__ __align__(16) scalar_t shared[TILE][SAMPLES];
    for (int begin = 0; begin < count; begin += TILE) {
        const int here = min(TILE, count - begin);
        __syncthreads();  // what is there has been read, and what others wrote to `rows` is there
        for (int i = threadIdx.x; i < TILE * SAMPLES; i += blockDim.x) {
            const int s = i / TILE, k = i % TILE;
            shared[k][s] = s < samples && k < here ? rows[(row0 + s) * count + begin + k] : scalar_t(0);
        }
        __syncthreads();
        if (unit >= size) continue;
        const scalar_t* column = w + (index_t)begin * GATES * size + unit;
#pragma unroll 4
        for (int k = 0; k < here; ++k) {
#pragma unroll
            for (int g = 0; g < GATES; ++g) {
                const scalar_t weight = column[(index_t)(k * GATES + g) * size];
#pragma unroll
                for (int s = 0; s < SAMPLES; ++s) sums[g][s] = fma(shared[k][s], weight, sums[g][s]);
            }
        }
    }
}

// The new state of one unit of one sample, from its row of x and the products p.
template <Mode MODE>
__device__ __forceinline__ void step_forward(
    const scalar_t* __restrict__ x, const scalar_t (&p)[GATES<MODE>], const scalar_t* before, const scalar_t* cell,
    scalar_t* h, scalar_t* c, scalar_t* __restrict__ kept, int size) {
    if constexpr (MODE == TANH_LAYER) *h = tanh(x[0] + p[0]);
    if constexpr (MODE == RELU_LAYER) {
        const scalar_t a = x[0] + p[0];
        *h = a > 0 || a != a ? a : scalar_t(0);
    }
    if constexpr (MODE == LSTM_LAYER) {
        const scalar_t i = sigmoid(x[0] + p[0]), f = sigmoid(x[size] + p[1]);
        const scalar_t g = tanh(x[2 * size] + p[2]), o = sigmoid(x[3 * size] + p[3]);
        const scalar_t now = fma(f, *cell, i * g);
        *c = now;
        *h = o * tanh(now);
        kept[0] = i, kept[size] = f, kept[2 * size] = g, kept[3 * size] = o;
    }
    if constexpr (MODE == GRU_LAYER) {
        const scalar_t r = sigmoid(x[0] + p[0]), z = sigmoid(x[size] + p[1]), n = tanh(fma(r, p[2], x[2 * size]));
        *h = fma(z, *before - n, n);
        kept[0] = r, kept[size] = z, kept[2 * size] = n, kept[3 * size] = p[2];
    }
}

template <Mode MODE>
__device__ __forceinline__ void forward(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ w, const scalar_t* __restrict__ bias,
    const scalar_t* h0, const scalar_t* c0, scalar_t* h, scalar_t* c, scalar_t* __restrict__ kept, const Work& work) {
    constexpr int G = GATES<MODE>;
    const int size = work.size;
    for (int step = 0; step < work.length; ++step) {
        const scalar_t* states = step == 0 ? h0 : h;
        const scalar_t* cells = step == 0 ? c0 : c;
        const index_t row0 = step == 0 ? work.first : work.row(step - 1, 0);
        for (int base = 0; base < size; base += blockDim.x) {
            const int unit = base + threadIdx.x;
            scalar_t p[G][SAMPLES];
#pragma unroll
            for (int g = 0; g < G; ++g)
#pragma unroll
                for (int s = 0; s < SAMPLES; ++s)
                    p[g][s] = bias != nullptr && unit < size ? bias[(index_t)g * size + unit] : scalar_t(0);
            add_products(states, w, p, row0, work.samples, size, size, unit);
            if (unit >= size) continue;
#pragma unroll
            for (int s = 0; s < SAMPLES; ++s) {
                if (s >= work.samples) break;
                scalar_t own[G];
#pragma unroll
                for (int g = 0; g < G; ++g) own[g] = p[g][s];
                const index_t row = work.row(step, s), to = row * size + unit, from = (row0 + s) * size + unit;
                step_forward<MODE>(
                    x + row * G * size + unit, own, states + from, MODE == LSTM_LAYER ? cells + from : nullptr, h + to,
                    MODE == LSTM_LAYER ? c + to : nullptr, G > 1 ? kept + row * 4 * size + unit : nullptr, size);
            }
        }
    }
}

// An element of a gradient that may not be there.
__device__ __forceinline__ scalar_t given(const scalar_t* __restrict__ d, index_t at) {
    return d == nullptr ? scalar_t(0) : d[at];
}

// dp and dx of one unit of one sample from g, the gradient of its h. Where gates leave a part of the gradient of the
// state before, that of h is returned, and that of c is in dcell, which comes as what later steps add to that of c.
template <Mode MODE>
__device__ __forceinline__ scalar_t step_backward(
    scalar_t g, scalar_t h, scalar_t c, scalar_t before, scalar_t cell, const scalar_t* __restrict__ kept,
    const scalar_t* __restrict__ dkept, scalar_t* __restrict__ dx, scalar_t* dp, scalar_t* dcell, int size) {
    if constexpr (MODE == TANH_LAYER) *dp = g * fma(-h, h, scalar_t(1));
    if constexpr (MODE == RELU_LAYER) *dp = h <= 0 ? scalar_t(0) : g;
    if constexpr (MODE == LSTM_LAYER) {
        const scalar_t i = kept[0], f = kept[size], u = kept[2 * size], o = kept[3 * size], y = tanh(c);
        const scalar_t dc = fma(g * o, fma(-y, y, scalar_t(1)), *dcell);
        dp[0] = fma(dc, u, given(dkept, 0)) * i * (1 - i);
        dp[size] = fma(dc, cell, given(dkept, size)) * f * (1 - f);
        dp[2 * size] = fma(dc, i, given(dkept, 2 * size)) * fma(-u, u, scalar_t(1));
        dp[3 * size] = fma(g, y, given(dkept, 3 * size)) * o * (1 - o);
        *dcell = dc * f;
    }
    if constexpr (MODE == GRU_LAYER) {
        const scalar_t r = kept[0], z = kept[size], n = kept[2 * size], p = kept[3 * size];
        const scalar_t dn = fma(g, 1 - z, given(dkept, 2 * size)) * fma(-n, n, scalar_t(1));
        const scalar_t dr = fma(dn, p, given(dkept, 0)) * r * (1 - r);
        const scalar_t dz = fma(g, before - n, given(dkept, size)) * z * (1 - z);
        dx[0] = dp[0] = dr;
        dx[size] = dp[size] = dz;
        dx[2 * size] = dn;
        dp[2 * size] = fma(dn, r, given(dkept, 3 * size));
        return g * z;
    }
    return 0;
}

template <Mode MODE>
__device__ __forceinline__ void backward(
    const scalar_t* __restrict__ dh, const scalar_t* __restrict__ dc, const scalar_t* __restrict__ dkept,
    const scalar_t* __restrict__ h, const scalar_t* __restrict__ c, const scalar_t* __restrict__ kept,
    const scalar_t* __restrict__ w, const scalar_t* __restrict__ h0, const scalar_t* __restrict__ c0,
    scalar_t* __restrict__ dx, scalar_t* dp, scalar_t* __restrict__ dh0, scalar_t* __restrict__ dc0, const Work& work) {
    constexpr int G = GATES<MODE>;
    constexpr bool CELLS = MODE == LSTM_LAYER;
    const int size = work.size;
    for (int unit = threadIdx.x; unit < size; unit += blockDim.x)
        for (int s = 0; s < work.samples; ++s) {
            dh0[(work.first + s) * size + unit] = 0;
            if (CELLS) dc0[(work.first + s) * size + unit] = 0;
        }
    for (int step = work.length - 1; step >= 0; --step) {
        const scalar_t* states = step == 0 ? h0 : h;
        const scalar_t* cells = step == 0 ? c0 : c;
        const index_t row0 = step == 0 ? work.first : work.row(step - 1, 0);
        for (int unit = threadIdx.x; unit < size; unit += blockDim.x)
            for (int s = 0; s < work.samples; ++s) {
                const index_t row = work.row(step, s), at = row * size + unit, from = (row0 + s) * size + unit;
                const index_t own = (work.first + s) * size + unit;
                scalar_t dcell = CELLS ? dc0[own] + given(dc, at) : scalar_t(0);
                dh0[own] = step_backward<MODE>(
                    dh0[own] + given(dh, at), h[at], CELLS ? c[at] : scalar_t(0), states[from],
                    CELLS ? cells[from] : scalar_t(0), G > 1 ? kept + row * 4 * size + unit : nullptr,
                    dkept == nullptr ? nullptr : dkept + row * 4 * size + unit,
                    MODE == GRU_LAYER ? dx + row * G * size + unit : nullptr, dp + row * G * size + unit, &dcell, size);
                if (CELLS) dc0[own] = dcell;
            }
        for (int base = 0; base < size; base += blockDim.x) {
            const int unit = base + threadIdx.x;
            scalar_t sums[1][SAMPLES] = {};
            add_products(dp, w, sums, work.row(step, 0), work.samples, G * size, size, unit);
            if (unit >= size) continue;
#pragma unroll
            for (int s = 0; s < SAMPLES; ++s)
                if (s < work.samples) dh0[(work.first + s) * size + unit] += sums[0][s];
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_forward_tanh(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: 0
    const scalar_t* h0, scalar_t* h,
    int length, int batch, int size, int reverse) {
    forward<TANH_LAYER>(x, w, bias, h0, nullptr, h, nullptr, nullptr, {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_forward_relu(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: 0
    const scalar_t* h0, scalar_t* h,
    int length, int batch, int size, int reverse) {
    forward<RELU_LAYER>(x, w, bias, h0, nullptr, h, nullptr, nullptr, {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_forward_lstm(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: 0
    const scalar_t* h0, const scalar_t* c0, scalar_t* h, scalar_t* c, scalar_t* __restrict__ kept,
    int length, int batch, int size, int reverse) {
    forward<LSTM_LAYER>(x, w, bias, h0, c0, h, c, kept, {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_forward_gru(
    const scalar_t* __restrict__ x, const scalar_t* __restrict__ w,
    const scalar_t* __restrict__ bias,  // null: 0
    const scalar_t* h0, scalar_t* h, scalar_t* __restrict__ kept,
    int length, int batch, int size, int reverse) {
    forward<GRU_LAYER>(x, w, bias, h0, nullptr, h, nullptr, kept, {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_backward_tanh(
    const scalar_t* __restrict__ dh,     // null: 0
    const scalar_t* __restrict__ h,
    const scalar_t* __restrict__ w, const scalar_t* __restrict__ h0,
    scalar_t* dx, scalar_t* __restrict__ dh0,
    int length, int batch, int size, int reverse) {
    backward<TANH_LAYER>(
        dh, nullptr, nullptr, h, nullptr, nullptr, w, h0, nullptr, nullptr, dx, dh0, nullptr,
        {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_backward_relu(
    const scalar_t* __restrict__ dh,     // null: 0
    const scalar_t* __restrict__ h,
    const scalar_t* __restrict__ w, const scalar_t* __restrict__ h0,
    scalar_t* dx, scalar_t* __restrict__ dh0,
    int length, int batch, int size, int reverse) {
    backward<RELU_LAYER>(
        dh, nullptr, nullptr, h, nullptr, nullptr, w, h0, nullptr, nullptr, dx, dh0, nullptr,
        {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_backward_lstm(
    const scalar_t* __restrict__ dh,     // null: 0
    const scalar_t* __restrict__ dc,     // null: 0
    const scalar_t* __restrict__ dkept,  // null: 0
    const scalar_t* __restrict__ h, const scalar_t* __restrict__ c, const scalar_t* __restrict__ kept,
    const scalar_t* __restrict__ w, const scalar_t* __restrict__ h0, const scalar_t* __restrict__ c0,
    scalar_t* dx, scalar_t* __restrict__ dh0, scalar_t* __restrict__ dc0,
    int length, int batch, int size, int reverse) {
    backward<LSTM_LAYER>(
        dh, dc, dkept, h, c, kept, w, h0, c0, nullptr, dx, dh0, dc0,
        {length, batch, size, reverse});
}

extern "C" __global__ void __launch_bounds__(256, 1) recurrent_backward_gru(
    const scalar_t* __restrict__ dh,     // null: 0
    const scalar_t* __restrict__ dkept,  // null: 0
    const scalar_t* __restrict__ h, const scalar_t* __restrict__ kept,
    const scalar_t* __restrict__ w, const scalar_t* __restrict__ h0,
    scalar_t* __restrict__ dx, scalar_t* dp, scalar_t* __restrict__ dh0,
    int length, int batch, int size, int reverse) {
    backward<GRU_LAYER>(
        dh, nullptr, dkept, h, nullptr, kept, w, h0, nullptr, dx, dp, dh0, nullptr,
        {length, batch, size, reverse});
}
