"""Every schedule of the products of a layer: what `gpunn.backend.kernel.gemm.schedule` should pick, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest.mock import patch

from gpunn.backend.kernel import linear
from gpunn.backend.kernel.family import ceil_div
from gpunn.backend.kernel.gemm import MULTIPROCESSORS, Schedule, schedule
from gpunn.backend.kernel.tiles import STEP, TILES

from .setup import Row, Setup

LAYERS = ((784, 512), (512, 512), (512, 10), (4096, 4096), (64, 64), (3136, 128), (400, 120))
BATCHES = (128, 4096, 32, 1024, 65536, 512, 16384)
PARTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)
REPEATS = 20


def schedules(setup: Setup) -> Iterator[Row]:
    """A row for each product of each layer: what is picked today, and microseconds by each schedule with its sums."""
    for batch in (3,) if setup.tiny else BATCHES:
        for inputs, outputs in ((5, 4),) if setup.tiny else LAYERS:
            yield from _layer(setup, batch, inputs, outputs)


def _layer(setup: Setup, batch: int, inputs: int, outputs: int) -> Iterator[Row]:
    backend = setup.device.backend
    x, w, bias, y = (setup.normal(*s) for s in ((batch, inputs), (outputs, inputs), (outputs,), (batch, outputs)))
    dz, slope = setup.normal(batch, outputs), linear._Slope()
    dx, dw, db = (backend.empty(s, "float32") for s in ((batch, inputs), (outputs, inputs), (outputs,)))
    products: dict[str, tuple[tuple[int, int, int], Callable[[], object]]] = {
        "forward": ((batch, outputs, inputs), lambda: backend.linear_activation(x, w, bias, "relu", 0.0, y)),
        "dx": ((batch, inputs, outputs), lambda: backend._products(dz, w, dx, slope, None, None, None)),
        "dw": ((outputs, inputs, batch), lambda: backend._products(dz, None, None, slope, x, dw, db)),
    }
    for name, (sizes, run) in products.items():
        times = {}
        for plan in _possible(*sizes, may_transpose=name == "forward"):
            with patch.object(linear, "schedule", lambda *a, plan=plan, **k: plan):
                times[_name(plan)] = setup.measure_in_graph(run, REPEATS, seconds=0.001)["us"]
        today = _name(schedule(*sizes, may_transpose=name == "forward"))
        yield {
            "product": name,
            "sizes": list(sizes),
            "picked": today,
            "flop": 2 * batch * inputs * outputs,
            "us": times,
        }


def _possible(rows: int, columns: int, depth: int, may_transpose: bool) -> Iterator[Schedule]:
    """All schedules that keep up to twelve blocks of 256 threads on each multiprocessor busy."""
    for size, tile in TILES.items():
        for transposed in (False, True) if may_transpose and size == "small" else (False,):
            m, n = (columns, rows) if transposed else (rows, columns)
            tiles = ceil_div(m, tile.rows) * ceil_div(n, tile.columns)
            for wanted in PARTS:
                part_depth = max(1, ceil_div(depth, wanted * STEP)) * STEP
                parts = max(1, ceil_div(depth, part_depth))
                if parts == wanted and (parts == 1 or tiles * parts * tile.threads <= 12 * 256 * MULTIPROCESSORS):
                    for counted in (False, True)[: 1 + (parts > 1)]:
                        yield Schedule(size, transposed, (tiles, parts), (tile.threads,), parts, part_depth, counted)


def _name(plan: Schedule) -> str:
    return f"{plan.size}{' transposed' if plan.transposed else ''} x {plan.parts}{' counted' if plan.counted else ''}"
