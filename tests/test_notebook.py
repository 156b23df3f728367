"""What objects look like in a notebook, in one that is executed and in pieces."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, notebook
from gpunn.inspect import compare, gradcheck, summary

ROOT = Path(__file__).parents[1]
HOSTILE = "<script>alert('x')</script>&\"quoted\""

CELLS = {
    "model": """
        import gpunn
        from gpunn import nn
        from gpunn.datasets import digits
        data = digits()
        x = data.x_train.astype("float32") / 16
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        model""",
    "matrix": "gpunn.tensor([[1, 2.5], [3, 4]])",
    "history": """
        trainer = gpunn.Trainer(model, "cross_entropy", gpunn.optim.Adam(model.parameters()), metrics=["accuracy"])
        trainer.fit((x, data.y_train), epochs=30, validation=0.1, batch_size=64)""",
    "failed": """
        try:
            trainer.fit((x, data.y_train[:5]), epochs=1)
        except Exception as error:
            print(type(error).__name__)""",
    "plan": """
        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.Adam(model.parameters()))
        batch = gpunn.randn(8, 64), gpunn.randint(10, (8,))
        step(*batch)
        step.plan""",
    "forecast": "step.forecast(*batch)",
    "summary": "gpunn.inspect.summary(model, (8, 64), memory=step.forecast(*batch))",
}


@pytest.fixture(scope="module")
def executed() -> dict[str, list[Any]]:
    """The outputs of each cell."""
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    from textwrap import dedent

    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(dedent(source).strip()) for source in CELLS.values()]
    path = os.environ.get("PYTHONPATH", "")
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
    try:
        nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {name: cell.outputs for name, cell in zip(CELLS, book.cells)}


def html_of(outputs: list[Any]) -> str:
    return "".join(o["data"]["text/html"] for o in outputs if "text/html" in o.get("data", {}))


def rows(html: str) -> list[list[str]]:
    return [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    ]


def test_tables_of_a_notebook(executed: dict[str, list[Any]]) -> None:
    assert rows(html_of(executed["model"]))[2:4] == [
        ["0", "Flatten", "start_dim=1, end_dim=-1", "0"],
        ["1", "Linear", "in_features=64, out_features=16, bias=True", "1,040"],
    ]
    assert rows(html_of(executed["matrix"])) == [["", "0", "1"], ["0", "1", "2.5"], ["1", "3", "4"]]
    assert "float32[2, 2], on cpu" in html_of(executed["matrix"])
    assert "at the peak of a step" in html_of(executed["forecast"])
    assert "64*16 + 16 = 1,040" in html_of(executed["summary"])
    plan = html_of(executed["plan"])
    assert "plan of " in plan and "LinearActivation" in plan and "Adam step" in plan


def test_a_training_draws_in_one_place(executed: dict[str, list[Any]]) -> None:
    """One bar and the history; no line of text for each epoch, and nothing on standard error."""
    bar, history = executed["history"]
    assert bar["output_type"] == "display_data" and "<progress" in html_of([bar])
    assert "epoch 30/30" in html_of([bar]) and html_of([bar]).count("<div>") == 1
    table = rows(html_of([history]))
    assert len(table) == 31 and table[0][:2] == ["epoch", "loss"] and table[-1][0] == "30"
    assert [o.get("text") for o in executed["failed"] if o["output_type"] == "stream"][-1].strip() == "ValueError"


def test_what_looks_like_markup_is_text() -> None:
    class Odd(nn.Module):
        def extra_repr(self) -> str:
            return HOSTILE

        def forward(self, x: Any) -> Any:
            return x

    model = nn.Sequential()
    model.add_module("<b>&", Odd())
    model.add_module("last", nn.Linear(2, 2))
    step = gpunn.TrainStep(model, nn.MSELoss(), gpunn.optim.SGD(model.parameters()))
    batch = gpunn.randn(3, 2), gpunn.randn(3, 2)
    unplanned = step._repr_html_()
    step(*batch)
    eager = compare.eager(model, batch, nn.MSELoss())
    shown = [
        model,
        summary(model, (3, 2)),
        step,
        step.forecast(*batch),
        compare.compare(eager, eager, (HOSTILE, "b")),
        gradcheck.check_model(model, batch[:1], lambda y: y.sum()),
    ]
    for found in (unplanned, *(x._repr_html_() for x in shown)):
        tags = set(re.findall(r"</?([a-z]+)[ >]", found))
        assert tags <= {"style", "div", "table", "thead", "tbody", "tr", "th", "td", "small", "pre"}
        assert "<b>" not in found and "<script" not in found
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;" in model._repr_html_()


def test_tensors_of_all_kinds() -> None:
    assert "<table>" in gpunn.arange(3)._repr_html_()
    assert rows(gpunn.tensor([True, False])._repr_html_())[1] == ["", "True", "False"]
    assert rows(gpunn.tensor([1.5], dtype=gpunn.bfloat16)._repr_html_())[1] == ["", "1.5"]
    big = rows(gpunn.tensor(np.arange(400.0).reshape(20, 20))._repr_html_())
    assert len(big) == 12 and big[1][:3] == ["0", "0", "1"] and big[-1][-1] == "399" and big[6] == ["..."] * 12
    x = gpunn.ones(2, requires_grad=True)
    assert "requires grad" in x._repr_html_() and "MulBackward" in (x * 2)._repr_html_()
    with gpunn.device("meta"):
        assert gpunn.ones(2)._repr_html_().startswith("<pre")
    for shape in ((), (0,), (2, 2, 2)):
        assert gpunn.zeros(shape)._repr_html_().startswith("<pre")


def test_long_tables_and_numbers() -> None:
    found = notebook.table(["layer", "n", "text"], [(1, "1.5 KiB", f"x{i}") for i in range(100)], "title", "note")
    assert len(rows(found)) == 61 and "40 more rows" in found
    assert found.count('class="number"') == 61  # the second column alone
    assert not notebook.in_notebook()
