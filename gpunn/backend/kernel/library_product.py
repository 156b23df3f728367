"""Matrix products by a library, NVIDIA's cuBLASLt, where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpunn.backend import recording
from gpunn.backend.cublaslt import ALIGNMENT, ROOM, ROOM_ALIGNMENT, TYPES, CublasLt, Lines, Product
from gpunn.backend.device import DeviceError

from .activation import KINDS
from .family import Array, prod
from .gemm import Gemm

if TYPE_CHECKING:
    from .matmul import Factor

_FUSED = {KINDS["none"]: False, KINDS["relu"]: True}
"""The activations that the library computes with a product, and whether that is ReLU."""


class LibraryProduct(Gemm):
    """Products by cuBLASLt."""

    def cublaslt(self) -> CublasLt | None:
        """The library on this device; None where nothing is computed.

        Raises:
            DeviceError: there is none.
        """
        raise DeviceError(
            f"the rung 'cublaslt' is NVIDIA's library, which computes on the device cuda alone, not on {self.name}; "
            "choose another one in GPUNN_RUNGS or rung()"
        )

    def by_library(
        self,
        x: Factor,
        y: Factor,
        batch: tuple[int, ...],
        depth: int,
        z: Array,
        bias: Array | None = None,
        kind: int = 0,
        parameter: float = 0.0,
        tf32: bool = False,
    ) -> bool:
        """f(x y^T + bias) to z, and whether the library takes such a product; else nothing is done.

        It takes halves and float32 at addresses that are multiples of 16, in matrices whose lines don't overlap, with
        one step from matrix to matrix. Bias and ReLU come with the product; another activation, which the library
        does not have, with one more pass over it in float32.

        Raises:
            DeviceError: there is no library.
            RuntimeError: the library fails.
        """
        library, factors, fused = self.cublaslt(), x.memory.dtype.name, kind in _FUSED
        target = z if fused else self.empty((1, z.size), "float32")
        own_bias = bias if fused else None
        if factors not in TYPES:
            return False
        arrays = [a for a in (x.memory, y.memory, target, own_bias) if a is not None]
        if not depth or len(batch) > 1 or any(self.address(a) % ALIGNMENT for a in arrays):
            return False
        left, right = (Lines(f.size, f.along_k, f.pitch, *(f.batch or (0,))) for f in (x, y))
        if any(f.pitch < _length(f, depth) and _count(f, depth) > 1 for f in (left, right)):
            return False
        relu = _FUSED.get(kind, False)
        product = Product(left, right, depth, prod(batch), factors, target.dtype.name, tf32, own_bias is not None, relu)
        plan = None if library is None else library.plan(product)
        if plan is None and library is not None:
            return False
        args = (x.memory, y.memory, own_bias, target, self.empty((ROOM + ROOM_ALIGNMENT,), "uint8"))
        if plan is not None:
            recorder = recording.current()
            if recorder is None:
                plan.function((1,), (1,), args)
            else:
                recorder.launch(plan, (1,), (1,), args, 0)
        if not fused:
            self.add_parts(target, z, bias, kind, parameter)
        return True


def _length(lines: Lines, depth: int) -> int:
    return depth if lines.along_k else lines.size


def _count(lines: Lines, depth: int) -> int:
    return lines.size if lines.along_k else depth
