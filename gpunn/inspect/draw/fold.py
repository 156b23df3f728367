"""A long picture in columns beside one another, cut where little leads across, as a text is set in columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .layered import Point
from .layout import MARGIN, Ground, Layout
from .picture import Box

LEAST_HEIGHT = 1300.0
"""Pixels: what is lower stays in one column."""
WIDE = 1.3
"""Width to height of a page that is looked at."""
MOST_COLUMNS = 8
MOST_ACROSS = 3
"""Arrows: where more lead across nothing is cut."""
PRICE = 80.0
"""Pixels that a cut may be off its best place to have an arrow less across."""
LANE = 9.0
CHANNEL = 40.0


def folded(layout: Layout, boxes: Sequence[Box]) -> Layout:
    """The layout in as many columns as bring it near the shape of a page; itself, where it can't be cut."""
    if layout.height < LEAST_HEIGHT:
        return layout

    def off(count: int) -> float:
        shape = count * (layout.width + CHANNEL) / (layout.height / count)
        return max(shape / WIDE, WIDE / shape)

    for count in sorted(range(2, MOST_COLUMNS + 1), key=off):
        if off(count) < off(1) and (cuts := _cuts(layout, boxes, count)):
            return _in_columns(layout, boxes, cuts)
    return layout


def _cuts(layout: Layout, boxes: Sequence[Box], count: int) -> list[float]:
    """The heights to cut at, near equal parts; none where there is no good place."""
    solid = [(layout.middle[b.id][1] - b.size[1] / 2 - 3, layout.middle[b.id][1] + b.size[1] / 2 + 3) for b in boxes]
    solid += [(g.y - 1, g.y + g.height + 1) for g in layout.grounds]
    solid.sort()
    free, end = [], solid[0][1]
    for top, bottom in solid[1:]:
        if top > end:
            free.append((end + top) / 2)
        end = max(end, bottom)
    spans = [(min(y for _, y in c), max(y for _, y in c)) for _, c in layout.curves if c]
    across = {y: sum(a < y < b for a, b in spans) for y in free}
    found: list[float] = []
    part = layout.height / count
    for i in range(1, count):
        near = [y for y in free if abs(y - i * part) < part / 3 and across[y] <= MOST_ACROSS]
        if not near:
            return []
        found.append(min(near, key=lambda y: abs(y - i * part) + PRICE * across[y]))
    return found


def _in_columns(layout: Layout, boxes: Sequence[Box], cuts: Sequence[float]) -> Layout:
    def column(y: float) -> int:
        return sum(cut < y for cut in cuts)

    count = len(cuts) + 1
    tops = [0.0, *cuts]
    lefts, rights = [layout.width] * count, [0.0] * count

    def reach(y: float, left: float, right: float) -> None:
        lefts[column(y)] = min(lefts[column(y)], left)
        rights[column(y)] = max(rights[column(y)], right)

    for b in boxes:
        x, y = layout.middle[b.id]
        reach(y, x - b.size[0] / 2, x + b.size[0] / 2)
    for g in layout.grounds:
        reach(g.y + 1, g.left, g.x + g.width)
    for _, curve in layout.curves:
        for x, y in curve:
            reach(y, x, x)
    starts = [MARGIN]
    for left, right in zip(lefts, rights):
        starts.append(starts[-1] + right - left + CHANNEL)

    def moved(point: Point, at: int) -> Point:
        return point[0] - lefts[at] + starts[at], point[1] - tops[at] + CHANNEL / 2

    middle = {name: moved(p, column(p[1])) for name, p in layout.middle.items()}
    grounds = []
    for g in layout.grounds:
        x, y = moved((g.x, g.y), column(g.y + 1))
        grounds.append(Ground(g.name, x, y, g.width, g.height))
    floor = max(b - a for a, b in zip(tops, [*cuts, layout.height])) + CHANNEL / 2
    curves = []
    lanes = 0
    for arrow, curve in layout.curves:
        if not curve or column(curve[0][1]) == column(curve[-1][1]):
            curves.append((arrow, [moved(p, column(curve[0][1])) for p in curve]))
            continue
        begin, end = column(curve[0][1]), column(curve[-1][1])
        lanes += 1
        aside = (lanes % MOST_ACROSS) * LANE + LANE / 2
        ends = moved(curve[0], begin), moved(curve[-1], end)
        (ux, uy), (vx, vy) = ends if begin < end else ends[::-1]
        channel = starts[max(begin, end)] - CHANNEL + aside
        bottom, top = floor + aside, CHANNEL / 2 - aside / 2
        corners = [(ux, uy), (ux, bottom), (channel, bottom), (channel, top), (vx, top), (vx, vy)]
        curves.append((arrow, _polyline(corners if begin < end else corners[::-1])))
    return Layout(starts[-1] - CHANNEL + MARGIN, floor + CHANNEL, middle, curves, grounds)


def _polyline(points: Sequence[Point]) -> list[Point]:
    """The control points of straight pieces."""
    found = [points[0]]
    for (ax, ay), (bx, by) in pairwise(points):
        found += [((2 * ax + bx) / 3, (2 * ay + by) / 3), ((ax + 2 * bx) / 3, (ay + 2 * by) / 3), (bx, by)]
    return found
