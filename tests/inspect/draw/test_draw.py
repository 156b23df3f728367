"""Pictures: what is in them, as SVG, PNG, DOT and HTML."""

import itertools
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import import_module

import pytest

import gpunn
from gpunn import nn
from gpunn.inspect import draw
from gpunn.inspect.draw import Picture
from gpunn.inspect.draw.palette import DARK, LIGHT, PAPER
from gpunn.inspect.draw.steps import picture_of
from gpunn.models import build
from tests.inspect.by_hand import HOSTILE, two_layers

SVG = "{http://www.w3.org/2000/svg}"


def mlp():
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    return model, gpunn.zeros(4, 3), gpunn.zeros(4, dtype=gpunn.int64)


def labels(picture, kind):
    return [box.label for box in picture.boxes if box.kind == kind]


def test_the_graph_has_squares_for_variables_and_circles_for_operators():
    picture = draw(*mlp())
    variables, operators = labels(picture, "variable"), labels(picture, "operator")
    assert {"X", "y", "W₁", "b₁", "Z₁", "A₁", "W₂", "b₂", "Z₂", "L"} <= set(variables)
    assert operators == ["affine map", "relu", "affine map", "softmax and cross entropy"]
    root = ET.fromstring(picture.svg())
    drawn = {g.get("data-id"): g.find(f"{SVG}rect") for g in root.iter(f"{SVG}g") if g.get("data-id")}
    for box in picture.boxes:
        radius, height = float(drawn[box.id].get("rx")), float(drawn[box.id].get("height"))
        assert radius == (height / 2 if box.kind == "operator" else 1.5)
    notes = {box.label: box.note for box in picture.boxes}
    assert (notes["W₁"], notes["Z₁"], notes["L"]) == ("5 × 3", "4 × 5", "scalar")


def test_arrows_are_what_each_step_reads_and_makes():
    d = two_layers()
    picture = picture_of(d)
    there = {(a.source, a.target) for a in picture.arrows}
    for s in d.steps[:-1]:
        assert {(f"v{i}", f"s{s.number}") for i in s.inputs} <= there
        assert {(f"s{s.number}", f"v{i}") for i in s.outputs} <= there
    kept = {(d.variables[int(a.source[1:])].name, a.target) for a in picture.arrows if a.kept}
    assert kept == {("Z2", "s6"), ("y", "s6"), ("m", "s6"), ("A1", "s7"), ("W2", "s7"), ("Z1", "s8"), ("X", "s9")}
    assert labels(picture, "operator").count("SGD") == 4  # beside each gradient


def test_where_a_variable_is_read_twice_its_gradients_meet_in_one_sum():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(3, 3)

        def forward(self, x):
            h = self.cell(x)
            return h + self.cell(h)

    picture = draw(Twice(), *mlp()[1:], view="gradients")
    boxes = {box.id: box for box in picture.boxes}
    sums = [b for b in picture.boxes if b.label == "+" and b.phase == "backward"]
    under = {boxes[b.under].label for b in sums if b.under}
    assert under == {"dZ₁"}
    (at,) = (b.id for b in sums if b.under)
    readers = sorted(boxes[a.source].label for a in picture.arrows if a.target == at)
    assert readers == ["∇ +", "∇ affine map"]
    assert labels(picture, "variable").count("W₁") == 2  # beside each step that reads it
    assert {"dW₁", "db₁"} <= set(labels(picture, "variable"))


def test_layers_alone_with_their_parameters_and_shapes():
    with gpunn.device("meta"):
        model = build("lenet", (1, 28, 28), 10)
        picture = draw(model, gpunn.zeros(8, 1, 28, 28), gpunn.zeros(8, dtype=gpunn.int64), view="layers")
    boxes = [(b.label, b.note) for b in picture.boxes if b.kind == "layer"]
    assert boxes[0] == ("0  Conv2d", "156 parameters → 8 × 6 × 28 × 28")  # 6 * 1 * 5 * 5 + 6
    assert boxes[7] == ("7  Linear", "48,120 parameters → 8 × 120")  # 400 * 120 + 120
    assert len(boxes) == 12 and len(picture.arrows) == 14  # X, the layers, the loss and L: a chain


@pytest.mark.parametrize("name", ["mlp:5", "lenet"])
def test_the_planned_step_lies_in_its_arena_without_overlap(name):
    """The arena is as large as the forecast of the step says, which lays out the same plan."""
    shape = (1, 28, 28)
    with gpunn.device("meta"):
        model = build(name, shape, 10)
        x, y = gpunn.zeros(4, *shape), gpunn.zeros(4, dtype=gpunn.int64)
    picture = draw(model, x, y, view="step", optimizer="sgd")
    for a, b in itertools.combinations(picture.blocks, 2):
        if a.first <= b.last and b.first <= a.last:
            assert a.offset + a.size <= b.offset or b.offset + b.size <= a.offset, (a, b)
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
    assert max(b.offset + b.size for b in picture.blocks) == step.forecast(x, y).arena
    assert "Memory of the step" in picture.svg()


@pytest.mark.parametrize("view", ["gradients", "step"])
def test_nothing_is_computed_and_nothing_changed(view, monkeypatch):
    model, x, y = mlp()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    monkeypatch.setattr(import_module("gpunn.inspect.explain.evaluate"), "evaluate", None)
    draw(model, x, y, view=view, optimizer="adam")
    assert all((model.state_dict()[name].numpy() == value).all() for name, value in before.items())
    assert all(p.grad is None for p in model.parameters())


def test_names_are_text_in_every_format(tmp_path):
    picture = picture_of(two_layers(layer=HOSTILE, path=HOSTILE, title=HOSTILE))
    for engine in ("layers", "auto"):
        picture.engine = engine
        root = ET.fromstring(picture.svg())
        assert root.get("aria-label") == HOSTILE
        assert not list(root.iter(f"{SVG}script"))
        assert HOSTILE in [t.text for t in root.iter(f"{SVG}text")]
        assert any(HOSTILE in (t.text or "") for t in root.iter(f"{SVG}title"))
    assert "<script>" not in picture.html()
    picture.save(tmp_path / "x.png")
    odd = Picture('a "b" \\ c\n$x$', list(picture.boxes), list(picture.arrows))
    odd.save(tmp_path / "y.png")
    assert (tmp_path / "y.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_graphviz_reads_what_is_written_for_it():
    picture = picture_of(two_layers(layer=HOSTILE, path=HOSTILE + "\\", title=HOSTILE))
    found = subprocess.run(["dot", "-Tplain"], input=picture.dot(), capture_output=True, text=True, check=True)
    lines = found.stdout.splitlines()
    assert found.stderr == ""
    assert sum(line.startswith("node ") for line in lines) == len(picture.boxes)
    assert sum(line.startswith("edge ") for line in lines) == len(picture.arrows)


def test_a_picture_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"x\.png, a PNG, needs matplotlib: pip install matplotlib"):
        picture_of(two_layers()).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.jpg: a picture is written as \.svg, \.png, \.dot or \.html"):
        picture_of(two_layers()).save(tmp_path / "x.jpg")


def test_wrong_views_and_engines_are_named():
    with pytest.raises(ValueError, match="no view 'tree'; there are graph, gradients, layers, step"):
        draw(*mlp(), view="tree")
    with pytest.raises(ValueError, match="no engine 'neato'; there are auto, dot, layers"):
        draw(*mlp(), engine="neato")


def test_jupyter_shows_the_svg():
    picture = picture_of(two_layers())
    assert picture._repr_svg_() == picture.svg() and picture.svg().startswith("<svg xmlns=")


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_that_the_palette_promises(scheme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)  # WCAG's own example
    for colour in (LIGHT if scheme == "light" else DARK).values():
        assert contrast(colour.text, colour.ground) >= 7
        assert contrast(colour.line, PAPER[scheme]) >= 3


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_pictures_in_a_browser(tab, tmp_path, suffix):
    picture = picture_of(two_layers(), memory=True)
    picture.save(tmp_path / f"x.{suffix}")
    tab.open(tmp_path / f"x.{suffix}")
    if suffix == "html":
        for dark, width in ((False, 1200), (True, 400)):
            tab.media(dark=dark)
            tab.size(width)
            assert tab.weak_texts() == [] and tab.unlabelled() == [] and tab.overflow() <= 0
        tab.click("#whole")
        assert tab.js("document.querySelector('main svg').getBoundingClientRect().width") <= 400
    too_wide = """[...document.querySelectorAll('.box')].filter(b => [...b.querySelectorAll('text')].some(
        t => t.getBBox().width > b.querySelector('rect').getBBox().width)).map(b => b.textContent)"""
    assert tab.js(too_wide) == []
    assert len(tab.requests) == 1 and tab.errors == []
