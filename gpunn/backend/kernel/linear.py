"""The affine map and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gpunn.backend.base_layers import Wanted

from .activation import KINDS
from .family import Array, prod
from .gemm import Schedule, schedule
from .ladder import Ladder
from .matmul import Factor, Matmul

FORWARD = Ladder("linear_forward", ("naive", "vectorised"))
BACKWARD = Ladder("linear_backward", ("naive", "vectorised"))


class _Dz(NamedTuple):
    """dz = dy f'(z), with f' as it follows from y = f(z); without y, dy is dz. Arrays are (rows, outputs)."""

    dy: Array
    y: Array | None
    kind: str
    parameter: float

    @property
    def f(self) -> tuple[int, float]:
        """The activation, as kernels take it."""
        return KINDS[self.kind], self.parameter


class Linear(Matmul):
    """Matrix products and the affine map."""

    sum: Callable[..., Array]
    activation_backward: Callable[..., Array]

    def linear_activation(
        self, x: Array, w: Array, b: Array | None, kind: str, parameter: float, out: Array | None = None
    ) -> Array:
        """f(x w^T + b) for x (..., i), w (o, i), b (o,)."""
        outputs, inputs = w.shape
        rows = prod(x.shape[:-1])
        y = self.result(out, (*x.shape[:-1], outputs), x.dtype)
        if not y.size:
            return y
        x, w, b = self.contiguous(x), self.contiguous(w), None if b is None else self.contiguous(b)
        sizes, f = (rows, inputs, outputs), (KINDS[kind], parameter)
        rung = FORWARD.pick("tensor" if self.on_tensor_cores(x.dtype) else None)
        if rung == "tensor":
            self.tensor_product(_along(x, rows, inputs), _along(w, outputs, inputs), (), inputs, y, b, *f)
            return y
        if rung == "naive":
            args: tuple[Any, ...] = (x, w, b, y, *sizes, *f)
            self.launch_elements("linear.cu", "linear_forward_naive", y.size, args, scalar_t=x.dtype)
            return y
        plan = schedule(rows, outputs, inputs, may_transpose=True)
        parts = self.parts(plan, y.size, x.dtype)
        factors = ((w, inputs), (x, inputs)) if plan.transposed else ((x, inputs), (w, inputs))
        vectors = self.vectors(*factors, (y if parts is None else parts, outputs))
        args = (x, w, b, y, parts, *sizes, *f, plan.transposed, plan.part_depth, vectors)
        self._launch_tiles("linear_forward", plan, args, x.dtype)
        self.add_parts(parts, y, b, *f)
        return y

    def linear_backward(
        self, dz: Array, x: Array | None, w: Array | None, wanted: Wanted, out: Any = None
    ) -> tuple[Array, ...]:
        """The wanted ones of dx = dz w, dw = dz^T x, db = sum of dz, for dz (..., o), x (..., i), w (o, i).

        x is not read for dx, nor w for dw, and may then be None.
        """
        return self._gradients(dz, None, "none", 0.0, x, w, wanted, out)

    def linear_activation_backward(
        self,
        dy: Array,
        s: Array,
        x: Array | None,
        w: Array | None,
        kind: str,
        parameter: float,
        from_output: bool,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`linear_backward` of dz = dy f'(s), where s is f's result if `from_output`, else its argument.

        From f's result dz is made on the way to the products, and never in memory. From its argument, where f' takes
        more than a few operations, it is computed once, before.
        """
        if kind == "none":
            return self.linear_backward(dy, x, w, wanted, out)
        if not from_output:
            dz = self.activation_backward(dy, s, kind, parameter, False)
            return self.linear_backward(dz, x, w, wanted, out)
        return self._gradients(dy, s, kind, parameter, x, w, wanted, out)

    def _gradients(
        self,
        dy: Array,
        y: Array | None,
        kind: str,
        parameter: float,
        x: Array | None,
        w: Array | None,
        wanted: Wanted,
        out: Any,
    ) -> tuple[Array, ...]:
        given = iter(out if out is not None else (None, None, None))
        shape, outputs, dtype = dy.shape[:-1], dy.shape[-1], dy.dtype
        rows = prod(shape)
        dy, y = (None if a is None else self.contiguous(a).reshape(rows, outputs) for a in (dy, y))
        tensor = BACKWARD.pick("tensor" if self.on_tensor_cores(dtype) else None) == "tensor"
        if tensor and y is not None and any(wanted):  # what is copied to shared memory passes no registers
            dy, y = self.activation_backward(dy, y, kind, parameter, True), None
        dz = _Dz(dy, y, kind, parameter)
        dx = dw = db = None
        if wanted[0]:
            w = self.contiguous(w)
            dx = self.result(next(given), (*shape, w.shape[1]), dtype)
            if tensor and dx.size:
                self.tensor_product(_along(dy, rows, outputs), _across(w, w.shape[1]), (), outputs, dx)
            else:
                self._input_grad(dx, dz, w)
        if wanted[1]:
            x = self.contiguous(x)
            dw = self.result(next(given), (outputs, x.shape[-1]), dtype)
        if wanted[2]:
            db = self.result(next(given), (outputs,), dtype)
        if tensor and dw is not None and dw.size:
            self.tensor_product(_across(dy, outputs), _across(x, dw.shape[1]), (), rows, dw)
            if db is not None:
                self.sum(dy, (0,), False, out=db)
        elif dw is not None and dw.size:
            self._weight_grad(dw, db, dz, x)
        elif db is not None:
            alone = dy if y is None else self.activation_backward(dy, y, kind, parameter, True)
            self.sum(alone, (0,), False, out=db)
        return tuple(g for g in (dx, dw, db) if g is not None)

    def _input_grad(self, dx: Array, dz: _Dz, w: Array) -> None:
        outputs, inputs = w.shape
        rows = len(dz.dy)
        if BACKWARD.pick() == "naive":
            args = (dz.dy, dz.y, w, dx, rows, inputs, outputs, *dz.f)
            self.launch_elements("linear.cu", "linear_input_grad_naive", dx.size, args, scalar_t=dx.dtype)
        elif dx.size:
            self._tiled_grad(dx, None, dz, w, (rows, inputs, outputs), transposed=False)

    def _weight_grad(self, dw: Array, db: Array | None, dz: _Dz, x: Array) -> None:
        """dw, and in the same pass db where that is wanted."""
        outputs, inputs = dw.shape
        rows = len(dz.dy)
        if BACKWARD.pick() == "naive":
            args = (dz.dy, dz.y, x, dw, db, rows, inputs, outputs, *dz.f)
            count = dw.size + (0 if db is None else outputs)
            self.launch_elements("linear.cu", "linear_weight_grad_naive", count, args, scalar_t=dw.dtype)
        else:
            self._tiled_grad(dw, db, dz, x, (outputs, inputs, rows), transposed=True)

    def _tiled_grad(
        self, result: Array, db: Array | None, dz: _Dz, factor: Array, sizes: tuple[int, int, int], transposed: bool
    ) -> None:
        """The product of dz, or of dz^T, with a matrix; `sizes` are its rows, its columns and the depth of the sum."""
        rows, columns, _ = sizes
        plan = schedule(*sizes)
        count = result.size + (0 if db is None else rows)
        parts = self.parts(plan, count, result.dtype)
        target = (result, columns) if parts is None else (parts, columns, count)
        vectors = self.vectors((dz.dy, dz.y, dz.dy.shape[1]), (factor, columns), target)
        args = (dz.dy, dz.y, factor, result, db, parts, *sizes, transposed, *dz.f, plan.part_depth, vectors)
        self._launch_tiles("linear_backward", plan, args, result.dtype)
        self.add_parts(parts, result, rest=db)

    def _launch_tiles(self, kernel: str, plan: Schedule, args: tuple[Any, ...], dtype: Any) -> None:
        self.launch(f"{kernel}.cu", f"{kernel}_{plan.size}", plan.grid, plan.block, args, scalar_t=dtype)


def _along(x: Array, size: int, depth: int) -> Factor:
    """A row-major matrix (size, depth) as a factor that is summed over along its rows."""
    return Factor(x, size, depth, 1, ())


def _across(x: Array, size: int) -> Factor:
    """A row-major matrix (depth, size) as a factor that is summed over along its columns."""
    return Factor(x, size, 1, size, ())
