"""Where arrays live, and what computes on them: devices, element types, the primitives and who offers them."""
