// y = x / rms(x) weight + bias for each row, rms(x) = sqrt(mean of x^2 + 1e-5) (Zhang and Sennrich, "Root Mean Square
// Layer Normalization", 2019), in two rungs, after dev/cuda/rmsnorm_forward.cu of
// https://github.com/abideenml/llama3.cuda.
//
// x, y (rows, columns), weight, bias (columns,) float32. Each element is read twice and written once, 8 bytes of which
// the source counts. __fdividef is what the source's --use_fast_math makes of its divisions. What was measured, for
// blocks of many sizes, is in ladders.toml.
constexpr float EPSILON = 1e-5f;

// First rung, a thread a row: the threads of a warp are a row apart, and few.
extern "C" __global__ void rms_norm_threads(
    const float* x, const float* weight, const float* bias, float* y, int rows, int columns) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows) {
        x += row * columns;
        y += row * columns;
        float squares = 0;
        for (int i = 0; i < columns; ++i) squares += x[i] * x[i];
        const float rms = sqrtf(__fdividef(squares, columns) + EPSILON);
        for (int i = 0; i < columns; ++i) y[i] = __fdividef(x[i], rms) * weight[i] + bias[i];
    }
}

// Second rung, a warp a row: neighbours read neighbours. The second reading and the writing ask the caches not to keep
// what they bring.
extern "C" __global__ void rms_norm_warps(
    const float* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias,
    float* __restrict__ y, int rows, int columns) {
    const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    x += row * columns;
    y += row * columns;
    float squares = 0;
    for (int i = lane; i < columns; i += 32) squares += x[i] * x[i];
    for (int step = 16; step > 0; step /= 2) squares += __shfl_xor_sync(0xffffffff, squares, step);
    const float rms = sqrtf(__fdividef(squares, columns) + EPSILON);
    for (int i = lane; i < columns; i += 32) __stcs(y + i, __fdividef(__ldcs(x + i), rms) * weight[i] + bias[i]);
}
