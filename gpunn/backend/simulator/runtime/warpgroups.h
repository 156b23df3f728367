// Products by wgmma, which go on while their warps do something else. A part of scheduler.cpp.
//
// PTX ISA 9.0, 9.7.15. A warp begins a product (wgmma.mma_async), closes a group of them, and waits for groups; the
// four warps of a warpgroup begin the same ones in the same order, and each has 16 rows of the result. A product is
// computed when it was waited for, from what shared memory has then; until then its sums are undefined, all bits set.
#pragma once
#include <vector>

#include "failures.h"

namespace simulator {
namespace {

constexpr int MOST_COLUMNS = 256, MOST_SUMS = MOST_COLUMNS / 2;  // of a product, and of a lane

struct Product {
    WarpgroupProduct what;
    int group;
    const char* file;
    int line;
};

// The sums of a warp that products add to.
struct Sums {
    int count;  // of a lane
    float* d[32];
    float values[32][MOST_SUMS];
    int products;
};

struct Began {
    unsigned long long a, b;
    int columns;
    const char* file;
    int line;
};

struct WarpProducts {
    std::vector<Product> products;  // under way, the oldest first
    std::vector<Sums> sums;
    int groups = 0;
    bool fenced = false;
    size_t begun = 0;
};
WarpProducts warp_products[MAX_WARPS];
std::vector<Began> begun_by_group[MAX_WARPS / 4];  // all that a warpgroup has begun
bool any_products;                                 // in this block

// The 16 bytes of chunk c of a matrix: of lines along k chunk c has k 8 c .. 8 c + 7 of row `line`; of lines across k
// it has i 8 c .. 8 c + 7 of k `line`. 9.7.15.5.1.2.1.3, "Canonical Layouts", for 128-byte swizzling.
const char* chunk_of(unsigned long long matrix, bool across, int line, int c, const char* file, int at) {
    const size_t start = (matrix & 0x3fff) << 4, leading = (matrix >> 16 & 0x3fff) << 4;
    const size_t stride = (matrix >> 32 & 0x3fff) << 4;
    const size_t linear = start + (size_t)line % 8 * 128 + (size_t)line / 8 * stride +
                          (across ? (size_t)c % 8 * 16 + (size_t)c / 8 * leading : (size_t)c * 16);
    const size_t address = linear ^ (linear >> 7 & 7) << 4;  // Swizzle<3, 4, 3>
    // A descriptor has 18 bits of an address, more than a block has shared memory.
    const char* base = simulator_dynamic_shared;
    const size_t offset = (address - (size_t)base) & 0x3ffff;
    if (!base || offset + 16 > launch->dynamic_shared)
        simulator_fail("out of bounds", file, at,
                       "wgmma: a matrix that is not, or not wholly, within the %llu bytes of dynamic shared memory",
                       (unsigned long long)launch->dynamic_shared);
    return base + offset;
}

// Calls f(chunk, row or k, first k or row of the chunk) for each 16 bytes of rows `first` to `first + rows - 1`.
template <class F>
void for_chunks(unsigned long long matrix, bool across, int first, int rows, const char* file, int line, F f) {
    for (int l = 0; l < (across ? 16 : rows); ++l)
        for (int c = 0; c < (across ? rows / 8 : 2); ++c)
            f(across ? chunk_of(matrix, true, l, first / 8 + c, file, line)
                     : chunk_of(matrix, false, first + l, c, file, line),
              l, c * 8);
}

// Rows `first` on, 16 k, as floats [row][k].
void read_matrix(const Product& p, unsigned long long matrix, bool across, int first, int rows, float (*to)[16]) {
    for_chunks(matrix, across, first, rows, p.file, p.line, [&](const char* chunk, int l, int from) {
        for (int e = 0; e < 8; ++e) {
            const float value = p.what.to_float(((const unsigned short*)chunk)[e]);
            if (across) to[from + e][l] = value;
            else to[l][from + e] = value;
        }
    });
}

template <class F> void for_read(const Product& p, int warp, F f) {
    auto of = [&](const char* chunk, int, int) { f(chunk); };
    for_chunks(p.what.a, p.what.a_across, warp % 4 * 16, 16, p.file, p.line, of);
    for_chunks(p.what.b, p.what.b_across, 0, p.what.columns, p.file, p.line, of);
}

Sums* sums_at(WarpProducts& mine, float* const (&d)[32]) {
    for (Sums& s : mine.sums)
        if (s.d[0] == d[0]) return &s;
    return nullptr;
}

void check_descriptor(unsigned long long matrix, const char* name, const char* file, int line) {
    if (matrix >> 62 != 1)
        simulator_fail("wrong matrix descriptor", file, line,
                       "%s: the simulator knows the 128-byte swizzle (bits 62 and 63 are 1), not mode %d", name,
                       (int)(matrix >> 62));
    if (matrix & 0x3fffc000c000c000ull)  // the base offset too
        simulator_fail("wrong matrix descriptor", file, line,
                       "%s: 0x%016llx has bits set that are 0 where the pattern begins at a multiple of 1,024 bytes",
                       name, matrix);
}

void compute(const Product& p, int warp, Sums& sums) {
    const int columns = p.what.columns;
    float a[16][16], b[MOST_COLUMNS][16], by_k[16][MOST_COLUMNS];
    read_matrix(p, p.what.a, p.what.a_across, warp % 4 * 16, 16, a);
    read_matrix(p, p.what.b, p.what.b_across, 0, columns, b);
    for (int n = 0; n < columns; ++n)
        for (int k = 0; k < 16; ++k) by_k[k][n] = b[n][k];
    for (int r = 0; r < 16; ++r) {
        // Lane 4 (r % 8) + t has columns 8 n + 2 t and the next as its sums 4 n + r / 8 * 2 and the next.
        auto d = [&](int c) -> float& { return sums.values[r % 8 * 4 + c % 8 / 2][c / 8 * 4 + r / 8 * 2 + c % 2]; };
        float row[MOST_COLUMNS];
        for (int c = 0; c < columns; ++c) row[c] = d(c);
        for (int k = 0; k < 16; ++k)
            for (int c = 0; c < columns; ++c) row[c] += a[r][k] * by_k[k][c];
        for (int c = 0; c < columns; ++c) d(c) = row[c];
    }
}

// Whether the warps of a group have begun the same products, as far as this one has come.
void note_begun(int warp, const Product& p) {
    std::vector<Began>& all = begun_by_group[warp / 4];
    const size_t number = warp_products[warp].begun++;
    if (number == all.size()) {
        all.push_back({p.what.a, p.what.b, p.what.columns, p.file, p.line});
        return;
    }
    const Began& other = all[number];
    if (!same_place(p.file, p.line, other.file, other.line) || other.a != p.what.a || other.b != p.what.b ||
        other.columns != p.what.columns)
        simulator_fail("divergent warpgroup operation", p.file, p.line,
                       "product %zu of this warp is another one, or has other descriptors, than that of another warp "
                       "of its warpgroup, at %.60s:%d",
                       number, base_name(other.file), other.line);
}

void warpgroups_begin() {
    if (!any_products) return;
    any_products = false;
    sums_under_way = 0;
    for (int w = 0; w < (thread_count + 31) / 32; ++w) {
        warp_products[w] = {};
        begun_by_group[w / 4].clear();
    }
}

// All lanes of a warp have returned.
void warp_products_end(int warp) {
    const WarpProducts& mine = warp_products[warp];
    if (!mine.products.empty()) {
        const Product& p = mine.products[0];
        simulator_fail("missing wgmma wait", p.file, p.line, "the warp returned with %zu products under way",
                       mine.products.size());
    }
}

// All threads of a block have returned.
void warpgroups_end() {
    if (!any_products) return;
    for (int w = 0; w < (thread_count + 31) / 32; ++w) {
        const std::vector<Began>& all = begun_by_group[w / 4];
        if (warp_products[w].begun == all.size()) continue;
        const Began& other = all[warp_products[w].begun];
        simulator_fail("divergent warpgroup operation", other.file, other.line,
                       "warp %d began %zu products, and another one of its warpgroup %zu", w, warp_products[w].begun,
                       all.size());
    }
}

}  // namespace

int sums_under_way;

bool is_sum_under_way(const void* pointer) {
    for (const Sums& s : warp_products[current >> 5].sums)
        if ((size_t)((const char*)pointer - (const char*)s.d[current & 31]) < (size_t)s.count * sizeof(float))
            return true;
    return false;
}

extern "C" void simulator_wgmma(const WarpgroupProduct& what, const char* file, int line) {
    const int warp = current >> 5;
    WarpProducts& mine = warp_products[warp];
    const Product p = {what, mine.groups, file, line};
    if ((warp / 4 + 1) * 128 > thread_count)
        simulator_fail("divergent warpgroup operation", file, line,
                       "wgmma needs four whole warps, from a multiple of four");
    check_descriptor(what.a, "A", file, line);
    check_descriptor(what.b, "B", file, line);
    Sums* sums = sums_at(mine, what.d);
    const int count = what.columns / 2;
    const size_t bytes = (size_t)count * sizeof(float);
    if (!mine.fenced && !sums)
        simulator_fail("missing wgmma fence", file, line,
                       "the sums were the thread's own before: wgmma.fence comes between that and the first wgmma");
    any_products = true;
    note_begun(warp, p);
    if (!sums) {
        ++sums_under_way;
        mine.sums.emplace_back();
        sums = &mine.sums.back();
        memcpy(sums->d, what.d, sizeof sums->d);
        sums->products = 0;
        sums->count = count;
        for (int l = 0; l < 32; ++l) memcpy(sums->values[l], what.d[l], bytes);
    } else {
        for (int l = 0; l < 32; ++l)
            for (int i = 0; i < count; ++i)
                if (((const unsigned*)what.d[l])[i] != ~0u)
                    simulator_fail("missing wgmma wait", file, line,
                                   "sum %d of lane %d was changed while a wgmma was adding to it", i, l);
    }
    for (int l = 0; l < 32; ++l) memset(what.d[l], 0xff, bytes);
    ++sums->products;
    for_read(p, warp, [&](const char* chunk) { checker::async_read_begins(chunk, 16, file, line); });
    mine.products.push_back(p);
}

extern "C" void simulator_wgmma_fence() { warp_products[current >> 5].fenced = true; }

extern "C" void simulator_wgmma_commit() { ++warp_products[current >> 5].groups; }

extern "C" void simulator_wgmma_wait(int pending) {
    const int warp = current >> 5;
    WarpProducts& mine = warp_products[warp];
    size_t done = 0;
    for (; done < mine.products.size() && mine.products[done].group < mine.groups - pending; ++done) {
        const Product& p = mine.products[done];
        Sums& sums = *sums_at(mine, p.what.d);
        for_read(p, warp, [&](const char* chunk) { checker::async_read_ends(chunk, 16, p.file, p.line); });
        compute(p, warp, sums);
        if (--sums.products) continue;
        for (int l = 0; l < 32; ++l) memcpy(sums.d[l], sums.values[l], (size_t)sums.count * sizeof(float));
        mine.sums.erase(mine.sums.begin() + (&sums - mine.sums.data()));
        mine.fenced = false;
        --sums_under_way;
    }
    mine.products.erase(mine.products.begin(), mine.products.begin() + (long)done);
}

extern "C" void simulator_fence_async_proxy() { checker::fence_async_proxy(); }

}  // namespace simulator
