"""The affine map and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gpunn.backend.base_layers import PAIRS, Wanted

from . import offers
from .activation import KINDS
from .family import Array, prod
from .gemm import Schedule, pair, schedule
from .ladder import Ladder
from .matmul import Factor, Matmul
from .tuning import Trial, random_array

FORWARD = Ladder("linear_forward", ("naive", "vectorised"), ("cublaslt",))
BACKWARD = Ladder("linear_backward", ("naive", "vectorised"), ("cublaslt",))


class _Slope(NamedTuple):
    """f'(v) as it follows from x = f(v); None in the place of x: 1.

    `which` are the elements that windows of 2 x 2 of f(v) have chosen, whose results are x; None: x is f(v) itself.
    """

    x: Array | None = None
    kind: str = "none"
    parameter: float = 0.0
    which: Array | None = None

    @property
    def f(self) -> tuple[int, float]:
        """The activation, as kernels take it."""
        return KINDS[self.kind], self.parameter

    def goes_with(self, plan: Schedule) -> bool:
        """Whether dx is multiplied by it where it is written. Large tiles have no registers left for windows."""
        whole = plan.parts == 1 or plan.counted
        if self.which is not None:
            return whole and plan.size != "large"
        return whole or self.x is None


class _Gradient(NamedTuple):
    """dx = dz factor f'(v), or dw = dz^T factor with db, the sums of dz, where that is wanted."""

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
    max_pool2d_backward: Callable[..., Array]
    max_pool2d_activation_backward: Callable[..., Array]

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
        return self._gradients(dz, x, w, _Slope(), wanted, out)

    def activation_linear_backward(
        self,
        dz: Array,
        x: Array | None,
        w: Array | None,
        kind: str,
        parameter: float,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`linear_backward` with dx f'(v) in the place of dx, where x = f(v) and f' follows from that."""
        slope = _Slope() if x is None or kind == "none" else _Slope(self.contiguous(x), kind, parameter)
        return self._gradients(dz, x, w, slope, wanted, out)

    def pooled_linear_backward(
        self,
        dz: Array,
        x: Array | None,
        w: Array,
        which: Array,
        kind: str,
        parameter: float,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`activation_linear_backward`, whose dx is spread over windows of 2 x 2 elements that lie side by side."""
        n, c, h, across = which.shape
        dv_out, *others = out or (None, None, None)
        dv = self.result(dv_out, (n, c, 2 * h, 2 * across), dz.dtype)
        slope = _Slope(None if kind == "none" else self.contiguous(x), kind, parameter, self.contiguous(which))
        x = x if wanted[1] else None
        rung = BACKWARD.pick("tensor" if self.on_tensor_cores(dz.dtype) else None)
        if rung == "vectorised" and dz.size and self.twos(dv):
            return self._gradients(dz, x, w, slope, wanted, (dv, *others))
        dx, *rest = self._gradients(dz, x, w, _Slope(), wanted, (None, *others))
        self._behind(dx, slope, dv)
        return dv, *rest

    def _gradients(
        self, dz: Array, x: Array | None, w: Array | None, slope: _Slope, wanted: Wanted, out: Any
    ) -> tuple[Array, ...]:
        given = iter(out if out is not None else (None, None, None))
        shape, outputs, dtype = dz.shape[:-1], dz.shape[-1], dz.dtype
        rows = prod(shape)
        dz = self.contiguous(dz).reshape(rows, outputs)
        rung = BACKWARD.pick("tensor" if self.on_tensor_cores(dtype) else None)
        tensor = rung in ("tensor", "cublaslt")
        multiply: Callable[..., object] = self.tensor_product
        if rung == "cublaslt":
            multiply = self.library_product
        dx = dw = db = None
        if wanted[0]:
            w = self.contiguous(w)
            dx = next(given) if slope.which is not None else self.result(next(given), (*shape, w.shape[1]), dtype)
        if wanted[1]:
            x = self.contiguous(x)
            dw = self.result(next(given), (outputs, x.shape[-1]), dtype)
        if wanted[2]:
            db = self.result(next(given), (outputs,), dtype)
        without_dw = dw is None or not dw.size
        if tensor:
            if w is not None and dx is not None and dx.size:
                self._product_with_slope(multiply, dz, w, dx, slope)
            if dw is not None and dw.size:
                multiply(_across(dz, outputs), _across(x, dw.shape[1]), (), rows, dw)
        else:
            self._products(dz, w, dx, slope, x, dw, None if without_dw else db)
        if db is not None and (tensor or without_dw):
            self.sum(dz, (0,), False, out=db)
        return tuple(g for g in (dx, dw, db) if g is not None)

    def _product_with_slope(
        self, multiply: Callable[..., object], dz: Array, w: Array, dx: Array, slope: _Slope
    ) -> None:
        """dx = dz w f'(v) on tensor cores or by the library: in one launch of a kernel where f is a ReLU."""
        rows, outputs = dz.shape
        factors = _along(dz, rows, outputs), _across(w, w.shape[1]), (), outputs, dx
        if multiply != self.tensor_product or slope.kind != "relu":
            multiply(*factors)
        elif self.tensor_product(*factors, behind=slope.x):
            return
        self._behind(dx, slope, dx)

    def _behind(self, dx: Array, slope: _Slope, dv: Array) -> None:
        """dx f', at the elements that windows have chosen, to dv in a launch of its own."""
        f, which = (slope.kind, slope.parameter), slope.which
        if which is None:
            if slope.x is not None:
                self.activation_backward(dx, slope.x, *f, True, out=dv)
            return
        where, size = (dx.reshape(which.shape), which), dv.shape[2:]
        if slope.x is None:
            self.max_pool2d_backward(*where, size, *PAIRS, out=dv)
        else:
            y = slope.x.reshape(which.shape)
            self.max_pool2d_activation_backward(where[0], y, which, size, *PAIRS, *f, out=dv)

    def _products(
        self,
        dz: Array,
        w: Array | None,
        dx: Array | None,
        slope: _Slope,
        x: Array | None,
        dw: Array | None,
        db: Array | None,
    ) -> None:
        """dx = dz w f'(v), and dw = dz^T x with the db of the same pass; those that are None are not wanted."""
        rows, outputs = dz.shape
        inputs = next((factor.shape[-1] for factor in (w, x) if factor is not None), 0)
        sizes, dtype = (rows, inputs, outputs), dz.dtype
        dx, dw = (None if result is None or not result.size else result for result in (dx, dw))
        if BACKWARD.pick() == "naive":
            self._products_naive(dz, w, dx, slope, x, dw, db)
            return

        def trial(backend: Any) -> Trial:
            return _backward_trial(backend, *sizes, dtype, dx is not None, dw is not None)

        if dx is not None and dw is not None:
            of_x, of_w, joined = self.picked(
                "linear_backward", sizes, dtype.name, pair(*sizes), lambda: offers.pairs(*sizes), trial
            )
            first, second = _Gradient(w, dx, None, of_x), _Gradient(x, dw, db, of_w)
            for both in [(first, second)] if joined else [(first, None), (None, second)]:
                self._tiled(dz, *both, slope)
        elif dx is not None or dw is not None:
            alone = (rows, inputs, outputs) if dw is None else (outputs, inputs, rows)
            name = "linear_input_grad" if dw is None else "linear_weight_grad"
            plan = self.picked(name, sizes, dtype.name, schedule(*alone), lambda: offers.schedules(*alone), trial)
            if dw is None:
                self._tiled(dz, _Gradient(w, dx, None, plan), None, slope)
            else:
                self._tiled(dz, None, _Gradient(x, dw, db, plan), slope)

    def _products_naive(
        self,
        dz: Array,
        w: Array | None,
        dx: Array | None,
        slope: _Slope,
        x: Array | None,
        dw: Array | None,
        db: Array | None,
    ) -> None:
        rows, outputs = dz.shape
        if dx is not None:
            args: tuple[Any, ...] = (dz, w, slope.x, dx, rows, dx.shape[-1], outputs, *slope.f)
            self.launch_elements("linear.cu", "linear_input_grad_naive", dx.size, args, scalar_t=dx.dtype)
        if dw is not None:
            args = (dz, x, dw, db, rows, dw.shape[-1], outputs)
            count = dw.size + (0 if db is None else outputs)
            self.launch_elements("linear.cu", "linear_weight_grad_naive", count, args, scalar_t=dw.dtype)

    def _tiled(self, dz: Array, of_x: _Gradient | None, of_w: _Gradient | None, slope: _Slope) -> None:
        """One launch for dx, for dw and db, or for both, if their tiles are of one size."""
        rows, outputs = dz.shape
        if of_x is not None and not slope.goes_with(of_x.plan):
            dx = of_x.result if slope.which is None else self.empty((rows, of_x.inputs), dz.dtype)
            self._tiled(dz, of_x._replace(result=dx), of_w, _Slope())
            self._behind(dx, slope, of_x.result)
            return
        arrays: list[Array | None] = []
        lines: list[tuple[Any, ...]] = [(dz, outputs)]
        tiles, blocks, depths = 0, [0, 0], [1, 1]
        left: list[tuple[Any, ...]] = []
        for i, g in enumerate((of_x, of_w)):
            if g is None:  # X is read for f' too
                arrays, lines = [*arrays, slope.x if i else None, *[None] * 3], [*lines, (), ()]
                continue
            sums = (outputs if i else rows) * g.inputs + (0 if g.db is None else outputs)
            parts = self.parts(g.plan, sums, g.result.dtype)
            target: tuple[Any, ...] = (g.result,) if i else (g.result, slope.x, slope.which)
            if parts is not None and not g.plan.counted:
                target = parts, sums
                left.append((parts, g.result, g.db))
            arrays += [g.factor, g.result, parts, self.tile_counters(g.plan, tiles)]
            lines += [(g.factor, g.inputs), (*target, g.inputs)]
            tiles += g.plan.grid[0] if g.plan.counted else 0
            blocks[i], depths[i] = g.plan.grid[0] * g.plan.parts, g.plan.part_depth
        one = of_x or of_w
        assert one is not None
        size, of_windows = one.plan.size, (slope.which, 1 if slope.which is None else slope.which.shape[3])
        shape = rows, one.inputs, outputs, *slope.f
        args = (dz, *arrays, None if of_w is None else of_w.db, *shape, blocks[0], *depths, self.vectors(*lines))
        if size != "large":
            args += of_windows
        self.launch(
            "linear_backward.cu", f"linear_backward_{size}", (sum(blocks),), one.plan.block, args, scalar_t=dz.dtype
        )
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
    shapes = (rows, outputs), (outputs, inputs), (rows, inputs)
    dz, w, x = (random_array(backend, shape, dtype, i) for i, shape in enumerate(shapes))
    dx = backend.allocate((rows, inputs), dtype) if with_dx else None
    dw, db = (backend.allocate(s, dtype) if with_dw else None for s in ((outputs, inputs), (outputs,)))
    slope = _Slope(x, "relu") if with_dx else _Slope()
    given = dz, w if with_dx else None, dx, slope, x if with_dw else None, dw, db
    results = tuple(result for result in (dx, dw, db) if result is not None)
    return Trial(lambda: backend._products(*given), lambda: backend._products_naive(*given), results)
