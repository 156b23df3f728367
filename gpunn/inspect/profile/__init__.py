"""What a kernel would do on a GPU that is not there, and what a step does on the device that is.

`kernel_code` says what NVIDIA's compiler made of it: instructions by kind, loops, registers. `occupancy` says how many
blocks a multiprocessor then runs at once. `profile_launches` says what launches do: how often lines are executed,
sectors of global memory, conflicts between banks of shared memory.

And what is measured on the device that is there: `profile_step` says where the time of a training step goes.
"""

from gpunn.backend.simulator import Access, LaunchProfile, Line, Touched

from .code import KernelCode, LoopCode, kernel_code
from .disassembler import DisassemblerMissing
from .launches import profile_launches
from .measured import Part, StepProfile, TimedCall, Total, profile_step
from .occupancy import Occupancy, occupancy

__all__ = [
    "Access",
    "DisassemblerMissing",
    "KernelCode",
    "LaunchProfile",
    "Line",
    "LoopCode",
    "Occupancy",
    "Part",
    "StepProfile",
    "TimedCall",
    "Total",
    "Touched",
    "kernel_code",
    "occupancy",
    "profile_launches",
    "profile_step",
]
