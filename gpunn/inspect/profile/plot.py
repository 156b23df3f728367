"""A predicted step as a picture: its launches under the roofline, and what each of them takes and waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpunn.optional import needed

from .step import PredictedLaunch, StepPrediction

MOST_BARS = 40
_WARP_FLOP = 64
"""Of a fused multiply-add of 32 lanes."""


def plot(step: StepPrediction, path: Path) -> None:
    """Draw it into a file.

    Left, each launch that multiplies: fused multiply-adds a byte that it touches, and how many it would do a second,
    under what arithmetic units, DRAM and the second-level cache allow. Right, the time of each launch with its range,
    in the colour of what limits it.

    Args:
        step: the prediction.
        path: a file whose name ends as matplotlib's do, such as ``.png`` or ``.svg``.

    Raises:
        ImportError: there is no matplotlib; the message says what to install.
        ValueError: matplotlib does not write such files.
    """
    figure_of = needed("matplotlib.figure", "a picture of the roofline").Figure
    shown = sorted(step.launches, key=lambda x: -x.prediction.microseconds)[:MOST_BARS]
    shown.sort(key=step.launches.index)
    limiters = sorted({x.prediction.limiter for x in step.launches})
    colour = {name: f"C{k}" for k, name in enumerate(limiters)}
    figure = figure_of(figsize=(14, max(5, 0.27 * len(shown) + 1.5)), layout="constrained")
    roof, bars = figure.subplots(1, 2, width_ratios=(2, 3))
    _roofline(roof, step, colour)
    _bars(bars, shown, colour)
    patch = needed("matplotlib.patches", "a picture of the roofline").Patch
    handles = [patch(color=colour[name], label=name) for name in limiters]
    figure.legend(handles=handles, title="limited by", loc="outside lower center", ncols=len(handles))
    figure.suptitle(f"{step.title}, on {step.gpu.name}: predicted, {step.microseconds:,.0f} us a step")
    figure.savefig(path, dpi=110)


def _roofline(axes: Any, step: StepPrediction, colour: dict[str, str]) -> None:
    gpu = step.gpu
    hertz = 1e6 * gpu.boost_mhz
    peak = 2 * gpu.architecture.per_clock["fp32"] * gpu.multiprocessors * hertz
    points = []
    for x in step.launches:
        flop = _WARP_FLOP * x.prediction.kinds.get("FFMA", 0.0)
        touched = sum(a.read + a.written for a in x.counted.arrays)
        if flop and touched:
            points.append((flop / touched, 1e6 * flop / x.prediction.microseconds, x.prediction.limiter))
    least = min((p[0] for p in points), default=1.0) / 2
    most = max(max((p[0] for p in points), default=1.0), peak / gpu.dram_bytes_per_second) * 2
    for name, speed, style in (
        ("DRAM", gpu.dram_bytes_per_second * gpu.copy_share, "-"),
        ("L2", gpu.l2_bytes_per_clock * hertz, "--"),
    ):
        ends = (least, min(peak / speed, most))
        axes.plot(ends, [speed * e for e in ends], style, color="0.35", linewidth=1.2, label=name)
    axes.hlines(peak, least, most, color="0.35", linewidth=1.2)
    axes.annotate("fp32", (most, peak), ha="right", va="bottom", color="0.35")
    for name in sorted({p[2] for p in points}):
        mine = [p for p in points if p[2] == name]
        axes.plot([p[0] for p in mine], [p[1] for p in mine], "o", color=colour[name], alpha=0.75)
    axes.set(xscale="log", yscale="log", xlabel="FLOP a byte that is touched", ylabel="FLOP/s")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def _bars(axes: Any, shown: list[PredictedLaunch], colour: dict[str, str]) -> None:
    for y, x in enumerate(shown):
        p = x.prediction
        axes.barh(y, p.microseconds, color=colour[p.limiter])
        axes.plot((p.low, p.high), (y, y), color="0.2", linewidth=0.8)
    labels = [f"{x.layer or x.op}: {x.prediction.kernel}" for x in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("us; lines: from least to most")
