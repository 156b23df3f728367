"""What the numbers say of a network: gradients that vanish or explode, units that are dead or saturated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .derivation import Finding, Flow, Step, Variable
from .formula.render import unicode_name

FAR = 1e3
"""Gradients vanish, or explode, where the first layer's are so many times smaller, or larger, than the last's."""
BEGINS = 10.0
"""It begins where the factor from the last layer on is this."""
MOST = 0.5
"""The share of dead units, or of saturated elements, that is a finding."""
MANY = 32
"""Of fewer elements dead and saturated ones are counted, but are no finding."""
_REMEDIES = {
    "vanishing": (
        "Usual remedies: ReLU in the place of sigmoid and tanh (Glorot, Bordes, Bengio 2011), initial weights scaled "
        "by "
        "the number of inputs (Glorot, Bengio 2010; He et al. 2015), normalisation (Ioffe, Szegedy 2015), residual "
        "connections (He et al. 2016)"
    ),
    "exploding": (
        "Usual remedies: clipping the norm of gradients (Pascanu, Mikolov, Bengio 2013), smaller initial weights "
        "(Glorot, "
        "Bengio 2010; He et al. 2015), normalisation (Ioffe, Szegedy 2015), a smaller learning rate"
    ),
    "dead": (
        "Usual remedies: a smaller learning rate, initial weights after He et al. 2015, standardised inputs (LeCun et "
        "al. "
        "1998, Efficient BackProp), leaky ReLU (Maas, Hannun, Ng 2013)"
    ),
    "saturated": (
        "Usual remedies: smaller initial weights (Glorot, Bengio 2010), standardised inputs (LeCun et al. 1998, "
        "Efficient "
        "BackProp), normalisation (Ioffe, Szegedy 2015), ReLU (Glorot, Bordes, Bengio 2011)"
    ),
}


def note_activations(steps: Sequence[Step], variables: Sequence[Variable], kinds: dict[int, str]) -> None:
    """Add the shares of dead units and of saturated elements to the statistics of activations.

    Args:
        steps: of the derivation.
        variables: likewise.
        kinds: by the id of a variable, the activation that made it.
    """
    for i, kind in kinds.items():
        v = variables[i]
        if v.value is None or v.statistics is None:
            continue
        if kind == "relu":
            v.statistics = replace(v.statistics, dead=_dead(v.value))
        elif kind in ("sigmoid", "tanh"):
            y = v.value.astype(np.float64)
            slope = 4 * y * (1 - y) if kind == "sigmoid" else 1 - y * y
            v.statistics = replace(v.statistics, saturated=float((slope < 0.2).mean()))


def _dead(y: np.ndarray) -> float:
    """The share of features, or channels, that are 0 everywhere."""
    if y.ndim < 2:
        return float((y == 0).mean())
    axes = (0, *range(2, y.ndim))
    return float((y == 0).all(axis=axes).mean())


def flow(steps: Sequence[Step], variables: Sequence[Variable], affine: Sequence[tuple[int, int | None]]) -> list[Flow]:
    """How large gradients are at each layer.

    Args:
        steps: of the derivation.
        variables: likewise.
        affine: for each layer with a weight the ids of its result and of its weight.
    """
    found: list[Flow] = []
    behind: float | None = None
    for y, w in reversed(affine):
        v = variables[y]
        if v.gradient is None or v.statistics is None or variables[v.gradient].statistics is None:
            continue
        gradient = _rms(variables[v.gradient])
        ratio = None if behind is None or not behind else gradient / behind
        update = None
        if w is not None and variables[w].gradient is not None:
            g, norm = variables[variables[w].gradient].statistics, variables[w].statistics  # type: ignore[index]
            update = g.norm / norm.norm if g is not None and norm is not None and norm.norm else None
        found.append(Flow(v.layer, y, _rms(v), gradient, ratio, w, update))
        behind = gradient
    return found[::-1]


def _rms(v: Variable) -> float:
    assert v.statistics is not None
    return v.statistics.norm / max(1, int(np.prod(v.shape))) ** 0.5


def findings(steps: Sequence[Step], variables: Sequence[Variable], layers: Sequence[Flow]) -> list[Finding]:
    """What the numbers say."""
    found = []
    for v in variables:
        if v.statistics is None or not v.statistics.not_finite:
            continue
        n = v.statistics.not_finite
        sentence = f"{unicode_name(v.name)} has {n:,} element{'s that are' if n > 1 else ' that is'} NaN or infinite"
        if v.written_by is not None:
            sentence += (
                f", first of all in step {v.written_by}. Usual remedies: a smaller learning rate, float32 in the place "
                "of float16, an eps in divisions, roots and logarithms"
            )
            found.append(Finding("not finite", v.layer, sentence, (v.written_by,)))
            break
        if v.role in ("input", "target", "parameter") and v.read_by:  # a mask of -inf is meant so
            found.append(Finding("not finite", v.layer, f"{sentence} before the first step", tuple(v.read_by[:1])))
            break
    found += _flow_findings(layers, variables)
    for v in variables:
        s = v.statistics
        if s is None or v.written_by is None or v.value is None or v.value.size < MANY:
            continue
        name = f"{unicode_name(v.name)}{f' (layer {v.layer})' if v.layer else ''}"
        if s.dead is not None and s.dead >= MOST:
            text = (
                f"{s.dead:.0%} of the units of {name} are 0 for every sample of this batch: no gradient passes them. "
            )
            found.append(Finding("dead", v.layer, text + _REMEDIES["dead"], (v.written_by,)))
        if s.saturated is not None and s.saturated >= MOST:
            text = f"{s.saturated:.0%} of {name} are saturated: there the slope is less than a fifth of the largest. "
            found.append(Finding("saturated", v.layer, text + _REMEDIES["saturated"], (v.written_by,)))
    return found


def _flow_findings(layers: Sequence[Flow], variables: Sequence[Variable]) -> list[Finding]:
    if len(layers) < 3 or not layers[-1].gradient:
        return []
    last = layers[-1].gradient
    for kind, factor in (
        ("vanishing", lambda f: last / f.gradient if f.gradient else float("inf")),
        ("exploding", lambda f: f.gradient / last),
    ):
        if not factor(layers[0]) >= FAR:
            continue
        begin = next(f for f in reversed(layers) if factor(f) >= BEGINS)
        names = [f"d{variables[f.variable].name}" for f in (layers[0], layers[-1], begin)]
        first, end, begins = (unicode_name(name) for name in names)
        per_layer = factor(layers[0]) ** (1 / (len(layers) - 1))
        smaller = "smaller" if kind == "vanishing" else "larger"
        sentence = (
            f"Gradients are {kind}: the elements of {first} are {factor(layers[0]):,.3g} times {smaller} than those of "
            f"{end}, by a factor of {per_layer:.3g} for each layer on the way back. It begins at the layer "
            f"{begin.layer or begins} ({begins}), where it is {factor(begin):,.3g} already. {_REMEDIES[kind]}"
        )
        return [Finding(kind, begin.layer, sentence)]
    return []
