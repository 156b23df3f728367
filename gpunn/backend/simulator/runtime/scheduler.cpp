// Runs the blocks of a launch: the threads of a block take turns on fibers, and wait for one another at barriers and at
// operations of their warp.
//
// Threads start lazily. A stack runs one thread after the other until one has to wait; only then the next thread gets a
// stack of its own. A kernel without barriers is a plain loop over its threads.
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "checker.h"
#include "fibers.h"
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
Shared shared[MAX_SHARED];
int shared_count;

extern "C" {
alignas(64) Slot simulator_slots[MAX_THREADS];
// device.h declares these const for the kernels, which must not write them.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
__attribute__((visibility("hidden"))) extern int simulator_thread_storage asm("simulator_thread");
int simulator_thread_storage;
__attribute__((visibility("hidden"))) extern char* simulator_dynamic_storage asm("simulator_dynamic_shared");
char* simulator_dynamic_storage;
#pragma GCC diagnostic pop
}

namespace {

Worker* worker;
Context scheduler;  // where the worker's loop waits while a block runs
int launch_order[MAX_THREADS];
int started, live;
bool printed;
size_t dynamic_capacity;

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

// ---- Stacks

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

// ---- Whose turn it is

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

int fiber_number;

// Leaves the running thread, which waits or is done, for the next one that can run.
void run_another(bool done) {
    Thread& me = threads[current];
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

// ---- Failures

[[noreturn]] void abandon() {
    Context nowhere;
    in_kernel = false;
    change_stack(&nowhere, scheduler, nullptr);
    __builtin_unreachable();
}

void record(const char* kind, const char* file, int line, uint64_t pc, const char* format, va_list values) {
    Failure& f = *launch->failure;
    if (__atomic_exchange_n(&f.set, 1, __ATOMIC_SEQ_CST)) return;
    f.line = line;
    f.pc = pc;
    f.other_pc = f.other_line = 0;
    f.other_file[0] = 0;
    checker::tell_other(f);
    snprintf(f.kind, sizeof f.kind, "%s", kind);
    snprintf(f.file, sizeof f.file, "%s", file ? file : "");
    int n = vsnprintf(f.message, sizeof f.message, format, values);
    if (n > 0 && n < (int)sizeof f.message)
        snprintf(f.message + n, sizeof f.message - (size_t)n, " [block (%u, %u, %u), thread (%u, %u, %u)]", blockIdx.x,
                 blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}

}  // namespace

extern "C" __attribute__((visibility("hidden"))) [[noreturn]] void simulator_fail_at(const char* kind, uint64_t pc,
                                                                                     const char* format, ...) {
    va_list values;
    va_start(values, format);
    record(kind, nullptr, 0, pc, format, values);
    va_end(values);
    abandon();
}

extern "C" void simulator_fail(const char* kind, const char* file, int line, const char* format, ...) {
    va_list values;
    va_start(values, format);
    record(kind, file, line, 0, format, values);
    va_end(values);
    abandon();
}

namespace {

const char* base_name(const char* file) {
    const char* slash = file ? strrchr(file, '/') : nullptr;
    return slash ? slash + 1 : file;
}

void report_deadlock() {
    struct Group {
        const char *what, *file;
        int line, first, count;
    } groups[8];
    int count = 0, exited = 0, where = -1;
    for (int t = 0; t < thread_count; ++t) {
        const Thread& thread = threads[t];
        if (thread.status == DONE) {
            ++exited;
            continue;
        }
        if (where < 0) where = t;
        int i = 0;
        while (i < count && !(groups[i].line == thread.line && groups[i].what == thread.what)) ++i;
        if (i == count) {
            if (count == 8) continue;
            groups[count++] = {thread.what, thread.file, thread.line, t, 0};
        }
        ++groups[i].count;
    }
    char text[1000];
    int n = 0;
    for (int i = 0; i < count; ++i)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%d threads wait in %s at %.60s:%d (the first is %d)",
                      i ? "; " : "", groups[i].count, groups[i].what, base_name(groups[i].file), groups[i].line,
                      groups[i].first);
    if (exited) snprintf(text + n, sizeof text - (size_t)n, "; %d threads have returned", exited);
    simulator_fail("deadlock", threads[where].file, threads[where].line, "no thread can go on: %s", text);
}

// ---- Meeting points

void release_barrier() {
    barrier.waiting = 0;
    barrier.result = barrier.combined;
    checker::barrier_passed();
    for (int t = 0; t < thread_count; ++t)
        if (threads[t].status == AT_BARRIER) make_ready(t);
}

// Whether two calls stand at the same place of the kernel.
bool same_place(const char* file, int line, const char* other_file, int other_line) {
    return line == other_line && (file == other_file || strcmp(file, other_file) == 0);
}

[[noreturn]] void report_exited() {
    simulator_fail("exited threads at a barrier", barrier.file, barrier.line,
                   "%d of the block's %d threads returned without reaching %s", thread_count - live, thread_count,
                   barrier.what);
}

// Lets the lanes of `mask` go on if all of them wait in the same operation (or have returned).
void try_warp(int warp, unsigned mask) {
    Warp& w = warps[warp];
    if (((w.waiting | w.exited) & mask) != mask) return;
    const unsigned lanes = mask & w.waiting;
    if (!lanes) return;
    const int base = warp * 32;
    const Thread& first = threads[base + __builtin_ctz(lanes)];
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        const Thread& other = threads[base + __builtin_ctz(rest)];
        if (other.mask != mask) return;
        if (other.what != first.what || !same_place(other.file, other.line, first.file, first.line))
            simulator_fail("divergent warp operation", first.file, first.line,
                           "lane %d is in %s at %.60s:%d, but lane %d in %s at %.60s:%d", __builtin_ctz(lanes),
                           first.what, base_name(first.file), first.line, __builtin_ctz(rest), other.what,
                           base_name(other.file), other.line);
    }
    if (first.combine) first.combine(simulator_slots + base, lanes, first.file, first.line);
    if (!first.combine) checker::warp_passed(warp);  // only __syncwarp orders memory
    w.waiting &= ~lanes;
    for (unsigned rest = lanes; rest; rest &= rest - 1) make_ready(base + __builtin_ctz(rest));
}

void thread_exits() {
    Thread& me = threads[current];
    const int warp = current >> 5;
    if (me.copies)
        simulator_fail("missing cp.async wait", me.file, me.line, "the thread returned with %d copies under way",
                       me.copies);
    me.status = DONE;
    if (--live == 0) checker::block_ends();
    Warp& w = warps[warp];
    w.exited |= 1u << (current & 31);
    for (unsigned rest = w.waiting; rest; rest &= rest - 1) {
        const int l = __builtin_ctz(rest);
        if (w.waiting >> l & 1) try_warp(warp, threads[warp * 32 + l].mask);
    }
    if (live && barrier.waiting == live) report_exited();
}

void fiber_main() {
    stack_is_new(fiber_number == 1);
    for (;;) {
        worker->kernel(launch->values);
        in_kernel = false;
        thread_exits();
        if (ready_count || started == thread_count) {
            run_another(true);
            __builtin_unreachable();
        }
        char* stack = threads[current].stack;
        const int thread = launch_order[started++];
        threads[thread].stack = stack;
        make_current(thread);
    }
}

}  // namespace

extern "C" int simulator_barrier(int kind, int value, const char* what, const char* file, int line) {
    Thread& me = threads[current];
    if (barrier.waiting == 0) {
        barrier.kind = kind;
        barrier.combined = kind == 3;
        barrier.what = what;
        barrier.file = file;
        barrier.line = line;
        if (live < thread_count) report_exited();
    } else if (what != barrier.what || !same_place(file, line, barrier.file, barrier.line)) {
        simulator_fail("divergent barrier", file, line,
                       "this thread is in %s at %.60s:%d, while %d others wait in %s at %.60s:%d", what,
                       base_name(file), line, barrier.waiting, barrier.what, base_name(barrier.file), barrier.line);
    }
    if (kind == 1) barrier.combined += value != 0;
    if (kind == 2) barrier.combined |= value != 0;
    if (kind == 3) barrier.combined &= value != 0;
    me.status = AT_BARRIER;
    me.what = what;
    me.file = file;
    me.line = line;
    ++barrier.waiting;
    if (barrier.waiting == live) {
        if (kind == GRID) {
            block_parked = true;
            in_kernel = false;
            change_stack(&me.context, scheduler, nullptr);
            return 0;
        }
        release_barrier();
    }
    run_another(false);
    return barrier.result;
}

extern "C" void simulator_warp(unsigned mask, Combine combine, const char* what, const char* file, int line) {
    const int warp = current >> 5, lane = current & 31;
    if (!(mask >> lane & 1))
        simulator_fail("wrong mask", file, line, "lane %d calls %s with the mask 0x%08x, which leaves it out", lane,
                       what, mask);
    Thread& me = threads[current];
    me.status = AT_WARP;
    me.combine = combine;
    me.mask = mask;
    me.what = what;
    me.file = file;
    me.line = line;
    warps[warp].waiting |= 1u << lane;
    try_warp(warp, mask);
    run_another(false);
}

// The last thread of a block to come leaves for the scheduler, which goes on when all blocks have come.
extern "C" void simulator_grid_barrier(const char* file, int line) {
    simulator_barrier(GRID, 0, "grid_barrier", file, line);
}

extern "C" void simulator_fence() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    checker::fence();
}

extern "C" void simulator_printed() { printed = true; }

// ---- cp.async

namespace {

struct Copy {
    void* destination;
    const void* source;
    unsigned bytes;
    bool valid;
    int group;
    const char* file;
    int line;
};
constexpr int MAX_COPIES = 256;
Copy* copies[MAX_THREADS];

}  // namespace

extern "C" void simulator_copy_async(void* destination, const void* source, unsigned bytes, bool valid,
                                     const char* file, int line) {
    Thread& me = threads[current];
    if ((size_t)destination % bytes || (valid && (size_t)source % bytes))
        simulator_fail("misaligned access", file, line, "cp.async of %u bytes needs addresses that are multiples of it",
                       bytes);
    if (!copies[current]) copies[current] = (Copy*)malloc(sizeof(Copy) * MAX_COPIES);
    if (me.copies == MAX_COPIES)
        simulator_fail("missing cp.async wait", file, line, "%d copies of one thread are under way", MAX_COPIES);
    checker::copy_issued(destination, bytes, file, line);
    memset(destination, 0xff, bytes);  // undefined until it was waited for
    me.file = file;
    me.line = line;
    copies[current][me.copies++] = {destination, source, bytes, valid, me.groups, file, line};
}

extern "C" void simulator_commit_async() { ++threads[current].groups; }

extern "C" void simulator_wait_async(int pending) {
    Thread& me = threads[current];
    Copy* queue = copies[current];
    int done = 0;
    for (; done < me.copies && queue[done].group < me.groups - pending; ++done) {
        const Copy& c = queue[done];
        checker::copy_landed(c.destination, c.source, c.bytes, c.valid ? c.bytes : 0, c.file, c.line);
        if (c.valid) memcpy(c.destination, c.source, c.bytes);
        else memset(c.destination, 0, c.bytes);
    }
    if (done) {
        me.copies -= done;
        memmove(queue, queue + done, (size_t)me.copies * sizeof(Copy));
    }
}

// ---- Blocks

namespace {

void set_block(uint64_t number) {
    block_number = number;
    blockIdx = {(unsigned)(number % gridDim.x), (unsigned)(number / gridDim.x % gridDim.y),
                (unsigned)(number / ((uint64_t)gridDim.x * gridDim.y))};
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

// ---- Blocks that wait for one another in a grid barrier

// A block that waits. Shared memory is the same for all blocks, so its contents are kept here.
struct Parked {
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::vector<char> memory;
    uint64_t number;
    int live;
    const char* file;
    int line;
    void* checked;
};

template <class F> void for_shared_memory(F f) {
    for (int i = 0; i < launch->function->shared_count; ++i) {
        const Shared& s = shared[launch->function->shared_array[i]];
        f(s.data, s.bytes);
    }
    if (launch->dynamic_shared) f(simulator_dynamic_storage, launch->dynamic_shared);
}

Parked park() {
    block_parked = false;
    Parked p;
    p.threads.assign(threads, threads + thread_count);
    p.warps.assign(warps, warps + (thread_count + 31) / 32);
    for_shared_memory([&](char* data, size_t bytes) { p.memory.insert(p.memory.end(), data, data + bytes); });
    p.number = block_number;
    p.live = live;
    p.file = barrier.file;
    p.line = barrier.line;
    p.checked = checker::save_block();
    return p;
}

// Lets a block that waited go on, until it ends or waits again.
void resume(const Parked& p) {
    std::copy(p.threads.begin(), p.threads.end(), threads);
    std::copy(p.warps.begin(), p.warps.end(), warps);
    const char* from = p.memory.data();
    for_shared_memory([&](char* data, size_t bytes) {
        memcpy(data, from, bytes);
        from += bytes;
    });
    set_block(p.number);
    live = p.live;
    started = thread_count;
    barrier.waiting = 0;
    ready_head = ready_count = 0;
    checker::restore_block(p.checked);
    for (int t = 0; t < thread_count; ++t)
        if (threads[t].status == AT_BARRIER) make_ready(t);
    const int first = take_ready();
    make_current(first);
    change_stack(&scheduler, threads[first].context, threads[first].stack);
}

void record_failure(const char* kind, const char* file, int line, const char* format, ...) {
    va_list values;
    va_start(values, format);
    record(kind, file, line, 0, format, values);
    va_end(values);
}

// Runs the blocks that wait until all have ended.
void run_parked(std::vector<Parked> waiting) {
    while (!waiting.empty() && !launch->failure->set) {
        const Parked& first = waiting[0];
        if (waiting.size() != launch->blocks) {
            record_failure("deadlock", first.file, first.line,
                           "%zu of %llu blocks wait in grid_barrier, the others have returned", waiting.size(),
                           (unsigned long long)launch->blocks);
            return;
        }
        for (const Parked& p : waiting)
            if (!same_place(p.file, p.line, first.file, first.line)) {
                record_failure("divergent barrier", p.file, p.line,
                               "some blocks wait in grid_barrier at %.60s:%d, others at %.60s:%d",
                               base_name(first.file), first.line, base_name(p.file), p.line);
                return;
            }
        checker::grid_passed();
        std::vector<Parked> again;
        for (const Parked& p : waiting) {
            resume(p);
            if (launch->failure->set) return;
            if (block_parked) again.push_back(park());
        }
        waiting.swap(again);
    }
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
#ifdef SIMULATOR_ASAN
    const bool fits = launch->dynamic_shared == dynamic_capacity;  // so that the sanitizer knows the end
#else
    const bool fits = launch->dynamic_shared <= dynamic_capacity;
#endif
    if (!fits) {
        free(dynamic_capacity ? simulator_dynamic_storage : nullptr);
        void* memory = nullptr;
        dynamic_capacity = launch->dynamic_shared;
        if (dynamic_capacity && posix_memalign(&memory, 4096, dynamic_capacity)) abort();
        simulator_dynamic_storage = (char*)memory;
    }
}

// The operating system stopped the kernel at `pc`.
void fault(int signal, char* address, bool no_address, uint64_t pc) {
    if (!launch || !in_kernel) return;
    in_kernel = false;
    const char* stack = threads[current].stack;
    if (signal == SIGFPE)
        simulator_fail_at("division by zero", pc, "an integer was divided by zero, or the least one by -1");
    if (signal != SIGSEGV && signal != SIGBUS)
        simulator_fail_at("trap", pc, "the kernel was stopped by signal %d", signal);
    if (address >= stack - STACK_GUARD && address < stack + 64)
        simulator_fail_at("stack overflow", pc, "the thread's local variables and calls take more than %zu KiB",
                          STACK_BYTES >> 10);
    if (!address && no_address) simulator_fail_at("wild access", pc, "access to an address that no memory can have");
    if ((uint64_t)address < 65536)
        simulator_fail_at("null pointer", pc, "access to address %p: a null pointer was used", (void*)address);
    simulator_fail_at("wild access", pc, "access to address %p, where no memory is", (void*)address);
}

}  // namespace

// Where the module's __shared__ arrays are.
extern "C" __attribute__((visibility("default"))) void simulator_set_shared(int count, const Shared* arrays) {
    shared_count = count;
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
