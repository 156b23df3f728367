"""The CPU's primitives with the loops of `loops/`, which the machine's C++ compiler compiles at first use.

They do what those of `gpunn.backend.numpy` do, within rounding. What is not float32, not row-major, or not among what
`loops/` has, is computed there. ``GPUNN_NATIVE=1`` in the environment takes this backend for the device ``cpu``.
"""

from gpunn.backend.numpy import *

from .joined import Joined
from .primitives import *

name = "numpy"
