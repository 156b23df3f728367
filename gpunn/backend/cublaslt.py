"""Matrix products by cuBLASLt, NVIDIA's library, through ctypes.

Its numbers are those of cublasLt.h, cublas_api.h and library_types.h of CUDA 12 and 13. It has been tested with a
stand-in for the library, and has not run on a GPU yet.

cuBLASLt's matrices are column-major, and a row-major matrix is a column-major one of its transpose. So what is computed
is Z^T = Y X^T, for Z = X Y^T.

Which algorithm computes a product is asked once for each shape, when it comes for the first time: before a step is
captured. Parts of a sum may be added up by their own launch alone, in float32, so that results repeat to the bit.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, NamedTuple

from . import cuda_library
from .device import DeviceError
from .dtypes import as_dtype
from .signature import Signature

Array = Any

ROOM = 32 << 20
"""Bytes that a product may compute in: what NVIDIA recommends for Hopper (cuBLAS, "cublasSetWorkspace")."""
ROOM_ALIGNMENT = 256
"""What the address of that room is a multiple of (cuBLAS, "cublasLtMatmul")."""
ALIGNMENT = 16
"""What the addresses of matrices and of the bias are multiples of."""

TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}
"""The types of factors: CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF."""
_COMPUTE_32F, _COMPUTE_32F_FAST_TF32 = 68, 77
_OP_N, _OP_T = 0, 1
_DESC_TRANSA, _DESC_TRANSB, _DESC_EPILOGUE, _DESC_BIAS_POINTER = 3, 4, 7, 8
_LAYOUT_BATCH_COUNT, _LAYOUT_STRIDED_BATCH_OFFSET = 5, 6
_PREF_MAX_WORKSPACE_BYTES, _PREF_REDUCTION_SCHEME_MASK = 1, 3
_PREF_MIN_ALIGNMENTS = (5, 6, 7, 8)  # of A, B, C, D
_REDUCTION_SCHEME_COMPUTE_TYPE = 2
_EPILOGUE_DEFAULT, _EPILOGUE_RELU, _EPILOGUE_BIAS = 1, 2, 4
_NOT_SUPPORTED = 15


class Lines(NamedTuple):
    """Matrices (i, k) of a product that sums over k.

    Attributes:
        size: of axis i.
        along_k: whether elements side by side run along k; else along i.
        pitch: the step from line to line, in elements.
        step: from matrix to matrix.
    """

    size: int
    along_k: bool
    pitch: int
    step: int


class Product(NamedTuple):
    """Z = f(X Y^T + bias), batched; Z is row-major.

    Attributes:
        x: the lines of X.
        y: and of Y.
        depth: the size of axis k.
        batch: how many there are.
        factors: the type of X and Y: "float32", "float16" or "bfloat16".
        result: the type of Z and of the bias.
        tf32: whether factors in float32 may be rounded to TF32.
        bias: whether there is one, of an element for each column.
        relu: whether f is max(z, 0); else there is none.
    """

    x: Lines
    y: Lines
    depth: int
    batch: int
    factors: str
    result: str
    tf32: bool
    bias: bool
    relu: bool


class _Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


class CublasLt:
    """The library on one device.

    Args:
        library: as `gpunn.backend.cuda_library` opens it.
        address: the address of an array.
        stream: the address of the stream to compute on.
        here: a context in which the device is the current one.

    Raises:
        RuntimeError: the library does not work here; the message says what it said.
    """

    def __init__(
        self,
        library: Any,
        address: Callable[[Array], int],
        stream: Callable[[], int],
        here: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.c, self.address, self.stream, self.here = library, address, stream, here
        self.lock = threading.Lock()
        self.c.cublasLtGetStatusString.restype = ctypes.c_char_p
        self._plans: dict[Product, Plan | None] = {}
        self.handle = ctypes.c_void_p()
        with here():
            self.call("cublasLtCreate", ctypes.byref(self.handle))

    def plan(self, product: Product) -> Plan | None:
        """How the product is computed, as `gpunn.backend.recording` takes it down; None if the library can't.

        Raises:
            RuntimeError: the library fails.
        """
        with self.lock:
            if product not in self._plans:
                with self.here():
                    self._plans[product] = self._plan(product)
            return self._plans[product]

    def _plan(self, product: Product) -> Plan | None:
        made = Plan(self, product)
        return made if made.found else None

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of the library.

        Raises:
            RuntimeError: it fails; the message has its name, and what the library says.
        """
        status = getattr(self.c, function)(*arguments)
        if status:
            raise RuntimeError(f"{function}: {self.c.cublasLtGetStatusString(status).decode()} ({status})")


class Plan:
    """One product with its algorithm; it is launched like a kernel, with x, y, bias or None, z and the room.

    Attributes:
        found: whether there is an algorithm.
        signature: its name, and no parameters.
        types: of its factors.
    """

    signature = Signature("cublasLtMatmul", ())

    def __init__(self, library: CublasLt, product: Product) -> None:
        self._library, self._product = library, product
        self.types = {"scalar_t": as_dtype(product.factors).numpy}
        call = library.call
        self._description, preference = ctypes.c_void_p(), ctypes.c_void_p()
        compute = _COMPUTE_32F_FAST_TF32 if product.tf32 else _COMPUTE_32F
        call("cublasLtMatmulDescCreate", ctypes.byref(self._description), compute, TYPES["float32"])
        epilogue = (_EPILOGUE_RELU if product.relu else 0) | (_EPILOGUE_BIAS if product.bias else 0)
        self._describe(_DESC_TRANSA, ctypes.c_int32(_OP_T if product.y.along_k else _OP_N))
        self._describe(_DESC_TRANSB, ctypes.c_int32(_OP_N if product.x.along_k else _OP_T))
        self._describe(_DESC_EPILOGUE, ctypes.c_int32(epilogue or _EPILOGUE_DEFAULT))
        if product.bias:  # its alignment is what counts for now
            self._describe(_DESC_BIAS_POINTER, ctypes.c_void_p(ALIGNMENT))
        rows, columns = product.x.size, product.y.size
        self._a, self._b = (self._factor(lines) for lines in (product.y, product.x))
        self._d = self._matrix(product.result, columns, rows, columns, rows * columns)
        self._algorithm = _Heuristic()
        count = ctypes.c_int()
        call("cublasLtMatmulPreferenceCreate", ctypes.byref(preference))
        try:
            wishes: list[tuple[int, Any]] = [(_PREF_MAX_WORKSPACE_BYTES, ctypes.c_uint64(ROOM))]
            wishes += [(_PREF_REDUCTION_SCHEME_MASK, ctypes.c_uint32(_REDUCTION_SCHEME_COMPUTE_TYPE))]
            wishes += [(attribute, ctypes.c_uint32(ALIGNMENT)) for attribute in _PREF_MIN_ALIGNMENTS]
            for attribute, value in wishes:
                size = ctypes.c_size_t(ctypes.sizeof(value))
                call("cublasLtMatmulPreferenceSetAttribute", preference, attribute, ctypes.byref(value), size)
            status = library.c.cublasLtMatmulAlgoGetHeuristic(
                *(library.handle, self._description, self._a, self._b, self._d, self._d, preference, 1),
                *(ctypes.byref(self._algorithm), ctypes.byref(count)),
            )
        finally:
            call("cublasLtMatmulPreferenceDestroy", preference)
        self.found = status == 0 and count.value > 0 and self._algorithm.state == 0
        if status not in (0, _NOT_SUPPORTED):
            raise RuntimeError(
                f"cublasLtMatmulAlgoGetHeuristic: {library.c.cublasLtGetStatusString(status).decode()} ({status})"
            )

    def function(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0) -> None:
        """Compute it on the current stream."""
        x, y, bias, z, room = args
        library = self._library
        a, b, d = (ctypes.c_void_p(library.address(array)) for array in (y, x, z))
        place = -(-library.address(room) // ROOM_ALIGNMENT) * ROOM_ALIGNMENT
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        with library.lock, library.here():
            if bias is not None:
                self._describe(_DESC_BIAS_POINTER, ctypes.c_void_p(library.address(bias)))
            library.call(
                "cublasLtMatmul",
                *(library.handle, self._description, ctypes.byref(one), a, self._a, b, self._b, ctypes.byref(zero)),
                *(d, self._d, d, self._d, ctypes.byref(self._algorithm), ctypes.c_void_p(place)),
                *(ctypes.c_size_t(ROOM), ctypes.c_void_p(library.stream())),
            )

    def checked(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int
    ) -> tuple[Any, ...]:
        """The arguments as they are."""
        return tuple(args)

    def _describe(self, attribute: int, value: Any) -> None:
        size = ctypes.c_size_t(ctypes.sizeof(value))
        self._library.call("cublasLtMatmulDescSetAttribute", self._description, attribute, ctypes.byref(value), size)

    def _factor(self, lines: Lines) -> ctypes.c_void_p:
        """Lines are columns."""
        depth = self._product.depth
        rows, columns = (depth, lines.size) if lines.along_k else (lines.size, depth)
        return self._matrix(self._product.factors, rows, columns, max(lines.pitch, rows), lines.step)

    def _matrix(self, type: str, rows: int, columns: int, pitch: int, step: int) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        sizes = ctypes.c_uint64(rows), ctypes.c_uint64(columns), ctypes.c_int64(pitch)
        self._library.call("cublasLtMatrixLayoutCreate", ctypes.byref(made), TYPES[type], *sizes)
        if self._product.batch > 1:
            count, offset = ctypes.c_int32(self._product.batch), ctypes.c_int64(step)
            for attribute, value in ((_LAYOUT_BATCH_COUNT, count), (_LAYOUT_STRIDED_BATCH_OFFSET, offset)):
                size = ctypes.c_size_t(ctypes.sizeof(value))
                self._library.call("cublasLtMatrixLayoutSetAttribute", made, attribute, ctypes.byref(value), size)
        return made


@cache
def of_device(backend: Any) -> CublasLt:
    """The library on the device of a CUDA backend, of the version of CUDA that CuPy has.

    Raises:
        DeviceError: there is none; the message says what to install.
    """
    cuda = backend.xp.cuda
    major = cuda.runtime.runtimeGetVersion() // 1000

    def use(library: Any) -> CublasLt:
        return CublasLt(library, backend.address, lambda: int(cuda.get_current_stream().ptr), backend.here)

    try:
        return cuda_library.first_working("cublasLt", (major,), use)
    except cuda_library.LibraryMissing as error:
        raise DeviceError(
            f"the rung 'cublaslt' needs NVIDIA's cuBLASLt of CUDA {major}, which was not found or does not work: "
            f"pip install 'gpunn[cuda{major}-blas]', or choose another rung ({error})"
        ) from None
