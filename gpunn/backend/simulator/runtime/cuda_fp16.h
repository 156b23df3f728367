// The types are part of cuda.h.
