// Blocks that wait for one another in a grid barrier. A part of scheduler.cpp.
//
// They run one after the other on one worker. When all threads of a block wait in a grid barrier it is parked; when all
// blocks are, they go on in turn.
#pragma once
#include <algorithm>
#include <vector>

#include "meetings.h"

namespace simulator {
namespace {

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

}  // namespace
}  // namespace simulator
