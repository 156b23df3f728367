// What the lanes of a warp access together, and the cycles that it takes the banks of shared memory.
#pragma once
#include <stdint.h>

#include <algorithm>
#include <vector>

namespace simulator {

constexpr int LANES = 32, BANKS = 32, WORD = 4;

// What the lanes of a warp have done since they last met: for each place the k-th time of all of them. `order` is the
// number of accesses that the first of these lanes had made before.
struct Together {
    uint32_t lanes, order;
    const char* address[LANES];
};

// Whether each lane of some asks for the same as the one whose number differs from its own in this bit, if that asks.
inline bool agree(const Together& t, int first, int end, int bit) {
    for (int l = first; l < end; ++l)
        if ((t.lanes >> l & 1) && (t.lanes >> (l ^ bit) & 1) && t.address[l] != t.address[l ^ bit]) return false;
    return true;
}

// The cycles of shared memory that an access takes, and how many of them are of conflicts. A bank gives one word in a
// cycle, to all lanes that ask for that word. Accesses of 8 bytes are done for half a warp at a time, of 16 for a
// quarter; for twice as many lanes at once where those next to each other, or next but one, ask for the same.
inline uint64_t count_passes(const Together& t, int bytes, uint64_t* conflicts) {
    const int part = bytes <= WORD ? LANES : LANES * WORD / bytes, words = bytes < WORD ? 1 : bytes / WORD;
    uint64_t all = 0;
    for (int first = 0, at_once; first < LANES; first += at_once) {
        at_once = part;
        if (part < LANES && first % (2 * part) == 0)
            for (int bit = 1; bit <= 2; ++bit)
                if (agree(t, first, first + 2 * part, bit)) at_once = 2 * part;
        size_t asked[2 * LANES];
        int n = 0, in_bank[BANKS] = {};
        for (int l = first; l < first + at_once; ++l)
            for (int w = 0; (t.lanes >> l & 1) && w < words; ++w) asked[n++] = (size_t)t.address[l] / WORD + (size_t)w;
        std::sort(asked, asked + n);
        const int different = (int)(std::unique(asked, asked + n) - asked);
        for (int i = 0; i < different; ++i) ++in_bank[asked[i] % BANKS];
        const int passes = *std::max_element(in_bank, in_bank + BANKS);
        all += (uint64_t)passes;
        if (conflicts) *conflicts += passes ? (uint64_t)passes - 1 : 0;
    }
    return all;
}

// Whether each lane does with n accesses, one after the other, what lies side by side, from a multiple of their size on.
inline bool side_by_side(const Together* t, size_t n, size_t bytes) {
    for (int l = 0; l < LANES; ++l) {
        if (!(t->lanes >> l & 1)) continue;
        if ((size_t)t->address[l] % (n * bytes)) return false;
        for (size_t i = 1; i < n; ++i)
            if (t[i].lanes != t->lanes || t[i].address[l] != t->address[l] + i * bytes) return false;
    }
    return true;
}

// The cycles of shared memory if a compiler put together what a thread does side by side, up to so many bytes.
inline uint64_t count_merged(size_t bytes, const std::vector<Together>& together, size_t wide) {
    uint64_t passes = 0;
    for (size_t i = 0, n; i < together.size(); i += n) {
        n = bytes < wide ? wide / bytes : 1;
        while (n > 1 && (i + n > together.size() || !side_by_side(&together[i], n, bytes))) n /= 2;
        passes += count_passes(together[i], (int)(n * bytes), nullptr);
    }
    return passes;
}

}  // namespace simulator
