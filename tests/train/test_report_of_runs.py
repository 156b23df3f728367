"""The page of a run and of several: numbers by hand, names that look like markup, and what a browser says of it."""

import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.train import Batch, GradientFlow, History, RunFolder
from gpunn.train.curves import Panel
from gpunn.train.report import EvaluationFacts, Facts, Run, classes, flow, names_of, read_run, report_page
from gpunn.train.report.facts import read_facts, write_facts
from gpunn.train.report.heat import heat_svg
from gpunn.train.report.scatter import target_facts
from gpunn.train.report.svg import log_ticks
from gpunn.train.results import Evaluation

from .conftest import make_trainer

HOSTILE = ["<script>alert(1)</script>", "\"><img src=x onerror='alert(1)'>", "'&amp;</td></table><!--"]


class Tables(HTMLParser):
    """The tables of a page, by their labels, each as rows of text; and its tags."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self._label, self._cell = {}, [], "", None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if dict(attributes).get("role") == "region":
            self._label = dict(attributes)["aria-label"]
            self.tables[self._label] = []
        elif tag == "tr":
            self.tables[self._label].append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[self._label][-1].append(self._cell)
            self._cell = None


def per_class(confusion):
    """As scikit-learn's classification_report: P = TP / (TP + FP), R = TP / (TP + FN), F1 = 2 P R / (P + R)."""
    m = np.array(confusion, float)
    tp = m.diagonal()
    precision, recall = tp / m.sum(0), tp / m.sum(1)
    f1 = 2 * precision * recall / (precision + recall)
    return precision, recall, f1, m.sum(1)


def test_classes_and_their_means_by_hand():
    confusion = [[5, 1, 0], [2, 6, 0], [1, 1, 4]]
    precision, recall, f1, support = per_class(confusion)
    assert precision == pytest.approx([5 / 8, 6 / 8, 1.0])
    evaluation = Evaluation("test", ["a", "b", "c"])
    metric = gpunn.train.PerClass()
    for wanted, row in enumerate(confusion):
        for predicted, n in enumerate(row):
            metric.update(np.tile(np.eye(3)[predicted], (n, 1)), np.full(n, wanted))
    evaluation.results = {"per_class": metric.compute()}
    rows = Tables(classes.table(evaluation.facts())).tables["Classes of the test data"]
    expected = [[f"{v:.1%}" for v in values] for values in zip(precision, recall, f1)]
    assert [row[1:4] for row in rows[1:4]] == expected
    assert [row[4] for row in rows[1:4]] == ["6", "8", "6"]
    assert rows[4][1:] == [*(f"{v.mean():.1%}" for v in (precision, recall, f1)), "20"]
    assert rows[5][1:] == [*(f"{np.average(v, weights=support):.1%}" for v in (precision, recall, f1)), "20"]


def test_rows_of_a_table_that_were_taken_for_another_class():
    evaluation = Evaluation("test", ["a", "b"], images=np.array([[1.0, 2.5], [3.0, 4e6]]), columns=["x", "<y>"])
    outputs = gpunn.tensor([[2.0, 1.0], [2.0, 1.0]])
    evaluation.add(Batch((gpunn.zeros(2, 2),), gpunn.tensor([0, 1]), 2.0), outputs)
    rows = Tables(classes.mistakes(evaluation.facts())).tables["Mistakes"]
    sure = f"{math.exp(2) / (math.exp(2) + math.exp(1)):.0%}"
    assert rows == [["sample", "true class", "taken for", "sure", "x", "<y>"], ["1", "b", "a", sure, "3", "4e+06"]]


def test_the_largest_errors_and_what_has_no_value():
    target, output = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 0.0, 3.0, np.nan])
    found = target_facts(target, output)
    assert found.worst == [(1, 2.0, 0.0), (0, 1.0, 1.5), (2, 3.0, 3.0)]
    assert (found.samples, found.left_out, sum(found.counts)) == ([0, 1, 2], 1, 3)
    assert target_facts(target, np.full(4, np.inf)).samples == []
    page = report_page([Run("r", facts=Facts(evaluations=[EvaluationFacts("test", 4, targets=[found])]))])
    assert Tables(page).tables["The largest errors"][1] == ["1", "2", "0", "-2"]
    assert "1 samples have no finite value" in page


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.3, 0.4, [0.2, 0.5]), (1.0, 1.0, [1.0, 2.0]), (3.0, 70.0, [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
        (1e-8, 1.0, [1e-8, 1e-6, 1e-4, 1e-2, 1.0]), (0.5, 1200.0, [0.1, 1.0, 10.0, 100.0, 1e3, 1e4]),
    ],
)  # fmt: skip
def test_logarithmic_ticks_enclose_what_is_drawn(low, high, expected):
    assert log_ticks(low, high) == pytest.approx(expected)


def test_many_layers_are_rows_of_colours():
    """The row of a layer is above that of the next; larger values have higher classes; zeros are left empty."""
    panel = Panel("t", [1.0, 11.0], {f"l{i}": [10.0**-i, 0.0] for i in range(10)}, axis="step", log=True)
    svg = heat_svg(panel)
    cells = [line for line in svg.splitlines() if "<title>l" in line and line.startswith("<rect")]
    assert [cell.split('"')[1] for cell in cells] == [f"h{9 - i}" for i in range(10)]
    assert "l3, step 1: 0.001" in cells[3]
    assert heat_svg(Panel("t", [1.0], {"a": [0.0]}, log=True)) == ""


def test_the_gradient_flow_of_a_run(task, tmp_path, monkeypatch):
    callback = GradientFlow(2)
    make_trainer(callbacks=[callback], run_dir=tmp_path / "run").fit((task.x, task.y), 2)
    run = read_run(RunFolder(tmp_path / "run"))
    assert run.gradients == callback.rows
    found = Tables(report_page([run]))
    last = callback.rows[-1]
    assert found.tables["Norms by layer"][-1] == [
        "2 Linear", *(f"{last[k]:.4g}" for k in ("weight", "gradient", "update", "ratio")), "0%", "0%",
    ]  # fmt: skip
    assert {
        "a training step in all, by its forecast",
        "the process at most, Python and data included, as measured",
    } <= {row[0] for row in found.tables["Memory"]}
    assert flow.sections([], []) == ""


def rows_of(n, **more):
    timing = {"lr": 0.1, "seconds": 1.5, "samples_per_second": 200.0}
    return [{"epoch": e, "loss": 2.0 / e, "accuracy": 1 - 0.5 / e, **more, **timing} for e in range(1, n + 1)]


def test_runs_beside_one_another():
    first = Run("one", History(rows_of(3, val_loss=0.5)), {"lr": 0.1, "model": "mlp", "data_info": {"outputs": 2}})
    second = Run("two", History(rows_of(5)), {"lr": 0.2, "model": "mlp", "l2": 0.5}, fingerprint={"numpy": "2.1"})
    for run, f1 in ((first, 0.25), (second, 0.75)):
        found = {"precision": [f1, 1.0], "recall": [f1, 1.0], "f1": [f1, 1.0], "support": [4, 4]}
        counts = [[round(4 * f1), 4 - round(4 * f1)], [0, 4]]
        run.facts.evaluations = [
            EvaluationFacts("test", 8, {"accuracy": f1}, {**found, "confusion": counts}, classes=["a", "b"])
        ]
    text = report_page([first, second])
    page = Tables(text)
    assert page.tables["Results"][:2] == [["", "one", "two"], ["test accuracy", "25.00%", "75.00%"]]
    assert ["epochs", "3", "5"] in page.tables["Results"]
    assert ["validation loss", "0.5", ""] in page.tables["Results"]
    assert page.tables["F1 by class"][1:] == [["a", "25.0%", "75.0%"], ["b", "100.0%", "100.0%"]]
    config = page.tables["Configuration"]
    assert config[1:4] == [["≠ lr", "0.1", "0.2"], ["≠ data_info.outputs", "2", ""], ["≠ l2", "", "0.5"]]
    assert config[4:] == [["model", "mlp", "mlp"]]
    assert "3 of 4 differ, and stand first." in text
    assert text.count('class="marked"') == 2 * (3 + 1)


def test_names_of_runs(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "other"]
    assert names_of(paths) == [str(paths[0]), str(paths[1]), "other"]


def hostile_runs():
    """Names of runs, classes, metrics, layers, columns and options that are markup, if they are taken for it."""
    runs = []
    for n, name in enumerate(HOSTILE):
        found = {"precision": [0.5, 1.0], "recall": [0.5, 1.0], "f1": [0.5, 1.0], "support": [2, 2]}
        target = target_facts(np.array([1.0, 2.0]), np.array([1.5, 2.0]))
        evaluation = Evaluation(name, HOSTILE[:2], images=np.ones((1, 3)), columns=HOSTILE)
        evaluation.add(Batch((gpunn.zeros(1, 3),), gpunn.tensor([1]), 1.0), gpunn.tensor([[1.0, 0.0]]))
        facts = evaluation.facts()
        facts.per_class, facts.results = {**found, "confusion": [[1, 1], [0, 2]]}, {name: 0.5}
        facts.targets, facts.per_target = [target, target], {name: [1.0, 2.0]}
        gradients = [
            {"epoch": 1, "batch": 1, "step": s, "layer": f"{HOSTILE[i % 3]}{i}", "kind": name, "weight": 1.0,
             "gradient": 10.0**-i, "update": 0.1, "ratio": 0.1, "silent": 0.5, "dead": 0.5}
            for s in (1, 2) for i in range(3 if n else 12)
        ]  # fmt: skip
        history = History(rows_of(3, **{name: 0.3, f"val_{name}": 0.2}))
        runs.append(
            Run(
                name, history, {name: name, "t": {name: [name]}}, {name: name}, {name: name},
                Facts(name, 3, {name: 5}, 10, 0, [name], [facts]), gradients,
            )
        )  # fmt: skip
    return runs


PAGES = {"one": slice(0, 1), "one with few layers": slice(1, 2), "several": slice(0, 3)}


@pytest.mark.parametrize("which", PAGES)
def test_names_appear_as_text(which):
    text = report_page(hostile_runs()[PAGES[which]])
    page = Tables(text)
    assert not {"script", "img"} & set(page.tags)
    assert "<!--" not in text
    assert "Mistakes" in page.tables


@pytest.mark.parametrize("which", PAGES)
def test_a_page_in_a_browser(which, tab, tmp_path):
    path = tmp_path / "report.html"
    runs = hostile_runs()[PAGES[which]]
    path.write_text(report_page(runs), encoding="utf-8")
    for width, dark in ((1200, False), (1200, True), (400, False)):
        tab.size(width)
        tab.media(dark=dark)
        tab.open(path)
        assert tab.overflow() == 0, width
        assert tab.weak_texts() == []
        assert tab.unlabelled() == []
    assert tab.js("document.querySelectorAll('script, img').length") == 0
    assert (tab.text("h1") == runs[0].name) is (len(runs) == 1)
    tab.media(printed=True)
    assert len(tab.pdf()) > 10_000
    assert tab.errors == []
    assert tab.requests == [path.resolve().as_uri()] * 3


def test_report_json_is_read_as_it_was_written(tmp_path):
    evaluation = EvaluationFacts("test", 4, {"loss": math.nan, "accuracy": 0.5})
    evaluation.targets = [target_facts(np.array([1.0, 2.0]), np.array([1.5, np.nan]))]
    facts = Facts("M", 3, {"parameters": 12}, 100, 0, ["a line"], [evaluation])
    write_facts(tmp_path / "report.json", facts)
    found = read_facts(tmp_path / "report.json")
    assert math.isnan(found.evaluations[0].results.pop("loss"))
    del facts.evaluations[0].results["loss"]
    assert found == facts
    assert read_facts(tmp_path / "none.json") == Facts()


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "[[[[", '{"model": 1}', "\xff", '{"model": "", "parameters": "many"}',
        '{"model": "", "parameters": 1, "memory": [], "peak": 0, "device_peak": 0, "warnings": "x", "evaluations": []}',
    ],
)  # fmt: skip
def test_a_damaged_report_json(text, tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(gpunn.io.FileFormatError, match=r"report\.json is damaged: "):
        read_facts(path)


def change_of(place, value):
    def change(found):
        *way, last = place
        for key in way:
            found = found[key]
        found[last] = value

    return change


CHANGES = {
    "a picture that is none": (("mistakes", 0, "picture"), 'x" onerror="alert(1)'),
    "a picture from elsewhere": (("mistakes", 0, "picture"), "https://example.com/x.png"),
    "classes of other lengths": (("per_class", "f1"), [1.0]),
    "a matrix that is none": (("per_class", "confusion"), [[1], [2]]),
    "numbers that are none": (("targets", 0, "true"), [1.0, None]),
    "samples of other lengths": (("targets", 0, "true"), [1.0]),
    "too few edges": (("targets", 0, "edges"), [1.0]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_report_json_that_somebody_changed(name, tmp_path):
    evaluation = Evaluation("test", ["a", "b"])
    evaluation.add(Batch((gpunn.zeros(1, 1, 2, 2),), gpunn.tensor([1]), 1.0), gpunn.tensor([[1.0, 0.0]]))
    metric = gpunn.train.PerClass()
    metric.update(np.eye(2), np.array([0, 1]))
    evaluation.results = {"per_class": metric.compute()}
    facts = Facts("M", 3, evaluations=[evaluation.facts()])
    facts.evaluations[0].targets = [target_facts(np.array([1.0, 2.0]), np.array([1.5, 2.0]))]
    path = tmp_path / "report.json"
    write_facts(path, facts)
    assert read_facts(path) == facts
    found = json.loads(path.read_text())
    change_of(*CHANGES[name])(found["evaluations"][0])
    path.write_text(json.dumps(found))
    with pytest.raises(gpunn.io.FileFormatError, match=r"report\.json is damaged: "):
        read_facts(path)


def test_a_run_without_a_page_of_its_own_yet(tmp_path):
    """What is there of a run that has no finished epoch, and of one that an older version has left."""
    with pytest.raises(FileNotFoundError, match=r"holds no run: there is no config\.toml"):
        read_run(RunFolder(tmp_path))
    (tmp_path / "config.toml").write_text("lr = 0.1\n")
    page = Tables(report_page([read_run(RunFolder(tmp_path), "x")]))
    assert page.tables == {"Configuration": [["lr", "0.1"]]}


def test_large_pictures_are_made_smaller():
    from gpunn.train.report.pictures import as_picture

    picture = as_picture(np.arange(3 * 400 * 200).reshape(3, 400, 200))
    assert picture.shape == (100, 50, 3)
    assert as_picture(np.zeros((1, 128, 128))).shape == (128, 128)


def test_the_memory_of_an_eager_run_is_not_foretold(task, tmp_path, monkeypatch):
    trainer = make_trainer(nn.Linear(4, 3), eager=True, run_dir=tmp_path)
    trainer.fit((task.x, task.y), 1)
    facts = read_facts(tmp_path / "report.json")
    assert (facts.memory, facts.parameters, facts.peak > 1e7) == ({}, 15, True)
