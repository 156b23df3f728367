"""Pictures as PNG, drawn by matplotlib where the SVG has everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpunn.optional import needed
from gpunn.printing import printable

from .fold import folded
from .layout import Layout, lay_out
from .palette import INK, LIGHT, PAPER, SOFT
from .picture import Box, Picture

DPI = 144.0
PIXEL = 72 / 96
"""Points, in which matplotlib measures, of a pixel of the layout."""
LARGEST = 16000
"""Pixels of a side: of a larger picture the PNG is scaled down."""
HEAD = 34.0


def write_png(picture: Picture, path: Path) -> None:
    """Draw the graph of a picture, in light colours, and write it.

    Raises:
        ImportError: matplotlib is not installed.
    """
    needed("matplotlib", f"{path.name}, a PNG,")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout = folded(lay_out(picture), picture.boxes)
    width, height = max(layout.width, 420.0), layout.height + HEAD
    figure = Figure(figsize=(width / 96, height / 96), facecolor=PAPER["light"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-(width - layout.width) / 2, (width + layout.width) / 2), ylim=(layout.height, -HEAD))
    axes.axis("off")
    left = 14 - (width - layout.width) / 2
    axes.text(left, -12, _plain(picture.title), size=13 * PIXEL, weight="bold", color=INK["light"])
    _draw(axes, picture, layout)
    dpi = min(DPI, LARGEST * 96 / max(width, height))
    figure.savefig(path, dpi=dpi, format="png", metadata={"Software": None})


def _draw(axes: Any, picture: Picture, layout: Layout) -> None:
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path as Curve

    for g in layout.grounds:
        style = "round,pad=0,rounding_size=8"
        axes.add_patch(FancyBboxPatch((g.x, g.y), g.width, g.height, style, facecolor=SOFT["light"], alpha=0.08, lw=0))
        axes.text(
            g.x - 5, g.y + g.height / 2, _plain(g.name), size=11 * PIXEL, color=SOFT["light"], ha="right", va="center"
        )
    for arrow, curve in layout.curves:
        if not curve:
            continue
        codes = [Curve.MOVETO] + [Curve.CURVE4] * (len(curve) - 1)
        axes.add_patch(
            FancyArrowPatch(
                path=Curve(curve, codes),
                arrowstyle="-|>",
                mutation_scale=9 * PIXEL,
                color=LIGHT[arrow.phase].line,
                lw=1.2 * PIXEL,
                linestyle=(0, (3, 4)) if arrow.kept else "-",
                alpha=0.6 if arrow.kept else 1.0,
                shrinkA=0,
                shrinkB=0,
            )
        )
    for box in picture.boxes:
        _box(axes, box, *layout.middle[box.id])


def _box(axes: Any, box: Box, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = box.size
    radius = {"variable": 1.5, "operator": height / 2, "layer": 6}[box.kind]
    colour = LIGHT[box.phase]
    corner, style = (x - width / 2, y - height / 2), f"round,pad=0,rounding_size={radius}"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, style, facecolor=colour.ground, edgecolor=colour.line, lw=1.4 * PIXEL)
    )
    lines = box.lines
    for number, line in enumerate(lines):
        at = y if len(lines) == 1 else y + (-7.5, 8.5)[number]
        size = (10 if number else 12) * PIXEL
        axes.text(x, at, _plain(line), size=size, color=colour.text, ha="center", va="center")


def _plain(text: str) -> str:
    """Text that matplotlib takes as it is: a dollar would begin a formula."""
    return printable(text, keep="").replace("$", r"\$")
