// Threads of the loops' own. Work is cut into parts by its shape and the number of threads,
// and whoever is done with one takes the next: a thread that has lost its core keeps nobody waiting who could do its
// part, and the bits do not depend on that.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace {

constexpr int SPINS = 4000;  // some tens of microseconds: the next call of a step comes sooner, mostly

struct Job {
    void (*call)(void *, int);
    void *data;
    std::atomic<uint64_t> left;  // a bit for each part
};

std::atomic<Job *> current{nullptr};
std::atomic<uint32_t> round_number{0};
std::atomic<int> inside{0};
std::atomic_flag taken = ATOMIC_FLAG_INIT;
int team = 1;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void take_parts(Job *job, int mine) {
    for (uint64_t left; (left = job->left.load());) {
        int k = left >> mine & 1 ? mine : __builtin_ctzll(left);
        if (job->left.fetch_and(~(uint64_t(1) << k)) >> k & 1) job->call(job->data, k);
    }
}

void work(int mine) {
    uint32_t seen = round_number.load();
    for (;;) {
        for (int i = 0; i < SPINS && round_number.load(std::memory_order_relaxed) == seen; i++) pause();
        round_number.wait(seen);
        seen = round_number.load();
        inside.fetch_add(1);
        if (Job *job = current.load()) take_parts(job, mine);
        inside.fetch_sub(1);
        inside.notify_all();
    }
}

// Beside a busy process a thread loses its core for milliseconds in the middle of a part. Where more than a share of the
// time is spent on waiting for such, the caller does all parts for a while: twice as long if it is so again behind that.
class Calm {
    using Clock = std::chrono::steady_clock;
    using Seconds = std::chrono::duration<double>;
    static constexpr double WINDOW = 0.02, SHARE = 0.4, SHORTEST = 0.05, LONGEST = 0.8;
    Clock::time_point until{}, started{}, worked{};
    double length = SHORTEST, waited = 0, all = 0;

  public:
    bool begin() { return (started = Clock::now()) >= until; }
    void wait() { worked = Clock::now(); }
    void end() {
        auto now = Clock::now();
        waited += Seconds(now - worked).count();
        all += Seconds(now - started).count();
        if (all < WINDOW) return;
        bool busy = waited > SHARE * all;
        if (busy) until = now + std::chrono::duration_cast<Clock::duration>(Seconds(length));
        length = busy ? std::min(2 * length, LONGEST) : SHORTEST;
        waited = all = 0;
    }
};
Calm calm;  // of the caller that has the threads

template <class F> void in_parts(int parts, F f) {
    if (parts < 2 || team < 2 || taken.test_and_set()) {
        for (int k = 0; k < parts; k++) f(k);
        return;
    }
    if (!calm.begin()) {
        for (int k = 0; k < parts; k++) f(k);
        taken.clear();
        return;
    }
    Job job;
    job.call = [](void *data, int k) { (*static_cast<F *>(data))(k); };
    job.data = &f;
    job.left = ~uint64_t(0) >> (64 - parts);
    current = &job;
    round_number.fetch_add(1);
    round_number.notify_all();
    take_parts(&job, 0);
    calm.wait();
    current = nullptr;
    // A thread that has lost its core gets one sooner if this one sleeps.
    for (int i = 0, others; (others = inside.load()); i++) i < SPINS ? pause() : inside.wait(others);
    calm.end();
    taken.clear();
}

int64_t at(int64_t count, int k, int parts) { return count * k / parts; }

}  // namespace
