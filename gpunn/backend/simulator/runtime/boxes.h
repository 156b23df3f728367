// Barriers in shared memory that count threads and bytes (mbarrier), and copies of boxes of a tensor that they count
// (cp.async.bulk.tensor). A part of scheduler.cpp.
//
// PTX ISA 9.0, sections of these names. A copy lands as late as it can, when no thread can go on without it; until then
// its destination is undefined, all bits set. With the 128-byte swizzle bits 7 to 9 of an address change bits 4 to 6.
#pragma once
#include <vector>

#include "failures.h"

namespace simulator {
namespace {

struct Mbarrier {
    const void* place;
    int arrivals, missing;  // of a phase; those that have not come yet
    long long bytes;        // that are still expected; negative where copies were first
    unsigned phase;         // the number of those that are complete
    int under_way;          // copies
    const char* file;       // where bytes were expected last
    int line;
};
std::vector<Mbarrier> mbarriers;  // of the block

// What gpunn/backend/tensor_map.py makes: sizes and box in elements, steps and element in bytes.
struct Map {
    uint64_t address, size[3], step[2], box[3], element;
};
constexpr unsigned LINE = 128, CHUNK = 16, PATTERN = 1024;

struct BoxCopy {
    Map map;
    const char* from;  // the tensor's first element
    char* to;
    int first[3], barrier;
    const char* file;
    int line;
    size_t lines() const { return (size_t)(map.box[1] * map.box[2]); }
};
std::vector<BoxCopy> box_copies;  // under way, the oldest first

int number_of(const void* place, const char* what, const char* file, int line) {
    for (size_t i = 0; i < mbarriers.size(); ++i)
        if (mbarriers[i].place == place) {
            checker::mbarrier_used(place, file, line);
            return (int)i;
        }
    simulator_fail("missing mbarrier init", file, line, "%s: there is no barrier, mbarrier.init has made none here", what);
}

// Ends the phase if all threads have arrived and all bytes are there.
void try_phase(int number, const char* file, int line) {
    Mbarrier& b = mbarriers[(size_t)number];
    if (b.missing) return;
    if (b.bytes < 0 || (b.bytes == 0 && b.under_way))
        simulator_fail("wrong expect_tx", b.file ? b.file : file, b.file ? b.line : line,
                       "copies bring more bytes than the phase expects: it has all of them, and there are %lld more, "
                       "and %d copies under way",
                       -b.bytes, b.under_way);
    if (b.bytes) return;
    const unsigned parity = b.phase & 1;
    checker::mbarrier_completed(number, b.phase);
    ++b.phase;
    b.missing = b.arrivals;
    for (int t = 0; t < thread_count; ++t)
        if (threads[t].status == AT_MBARRIER && threads[t].mbarrier == number && threads[t].parity == parity)
            make_ready(t);
}

// The address in the copy that the checker works on, if there is one.
const char* relocated(uint64_t address) {
    for (int i = 0; i < launch->buffers; ++i) {
        const Buffer& b = launch->buffer[i];
        if (address - b.original < b.bytes) return b.data + (address - b.original);
    }
    return (const char*)address;
}

// Calls f(destination, source, bytes before it, bytes of it, number) for each chunk: what of it is inside the tensor.
template <class F> void for_box(const BoxCopy& c, F f) {
    const long long element = (long long)c.map.element, length = (long long)c.map.size[0] * element;
    for (size_t l = 0; l < c.lines(); ++l) {
        const long long y = c.first[1] + (long long)(l % c.map.box[1]), z = c.first[2] + (long long)(l / c.map.box[1]);
        const bool there = y >= 0 && y < (long long)c.map.size[1] && z >= 0 && z < (long long)c.map.size[2];
        const char* from = there ? c.from + (size_t)y * c.map.step[0] + (size_t)z * c.map.step[1] : nullptr;
        for (unsigned i = 0; i < LINE / CHUNK; ++i) {
            const size_t to = (size_t)(c.to + l * LINE + i * CHUNK);
            const long long begin = c.first[0] * element + i * CHUNK, first = begin < 0 ? 0 : begin;
            const long long end = there ? (begin + CHUNK < length ? begin + CHUNK : length) : 0;
            const size_t inside = end > first ? (size_t)(end - first) : 0;
            f((char*)(to ^ (to >> 7 & 7) << 4), from + first, (size_t)(first - begin), inside,
              (int)(l * (LINE / CHUNK) + i));
        }
    }
}

void check_map(const Map& map, const char* file, int line) {
    const bool box = map.element && map.box[0] * map.element == LINE && map.box[1] - 1 < 256 && map.box[2] - 1 < 256;
    const bool steps = !(map.address % 16 || map.step[0] % 16 || map.step[1] % 16);
    if (!box || !steps || !map.size[0] || !map.size[1] || !map.size[2])
        simulator_fail("wrong tensor map", file, line,
                       "this is no map that the simulator knows: lines of a box have 128 bytes, address and steps are "
                       "multiples of 16, no size is 0");
}

// A copy that is under way arrives; false if there is none. Which one depends on the order of threads.
bool land_box() {
    if (box_copies.empty()) return false;
    const size_t last = box_copies.size() - 1;
    const size_t i = launch->order == 0 ? 0 : launch->order == 1 ? last : (size_t)(random_number() % (last + 1));
    const BoxCopy c = box_copies[i];
    box_copies.erase(box_copies.begin() + (long)i);
    Mbarrier& b = mbarriers[(size_t)c.barrier];
    for_box(c, [&](char* to, const char* from, size_t before, size_t inside, int) {
        memset(to, 0, CHUNK);
        if (inside) memcpy(to + before, from, inside);
    });
    checker::box_landed(c.to, c.lines() * LINE, c.barrier, b.phase, c.file, c.line);
    --b.under_way;
    b.bytes -= (long long)(c.lines() * LINE);
    try_phase(c.barrier, c.file, c.line);
    return true;
}

// No thread can go on: is that so because bytes are expected that no copy brings?
void report_expected() {
    for (int t = 0; t < thread_count; ++t) {
        if (threads[t].status != AT_MBARRIER) continue;
        const Mbarrier& b = mbarriers[(size_t)threads[t].mbarrier];
        if (!b.missing && b.bytes)
            simulator_fail("wrong expect_tx", b.file, b.line,
                           "the phase expects %lld bytes more than copies bring, and threads wait for it at %.60s:%d",
                           b.bytes, base_name(threads[t].file), threads[t].line);
    }
}

void boxes_begin() {
    mbarriers.clear();
    box_copies.clear();
}

// All threads of a block have returned.
void boxes_end() {
    if (box_copies.empty()) return;
    simulator_fail("missing mbarrier wait", box_copies[0].file, box_copies[0].line,
                   "the block has returned with %zu copies of boxes under way", box_copies.size());
}

}  // namespace

extern "C" void simulator_mbarrier_init(const void* place, unsigned arrivals, const char* file, int line) {
    if ((size_t)place % 8) simulator_fail("misaligned access", file, line, "an mbarrier is at a multiple of 8");
    if (arrivals - 1 >= (1u << 20) - 1)
        simulator_fail("wrong count", file, line, "an mbarrier waits for 1 to 1048575 arrivals, not %u", arrivals);
    const Mbarrier made = {place, (int)arrivals, (int)arrivals, 0, 0, 0, nullptr, 0};
    size_t i = 0;
    while (i < mbarriers.size() && mbarriers[i].place != place) ++i;
    if (i == MAX_MBARRIERS)
        simulator_fail("wrong count", file, line, "the simulator knows %d barriers of a block", MAX_MBARRIERS);
    if (i == mbarriers.size()) mbarriers.push_back(made);
    mbarriers[i] = made;
    checker::mbarrier_made(place, file, line);
}

extern "C" void simulator_mbarrier_arrive(const void* place, unsigned bytes, const char* file, int line) {
    const int number = number_of(place, "mbarrier.arrive", file, line);
    Mbarrier& b = mbarriers[(size_t)number];
    if (!b.missing)
        simulator_fail("wrong count", file, line, "more threads arrive than the %d that the barrier waits for",
                       b.arrivals);
    if (bytes) b.file = file, b.line = line;
    b.bytes += bytes;
    --b.missing;
    checker::mbarrier_arrived(number);
    try_phase(number, file, line);
}

extern "C" void simulator_mbarrier_wait(const void* place, unsigned parity, const char* file, int line) {
    const int number = number_of(place, "mbarrier.try_wait", file, line);
    if (parity > 1) simulator_fail("wrong parity", file, line, "a parity is 0 or 1, not %u", parity);
    if ((mbarriers[(size_t)number].phase & 1) == parity) {
        Thread& me = threads[current];
        me.status = AT_MBARRIER;
        me.mbarrier = number;
        me.parity = parity;
        me.what = "mbarrier.try_wait";
        me.file = file;
        me.line = line;
        run_another(false);
    }
    checker::mbarrier_waited(number);
}

extern "C" void simulator_copy_box(void* to, const void* map, int x, int y, int z, const void* barrier,
                                   const char* file, int line) {
    BoxCopy c = {*(const Map*)map, nullptr, (char*)to, {x, y, z}, 0, file, line};
    check_map(c.map, file, line);
    if ((size_t)to % PATTERN)
        simulator_fail("misaligned access", file, line, "a box is copied to a multiple of %u, where a pattern of the "
                       "128-byte swizzle begins", PATTERN);
    c.barrier = number_of(barrier, "cp.async.bulk.tensor", file, line);
    c.from = relocated(c.map.address);
    checker::box_issued(to, c.lines() * LINE, barrier, file, line);
    for_box(c, [&](char* chunk, const char* from, size_t, size_t inside, int number) {
        if (inside) checker::box_reads(from, inside, number, file, line);
        memset(chunk, 0xff, CHUNK);
    });
    ++mbarriers[(size_t)c.barrier].under_way;
    box_copies.push_back(c);
}

}  // namespace simulator
