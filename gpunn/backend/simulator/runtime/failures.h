// Failures: what was found is recorded, and the launch ends. A part of scheduler.cpp.
#pragma once
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "turns.h"

namespace simulator {
namespace {

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

// Whether two calls stand at the same place of the kernel.
bool same_place(const char* file, int line, const char* other_file, int other_line) {
    return line == other_line && (file == other_file || strcmp(file, other_file) == 0);
}

void report_expected();

void report_deadlock() {
    report_expected();
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
    const char* end = simulator_dynamic_storage + launch->dynamic_shared;
    if (launch->dynamic_shared && address >= end && address < end + STACK_GUARD)
        simulator_fail_at("out of bounds", pc, "access past the end of the dynamic shared memory, which has %zu bytes",
                          (size_t)launch->dynamic_shared);
    if (!address && no_address) simulator_fail_at("wild access", pc, "access to an address that no memory can have");
    if ((uint64_t)address < 65536)
        simulator_fail_at("null pointer", pc, "access to address %p: a null pointer was used", (void*)address);
    simulator_fail_at("wild access", pc, "access to address %p, where no memory is", (void*)address);
}

}  // namespace
}  // namespace simulator
