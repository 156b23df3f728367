// Watches every access that a kernel makes to memory, for the mode "check".
//
// The kernels are compiled with -fsanitize=thread and parts of -fsanitize=undefined, but linked with neither library:
// the functions that the compiler then calls are in callbacks.h. Each byte range that a kernel may use (its arrays, its
// shared memory) has shadow cells that remember who wrote and read last, and when.
//
// Time is counted in epochs. A new one begins with every block and after every barrier, so two accesses of one block
// are in order if their epochs differ. Within an epoch lanes of one warp can be in order through __syncwarp, which
// counts the warp's own time, and warps through mbarriers (ordered.h). Blocks run one after the other, so an earlier
// epoch is that of another block if it lies before this block's first. All blocks meet in a grid barrier, and what lies
// before it is in order with all after.
#include "ordered.h"

namespace simulator {
namespace checker {
namespace {

// Places in 32 bits: an instruction's offset in the module, or a number in this list with the top bit set.
std::vector<Place> known_places;
std::map<std::pair<const char*, int>, uint32_t> numbers_of_places;
constexpr uint32_t KNOWN = 0x80000000u;

uint32_t remembered(const Place& place) {
    if (!place.file) return (uint32_t)(place.pc - (uint64_t)&__ehdr_start);
    const auto added = numbers_of_places.insert({{place.file, place.line}, KNOWN | (uint32_t)known_places.size()});
    if (added.second) known_places.push_back(place);
    return added.first->second;
}

Place recalled(uint32_t place) {
    if (place & KNOWN) return known_places[place & ~KNOWN];
    return {place + (uint64_t)&__ehdr_start, nullptr, 0};
}

bool was_acquired(uint32_t when) {
    for (const Span& s : acquired)
        if (when >= s.first && when <= s.last) return true;
    return false;
}

// Whether an access that the running thread makes now is in no order with earlier ones to the cell by threads of its
// block.
bool conflicts_within_block(const Access& a, const char* cell) {
    if (a.epoch != epoch) return false;
    const int warp = accessing_thread >> 5;
    if (a.threads == SEVERAL_WARPS) return !are_known(cell);
    if ((a.thread >> 5) != warp) return !is_known(a);
    if (a.warp_time < warp_time[warp]) return false;
    return a.threads == SEVERAL || a.thread != accessing_thread;
}

bool conflicts_between_blocks(const Access& a) {
    if (a.epoch >= phase_first && a.epoch < segment_first && !was_acquired(a.epoch)) return true;
    return a.foreign_phase == phase && acquired.empty();
}

[[noreturn]] void race(const Region& r, size_t offset, int kind, const Access& other, const char* did, bool of_blocks,
                       const Place& place) {
    conflicting = recalled(other.place);
    if (of_blocks)
        fail(place, "race between blocks", "%s of byte %zu of %s, which another block has %s", NAMES[kind], offset,
             r.name, did);
    char mine[64], its[64];
    describe_thread(accessing_thread, mine, sizeof mine);
    describe_thread(other.thread, its, sizeof its);
    fail(place, "race", "%s of byte %zu of %s by %s, which %s%s has %s, with no barrier between", NAMES[kind], offset,
         r.name, mine, other.threads == ONE ? "" : "several threads, among them ", its, did);
}

void check_conflict(const Access& other, const char* did, const Region& r, size_t offset, int kind,
                    const Place& place) {
    if (!r.is_shared && conflicts_between_blocks(other)) race(r, offset, kind, other, did, true, place);
    if (is_copy(other)) return;
    if (conflicts_within_block(other, r.begin + offset)) race(r, offset, kind, other, did, false, place);
}

void note(Access& a, const Place& place, const char* cell) {
    const int me = accessing_thread, warp = me >> 5;
    if (a.epoch != epoch || is_copy(a)) {
        if (a.epoch >= phase_first && a.epoch < segment_first) a.foreign_phase = phase;
        a.threads = ONE;
    } else if (a.threads != SEVERAL_WARPS && (a.thread >> 5) == warp) {
        if (a.warp_time < warp_time[warp]) a.threads = ONE;
        else if (a.thread != me) a.threads = SEVERAL;
    } else if (conflicts_within_block(a, cell)) {
        if (any_mbarriers) note_reader(cell, a);
        a.threads = SEVERAL_WARPS;
    } else {
        a.threads = ONE;
    }
    a.epoch = epoch;
    a.thread = (uint16_t)me;
    a.warp_time = warp_time[warp];
    a.arrivals = arrivals[warp];
    a.place = remembered(place);
}

void report_unwritten() {
    if (!unwritten.set) return;
    unwritten.set = false;
    threadIdx = threads[unwritten.thread].index;
    fail(unwritten.place, "uninitialised shared memory", "byte %zu of %s was read, which the block has not written",
         unwritten.offset, unwritten.region->name);
}

void check_cell(Cell& c, const Region& r, size_t offset, int kind, const Place& place) {
    if (c.copying && c.write.epoch >= block_first) {
        const bool box = c.copying == BY_BOX;
        fail(place, box ? "missing mbarrier wait" : "missing cp.async wait",
             "%s of byte %zu of %s, to which a %s is under way", NAMES[kind], offset, r.name,
             box ? "copy of a box" : "cp.async");
    }
    if (is_copy(c.write) && c.write.epoch >= block_first && !is_known(c.write)) {
        conflicting = recalled(c.write.place);
        fail(place, "missing mbarrier wait",
             "%s of byte %zu of %s, to which a box was copied; the thread has not waited for that, nor met one that has",
             NAMES[kind], offset, r.name);
    }
    if (c.reading && kind != READ)
        fail(place, "missing wgmma wait", "%s of byte %zu of %s, which a wgmma is reading", NAMES[kind], offset,
             r.name);
    if (kind == WRITE) c.written = async_time;
    if (r.is_shared && kind != WRITE && c.write.epoch < block_first && !unwritten.set)
        unwritten = {true, accessing_thread, place, &r, offset};
    check_conflict(c.write, "written", r, offset, kind, place);
    if (kind != READ) check_conflict(c.read, "read", r, offset, kind, place);
    if (kind != ATOMIC) check_conflict(c.atomic, "changed atomically", r, offset, kind, place);
    note(kind == WRITE ? c.write : kind == ATOMIC ? c.atomic : c.read, place, r.begin + offset);
}

// The region of an access that is in bounds; null where there is nothing to check.
Region* locate(const char* p, size_t bytes, int kind, const Place& place) {
    if ((size_t)(p - threads[current].stack) < STACK_BYTES) {
        if (sums_under_way && is_sum_under_way(p))
            fail(place, "missing wgmma wait", "%s of a sum that a wgmma is adding to", NAMES[kind]);
        return nullptr;
    }
    Region* r = find(p);
    if (!r) {
        if ((size_t)(p - simulator_slots[0]) < sizeof(Slot) * MAX_THREADS) return nullptr;
        if (kind == READ && p >= &__ehdr_start && p < simulator_shared_begin) return nullptr;  // a constant
        out_of_bounds(p, bytes, kind, place);
    }
    const size_t offset = (size_t)(p - r->begin);
    if (bytes > r->bytes - offset) out_of_bounds(p, bytes, kind, place);
    if (r->is_const && kind != READ)
        fail(place, "write to const", "%s of byte %zu of %s, which the kernel declares const", NAMES[kind], offset,
             r->name);
    if (offset % r->granule || bytes % r->granule) {
        size_t granule = r->granule;
        while (offset % granule || bytes % granule) granule /= 2;
        refine(*r, granule);
    }
    return r;
}

void check(const void* pointer, size_t bytes, int kind, const Place& place) {
    if (!launch || !in_kernel) return;
    const char* p = (const char*)pointer;
    Region* r = locate(p, bytes, kind, place);
    if (!r) return;
    if (++accesses > MAX_ACCESSES)
        fail(place, "endless loop", "a thread made %llu accesses to memory without waiting for others",
             (unsigned long long)MAX_ACCESSES);
    const size_t offset = (size_t)(p - r->begin), first = offset / r->granule, count = bytes / r->granule;
    accessing_thread = current;
    for (size_t i = 0; i < count; ++i) check_cell(r->cells[first + i], *r, offset + i * r->granule, kind, place);
    if (kind == ATOMIC && !r->is_shared) {
        std::vector<Span>& spans = released[p];
        acquired.insert(acquired.end(), spans.begin(), spans.end());
        if (fenced) spans.push_back({block_first, epoch});
    }
}

}  // namespace

void access(const void* pointer, size_t bytes, int kind, uint64_t pc) { check(pointer, bytes, kind, {pc, nullptr, 0}); }

void access_at(const void* pointer, size_t bytes, int kind, const char* file, int line, int) {
    check(pointer, bytes, kind, {0, file, line});
}

void turn_begins() { accesses = 0; }

void copy_issued(void* destination, size_t bytes, const char* file, int line) {
    const Place place = {0, file, line};
    check(destination, bytes, WRITE, place);
    Region* r = find((const char*)destination);
    if (!r) return;
    const size_t first = (size_t)((char*)destination - r->begin) / r->granule;
    for (size_t i = 0; i < bytes / r->granule; ++i) r->cells[first + i].copying = BY_THREAD;
}

void copy_landed(void* destination, const void* source, size_t bytes, size_t read, const char* file, int line) {
    const Place place = {0, file, line};
    if (read) check(source, read, READ, place);
    Region* r = find((const char*)destination);
    if (r) {
        const size_t first = (size_t)((char*)destination - r->begin) / r->granule;
        for (size_t i = 0; i < bytes / r->granule; ++i) r->cells[first + i].copying = 0;
    }
    check(destination, bytes, WRITE, place);
}

namespace {

// Calls f(cell, offset in its region) for all cells of shared memory there.
template <class F> void for_cells(const void* pointer, size_t bytes, F f) {
    Region* r = find((const char*)pointer);
    const size_t offset = (size_t)((const char*)pointer - r->begin);
    for (size_t i = 0; i < bytes / r->granule; ++i) f(r->cells[offset / r->granule + i], *r, offset + i * r->granule);
}

// Whether a fence lies between the last write, by this block, and a wgmma of the running warp: by the thread that
// wrote, and then a barrier, or by the reader after that barrier.
bool was_fenced(const Cell& c) {
    const int writer = c.write.thread;
    if (c.write.epoch < block_first || is_copy(c.write) || known_fence[writer] > c.written) return true;
    if (writer >> 5 == current >> 5 && fenced_at[writer] > c.written) return true;
    return c.write.epoch < epoch && fenced_at[current] > std::max(c.written, barrier_at);
}

void need_fence(const Cell& c, const Region& r, size_t offset, const char* what, const Place& place) {
    if (was_fenced(c)) return;
    conflicting = recalled(c.write.place);
    fail(place, "missing proxy fence", "%s byte %zu of %s, which was written with no fence.proxy.async and barrier between",
         what, offset, r.name);
}

}  // namespace

void fence_async_proxy() { fenced_at[current] = ++async_time; }

void async_read_begins(const void* pointer, size_t bytes, const char* file, int line) {
    const Place place = {0, file, line};
    check(pointer, bytes, READ, place);
    for_cells(pointer, bytes, [&](Cell& c, const Region& r, size_t offset) {
        ++c.reading;
        need_fence(c, r, offset, "a wgmma reads", place);
    });
}

void async_read_ends(const void* pointer, size_t bytes, const char* file, int line) {
    for_cells(pointer, bytes, [](Cell& c, const Region&, size_t) { --c.reading; });
    check(pointer, bytes, READ, {0, file, line});
}

void mbarrier_made(const void* place, const char* file, int line) {
    any_mbarriers = true;
    check(place, 8, WRITE, {0, file, line});
}

void mbarrier_used(const void* place, const char* file, int line) { check(place, 8, ATOMIC, {0, file, line}); }

void mbarrier_arrived(int number) {
    const int warp = current >> 5;
    gathered[number].join(known[current]);
    gathered[number].of[warp] = ++arrivals[warp];
}

void mbarrier_completed(int number, unsigned phase) {
    gathered[number].of[MAX_WARPS + number] = phase + 1;
    completed[number] = gathered[number];
}

void mbarrier_waited(int number) { known[current].join(completed[number]); }

// Nothing may touch the destination from now on, and what has done so before is in order.
void box_issued(const void* to, size_t bytes, const void* barrier, const char* file, int line) {
    const Place place = {0, file, line};
    auto fenced_before = [&](Cell& c, const Region& r, size_t offset) {
        if (!c.copying) need_fence(c, r, offset, "a copy of a box changes", place);
    };
    for_cells(barrier, 8, fenced_before);
    if (locate((const char*)to, bytes, WRITE, place)) for_cells(to, bytes, fenced_before);
    check(to, bytes, WRITE, place);
    for_cells(to, bytes, [](Cell& c, const Region&, size_t) { c.copying = BY_BOX; });
}

void box_reads(const void* from, size_t bytes, int, const char* file, int line) {
    check(from, bytes, READ, {0, file, line});
}

void box_landed(const void* to, size_t bytes, int number, unsigned phase, const char* file, int line) {
    const uint32_t place = remembered({0, file, line});
    for_cells(to, bytes, [&](Cell& c, const Region&, size_t) {
        c.copying = 0;
        c.write = {epoch, 0, place, 0, phase, (uint16_t)((MAX_WARPS + number) * 32), ONE};
    });
}

void begin_launch() {
    phase_first = ++epoch;
    ++phase;
    conflicting = {};
    regions.clear();
    released.clear();
    for (int i = 0; i < launch->function->shared_count; ++i) {
        const Shared& s = shared[launch->function->shared_array[i]];
        regions.push_back(make_region(s.data, s.bytes, 4, true, false, s.name));
    }
    if (launch->dynamic_shared)
        regions.push_back(
            make_region(simulator_dynamic_shared, launch->dynamic_shared, 4, true, false, "the dynamic shared memory"));
    for (int i = 0; i < launch->buffers; ++i) {
        const Buffer& b = launch->buffer[i];
        regions.push_back(make_region(b.data, b.bytes, (size_t)b.element_bytes, false, b.is_const, b.name));
    }
}

void end_launch() {
    for (Region& r : regions) free(r.cells);
    regions.clear();
}

bool is_wanted() { return true; }
void begin_block() {
    block_first = segment_first = ++epoch;
    acquired.clear();
    fenced = false;
    unwritten.set = false;
    forget_order();
}

// A block that waits in a grid barrier leaves its shared memory, and so its cells, to others.
struct Saved {
    uint32_t block_first;
    std::vector<std::vector<Cell>> cells;
    std::vector<size_t> granules;
};

void* save_block() {
    Saved* saved = new Saved{block_first, {}, {}};
    for (const Region& r : regions)
        if (r.is_shared) {
            saved->cells.emplace_back(r.cells, r.cells + r.bytes / r.granule);
            saved->granules.push_back(r.granule);
        }
    return saved;
}

void restore_block(void* state) {
    Saved* saved = (Saved*)state;
    block_first = saved->block_first;
    segment_first = ++epoch;
    size_t i = 0;
    for (Region& r : regions)
        if (r.is_shared) {
            for (size_t k = 0, parts = saved->granules[i] / r.granule; k < saved->cells[i].size(); ++k)
                for (size_t j = 0; j < parts; ++j) r.cells[k * parts + j] = saved->cells[i][k];
            ++i;
        }
    acquired.clear();
    fenced = false;
    unwritten.set = false;
    delete saved;
}

void grid_passed() {
    phase_first = ++epoch;
    ++phase;
    released.clear();
}

void block_ends() { report_unwritten(); }

void tell_other(Failure& failure) {
    failure.other_pc = conflicting.file ? 0 : conflicting.pc;
    failure.other_line = conflicting.line;
    snprintf(failure.other_file, sizeof failure.other_file, "%s", conflicting.file ? conflicting.file : "");
}

void barrier_passed() {
    report_unwritten();
    ++epoch;
    read_by.clear();
    if (any_mbarriers) share_known(0, thread_count);
    if (async_time == barrier_at) return;
    barrier_at = async_time;
    memcpy(known_fence, fenced_at, sizeof known_fence);
}
void warp_met(int warp, bool orders_memory) {
    if (!orders_memory) return;
    ++warp_time[warp];
    if (any_mbarriers) share_known(warp * 32, std::min(warp * 32 + 32, thread_count));
}
void fence() { fenced = true; }

}  // namespace checker
}  // namespace simulator

#include "callbacks.h"
