// printf, assert and __trap in a kernel.
#pragma once
#include "device.h"

#define printf(...) (simulator::simulator_printed(), ::printf(__VA_ARGS__))

namespace simulator {
SIMULATOR_INLINE void assert_that(bool holds, const char* expression, const char* file, int line) {
    if (!holds) simulator_fail("assertion", file, line, "assert(%s) does not hold", expression);
}
}  // namespace simulator
#undef assert
#define assert(expression) simulator::assert_that(!!(expression), #expression, __FILE__, __LINE__)
#define __trap() simulator::simulator_fail("trap", __FILE__, __LINE__, "__trap() was called")
