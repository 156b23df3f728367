// The state of the block that runs, shared by the scheduler and the checker.
#pragma once
#include "device.h"
#include "interface.h"

#pragma GCC visibility push(hidden)
namespace simulator {

typedef void* Context;  // a suspended stack, see fibers.h

struct Dim3 {
    unsigned x, y, z;
};

enum Status { NEW, RUNNING, READY, AT_BARRIER, AT_WARP, AT_MBARRIER, DONE };

struct Thread {
    Context context;
    char* stack;  // its lowest address
    Dim3 index;
    Status status;
    // Where and in what it waits
    const char* what;
    const char* file;
    int line;
    unsigned mask;
    Combine combine;
    int mbarrier;  // its number, and the parity of the phase
    unsigned parity;
    // Copies by cp.async: how many are under way, and the groups committed so far
    int copies, groups;
};

struct Warp {
    unsigned waiting, exited;  // lanes
};

// A __shared__ array, or the dynamic shared memory.
struct Shared {
    char* data;
    size_t bytes;
    char name[96];
};

constexpr int MAX_WARPS = MAX_THREADS / 32, MAX_MBARRIERS = 64;  // of a block

extern Launch* launch;  // the one that runs, else null
extern Thread threads[MAX_THREADS];
extern Warp warps[MAX_WARPS];
extern int thread_count;
extern int current;  // the running thread
extern bool in_kernel;
extern uint64_t block_number;
// device.h declares these const for the kernels, which must not write them.
extern "C" int simulator_thread_storage asm("simulator_thread");
extern "C" char* simulator_dynamic_storage asm("simulator_dynamic_shared");
extern Shared* shared;  // all of the module
extern int sums_under_way;  // arrays of sums in registers, which a wgmma adds to
bool is_sum_under_way(const void* pointer);  // of the running thread

}  // namespace simulator

extern "C" {
extern simulator::Dim3 threadIdx, blockIdx, blockDim, gridDim;
}
#pragma GCC visibility pop
