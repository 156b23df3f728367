// What the three parts of the runtime share: the host library (one a process), the scheduler and the kernels (one copy
// a worker and module). Everything here has the same layout in all of them; `native.py` repeats what Python reads.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace simulator {

constexpr int MAX_THREADS = 1024;  // of a block
constexpr int MAX_WORKERS = 64;
constexpr size_t STACK_BYTES = 256 << 10;  // of one CUDA thread; only what is touched takes memory
constexpr size_t STACK_GUARD = 4096;       // below it, so that an overflow is noticed

// The first bug of a launch. `pc` is the instruction that did it where file and line are not known otherwise. `other`
// is the earlier access that it is in conflict with, if there is one.
struct Failure {
    int32_t set;
    int32_t line, other_line;
    int32_t pad;
    uint64_t pc, other_pc;
    char kind[40];
    char file[256];
    char other_file[256];
    char message[1600];
};

// An array argument, as the checker sees it.
struct Buffer {
    char* data;
    uint64_t bytes;
    uint64_t original;  // the address of what it is a copy of
    int32_t element_bytes;
    int32_t is_const;
    char name[96];
};

// One launch, shared by the workers that run its blocks.
struct Launch {
    uint64_t next_block, blocks;
    uint32_t grid[3], block[3];
    uint64_t dynamic_shared;
    uint64_t seed;
    int32_t order;  // of threads and blocks: 0 forward, 1 reverse, 2 random
    int32_t workers;
    int32_t buffers;
    int32_t pad;
    Buffer* buffer;
    void** values;  // the address of each argument
    struct Function* function;
    Failure* failure;
};

// The stacks of one worker, made as they are needed and kept for the next launch.
struct Stacks;

// What one operating system thread runs: its own copy of the module, and its own stacks.
struct Worker {
    Launch* launch;
    void (*kernel)(void**);
    void (*run)(Worker*);
    Stacks* stacks;
    char* (*stack)(Stacks*, int);  // the lowest address of stack number i
    void (*start_helpers)(Launch*);
    // The operating system stopped the thread; returns if it was not in the kernel.
    void (*fault)(int signal, char* address, bool no_address, uint64_t pc);
    int32_t index;
};

// A parameter of a kernel, as far as a launch needs it.
struct Parameter {
    int32_t kind;      // 0 array, 1 number, 2 structure by value
    int32_t bytes;     // of a number or structure
    int32_t is_const;  // nothing is written to the array
    int32_t pad;
    const void* type;   // Python: the NumPy type of a number
    const void* dtype;  // Python: the dtype of an array or structure; null if any
};

// A kernel that Python may launch.
struct Function {
    void (*run[MAX_WORKERS])(Worker*);  // of each worker's copy of the module
    void (*kernel[MAX_WORKERS])(void**);
    int32_t workers;
    int32_t parameters;
    Parameter* parameter;
    const int32_t* shared_array;  // the module's __shared__ arrays that it uses
    int64_t shared_count;
    uint64_t static_shared, max_dynamic_shared, max_shared;
    uint64_t seed;
    uint64_t counted_blocks;  // the most that the profiler counts; 0: all
    int32_t only_counted;     // and no other runs
    int32_t paused;           // nothing is counted
    int32_t order;
    int32_t max_threads;
    Failure failure;
};

}  // namespace simulator
