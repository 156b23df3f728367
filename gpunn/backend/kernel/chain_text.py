"""The text of a kernel for a chain of elementwise functions, as `gpunn.backend.kernel.chain` launches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .activation import KINDS as ACTIVATIONS
from .elementwise import BINARY, PROPERTIES, RELATIONS, UNARY

Step = tuple[Any, ...]
"""The name of a function and the positions of what it takes, counted over the inputs first, then over the steps."""

NUMBER, FLOATS, BOOLEANS = "acc_t", "scalar_t", "bool"
"""What an input may be, as the kernel calls it: a number, an array of floats, an array of booleans."""
_ON_BITS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}
_BOUNDS = "__launch_bounds__(256, 2)"
"""With two blocks on a multiprocessor there are 128 registers a thread: the compiler's own choice may spill some."""
_TEAMS = {"naive": "Alone", "columns": "Columns", "lanes": "Lanes", "warp": "Warp", "block": "Block"}
_OPERANDS = {
    **dict.fromkeys((*UNARY, *PROPERTIES, "cast"), (1,)),
    **dict.fromkeys((*BINARY, *RELATIONS), (2,)),
    **dict.fromkeys(("where", "clip"), (3,)),
    **{f"activation:{kind}": (1, 2) for kind in ACTIVATIONS},
    **{f"activation_backward:{kind}": (2, 3) for kind in ACTIVATIONS},
    **{f"activation_backward_from_output:{kind}": (2, 3) for kind in ACTIVATIONS},
}
"""How many operands each function takes."""


@dataclass(frozen=True)
class Input:
    """An input of a chain: its type, and whether it is an array with strides, or broadcast."""

    type: str
    strided: bool = False


class Body:
    """The values of a chain, v0, v1, ...: those of the inputs, then one for each step.

    Attributes:
        types: "acc_t" or "bool" for each value.
        lines: the line of C that computes the value of each step.

    Raises:
        ValueError: there is no such function, or it does not take these operands.
    """

    def __init__(self, steps: Sequence[Step], inputs: Sequence[Input]) -> None:
        self.types = ["bool" if x.type == BOOLEANS else "acc_t" for x in inputs]
        self.lines: list[str] = []
        for step in steps:
            self._check(step)
            type, expression = self._expression(*step)
            self.lines.append(f"const {type} v{len(self.types)} = {expression};")
            self.types.append(type)

    def number(self, value: int) -> str:
        """A value as a number; a boolean is 0 or 1."""
        return f"v{value}" if self.types[value] == "acc_t" else f"acc_t(v{value})"

    def truth(self, value: int) -> str:
        """A value as a boolean; a number is true if it is not 0."""
        return f"v{value}" if self.types[value] == "bool" else f"(v{value} != 0)"

    def _check(self, step: Step) -> None:
        name, *operands = step
        if name not in _OPERANDS:
            raise ValueError(f"chain: there is no function {name!r} in {step}")
        if len(operands) not in _OPERANDS[name]:
            raise ValueError(f"chain: {name} takes {' or '.join(map(str, _OPERANDS[name]))} operands, got {step}")
        if not all(0 <= v < len(self.types) for v in operands):
            raise ValueError(f"chain: the values before {step} are 0 to {len(self.types) - 1}")

    def _expression(self, name: str, *operands: int) -> tuple[str, str]:
        """The type and the C of a function of values."""
        booleans = all(self.types[v] == "bool" for v in operands)
        name, _, kind = name.partition(":")
        if name in _ON_BITS or name == "invert":
            if not booleans:
                raise ValueError(f"chain: {name} takes booleans")
            return "bool", f"!v{operands[0]}" if name == "invert" else f"v{operands[0]} {_ON_BITS[name]} v{operands[1]}"
        if name == "where":
            condition, x, y = operands
            both = self.types[x] == self.types[y] == "bool"
            as_type = self.truth if both else self.number
            return "bool" if both else "acc_t", f"{self.truth(condition)} ? {as_type(x)} : {as_type(y)}"
        values = [self.number(v) for v in operands]
        if name in UNARY:
            return "acc_t", f"unary_function({values[0]}, {name.upper()})"
        if name in BINARY:
            return "acc_t", f"binary_function({values[0]}, {values[1]}, {name.upper()})"
        if name in RELATIONS:
            return "bool", f"relation_holds({values[0]}, {values[1]}, {name.upper()})"
        if name in PROPERTIES:
            return "bool", f"property_holds({values[0]}, {name.upper()})"
        if name == "cast":
            return "acc_t", values[0]
        if name == "clip":
            return "acc_t", f"binary_function(binary_function({values[0]}, {values[1]}, MAXIMUM), {values[2]}, MINIMUM)"
        code = f"ACTIVATION_{kind.upper()}"
        if name == "activation":
            argument, parameter = (*values, "0")[:2]
            return "acc_t", f"activation({argument}, {code}, {parameter})"
        dy, s, parameter = (*values, "0")[:3]
        from_output = str(name == "activation_backward_from_output").lower()
        return "acc_t", f"activation_gradient({dy}, {s}, {code}, {parameter}, {from_output})"


def elementwise_text(steps: Sequence[Step], inputs: Sequence[Input], results: Sequence[int], rows: bool) -> str:
    """The text with the kernel ``chain`` of (inputs, results, count, vector), or by rows as `kernel/rows.py` has it.

    Args:
        steps: the chain.
        inputs: what it is of.
        results: the values that are wanted.
        rows: whether arrays are walked along rows; they then come with start, layout and step.
    """
    body = Body(steps, inputs)
    parameters, loads, values, row_starts = [], [], [], []
    for k, x in enumerate(inputs):
        if x.type == NUMBER:
            parameters.append(f"acc_t v{k},")
            continue
        if rows:
            parameters.append(f"const {x.type}* x{k}, long long x{k}_start, Layout x{k}_rows, long long x{k}_step,")
            row_starts.append(f"const {x.type}* row{k} = x{k} + x{k}_start + offset_of(x{k}_rows, row);")
            loads.append(f"const auto q{k} = load_columns(row{k}, x{k}_step, i, count, vector);")
        else:
            parameters.append(f"const {x.type}* x{k},")
            loads.append(f"const auto q{k} = load_quad(x{k} + i, count - i, vector);")
        values.append(f"const {body.types[k]} v{k} = q{k}.v[e];")
    for k, value in enumerate(results):
        parameters.append(f"{'bool' if body.types[value] == 'bool' else 'scalar_t'}* y{k},")
    place = "row * count + i" if rows else "i"
    loop = [
        "for (index_t i = first_quad(); i < count; i += quad_stride()) {",
        *_indented(loads),
        *(f"    Quad<{body.types[value]}> r{k};" for k, value in enumerate(results)),
        "#pragma unroll",
        "    for (int e = 0; e < 4; ++e) {",
        *_indented(values + body.lines, 2),
        *(f"        r{k}.v[e] = v{value};" for k, value in enumerate(results)),
        "    }",
        *(f"    store_quad(y{k} + {place}, r{k}.v, count - i, vector);" for k in range(len(results))),
        "}",
    ]
    if rows:
        walk = "for (index_t row = first_row(); row < rows; row += row_stride()) {"
        loop = [walk, *_indented(row_starts), *_indented(loop), "}"]
    last = "long long rows, long long count, bool vector) {" if rows else "long long count, bool vector) {"
    return "\n".join(
        [
            *_heading(steps, inputs, results),
            '#include "activation.cuh"',
            '#include "elementwise.cuh"',
            '#include "functions.cuh"',
            "",
            f'extern "C" __global__ void {_BOUNDS} chain(',
            *_indented([*parameters, last, *loop]),
            "}",
            "",
        ]
    )


def reduction_text(steps: Sequence[Step], inputs: Sequence[Input], result: int, team: str) -> str:
    """The text with the first stage of a reduction of a chain's value, by a team: the kernel ``chain_<team>``.

    It takes the inputs (arrays with strides with start and layout), the result, parts, and what `reduce.cu` takes.
    """
    body = Body(steps, inputs)
    parameters, values = [], []
    for k, x in enumerate(inputs):
        if x.type == NUMBER:
            parameters.append(f"acc_t v{k},")
            continue
        layout = f" long long x{k}_start, Layout x{k}_layout," if x.strided else ""
        parameters.append(f"const {x.type}* __restrict__ x{k},{layout}")
        place = f"x{k}_start + offset_of(x{k}_layout, i)" if x.strided else "i"
        values.append(f"const {body.types[k]} v{k} = x{k}[{place}];")
    parameters += [
        "scalar_t* __restrict__ y,        // null: parts_of_y",
        "acc_t* __restrict__ parts_of_y,  // null: y",
        "long long outer, long long length, long long inner, long long parts, long long chunk,",
        "int combine, int map, int finish, acc_t divisor) {",
    ]
    element = [*values, *body.lines, f"return {{mapped({body.number(result)}, map), combine}};"]
    return "\n".join(
        [
            *_heading(steps, inputs, (result,)),
            '#include "activation.cuh"',
            '#include "layout.cuh"',
            '#include "reduce.cuh"',
            "",
            f'extern "C" __global__ void {_BOUNDS} chain_{team}(',
            *_indented(parameters),
            f"    reduce_rows<{_TEAMS[team]}>(",
            "        Value::of_none(combine),",
            "        [=](index_t i) -> Value {",
            *_indented(element, 3),
            "        },",
            "        [=](index_t row, Value found) { store_value(found, row, y, parts_of_y, finish, divisor); },",
            "        outer, length, inner, parts, chunk);",
            "}",
            "",
        ]
    )


def _heading(steps: Sequence[Step], inputs: Sequence[Input], results: Sequence[int]) -> list[str]:
    """The comment that a text begins with."""
    described = [
        f"//   v{len(inputs) + k} = {name}({', '.join(f'v{v}' for v in operands)})"
        for k, (name, *operands) in enumerate(steps)
    ]
    return [
        f"// A chain of elementwise functions of v0 to v{len(inputs) - 1}, written by gpunn. Wanted: "
        + ", ".join(f"v{v}" for v in results),
        "//",
        *described,
        "//",
        "// compiled for scalar_t = float32, float64, float16, bfloat16",
    ]


def _indented(lines: Sequence[str], times: int = 1) -> list[str]:
    return [line if line.startswith("#") else "    " * times + line for line in lines]
