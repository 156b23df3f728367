// What is in order by mbarriers, without a barrier of the block. A part of checker.cpp.
//
// Each warp counts the arrivals of its lanes, and each barrier its phases, which the copies of boxes belong to. A thread
// knows of each of them a number up to which what was done is in order with what it does now. It learns that where it
// waits, from all that have arrived; and all that others know where it meets them. It knows of what was done at a number
// if it knows of a greater one.
#pragma once
#include <array>
#include <unordered_map>

#include "regions.h"

namespace simulator {
namespace checker {
namespace {

struct Known {
    uint32_t of[MAX_WARPS + MAX_MBARRIERS];
    void join(const Known& other) {
        for (size_t i = 0; i < sizeof of / sizeof *of; ++i) of[i] = std::max(of[i], other.of[i]);
    }
};
bool any_mbarriers;  // in this block
Known known[MAX_THREADS];
Known gathered[MAX_MBARRIERS], completed[MAX_MBARRIERS];  // by those that have arrived so far; when a phase was complete
uint32_t arrivals[MAX_WARPS];
typedef std::array<uint32_t, MAX_WARPS> Times;
std::unordered_map<const char*, Times> read_by;  // of cells that several warps have read in this epoch: when, from 1 on

// Whether an access by another warp, or by a copy, is in order with what the thread does now.
bool is_known(const Access& a) { return any_mbarriers && known[accessing_thread].of[a.thread >> 5] > a.arrivals; }

bool is_copy(const Access& a) { return a.thread >= MAX_THREADS; }

// As `is_known`, of reads by several warps.
bool are_known(const char* cell) {
    const auto found = read_by.find(cell);
    if (found == read_by.end()) return false;
    for (int w = 0; w < MAX_WARPS; ++w)
        if (w != accessing_thread >> 5 && known[accessing_thread].of[w] < found->second[(size_t)w]) return false;
    return true;
}

void note_reader(const char* cell, const Access& before) {
    Times& times = read_by[cell];
    if (before.threads != SEVERAL_WARPS) times = {}, times[before.thread >> 5] = before.arrivals + 1;
    times[(size_t)(accessing_thread >> 5)] = arrivals[accessing_thread >> 5] + 1;
}

void forget_order() {
    if (!any_mbarriers) return;
    any_mbarriers = false;
    memset(known, 0, sizeof known);
    memset(gathered, 0, sizeof gathered);
    memset(completed, 0, sizeof completed);
    memset(arrivals, 0, sizeof arrivals);
    read_by.clear();
}

// Threads `first` up to, not with, `end` have met.
void share_known(int first, int end) {
    Known all = known[first];
    for (int t = first + 1; t < end; ++t) all.join(known[t]);
    for (int t = first; t < end; ++t) known[t] = all;
}

}  // namespace
}  // namespace checker
}  // namespace simulator
