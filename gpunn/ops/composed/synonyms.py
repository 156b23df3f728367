"""Functions under the other names that PyTorch and NumPy have for them."""

from __future__ import annotations

from ..arithmetic import abs as absolute
from ..arithmetic import div as divide
from ..arithmetic import div as true_divide
from ..arithmetic import mul as multiply
from ..arithmetic import neg as negative
from ..arithmetic import sub as subtract
from ..comparison import clamp as clip
from ..comparison import ge as greater_equal
from ..comparison import gt as greater
from ..comparison import le as less_equal
from ..comparison import lt as less
from ..comparison import ne as not_equal
from ..join import vstack as row_stack
from ..math import acos as arccos
from ..math import acosh as arccosh
from ..math import asin as arcsin
from ..math import asinh as arcsinh
from ..math import atan as arctan
from ..math import atan2 as arctan2
from ..math import atanh as arctanh
from ..matmul import outer as ger
from ..rounding import trunc as fix
from ..view import movedim as moveaxis
from ..view import transpose as swapaxes
from ..view import transpose as swapdims

__all__ = [
    "absolute",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "clip",
    "divide",
    "fix",
    "ger",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "moveaxis",
    "multiply",
    "negative",
    "not_equal",
    "row_stack",
    "subtract",
    "swapaxes",
    "swapdims",
    "true_divide",
]
