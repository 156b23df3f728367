"""Formulas: every op has some, they parse, and they come out as Unicode, LaTeX and MathML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from gpunn import optim
from gpunn.inspect.explain.formula import latex, mathml, parse, unicode
from gpunn.inspect.explain.formula.bind import activations, forward, gradient
from gpunn.inspect.explain.formula.of_op import formulas_of
from gpunn.inspect.explain.formula.tree import Number, Sign, Symbol, Text
from gpunn.inspect.explain.update import update_lines
from gpunn.ops import OPS
from gpunn.ops.activation import NAMES, Activation
from gpunn.ops.base import Composite, Op
from gpunn.ops.further import factor, factor_more, known, scattering  # noqa: F401  # with ops of their own
from gpunn.ops.linear import LinearActivation
from gpunn.train.optimizers import OPTIMIZERS

OWN = {name: op for name, op in OPS.items() if op.__module__.startswith("gpunn.")}
WITHOUT_GRADIENT = {"c", "i", "index", "K", "y of labels", "w of labels"}
"""Inputs that have none: conditions, indices, labels and their weights."""
LABELS = ("SoftmaxCrossEntropy", "NLLLoss", "NLLLossBackward")
EXAMPLES = {
    "Z = X W^T + b": ("Z = X Wᵀ + b", r"Z = X \, W^{\top} + b"),
    "dZ = dY o f'(Z)": ("dZ = dY ⊙ f′(Z)", r"\mathrm{d}Z = \mathrm{d}Y \odot f' \left( Z \right)"),
    "dx = -dz x / y^2": ("dx = −dz x / y²", r"\mathrm{d}x = -\frac{\mathrm{d}z \, x}{y^{2}}"),
    "y = e^-x": ("y = e^(−x)", r"y = e^{-x}"),
    "db = sum of dZ over the batch": (
        "db = Σ dZ over the batch",
        r"\mathrm{d}b = \sum_{\text{ the batch }} \mathrm{d}Z",
    ),
    "y_i = e^(x_i) / sum_j e^(x_j)": (
        "y_i = e^(x_i) / (Σ_j e^(x_j))",
        r"{y}_{i} = \frac{e^{{x}_{i}}}{\sum_{j} e^{{x}_{j}}}",
    ),
    "y = x if x > 0 else a (e^x - 1)": (
        "y = x if x > 0 else a (e^x − 1)",
        r"y = \begin{cases} x & \text{if } x \gt 0 \\ a \, \left( e^{x} - 1 \right) & \text{else} \end{cases}",
    ),
    "s = lambda/2 (||W1||^2 + ||W2||^2)": (
        "s = (λ / 2) (‖W₁‖² + ‖W₂‖²)",
        r"s = \frac{\lambda}{2} \, \left( \left\| W_{1} \right\|^{2} + \left\| W_{2} \right\|^{2} \right)",
    ),
    "dA1{1+2} = dA1{1} + dA1{2}": (
        "dA₁[1+2] = dA₁[1] + dA₁[2]",
        r"\mathrm{d}A_{1}^{[1+2]} = \mathrm{d}A_{1}^{[1]} + \mathrm{d}A_{1}^{[2]}",
    ),
    "Z1(2) = A1(2) W1^T": ("Z₁⁽²⁾ = A₁⁽²⁾ W₁ᵀ", r"Z_{1}^{(2)} = A_{1}^{(2)} \, W_{1}^{\top}"),
    "dx = w / sqrt(v + eps) (dy - mu)": (
        "dx = (w / sqrt(v + ε)) (dy − μ)",
        r"\mathrm{d}x = \frac{w}{\sqrt{v + \varepsilon}} \, \left( \mathrm{d}y - \mu \right)",
    ),
    "p <- p - lr m": ("p ← p − lr m", r"p \leftarrow p - \mathit{lr} \, m"),
}


def rendered(tree) -> tuple[str, str]:
    """Unicode and LaTeX, after a look at all three."""
    text, tex = unicode(tree), latex(tree)
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", tex):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0 and tex.count(r"\left") - tex.count(r"\leftarrow") == tex.count(r"\right") - tex.count(
        r"\rightarrow"
    )
    root = ElementTree.fromstring(mathml(tree))
    assert root.tag.endswith("math") and len(root)
    return text, tex


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_notation(text: str) -> None:
    assert rendered(parse(text)) == EXAMPLES[text]


@pytest.mark.parametrize("name", OWN)
def test_every_op_has_a_formula_that_renders(name: str) -> None:
    found = formulas_of(OWN[name])
    assert found.equations and found.outputs
    for e in found.equations:
        text, _ = rendered(e.tree)
        assert " = " in text and not re.search(r"[`\"^]{2}|_of|[({\[]$", text), text
    defined = {e.left for e in found.equations}
    statistics = {"mu", "v", "m", "s"}  # further results, which the text tells of
    assert set(found.outputs) - statistics <= defined


@pytest.mark.parametrize("name", OWN)
def test_every_input_has_the_formula_of_its_gradient(name: str) -> None:
    op = OWN[name]
    if not op.differentiable or op.vjp is Op.vjp or issubclass(op, Composite):
        return
    found = formulas_of(op)
    kinds = (f"{x} of labels" if name in LABELS and x in "yw" else x for x in found.inputs or ("x",))
    wanted = {f"d{x}" for x in kinds if x not in WITHOUT_GRADIENT and not (name == "NLLLossBackward" and x == "dy")}
    assert wanted <= {e.left for e in found.equations}


def test_every_activation_has_its_function_and_slope() -> None:
    assert set(activations()) == set(NAMES) - {"none"}
    x, y, dx, dy = (Symbol(name, i) for i, name in enumerate(("Z1", "A1", "dZ1", "dA1")))
    told = {}
    for kind in activations():
        (value,) = forward(Activation(kind, 0.5), [x], [y], range(4))
        (slope,) = gradient(Activation(kind, 0.5), [x], [y], [dy], {0: dx}, range(4))
        told[kind] = rendered(value)[0], rendered(slope)[0]
    assert told["relu"] == ("A₁ = max(Z₁, 0)", "dZ₁ = dA₁ ⊙ [A₁ > 0]")
    assert told["sigmoid"] == ("A₁ = 1 / (1 + e^(−Z₁))", "dZ₁ = dA₁ ⊙ (A₁ ⊙ (1 − A₁))")
    assert told["tanh"] == ("A₁ = tanh Z₁", "dZ₁ = dA₁ ⊙ (1 − A₁²)")
    assert told["leaky_relu"] == ("A₁ = Z₁ if Z₁ > 0 else 0.5 Z₁", "dZ₁ = dA₁ ⊙ (1 if A₁ > 0 else 0.5)")
    assert told["silu"][1] == "dZ₁ = dA₁ ⊙ (sigmoid(Z₁) + A₁ ⊙ (1 − sigmoid(Z₁)))"


def test_an_op_with_the_names_of_its_variables() -> None:
    x, w, b, z = (Symbol(name, i) for i, name in enumerate(("A1", "W2", "b2", "Z2")))
    (plain,) = forward(LinearActivation(), [x, w, b], [z])
    (no_bias,) = forward(LinearActivation(), [x, w, None], [z])
    fused = forward(LinearActivation("relu"), [x, w, b], [Symbol("A2", 4)])
    assert unicode(plain) == "Z₂ = A₁ W₂ᵀ + b₂"
    assert unicode(no_bias) == "Z₂ = A₁ W₂ᵀ"
    assert [unicode(t) for t in fused] == ["A₂ = max(Z, 0)", "Z = A₁ W₂ᵀ + b₂"]
    assert re.findall(r'data-variable="(\d)"', mathml(plain)) == ["3", "0", "1", "2"]
    (product,) = forward(OPS["Mul"](), [x, Number("0.1")], [z], [0, 3])
    assert unicode(product) == "Z₂ = 0.1 A₁"


def test_names_of_strangers_are_text() -> None:
    name = "<b>&$_{"
    tree = parse("y = 1").map(lambda x: Symbol(name, 7) if x == Symbol("y") else x)
    assert "<b>" not in mathml(tree) and "&lt;b&gt;&amp;" in mathml(tree)
    assert r"{\lt}b{\gt}\&\$\_\{" in latex(tree)
    ElementTree.fromstring(mathml(tree))
    assert latex(Text("50 % & more")) == r"\text{ 50 \% \& more }"


@pytest.mark.parametrize("name", OPTIMIZERS.values())
def test_every_optimizer_has_formulas_that_render(name: str) -> None:
    lines = [rendered(parse(text))[0] for text, _ in update_lines(getattr(optim, name))]
    assert any(re.match("[pP] ← [pP] − ", line) for line in lines)
    if name == "AdamW":
        assert lines[0] == "d ← g" and lines[-2] == "p ← p − lr l p"


@pytest.mark.parametrize("text", ["", "=", "(", ")", "][", "x ^", "_", "/ /", "| x", "sum", "if else", "'''", "`a"])
def test_anything_parses_to_something(text: str) -> None:
    tree = parse(text)
    unicode(tree), latex(tree)
    ElementTree.fromstring(mathml(tree))
    assert all(isinstance(x.mark, str) for x in tree.walk() if isinstance(x, Sign))
