// Barriers of a block, and memory fences.
#pragma once
#include "device.h"

SIMULATOR_INLINE void __syncthreads(SIMULATOR_SITE) { simulator::simulator_barrier(0, 0, "__syncthreads", file, line); }
SIMULATOR_INLINE int __syncthreads_count(int predicate, SIMULATOR_SITE) {
    return simulator::simulator_barrier(1, predicate, "__syncthreads_count", file, line);
}
SIMULATOR_INLINE int __syncthreads_or(int predicate, SIMULATOR_SITE) {
    return simulator::simulator_barrier(2, predicate, "__syncthreads_or", file, line);
}
SIMULATOR_INLINE int __syncthreads_and(int predicate, SIMULATOR_SITE) {
    return simulator::simulator_barrier(3, predicate, "__syncthreads_and", file, line);
}

SIMULATOR_INLINE void __threadfence() { simulator::simulator_fence(); }
SIMULATOR_INLINE void __threadfence_system() { simulator::simulator_fence(); }
SIMULATOR_INLINE void __threadfence_block() { asm volatile("" ::: "memory"); }
SIMULATOR_INLINE void __nanosleep(unsigned) {}

namespace simulator {
SIMULATOR_INLINE void grid_barrier(unsigned*, const char* file, int line) { simulator_grid_barrier(file, line); }
SIMULATOR_INLINE void copy_async(void* shared, const void* global, unsigned bytes, bool valid, const char* file,
                                 int line) {
    simulator_copy_async(shared, global, bytes, valid, file, line);
}
SIMULATOR_INLINE void commit_async() { simulator_commit_async(); }
SIMULATOR_INLINE void wait_async(int pending) { simulator_wait_async(pending); }
SIMULATOR_INLINE void mbarrier_init(const void* barrier, unsigned arrivals, const char* file, int line) {
    simulator_mbarrier_init(barrier, arrivals, file, line);
}
SIMULATOR_INLINE void mbarrier_arrive(const void* barrier, unsigned bytes, const char* file, int line) {
    simulator_mbarrier_arrive(barrier, bytes, file, line);
}
SIMULATOR_INLINE void mbarrier_wait(const void* barrier, unsigned parity, const char* file, int line) {
    simulator_mbarrier_wait(barrier, parity, file, line);
}
SIMULATOR_INLINE void copy_box(void* shared, const void* map, int x, int y, int z, const void* barrier,
                               const char* file, int line) {
    simulator_copy_box(shared, map, x, y, z, barrier, file, line);
}
}  // namespace simulator
