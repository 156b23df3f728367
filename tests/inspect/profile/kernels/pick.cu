extern "C" __global__ void pick(const int* which, float* x, int n) {
    #pragma unroll 1
    for (int i = threadIdx.x; i < n; i += 32) {
        float v = x[i];
        switch (which[0]) {
            case 0: v = __expf(v); break;
            case 1: v = rsqrtf(v); break;
            case 2: v = v * v; break;
            case 3: v = v + 1; break;
            case 4: v = (float)(int)v; break;
            case 5: v = __logf(v); break;
        }
        x[i] = v;
    }
}
