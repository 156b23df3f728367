"""The ways that there are to compute a product, to be measured: those that are predicted to take not much longer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeVar

from . import conv_plan, gemm
from .conv_plan import Convolution, Plan
from .gemm import Pair, Schedule
from .sliding_plan import PAIR, QUAD, ranked_tiles
from .sliding_plan import Tile as SlidingTile
from .sliding_weight_plan import WeightTile, ranked_weight_tiles

LONGER = 2.0
"""Ways that are predicted to take more times as long as the best are not offered,"""
MOST = 16
"""and no more than so many."""
MOST_OF_EACH = 4
"""Of each of two gradients, which are paired."""
Way = TypeVar("Way")


@lru_cache(maxsize=1024)
def schedules(
    rows: int,
    columns: int,
    depth: int,
    batch: int = 1,
    may_transpose: bool = False,
    tensor: bool = False,
    tf32: bool = False,
    wgmma: bool = False,
) -> dict[str, Schedule]:
    """For `gemm.schedule`, which is the first of them."""
    sizes = rows, columns, depth, batch, may_transpose, tensor, tf32, wgmma
    found = _likely(gemm.all_schedules(*sizes), gemm.schedule(*sizes), MOST)
    return {_of_schedule(plan): plan for _, plan in found}


@lru_cache(maxsize=1024)
def pairs(rows: int, inputs: int, outputs: int) -> dict[str, Pair]:
    """For `gemm.pair`, which is the first of them."""
    best = gemm.pair(rows, inputs, outputs)
    dx = _likely(gemm.all_schedules(rows, inputs, outputs), best.dx, MOST_OF_EACH)
    dw = _likely(gemm.all_schedules(outputs, inputs, rows), best.dw, MOST_OF_EACH)
    found = [(one + two + gemm.NODE, Pair(x, w, False)) for one, x in dx for two, w in dw]
    found += [
        (gemm.joined_cycles(one, x, two, w), Pair(x, w, True))
        for one, x in dx
        for two, w in dw
        if gemm.can_be_joined(x, w)
    ]
    return {
        f"dx {_of_schedule(p.dx)}; dw {_of_schedule(p.dw)}{'; one launch' if p.joined else ''}": p
        for _, p in _likely(found, best, MOST)
    }


@lru_cache(maxsize=1024)
def plans(tiles: str, f: Convolution) -> dict[str, Plan]:
    """For the plan of a convolution by the tiles of that name in `conv_plan`; that is the first of them."""
    found = _likely(conv_plan.ranked_plans(tiles, f), conv_plan.plan_of(tiles, f), MOST)
    return {f"{plan.size}, {_parts(plan.grid[1])}": plan for _, plan in found}


@lru_cache(maxsize=1024)
def sliding_tiles(f: Convolution, itemsize: int) -> dict[str, SlidingTile]:
    """For `sliding_plan.sliding_tile`, which is the first of them."""
    ranked = ranked_tiles(f, itemsize, MOST)
    return {
        f"{t.images} x {PAIR * t.pairs} x {QUAD * t.quads} pixels, {t.output_threads} x 8 outputs, {t.slices} x "
        f"{t.channels // t.slices} channels, {_parts(t.grid[1])}": t
        for cycles, t in ranked
        if cycles <= LONGER * ranked[0][0]
    }


@lru_cache(maxsize=1024)
def sliding_weight_tiles(f: Convolution, itemsize: int) -> dict[str, WeightTile]:
    """For `sliding_weight_plan.sliding_weight_tile`, which is the first of them."""
    ranked = ranked_weight_tiles(f, itemsize, MOST)
    return {
        f"{t.rows} x {QUAD * t.quads} pixels by {t.row_parts}, {t.output_threads} x 8 outputs, {t.channels} channels, "
        f"{_parts(t.grid[0])}{', counted' * t.counted}": t
        for cycles, t in ranked
        if cycles <= LONGER * ranked[0][0]
    }


def _likely(found: Iterable[tuple[int, Way]], predicted: Way, most: int) -> list[tuple[int, Way]]:
    """The predicted way, and others that it may take not much longer, the likeliest first."""
    ranked = sorted(found, key=lambda way: way[0])
    cycles = next(cycles for cycles, way in ranked if way == predicted)
    others = [way for way in ranked if way[1] != predicted and way[0] <= LONGER * cycles]
    return [(cycles, predicted), *others[: most - 1]]


def _of_schedule(plan: Schedule) -> str:
    turned, counted = " transposed" * plan.transposed, ", counted" * plan.counted
    return f"{plan.size}{turned}, {_parts(plan.parts)}{counted}"


def _parts(count: int) -> str:
    return f"{count} part{'s' * (count > 1)}"
