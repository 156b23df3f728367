"""Checking and converting the arguments of a launch, one parameter at a time.

The host library takes the usual arguments as they are: contiguous arrays of the right dtype, None, and NumPy numbers of
the right type. What else there is comes here: Python numbers are converted, and what does not fit is refused.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .errors import SimulatorError
from .native import Parameter

ARRAY, NUMBER, STRUCTURE = 0, 1, 2
_C_NAMES = {
    "b1": "bool",
    "i1": "signed char",
    "u1": "unsigned char",
    "i2": "short",
    "u2": "unsigned short",
    "i4": "int",
    "u4": "unsigned int",
    "i8": "long long",
    "u8": "unsigned long long",
    "f2": "half",
    "f4": "float",
    "f8": "double",
    "bf2": "bfloat16",
}


def _dtype(code: str) -> np.dtype[Any] | None:
    """The dtype of a type code of `runtime/export.h`; None for any type of that size."""
    if code == "bf2":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if code[0] in "Vv":
        return None
    return np.dtype(np.bool_) if code == "b1" else np.dtype(code)


class Argument:
    """What one parameter of a kernel takes.

    Args:
        kernel: the kernel's name, for messages.
        position: of the parameter, from 0.
        name: of the parameter; empty where it is not known.
        word: its word in the kernel's signature, see `runtime/export.h`.
        restricted: whether it is a `__restrict__` pointer.
    """

    def __init__(self, kernel: str, position: int, name: str, word: str, restricted: bool = False) -> None:
        self.kernel, self.position, self.name, self.restricted = kernel, position, name, restricted
        self.is_const = word[0] == "C"
        self.code = word[1:]
        self.kind = {"P": ARRAY, "C": ARRAY, "V": NUMBER, "S": STRUCTURE}[word[0]]
        self.dtype = _dtype(self.code) if self.kind != STRUCTURE else None
        self.bytes = int(self.code) if self.kind == STRUCTURE else 0
        if self.kind == NUMBER and self.dtype is None:
            raise SimulatorError(f"{self}: parameters of this type are not supported", kind="argument")
        # Half precision and vectors may be classes of the kernel's own, of which only the size is known.
        self.element_bytes = int(self.code[1:]) if self.code[0] == "V" and self.kind == ARRAY else 0
        self._learned: np.dtype[Any] | None = None
        self._low, self._high = _range(self.dtype) if self.kind == NUMBER and self.dtype is not None else (0, -1)

    def __str__(self) -> str:
        return f"kernel {self.kernel}: {self.label()}"

    def label(self) -> str:
        """The argument's position, counted from 1, and the parameter's name."""
        return f"argument {self.position + 1}" + (f" '{self.name}'" if self.name else "")

    def expected(self) -> str:
        """What the parameter takes, in words."""
        if self.kind == STRUCTURE:
            return f"a NumPy array of {self.bytes} bytes, for a structure by value"
        c_name = _C_NAMES.get(self.code, "")
        if self.kind == NUMBER:
            return f"a number ({c_name})"
        if self.dtype is not None:
            return f"a C-contiguous array of {self.dtype.name} ({c_name}*) or None"
        if self.element_bytes:
            return f"a C-contiguous array of whole elements of {self.element_bytes} bytes or None"
        return "a C-contiguous array or None"

    def error(self, got: str) -> SimulatorError:
        """The error that `got` came where something else is expected."""
        return SimulatorError(f"{self} takes {self.expected()}, got {got}", kind="argument")

    def describe(self, parameter: Parameter) -> None:
        """Tell the host library which objects it may take as they are."""
        parameter.kind, parameter.bytes, parameter.is_const = self.kind, self.bytes, self.is_const
        if self.kind == NUMBER and self.dtype is not None:
            parameter.type = id(self.dtype.type)
            parameter.bytes = self.dtype.itemsize
        if self.kind == ARRAY and self.dtype is not None:
            parameter.dtype = id(self.dtype)

    def simplify(self, value: Any) -> Any:
        """The value as the host library takes it, where that is quickly done: a number of the parameter's own type.

        Raises:
            SimulatorError: it is a number that does not fit the parameter.
        """
        if type(value) is int and self._low <= value <= self._high and self.dtype is not None:
            return self.dtype.type(value)
        if self.kind != NUMBER or isinstance(value, np.generic):
            return value
        return self._number(value)[()]

    def learn(self, value: Any, parameter: Parameter) -> None:
        """Let the host library take values of this one's dtype as they are from now on.

        It is for parameters that fix only a size: structures, and arrays of classes of the kernel's own.
        """
        if self.kind == NUMBER or self.dtype is not None or not isinstance(value, np.ndarray):
            return
        whole = self.bytes if self.kind == STRUCTURE else self.element_bytes or 1
        if value.dtype.itemsize == whole or (self.kind == ARRAY and value.dtype.itemsize % whole == 0):
            self._learned = value.dtype  # while it lives, no other object has its address
            parameter.dtype = id(value.dtype)

    def convert(self, value: Any) -> tuple[int, Any, np.ndarray | None]:
        """The address of the argument's value, what keeps it alive, and the array, if it is one.

        Raises:
            SimulatorError: the argument does not fit the parameter.
        """
        if self.kind == ARRAY:
            array = self._array(value)
            pointer = ctypes.c_void_p(None if array is None else array.ctypes.data)
            return ctypes.addressof(pointer), pointer, array
        held = self._structure(value) if self.kind == STRUCTURE else self._number(value)
        return held.ctypes.data, held, None

    def _array(self, value: Any) -> np.ndarray | None:
        if value is None:
            return None
        if not isinstance(value, np.ndarray):
            raise self.error(_described(value))
        if self.dtype is not None and value.dtype != self.dtype:
            half = self.code == "bf2" and value.dtype == np.uint16
            if not half:
                raise self.error(f"an array of {value.dtype.name}")
        if self.element_bytes and value.nbytes % self.element_bytes:
            raise self.error(f"one of {value.nbytes} bytes")
        if not value.flags.c_contiguous:
            raise self.error(f"a view of shape {value.shape} with strides {value.strides}")
        if not value.flags.aligned:
            raise self.error("an array whose elements are not aligned")
        if not self.is_const and not value.flags.writeable:
            raise self.error("a read-only array, to a parameter that is not const")
        return value

    def _structure(self, value: Any) -> np.ndarray:
        if not isinstance(value, (np.ndarray, np.generic)):
            raise self.error(_described(value))
        if value.nbytes != self.bytes:
            raise self.error(f"{value.nbytes} bytes of {value.dtype}")
        return np.ascontiguousarray(value)

    def _number(self, value: Any) -> np.ndarray:
        dtype = self.dtype
        assert dtype is not None
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            if value.dtype != dtype:
                raise self.error(f"{value!r} ({value.dtype.name})")
            return np.array(value)
        if isinstance(value, bool):
            if dtype.kind not in "biu":
                raise self.error(f"{value!r} (bool)")
            return np.array(value, dtype)
        if isinstance(value, int):
            # CuPy passes a Python int as 8 bytes, of which a smaller integer parameter reads the lower ones.
            if dtype.kind not in "iub":
                raise self.error(f"{value!r}: a Python int is passed as an integer; use numpy.{dtype.name}({value!r})")
            if not self._low <= value <= self._high:
                raise self.error(f"{value}, which is not from {self._low} to {self._high}")
            return np.array(value, dtype)
        if isinstance(value, float):
            if dtype != np.float64:
                raise self.error(f"{value!r}: a Python float is passed as a double; use numpy.{dtype.name}({value!r})")
            return np.array(value)
        raise self.error(_described(value))


def _range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the largest integer of a type; an empty range for floats, which integers are not passed to."""
    if dtype.kind == "b":
        return 0, 1
    return (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) if dtype.kind in "iu" else (0, -1)


def _described(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"a {type(value).__name__} of {value.dtype} and shape {tuple(value.shape)}"
    return f"{value!r} ({type(value).__name__})"
