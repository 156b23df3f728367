"""The NumPy backend: the readable reference of every primitive, and the CPU's fast path. One file per family, as in ops."""

from .elementwise import *
from .indexing import *
from .linear import *
from .memory import *
from .optimizer import *
from .rearrange import *
from .reduction import *
from .slicing import *

name = "numpy"
