"""The tables of what the compiler and the simulator say of every kernel: a planted slow-down is seen, and nothing else.

Each plant is a change of a kernel text, or of the host code that launches it, of the sort that slips in unseen: results
stay what they were.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import cache

import pytest

from benchmarks.predicted import __main__ as predicted
from benchmarks.predicted import code, counted, steps
from benchmarks.predicted.table import (
    Column,
    Difference,
    Layout,
    Row,
    Table,
    differences,
    less,
    more,
    narrower,
    read,
    write,
)
from gpunn.backend import kernel_texts
from gpunn.backend.kernel import loss
from gpunn.backend.signature import alone, signatures
from gpunn.plan import as_graph

TYPES = {"scalar_t": "float32"}


@pytest.fixture
def edit(monkeypatch, tmp_path):
    """A function that takes a changed kernel text for the one that is there."""
    package = tmp_path / "gpunn"
    shutil.copytree(kernel_texts.kernel_folder(), package / "kernels")

    def edit(text: str, change: Callable[[str], str]) -> None:
        path = package / "kernels" / text
        path.write_text(change(path.read_text()))
        monkeypatch.setattr(kernel_texts, "_PACKAGE", package)

    return edit


@pytest.fixture
def replace(edit):
    """A function that puts something else in the place of a piece of a kernel text, of which there has to be one."""

    def replace(text: str, old: str, new: str) -> None:
        def change(before: str) -> str:
            assert before.count(old) == 1, f"{text} has {before.count(old)} times {old!r}"
            return before.replace(old, new)

        edit(text, change)

    return replace


@cache
def counts_before(call: str) -> list[Row]:
    return counted.rows("call", call)


def assert_worse(difference: Difference, column: str) -> None:
    """The row is worse, and the column says so."""
    assert difference.verdict == "worse"
    assert re.search(rf"(^|, ){re.escape(column)} [^,]*\(worse\)", difference.changes), difference.changes


# What the compiler says ----------------------------------------------------------------------------------------------

MATMUL, PARTS, POOL = ("matmul.cu", "matmul_tiled"), ("split_k.cu", "add_parts"), ("avg_pool.cu", "avg_pool_backward")
LOOP = "#pragma unroll\n            for (int k = 0; k < SIDE"
PRODUCT = "sum = multiply_add(tile_x[down][k], tile_y[k][across], sum);"
SUM = "sum_of_parts(part + i, count + tail, parts);"
PART = "part[p * (count + tail) + i]"
ONE_BY_ONE = "0; for (int p = 0; p < parts; ++p) sum += "
SLOW_DOWNS = {
    "a loop that is not unrolled": (*MATMUL, "FFMA %", (LOOP, LOOP.replace("unroll", "unroll 1"))),
    "a smaller tile": (*MATMUL, "FFMA %", ("SIDE = 16", "SIDE = 8")),
    "a barrier": (*MATMUL, "barriers", (PRODUCT, f"{{ {PRODUCT} __syncthreads(); }}")),
    "elements read from global memory instead of shared": (
        *(*MATMUL, "arithmetic %"),
        (PRODUCT, PRODUCT.replace("tile_x[down][k]", "acc_t(from_x[(k0 + k) * x_column])")),
    ),
    "more shared memory": (*MATMUL, "warps", ("tile_x[SIDE][SIDE + 1]", "tile_x[8 * SIDE][4 * SIDE + 1]")),
    "a bound that spills registers": (
        *(*POOL, "spilled"),
        ("__global__ void avg_pool_backward(", "__global__ void __launch_bounds__(1024, 2) avg_pool_backward("),
    ),
    "__restrict__ forgotten": (
        *(*PARTS, "readonly %"),
        ("const acc_t* __restrict__ part", "const acc_t* part"),
        ("scalar_t* __restrict__ y", "scalar_t* y"),
    ),
    "a sum in float64": (*PARTS, "fp64", ("acc_t sum =", "double sum =")),
    "a division in a loop": (*PARTS, "special %", (SUM, f"{ONE_BY_ONE}{PART} / acc_t(p + 1);")),
    "a switch in a loop": (*PARTS, "switches", (SUM, f"{ONE_BY_ONE}activation({PART}, kind, parameter);")),
    "an array in local memory": (
        *(*PARTS, "stack"),
        ("acc_t sum =", "acc_t kept[8] = {}, sum ="),
        (SUM, f"{ONE_BY_ONE}kept[(p + kind) % 8], kept[p % 8] = {PART};"),
    ),
}


NEW_NAMES = "new names and comments"


def changed(text: str, *replacements: tuple[str, str]) -> str:
    code = kernel_texts.kernel_text(text)
    for old, new in replacements:
        assert code.count(old) == 1, f"{text} has {code.count(old)} times {old!r}"
        code = code.replace(old, new)
    return code


@pytest.fixture(scope="module")
def planted(nvdisasm) -> dict[str, Row]:
    """The row of each kernel as it is, by its name, and with each slow-down, by what that is.

    They are compiled at once, as one text, each in a namespace and with a number behind its name.
    """
    plants = {kernel: (kernel, changed(text)) for text, kernel in (MATMUL, PARTS, POOL)}
    plants |= {what: (kernel, changed(text, *changes)) for what, (text, kernel, _, *changes) in SLOW_DOWNS.items()}
    plants[NEW_NAMES] = MATMUL[1], "// tiles\n\n" + re.sub(r"\btile_x\b", "left", changed(MATMUL[0]))
    headers: set[str] = set()
    namespaces = []
    for i, (kernel, text) in enumerate(plants.values()):
        headers |= set(re.findall(r"^#include .*$", text, re.MULTILINE))
        numbered = alone(text, kernel).replace(f" {kernel}(", f" {kernel}_{i}(")
        namespaces.append(f"namespace plant{i} {{\n{numbered}}}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kernel_texts._written, "planted.cu", "\n".join([*sorted(headers), *namespaces]))
        rows = code.rows("planted.cu", TYPES, "sm_90")
    numbers = {int(row[0].rpartition("_")[2]): ("kernel", *row[1:]) for row in rows}
    return {name: numbers[i] for i, name in enumerate(plants)}


@pytest.mark.parametrize("what", SLOW_DOWNS)
def test_the_compiler_sees(what, planted) -> None:
    _, kernel, column, *_ = SLOW_DOWNS[what]
    (found,) = differences(code.LAYOUT, [planted[kernel]], [planted[what]])
    assert_worse(found, column)


def test_the_compiler_sees_nothing_in_new_names_and_comments(planted) -> None:
    assert planted[NEW_NAMES] == planted["matmul_tiled"]


def test_the_compiler_sees_single_loads_in_the_place_of_quads(replace, nvdisasm) -> None:
    before = code.rows("optimizer.cu", TYPES, "sm_90")
    replace(*SINGLE)
    found = differences(code.LAYOUT, before, code.rows("optimizer.cu", TYPES, "sm_90"))
    assert {d.name.split()[0] for d in found} == {
        f"optimizer.cu:{n}_step" for n in ("sgd", "adam", "adagrad", "rmsprop")
    }
    for difference in found:
        assert_worse(difference, "loads")


# What the simulator counts -------------------------------------------------------------------------------------------

SINGLE = ("quad.cuh", "if (vector && count >= 4) return *(const Quad<T>*)x;", "")
TRANSPOSE = ("transpose 256x512", "copy_tiled", "copy.cu")


@pytest.mark.parametrize(
    ("call", "kernel", "text", "old", "new", "column"),
    [
        (*TRANSPOSE, "tile[TILE][TILE + 1]", "tile[TILE][TILE]", "conflicts %"),
        (*TRANSPOSE, "tile[threadIdx.x][r]", "x[row + r + (column + threadIdx.x) * x_column_step]", "sectors"),
        (
            *("zeros 256x256", "fill", "common.cuh", "(index_t)blockIdx.x * blockDim.x + threadIdx.x"),
            *("(index_t)threadIdx.x * gridDim.x + blockIdx.x", "per request"),
        ),
        ("SGD 256x256", "sgd_step", *SINGLE, "requests"),
    ],
    ids=["a padding removed", "a tile that is not staged", "strides exchanged", "a quad load made single"],
)
def test_the_simulator_sees(call, kernel, text, old, new, column, replace) -> None:
    before = counts_before(call)
    replace(text, old, new)
    (found,) = [d for d in differences(counted.LAYOUT, before, counted.rows("call", call)) if f" {kernel} " in d.name]
    assert_worse(found, column)


def test_the_simulator_sees_nothing_in_new_names_and_comments(edit) -> None:
    before = counts_before(TRANSPOSE[0])
    edit("copy.cu", lambda text: "// tiles\n\n" + re.sub(r"\btile\b", "piece", text))
    assert counted.rows("call", TRANSPOSE[0]) == before


def test_every_kernel_is_counted() -> None:
    texts = (kernel_texts.kernel_text(name) for name in kernel_texts.kernel_names() if name.endswith(".cu"))
    kernels = {name for text in texts for name in signatures(text)}
    rows = read(predicted.FOLDER / "counted.txt", counted.LAYOUT).rows
    assert kernels - {kernel for _, kernel, *_ in rows} == set(), "these are in no call of benchmarks/predicted"


# What a step launches ------------------------------------------------------------------------------------------------


def test_another_launch_is_seen(monkeypatch) -> None:
    before = steps.rows("W1", 128)
    monkeypatch.setattr(loss, "_ADDED_IN_EACH_BLOCK", 0)
    found = {d.name: d for d in differences(steps.LAYOUT, before, steps.rows("W1", 128))}
    assert_worse(found["W1, batch 128 all"], "launches")
    assert found["W1, batch 128 label_weights"].verdict == "new"


def test_a_fusion_that_is_lost_is_seen(monkeypatch) -> None:
    before = steps.rows("W1", 128)
    monkeypatch.setattr(as_graph, "apply_rules", lambda graph, rules: [])
    found = {d.name: d for d in differences(steps.LAYOUT, before, steps.rows("W1", 128))}
    assert_worse(found["W1, batch 128 all"], "launches")


# Tables --------------------------------------------------------------------------------------------------------------

LAYOUT = Layout(("kernel",), (Column("time", more), Column("share", less), Column("loads", narrower), Column("size")))


def test_differences_by_hand() -> None:
    before = [
        ("a", "1", "50", "128x1 32x2", "5"),
        ("b", "1", "50", "-", "5"),
        ("c", "1", "-", "32x1", "5"),
        ("d", *"1234"),
    ]
    now = [
        ("a", "2", "60", "128x2 32x4", "5"),
        ("b", "1", "51", "-", "5"),
        ("c", "1", "-", "32x1", "6"),
        ("e", *"12-4"),
    ]
    assert list(map(str, differences(LAYOUT, before, now))) == [
        "worse   a: time 1 -> 2 (worse), share 50 -> 60 (better), loads 128x1 32x2 -> 128x2 32x4",
        "new     e: time 1, share 2, size 4",
        "gone    d: time 1, share 2, loads 3, size 4",
        "better  b: share 50 -> 51 (better)",
        "other   c: size 5 -> 6",
    ]
    assert differences(LAYOUT, now, now) == []


def test_narrower_accesses_cost_more() -> None:
    assert narrower("128x1") < narrower("128x1 32x1") < narrower("32x4") < narrower("-")


def test_a_table_is_read_as_it_was_written(tmp_path) -> None:
    table = Table("compiler 1.2", [("a kernel", "1", "-", "128x1 32x2", "5"), ("another", "1000000", "2", "-", "-")])
    write(tmp_path / "code.txt", "A title.", LAYOUT, table)
    assert read(tmp_path / "code.txt", LAYOUT) == table


def test_what_is_said_of_a_table(tmp_path) -> None:
    row = ("W1", "fill", "1", "2", "3")
    table = Table("gpunn", [row])
    (said,) = predicted.check("steps", table, tmp_path)
    assert "steps.txt has other columns" in said and "--renew" in said
    write(tmp_path / "steps.txt", steps.TITLE, steps.LAYOUT, table)
    assert predicted.check("steps", table, tmp_path) == []
    assert predicted.check("steps", Table("gpunn", [(*row[:2], "2", *row[3:])]), tmp_path) == [
        "worse   W1 fill: launches 1 -> 2 (worse)"
    ]
    (said,) = predicted.check("steps", table._replace(versions="gpunn 2"), tmp_path)
    assert "recorded with gpunn, and here is gpunn 2, so it was not compared" in said
