"""What a kernel would do on a GPU that is not there, and what a step does on the device that is.

`kernel_code` says what NVIDIA's compiler made of it: instructions by kind, loops, registers. `occupancy` says how many
blocks a multiprocessor then runs at once. `profile_launches` says what launches do: how often lines are executed,
sectors of global memory, conflicts between banks of shared memory. Out of these come predictions: `predict` says how
long a launch would take on one of `GPUS`, and what it would wait for; `predict_step` does that for a training step.

And what is measured on the device that is there: `profile_step` says where the time of a training step goes.
"""

from gpunn.backend.simulator import Access, LaunchProfile, Line, Touched

from .advice import advice
from .code import KernelCode, LoopCode, kernel_code
from .disassembler import DisassemblerMissing
from .executed import Executed, SolverMissing
from .gpus import GPUS, Gpu, gpu
from .launches import launch_of, profile_launches
from .measured import Part, StepProfile, TimedCall, Total, profile_step
from .model import Prediction, predict
from .occupancy import Occupancy, occupancy
from .step import PredictedLaunch, StepPrediction, predict_step, step_launches

__all__ = [
    "Access",
    "DisassemblerMissing",
    "Executed",
    "GPUS",
    "Gpu",
    "KernelCode",
    "LaunchProfile",
    "Line",
    "LoopCode",
    "Occupancy",
    "Part",
    "PredictedLaunch",
    "Prediction",
    "SolverMissing",
    "StepPrediction",
    "StepProfile",
    "TimedCall",
    "Total",
    "Touched",
    "advice",
    "gpu",
    "kernel_code",
    "launch_of",
    "occupancy",
    "predict",
    "predict_step",
    "profile_launches",
    "profile_step",
    "step_launches",
]
