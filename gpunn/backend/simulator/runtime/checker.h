// What the scheduler tells who watches: the checker (checker.cpp, in the mode "check") or the profiler (profiler.cpp, in
// the mode "profile"). Without SIMULATOR_CHECK nobody does, and all of this is empty.
#pragma once
#include "state.h"

#pragma GCC visibility push(hidden)
namespace simulator {
namespace checker {

#ifdef SIMULATOR_CHECK
void begin_launch();
void end_launch();
bool is_wanted();  // whether the block is to run at all
void begin_block();
void block_ends();
void tell_other(Failure& failure);  // the earlier of two accesses in conflict, if that is the failure
void barrier_passed();              // all threads of the block have met
void warp_met(int warp, bool orders_memory);  // lanes of a warp have met, in __syncwarp or in an operation
void grid_passed();                 // all blocks have met
void* save_block();                 // it waits for other blocks
void restore_block(void* saved);
void fence();        // __threadfence
void turn_begins();  // another thread runs
void access(const void* pointer, size_t bytes, int kind, uint64_t pc);
// An access at a place that is known; `lane` of the warp makes it, or with -1 the running thread.
void access_at(const void* pointer, size_t bytes, int kind, const char* file, int line, int lane);
// A cp.async was issued: from now on its destination may change at any time.
void copy_issued(void* destination, size_t bytes, const char* file, int line);
void copy_landed(void* destination, const void* source, size_t bytes, size_t read, const char* file, int line);
void fence_async_proxy();  // what the running thread wrote before is seen by asynchronous reads after the next barrier
// A wgmma reads shared memory, at any time between its begin and its end.
void async_read_begins(const void* pointer, size_t bytes, const char* file, int line);
void async_read_ends(const void* pointer, size_t bytes, const char* file, int line);
void mbarrier_made(const void* place, const char* file, int line);
void mbarrier_used(const void* place, const char* file, int line);
void mbarrier_arrived(int number);  // the running thread, at that barrier of the block
void mbarrier_completed(int number, unsigned phase);
void mbarrier_waited(int number);
// A copy of a box begins: what it reads is a chunk of that number, and it may write at any time until it has landed.
void box_issued(const void* to, size_t bytes, const void* barrier, const char* file, int line);
void box_reads(const void* from, size_t bytes, int number, const char* file, int line);
void box_landed(const void* to, size_t bytes, int barrier, unsigned phase, const char* file, int line);
#else
static inline void begin_launch() {}
static inline void end_launch() {}
static inline bool is_wanted() { return true; }
static inline void begin_block() {}
static inline void block_ends() {}
static inline void tell_other(Failure&) {}
static inline void barrier_passed() {}
static inline void warp_met(int, bool) {}
static inline void grid_passed() {}
static inline void* save_block() { return nullptr; }
static inline void restore_block(void*) {}
static inline void fence() {}
static inline void turn_begins() {}
static inline void copy_issued(void*, size_t, const char*, int) {}
static inline void copy_landed(void*, const void*, size_t, size_t, const char*, int) {}
static inline void fence_async_proxy() {}
static inline void async_read_begins(const void*, size_t, const char*, int) {}
static inline void async_read_ends(const void*, size_t, const char*, int) {}
static inline void mbarrier_made(const void*, const char*, int) {}
static inline void mbarrier_used(const void*, const char*, int) {}
static inline void mbarrier_arrived(int) {}
static inline void mbarrier_completed(int, unsigned) {}
static inline void mbarrier_waited(int) {}
static inline void box_issued(const void*, size_t, const void*, const char*, int) {}
static inline void box_reads(const void*, size_t, int, const char*, int) {}
static inline void box_landed(const void*, size_t, int, unsigned, const char*, int) {}
#endif

}  // namespace checker
}  // namespace simulator
#pragma GCC visibility pop
