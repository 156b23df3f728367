"""What a kernel would do on a GPU that is not there.

`kernel_code` says what NVIDIA's compiler made of it: instructions by kind, loops, registers. `profile_launches` says
what its launches do: how often lines are executed, sectors of global memory, conflicts between banks of shared memory.
"""

from gpunn.backend.simulator import Access, LaunchProfile, Line, Touched

from .code import KernelCode, LoopCode, kernel_code
from .disassembler import DisassemblerMissing
from .launches import profile_launches

__all__ = [
    "Access",
    "DisassemblerMissing",
    "KernelCode",
    "LaunchProfile",
    "Line",
    "LoopCode",
    "Touched",
    "kernel_code",
    "profile_launches",
]
