// ldmatrix, mma and wgmma: fragments as the PTX ISA lays them out over the lanes of a warp, products accumulated in
// float.
#pragma once
#include "half.h"
#include "warp.h"

namespace simulator {

SIMULATOR_QUIET static inline void need_all_lanes(unsigned lanes, const char* what, const char* file, int line) {
    if (lanes != ALL_LANES)
        simulator_fail("divergent warp operation", file, line, "%s needs all 32 lanes of a warp, only 0x%08x take part",
                       what, lanes);
}

template <bool TRANSPOSED>
SIMULATOR_QUIET void load_matrices_of_warp(Slot* slots, unsigned lanes, const char* file, int line) {
    need_all_lanes(lanes, "ldmatrix", file, line);
    const unsigned short* row[32];
    for (int l = 0; l < 32; ++l) {
        row[l] = *(const unsigned short**)slots[l];
        if ((size_t)row[l] % 16)
            simulator_fail("misaligned access", file, line,
                           "ldmatrix: the row address of lane %d is not a multiple of 16", l);
#ifdef SIMULATOR_CHECK
        simulator_access_at(row[l], 16, 0, file, line, l);
#endif
    }
    for (int l = 0; l < 32; ++l)
        for (int i = 0; i < 4; ++i) {
            const int g = l / 4, t = l % 4 * 2;
            const unsigned low = TRANSPOSED ? row[i * 8 + t][g] : row[i * 8 + g][t];
            const unsigned high = TRANSPOSED ? row[i * 8 + t + 1][g] : row[i * 8 + g][t + 1];
            ((unsigned*)slots[l])[i] = low | high << 16;
        }
}

template <bool TRANSPOSED>
SIMULATOR_INLINE void load_matrices(unsigned (&r)[4], const void* row, const char* file, int line) {
    my_slot<const void*>() = row;
    simulator_warp(ALL_LANES, load_matrices_of_warp<TRANSPOSED>, "ldmatrix", file, line);
    const unsigned* result = &my_slot<unsigned>();
    for (int i = 0; i < 4; ++i) r[i] = result[i];
}

enum Format { BFLOAT16, FLOAT16, TF32 };

// One lane's part of D += A B.
struct Fragments {
    float d[4];
    unsigned a[4], b[2];
};

template <Format FORMAT>
SIMULATOR_QUIET void multiply_of_warp(Slot* slots, unsigned lanes, const char* file, int line) {
    need_all_lanes(lanes, "mma", file, line);
    constexpr int K = FORMAT == TF32 ? 8 : 16;
    float a[16][16], b[16][8];
    auto element = [](unsigned bits) {
        return FORMAT == FLOAT16 ? half_to_float((unsigned short)bits) : __uint_as_float(bits << 16);
    };
    for (int l = 0; l < 32; ++l) {
        const Fragments& f = *(Fragments*)slots[l];
        const int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; ++i) {
            const int r = g + (i & 1) * 8;
            if (FORMAT == TF32) {
                a[r][t + (i >> 1) * 4] = __uint_as_float(f.a[i] & 0xffffe000u);  // the hardware ignores the rest
            } else {
                const int c = t * 2 + (i >> 1) * 8;
                a[r][c] = element(f.a[i] & 0xffffu);
                a[r][c + 1] = element(f.a[i] >> 16);
            }
        }
        for (int i = 0; i < 2; ++i) {
            if (FORMAT == TF32) {
                b[t + i * 4][g] = __uint_as_float(f.b[i] & 0xffffe000u);
            } else {
                b[t * 2 + i * 8][g] = element(f.b[i] & 0xffffu);
                b[t * 2 + i * 8 + 1][g] = element(f.b[i] >> 16);
            }
        }
    }
    for (int r = 0; r < 16; ++r) {
        auto d = [&](int c) -> float& { return ((Fragments*)slots[r % 8 * 4 + c / 2])->d[r / 8 * 2 + c % 2]; };
        float sum[8];
        for (int c = 0; c < 8; ++c) sum[c] = d(c);
        for (int k = 0; k < K; ++k)
            for (int c = 0; c < 8; ++c) sum[c] += a[r][k] * b[k][c];
        for (int c = 0; c < 8; ++c) d(c) = sum[c];
    }
}

template <Format FORMAT> SIMULATOR_INLINE void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                                        const char* file, int line) {
    Fragments& mine = my_slot<Fragments>();
    memcpy(mine.d, d, sizeof d);
    memcpy(mine.a, a, sizeof a);
    memcpy(mine.b, b, sizeof b);
    simulator_warp(ALL_LANES, multiply_of_warp<FORMAT>, "mma", file, line);
    memcpy(d, my_slot<Fragments>().d, sizeof d);
}

// ---- wgmma: a warp's part of a product, which goes on until it is waited for

SIMULATOR_QUIET static inline float bfloat16_as_float(unsigned short bits) { return __uint_as_float(bits << 16); }

struct Begun {
    float* d;
    unsigned long long a, b;
};

template <Format FORMAT, bool A_ACROSS, bool B_ACROSS, int COLUMNS>
SIMULATOR_QUIET void wgmma_of_warp(Slot* slots, unsigned lanes, const char* file, int line) {
    need_all_lanes(lanes, "wgmma", file, line);
    const Begun& first = *(Begun*)slots[0];
    WarpgroupProduct product = {
        COLUMNS, {}, first.a, first.b, A_ACROSS, B_ACROSS, FORMAT == FLOAT16 ? half_to_float : bfloat16_as_float};
    for (int l = 0; l < 32; ++l) {
        const Begun& lane = *(Begun*)slots[l];
        if (lane.a != first.a || lane.b != first.b)
            simulator_fail("wrong matrix descriptor", file, line, "lanes 0 and %d of a warp give different ones", l);
        product.d[l] = lane.d;
    }
    simulator_wgmma(product, file, line);
}

template <Format FORMAT, bool A_ACROSS, bool B_ACROSS, int N>
SIMULATOR_INLINE void wgmma(float (&d)[N][4], unsigned long long a, unsigned long long b, const char* file, int line) {
    my_slot<Begun>() = {d[0], a, b};
    simulator_warp(ALL_LANES, wgmma_of_warp<FORMAT, A_ACROSS, B_ACROSS, N * 8>, "wgmma", file, line);
}

SIMULATOR_QUIET static inline void wgmma_fence_of_warp(Slot*, unsigned lanes, const char* file, int line) {
    need_all_lanes(lanes, "wgmma.fence", file, line);
    simulator_wgmma_fence();
}
SIMULATOR_INLINE void wgmma_fence(const char* file, int line) {
    simulator_warp(ALL_LANES, wgmma_fence_of_warp, "wgmma.fence", file, line);
}

SIMULATOR_QUIET static inline void wgmma_commit_of_warp(Slot*, unsigned lanes, const char* file, int line) {
    need_all_lanes(lanes, "wgmma.commit_group", file, line);
    simulator_wgmma_commit();
}
SIMULATOR_INLINE void wgmma_commit(const char* file, int line) {
    simulator_warp(ALL_LANES, wgmma_commit_of_warp, "wgmma.commit_group", file, line);
}

SIMULATOR_QUIET static inline void wgmma_wait_of_warp(Slot* slots, unsigned lanes, const char* file, int line) {
    need_all_lanes(lanes, "wgmma.wait_group", file, line);
    simulator_wgmma_wait(*(int*)slots[0]);
}
SIMULATOR_INLINE void wgmma_wait(int pending, const char* file, int line) {
    my_slot<int>() = pending;
    simulator_warp(ALL_LANES, wgmma_wait_of_warp, "wgmma.wait_group", file, line);
}

SIMULATOR_INLINE void fence_async_proxy() { simulator_fence_async_proxy(); }

}  // namespace simulator
