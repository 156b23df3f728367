// Counts what the warps of a launch do, for the mode "profile": how often each basic block is executed, and for each
// access to memory the sectors and the conflicts between banks that a GPU would have.
//
// The threads of a warp run one after the other here, so their accesses are put together afterwards: the k-th time that
// a lane comes to a place, counted from where the lanes of the warp have met last (a barrier, an operation of the
// warp, the start), belongs to the k-th time of the others. That is what a GPU does as long as lanes that part do not
// come to the place a different number of times before others do.
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "banks.h"
#include "checker.h"
#include "profile.h"
#include "reuse.h"

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

constexpr int SECTOR = Reuse::SECTOR, WIDEST = 16;
constexpr char HAS_READ = 1, HAS_WRITTEN = 2;
// More than that is taken for a loop without end: so often a thread has executed a basic block, or so many accesses (1
// GiB of them) of the block's warps are kept, since they met last.
constexpr uint32_t MOST_TIMES = 1u << 26, MOST_KEPT = 1u << 22;

struct Region {
    char* begin;
    size_t bytes;
    int buffer;  // the number of the array, -1 for shared memory
};
std::vector<Region> regions;
std::vector<std::vector<char>> touched;  // of each array, what was done to each byte, in all blocks
bool counting;                           // what the running block does
uint64_t counted_blocks;

// What is accessed at one place; `addresses` are the bits that are set in any address so far.
struct Site {
    uint64_t pc;
    const char* file;
    int line, kind, buffer;
    size_t bytes, addresses;
    bool is_shared() const { return buffer < 0; }
};
std::vector<Site> sites;
std::unordered_map<uint64_t, std::vector<int>> sites_at;  // of a place: the numbers of its sites
std::unordered_map<uint64_t, int> blocks_at;

std::vector<AccessCount> access_counts;
std::vector<BlockCount> block_counts;
std::vector<ArrayCount> array_counts;

// What a block touches, and how soon again.
Reuse reuse;
std::unordered_set<uint64_t> sectors_of_block;
std::vector<uint64_t> block_sectors;  // of each array
std::unordered_map<size_t, uint64_t> atomics_at;

struct Pending {
    uint32_t times[LANES];
    std::vector<Together> together;
};
struct {
    std::vector<Pending> accesses;             // of each site
    std::vector<std::vector<uint32_t>> times;  // of each basic block, of each lane
    uint32_t made[LANES];                      // accesses of each lane
} pending[MAX_WARPS];
uint32_t kept;  // accesses of warps, in all of `pending`

// ---- One access of a warp

// The addresses are multiples of the size, so each is in one sector.
void count_sectors(const Site& s, const Together& t, int bytes, AccessCount& count) {
    size_t addresses[LANES], sectors[LANES];
    int n = 0;
    for (int l = 0; l < LANES; ++l)
        if (t.lanes >> l & 1) addresses[n++] = (size_t)t.address[l];
    std::sort(addresses, addresses + n);
    const int different = (int)(std::unique(addresses, addresses + n) - addresses);
    for (int i = 0; i < different; ++i) sectors[i] = addresses[i] / SECTOR;
    const size_t asked = (size_t)(std::unique(sectors, sectors + different) - sectors);
    count.sectors += (uint64_t)asked;
    count.useful_bytes += (uint64_t)(different * bytes);
    for (int l = 0; s.kind == 2 && l < LANES; ++l)
        if (t.lanes >> l & 1) ++atomics_at[(size_t)t.address[l]];
    uint32_t of_line = 0;
    for (size_t i = 0; i < asked; ++i) {
        block_sectors[(size_t)s.buffer] += sectors_of_block.insert(sectors[i]).second;
        of_line |= 1u << sectors[i] % Reuse::SECTORS;
        if (i + 1 < asked && sectors[i] / Reuse::SECTORS == sectors[i + 1] / Reuse::SECTORS) continue;
        ++count.lines;
        if (s.kind == 0) reuse.read(sectors[i] / Reuse::SECTORS, of_line);
        of_line = 0;
    }
}

AccessCount& count_of(const Site& s, int bytes) {
    for (AccessCount& c : access_counts)
        if (c.pc == s.pc && c.file == s.file && c.line == s.line && c.kind == s.kind &&
            c.is_shared == s.is_shared() && c.bytes == bytes)
            return c;
    access_counts.push_back({s.pc, s.file, s.line, s.kind, s.is_shared(), bytes, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    return access_counts.back();
}

// A structure is moved in pieces, as large as the widest access and the alignment of all its addresses allow.
void count_access(const Site& s, Together t) {
    const size_t limits = s.addresses | s.bytes | WIDEST, piece = limits & -limits;
    AccessCount& count = count_of(s, (int)piece);
    for (size_t done = 0; done < s.bytes; done += piece) {
        ++count.requests;
        count.threads += (uint64_t)__builtin_popcount(t.lanes);
        if (s.is_shared()) count.passes += count_passes(t, (int)piece, &count.conflicts);
        else count_sectors(s, t, (int)piece, count);
        for (int l = 0; l < LANES; ++l) t.address[l] += piece;
    }
}

// The accesses of warps `first` up to, not with, `end`, as if the warps took turns: the first of each, the second of each
// and so on.
void put_together(int first, int end) {
    struct Turn {
        uint32_t order;
        int warp, site;
        const Together* together;
    };
    static std::vector<Turn> turns;
    turns.clear();
    for (int w = first; w < end; ++w) {
        auto& p = pending[w];
        for (size_t i = 0; i < p.accesses.size(); ++i)
            for (const Together& t : p.accesses[i].together) turns.push_back({t.order, w, (int)i, &t});
        for (size_t i = 0; i < p.accesses.size(); ++i)
            if (sites[i].is_shared() && sites[i].bytes < 16 && !(sites[i].bytes & (sites[i].bytes - 1))) {
                AccessCount& count = count_of(sites[i], (int)sites[i].bytes);
                count.passes_by_8 += count_merged(sites[i].bytes, p.accesses[i].together, 8);
                count.passes_by_16 += count_merged(sites[i].bytes, p.accesses[i].together, 16);
            }
        for (size_t i = 0; i < p.times.size(); ++i) {
            std::vector<uint32_t>& times = p.times[i];
            block_counts[i].warps += *std::max_element(times.begin(), times.end());
            for (uint32_t& n : times) block_counts[i].threads += n, n = 0;
        }
    }
    std::sort(turns.begin(), turns.end(), [](const Turn& a, const Turn& b) {
        return a.order != b.order ? a.order < b.order : a.warp != b.warp ? a.warp < b.warp : a.site < b.site;
    });
    for (const Turn& turn : turns) count_access(sites[(size_t)turn.site], *turn.together);
    for (int w = first; w < end; ++w) {
        for (Pending& a : pending[w].accesses) {
            kept -= (uint32_t)a.together.size();
            a.together.clear();
            memset(a.times, 0, sizeof a.times);
        }
        memset(pending[w].made, 0, sizeof pending[w].made);
    }
}

void put_all_together() { put_together(0, (thread_count + LANES - 1) / LANES); }

bool is_counted() {
    const uint64_t most = launch->function->counted_blocks, all = launch->blocks;
    return !most || all <= most || block_number * most / all != (block_number + 1) * most / all;
}

// ---- What a thread does

int number_of_site(const Site& site) {
    std::vector<int>& here = sites_at[site.file ? (uint64_t)site.file + ((uint64_t)site.line << 48) : site.pc];
    for (int number : here) {
        const Site& s = sites[(size_t)number];
        if (s.kind == site.kind && s.buffer == site.buffer && s.bytes == site.bytes) return number;
    }
    sites.push_back(site);
    here.push_back((int)sites.size() - 1);
    return here.back();
}

// What a GPU has in registers. Most accesses are to it, so it is asked for before anything else is done.
bool is_on_stack(const void* p) { return (size_t)((const char*)p - threads[current].stack) < STACK_BYTES; }

// The memory that an address is in; null where a GPU would have no access, as to constants.
const Region* find(const char* p, uint64_t pc) {
    for (const Region& r : regions)
        if ((size_t)(p - r.begin) < r.bytes) return &r;
    if ((size_t)(p - simulator_slots[0]) < sizeof(Slot) * MAX_THREADS) return nullptr;
    if (p >= &__ehdr_start && p < simulator_shared_begin) return nullptr;
    simulator_fail_at("out of bounds", pc, "an access outside all arrays and shared memory; the mode check says more");
}

[[noreturn]] void never_ends(uint64_t pc, const char* what) {
    simulator_fail_at("no end", pc, "%s, or too often between two barriers to be counted; smaller sizes may do", what);
}

void touch(char* marks, size_t bytes, char done) {
    if (bytes == 4) {  // by far most accesses
        uint32_t word;
        memcpy(&word, marks, 4);
        word |= 0x01010101u * (uint32_t)done;
        memcpy(marks, &word, 4);
        return;
    }
    for (size_t i = 0; i < bytes; ++i) marks[i] |= done;
}

void note(const char* p, size_t bytes, int kind, uint64_t pc, const char* file, int line, int lane) {
    if (!launch || !in_kernel || launch->function->paused) return;
    const Region* r = find(p, pc);
    if (!r) return;
    if (r->buffer >= 0) {
        const size_t offset = (size_t)(p - r->begin), end = std::min(offset + bytes, r->bytes);
        const char done = kind == 0 ? HAS_READ : kind == 1 ? HAS_WRITTEN : HAS_READ | HAS_WRITTEN;
        touch(&touched[(size_t)r->buffer][offset], end - offset, done);
    }
    if (!counting) return;
    const size_t number = (size_t)number_of_site({pc, file, line, kind, r->buffer, bytes, 0});
    sites[number].addresses |= (size_t)p;
    auto& accesses = pending[current / LANES].accesses;
    if (accesses.size() <= number) accesses.resize(number + 1);
    Pending& a = accesses[number];
    const uint32_t k = a.times[lane]++;
    const uint32_t order = pending[current / LANES].made[lane]++;
    if (a.together.size() <= k) {
        a.together.push_back({0, order, {}});
        if (++kept > MOST_KEPT) never_ends(pc, "the block's warps access memory for ever");
    }
    a.together[k].lanes |= 1u << lane;
    a.together[k].address[lane] = p;
}

}  // namespace

void access(const void* pointer, size_t bytes, int kind, uint64_t pc) {
    if (!is_on_stack(pointer)) note((const char*)pointer, bytes, kind, pc, nullptr, 0, current % LANES);
}

void access_at(const void* pointer, size_t bytes, int kind, const char* file, int line, int lane) {
    if (!is_on_stack(pointer)) note((const char*)pointer, bytes, kind, 0, file, line, lane < 0 ? current % LANES : lane);
}

void copy_issued(void*, size_t, const char*, int) {}

void copy_landed(void* destination, const void* source, size_t bytes, size_t read, const char* file, int line) {
    if (read) access_at(source, read, 0, file, line, -1);
    access_at(destination, bytes, 1, file, line, -1);
}

void begin_launch() {
    regions.clear();
    touched.clear();
    access_counts.clear();
    block_counts.clear();
    sites.clear();
    sites_at.clear();
    counted_blocks = 0;
    blocks_at.clear();
    memset(reuse.counts, 0, sizeof reuse.counts);
    atomics_at.clear();
    kept = 0;
    for (auto& p : pending) {
        p.accesses.clear();
        p.times.clear();
        memset(p.made, 0, sizeof p.made);
    }
    for (int i = 0; i < launch->function->shared_count; ++i) {
        const Shared& s = shared[launch->function->shared_array[i]];
        regions.push_back({s.data, s.bytes, -1});
    }
    if (launch->dynamic_shared) regions.push_back({simulator_dynamic_shared, launch->dynamic_shared, -1});
    for (int i = 0; i < launch->buffers; ++i) {
        const Buffer& b = launch->buffer[i];
        regions.push_back({b.data, b.bytes, i});
        touched.emplace_back(b.bytes);
    }
    block_sectors.assign((size_t)launch->buffers, 0);
}

void end_launch() {
    array_counts.clear();
    for (const std::vector<char>& bytes : touched) {
        ArrayCount count = {};
        for (char done : bytes) count.read += (done & HAS_READ) != 0, count.written += (done & HAS_WRITTEN) != 0;
        count.block_sectors = block_sectors[array_counts.size()];
        array_counts.push_back(count);
    }
}

// Of a large grid as many blocks are counted as were asked for, evenly spread.
bool is_wanted() { return !launch->function->only_counted || is_counted(); }
void begin_block() {
    counting = !launch->function->paused && is_counted();
    counted_blocks += counting;
    reuse.clear();
    sectors_of_block.clear();
}
void block_ends() { put_all_together(); }
void tell_other(Failure& failure) { failure.other_pc = 0; }
void barrier_passed() { put_all_together(); }
void warp_met(int warp, bool) { put_together(warp, warp + 1); }
void grid_passed() {}
void* save_block() {
    put_all_together();
    return counting ? &counting : nullptr;
}
void restore_block(void* saved) { counting = saved != nullptr; }
void fence() {}
void fence_async_proxy() {}
void async_read_begins(const void*, size_t, const char*, int) {}  // wgmma passes the load and store units by
void async_read_ends(const void*, size_t, const char*, int) {}
void mbarrier_made(const void*, const char*, int) {}
void mbarrier_used(const void*, const char*, int) {}
void mbarrier_arrived(int) {}
void mbarrier_completed(int, unsigned) {}
void mbarrier_waited(int) {}
void box_issued(const void*, size_t, const void*, const char*, int) {}
void box_reads(const void* from, size_t bytes, int number, const char* file, int line) {
    access_at(from, bytes, 0, file, line, number % LANES);  // as if a warp read it; shared memory sees no warp
}
void box_landed(const void*, size_t, int, unsigned, const char*, int) {}
void turn_begins() {}

}  // namespace checker
}  // namespace simulator

#include "accesses.h"

// At the start of each basic block.
HIDDEN void __sanitizer_cov_trace_pc() {
    using namespace simulator;
    using namespace simulator::checker;
    if (!launch || !in_kernel || !counting) return;
    const auto found = blocks_at.insert({PC, (int)block_counts.size()});
    if (found.second) block_counts.push_back({PC, 0, 0});
    const size_t number = (size_t)found.first->second;
    auto& times = pending[current / LANES].times;
    if (times.size() <= number) times.resize(number + 1, std::vector<uint32_t>(LANES));
    if (++times[number][(size_t)(current % LANES)] > MOST_TIMES) never_ends(PC, "a loop has no end");
}

// ---- What Python reads after a launch

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t simulator_counted_blocks() { return (int64_t)simulator::checker::counted_blocks; }
EXPORT int64_t simulator_access_counts(const simulator::AccessCount** first) {
    *first = simulator::checker::access_counts.data();
    return (int64_t)simulator::checker::access_counts.size();
}
EXPORT int64_t simulator_block_counts(const simulator::BlockCount** first) {
    *first = simulator::checker::block_counts.data();
    return (int64_t)simulator::checker::block_counts.size();
}
EXPORT int64_t simulator_contention() {
    uint64_t most = 0;
    for (const auto& entry : simulator::checker::atomics_at) most = std::max(most, entry.second);
    return (int64_t)most;
}
EXPORT int64_t simulator_reuse_counts(const uint64_t** first) {
    *first = simulator::checker::reuse.counts;
    return simulator::Reuse::CLASSES;
}
EXPORT int64_t simulator_array_counts(const simulator::ArrayCount** first) {
    *first = simulator::checker::array_counts.data();
    return (int64_t)simulator::checker::array_counts.size();
}
