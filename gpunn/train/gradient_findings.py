"""What the sizes of gradients say: that they vanish or explode from layer to layer, or that units are dead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FACTOR = 1e4
"""Between two layers: with a factor of 1/4 a layer, the most that a sigmoid lets through, it takes seven of them."""
GROWTH = 100
"""The gradient of the whole network explodes where it is so many times the largest one before."""
EARLIER = 5
"""... after so many watched steps."""
IN_A_ROW = 3
"""Watched steps, one behind the other, in which a factor between layers is seen before it is said."""
MOST = 0.5
"""The share of a layer's units that has to be dead."""

VANISHING = (
    "what usually helps: ReLU or GELU in place of sigmoid and tanh, He or Glorot initialisation (gpunn.nn.init), batch "
    "or layer norm, skip connections"
)
EXPLODING = (
    "what usually helps: a clipped gradient (--clip-norm 1, clip_norm=1.0), a smaller learning rate, He or Glorot "
    "initialisation (gpunn.nn.init), batch or layer norm"
)
DEAD = (
    "what usually helps: a smaller learning rate, leaky ReLU or ELU in place of ReLU, He initialisation (gpunn.nn.init)"
)


@dataclass(frozen=True)
class Measured:
    """A layer in a watched step.

    name:     its path in the model
    kind:     its class
    gradient: the norm of the gradient of its parameters; None where there is none
    rms:      the root mean square of the gradient of its weights of two or more dimensions, over the units that got
              some; None where it has no such weights
    ratio:    ||W' - W|| / ||W|| of the same weights; None where there are none but 0
    dead:     the share of its units that are dead; None where that is not known
    units:    how many units it has
    """

    name: str
    kind: str
    gradient: float | None
    rms: float | None
    ratio: float | None
    dead: float | None
    units: int

    @property
    def text(self) -> str:
        """Its path and class."""
        return f"layer {self.name} ({self.kind})" if self.name else f"the model ({self.kind})"


class Findings:
    """What is found in watched steps, each said once.

    Between layers it is the root mean square of the weights' gradient that is compared, not its norm, which grows with
    the number of weights: in a layer whose weights get 10,000 times less than those of a layer nearer to the output,
    gradients have vanished on the way; they explode where it is 10,000 times more, where all of them are 100 times the
    largest before, or where an update is larger than the weights. (Glorot, Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", 2010, for the first; Pascanu, Mikolov, Bengio, "On the difficulty of
    training recurrent neural networks", 2013, for the second; Goodfellow, Bengio, Courville, "Deep Learning", 2016,
    8.2.5 and 6.3.1, for both and for dead units. The factors are gpunn's own.)

    lines: what was said
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._said: list[str] = []
        self._in_a_row = {"vanishing": 0, "exploding": 0}
        self._largest = 0.0
        self._steps = 0

    def of(self, layers: Sequence[Measured], place: str) -> list[str]:
        """New lines, for the layers of a step from input to output."""
        found = {}
        norms = [layer.gradient for layer in layers if layer.gradient is not None]
        whole = math.sqrt(sum(n * n for n in norms))
        if not math.isfinite(whole):
            bad = next(m for m in reversed(layers) if m.gradient is not None and not math.isfinite(m.gradient))
            found["not finite"] = f"the gradient of {bad.text} is not finite; {EXPLODING}"
        else:
            found |= self._between(layers)
            if large := [m for m in layers if m.ratio is not None and m.ratio > 1]:
                m = max(large, key=lambda m: m.ratio or 0.0)
                times = f"{m.ratio:.2g} times as large as its weights"
                found["exploding"] = f"gradients explode: the update of {m.text} is {times}; {EXPLODING}"
            if self._steps >= EARLIER and whole > GROWTH * self._largest:
                found["exploding"] = (
                    f"gradients explode: the norm of all of them is {whole:.2g}, and was at most {self._largest:.2g} "
                    f"before; {EXPLODING}"
                )
            self._largest, self._steps = max(self._largest, whole), self._steps + 1
        dead = [m for m in layers if m.dead is not None and m.dead > MOST and f"dead {m.name}" not in self._said]
        new = [f"{place}: {line}" for kind, line in found.items() if kind not in self._said]
        self._said += [kind for kind in found if kind not in self._said] + [f"dead {m.name}" for m in dead]
        if dead:
            which = ", ".join(f"{m.dead:.0%} of {m.units} in {m.text}" for m in dead)
            new.append(f"{place}: most units are dead, since no gradient reaches them any more: {which}; {DEAD}")
        self.lines += new
        return new

    def _between(self, layers: Sequence[Measured]) -> dict[str, str]:
        """Gradients that vanish or explode on their way from output to input, seen often enough."""
        seen: dict[str, str] = {}
        behind: list[Measured] = []
        for m in reversed(layers):
            if m.rms is None:
                continue
            if behind:
                most = max(behind, key=lambda b: b.rms or 0.0)
                least = min((b for b in behind if b.rms), key=lambda b: b.rms or 0.0, default=None)
                if most.rms and m.rms * FACTOR < most.rms:
                    seen.setdefault("vanishing", _sentence("vanish", m, most, VANISHING))
                if least is not None and least.rms and m.rms > FACTOR * least.rms:
                    seen.setdefault("exploding", _sentence("explode", m, least, EXPLODING))
            behind.append(m)
        for kind in self._in_a_row:
            self._in_a_row[kind] = self._in_a_row[kind] + 1 if kind in seen else 0
        return {kind: line for kind, line in seen.items() if self._in_a_row[kind] >= IN_A_ROW}

    def state_dict(self) -> dict[str, Any]:
        """All that was seen."""
        return {
            "lines": list(self.lines), "said": list(self._said), "in_a_row": dict(self._in_a_row),
            "largest": self._largest, "steps": self._steps,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self.lines, self._said = list(state["lines"]), list(state["said"])
        self._in_a_row = {kind: int(state["in_a_row"][kind]) for kind in self._in_a_row}
        self._largest, self._steps = float(state["largest"]), int(state["steps"])


def _sentence(what: str, m: Measured, behind: Measured, remedy: str) -> str:
    assert m.rms is not None and behind.rms
    ratio = m.rms / behind.rms
    return (
        f"gradients {what} from {m.text} on towards the input: its weights get {ratio:.2g} times what those of "
        f"{behind.text} get (root mean square); {remedy}"
    )
