// Whose turn it is: the threads that can go on, and the stacks that they run on. A part of scheduler.cpp.
#pragma once
#include <vector>

#include "checker.h"
#include "fibers.h"
#include "state.h"

namespace simulator {
namespace {

Worker* worker;
Context scheduler;  // where the worker's loop waits while a block runs
int launch_order[MAX_THREADS];
int started, live;
bool printed;

// Threads that can go on, oldest first, as a ring.
int ready[MAX_THREADS], ready_head, ready_count;

// The barrier that some threads wait at.
constexpr int GRID = 4;
bool block_parked;  // all threads of the block wait in a grid barrier
struct {
    int waiting, kind, combined, result, line;
    const char *file, *what;
} barrier;

uint64_t random_state;
uint64_t random_number() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

std::vector<char*> free_stacks;
int stack_count;

char* take_stack() {
    if (free_stacks.empty()) return worker->stack(worker->stacks, stack_count++);
    char* low = free_stacks.back();
    free_stacks.pop_back();
    return low;
}
void give_stack(char* low) { free_stacks.push_back(low); }

#ifdef SIMULATOR_ASAN
// The address sanitizer has to be told which stack is in use.
extern "C" void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
extern "C" void __sanitizer_finish_switch_fiber(void* save, const void** bottom, size_t* size);
const void* scheduler_bottom;
size_t scheduler_size;

// Switches to the stack of a thread, or with null to the scheduler's.
void change_stack(Context* from, Context to, char* low) {
    void* save = nullptr;
    __sanitizer_start_switch_fiber(&save, low ? low : scheduler_bottom, low ? STACK_BYTES : scheduler_size);
    switch_context(from, to);
    __sanitizer_finish_switch_fiber(save, nullptr, nullptr);
}
// Called first on a stack that is new.
void stack_is_new(bool from_scheduler) {
    __sanitizer_finish_switch_fiber(nullptr, from_scheduler ? &scheduler_bottom : nullptr,
                                    from_scheduler ? &scheduler_size : nullptr);
}
#else
inline void change_stack(Context* from, Context to, char*) { switch_context(from, to); }
inline void stack_is_new(bool) {}
#endif

inline void make_current(int thread) {
    threads[thread].status = RUNNING;
    in_kernel = true;
    current = simulator_thread_storage = thread;
    threadIdx = threads[thread].index;
    checker::turn_begins();
}

inline void make_ready(int thread) {
    threads[thread].status = READY;
    ready[(ready_head + ready_count++) & (MAX_THREADS - 1)] = thread;
}

int take_ready() {
    if (launch->order == 2 && ready_count > 1) {
        const int j = (ready_head + (int)(random_number() % (unsigned)ready_count)) & (MAX_THREADS - 1);
        const int first = ready[ready_head];
        ready[ready_head] = ready[j];
        ready[j] = first;
    }
    --ready_count;
    // In reverse order the newest goes first, so that one warp runs as far ahead as it can.
    if (launch->order == 1) return ready[(ready_head + ready_count) & (MAX_THREADS - 1)];
    const int thread = ready[ready_head];
    ready_head = (ready_head + 1) & (MAX_THREADS - 1);
    return thread;
}

void fiber_main();
[[noreturn]] void report_deadlock();
bool land_box();

int fiber_number;

// Leaves the running thread, which waits or is done, for the next one that can run.
void run_another(bool done) {
    Thread& me = threads[current];
    while (!ready_count && started == thread_count && live && land_box()) {
    }
    if (ready_count) {
        const int thread = take_ready();
        if (&threads[thread] == &me) {
            make_current(thread);
            return;
        }
        if (done) give_stack(me.stack);
        make_current(thread);
        change_stack(&me.context, threads[thread].context, threads[thread].stack);
    } else if (started < thread_count) {
        const int thread = launch_order[started++];
        threads[thread].stack = take_stack();
        make_current(thread);
        change_stack(&me.context, new_context(threads[thread].stack, fiber_main, fiber_number++),
                     threads[thread].stack);
    } else if (live == 0) {
        give_stack(me.stack);
        change_stack(&me.context, scheduler, nullptr);
    } else {
        report_deadlock();
    }
}

void set_block(uint64_t number) {
    block_number = number;
    blockIdx = {(unsigned)(number % gridDim.x), (unsigned)(number / gridDim.x % gridDim.y),
                (unsigned)(number / ((uint64_t)gridDim.x * gridDim.y))};
}

}  // namespace
}  // namespace simulator
