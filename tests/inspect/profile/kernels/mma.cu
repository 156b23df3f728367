extern "C" __global__ void mma(const unsigned* a, float* c, int n) {
    float d[4] = {};
    #pragma unroll 1
    for (int k = 0; k < n; ++k) {
        const unsigned* p = a + (k * 32 + threadIdx.x) * 6;
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "r"(p[4]), "r"(p[5]));
    }
    for (int i = 0; i < 4; ++i) c[threadIdx.x * 4 + i] = d[i];
}
