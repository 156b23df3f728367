// What the kernels' side of the runtime (cuda.h and the headers it includes) calls in the scheduler and the checker.
#pragma once
#include <stddef.h>

#define SIMULATOR_INLINE static inline __attribute__((always_inline))
#if defined(SIMULATOR_CHECK)
// The runtime's own code is not to be checked and counted as if it were the kernel's.
#define SIMULATOR_QUIET __attribute__((noinline, no_sanitize_coverage, no_sanitize("thread", "undefined")))
#else
#define SIMULATOR_QUIET
#endif
// Barriers and operations of a warp are told apart by the place that they are called from.
#define SIMULATOR_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

#pragma GCC visibility push(hidden)
namespace simulator {

// What a thread gives to an operation of its warp, and where it finds the result.
typedef char Slot[64];
// Computes the results of the `lanes` that take part; called once, when the last of them has come.
typedef void (*Combine)(Slot* slots, unsigned lanes, const char* file, int line);

// D += A B for D (64 x columns), as one warp of a warpgroup begins it.
struct WarpgroupProduct {
    int columns;                 // 128 or 256
    float* d[32];                // the sums of each lane, half as many
    unsigned long long a, b;     // descriptors
    bool a_across, b_across;     // whether lines run across k
    float (*to_float)(unsigned short);
};

extern "C" {
extern Slot simulator_slots[];      // of the threads of the block
extern const int simulator_thread;  // the running one
extern char* const simulator_dynamic_shared;

[[noreturn]] void simulator_fail(const char* kind, const char* file, int line, const char* format, ...)
    __attribute__((format(printf, 4, 5)));
// The barrier of a block. kind: 0 plain, 1 count, 2 or, 3 and. It returns the combination of all values.
int simulator_barrier(int kind, int value, const char* what, const char* file, int line);
void simulator_warp(unsigned mask, Combine combine, const char* what, const char* file, int line);
void simulator_grid_barrier(const char* file, int line);
void simulator_copy_async(void* shared, const void* global, unsigned bytes, bool valid, const char* file, int line);
void simulator_commit_async();
void simulator_wait_async(int pending);
// Products of warpgroups, each function for the warp whose lanes have come; see warpgroups.h.
void simulator_wgmma(const WarpgroupProduct& product, const char* file, int line);
void simulator_wgmma_fence();
void simulator_wgmma_commit();
void simulator_wgmma_wait(int pending);
void simulator_fence_async_proxy();
// Barriers in shared memory and the copies that they count, see boxes.h.
void simulator_mbarrier_init(const void* barrier, unsigned arrivals, const char* file, int line);
void simulator_mbarrier_arrive(const void* barrier, unsigned bytes, const char* file, int line);
void simulator_mbarrier_wait(const void* barrier, unsigned parity, const char* file, int line);
void simulator_copy_box(void* shared, const void* map, int x, int y, int z, const void* barrier, const char* file,
                        int line);
void simulator_fence();
// Tells the checker of an access. kind: 0 read, 1 write, 2 atomic.
void simulator_access(const void* pointer, size_t bytes, int kind);
// `lane`: whose access it is, where the running thread makes those of its whole warp.
void simulator_access_at(const void* pointer, size_t bytes, int kind, const char* file, int line, int lane = -1);
void simulator_printed();
}

SIMULATOR_INLINE int lane() { return simulator_thread & 31; }

}  // namespace simulator
#pragma GCC visibility pop
