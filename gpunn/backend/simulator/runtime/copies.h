// Copies by cp.async. They land when they are waited for; until then their destination is undefined. A part of
// scheduler.cpp.
#pragma once
#include <stdlib.h>

#include "failures.h"

namespace simulator {

namespace {

struct Copy {
    void* destination;
    const void* source;
    unsigned bytes;
    bool valid;
    int group;
    const char* file;
    int line;
};
constexpr int MAX_COPIES = (48 << 10) / 4;  // as many as shared memory has words: more would land on each other
Copy* copies[MAX_THREADS];

}  // namespace

extern "C" void simulator_copy_async(void* destination, const void* source, unsigned bytes, bool valid,
                                     const char* file, int line) {
    Thread& me = threads[current];
    if ((size_t)destination % bytes || (valid && (size_t)source % bytes))
        simulator_fail("misaligned access", file, line, "cp.async of %u bytes needs addresses that are multiples of it",
                       bytes);
    if (!copies[current]) copies[current] = (Copy*)malloc(sizeof(Copy) * MAX_COPIES);
    if (me.copies == MAX_COPIES)
        simulator_fail("missing cp.async wait", file, line, "%d copies of one thread are under way", MAX_COPIES);
    checker::copy_issued(destination, bytes, file, line);
    memset(destination, 0xff, bytes);  // undefined until it was waited for
    me.file = file;
    me.line = line;
    copies[current][me.copies++] = {destination, source, bytes, valid, me.groups, file, line};
}

extern "C" void simulator_commit_async() { ++threads[current].groups; }

extern "C" void simulator_wait_async(int pending) {
    Thread& me = threads[current];
    Copy* queue = copies[current];
    int done = 0;
    for (; done < me.copies && queue[done].group < me.groups - pending; ++done) {
        const Copy& c = queue[done];
        checker::copy_landed(c.destination, c.source, c.bytes, c.valid ? c.bytes : 0, c.file, c.line);
        if (c.valid) memcpy(c.destination, c.source, c.bytes);
        else memset(c.destination, 0, c.bytes);
    }
    if (done) {
        me.copies -= done;
        memmove(queue, queue + done, (size_t)me.copies * sizeof(Copy));
    }
}

}  // namespace simulator
