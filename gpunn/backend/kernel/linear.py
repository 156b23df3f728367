"""The affine map and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gpunn.backend.base_layers import Wanted

from . import offers
from .activation import KINDS
from .family import Array, prod
from .gemm import Schedule, pair, schedule
from .ladder import Ladder
from .matmul import Factor, Matmul
from .tuning import Trial, random_array

FORWARD = Ladder("linear_forward", ("naive", "vectorised"), ("cublaslt",))
BACKWARD = Ladder("linear_backward", ("naive", "vectorised"), ("cublaslt",))


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


class _Gradient(NamedTuple):
    """dx = dz factor, or dw = dz^T factor with db, the sums of dz, where that is wanted."""

    factor: Array
    result: Array
    db: Array | None
    plan: Schedule

    @property
    def inputs(self) -> int:
        """Columns of the factor and of the result."""
        return int(self.factor.shape[-1])


class Linear(Matmul):
    """Matrix products and the affine map."""

    add: Callable[..., Array]
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
        f = KINDS[kind], parameter
        rung = FORWARD.pick("tensor" if self.on_tensor_cores(x.dtype) else None)
        if rung in ("tensor", "cublaslt"):
            multiply = self.tensor_product if rung == "tensor" else self.library_product
            multiply(_along(x, rows, inputs), _along(w, outputs, inputs), (), inputs, y, b, *f)
            return y
        if rung == "naive":
            self._linear_naive(x, w, b, y, f)
        else:
            self._linear_vectorised(x, w, b, y, f)
        return y

    def linear_sum(self, x: Array, w: Array, b: Array | None, added: Array, out: Array | None = None) -> Array:
        """x w^T + b + added for x (..., i), w (o, i), b (o,), added (..., o); in one pass where sums are whole."""
        y = self.result(out, added.shape, x.dtype)
        if not y.size or FORWARD.pick("tensor" if self.on_tensor_cores(x.dtype) else None) != "vectorised":
            return self.add(self.linear_activation(x, w, b, "none", 0.0, out=y), added, out=y)
        x, w, b = self.contiguous(x), self.contiguous(w), None if b is None else self.contiguous(b)
        self._linear_vectorised(x, w, b, y, (KINDS["none"], 0.0), self.contiguous(added))
        return y

    def _linear_naive(self, x: Array, w: Array, b: Array | None, y: Array, f: tuple[int, float]) -> None:
        outputs, inputs = w.shape
        args = (x, w, b, y, prod(x.shape[:-1]), inputs, outputs, *f)
        self.launch_elements("linear.cu", "linear_forward_naive", y.size, args, scalar_t=x.dtype)

    def _linear_vectorised(
        self, x: Array, w: Array, b: Array | None, y: Array, f: tuple[int, float], added: Array | None = None
    ) -> None:
        rows, (outputs, inputs), dtype = prod(x.shape[:-1]), w.shape, x.dtype
        sizes = rows, inputs, outputs
        plan = self.picked(
            "linear_forward",
            sizes,
            dtype.name,
            schedule(rows, outputs, inputs, may_transpose=True),
            lambda: offers.schedules(rows, outputs, inputs, may_transpose=True),
            lambda backend: _forward_trial(backend, *sizes, dtype),
        )
        parts = self.parts(plan, y.size, dtype)
        factors = ((w, inputs), (x, inputs)) if plan.transposed else ((x, inputs), (w, inputs))
        target = (y, added) if parts is None or plan.counted else (parts, None)
        vectors = self.vectors(*factors, (*target, outputs))
        arrays = x, w, b, target[1], y, parts, self.tile_counters(plan)
        args = (*arrays, *sizes, *f, plan.transposed, plan.part_depth, vectors)
        name = f"linear_forward_{plan.size}"
        self.launch("linear_forward.cu", name, plan.grid, plan.block, args, scalar_t=dtype)
        if not plan.counted:
            self.add_parts(parts, y, b, *f)
        if added is not None and target[1] is None:
            self.add(y, added, out=y)

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
        rung = BACKWARD.pick("tensor" if self.on_tensor_cores(dtype) else None)
        tensor, multiply = rung in ("tensor", "cublaslt"), self.tensor_product
        if rung == "cublaslt":
            multiply = self.library_product
        if tensor and y is not None and any(wanted):  # what is copied to shared memory passes no registers
            dy, y = self.activation_backward(dy, y, kind, parameter, True), None
        dz = _Dz(dy, y, kind, parameter)
        dx = dw = db = None
        if wanted[0]:
            w = self.contiguous(w)
            dx = self.result(next(given), (*shape, w.shape[1]), dtype)
        if wanted[1]:
            x = self.contiguous(x)
            dw = self.result(next(given), (outputs, x.shape[-1]), dtype)
        if wanted[2]:
            db = self.result(next(given), (outputs,), dtype)
        without_dw = dw is None or not dw.size
        if tensor:
            if w is not None and dx is not None and dx.size:
                multiply(_along(dy, rows, outputs), _across(w, w.shape[1]), (), outputs, dx)
            if dw is not None and dw.size:
                multiply(_across(dy, outputs), _across(x, dw.shape[1]), (), rows, dw)
        else:
            self._products(dz, w, dx, x, dw, None if without_dw else db)
        if db is not None and (tensor or without_dw):
            alone = dy if y is None else self.activation_backward(dy, y, kind, parameter, True)
            self.sum(alone, (0,), False, out=db)
        return tuple(g for g in (dx, dw, db) if g is not None)

    def _products(
        self, dz: _Dz, w: Array | None, dx: Array | None, x: Array | None, dw: Array | None, db: Array | None
    ) -> None:
        """dx = dz w, and dw = dz^T x with the db of the same pass; those that are None are not wanted."""
        rows, outputs = dz.dy.shape
        inputs = next((factor.shape[-1] for factor in (w, x) if factor is not None), 0)
        sizes, dtype = (rows, inputs, outputs), dz.dy.dtype
        dx, dw = (None if result is None or not result.size else result for result in (dx, dw))
        if BACKWARD.pick() == "naive":
            self._products_naive(dz, w, dx, x, dw, db)
            return

        def trial(backend: Any) -> Trial:
            return _backward_trial(backend, *sizes, dtype, dx is not None, dw is not None)

        if dx is not None and dw is not None:
            of_x, of_w, joined = self.picked(
                "linear_backward", sizes, dtype.name, pair(*sizes), lambda: offers.pairs(*sizes), trial
            )
            first, second = _Gradient(w, dx, None, of_x), _Gradient(x, dw, db, of_w)
            for both in [(first, second)] if joined else [(first, None), (None, second)]:
                self._tiled(dz, *both)
        elif dx is not None or dw is not None:
            alone = (rows, inputs, outputs) if dw is None else (outputs, inputs, rows)
            name = "linear_input_grad" if dw is None else "linear_weight_grad"
            plan = self.picked(name, sizes, dtype.name, schedule(*alone), lambda: offers.schedules(*alone), trial)
            if dw is None:
                self._tiled(dz, _Gradient(w, dx, None, plan), None)
            else:
                self._tiled(dz, None, _Gradient(x, dw, db, plan))

    def _products_naive(
        self, dz: _Dz, w: Array | None, dx: Array | None, x: Array | None, dw: Array | None, db: Array | None
    ) -> None:
        rows, outputs = dz.dy.shape
        if dx is not None:
            args: tuple[Any, ...] = (dz.dy, dz.y, w, dx, rows, dx.shape[-1], outputs, *dz.f)
            self.launch_elements("linear.cu", "linear_input_grad_naive", dx.size, args, scalar_t=dx.dtype)
        if dw is not None:
            args = (dz.dy, dz.y, x, dw, db, rows, dw.shape[-1], outputs, *dz.f)
            count = dw.size + (0 if db is None else outputs)
            self.launch_elements("linear.cu", "linear_weight_grad_naive", count, args, scalar_t=dw.dtype)

    def _tiled(self, dz: _Dz, of_x: _Gradient | None, of_w: _Gradient | None) -> None:
        """One launch for dx, for dw and db, or for both, if their tiles are of one size."""
        rows, outputs = dz.dy.shape
        arrays: list[Array | None] = []
        lines: list[tuple[Any, ...]] = [(dz.dy, dz.y, outputs)]
        tiles, blocks, depths = 0, [0, 0], [1, 1]
        left: list[tuple[Any, ...]] = []
        for i, g in enumerate((of_x, of_w)):
            if g is None:
                arrays, lines = [*arrays, *[None] * 4], [*lines, (), ()]
                continue
            sums = g.result.size + (0 if g.db is None else outputs)
            parts = self.parts(g.plan, sums, g.result.dtype)
            target: tuple[Any, ...] = (g.result,)
            if parts is not None and not g.plan.counted:
                target = parts, sums
                left.append((parts, g.result, g.db))
            arrays += [g.factor, g.result, parts, self.tile_counters(g.plan, tiles)]
            lines += [(g.factor, g.inputs), (*target, g.inputs)]
            tiles += g.plan.grid[0] if g.plan.counted else 0
            blocks[i], depths[i] = g.plan.grid[0] * g.plan.parts, g.plan.part_depth
        one = of_x or of_w
        assert one is not None
        sizes, db = (rows, one.inputs, outputs), None if of_w is None else of_w.db
        args = (dz.dy, dz.y, *arrays, db, *sizes, *dz.f, blocks[0], *depths, self.vectors(*lines))
        name = f"linear_backward_{one.plan.size}"
        self.launch("linear_backward.cu", name, (sum(blocks),), one.plan.block, args, scalar_t=dz.dy.dtype)
        for parts, result, db in left:
            self.add_parts(parts, result, rest=db)


def _along(x: Array, size: int, depth: int) -> Factor:
    """A row-major matrix (size, depth) as a factor that is summed over along its rows."""
    return Factor(x, size, depth, 1, ())


def _across(x: Array, size: int) -> Factor:
    """A row-major matrix (depth, size) as a factor that is summed over along its columns."""
    return Factor(x, size, 1, size, ())


def _forward_trial(backend: Any, rows: int, inputs: int, outputs: int, dtype: Any) -> Trial:
    x, w, b = (
        random_array(backend, s, dtype, i) for i, s in enumerate(((rows, inputs), (outputs, inputs), (outputs,)))
    )
    y = backend.allocate((rows, outputs), dtype)
    given = x, w, b, y, (KINDS["none"], 0.0)
    return Trial(lambda: backend._linear_vectorised(*given), lambda: backend._linear_naive(*given), (y,))


def _backward_trial(
    backend: Any, rows: int, inputs: int, outputs: int, dtype: Any, with_dx: bool, with_dw: bool
) -> Trial:
    shapes = (rows, outputs), (rows, outputs), (outputs, inputs), (rows, inputs)
    dy, y, w, x = (random_array(backend, shape, dtype, i) for i, shape in enumerate(shapes))
    dx = backend.allocate((rows, inputs), dtype) if with_dx else None
    dw, db = (backend.allocate(s, dtype) if with_dw else None for s in ((outputs, inputs), (outputs,)))
    given = _Dz(dy, y, "relu", 0.0), w if with_dx else None, dx, x if with_dw else None, dw, db
    results = tuple(result for result in (dx, dw, db) if result is not None)
    return Trial(lambda: backend._products(*given), lambda: backend._products_naive(*given), results)
