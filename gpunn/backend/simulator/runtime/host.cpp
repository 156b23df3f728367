// The part of the runtime that a process has once: it takes a launch from Python, starts workers, gives them stacks,
// and turns faults of the processor inside a kernel into failures of its launch.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <mutex>
#include <vector>

#include "interface.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace simulator {

struct Stacks {
    std::vector<char*> chunks;
    std::vector<bool> made;
    Stacks* next;
};

namespace {

// ---- Stacks

// Every stack begins on another page of the caches' sets than its neighbour, because of the guard between them.
constexpr size_t STRIDE = STACK_BYTES + STACK_GUARD;
constexpr int CHUNK = MAX_THREADS + 1;
constexpr size_t MAX_GUARDS = 8 * CHUNK;  // a process may have only so many mappings

std::mutex stacks_mutex;
Stacks* spare_stacks;

Stacks* take_stacks() {
    std::lock_guard<std::mutex> lock(stacks_mutex);
    Stacks* s = spare_stacks;
    if (s) spare_stacks = s->next;
    else s = new Stacks{};
    return s;
}

void give_stacks(Stacks* s) {
    std::lock_guard<std::mutex> lock(stacks_mutex);
    s->next = spare_stacks;
    spare_stacks = s;
}

char* stack(Stacks* s, int number) {
    const size_t chunk = (size_t)number / CHUNK, i = (size_t)number % CHUNK;
    while (s->chunks.size() <= chunk) {
        void* memory =
            mmap(nullptr, STRIDE * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) abort();
        s->chunks.push_back((char*)memory);
    }
    char* low = s->chunks[chunk] + STRIDE * i + STACK_GUARD;
    if (s->made.size() <= (size_t)number) s->made.resize((size_t)number + 1);
    if (!s->made[(size_t)number]) {
        s->made[(size_t)number] = true;
        if ((size_t)number < MAX_GUARDS) mprotect(low - STACK_GUARD, STACK_GUARD, PROT_NONE);
    }
    return low;
}

// ---- Faults

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t SIGNAL_STACK = 64 << 10;

thread_local Worker* running;  // on this operating system thread
struct sigaction previous[4];
int catching;  // launches under way
std::mutex catching_mutex;

void handle(int signal, siginfo_t* info, void* context) {
    if (running && running->fault) {
        uint64_t pc = 0;
#if defined(__x86_64__)
        pc = (uint64_t)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
        pc = (uint64_t)((ucontext_t*)context)->uc_mcontext.pc;
#endif
        // Leaves for the scheduler, if it was the kernel. The processor gives no address where it can't be one.
        running->fault(signal, (char*)info->si_addr, info->si_code == SI_KERNEL, pc);
    }
    // It was not: the fault happens again under the handler that was there before.
    for (int i = 0; i < 4; ++i)
        if (SIGNALS[i] == signal) sigaction(signal, &previous[i], nullptr);
}

void begin_catching() {
    std::lock_guard<std::mutex> lock(catching_mutex);
    if (catching++) return;
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < 4; ++i) sigaction(SIGNALS[i], &action, &previous[i]);
}

void end_catching() {
    std::lock_guard<std::mutex> lock(catching_mutex);
    if (--catching) return;
    for (int i = 0; i < 4; ++i) sigaction(SIGNALS[i], &previous[i], nullptr);
}

// A thread whose stack has overflown can't run a handler on it.
struct SignalStack {
    char* memory = nullptr;
    stack_t before = {};
    void use() {
        if (memory) return;
        memory = (char*)malloc(SIGNAL_STACK);
        stack_t mine = {};
        mine.ss_sp = memory;
        mine.ss_size = SIGNAL_STACK;
        sigaltstack(&mine, &before);
    }
    ~SignalStack() {
        if (!memory) return;
        stack_t now = {};
        sigaltstack(nullptr, &now);
        if (now.ss_sp == memory) sigaltstack(&before, nullptr);
        free(memory);
    }
};
thread_local SignalStack signal_stack;

// ---- Workers

struct Helpers {
    int count = 0;
    pthread_t threads[MAX_WORKERS];
    Worker workers[MAX_WORKERS];
};
thread_local Helpers* helpers_of_this_launch;

void run_worker(Worker* worker) {
    signal_stack.use();
    running = worker;
    worker->run(worker);
    running = nullptr;
}

void* run_helper(void* worker) {
    run_worker((Worker*)worker);
    return nullptr;
}

void start_helpers(Launch* launch);

Worker make_worker(Launch* launch, int index) {
    Worker w = {};
    w.launch = launch;
    w.kernel = launch->function->kernel[index];
    w.run = launch->function->run[index];
    w.stacks = take_stacks();
    w.stack = stack;
    w.start_helpers = start_helpers;
    w.index = index;
    return w;
}

void start_helpers(Launch* launch) {
    Helpers& h = *helpers_of_this_launch;
    while (h.count < launch->workers - 1) {
        Worker& w = h.workers[h.count] = make_worker(launch, h.count + 1);
        if (pthread_create(&h.threads[h.count], nullptr, run_helper, &w)) {
            give_stacks(w.stacks);
            return;  // fewer workers will do
        }
        ++h.count;
    }
}

void run(Launch* launch) {
    Helpers helpers;
    helpers_of_this_launch = &helpers;
    begin_catching();
    Worker w = make_worker(launch, 0);
    run_worker(&w);
    give_stacks(w.stacks);
    for (int i = 0; i < helpers.count; ++i) {
        pthread_join(helpers.threads[i], nullptr);
        give_stacks(helpers.workers[i].stacks);
    }
    end_catching();
    helpers_of_this_launch = nullptr;
}

// ---- Arguments

// How CPython and NumPy lay out their objects; see native.py, which finds out and tests it. Every read here is of
// fields that no one changes while the caller holds the arguments, so the GIL is not needed.
struct {
    size_t head, tuple_items;
    const void *array_type, *tuple_type, *none;
} python;

struct ArrayFields {
    char* data;
    int nd;
    const intptr_t *dimensions, *strides;
    const void *base, *dtype;
    int flags;
};
constexpr int C_CONTIGUOUS = 0x1, ALIGNED = 0x100, WRITEABLE = 0x400;

const void* type_of(const char* object) { return *(const void* const*)(object + python.head - sizeof(void*)); }

// Puts the address of argument `i` into values; false where it takes a closer look.
bool convert(const Parameter& p, const char* object, char** pointer, void** value) {
    *value = pointer;
    if (p.kind == 0 && object == python.none) {
        *pointer = nullptr;
        return true;
    }
    if (p.kind == 1) {
        *value = (void*)(object + python.head);
        return type_of(object) == p.type;
    }
    if (type_of(object) != python.array_type) return false;
    const ArrayFields& a = *(const ArrayFields*)(object + python.head);
    const int needed = C_CONTIGUOUS | ALIGNED | (p.is_const || p.kind == 2 ? 0 : WRITEABLE);
    if ((a.flags & needed) != needed || !p.dtype || a.dtype != p.dtype) return false;
    if (p.kind == 2) {
        if (a.nd > 1 || (a.nd == 1 && a.dimensions[0] != 1)) return false;
        *value = a.data;
        return true;
    }
    *pointer = a.data;
    return true;
}

enum Answer { DONE = 0, FAILED = 1, SIZES = 2, COUNT = 3, ARGUMENT = 16 };

int run_function(Function* f, void** values, const int64_t* sizes, uint64_t dynamic_shared, int buffers,
                 Buffer* buffer) {
    const int64_t limit[6] = {0x7fffffff, 65535, 65535, 1024, 1024, 64};
    for (int i = 0; i < 6; ++i)
        if (sizes[i] < 1 || sizes[i] > limit[i]) return SIZES;
    const int64_t threads = sizes[3] * sizes[4] * sizes[5];
    if (threads > f->max_threads) return SIZES;
    if (dynamic_shared > f->max_dynamic_shared || dynamic_shared + f->static_shared > f->max_shared) return SIZES;
    Launch launch = {};
    launch.blocks = (uint64_t)(sizes[0] * sizes[1] * sizes[2]);
    for (int i = 0; i < 3; ++i) {
        launch.grid[i] = (uint32_t)sizes[i];
        launch.block[i] = (uint32_t)sizes[i + 3];
    }
    launch.dynamic_shared = dynamic_shared;
    launch.seed = f->seed;
    launch.order = f->order;
    launch.workers = f->workers;
    launch.buffers = buffers;
    launch.buffer = buffer;
    launch.values = values;
    launch.function = f;
    launch.failure = &f->failure;
    f->failure.set = 0;
    run(&launch);
    return f->failure.set ? FAILED : DONE;
}

}  // namespace

// ---- What Python calls

EXPORT size_t simulator_function_size() { return sizeof(Function); }

EXPORT void simulator_know_python(size_t head, size_t tuple_items, const void* array_type, const void* tuple_type,
                                  const void* none) {
    python = {head, tuple_items, array_type, tuple_type, none};
}

// The address that a launch would pass for an array; null where the object is not understood.
EXPORT void* simulator_data_of(const char* object, const void* dtype) {
    const Parameter p = {0, 0, 0, 0, nullptr, dtype};
    char* data;
    void* value;
    return convert(p, object, &data, &value) ? data : nullptr;
}

// Launches with a tuple of Python objects. ARGUMENT + i: argument i has to be converted by Python.
EXPORT int simulator_launch(Function* f, const char* arguments, int64_t gx, int64_t gy, int64_t gz, int64_t bx,
                            int64_t by, int64_t bz, uint64_t dynamic_shared) {
    if (type_of(arguments) != python.tuple_type) return ARGUMENT;
    if (*(const intptr_t*)(arguments + python.head) != f->parameters) return COUNT;
    const char* const* items = (const char* const*)(arguments + python.tuple_items);
    constexpr int MOST = 256;
    if (f->parameters > MOST) return ARGUMENT;
    char* pointers[MOST];
    void* values[MOST];
    for (int i = 0; i < f->parameters; ++i)
        if (!convert(f->parameter[i], items[i], &pointers[i], &values[i])) return ARGUMENT + i;
    const int64_t sizes[6] = {gx, gy, gz, bx, by, bz};
    return run_function(f, values, sizes, dynamic_shared, 0, nullptr);
}

// Launches with the addresses of the arguments.
EXPORT int simulator_launch_values(Function* f, void** values, int64_t gx, int64_t gy, int64_t gz, int64_t bx,
                                   int64_t by, int64_t bz, uint64_t dynamic_shared, int buffers, Buffer* buffer) {
    const int64_t sizes[6] = {gx, gy, gz, bx, by, bz};
    return run_function(f, values, sizes, dynamic_shared, buffers, buffer);
}

}  // namespace simulator
