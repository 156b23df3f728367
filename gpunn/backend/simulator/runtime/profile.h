// What the profiler counts; `profile.py` has the same structures.
#pragma once
#include <stdint.h>

namespace simulator {

// The accesses that warps have made at one place. `file` is null where the place is the instruction `pc`.
struct AccessCount {
    uint64_t pc;
    const char* file;
    int32_t line, kind, is_shared, bytes;  // kind: 0 read, 1 write, 2 atomic; bytes of each thread
    uint64_t requests, threads;            // accesses of a warp, and of a thread
    uint64_t sectors, useful_bytes;        // of global memory: sectors of 32 bytes, and the bytes that were asked for
    uint64_t passes, conflicts;            // of shared memory: its cycles, and those that conflicts of banks have added
};

// How often a basic block was executed, by a warp and by a thread; `pc` is in its beginning.
struct BlockCount {
    uint64_t pc, warps, threads;
};

// The bytes of an array that were read and written at least once; and of each counted block the sectors that it touched,
// each once, all added up.
struct ArrayCount {
    uint64_t read, written, block_sectors;
};

}  // namespace simulator
