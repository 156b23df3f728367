// y = x, with as many threads as one likes: how many bytes have to be on their way for the memory to be busy. After
// micro_benchmarks/copy_bw.cu of https://github.com/ahmadsharif1/cuda_study.
//
// x, y (n,) float32, n a multiple of 4. Work: each element is read and written once, 8 n bytes. What was measured is in
// ladders.toml.

// A thread has `MANY` elements of its share of the array on their way at once.
template <int MANY, class T>
__device__ __forceinline__ void copy(const T* __restrict__ x, T* __restrict__ y, size_t n) {
    const size_t stride = size_t(gridDim.x) * blockDim.x;
    size_t i = blockIdx.x * blockDim.x + threadIdx.x;
    for (; i + (MANY - 1) * stride < n; i += MANY * stride) {
        T v[MANY];
#pragma unroll
        for (int j = 0; j < MANY; ++j) v[j] = x[i + j * stride];
#pragma unroll
        for (int j = 0; j < MANY; ++j) y[i + j * stride] = v[j];
    }
    for (; i < n; i += stride) y[i] = x[i];
}

extern "C" __global__ void copy_single(const float* __restrict__ x, float* __restrict__ y, size_t n) {
    copy<1>(x, y, n);
}
extern "C" __global__ void copy_quads4(const float4* __restrict__ x, float4* __restrict__ y, size_t n) {
    copy<4>(x, y, n / 4);
}
extern "C" __global__ void copy_quads32(const float4* __restrict__ x, float4* __restrict__ y, size_t n) {
    copy<32>(x, y, n / 4);
}
