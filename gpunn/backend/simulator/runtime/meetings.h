// Where threads meet: barriers of a block, operations of a warp, and their end. A part of scheduler.cpp.
#pragma once
#include "boxes.h"
#include "failures.h"
#include "warpgroups.h"

namespace simulator {
namespace {

void release_barrier() {
    barrier.waiting = 0;
    barrier.result = barrier.combined;
    checker::barrier_passed();
    for (int t = 0; t < thread_count; ++t)
        if (threads[t].status == AT_BARRIER) make_ready(t);
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
    checker::warp_met(warp, !first.combine);  // only __syncwarp orders memory
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
    Warp& w = warps[warp];
    w.exited |= 1u << (current & 31);
    if (w.exited == ~0u) warp_products_end(warp);
    if (--live == 0) {
        warpgroups_end();
        boxes_end();
        checker::block_ends();
    }
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

}  // namespace simulator
