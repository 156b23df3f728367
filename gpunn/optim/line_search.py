"""A line search for a step that satisfies the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

C1, C2 = 1e-4, 0.9  # Nocedal and Wright 2006, section 3.1, for quasi-Newton methods


@dataclass
class Point:
    """A place on the line: the step t to it, the loss, the gradient there, and the slope along the line."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, longest: float, tolerance_change: float, most: int
) -> tuple[Point, int]:
    """A point with loss <= start + c1 t slope and abs(its slope) <= c2 abs(slope), and how many were evaluated.

    Nocedal and Wright 2006, "Numerical optimization", algorithms 3.5 and 3.6, with cubic interpolation; the order of
    decisions is that of minFunc (Schmidt 2005), which PyTorch follows.

    Args:
        evaluate: gives the point at a step.
        start: the point at 0, with a negative slope.
        t: the first step to try.
        longest: the largest element of the direction.
        tolerance_change: the bracket is not made smaller than this, as a change of a parameter.
        most: at most so many points after the first.
    """
    point = evaluate(t)
    evaluations, rounds, done = 1, 0, False
    before = start
    bracket = [start, point]
    while rounds < most:
        if _too_high(point, start) or (rounds > 1 and point.loss >= before.loss):
            bracket = [before, point]
            break
        if abs(point.slope) <= -C2 * start.slope:
            return point, evaluations
        if point.slope >= 0:
            bracket = [before, point]
            break
        shortest = point.t + 0.01 * (point.t - before.t)
        t = interpolate(before, point, shortest, 10 * point.t)
        before, point = point, evaluate(t)
        evaluations, rounds = evaluations + 1, rounds + 1
    if rounds == most:
        bracket = [start, point]

    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    stuck = False
    while not done and rounds < most:
        ends = [end.t for end in bracket]
        if abs(ends[1] - ends[0]) * longest < tolerance_change:
            break
        t = interpolate(bracket[0], bracket[1], min(ends), max(ends))
        margin = 0.1 * (max(ends) - min(ends))
        if min(max(ends) - t, t - min(ends)) < margin:  # near an end: once is no matter, twice is no progress
            if stuck or t >= max(ends) or t <= min(ends):
                t = max(ends) - margin if abs(t - max(ends)) < abs(t - min(ends)) else min(ends) + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = evaluate(t)
        evaluations, rounds = evaluations + 1, rounds + 1
        high = 1 - low
        if _too_high(point, start) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if abs(point.slope) <= -C2 * start.slope:
            done = True
        elif point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
    return bracket[low], evaluations


def interpolate(a: Point, b: Point, lowest: float, highest: float) -> float:
    """The minimum of the cubic through two points and their slopes, within bounds; their middle where it has none.

    Nocedal and Wright 2006, equation 3.59.
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (lowest + highest) / 2
    d2 = square**0.5
    divisor = b.slope - a.slope + 2 * d2
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / divisor) if divisor else float("nan")
    return min(max(t, lowest), highest)


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + C1 * point.t * start.slope
