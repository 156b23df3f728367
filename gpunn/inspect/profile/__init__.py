"""What a kernel would do on a GPU that is not there.

`kernel_code` says what NVIDIA's compiler made of it: instructions by kind, loops, registers.
"""

from .code import KernelCode, LoopCode, kernel_code
from .disassembler import DisassemblerMissing

__all__ = ["DisassemblerMissing", "KernelCode", "LoopCode", "kernel_code"]
