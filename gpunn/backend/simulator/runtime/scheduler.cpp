// Runs the blocks of a launch: the threads of a block take turns on fibers, and wait for one another at barriers and at
// operations of their warp.
//
// Threads start lazily. A stack runs one thread after the other until one has to wait; only then the next thread gets a
// stack of its own. A kernel without barriers is a plain loop over its threads.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <utility>
#include <vector>

#include "checker.h"
#include "state.h"

extern "C" {
simulator::Dim3 threadIdx, blockIdx, blockDim, gridDim;
}

namespace simulator {

Launch* launch;
Thread threads[MAX_THREADS];
Warp warps[MAX_WARPS];
int thread_count, current;
bool in_kernel;
uint64_t block_number;
Shared* shared;

extern "C" {
alignas(64) Slot simulator_slots[MAX_THREADS];
int simulator_thread_storage;
char* simulator_dynamic_storage;
}

}  // namespace simulator

#include "boxes.h"
#include "copies.h"
#include "grid.h"
#include "meetings.h"

namespace simulator {
namespace {

// Dynamic shared memory ends where memory ends, so that the next access faults, in any mode.
char* dynamic_memory;
size_t dynamic_capacity;

void place_dynamic_shared(size_t bytes) {
#ifdef SIMULATOR_ASAN
    // The address sanitizer has to know the end to the byte.
    free(dynamic_memory);
    void* memory = nullptr;
    if (bytes && posix_memalign(&memory, 128, bytes)) abort();
    simulator_dynamic_storage = dynamic_memory = (char*)memory;
#else
    if (bytes > dynamic_capacity) {
        if (dynamic_memory) munmap(dynamic_memory, dynamic_capacity + STACK_GUARD);
        dynamic_capacity = (bytes + STACK_GUARD - 1) / STACK_GUARD * STACK_GUARD;
        void* memory =
            mmap(nullptr, dynamic_capacity + STACK_GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) abort();
        dynamic_memory = (char*)memory;
        mprotect(dynamic_memory + dynamic_capacity, STACK_GUARD, PROT_NONE);
    }
    simulator_dynamic_storage = bytes ? dynamic_memory + dynamic_capacity - (bytes + 127) / 128 * 128 : nullptr;
#endif
}

void choose_block(uint64_t number) {
    const uint64_t blocks = launch->blocks;
    if (launch->order == 1) number = blocks - 1 - number;
    // A prime: its multiples modulo a smaller number of blocks are a permutation.
    if (launch->order == 2 && blocks < 2654435761u)
        number = (number * 2654435761u % blocks + launch->seed % blocks) % blocks;
    set_block(number);
}

void begin_block() {
    // Shared memory is undefined when a block starts: all bits set, which is NaN for floats.
    for (int i = 0; i < launch->function->shared_count; ++i) {
        const Shared& s = shared[launch->function->shared_array[i]];
        memset(s.data, 0xff, s.bytes);
    }
    if (launch->dynamic_shared) memset(simulator_dynamic_storage, 0xff, launch->dynamic_shared);
    if (launch->order == 2)
        for (int i = thread_count - 1; i > 0; --i) {
            const int j = (int)(random_number() % (unsigned)(i + 1)), t = launch_order[i];
            launch_order[i] = launch_order[j];
            launch_order[j] = t;
        }
    for (int t = 0; t < thread_count; ++t) {
        threads[t].status = NEW;
        threads[t].copies = threads[t].groups = 0;
    }
    warpgroups_begin();
    boxes_begin();
    const int count = (thread_count + 31) / 32;
    for (int w = 0; w < count; ++w) warps[w] = {0, 0};
    if (thread_count & 31) warps[count - 1].exited = ~0u << (thread_count & 31);  // lanes that do not exist
    ready_head = ready_count = 0;
    barrier.waiting = 0;
    live = thread_count;
    started = 1;
    fiber_number = 0;
    checker::begin_block();
}

void run_block() {
    begin_block();
    const int first = launch_order[0];
    threads[first].stack = take_stack();
    make_current(first);
    change_stack(&scheduler, new_context(threads[first].stack, fiber_main, fiber_number++), threads[first].stack);
}

uint64_t nanoseconds() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

constexpr uint64_t HELP_AFTER = 50000;  // nanoseconds; a thread takes about half of that to start

void begin_launch() {
    gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]};
    const unsigned x = launch->block[0], y = launch->block[1], z = launch->block[2];
    if (blockDim.x != x || blockDim.y != y || blockDim.z != z || !thread_count) {
        blockDim = {x, y, z};
        thread_count = (int)(x * y * z);
        for (int t = 0; t < thread_count; ++t)
            threads[t].index = {(unsigned)t % x, (unsigned)t / x % y, (unsigned)t / (x * y)};
    }
    for (int t = 0; t < thread_count; ++t) launch_order[t] = launch->order == 1 ? thread_count - 1 - t : t;
    random_state = launch->seed * 2654435769u + 88172645463325252ull + (uint64_t)worker->index;
    free_stacks.clear();
    stack_count = 0;
    place_dynamic_shared(launch->dynamic_shared);
}

}  // namespace

// Where the module's __shared__ arrays are.
extern "C" __attribute__((visibility("default"))) void simulator_set_shared(int count, const Shared* arrays) {
    free(shared);
    shared = (Shared*)malloc(sizeof(Shared) * (size_t)(count + 1));
    memcpy(shared, arrays, sizeof(Shared) * (size_t)count);
}

// Runs blocks of a launch until none are left.
extern "C" __attribute__((visibility("default"))) void simulator_run(Worker* w) {
    worker = w;
    launch = w->launch;
    w->fault = fault;
    begin_launch();
    checker::begin_launch();
    std::vector<Parked> parked;
    block_parked = false;
    bool helped = w->index != 0 || launch->workers == 1;
    const uint64_t start = helped ? 0 : nanoseconds();
    for (;;) {
        const uint64_t next = __atomic_fetch_add(&launch->next_block, 1, __ATOMIC_RELAXED);
        if (next >= launch->blocks || __atomic_load_n(&launch->failure->set, __ATOMIC_RELAXED)) break;
        choose_block(next);
        if (!checker::is_wanted()) continue;
        run_block();
        if (block_parked) parked.push_back(park());
        if (!helped && nanoseconds() - start > HELP_AFTER) {
            helped = true;
            if (next + 1 < launch->blocks) w->start_helpers(launch);
        }
    }
    run_parked(std::move(parked));
    checker::end_launch();
    if (printed) {
        printed = false;
        fflush(stdout);
    }
    launch = nullptr;
}

}  // namespace simulator
