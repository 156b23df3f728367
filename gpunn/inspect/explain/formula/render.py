"""Trees as Unicode, LaTeX and MathML."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from .tree import (
    Bracket,
    Call,
    Choice,
    Fraction,
    Index,
    Item,
    Number,
    Over,
    Power,
    Row,
    Sign,
    Symbol,
    Text,
)

GREEK = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "eps": "ε", "eta": "η", "theta": "θ", "lambda": "λ", "mu": "μ"},
    **{"pi": "π", "sigma": "σ", "tau": "τ"},
}
_LATEX_GREEK = {"eps": r"\varepsilon"}
_SUPERSCRIPTS = str.maketrans("0123456789+-()=ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾⁼ⁿⁱ")
_SUBSCRIPTS = str.maketrans("0123456789+-()=", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎₌")
_SIGNS = {
    "-": "−",
    "o": "⊙",
    "*": "∗",
    "<-": "←",
    "->": "→",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "...": "…",
    "..": "…",
    "'": "′",
}
_LATEX_SIGNS = {
    **{
        "o": r"\odot",
        "*": "*",
        "<-": r"\leftarrow",
        "->": r"\rightarrow",
        "<=": r"\le",
        ">=": r"\ge",
        "!=": r"\ne",
        "<": r"\lt",
        ">": r"\gt",
    },
    **{"...": r"\dots", "..": r"\dots", "~": r"\sim", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$", "_": r"\_"},
    **{"{": r"\{", "}": r"\}", "\\": r"\backslash", "^": r"\hat{}", "'": "'"},
}
_OVERS = {"sum": "Σ", "product": "Π", "mean": "mean", "max": "max", "min": "min"}
_LATEX_FUNCTIONS = (
    "arcsin",
    "arccos",
    "arctan",
    "exp",
    "ln",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "max",
    "min",
)
_RELATIONS = ("=", "<-", "<=", ">=", "<", ">", "!=", "->", "→")


def parts_of_name(name: str) -> tuple[bool, str, str, str]:
    """Whether a name is that of a gradient, its letters, its number, and what stands above: call, part, primes.

    "dW1(2)" is (True, "W", "1", "(2)"), "mean3'" (False, "mean", "3", "′"), "dA1{2}" has the part "[2]".
    """
    match = re.fullmatch(r"(.*?)(\d*)(\(\d+\))?(\{[^}]*\})?('*)", name, re.DOTALL)
    assert match is not None
    letters, number, call, part, primes = (x or "" for x in match.groups())
    gradient = len(letters) > 1 and letters.startswith("d") and (len(letters) == 2 or letters[1:] in (*GREEK, *_NAMED))
    above = call + (f"[{part[1:-1]}]" if part else "") + "′" * len(primes)
    return gradient, letters[1:] if gradient else letters, number, above


_NAMED = ("xhat", "mean", "var", "batches")


# Unicode --------------------------------------------------------------------------------------------------------------


def unicode(item: Item) -> str:
    """One line for a terminal."""
    return re.sub(r" +", " ", _text(item)).strip()


def unicode_name(name: str) -> str:
    """A variable's name: "dW₁"."""
    gradient, letters, number, above = parts_of_name(name)
    letters = {"xhat": "x̂"}.get(letters, GREEK.get(letters, letters))
    above = re.sub(r"^\(\d+\)", lambda call: call[0].translate(_SUPERSCRIPTS), above)
    return ("d" if gradient else "") + letters + number.translate(_SUBSCRIPTS) + above


def _text(item: Item) -> str:
    if isinstance(item, Number):
        return item.text
    if isinstance(item, Symbol):
        return unicode_name(item.name)
    if isinstance(item, Text):
        return item.words
    if isinstance(item, Sign):
        return _SIGNS.get(item.mark, item.mark)
    if isinstance(item, Row):
        return _joined(item.items, _text)
    if isinstance(item, Fraction):
        return f"{_tight(item.above, _text)} / {_tight(item.below, _text, power=True)}"
    if isinstance(item, Power):
        return _tight(item.base, _text, power=True) + _raised(item.exponent)
    if isinstance(item, Index):
        index = _text(item.index)
        if isinstance(item.index, Bracket):
            return _text(item.base) + index
        if isinstance(item.base, Symbol) and re.search(r"[\d)}']$", item.base.name):
            return f"{_text(item.base)}[{index}]"
        lowered = index.translate(_SUBSCRIPTS)
        return _text(item.base) + (lowered if index.isdigit() else f"_{index}" if len(index) == 1 else f"_({index})")
    if isinstance(item, Bracket):
        opening, closing = _brackets(item.kind)
        return opening + _text(item.inside) + closing
    if isinstance(item, Call):
        argument = _text(item.argument)
        return _text(item.function) + ("" if isinstance(item.argument, Bracket) else " ") + argument
    if isinstance(item, Over):
        sign, body = _OVERS[item.kind], _text(item.body)
        if item.over is None:
            return f"{sign} {body}"
        over = _text(item.over)
        if any(isinstance(x, Text) for x in item.over.walk()):
            return f"{sign} {body} over {over}"
        return f"{sign}_{over} {body}" if re.fullmatch(r"\w", over) else f"{sign}_({over}) {body}"
    assert isinstance(item, Choice)
    return f"{_text(item.value)} if {_text(item.condition)} else {_text(item.other)}"


def _raised(exponent: Item) -> str:
    if exponent == Symbol("T"):
        return "ᵀ"
    if exponent == Sign("'"):
        return "′"
    text = _text(exponent).replace("−", "-")
    if re.fullmatch(r"[-+]?[\dni]+", text):
        return text.translate(_SUPERSCRIPTS)
    return f"^{text.replace('-', '−')}" if re.fullmatch(r"\w", text) else f"^({text.replace('-', '−')})"


def _tight(item: Item, render: Callable[[Item], str], power: bool = False) -> str:
    """In brackets, where it is made of several items."""
    several = isinstance(item, (Fraction, Choice)) or (
        isinstance(item, Row) and (power or any(isinstance(x, Sign) and x.mark in "+-" for x in item.items[1:]))
    )
    if isinstance(item, Over) and (power or item.over is not None):
        several = True
    return f"({render(item)})" if several else render(item)


def _joined(items: tuple[Item, ...], render: Callable[[Item], str], times: str = " ") -> str:
    found = ""
    for i, x in enumerate(items):
        if isinstance(x, Sign) and x.mark in ",:":
            found += x.mark if x.mark == "," else " :"
            continue
        rendered = render(x)
        behind = items[i + 1] if i + 1 < len(items) else Sign("=")
        if render is _text and isinstance(x, Fraction) and (not isinstance(behind, Sign) or behind == Sign("o")):
            rendered = f"({rendered})"
        unary = i > 0 and isinstance(items[i - 1], Sign) and i == 1 and items[0] in (Sign("-"), Sign("+"), Sign("~"))
        found += ("" if not found or unary else times) + rendered
    return found


def _brackets(kind: str) -> tuple[str, str]:
    return {"()": ("(", ")"), "[]": ("[", "]"), "||": ("|", "|"), "‖‖": ("‖", "‖")}[kind]


# LaTeX ----------------------------------------------------------------------------------------------------------------


def latex(item: Item) -> str:
    r"""LaTeX, for amsmath, without dollar signs."""
    return re.sub(r" +", " ", _latex(item)).strip()


def latex_name(name: str) -> str:
    """A variable's name: "\\mathrm{d}W_{1}"."""
    gradient, letters, number, above = parts_of_name(name)
    if letters in GREEK:
        base = _LATEX_GREEK.get(letters, f"\\{letters}")
    elif letters == "xhat":
        base = r"\hat{x}"
    elif len(letters) == 1 and letters.isalnum():
        base = letters
    else:
        base = rf"\mathit{{{latex_escape(letters)}}}"
    below = f"_{{{number}}}" if number else ""
    top = above.replace("′", "")
    primes = "'" * above.count("′")
    raised = f"^{{{top}}}" if top else primes
    return (r"\mathrm{d}" if gradient else "") + base + below + raised


def latex_escape(text: str) -> str:
    """Text whose characters mean themselves."""
    special = {
        "<": r"{\lt}",
        ">": r"{\gt}",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    return "".join(special.get(c) or (f"\\{c}" if c in "_#$%&{}" else c) for c in text)


def _latex(item: Item) -> str:
    if isinstance(item, Number):
        mantissa, e, exponent = item.text.partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else item.text
    if isinstance(item, Symbol):
        return latex_name(item.name)
    if isinstance(item, Text):
        return rf"\text{{ {latex_escape(item.words)} }}"
    if isinstance(item, Sign):
        return _LATEX_SIGNS.get(item.mark, item.mark)
    if isinstance(item, Row):
        return _joined(item.items, _latex, r" \, " if _is_product(item) else " ")
    if isinstance(item, Fraction):
        return rf"\frac{{{_latex(_bare(item.above))}}}{{{_latex(_bare(item.below))}}}"
    if isinstance(item, Power):
        if item.exponent == Sign("'"):
            return rf"{_latex(item.base)}'"
        exponent = r"\top" if item.exponent == Symbol("T") else _latex(item.exponent)
        raised = isinstance(item.base, Symbol) and parts_of_name(item.base.name)[3]
        base = f"({_latex(item.base)})" if isinstance(item.base, Row) else _latex(item.base)
        return rf"{{{base}}}^{{{exponent}}}" if raised or isinstance(item.base, Index) else rf"{base}^{{{exponent}}}"
    if isinstance(item, Index):
        if isinstance(item.index, Bracket):
            return _latex(item.base) + _latex(item.index)
        return rf"{{{_latex(item.base)}}}_{{{_latex(item.index)}}}"
    if isinstance(item, Bracket):
        opening, closing = _brackets(item.kind)
        left, right = {"‖": (r"\|", r"\|")}.get(opening, (opening, closing))
        return rf"\left{left} {_latex(item.inside)} \right{right}"
    if isinstance(item, Call):
        return _latex_call(item)
    if isinstance(item, Over):
        below = "" if item.over is None else rf"_{{{_latex(item.over)}}}"
        sign = {"sum": r"\sum", "product": r"\prod", "max": r"\max", "min": r"\min"}.get(
            item.kind, rf"\operatorname*{{{item.kind}}}"
        )
        return rf"{sign}{below} {_latex(item.body)}"
    assert isinstance(item, Choice)
    cases = rf"{_latex(item.value)} & \text{{if }} {_latex(item.condition)} \\ {_latex(item.other)} & \text{{else}}"
    return rf"\begin{{cases}} {cases} \end{{cases}}"


def _latex_call(item: Call) -> str:
    name = item.function.name if isinstance(item.function, Symbol) else ""
    if name == "sqrt":
        return rf"\sqrt{{{_latex(_bare(item.argument))}}}"
    if name in _LATEX_FUNCTIONS:
        function = rf"\{name}"
    elif len(name) > 1 and name.isidentifier() and not parts_of_name(name)[2]:
        function = rf"\operatorname{{{latex_escape(name)}}}"
    else:
        function = _latex(item.function)
    return f"{function} {_latex(item.argument)}"


def _bare(item: Item) -> Item:
    """Without brackets around all of it."""
    return item.inside if isinstance(item, Bracket) and item.kind == "()" else item


def _is_product(item: Row) -> bool:
    return not any(isinstance(x, Sign) for x in item.items)


# MathML ---------------------------------------------------------------------------------------------------------------


def mathml(item: Item) -> str:
    """One ``<math>`` element, of MathML Core; variables have the attribute ``data-variable``."""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{_ml(item)}</math>'


def _ml(item: Item) -> str:
    if isinstance(item, Number):
        return f"<mn>{escape(item.text)}</mn>"
    if isinstance(item, Symbol):
        return _ml_name(item)
    if isinstance(item, Text):
        return f"<mtext>&nbsp;{escape(item.words)}&nbsp;</mtext>".replace("&nbsp;", "\u00a0")
    if isinstance(item, Sign):
        return f"<mo>{escape(_SIGNS.get(item.mark, item.mark))}</mo>"
    if isinstance(item, Row):
        between = "<mspace width='0.17em'/>" if _is_product(item) else ""
        return f"<mrow>{between.join(_ml(x) for x in item.items)}</mrow>"
    if isinstance(item, Fraction):
        return f"<mfrac>{_ml(_bare(item.above))}{_ml(_bare(item.below))}</mfrac>"
    if isinstance(item, Power):
        exponent = "<mi mathvariant='normal'>T</mi>" if item.exponent == Symbol("T") else _ml(item.exponent)
        base = _ml(Bracket("()", item.base)) if isinstance(item.base, Row) else _ml(item.base)
        return f"<msup>{base}{exponent}</msup>"
    if isinstance(item, Index):
        if isinstance(item.index, Bracket):
            return f"<mrow>{_ml(item.base)}{_ml(item.index)}</mrow>"
        return f"<msub>{_ml(item.base)}{_ml(item.index)}</msub>"
    if isinstance(item, Bracket):
        opening, closing = _brackets(item.kind)
        return f"<mrow><mo>{opening}</mo>{_ml(item.inside)}<mo>{closing}</mo></mrow>"
    if isinstance(item, Call):
        if item.function == Symbol("sqrt"):
            return f"<msqrt>{_ml(_bare(item.argument))}</msqrt>"
        between = "" if isinstance(item.argument, Bracket) else "<mspace width='0.17em'/>"
        return f"<mrow>{_ml(item.function)}{between}{_ml(item.argument)}</mrow>"
    if isinstance(item, Over):
        sign = {"sum": "<mo>∑</mo>", "product": "<mo>∏</mo>"}.get(item.kind, f"<mi>{item.kind}</mi>")
        sign = sign if item.over is None else f"<munder>{sign}{_ml(item.over)}</munder>"
        return f"<mrow>{sign}{_ml(item.body)}</mrow>"
    assert isinstance(item, Choice)
    rows = ((item.value, "if", item.condition), (item.other, "else", Row(())))
    table = "".join(
        f"<mtr><mtd>{_ml(v)}</mtd><mtd><mtext>{word}\u00a0</mtext>{_ml(c)}</mtd></mtr>" for v, word, c in rows
    )
    return f"<mrow><mo>{{</mo><mtable columnalign='left'>{table}</mtable></mrow>"


def _ml_name(item: Symbol) -> str:
    gradient, letters, number, above = parts_of_name(item.name)
    letters = {"xhat": "x̂"}.get(letters, GREEK.get(letters, letters))
    base = f"<mi>{escape(letters)}</mi>"
    if number and above:
        base = f"<msubsup>{base}<mn>{number}</mn><mtext>{escape(above)}</mtext></msubsup>"
    elif number:
        base = f"<msub>{base}<mn>{number}</mn></msub>"
    elif above:
        base = f"<msup>{base}<mtext>{escape(above)}</mtext></msup>"
    if gradient:
        base = f"<mi mathvariant='normal'>d</mi>{base}"
    if item.variable is None:
        return f"<mrow>{base}</mrow>" if gradient else base
    return f'<mrow data-variable="{item.variable}">{base}</mrow>'
