// Atomic operations. Workers run blocks at the same time, so they are atomic here too.
#pragma once
#include "device.h"

namespace simulator {

template <class T> struct Same {
    typedef T type;
};

template <class T, class F> SIMULATOR_QUIET inline T update(T* pointer, const char* file, int line, F f) {
#ifdef SIMULATOR_CHECK
    simulator_access_at(pointer, sizeof(T), 2, file, line);
#else
    (void)file, (void)line;
#endif
    T before;
    __atomic_load(pointer, &before, __ATOMIC_RELAXED);
    for (;;) {
        T after = f(before);
        if (__atomic_compare_exchange(pointer, &before, &after, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return before;
    }
}

}  // namespace simulator

#define SIMULATOR_ATOMIC(name, expression)                                                              \
    template <class T> inline T name(T* pointer, typename simulator::Same<T>::type v, SIMULATOR_SITE) { \
        return simulator::update(pointer, file, line, [=](T old) -> T { return expression; });          \
    }
SIMULATOR_ATOMIC(atomicAdd, old + v)
SIMULATOR_ATOMIC(atomicSub, old - v)
SIMULATOR_ATOMIC(atomicExch, ((void)old, v))
SIMULATOR_ATOMIC(atomicMin, v < old ? v : old)
SIMULATOR_ATOMIC(atomicMax, old < v ? v : old)
SIMULATOR_ATOMIC(atomicAnd, old& v)
SIMULATOR_ATOMIC(atomicOr, old | v)
SIMULATOR_ATOMIC(atomicXor, old ^ v)
SIMULATOR_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
SIMULATOR_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
#undef SIMULATOR_ATOMIC
template <class T> inline T atomicCAS(T* pointer, typename simulator::Same<T>::type compare,
                                      typename simulator::Same<T>::type value, SIMULATOR_SITE) {
    return simulator::update(pointer, file, line, [=](T old) -> T { return old == compare ? value : old; });
}
