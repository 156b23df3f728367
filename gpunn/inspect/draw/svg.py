"""Pictures as SVG. Colours come from a style sheet, so that they follow the scheme, light or dark, of whoever looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from gpunn.printing import bytes_text, printable

from .fold import folded
from .layered import Point
from .layout import Layout, lay_out
from .palette import css
from .picture import PHASES, Arrow, Block, Box, Picture

NAMES = {"given": "given", "forward": "forward", "backward": "backward", "update": "update"}
HEAD, LEGEND = 58.0, 32.0
MAP_WIDTH, MAP_HEIGHT, MAP_LEFT = 720.0, 300.0, 86.0


def style() -> str:
    """The style sheet of pictures."""
    return css() + resources.files("gpunn.inspect.draw").joinpath("picture.css").read_text(encoding="utf-8")


def as_svg(picture: Picture, head: str = "all") -> str:
    """The picture: title and legend, the graph, and the memory of the step where the picture has some.

    Args:
        picture: what is drawn.
        head: "all": style sheet, title and legend, for a file of its own; "legend", on a page that has the others;
            "none", on a page that has all of them.
    """
    layout = lay_out(picture)
    if head != "none":
        layout = folded(layout, picture.boxes)
    top = {"all": HEAD, "legend": HEAD - LEGEND, "none": 0.0}[head]
    width = max(layout.width, 560.0 if top else 0.0)
    height = top + layout.height
    parts = [_graph(picture, layout, (width - layout.width) / 2, top)]
    if picture.blocks:
        width = max(width, MAP_WIDTH + 36)
        parts.append(f'<g transform="translate(18 {height + 20:.1f})">{memory_map(picture.blocks)}</g>')
        height += MAP_HEIGHT + 90
    title = escape(printable(picture.title, keep=""))
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="{"group" if head == "none" else "img"}" aria-label="{title}">'
    )
    if top:
        parts.insert(0, f'<g transform="translate(18 {top - 20:.0f})">{_legend(picture)}</g>')
    if head == "all":
        parts = [
            f"<title>{title}</title><style>{style()}</style>",
            f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>',
            f'<text class="title" x="18" y="26">{title}</text>',
            *parts,
        ]
    return "\n".join([opening, "" if head == "none" else heads(), *parts, "</svg>"]) + "\n"


def heads() -> str:
    """The heads of arrows, one for each colour."""
    size = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse"'
    heads = (
        f'<marker id="head-{phase}" {size} orient="auto"><path class="head {phase}" d="M0 0.5L8 4L0 7.5z"/></marker>'
        for phase in PHASES
    )
    return f"<defs>{''.join(heads)}</defs>"


def _legend(picture: Picture) -> str:
    """What squares, circles and colours mean, of what there is."""
    kinds = {box.kind for box in picture.boxes}
    phases = [phase for phase in PHASES if any(box.phase == phase for box in picture.boxes)]
    x, parts = 0.0, []

    def entry(drawing: str, text: str) -> None:
        nonlocal x
        name = f'<text class="note" x="22" y="11">{text}</text>'
        parts.append(f'<g transform="translate({x:.0f} 0)">{drawing}{name}</g>')
        x += 36 + 6.6 * len(text)

    if "variable" in kinds:
        entry('<rect class="key" width="15" height="15" rx="1"/>', "variable")
    if "operator" in kinds:
        entry('<rect class="key" width="15" height="15" rx="7.5"/>', "operator")
    for phase in phases:
        entry(f'<rect class="key {phase}" width="15" height="15" rx="4"/>', NAMES[phase])
    if any(a.kept for a in picture.arrows):
        entry('<path class="arrow kept forward" d="M0 7H17"/>', "kept for the backward")
    return "".join(parts)


def _graph(picture: Picture, layout: Layout, dx: float, dy: float) -> str:
    grounds = "".join(
        f'<rect class="ground" x="{g.x:.1f}" y="{g.y:.1f}" width="{g.width:.1f}" height="{g.height:.1f}" rx="8"/>'
        for g in layout.grounds
    )
    arrows = "".join(_arrow(arrow, curve) for arrow, curve in layout.curves if curve)
    boxes = "".join(_box(box, *layout.middle[box.id]) for box in picture.boxes)
    names = "".join(
        f'<text class="name" x="{g.x - 5:.1f}" y="{g.y + g.height / 2 + 4:.1f}">{_text(g.name)}</text>'
        for g in layout.grounds
        if g.name
    )
    return f'<g transform="translate({dx:.1f} {dy:.1f})">{grounds}<g>{arrows}</g><g>{boxes}</g>{names}</g>'


def _arrow(arrow: Arrow, curve: Sequence[Point]) -> str:
    kept = " kept" if arrow.kept else ""
    ends = f'data-from="{escape(arrow.source)}" data-to="{escape(arrow.target)}"'
    return f'<path class="arrow {arrow.phase}{kept}" {ends} d="{_path(curve)}" marker-end="url(#head-{arrow.phase})"/>'


def _path(curve: Sequence[Point]) -> str:
    (x, y), rest = curve[0], curve[1:]
    return f"M{x:.1f} {y:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)


def _box(box: Box, x: float, y: float) -> str:
    """The box and its lines; markup in names is text here, and what a terminal would obey is shown as an escape."""
    width, height = box.size
    radius = {"variable": 1.5, "operator": height / 2, "layer": 6}[box.kind]
    parts = [
        f'<g class="box {box.kind} {box.phase}" data-id="{escape(box.id)}" transform="translate({x:.1f} {y:.1f})">',
        f"<title>{_text(box.tip or box.label)}</title>",
        f'<rect x="{-width / 2:.1f}" y="{-height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"/>',
    ]
    lines = box.lines
    for number, line in enumerate(lines):
        at = 4.5 if len(lines) == 1 else (-2.5, 11.5)[number]
        kind = "note" if number or not box.label else "label"
        parts.append(f'<text class="{kind}" y="{at}">{_text(line)}</text>')
    return " ".join([*parts, "</g>"])  # the spaces part its lines for who hears them


def memory_map(blocks: Sequence[Block]) -> str:
    """The arena of a step: from left to right the steps, upwards the addresses; a rectangle for what lies there."""
    last = max(b.last for b in blocks)
    first = min(b.first for b in blocks)
    peak = max(b.offset + b.size for b in blocks) or 1
    across = (MAP_WIDTH - MAP_LEFT) / (last - first + 1)
    parts = [
        f'<text class="subtitle" x="0" y="0">Memory of the step: {bytes_text(peak)} in one arena</text>',
        f'<rect class="ground" x="{MAP_LEFT}" y="16" width="{MAP_WIDTH - MAP_LEFT:.1f}" height="{MAP_HEIGHT}"/>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = 16 + MAP_HEIGHT * (1 - share)
        parts.append(f'<text class="tick" x="{MAP_LEFT - 8}" y="{y + 4:.1f}">{bytes_text(peak * share)}</text>')
    for at in _ticks(first, last):
        x = MAP_LEFT + (at - first + 0.5) * across
        parts.append(f'<text class="step" x="{x:.1f}" y="{16 + MAP_HEIGHT + 16}">{at}</text>')
    parts.append(f'<text class="step" x="{(MAP_LEFT + MAP_WIDTH) / 2}" y="{16 + MAP_HEIGHT + 32}">step</text>')
    for b in blocks:
        x, width = MAP_LEFT + (b.first - first) * across, (b.last - b.first + 1) * across
        height = MAP_HEIGHT * b.size / peak
        y = 16 + MAP_HEIGHT * (1 - (b.offset + b.size) / peak)
        name, tip = _text(b.name), f"{_text(b.name)}: {bytes_text(b.size)}, steps {b.first} to {b.last}"
        parts.append(
            f'<g class="block {b.phase}"><title>{tip}</title><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"/>'
        )
        if height >= 13 and width >= 8 * len(b.name):
            parts.append(f'<text class="label" x="{x + width / 2:.1f}" y="{y + height / 2 + 4:.1f}">{name}</text>')
        parts.append("</g>")
    return "".join(parts)


def _ticks(first: int, last: int) -> Iterable[int]:
    step = max(1, -(-(last - first + 1) // 12))
    return range(first, last + 1, step)


def _text(text: str) -> str:
    return escape(printable(text))
