"""The CPU runtime for CUDA kernel texts: kernels compiled with g++ that run on NumPy arrays, under checkers.

It is called as CuPy is: ``RawModule(code=...).get_function(name)(grid, block, args, shared_mem=...)``.
"""

from .errors import SimulatorError
from .function import RawKernel
from .module import RawModule
from .stream import Event, Graph, Stream, forbid_in_capture, get_current_stream

__all__ = [
    *("RawKernel", "RawModule", "SimulatorError"),
    *("Event", "Graph", "Stream", "forbid_in_capture", "get_current_stream"),
]
