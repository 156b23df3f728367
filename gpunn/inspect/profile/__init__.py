"""What a kernel would do on a GPU that is not there.

`kernel_code` says what NVIDIA's compiler made of it: instructions by kind, loops, registers. `occupancy` says how many
blocks a multiprocessor then runs at once. `profile_launches` says what launches do: how often lines are executed,
sectors of global memory, conflicts between banks of shared memory.
"""

from gpunn.backend.simulator import Access, LaunchProfile, Line, Touched

from .code import KernelCode, LoopCode, kernel_code
from .disassembler import DisassemblerMissing
from .launches import profile_launches
from .occupancy import Occupancy, occupancy

__all__ = [
    "Access",
    "DisassemblerMissing",
    "KernelCode",
    "LaunchProfile",
    "Line",
    "LoopCode",
    "Occupancy",
    "Touched",
    "kernel_code",
    "occupancy",
    "profile_launches",
]
