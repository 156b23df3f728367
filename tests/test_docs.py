"""The documentation: its programs print what it says, its commands run, what is made of the sources is complete."""

from __future__ import annotations

import contextlib
import difflib
import doctest
import importlib
import importlib.util
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from docs.generate import command, ladder, reference
from docs.generate.cuda_text import kernels_and_what_they_call
from docs.generate.docstrings import to_rst
from gpunn.backend.kernel.ladder import LADDERS
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.cli import main
from tests.documents import ROOT, commands, programs

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
NEEDS = {"g++": shutil.which("g++"), **{n: importlib.util.find_spec(n) for n in ("torch", "scipy", "sklearn")}}
NEEDS["nvrtc"] = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cuda_nvrtc")
CHECKER = doctest.OutputChecker()


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of a page run one after the other, in one namespace and an empty folder, and then its commands."""
    document = path.read_text(encoding="utf-8")
    needs = re.search(r"^<!-- needs (.+) -->$", document, re.MULTILINE)
    if missing := [name for name in (needs[1].split(", ") if needs else []) if not NEEDS[name]]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": path.stem}
    for program in programs(document):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * program.line + program.text, str(path), "exec"), namespace)
        expected = program.output or ""
        assert CHECKER.check_output(expected, printed.getvalue(), doctest.ELLIPSIS), (
            f"{path.name}, line {program.line}: printed\n{printed.getvalue()}\nexpected\n{expected}"
        )
    for line in commands(document):
        words = shlex.split(line)
        settings = dict(word.split("=", 1) for word in words[: words.index("gpunn")])
        with monkeypatch.context() as there:
            for name, value in settings.items():
                there.setenv(name, value)
            assert main(words[words.index("gpunn") + 1 :]) == 0, line


def test_every_public_name_has_an_entry() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pages = reference.pages()
    assert {"gpunn", "gpunn.nn", "gpunn.optim.lr_scheduler", "gpunn.inspect.profile", "gpunn.cuda.nvtx"} <= set(pages)
    for module in set(pages) - {"index"}:
        found = importlib.import_module(module)
        names = getattr(found, "__all__", None) or [n for n in dir(found) if not n.startswith("_")]
        entry = r"^\.\. (?:auto\w+|py:\w+):: (?:{}\.)?{}$"
        assert [
            name
            for name in names
            if not hasattr(getattr(found, name), "__path__") and not hasattr(getattr(found, name), "__spec__")
            if not re.search(entry.format(re.escape(module), name), pages[module], re.MULTILINE)
        ] == []
    assert re.search(r"^    \.\. automethod:: gpunn\.Tensor\.backward$", pages["gpunn"], re.MULTILINE)
    assert "gpunn.nn.Linear.state_dict" not in pages["gpunn.nn"]  # Module has it


@pytest.mark.parametrize(
    "docstring, expected",
    [
        ("|x|^2 for x_i, *args and `no_such`.", ["\\|x\\|^2 for x\\_i, \\*args and ``no_such``."]),
        ("See `Known`, (N, C) -> (N,).", ["See :py:obj:`Known <gpunn.Known>`, (N, C) → (N,)."]),
        ("Args:\n    a: one\n        two.\n    b: three.", [":param a: one", "    two.", ":param b: three."]),
        ("a:      one\nlong_b: two\n        three", [":param a: one", ":param long_b: two", "    three"]),
        ("At each step::\n\n    p <- p - lr g\n\nEnd.",
         ["At each step:", "", ".. code-block:: text", "", "    p <- p - lr g", "", "End."]),
        ("Y = X W^T      X (n, i)\ndX = dY W",
         [".. code-block:: text", "", "    Y = X W^T      X (n, i)", "    dX = dY W"]),
        ("y = max(x, 0)   (Krizhevsky 2010).", ["y = max(x, 0)   (Krizhevsky 2010)."]),
        ("Raises:\n    ValueError: bad.", [":raises ValueError: bad."]),
        ("Attributes:\n    weight: W (o, i).", [".. rubric:: Attributes", "", "- ``weight``: W (o, i)."]),
    ],
)  # fmt: skip
def test_docstrings(docstring: str, expected: list[str]) -> None:
    found = to_rst(docstring, lambda name: f"gpunn.{name}" if name == "Known" else None)
    assert found == [*expected, ""]


def test_the_ladder_has_every_rung_and_the_texts_as_they_are() -> None:
    pages = ladder.pages()
    texts = "\n".join(map(kernel_text, kernel_names()))
    assert set(pages) == {"index", *LADDERS}
    for name, found in LADDERS.items():
        assert re.findall(r"^## (\w+)$", pages[name], re.MULTILINE) == list(found.rungs)
        for rung in found.rungs:
            kernels = ladder.kernels(name, rung)
            assert kernels, (name, rung)
            for block in kernels_and_what_they_call(kernels).split("\n\n"):
                assert block.strip() in texts, block


def test_a_rung_is_a_difference_to_the_one_before() -> None:
    """The lines taken out and put in lead from one text to the next."""
    page = ladder.pages()["matmul"]
    before, after = (kernels_and_what_they_call(ladder.kernels("matmul", r)).splitlines() for r in ("naive", "tiled"))
    shown = re.search(r"```diff\n--- naive\n\+\+\+ tiled\n(.*?)\n```", page, re.DOTALL)
    assert shown
    lines = [line for line in shown[1].split("\n") if line and not line.startswith("@@")]
    assert [line[1:] for line in lines if line[0] == "-"] == [
        x[2:] for x in difflib.ndiff(before, after) if x[0] == "-"
    ]
    assert "__shared__ acc_t tile_x[SIDE][SIDE + 1], tile_y[SIDE][SIDE + 1];" in "".join(
        x for x in lines if x[0] == "+"
    )
    # benchmarks/predicted/counted.txt: the sectors of the three launches of each rung
    naive, tiled = 1318912 + 8654848 + 1314816, 139264 + 331776 + 331776
    assert re.search(rf"\| naive \|.* {naive:,} \|", page) and re.search(rf"\| tiled \|.* {tiled:,} \|", page)
    # benchmarks/predicted/code.txt: 38 registers of the naive rung, 32 of the tiled one
    assert re.search(r"\| `matmul_naive` \| 38 \|", page) and re.search(r"\| `matmul_tiled` \| 32 \|", page)


def test_the_page_of_the_command_has_every_option() -> None:
    page = command.pages()["index"]
    for name in ("gpunn train", "gpunn bench batch-size", "gpunn doctor"):
        assert f"## {name}\n" in page
    for option in ("--resume DIR", "--batch-sizes N,...", "--compile", "--json"):
        assert option in page
