"""Where the boxes of a picture lie and which way its arrows take.

What mirrors nothing, the forward, is laid out in layers from above to below; what it is mirrored by, the backward, lies
to the right of it at the same height and leads up, as in the textbooks: each gradient stands beside its variable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .layered import Extent, Places, Point, layered
from .picture import LONGEST_LABEL, Arrow, Box, Picture, cut

GAP = 22.0
STACKED = 5.0
MARGIN = 18.0
GROUND = 5.0
"""Pixels: between boxes beside one another, above one another, around the picture, around the boxes of a layer."""
NEAR = 2.0
"""Pixels: so far an end of a curve may be from the box that it leads to, by rounding."""
MOST_FOR_DOT = 400
"""Boxes; a larger graph is laid out by gpunn: Graphviz may take minutes."""


@dataclass(frozen=True)
class Ground:
    """What the boxes of a layer lie on: its name, the corner above to the left, width and height."""

    name: str
    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Where the name begins."""
        return self.x - caption_width(self.name)

    def touches(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Whether something lies on it."""
        return left < self.x + self.width and self.x < right and top < self.y + self.height and self.y < bottom


@dataclass(frozen=True)
class Layout:
    """Where everything lies, in pixels; y leads down.

    Attributes:
        width: of the whole.
        height: likewise.
        middle: of each box, by its id.
        curves: each arrow with the control points of its curve: cubic pieces (Bézier), one behind the other.
        grounds: what layers lie on.
    """

    width: float
    height: float
    middle: dict[str, Point]
    curves: list[tuple[Arrow, list[Point]]]
    grounds: list[Ground]


@dataclass
class _Cell:
    """A box with those that stand to its left and its right, each of which may have others behind it, and under it."""

    box: Box
    left: list[_Cell] = field(default_factory=list)
    right: list[_Cell] = field(default_factory=list)
    under: list[_Cell] = field(default_factory=list)

    def reach(self, side: int) -> float:
        """From the middle of the box to the left (-1) or to the right (1)."""
        beside = self.left if side < 0 else self.right
        own = self.box.size[0] / 2 + max((GAP + c.box.size[0] / 2 + c.reach(side) for c in beside), default=0.0)
        return max(own, *(c.reach(side) for c in self.under), 0.0)

    def height(self) -> float:
        """From the top of the highest to the bottom of the lowest."""
        return self.rise() + self.fall()

    def rise(self) -> float:
        """From the middle of the box up, by its columns."""
        columns = [sum(c.height() + STACKED for c in beside) - STACKED for beside in (self.left, self.right)]
        return max(self.box.size[1], *columns) / 2

    def fall(self) -> float:
        """From the middle of the box down, with what stands under it."""
        return max(self.rise(), self.box.size[1] / 2 + sum(c.height() + GAP / 2 for c in self.under))

    def place(self, x: float, y: float) -> Iterator[tuple[str, Point]]:
        """The middle of each box, if that of this one is (x, y)."""
        yield self.box.id, (x, y)
        below = y + self.box.size[1] / 2
        for c in self.under:
            yield from c.place(x, below + GAP / 2 + c.rise())
            below += GAP / 2 + c.height()
        for side, beside in ((-1, self.left), (1, self.right)):
            at = y - (sum(c.height() + STACKED for c in beside) - STACKED) / 2
            for c in beside:
                away = self.box.size[0] / 2 + GAP + c.box.size[0] / 2
                yield from c.place(x + side * away, at + c.rise())
                at += c.height() + STACKED


def caption_width(name: str) -> float:
    """Of the name of a layer, which stands to the left of its ground."""
    return 6.2 * len(cut(name, LONGEST_LABEL)) + 12 if name else 0.0


def lay_out(picture: Picture) -> Layout:
    """The layout of a picture, the same on every call."""
    boxes = {box.id: box for box in picture.boxes}
    forward, mirrored = _cells(picture)
    reach: dict[str, Extent] = {}
    for name, cell in forward.items():
        left, right, up, down = cell.reach(-1), cell.reach(1), cell.rise(), cell.fall()
        if cell.box.kind == "operator":
            left += caption_width(cell.box.group)
        if (other := mirrored.get(name)) is not None:
            left, right = max(left, other.reach(1)), max(right, other.reach(-1))
            up, down = max(up, other.rise()), max(down, other.fall())
        reach[name] = (left, right, up, down)
    home = {name: at for at, cell in forward.items() for name, _ in cell.place(0, 0)}
    downward = [(home[a.source], home[a.target]) for a in picture.arrows if a.source in home and a.target in home]
    places = _places(picture, reach, downward)
    middle: dict[str, Point] = {}
    for name, cell in forward.items():
        middle.update(cell.place(*places.middle[name]))
    axis = 0.0
    if mirrored:
        ends = [places.middle[n][0] + c.reach(1) for n, c in forward.items()]
        ends += [places.middle[n][0] + c.reach(-1) for n, c in mirrored.items()]
        ends += [x for way in places.way.values() for x, _ in way]
        axis = max(ends) + 1.5 * GAP
        for name, cell in mirrored.items():
            x, y = places.middle[name]
            middle.update(cell.place(2 * axis - x, y))
    of = {b.id: name for name, cell in mirrored.items() for b in [boxes[i] for i, _ in cell.place(0, 0)]}
    curves = [(a, _curve(a, boxes, middle, places, {**home, **of}, axis)) for a in picture.arrows]
    return _moved(boxes, middle, curves, _grounds(boxes, middle))


def _cells(picture: Picture) -> tuple[dict[str, _Cell], dict[str, _Cell]]:
    """The cells of the forward, by the id of their box; and for each the cell that mirrors it, where there is one."""
    cells = {box.id: _Cell(box) for box in picture.boxes}
    into = {(a.source, a.target) for a in picture.arrows}
    forward: dict[str, _Cell] = {}
    mirrored: dict[str, _Cell] = {}
    for box in picture.boxes:
        if box.beside:
            beside = cells[box.beside]
            to_left = (box.id, box.beside) in into and not (beside.box.beside or beside.box.mirrors)
            (beside.left if to_left else beside.right).append(cells[box.id])
        elif box.under:
            cells[box.under].under.append(cells[box.id])
        elif not box.mirrors:
            forward[box.id] = cells[box.id]
        elif box.mirrors in mirrored:
            mirrored[box.mirrors].right.append(cells[box.id])
        else:
            mirrored[box.mirrors] = cells[box.id]
    return forward, mirrored


def _places(picture: Picture, reach: dict[str, Extent], down: list[tuple[str, str]]) -> Places:
    from .graphviz import by_dot, installed

    if picture.engine == "dot" or (picture.engine == "auto" and len(reach) <= MOST_FOR_DOT and installed()):
        return by_dot(reach, down)
    return layered(reach, down)


def _curve(
    arrow: Arrow, boxes: dict[str, Box], middle: dict[str, Point], places: Places, cell: dict[str, str], axis: float
) -> list[Point]:
    """The way of an arrow: sideways within a cell and from the forward to the backward, else up or down."""
    u, v = boxes[arrow.source], boxes[arrow.target]
    (ux, uy), (vx, vy) = middle[u.id], middle[v.id]
    at, to = cell[u.id], cell[v.id]
    crosses = axis and (ux < axis) != (vx < axis)
    if (at == to and ux != vx) or crosses:
        side = 1 if vx > ux else -1
        a, b = (ux + side * u.size[0] / 2, uy), (vx - side * v.size[0] / 2, vy)
        half = (a[0] + b[0]) / 2
        return [a, (half, a[1]), (half, b[1]), b]
    sign = 1 if vy > uy else -1
    first, last = (ux, uy + sign * u.size[1] / 2), (vx, vy - sign * v.size[1] / 2)
    way = places.way.get((at, to)) if sign > 0 else None
    if sign < 0 and (back := places.way.get((to, at))) is not None:
        way = [(2 * axis - x, y) for x, y in reversed(back)]
    if way is None or u.beside or v.beside:
        half = (first[1] + last[1]) / 2
        return [first, (first[0], half), (last[0], half), last]
    return _joined(first, way, last)


def _joined(first: Point, way: list[Point], last: Point) -> list[Point]:
    """A curve with straight pieces to it and from it, where its ends are not already there."""

    def line(a: Point, b: Point) -> list[Point]:
        return [a, ((2 * a[0] + b[0]) / 3, (2 * a[1] + b[1]) / 3), ((a[0] + 2 * b[0]) / 3, (a[1] + 2 * b[1]) / 3), b]

    def near(a: Point, b: Point) -> bool:
        return abs(a[0] - b[0]) + abs(a[1] - b[1]) < NEAR

    begin = [first] if near(first, way[0]) else line(first, way[0])
    end = [last] if near(way[-1], last) else line(way[-1], last)
    return [*begin, *way[1:-1], *end]


def _grounds(boxes: dict[str, Box], middle: dict[str, Point]) -> list[Ground]:
    """A ground for the boxes of each layer where no box of another layer lies on it; only the forward's have names."""
    groups: dict[tuple[str, bool], list[Box]] = defaultdict(list)
    for box in boxes.values():
        if box.group:
            groups[box.group, _is_right(boxes, box)].append(box)
    found = []
    corners = {box.id: _around([box], middle) for box in boxes.values()}
    for (name, right_half), members in groups.items():
        x, y, right, bottom = _around(members, middle)
        ground = Ground(
            "" if right_half else cut(name, LONGEST_LABEL),
            x - GROUND,
            y - GROUND,
            right - x + 2 * GROUND,
            bottom - y + 2 * GROUND,
        )
        inside = {box.id for box in members}
        if not any(ground.touches(*corner) for i, corner in corners.items() if i not in inside):
            found.append(ground)
    return found


def _is_right(boxes: dict[str, Box], box: Box) -> bool:
    while box.beside or box.under:
        box = boxes[box.beside or box.under]
    return bool(box.mirrors)


def _around(boxes: Iterable[Box], middle: dict[str, Point]) -> tuple[float, float, float, float]:
    corners = [(x - b.size[0] / 2, y - b.size[1] / 2, x + b.size[0] / 2, y + b.size[1] / 2)
               for b in boxes for x, y in [middle[b.id]]]  # fmt: skip
    lefts, tops, rights, bottoms = zip(*corners)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _moved(
    boxes: dict[str, Box], middle: dict[str, Point], curves: list[tuple[Arrow, list[Point]]], grounds: list[Ground]
) -> Layout:
    """All of it, with the corner of the picture at (0, 0)."""
    if not boxes:
        return Layout(2 * MARGIN, 2 * MARGIN, {}, [], [])
    left, top, right, bottom = _around(boxes.values(), middle)
    xs = [
        left,
        right,
        *(g.left for g in grounds),
        *(g.x + g.width for g in grounds),
        *(x for _, c in curves for x, _ in c),
    ]
    ys = [
        top,
        bottom,
        *(g.y for g in grounds),
        *(g.y + g.height for g in grounds),
        *(y for _, c in curves for _, y in c),
    ]
    dx, dy = MARGIN - min(xs), MARGIN - min(ys)
    return Layout(
        max(xs) + dx + MARGIN,
        max(ys) + dy + MARGIN,
        {name: (x + dx, y + dy) for name, (x, y) in middle.items()},
        [(arrow, [(x + dx, y + dy) for x, y in curve]) for arrow, curve in curves],
        [Ground(g.name, g.x + dx, g.y + dy, g.width, g.height) for g in grounds],
    )
