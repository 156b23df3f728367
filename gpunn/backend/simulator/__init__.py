"""The CPU runtime for CUDA kernel texts: kernels compiled with g++ that run on NumPy arrays, under checkers.

It is called as CuPy is:

```python
module = RawModule(code=text, options=("-Ikernels",), mode="check")
module.get_function("axpy")((blocks,), (threads,), (x, y, numpy.float32(2), n), shared_mem=0)
```

**Modes.** ``"fast"`` runs kernels as fast as it can. It notices barriers and operations of a warp that do not meet, and
turns accesses to no memory and divisions by zero into errors. ``"check"`` watches every access: races, bounds,
undefined values of shared memory, alignment, overflow, copies and products of warpgroups that were not waited for, or
that lack a fence, and memory that they are given while others read it. ``"asan"`` is GCC's address sanitizer, which
knows the ends of a thread's local arrays too. ``"profile"`` counts what a GPU would do: how often a warp executes each
line, the sectors of global memory and the conflicts between banks of shared memory of each access.

**Order.** A kernel has an ``order`` of its threads and blocks, "forward", "reverse" or "random" (with a ``seed``). A
right kernel computes the same in all of them.

**What it cannot see**: PTX that is wrong, the GPU's rounding of approximate functions, flushing to zero, the order of
streams, and speed. A block that waits for another without a grid barrier, by looking at memory again and again, may
wait for ever unless the order is "forward". In the mode "fast" a write out of bounds that meets other memory goes
unnoticed.

**Environment.** ``GPUNN_CACHE``: the folder of compiled modules. ``CXX``: the compiler. ``GPUNN_SIMULATOR_FLAGS``: more
of its flags for kernels; ``-O1`` compiles in two thirds of the time what runs only once. ``GPUNN_SIMULATOR_WORKERS``:
how many threads run blocks. ``GPUNN_SIMULATOR_FIBERS=ucontext``: the portable switch between CUDA threads, ten times
slower.
"""

from .errors import SimulatorError
from .function import RawKernel
from .module import RawModule
from .profile import Access, LaunchProfile, Line, Profiles, Touched
from .stream import Event, Graph, Stream, forbid_in_capture, get_current_stream

__all__ = [
    "Access",
    "Event",
    "Graph",
    "LaunchProfile",
    "Line",
    "Profiles",
    "RawKernel",
    "RawModule",
    "SimulatorError",
    "Stream",
    "Touched",
    "forbid_in_capture",
    "get_current_stream",
]
