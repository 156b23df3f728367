"""Ops, the primitives that they ask for, and the kernels of those."""

from __future__ import annotations

import subprocess
import sys

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel_texts import kernel_names
from gpunn.inspect.primitives import primitive_uses, primitives_of
from gpunn.ops import OPS
from gpunn.ops.further import factor, factor_more, known, scattering  # registers those that are loaded later

VIEWS_AND_TRANSFERS = {
    *("", "broadcast_to", "diagonal", "reinterpret", "slice_view", "split", "transpose"),
    *("empty", "from_numpy", "to_numpy"),
}


def test_primitives_are_read_from_the_ops() -> None:
    found = {name: primitives_of(op) for name, op in OPS.items()}
    assert found["MatMul"] == ("matmul",)
    assert found["Softmax"] == ("softmax",)
    assert set(found["LinearActivation"]) == {"linear_activation", "activation"}
    assert set(found["Round"]) == {"floor", "ceil", "trunc", "rint"}
    assert set(found["Compare"]) == {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
    assert set(found["Bitwise"]) == {"bitwise_and", "bitwise_or", "bitwise_xor"}
    assert set(found["Test"]) == {"isnan", "isinf", "isfinite"}
    assert found["Identity"] == ()
    assert all(hasattr(numpy_backend, p) for names in found.values() for p in names)


def test_every_op_has_kernels_or_nothing_to_compute() -> None:
    uses = primitive_uses()
    assert {u.op for u in uses} == set(OPS)
    assert {text for u in uses for text in u.texts} <= set(kernel_names())
    assert {u.primitive for u in uses if u.path == "host"} == {"draw"}
    assert {u.primitive for u in uses if u.path == "array module"} == {"of_arrays"}
    assert {u.primitive for u in uses if u.path == "no work"} == VIEWS_AND_TRANSFERS
    later = {module.__name__ for module in (factor, factor_more, known, scattering)}
    assert later <= {op.__module__ for op in OPS.values()}
    by_op = {u.op: u for u in uses}
    assert by_op["Softmax"].texts == ("softmax.cu",)
    assert by_op["Identity"].path == "no work"


def test_what_kernels_are_launched_by_needs_neither_cupy_nor_a_compiler() -> None:
    code = "import sys; import gpunn.backend.kernel; assert not {'cupy', 'gpunn.backend.sim'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={"PATH": ""}, check=True)
