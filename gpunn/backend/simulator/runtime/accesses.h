// The functions that the compiler calls for -fsanitize=thread: every read and write of a kernel, with its size. A part of
// checker.cpp and of profiler.cpp.
#pragma once
#include "checker.h"

using simulator::checker::access;

#define HIDDEN extern "C" __attribute__((visibility("hidden")))
#define PC ((uint64_t)__builtin_return_address(0) - 1)

HIDDEN void simulator_access(const void* pointer, size_t bytes, int kind) { access(pointer, bytes, kind, PC); }
HIDDEN void simulator_access_at(const void* pointer, size_t bytes, int kind, const char* file, int line, int lane) {
    simulator::checker::access_at(pointer, bytes, kind, file, line, lane);
}

#define ACCESSES(n)                                                        \
    HIDDEN void __tsan_read##n(void* p) { access(p, n, 0, PC); }           \
    HIDDEN void __tsan_write##n(void* p) { access(p, n, 1, PC); }          \
    HIDDEN void __tsan_unaligned_read##n(void* p) { access(p, n, 0, PC); } \
    HIDDEN void __tsan_unaligned_write##n(void* p) { access(p, n, 1, PC); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
HIDDEN void __tsan_read_range(void* p, size_t bytes) { access(p, bytes, 0, PC); }
HIDDEN void __tsan_write_range(void* p, size_t bytes) { access(p, bytes, 1, PC); }
HIDDEN void __tsan_init() {}
HIDDEN void __tsan_func_entry(void*) {}
HIDDEN void __tsan_func_exit(void*) {}
