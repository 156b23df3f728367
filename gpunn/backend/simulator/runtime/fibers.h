// Switching between the stacks of CUDA threads.
//
// A suspended context is one pointer. On x86-64 that is the stack pointer, with the registers that a function has to
// keep pushed on the stack; elsewhere, or with SIMULATOR_UCONTEXT, it is a ucontext_t that lies on the suspended stack.
#pragma once
#include <stdint.h>
#include <string.h>

#include "state.h"

#if !defined(__x86_64__) && !defined(SIMULATOR_UCONTEXT)
#define SIMULATOR_UCONTEXT
#endif
#ifdef SIMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace simulator {

#ifdef SIMULATOR_UCONTEXT

static inline void switch_context(Context* from, Context to) {
    ucontext_t here;
    *from = &here;
    swapcontext(&here, (ucontext_t*)to);
}

// A context that begins `entry` on the stack of STACK_BYTES from `low` on.
static inline Context new_context(char* low, void (*entry)(), int) {
    ucontext_t* context = (ucontext_t*)(low + STACK_BYTES - ((sizeof(ucontext_t) + 63) & ~size_t(63)));
    getcontext(context);
    context->uc_stack.ss_sp = low;
    context->uc_stack.ss_size = (char*)context - low;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    return context;
}

#else

extern "C" __attribute__((visibility("hidden"))) void simulator_switch(void** from, void* to);
asm(R"(.text
.p2align 4
.type simulator_switch,@function
.hidden simulator_switch
.globl simulator_switch
simulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simulator_switch,.-simulator_switch
)");

static inline void switch_context(Context* from, Context to) { simulator_switch(from, to); }

static inline Context new_context(char* low, void (*entry)(), int number) {
    // Tops at the same offset in their pages would meet in a few sets of the cache.
    void** top = (void**)(low + STACK_BYTES - (number % 12) * 256);
    *--top = nullptr;       // where entry would return to
    *--top = (void*)entry;  // where the switch returns to
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    return top;
}

#endif

}  // namespace simulator
