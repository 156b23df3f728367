extern "C" __global__ void tile(const float* a, const float* b, float* c, int n) {
    __shared__ float s[16][16], t[16][16];
    const int x = threadIdx.x, y = threadIdx.y;
    float sum = 0;
    #pragma unroll 1
    for (int k = 0; k < n; k += 16) {
        s[y][x] = a[y * n + k + x];
        t[y][x] = b[(k + y) * 16 + x];
        __syncthreads();
        #pragma unroll
        for (int i = 0; i < 16; ++i) sum += s[y][i] * t[i][x];
        __syncthreads();
    }
    c[y * 16 + x] = sum;
}
