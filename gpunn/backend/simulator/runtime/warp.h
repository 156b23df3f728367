// Operations of a warp. Each lane puts its part into its slot and waits; the last one to come computes all results.
#pragma once
#include "device.h"

namespace simulator {

constexpr unsigned ALL_LANES = 0xffffffffu;

template <class T> SIMULATOR_INLINE T& my_slot() { return *(T*)simulator_slots[simulator_thread]; }

template <class T> struct Shuffled {
    T value;
    int source;
};

template <class T> SIMULATOR_QUIET void shuffle(Slot* slots, unsigned lanes, const char* file, int line) {
    T values[32];
    for (int l = 0; l < 32; ++l) memcpy((void*)&values[l], slots[l], sizeof(T));
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        const int l = __builtin_ctz(rest), source = ((Shuffled<T>*)slots[l])->source;
        if (!(lanes >> source & 1))
            simulator_fail("shuffle from an inactive lane", file, line,
                           "lane %d reads from lane %d, which takes no part (lanes 0x%08x do)", l, source, lanes);
        memcpy(slots[l], (void*)&values[source], sizeof(T));
    }
}

template <class T>
SIMULATOR_INLINE T shuffle_from(unsigned mask, T value, int source, const char* what, const char* file, int line) {
    static_assert(sizeof(Shuffled<T>) <= sizeof(Slot), "too large a value for a shuffle");
    Shuffled<T>& slot = my_slot<Shuffled<T>>();
    slot.value = value;
    slot.source = source;
    simulator_warp(mask, shuffle<T>, what, file, line);
    return my_slot<T>();
}

SIMULATOR_QUIET static inline void vote(Slot* slots, unsigned lanes, const char*, int) {
    unsigned result = 0;
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        const int l = __builtin_ctz(rest);
        result |= (*(unsigned*)slots[l] != 0 ? 1u : 0u) << l;
    }
    for (int l = 0; l < 32; ++l) {
        ((unsigned*)slots[l])[0] = result;
        ((unsigned*)slots[l])[1] = lanes;
    }
}

template <class Operation, class T> SIMULATOR_QUIET void reduce(Slot* slots, unsigned lanes, const char*, int) {
    T result = *(T*)slots[__builtin_ctz(lanes)];
    for (unsigned rest = lanes & (lanes - 1); rest; rest &= rest - 1)
        result = Operation::apply(result, *(T*)slots[__builtin_ctz(rest)]);
    for (int l = 0; l < 32; ++l) *(T*)slots[l] = result;
}

SIMULATOR_QUIET static inline void match(Slot* slots, unsigned lanes, const char*, int) {
    unsigned long long keys[32];
    for (int l = 0; l < 32; ++l) keys[l] = *(unsigned long long*)slots[l];
    for (int l = 0; l < 32; ++l) {
        unsigned same = 0;
        for (int k = 0; k < 32; ++k)
            if ((lanes >> k & 1) && keys[k] == keys[l]) same |= 1u << k;
        *(unsigned*)slots[l] = same;
    }
}

}  // namespace simulator

SIMULATOR_INLINE void __syncwarp(unsigned mask = 0xffffffffu, SIMULATOR_SITE) {
    simulator::simulator_warp(mask, nullptr, "__syncwarp", file, line);
}
// No two lanes are ever taken to run together without an operation that makes them.
SIMULATOR_INLINE unsigned __activemask() { return 1u << simulator::lane(); }

template <class T> SIMULATOR_INLINE T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMULATOR_SITE) {
    const int l = simulator::lane();
    return simulator::shuffle_from(mask, value, (l & ~(width - 1)) | (source & (width - 1)), "__shfl_sync", file, line);
}
template <class T> SIMULATOR_INLINE T __shfl_xor_sync(unsigned mask, T value, int x, int width = 32, SIMULATOR_SITE) {
    const int l = simulator::lane(), source = l ^ x, end = (l & ~(width - 1)) + width;
    return simulator::shuffle_from(mask, value, source >= end ? l : source, "__shfl_xor_sync", file, line);
}
template <class T>
SIMULATOR_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMULATOR_SITE) {
    const int l = simulator::lane(), source = l + (int)delta, end = (l & ~(width - 1)) + width;
    return simulator::shuffle_from(mask, value, source >= end ? l : source, "__shfl_down_sync", file, line);
}
template <class T>
SIMULATOR_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMULATOR_SITE) {
    const int l = simulator::lane(), source = l - (int)delta, begin = l & ~(width - 1);
    return simulator::shuffle_from(mask, value, source < begin ? l : source, "__shfl_up_sync", file, line);
}

SIMULATOR_INLINE unsigned __ballot_sync(unsigned mask, int predicate, SIMULATOR_SITE) {
    simulator::my_slot<unsigned>() = predicate != 0;
    simulator::simulator_warp(mask, simulator::vote, "__ballot_sync", file, line);
    return simulator::my_slot<unsigned>();
}
SIMULATOR_INLINE int __any_sync(unsigned mask, int predicate, SIMULATOR_SITE) {
    simulator::my_slot<unsigned>() = predicate != 0;
    simulator::simulator_warp(mask, simulator::vote, "__any_sync", file, line);
    return simulator::my_slot<unsigned>() != 0;
}
SIMULATOR_INLINE int __all_sync(unsigned mask, int predicate, SIMULATOR_SITE) {
    simulator::my_slot<unsigned>() = predicate != 0;
    simulator::simulator_warp(mask, simulator::vote, "__all_sync", file, line);
    const unsigned* slot = &simulator::my_slot<unsigned>();
    return slot[0] == slot[1];
}
template <class T> SIMULATOR_INLINE unsigned __match_any_sync(unsigned mask, T value, SIMULATOR_SITE) {
    unsigned long long key = 0;
    memcpy(&key, &value, sizeof value);
    simulator::my_slot<unsigned long long>() = key;
    simulator::simulator_warp(mask, simulator::match, "__match_any_sync", file, line);
    return simulator::my_slot<unsigned>();
}

#define SIMULATOR_REDUCTION(name, T, expression)                                             \
    namespace simulator {                                                                    \
    struct Operation##name##T {                                                              \
        static T apply(T a, T b) { return expression; }                                      \
    };                                                                                       \
    }                                                                                        \
    SIMULATOR_INLINE T __reduce_##name##_sync(unsigned mask, T value, SIMULATOR_SITE) {      \
        simulator::my_slot<T>() = value;                                                     \
        simulator::simulator_warp(mask, simulator::reduce<simulator::Operation##name##T, T>, \
                                  "__reduce_" #name "_sync", file, line);                    \
        return simulator::my_slot<T>();                                                      \
    }
SIMULATOR_REDUCTION(add, int, (int)((unsigned)a + (unsigned)b))
SIMULATOR_REDUCTION(add, unsigned, a + b)
SIMULATOR_REDUCTION(min, int, a < b ? a : b)
SIMULATOR_REDUCTION(min, unsigned, a < b ? a : b)
SIMULATOR_REDUCTION(max, int, a < b ? b : a)
SIMULATOR_REDUCTION(max, unsigned, a < b ? b : a)
SIMULATOR_REDUCTION(and, unsigned, a& b)
SIMULATOR_REDUCTION(or, unsigned, a | b)
SIMULATOR_REDUCTION(xor, unsigned, a ^ b)
#undef SIMULATOR_REDUCTION
