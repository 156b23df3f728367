// The functions that the compiler calls for -fsanitize=undefined. A part of checker.cpp.
#pragma once
#include "accesses.h"

// Undefined behaviour. The compiler's data begins with the place; see libsanitizer/ubsan/ubsan_handlers.h in GCC.
namespace {

struct Source {
    const char* file;
    uint32_t line, column;
};
struct TypeMismatch {
    Source source;
    const void* type;
    unsigned char log_alignment, kind;
};

[[noreturn]] void undefined(const char* kind, const Source* source, const char* text) {
    simulator::simulator_fail(kind, source->file, (int)source->line, "%s", text);
}

[[noreturn]] void type_mismatch(const TypeMismatch* data, size_t pointer) {
    const size_t alignment = (size_t)1 << data->log_alignment;
    const char* file = data->source.file;
    const int line = (int)data->source.line;
    if (!pointer) simulator::simulator_fail("null pointer", file, line, "a null pointer was used");
    if (pointer % alignment)
        simulator::simulator_fail("misaligned access", file, line, "the address %p is not a multiple of %zu",
                                  (void*)pointer, alignment);
    simulator::simulator_fail("out of bounds", file, line, "access past the end of a variable");
}

[[noreturn]] void index_out_of_bounds(const Source* source, size_t index) {
    simulator::simulator_fail("out of bounds", source->file, (int)source->line,
                              "index %lld is outside the array's declared size", (long long)(int)index);
}

}  // namespace

HIDDEN void __ubsan_handle_type_mismatch_v1(TypeMismatch* data, size_t p) { type_mismatch(data, p); }
HIDDEN void __ubsan_handle_type_mismatch_v1_abort(TypeMismatch* data, size_t p) { type_mismatch(data, p); }
HIDDEN void __ubsan_handle_out_of_bounds(Source* source, size_t i) { index_out_of_bounds(source, i); }
HIDDEN void __ubsan_handle_out_of_bounds_abort(Source* source, size_t i) { index_out_of_bounds(source, i); }

#define UNDEFINED(name, kind, text)                                                      \
    HIDDEN void __ubsan_handle_##name(Source* source) { undefined(kind, source, text); } \
    HIDDEN void __ubsan_handle_##name##_abort(Source* source) { undefined(kind, source, text); }
UNDEFINED(add_overflow, "integer overflow", "the sum of two integers does not fit their type")
UNDEFINED(sub_overflow, "integer overflow", "the difference of two integers does not fit their type")
UNDEFINED(mul_overflow, "integer overflow", "the product of two integers does not fit their type")
UNDEFINED(negate_overflow, "integer overflow", "the negative of an integer does not fit its type")
UNDEFINED(divrem_overflow, "division by zero", "an integer was divided by zero, or the quotient does not fit its type")
UNDEFINED(shift_out_of_bounds, "shift out of range", "shift by a negative number of bits, or by all and more")
UNDEFINED(float_cast_overflow, "conversion overflow", "a floating-point number does not fit the integer type")
UNDEFINED(load_invalid_value, "invalid value", "a bool that is neither 0 nor 1 was read")
UNDEFINED(builtin_unreachable, "invalid value", "a place that cannot be reached was reached")
UNDEFINED(missing_return, "invalid value", "a function ended without returning its value")
UNDEFINED(pointer_overflow, "out of bounds", "the address of an element overflows")
UNDEFINED(vla_bound_not_positive, "out of bounds", "an array of a size that is not positive")
UNDEFINED(nonnull_arg, "null pointer", "null where a function takes no null")
UNDEFINED(invalid_builtin, "invalid value", "an invalid argument of a built-in function")
