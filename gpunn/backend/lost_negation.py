"""A fault of NVIDIA's assembler, and how to see in a kernel's PTX that it would strike.

For an integer maximum (or minimum) of three, max(max(-a, x), y), where `a` is the same for all threads, such as a
parameter of the kernel, ptxas makes one instruction, ``VIMNMX3 x, a, y``, and leaves out the negation: the result is
max(a, x, y). So do those of CUDA 12.9 and 13.0 for sm_90 and sm_100; those for sm_80 and sm_120, and that of CUDA 13.5,
do not. The compiler makes such maxima by itself, to count the turns of a loop that goes down between two bounds. On an
H200 the gradients of average pooling and of strided convolutions were wrong for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENTRY = re.compile(r"\.visible \.entry (\w+)\(")
_DEFINITION = re.compile(r"^\s*(?:@!?%p\d+\s+)?(neg\.s32|(?:max|min)\.s32)\s+(%r\d+), ([^;]+);", re.MULTILINE)


def lost_negations(ptx: str) -> list[str]:
    """The kernels in a PTX text whose maxima or minima of three may lose a sign, by name.

    Whether the negated value is the same for all threads can't be seen here, so some may be named that would be right.
    """
    parts = _ENTRY.split(ptx)
    return [name for name, body in zip(parts[1::2], parts[2::2]) if any(_suspects(body))]


def _suspects(body: str) -> Iterator[bool]:
    defined: dict[str, list[tuple[str, list[str]]]] = {}
    for operation, result, operands in _DEFINITION.findall(body):
        defined.setdefault(result, []).append((operation, [o.strip() for o in operands.split(",")]))

    def made_by(operand: str, operation: str) -> list[list[str]]:
        return [operands for name, operands in defined.get(operand, ()) if name == operation]

    for definitions in defined.values():
        for operation, operands in definitions:
            if operation == "neg.s32":
                continue
            for inner, other in (operands, operands[::-1]):
                for three in made_by(inner, operation):
                    yield any(made_by(operand, "neg.s32") for operand in (*three, other))
