"""Layered drawing of a directed graph without cycles (Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding
of hierarchical system structures"): every arrow leads down, long ones pass through each layer on the way.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_X, GAP_Y = 26.0, 22.0
SWEEPS = 8
STRAIGHT = 8.0
"""How much more a piece of a long arrow is kept straight than an arrow from one layer to the next."""

Point = tuple[float, float]
Extent = tuple[float, float, float, float]
"""How far something reaches from its middle to the left, to the right, up and down, in pixels."""
PASSING: Extent = (4.0, 4.0, 0.0, 0.0)
"""Of an arrow that leads through a layer."""


@dataclass(frozen=True)
class Places:
    """Where everything lies, in pixels; y leads down.

    Attributes:
        middle: of each thing.
        way: of each arrow the control points of its curve, cubic pieces (Bézier) one behind the other, from above to
            below.
    """

    middle: dict[str, Point]
    way: dict[tuple[str, str], list[Point]]


def layered(extents: Mapping[str, Extent], arrows: Sequence[tuple[str, str]]) -> Places:
    """Places for things of these extents, so that each arrow leads down and none lies behind a thing.

    Args:
        extents: of each thing, by its name, in an order in which each comes after those that it depends on.
        arrows: from a name to another one.
    """
    arrows = list(dict.fromkeys(a for a in arrows if a[0] != a[1]))
    rank = _ranks(list(extents), arrows)
    links: list[tuple[str, str, float]] = []
    passed: dict[tuple[str, str], list[str]] = {}
    rows: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for name, at in rank.items():
        rows[at].append(name)
    for u, v in arrows:
        chain = [f"{u}\n{v}\n{at}" for at in range(rank[u] + 1, rank[v])]  # no name has lines
        passed[u, v] = chain
        for at, name in enumerate(chain, rank[u] + 1):
            rows[at].append(name)
        steps = [u, *chain, v]
        links += [(a, b, STRAIGHT if chain else 1.0) for a, b in pairwise(steps)]
    above: dict[str, list[tuple[str, float]]] = {name: [] for row in rows for name in row}
    below: dict[str, list[tuple[str, float]]] = {name: [] for row in rows for name in row}
    for u, v, weight in links:
        above[v].append((u, weight))
        below[u].append((v, weight))
    _order(rows, above, below)
    x = _columns(rows, above, below, extents)
    span: dict[str, tuple[float, float]] = {}
    level: dict[str, float] = {}
    top = 0.0
    for row in rows:
        reach = [extents.get(name, PASSING) for name in row]
        height = max(up for _, _, up, _ in reach)
        end = top + height + max(down for _, _, _, down in reach)
        span.update((name, (top, end)) for name in row)
        level.update((name, top + height) for name in row)
        top = end + GAP_Y
    way: dict[tuple[str, str], list[Point]] = {}
    for (u, v), chain in passed.items():
        ends = [(x[u], span[u][1])]
        for name in (*chain, v):
            ends += [(x[name], span[name][0]), (x[name], span[name][1])]
        way[u, v] = through(ends[:-1])
    return Places({name: (x[name], level[name]) for name in extents}, way)


def through(points: Sequence[Point]) -> list[Point]:
    """The control points of a curve through these points, upright at each."""
    found = [points[0]]
    for (ax, ay), (bx, by) in pairwise(points):
        found += [(ax, (ay + by) / 2), (bx, (ay + by) / 2), (bx, by)]
    return found


def _ranks(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The layer of each: one below the lowest that it depends on; what depends on nothing, above its first reader."""
    before: dict[str, list[str]] = {name: [] for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for u, v in arrows:
        before[v].append(u)
        after[u].append(v)
    rank: dict[str, int] = {}
    for name in names:
        rank[name] = max((rank[u] + 1 for u in before[name]), default=0)
    for name in names:
        if not before[name] and after[name]:
            rank[name] = min(rank[v] for v in after[name]) - 1
    return rank


def _order(
    rows: list[list[str]], above: Mapping[str, list[tuple[str, float]]], below: Mapping[str, list[tuple[str, float]]]
) -> None:
    """Sort each row by the mean place of its neighbours, down and up again; keep the order with fewest crossings."""
    place = {name: i for row in rows for i, name in enumerate(row)}
    best, fewest = [list(row) for row in rows], _crossings(rows, below, place)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        near, walk = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in walk:
            mean = {n: sum(place[m] for m, _ in near[n]) / len(near[n]) if near[n] else place[n] for n in row}
            row.sort(key=mean.__getitem__)
            place.update((name, i) for i, name in enumerate(row))
        found = _crossings(rows, below, place)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    for row, kept in zip(rows, best):
        row[:] = kept


def _crossings(
    rows: Sequence[Sequence[str]], below: Mapping[str, list[tuple[str, float]]], place: Mapping[str, int]
) -> int:
    """How many pairs of arrows cross: the inversions among the ends of arrows that are sorted by their beginnings."""
    count = 0
    for row in rows:
        ends = [end for name in row for end in sorted(place[m] for m, _ in below[name])]
        seen: list[int] = []
        for i, end in enumerate(ends):
            count += i - bisect_right(seen, end)
            insort(seen, end)
    return count


def _columns(
    rows: Sequence[Sequence[str]],
    above: Mapping[str, list[tuple[str, float]]],
    below: Mapping[str, list[tuple[str, float]]],
    extents: Mapping[str, Extent],
) -> dict[str, float]:
    """The middle of each, as near as the order allows to the mean of its neighbours."""
    x: dict[str, float] = {}
    starts: list[list[float]] = []
    for row in rows:
        at, found = 0.0, [0.0]
        for a, b in pairwise(row):
            at += extents.get(a, PASSING)[1] + GAP_X + extents.get(b, PASSING)[0]
            found.append(at)
        starts.append(found)
        x.update((name, s - at / 2) for name, s in zip(row, found))
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        for i in range(len(rows)) if down else range(len(rows) - 1, -1, -1):
            wanted, weights = [], []
            for name in rows[i]:
                near = (above if down else below)[name] or [(name, 0.1)]
                total = sum(w for _, w in near)
                wanted.append(sum(x[m] * w for m, w in near) / total)
                weights.append(total)
            for name, at, s in zip(rows[i], _isotonic([w - s for w, s in zip(wanted, starts[i])], weights), starts[i]):
                x[name] = at + s
    return x


def _isotonic(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The numbers that do not fall and have the least weighted squared distance from those wanted.

    By pooling adjacent violators (Barlow et al. 1972, "Statistical inference under order restrictions", 1.2).
    """
    blocks: list[list[float]] = []  # mean, weight, how many
    for value, weight in zip(wanted, weights):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, v, m), (b, w, n) = blocks[-2:]
            blocks[-2:] = [[(a * v + b * w) / (v + w), v + w, m + n]]
    return [mean for mean, _, count in blocks for _ in range(int(count))]
