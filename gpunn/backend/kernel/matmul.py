"""Matrix products."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import bfloat16

from gpunn.backend.device import DeviceError
from gpunn.backend.products import precision
from gpunn.backend.tensor_map import Matrices, of_simulator

from . import offers
from .family import MAX_RANK, Array, accumulator, ceil_div, element_strides, is_half, layout, prod
from .gemm import in_smaller_tiles, schedule
from .ladder import Ladder
from .library_product import LibraryProduct
from .memory import has_view
from .tiles import TENSOR_SHARED, WGMMA_SHARED
from .tuning import Trial, random_array

MATMUL = Ladder("matmul", ("naive", "tiled", "vectorised"), ("cublaslt",))
HALF_PRODUCT = Ladder("half_product", ("vectorised", "tensor", "wgmma"), ("cublaslt",))
"""Of matrix products and affine maps whose factors are halves or rounded floats, where no rung of theirs is chosen.
"wgmma", which has never run on a GPU, is taken only where it is chosen, and for halves whose lines tensor maps can
describe; all else, TF32 too, stays on "tensor"."""
TILE = 16
"""The side of a tile of `matmul_tiled`."""
_NO_TENSOR_CORES = (
    "this GPU has no tensor cores for TF32 (sm_80 and later have them): products of float32 are computed in float32"
)
_LAYOUTS = {(True, True): "nt", (True, False): "nn", (False, True): "tt", (False, False): "tn"}
"""As BLAS calls how the factors lie, by whether lines run along the sums: "t" where they lie transposed."""
_NO_WARPGROUPS = (
    "half_product: the rung 'wgmma' is for GPUs of compute capability 9.0 (H100, H200), and this one has another; "
    "choose 'tensor' in GPUNN_RUNGS or rung(), or none, which is the same"
)
_MOST_LAYERS = 65535
"""Blocks along the third axis of a grid."""


class Factor(NamedTuple):
    """Matrices (i, k) as they lie in memory; the product keeps their axis i, and sums over k.

    Attributes:
        memory: as a kernel takes them.
        size: of axis i.
        step_i: from one element to the next along i; 0 where there is just one.
        step_k: and along k.
        batch: the steps from matrix to matrix, along the axes of the product's batch.
    """

    memory: Array
    size: int
    step_i: int
    step_k: int
    batch: tuple[int, ...]

    @property
    def along_k(self) -> bool:
        """Whether lines, elements side by side, run along k; else along i."""
        return self.step_k == 1 or (self.step_k == 0 and self.step_i != 1)

    @property
    def pitch(self) -> int:
        """The step from line to line."""
        return self.step_i if self.along_k else self.step_k

    def lines(self, depth: int) -> tuple[int, int]:
        """The elements of a line, and how many lines there are."""
        return (depth, self.size) if self.along_k else (self.size, depth)


class Matmul(LibraryProduct):
    """Matrix products."""

    broadcast_to: Callable[[Array, tuple[int, ...]], Array]
    tensor_cores = True
    """Whether the device multiplies fragments of matrices in half precision and TF32: from sm_80 on."""
    warpgroups = True
    """Whether warpgroups of the device multiply matrices in shared memory (wgmma): on sm_90 alone."""
    tensor_map: Callable[[Matrices], Array] = staticmethod(of_simulator)
    """Makes the struct TensorMap of matrices."""

    def matmul(self, x: Array, y: Array, out: Array | None = None) -> Array:
        """x y on the last two axes, broadcast over the others; a vector is one row as x, one column as y.

        Floats take the rung that is chosen, integers at most the tiled one.
        """
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        z = self.result(out, (*batch, *x.shape[-2:-1], *y.shape[1:][-1:]), x.dtype)
        if not z.size:
            return z
        x, y = x[None] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
        rows = (prod(x.shape[:-1]), x.shape[-1])
        if y.ndim == 2 and has_view(x, rows):
            x, batch = x.reshape(rows), ()  # one matrix above the other: a single product
        if len(batch) > MAX_RANK:
            x, y = (self.contiguous(self.broadcast_to(a, batch + a.shape[-2:])) for a in (x, y))
            x, y, batch = x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:]), (prod(batch),)
        rung = MATMUL.pick("tensor" if self.on_tensor_cores(x.dtype) else None)
        if rung in ("vectorised", "cublaslt") and x.dtype.kind != "f" and not is_half(x.dtype):
            rung = "tiled"
        lines, depth = rung in ("vectorised", "tensor", "cublaslt"), x.shape[-1]
        left, right = self._factor(x, batch, lines), self._factor(y.swapaxes(-1, -2), batch, lines)
        if rung == "cublaslt":
            self.library_product(left, right, batch, depth, z)
        elif rung == "tensor":
            self.tensor_product(left, right, batch, depth, z)
        elif rung == "vectorised":
            self._vectorised(left, right, batch, depth, z)
        else:
            self._by_element(rung, left, right, batch, depth, z)
        return z

    def on_tensor_cores(self, dtype: object) -> bool:
        """Whether products of this type take tensor cores: halves, and floats that may be rounded."""
        if not is_half(dtype):
            if dtype != np.float32 or precision() == "highest":
                return False
            if not self.tensor_cores:
                warnings.warn(_NO_TENSOR_CORES, stacklevel=2)
        return self.tensor_cores and HALF_PRODUCT.pick("tensor") != "vectorised"

    def factor_type(self, dtype: Any) -> Any:
        """The type in which factors come to tensor cores: bfloat16 for floats where that is allowed."""
        return np.dtype(bfloat16) if dtype == np.float32 and precision() == "medium" else np.dtype(dtype)

    def library_product(
        self,
        x: Factor,
        y: Factor,
        batch: tuple[int, ...],
        depth: int,
        z: Array,
        bias: Array | None = None,
        kind: int = 0,
        parameter: float = 0.0,
    ) -> None:
        """f(x y^T + bias) to z by cuBLASLt, of halves or floats; what it does not take by a kernel.

        Raises:
            DeviceError: there is no library.
        """
        type = self.factor_type(z.dtype)
        tf32 = type == np.float32 and precision() == "high"
        left, right = (f._replace(memory=self.converted(f.memory, type)) for f in (x, y))
        if self.by_library(left, right, batch, depth, z, bias, kind, parameter, tf32):
            return
        if self.on_tensor_cores(z.dtype):
            self.tensor_product(x, y, batch, depth, z, bias, kind, parameter)
            return
        plain = bias is None and not kind
        parts = z if plain else self.empty((1, z.size), z.dtype)
        self._vectorised(x, y, batch, depth, parts)
        self.add_parts(None if plain else parts, z, bias, kind, parameter)

    def tensor_product(
        self,
        x: Factor,
        y: Factor,
        batch: tuple[int, ...],
        depth: int,
        z: Array,
        bias: Array | None = None,
        kind: int = 0,
        parameter: float = 0.0,
        behind: Array | None = None,
    ) -> bool:
        """f(x y^T + bias) to z, of halves or of floats; these in TF32, or as bfloat16 where that is allowed.

        Then what there is of z is a sum in float32, to which the bias comes with the parts of sums. With what a ReLU
        gave as `behind`, z is multiplied by its derivative there, if it is written by one launch.

        Returns:
            Whether it was.

        Raises:
            DeviceError: the rung wgmma is chosen, and the device has no such instruction, or its driver no tensor maps.
        """
        count, columns, type = prod(batch), y.size, self.factor_type(z.dtype)
        x, y = (f._replace(memory=self.converted(f.memory, type)) for f in (x, y))
        alone, tf32, dtype, rows = type != z.dtype, type.itemsize == 4, z.dtype, x.size
        layouts, chosen = (x.along_k, y.along_k), HALF_PRODUCT.pick("tensor")
        if chosen == "cublaslt" and self.by_library(x, y, batch, depth, z, bias, kind, parameter, tf32):
            return False
        if chosen == "wgmma" and not tf32 and not self.warpgroups:
            raise DeviceError(_NO_WARPGROUPS)
        by_maps = chosen == "wgmma" and not tf32 and all(self._can_be_mapped(f, depth) for f in (x, y))
        rung = "wgmma" if by_maps else "tensor"
        how = {"tensor": True, "tf32": tf32, "wgmma": rung == "wgmma"}
        plan = self.picked(
            f"matmul_{rung}{'_rounded' * alone}_{_LAYOUTS[layouts]}",
            (count, rows, depth, columns),
            "tf32" if tf32 else type.name,
            schedule(rows, columns, depth, count, **how),
            lambda: offers.schedules(rows, columns, depth, count, **how),
            lambda backend: _trial(backend, count, rows, columns, depth, layouts, dtype, backend.tensor_product),
        )
        if not by_maps and not all(self._has_whole_chunks(f, depth) for f in (x, y)):
            plan = in_smaller_tiles(plan, count, rows, columns, tf32)
        complete = plan.parts == 1 and (not alone or (bias is None and not kind))
        parts = None if complete else self.empty((plan.parts, z.size), accumulator(z.dtype))
        target = z if parts is None else parts
        pairs, sizes = columns % 2 == 0 and self.twos(target), (count, rows, columns, depth)
        if alone or parts is not None or not pairs or not (behind is None or self.twos(behind)):
            behind = None
        own = (None, None, None, target) if alone else (bias, behind, z, parts)
        if by_maps:
            maps, places = zip(*(self._mapped(f, batch, depth) for f in (x, y)))
            args = (*maps, x.memory, y.memory, *own, *sizes, *places, *layouts)
            how_moved: Any = pairs
        else:
            places = tuple(layout(batch, f.batch) for f in (x, y))
            args = (x.memory, y.memory, *own, *sizes, *places, x.pitch, y.pitch, *layouts)
            how_moved = 4 * pairs + sum(2**i for i, f in enumerate((x, y)) if self.chunks(f.memory, f.pitch, *f.batch))
        args += (kind, parameter, plan.part_depth, how_moved)
        shared = (WGMMA_SHARED if by_maps else TENSOR_SHARED)[plan.size]
        name = f"matmul_{rung}_{plan.size}"
        self.launch(f"matmul_{rung}.cu", name, plan.grid, plan.block, args, shared, scalar_t=type)
        self.add_parts(parts, z, bias, kind, parameter)
        return behind is not None

    def _has_whole_chunks(self, f: Factor, depth: int) -> bool:
        """Whether 16 bytes can be copied at once wherever there are elements."""
        return f.lines(depth)[0] * f.memory.dtype.itemsize % 16 == 0 and self.chunks(f.memory, f.pitch, *f.batch)

    def _can_be_mapped(self, f: Factor, depth: int) -> bool:
        """Whether a tensor map can describe matrices: steps are multiples of 16 bytes, and lines don't overlap."""
        length, lines = f.lines(depth)
        return depth > 0 and (lines == 1 or f.pitch >= length) and self.chunks(f.memory, f.pitch, *f.batch)

    def _mapped(self, f: Factor, batch: tuple[int, ...], depth: int) -> tuple[Array, Array]:
        """The map of the matrices, and the Layout of their numbers in it: all their steps are multiples of one."""
        step, last = math.gcd(*f.batch), sum((n - 1) * s for n, s in zip(batch, f.batch))
        length, lines = f.lines(depth)
        apart = -(-length // 8) * 8  # where there is one line, or one matrix, any step will do
        matrices = Matrices(
            self.address(f.memory),
            f.memory.dtype.name,
            length,
            lines,
            last // (step or 1) + 1,
            f.pitch or apart,
            step or apart,
        )
        return self.tensor_map(matrices), layout(batch, tuple(s // (step or 1) for s in f.batch))

    def _factor(self, x: Array, batch: tuple[int, ...], lines: bool) -> Factor:
        """The matrices x as a kernel takes them: copied if a step goes backwards, or if `lines` and they have none."""
        rows, columns = x.shape[-2:]
        *outer, i, k = _steps(x)
        # A single row or column is lines of one element each, but not a row that is one element, repeated.
        has_lines = 1 in (i, k) or (min(rows, columns) == 1 and (k or columns == 1))
        if min(*outer, i, k) < 0 or (lines and not has_lines):
            x = self.copy(x)
            *outer, i, k = _steps(x)
        missing = (0,) * (len(batch) - len(outer))
        return Factor(self.span(x)[0], x.shape[-2], i, k, (*missing, *outer))

    def _by_element(self, rung: str, x: Factor, y: Factor, batch: tuple[int, ...], depth: int, z: Array) -> None:
        """The rungs on which a thread computes one element."""
        count = prod(batch)
        args = (
            *(x.memory, y.memory, z, count, x.size, y.size, depth),
            *(layout(batch, x.batch), x.step_i, x.step_k),
            *(layout(batch, y.batch), y.step_k, y.step_i),
        )
        if rung == "naive":
            self.launch_elements("matmul.cu", "matmul_naive", z.size, args, scalar_t=z.dtype)
        else:
            grid = (ceil_div(x.size, TILE) * ceil_div(y.size, TILE), 1, min(count, _MOST_LAYERS))
            self.launch("matmul.cu", "matmul_tiled", grid, (TILE * TILE,), args, scalar_t=z.dtype)

    def _vectorised(self, x: Factor, y: Factor, batch: tuple[int, ...], depth: int, z: Array) -> None:
        count, rows, columns, dtype = prod(batch), x.size, y.size, z.dtype
        layouts = x.along_k, y.along_k
        plan = self.picked(
            f"matmul_{_LAYOUTS[layouts]}",
            (count, rows, depth, columns),
            dtype.name,
            schedule(rows, columns, depth, count, may_transpose=True),
            lambda: offers.schedules(rows, columns, depth, count, may_transpose=True),
            lambda backend: _trial(backend, count, rows, columns, depth, layouts, dtype, backend._vectorised),
        )
        if plan.transposed:
            x, y = y, x
        parts = self.parts(plan, z.size, z.dtype)
        target = z if parts is None or plan.counted else parts
        factors = ((f.memory, f.pitch, depth if f.along_k else f.size, *f.batch) for f in (x, y))
        vectors = self.vectors(*factors, (target, columns))
        args = (
            *(x.memory, y.memory, z, parts, self.tile_counters(plan), count, x.size, y.size, depth),
            *(layout(batch, x.batch), layout(batch, y.batch), x.pitch, y.pitch, x.along_k, y.along_k),
            *(plan.transposed, plan.part_depth, vectors),
        )
        self.launch("matmul_vectorised.cu", f"matmul_{plan.size}", plan.grid, plan.block, args, scalar_t=z.dtype)
        if not plan.counted:
            self.add_parts(parts, z)


def _trial(
    backend: Any,
    count: int,
    rows: int,
    columns: int,
    depth: int,
    layouts: tuple[bool, bool],
    dtype: Any,
    product: Callable[..., object],
) -> Trial:
    """Some products of matrices that lie so, one behind the other."""
    batch = () if count == 1 else (count,)
    factors = []
    for seed, (size, along_k) in enumerate(zip((rows, columns), layouts)):
        memory = random_array(backend, (count, *((size, depth) if along_k else (depth, size))), dtype, seed)
        steps = (depth, 1) if along_k else (1, size)
        factors.append(Factor(memory, size, *steps, (size * depth,) * len(batch)))
    z = backend.allocate((count, rows, columns), dtype)
    given = *factors, batch, depth, z
    return Trial(lambda: product(*given), lambda: backend._by_element("naive", *given), (z,))


def _steps(x: Array) -> list[int]:
    """The steps along each axis, 0 where there is none to take."""
    return [s if n > 1 else 0 for s, n in zip(element_strides(x), x.shape)]
