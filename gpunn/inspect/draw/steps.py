"""The picture of a derivation: squares for variables, circles for operators, the backward as the mirror image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gpunn.inspect.explain.derivation import Derivation, Step, Variable
from gpunn.inspect.explain.formula.render import unicode_name
from gpunn.plan.memory import Storage, lay_out

from .picture import Arrow, Block, Box, Picture, without

SIGNS = {"Add": "+", "Sub": "−", "Mul": "×", "Div": "÷", "Neg": "−", "Matmul": "·", "Pow": "^", "Cat": "⧺"}
NAMES = {"Seed": "start", "Penalty": "penalty"}
SUMS = ("Add", "Seed", "Penalty")
GIVEN = ("input", "target", "parameter", "buffer", "constant")
PHASE = {"activation": "forward", "loss": "forward", "gradient": "backward", "state": "update"}


def picture_of(derivation: Derivation, *, backward: bool = True, memory: bool = False) -> Picture:
    """The graph of a derivation.

    Args:
        derivation: what is drawn. The id of a variable's box is "v" and its id, that of a step's "s" and its number;
            where there are several, a dot and another number follow.
        backward: whether gradients and the update are drawn too.
        memory: whether boxes say what bytes they have, and the arena is drawn.
    """
    return _Drawing(derivation, backward, memory).picture()


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as it is written: 32 × 784; "scalar" for none."""
    return " × ".join(map(str, shape)) if shape else "scalar"


class _Drawing:
    def __init__(self, derivation: Derivation, backward: bool, memory: bool):
        self.derivation = derivation
        self.variables = derivation.variables
        self.steps = [s for s in derivation.steps if backward or s.phase == "forward"]
        self.backward = backward
        self.memory = memory
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self.upright: set[str] = set()  # boxes that stand beside nothing
        self.drawn: set[int] = set()
        self.copies: dict[tuple[int, int | None], str] = {}  # of a variable and a step that reads it, not the first
        self.to_the_loss = {step.number for step in steps_to_the_loss(derivation)}

    def picture(self) -> Picture:
        """The whole."""
        for v in self.variables:
            if v.role == "input":
                self._variable(v, None)
        for step in self.steps:
            if step.phase == "forward":
                self._forward(step)
        for step in self.steps:
            if step.phase == "backward":
                self._backward(step)
            elif step.phase == "update":
                self._update(step)
        self._put_sums_below()
        blocks = list(self._blocks()) if self.memory else []
        return Picture(self.derivation.title, self.boxes, without(self.boxes, self.arrows), blocks)

    def _variable(self, v: Variable, step: Step | None, **place: str) -> None:
        name = f"v{v.id}" if step is None else self.copies.get((v.id, step.number), f"v{v.id}")
        if v.id in self.drawn and name == f"v{v.id}":
            return
        self.drawn.add(v.id)
        phase = "given" if v.role in GIVEN else PHASE[v.role]
        shape = shape_text(v.shape)
        where = f"{v.path or v.layer}\n" if v.path or v.layer else ""
        symbol = unicode_name(v.name)
        tip = f"{symbol}: {v.role}, {v.dtype} {shape}, {v.nbytes:,} bytes\n{where}".rstrip()
        group = v.layer if v.role == "gradient" else step.layer if step is not None else ""
        self.boxes.append(Box(name, symbol, "variable", phase, shape, group, tip, **place))
        if not any(place.values()):
            self.upright.add(name)

    def _operator(self, step: Step, suffix: str = "", **place: str) -> str:
        name = f"s{step.number}{suffix}"
        label = label_of(step)
        tip = f"step {step.number}: {step.title}" + (f"\n{step.layer}" if step.layer else "")
        self.boxes.append(Box(name, label, "operator", step.phase, "", step.layer, tip, **place))
        if not any(place.values()):
            self.upright.add(name)
        return name

    def _forward(self, step: Step) -> None:
        """An operator with what it reads above it, and its parameters beside it.

        What the loss does not depend on, such as the running statistics of batch norm, is but a box beside the step
        that it follows.
        """
        if step.number not in self.to_the_loss:
            made = [i for i in step.inputs if self.variables[i].written_by is not None]
            if made:
                name = self._operator(step, beside=f"s{self.variables[made[0]].written_by}")
                self.arrows += [Arrow(f"v{i}", name, "forward") for i in made]
            return
        name = self._operator(step)
        for i in step.inputs:
            v = self.variables[i]
            if step.op == "Penalty" and i in self.drawn and v.role == "parameter":
                continue  # the penalty reads all weights, wherever they are
            if v.role in GIVEN and v.role != "input" and i in self.drawn:  # a shared weight, once more
                self.copies[i, step.number] = f"v{i}.{step.number}"
            self._variable(v, step, beside=name if v.written_by is None else "")
            source = self.copies.get((i, step.number), f"v{i}")
            self.arrows.append(Arrow(source, name, "given" if v.role in GIVEN else "forward"))
        for number, i in enumerate(step.outputs):
            v = self.variables[i]
            aside = number and v.role != "loss" and not self.to_the_loss.intersection(v.read_by)
            self._variable(v, step, beside=name if aside else "")
            self.arrows.append(Arrow(name, f"v{i}", "forward"))

    def _backward(self, step: Step) -> None:
        """An operator opposite to the one whose gradient it is, with the gradients of parameters beside it."""
        name = self._operator(step, **self._opposite(step))
        for i in step.inputs:
            v = self.variables[i]
            kept = v.role != "gradient"
            if v.id in self.drawn:
                source = self.copies.get((i, step.gradient_of), f"v{i}")
                self.arrows.append(Arrow(source, name, "forward" if kept else "backward", kept))
        for i in step.outputs:
            v = self.variables[i]
            readers = self._readers(i)
            if f"v{v.of}" in self.upright:
                self._variable(v, step, mirrors=f"v{v.of}")
            elif v.of is not None or not readers:
                self._variable(v, step, beside=name)
            else:  # between two steps that are one in the forward
                self._variable(v, step, under=f"s{readers[0]}")
            self.arrows.append(Arrow(name, f"v{i}", "backward"))

    def _opposite(self, step: Step) -> dict[str, str]:
        """Where the operator of a backward step stands."""
        if step.gradient_of is not None:
            return {"mirrors": f"s{step.gradient_of}"}
        of = self.variables[step.outputs[0]].of if step.outputs else None
        if of is not None and f"v{of}" not in self.upright:  # what adds to the gradient of a parameter
            read = [i for i in step.inputs if self.variables[i].role == "gradient"]
            parts = [i for i in self.drawn if self.variables[i].role == "gradient" and self.variables[i].of == of]
            if read or parts:
                return {"beside": f"v{(read or parts)[-1]}"}
        mirrored = {box.mirrors for box in self.boxes}
        for forward in reversed(self.steps):
            free = forward.phase == "forward" and f"s{forward.number}" not in mirrored
            if free and step.op not in SUMS and forward.layer == step.layer != "":
                return {"mirrors": f"s{forward.number}"}
        if step.outputs and (self._readers(step.outputs[0]) or step.op in SUMS):
            return {"under": f"v{step.outputs[0]}"}
        made = [f"s{self.variables[i].written_by}" for i in step.inputs if f"v{i}" in self.upright]
        return {"mirrors": made[-1]} if made and made[-1] in self.upright else {}

    def _readers(self, variable: int) -> list[int]:
        """The numbers of the backward steps that read a variable."""
        return [s.number for s in self.steps if s.phase == "backward" and variable in s.inputs]

    def _put_sums_below(self) -> None:
        """Of gradients that are added up the parts are but arrows, where what adds them stands below the sum."""
        maker = {i: step.number for step in self.steps for i in step.outputs}
        for step in self.steps:
            at = next((i for i, box in enumerate(self.boxes) if box.id == f"s{step.number}"), None)
            if step.phase != "backward" or step.op != "Add" or at is None or not self.boxes[at].under:
                continue
            parts = {f"v{i}": f"s{maker[i]}" for i in step.inputs if i in maker}
            self.boxes = [b if b.under not in parts else replace(b, under=f"s{step.number}") for b in self.boxes]
            self.boxes = [b for b in self.boxes if b.id not in parts]
            self.arrows = [
                replace(a, source=parts.get(a.source, a.source)) for a in self.arrows if a.target not in parts
            ]

    def _update(self, step: Step) -> None:
        """A box beside each gradient that is used, or beside the last thing that is read."""
        gradients = [i for i in step.inputs if self.variables[i].role == "gradient"]
        for i in gradients or step.inputs[-1:]:
            if i not in self.drawn:
                continue
            name = self._operator(step, beside=f"v{i}", suffix=f".{i}" if len(gradients) > 1 else "")
            self.arrows.append(Arrow(f"v{i}", name, "update"))
            if len(gradients) == 1:  # the gradient of a weight is made as it is used, of this and of what was kept
                kept = (j for j in step.inputs if self.variables[j].role in ("activation", "input") and j in self.drawn)
                self.arrows += [Arrow(f"v{j}", name, "forward", kept=True) for j in kept]

    def _blocks(self) -> Iterator[Block]:
        """What lies in the arena, where the plan lays it: all but the constant that begins the backward.

        The gradients of parameters that one update takes lie one behind the other; else what has one place shares it.
        """
        constants = {i for s in self.derivation.steps if s.op == "Seed" for i in s.outputs}
        held: dict[int, list[Variable]] = {}
        last = len(self.derivation.steps)
        for v in self.variables:
            if v.memory is not None and v.written_by is not None and v.id not in constants:
                held.setdefault(v.memory, []).append(v)
        storages = {}
        for number, members in held.items():
            until = max(v.freed_after if v.freed_after is not None else last for v in members)
            first = min(v.written_by for v in members if v.written_by is not None)
            behind = all(v.of is not None and self.variables[v.of].role == "parameter" for v in members)
            sizes = [v.nbytes for v in members]
            storages[number] = Storage(sizes if behind else [max(sizes)], first, until)
        lay_out(list(storages.values()))
        for number, s in storages.items():
            name = ", ".join(dict.fromkeys(unicode_name(v.name) for v in held[number]))
            phase = PHASE.get(held[number][0].role, "given")
            yield Block(name, s.first, s.last, s.offset, s.size, phase)


def steps_to_the_loss(derivation: Derivation) -> list[Step]:
    """The forward steps that the loss depends on."""
    needed = {v.id for v in derivation.variables if v.role == "loss"}
    found = []
    for step in reversed(derivation.steps):
        if step.phase == "forward" and needed.intersection(step.outputs):
            needed.update(step.inputs)
            found.append(step)
    return found[::-1]


def label_of(step: Step) -> str:
    """What an operator is called in a circle: a sign, or what it does in a few words; ∇ for its gradient."""
    if step.op in NAMES:
        return NAMES[step.op]
    if step.phase == "update":
        return step.op
    what = SIGNS.get(step.op, step.title.removeprefix("gradient of ") or step.op)
    is_gradient = step.gradient_of is not None or (step.title.startswith("gradient of ") and step.op not in SUMS)
    return f"∇ {what}" if is_gradient else what
