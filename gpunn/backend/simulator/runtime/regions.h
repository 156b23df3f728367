// What the checker remembers of memory: regions, their cells, and who accessed them last.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "checker.h"

extern "C" {
__attribute__((visibility("hidden"))) [[noreturn]] void simulator_fail_at(const char* kind, uint64_t pc,
                                                                          const char* format, ...);
// The module's image, up to the section with shared memory, which is the last.
extern char __ehdr_start __attribute__((visibility("hidden")));
extern char simulator_shared_begin[] __attribute__((visibility("hidden")));
}

namespace simulator {
namespace checker {
namespace {

enum Kind { READ, WRITE, ATOMIC };
const char* const NAMES[] = {"read", "write", "atomic operation"};

// Where an access is: an instruction, or a place that is known.
struct Place {
    uint64_t pc;
    const char* file;
    int line;
};

// The last accesses of one kind to a cell.
struct Access {
    uint32_t epoch;
    uint32_t warp_time;
    uint32_t place;          // see remember()
    uint32_t foreign_phase;  // in which another block has made one
    uint32_t arrivals;       // of its warp before, or the number of the phase of a copy; see ordered.h
    uint16_t thread;         // from MAX_THREADS on: a copy of a box, of that barrier
    uint16_t threads;  // ONE: `thread` alone in this epoch; SEVERAL lanes of its warp; SEVERAL_WARPS
};
enum { ONE, SEVERAL, SEVERAL_WARPS };
enum { BY_THREAD = 1, BY_BOX };

struct Cell {
    Access write, read, atomic;
    uint32_t written;  // the async_time of the last write
    uint16_t reading;  // so many wgmma read it at any time now
    char copying;      // a cp.async to it is under way, or a copy of a box
};

struct Region {
    char* begin;
    size_t bytes;
    size_t granule;  // bytes of a cell
    Cell* cells;
    bool is_shared, is_const;
    const char* name;
};

std::vector<Region> regions;
size_t last_region;

uint32_t epoch = 1;
uint32_t block_first;    // epoch of the running block
uint32_t segment_first;  // since it began, or came back from a grid barrier
uint32_t phase_first;    // since the launch began, or all blocks met
uint32_t phase = 1;
uint32_t warp_time[MAX_WARPS];
uint64_t accesses;  // since the running thread got its turn
int accessing_thread;

constexpr uint64_t MAX_ACCESSES = 20000000;

// Fences between what threads write and what wgmma reads are counted. `fenced_at` is a thread's last one, and
// `known_fence` that before the last barrier, which was at `barrier_at`.
uint32_t async_time = 1, barrier_at = 1;
uint32_t fenced_at[MAX_THREADS], known_fence[MAX_THREADS];

// What other blocks have handed over by a fence and an atomic operation: the epochs in which they wrote it.
struct Span {
    uint32_t first, last;
};
std::map<const void*, std::vector<Span>> released;
std::vector<Span> acquired;
bool fenced;

// The earlier of two accesses in conflict.
Place conflicting;

// A value that was read before the block wrote it. Whether that is a race shows when someone writes it before the next
// barrier.
struct {
    bool set;
    int thread;
    Place place;
    const Region* region;
    size_t offset;
} unwritten;

[[noreturn]] void fail(const Place& place, const char* kind, const char* format, ...) {
    char text[1200];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (place.file) simulator_fail(kind, place.file, place.line, "%s", text);
    simulator_fail_at(kind, place.pc, "%s", text);
}

void describe_thread(int thread, char* out, size_t size) {
    const Dim3& i = threads[thread].index;
    snprintf(out, size, "thread (%u, %u, %u)", i.x, i.y, i.z);
}

Region make_region(char* begin, size_t bytes, size_t granule, bool is_shared, bool is_const, const char* name) {
    while (granule > 1 && ((size_t)begin % granule || bytes % granule)) granule /= 2;
    return {begin, bytes, granule, (Cell*)calloc(bytes / granule + 1, sizeof(Cell)), is_shared, is_const, name};
}

// Cells become as fine as the accesses to them.
void refine(Region& r, size_t granule) {
    const size_t cells = r.bytes / r.granule, parts = r.granule / granule;
    Cell* fine = (Cell*)calloc(cells * parts + 1, sizeof(Cell));
    for (size_t i = 0; i < cells; ++i)
        for (size_t k = 0; k < parts; ++k) fine[i * parts + k] = r.cells[i];
    free(r.cells);
    r.cells = fine;
    r.granule = granule;
}

Region* find(const char* p) {
    if (last_region < regions.size()) {
        Region& r = regions[last_region];
        if ((size_t)(p - r.begin) < r.bytes) return &r;
    }
    for (size_t i = 0; i < regions.size(); ++i)
        if ((size_t)(p - regions[i].begin) < regions[i].bytes) {
            last_region = i;
            return &regions[i];
        }
    return nullptr;
}

[[noreturn]] void out_of_bounds(const char* p, size_t bytes, int kind, const Place& place) {
    const Region* nearest = nullptr;
    size_t best = 1 << 20;
    for (const Region& r : regions) {
        const char* end = r.begin + r.bytes;
        const size_t distance = p < r.begin ? (size_t)(r.begin - p) : p < end ? 0 : (size_t)(p - end);
        if (distance < best) {
            best = distance;
            nearest = &r;
        }
    }
    if ((size_t)p < 65536)
        fail(place, "null pointer", "%zu-byte %s at address %p: a null pointer was used", bytes, NAMES[kind], (void*)p);
    if (!nearest)
        fail(place, "out of bounds", "%zu-byte %s far from every array and all shared memory", bytes, NAMES[kind]);
    if (p < nearest->begin)
        fail(place, "out of bounds", "%zu-byte %s that begins %zu bytes before %s (%zu bytes)", bytes, NAMES[kind],
             best, nearest->name, nearest->bytes);
    fail(place, "out of bounds", "%zu-byte %s at byte %zu of %s, which has %zu bytes", bytes, NAMES[kind],
         (size_t)(p - nearest->begin), nearest->name, nearest->bytes);
}

}  // namespace
}  // namespace checker
}  // namespace simulator
