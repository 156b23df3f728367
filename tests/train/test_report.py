"""What people look at: curves, pictures, the report."""

import importlib.util
import io
import math
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.train import Batch, History, RunFolder
from gpunn.train.curves import Panel, panels, write_curves
from gpunn.train.report import Facts, Run, write_report
from gpunn.train.report.pictures import as_picture, png
from gpunn.train.report.scatter import errors_svg, predicted_svg, residuals_svg, target_facts
from gpunn.train.report.svg import panel_svg
from gpunn.train.results import Evaluation

from .conftest import make_trainer

ROWS = [
    {"epoch": e, "loss": 2.0 / e, "accuracy": 1 - 0.5 / e, "penalty": 0.1, "objective": 2.0 / e + 0.1,
     "val_loss": 2.5 / e, "val_accuracy": math.nan if e == 2 else 0.5, "lr": 0.1 / e, "seconds": 1.0,
     "samples_per_second": 100.0}
    for e in range(1, 5)
]  # fmt: skip


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects the text and what is loaded from elsewhere."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.loaded, self.counts = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.loaded += [v for k, v in attributes if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_panels_of_a_run():
    drawn = panels(History(ROWS))
    assert [p.title for p in drawn] == ["loss", "objective J = L + s", "accuracy", "learning rate"]
    assert drawn[0].series == {"training": [2.0, 1.0, 2 / 3, 0.5], "validation": [2.5, 1.25, 2.5 / 3, 0.625]}
    assert list(drawn[1].series) == ["J = L + s", "L, loss", "s, L2 penalty"]
    assert math.isnan(drawn[2].series["validation"][1])
    plain = panels(History([{"epoch": 1, "loss": 1.0, "lr": 0.1, "seconds": 1.0}]))
    assert [p.title for p in plain] == ["loss"]


def test_widely_spread_values_are_drawn_logarithmically():
    assert Panel("", [1, 2], {"a": [10.0, 1e-3]}).logarithmic
    assert not Panel("", [1, 2], {"a": [10.0, 1.0]}).logarithmic
    assert not Panel("", [1, 2], {"a": [10.0, 0.0]}).logarithmic
    assert not Panel("", [1], {"a": [math.nan]}).logarithmic


@pytest.mark.parametrize(
    "values",
    [
        *([1.0], [3.0, 3.0], [0.0, 0.0], [-5.0, 5.0], [1e-9, 2e-9], [1e-14, 3e-14], [1e9, 3e9], [10.0, 1e-3]),
        *([0.97, math.nan, 0.99], [5.66e-4, math.nextafter(5.66e-4, 1)]),
    ],
    ids=str,
)
def test_lines_stay_within_the_diagram(values):
    svg = panel_svg(Panel("a < b & c", list(range(1, len(values) + 1)), {"one": values, 'tw"o': values}))
    root = ElementTree.fromstring(svg)  # well-formed
    width, height = map(int, root.get("viewBox").split()[2:])
    points = [p.split(",") for line in root.iter("polyline") for p in line.get("points").split()]
    assert len(points) == 2 * sum(map(math.isfinite, values))
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)
    assert "a < b & c" in [text.text for text in root.iter("text")]


def test_higher_values_are_drawn_higher():
    root = ElementTree.fromstring(panel_svg(Panel("", [1, 2, 3], {"a": [1.0, 3.0, 2.0]})))
    (line,) = root.iter("polyline")
    (x1, y1), (x2, y2), (x3, y3) = (map(float, p.split(",")) for p in line.get("points").split())
    assert x1 < x2 < x3
    assert y2 < y3 < y1
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y3 == pytest.approx(y3 - y2, abs=0.2)


def test_the_ticks_of_an_axis_tell_where_values_are():
    """A value that is a tick lies on its line."""
    root = ElementTree.fromstring(panel_svg(Panel("", [1, 2], {"a": [0.2, 0.4]})))
    ticks = {text.text: float(text.get("y")) - 4 for text in root.iter("text") if text.get("text-anchor") == "end"}
    (line,) = root.iter("polyline")
    ys = [float(p.split(",")[1]) for p in line.get("points").split()]
    assert ys == [pytest.approx(ticks["0.2"], abs=0.1), pytest.approx(ticks["0.4"], abs=0.1)]


def test_curves_without_a_finite_value():
    assert panel_svg(Panel("", [1], {"a": [math.nan]})) == ""


@pytest.mark.slow
def test_the_picture_of_the_curves(tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    assert write_curves(tmp_path / "curves.png", History(ROWS)) is None
    with image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # something is drawn on the white


@pytest.mark.slow
def test_names_in_pictures_are_no_formulas(tmp_path):
    """matplotlib takes what stands between two $ for one, and fails where it is none."""
    pytest.importorskip("matplotlib")
    from gpunn.bench.plot import strategies_plot

    names = ["$x_$", "a$^$", "$\\frac$", "{$}_$"]
    rows = [{**ROWS[0], **dict.fromkeys(names, 0.5)}]
    assert write_curves(tmp_path / "curves.png", History(rows)) is None
    run = {"title": "one sample", "seconds": [1, 2], "samples": [1, 2], "loss": [1.0, 0.5]}
    strategies_plot([run], f"mlp on {names}", tmp_path / "strategies.png")
    assert (tmp_path / "strategies.png").stat().st_size > 1000


def test_a_run_leaves_the_picture(task, tmp_path, curves):
    make_trainer(run_dir=tmp_path / "run").fit((task.x, task.y), 1)
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_left_out_without_matplotlib(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else find(name))
    line = write_curves(tmp_path / "curves.png", History(ROWS))
    assert line == "curves.png was left out: matplotlib is not installed; pip install 'gpunn[plot]'"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1)])
def test_png_is_read_by_others(shape, rng):
    image = pytest.importorskip("PIL.Image")
    pixels = rng.integers(0, 256, size=shape, dtype=np.uint8)
    with image.open(io.BytesIO(png(pixels))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_samples_as_pictures(rng):
    grey = as_picture(np.array([[[-1.0, 1.0], [0.0, 3.0]]]))
    assert grey.tolist() == [[0, 128], [64, 255]]
    assert as_picture(np.array([[0, 16]], np.uint8)).tolist() == [[0, 255]]
    colour = rng.normal(size=(3, 4, 5))
    assert as_picture(colour).shape == (4, 5, 3)
    assert as_picture(np.ones((1, 2, 2))).tolist() == [[0, 0], [0, 0]]
    assert as_picture(np.ones(4)) is None
    assert as_picture(np.ones((2, 4, 4))) is None
    assert as_picture(np.ones((1, 0, 4))) is None


def test_the_surest_mistakes_are_kept():
    """Of 30 wrong samples the 24 to whose class the model gave the highest probability."""
    evaluation = Evaluation("test", ["cat", "dog"])
    margins = np.linspace(0.1, 3.0, 30)
    scores = gpunn.tensor(np.stack([margins, np.zeros(30)], 1))
    right = gpunn.tensor([[5.0, 0.0]])
    evaluation.add(Batch((gpunn.zeros(1, 1, 2, 2),), gpunn.tensor([0]), 1.0), right)
    evaluation.add(Batch((gpunn.zeros(30, 1, 2, 2),), gpunn.tensor([1] * 30), 30.0), scores)
    found = evaluation.mistakes
    assert len(found) == 24
    assert [-m.index for m in found] == list(range(30, 6, -1))
    assert found[0].probability == pytest.approx(1 / (1 + math.exp(-3.0)))
    assert {(m.wanted, m.predicted) for m in found} == {(1, 0)}
    assert [evaluation.facts().class_name(i) for i in range(3)] == ["cat", "dog", "2"]


def test_mistakes_are_shown_with_the_images_given():
    images = np.zeros((2, 2, 2), np.uint8)
    images[1, 0, 0] = 9
    evaluation = Evaluation("test", images=images)
    evaluation.add(Batch((gpunn.zeros(2, 4),), gpunn.tensor([0, 1]), 2.0), gpunn.tensor([[2.0, 1.0], [2.0, 1.0]]))
    (mistake,) = evaluation.mistakes
    assert mistake.picture.tolist() == [[255, 0], [0, 0]]


def test_a_regression_has_no_mistakes():
    evaluation = Evaluation("test")
    evaluation.add(Batch((gpunn.zeros(2, 4),), gpunn.zeros(2, 1), 2.0), gpunn.ones(2, 1))
    evaluation.add(Batch((gpunn.zeros(2, 4),), gpunn.zeros(2, 3), 6.0), gpunn.ones(2, 3))
    assert evaluation.mistakes == []


def test_a_regression_is_seen_in_its_own_units():
    evaluation = Evaluation("test", units=(np.array([100.0, 5]), np.array([10.0, 1])))
    for target, output in (([[0.0, 1]], [[1.0, 1]]), ([[2.0, 2], [-1, 0]], [[2.0, 3], [0, 0]])):
        n = len(target)
        evaluation.add(Batch((gpunn.zeros(n, 4),), gpunn.tensor(target), 2.0 * n), gpunn.tensor(output))
    targets, outputs = evaluation.predictions
    assert targets.tolist() == [[100, 6], [120, 7], [90, 5]]
    assert outputs.tolist() == [[110, 6], [120, 8], [100, 5]]


def lines_of(svg):
    """The root of a diagram, whose size is known, and its elements by their class."""
    root = ElementTree.fromstring(svg)  # well-formed
    found = {}
    for element in root.iter():
        found.setdefault(element.get("class"), []).append(element)
    return root, found


def test_predictions_lie_on_the_diagonal_where_they_are_true():
    target = np.array([1.0, 2.0, 4.0])
    _, found = lines_of(predicted_svg("a < b", target_facts(target, np.array([1.0, 2.0, 3.0]))))
    (diagonal,) = found["diagonal"]
    x1, y1, x2, y2 = (float(diagonal.get(name)) for name in ("x1", "y1", "x2", "y2"))
    above = [
        float(point.get("cy")) - (y1 + (y2 - y1) * (float(point.get("cx")) - x1) / (x2 - x1))
        for point in found["point"]
    ]
    assert above[:2] == pytest.approx([0, 0], abs=0.1)
    assert above[2] > 5  # further down: less was predicted than is true
    assert [text.text for text in found["title"]] == ["a < b: predicted"]


def test_of_many_predictions_some_are_drawn():
    values = np.linspace(0, 1, 4500)
    _, found = lines_of(predicted_svg("", target_facts(values, values)))
    assert len(found["point"]) == 900  # every fifth


def test_errors_are_counted():
    target = np.zeros(7)
    _, found = lines_of(errors_svg("", target_facts(target, np.array([-1.0, -1, -1, 0, 0, 1, 1]))))
    heights = [float(bar.get("height")) for bar in found["bar"]]
    assert [bar[0].text.split(": ")[1] for bar in found["bar"]] == ["3", "2", "2"]
    assert heights == pytest.approx([heights[0], heights[0] * 2 / 3, heights[0] * 2 / 3], abs=0.2)


@pytest.mark.parametrize("draw", [predicted_svg, residuals_svg, errors_svg])
@pytest.mark.parametrize(
    ("target", "output"),
    [
        *(([1.0], [1.0]), ([0.0, 0.0], [0.0, 0.0]), ([5.0, 5.0], [5.0, math.nextafter(5, 6)])),
        *(([-3.0, 1e9], [1e9, -3.0]), ([1e-9, 2e-9], [2e-9, 1e-9]), ([1e6, 1e6 + 1], [1e6, 1e6])),
    ],
)
def test_what_is_drawn_of_a_regression_stays_within_the_diagram(draw, target, output):
    root, found = lines_of(draw("", target_facts(np.array(target), np.array(output))))
    width, height = map(int, root.get("viewBox").split()[2:])
    places = [(float(p.get("cx")), float(p.get("cy"))) for p in found.get("point", [])]
    places += [(float(b.get("x")), float(b.get("y"))) for b in found.get("bar", [])]
    places += [(float(b.get("x")) + float(b.get("width")), float(b.get("y"))) for b in found.get("bar", [])]
    assert places
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_the_report_of_a_regression(tmp_path, rng):
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = (x @ rng.normal(size=(4, 2))).astype(np.float32)
    trainer = make_trainer(nn.Linear(4, 2), loss="mse", metrics=["rmse"], run_dir=RunFolder(tmp_path / "run"), lr=0.01)
    trainer.fit((x, y), 2)
    before = Page((tmp_path / "run" / "report.html").read_text()).counts["svg"]
    text = trainer.report((x, y), units=(100.0, 5.0)).read_text()
    page = Page(text)
    assert "Predictions, test data" in page.text
    assert page.counts["svg"] == before + 2 * 3  # points, residuals and errors of each target
    for title in ("target 0: predicted", "target 1: samples by error"):
        assert title in page.text
    assert text.count('class="point"') == 2 * 2 * 60


@pytest.fixture
def images(rng):
    """Bright squares on the left or on the right of 6 x 6 pixels, a few of them with the wrong label."""
    y = np.arange(60) % 2
    x = rng.normal(size=(60, 1, 6, 6)).astype(np.float32)
    x[y == 0, :, 2:4, :2] += 4
    x[y == 1, :, 2:4, 4:] += 4
    y[:4] = 1 - y[:4]
    return x, y


def test_the_report(images, tmp_path, monkeypatch):
    gpunn.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    trainer = make_trainer(model, metrics=["accuracy", "per_class"], run_dir=tmp_path / "a run <b>", l2=0.01)
    trainer.fit(images, 3, validation=0.2)
    first = Page((tmp_path / "a run <b>" / "report.html").read_text())
    assert "Confusion matrix" not in first.text
    path = trainer.report(images, class_names=["left & up", "right"])
    page = Page(path.read_text())
    text = " ".join(page.text)
    for part in ("a run <b>", "left & up", "Confusion matrix", "Linear(in_features=36", "SGD", "epochs"):
        assert part in text
    found = trainer.evaluate(images)
    assert f"{found['accuracy']:.2%}" in text
    mistakes = 60 - round(found["accuracy"] * 60)
    assert mistakes >= 4
    assert page.counts["img"] == mistakes
    assert len(page.loaded) == mistakes
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert not re.search(r"https?://|@import|url\(", path.read_text())
    assert page.counts["svg"] == 4


def test_a_report_of_many_classes_lists_the_worst_confusions(tmp_path):
    evaluation = Evaluation("test")
    confusion = np.eye(40, dtype=int) * 5
    confusion[7, 3] = 4
    evaluation.results = {
        "accuracy": 0.98,
        "per_class": {
            "recall": [1.0] * 40, "precision": [1.0] * 40, "f1": [1.0] * 40, "support": [5] * 40,
            "confusion": confusion.tolist(),
        },
    }  # fmt: skip
    path = tmp_path / "report.html"
    facts = Facts(model="M", parameters=3, evaluations=[evaluation.facts()])
    write_report(path, [Run("t", History(ROWS), facts=facts)])
    page = Page(path.read_text())
    rows = [text.strip() for text in page.text if text.strip()]
    place = rows.index("Most frequent confusions")
    assert rows[place + 1 : place + 8] == ["true class", "taken for", "samples", "7", "3", "4", "Throughput"]


def test_a_report_needs_a_run_folder(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    with pytest.raises(ValueError, match="there is no run folder; give the Trainer a run_dir"):
        make_trainer(model).report(images)


def test_a_line_says_what_was_left_out(task, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gpunn.train.results.write_curves", lambda path, history: "curves.png was left out")
    make_trainer(run_dir=RunFolder(tmp_path), progress=True).fit((task.x, task.y), 1)
    assert capsys.readouterr().err.splitlines()[-1] == "curves.png was left out"
