extern "C" __global__ void dot(const float* __restrict__ x, const float* __restrict__ y, float* out, int n) {
    float sum = 0;
    #pragma unroll 4
    for (int i = threadIdx.x; i < n; i += 32) sum += x[i] * y[i];
    for (int k = 16; k; k /= 2) sum += __shfl_xor_sync(0xffffffff, sum, k);
    if (threadIdx.x == 0) out[0] = sum;
}
