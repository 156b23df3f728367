"""Layouts: nothing lies on anything else, arrows lead where they should, and the backward mirrors the forward."""

import itertools
import shutil

import numpy as np
import pytest

import gpunn
from gpunn.inspect.draw import draw
from gpunn.inspect.draw.fold import folded
from gpunn.inspect.draw.layered import _isotonic, layered
from gpunn.inspect.draw.layout import lay_out
from gpunn.inspect.draw.steps import picture_of
from gpunn.models import build
from tests.inspect.by_hand import two_layers
from tests.inspect.explain.networks import resnet9

ENGINES = [
    "layers",
    pytest.param("dot", marks=pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")),
]


def rectangles(picture, layout):
    for box in picture.boxes:
        (x, y), (w, h) = layout.middle[box.id], box.size
        yield box, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def on_the_border(point, rectangle):
    (x, y), (left, top, right, bottom) = point, rectangle
    inside = left - 0.1 <= x <= right + 0.1 and top - 0.1 <= y <= bottom + 0.1
    return inside and min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) < 0.1


def network(name):
    with gpunn.device("meta"):
        if name == "ResNet-9":
            return resnet9(), gpunn.zeros(2, 3, 32, 32), gpunn.zeros(2, dtype=gpunn.int64)
        spec, shape = {"W1": ("mlp:512,512", (784,)), "LeNet": ("lenet", (1, 28, 28))}[name]
        return build(spec, shape, 10), gpunn.zeros(2, *shape), gpunn.zeros(2, dtype=gpunn.int64)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("view", ["graph", "gradients", "layers", "step"])
@pytest.mark.parametrize("name", ["W1", "LeNet", "ResNet-9"])
def test_nothing_lies_on_anything_else_and_arrows_end_at_boxes(name, view, engine):
    model, x, y = network(name)
    picture = draw(model, x, y, view=view, optimizer="sgd", l2=0.1 if view == "gradients" else 0, engine=engine)
    for layout in (whole := lay_out(picture), folded(whole, picture.boxes)):
        found = list(rectangles(picture, layout))
        for (a, there), (b, here) in itertools.combinations(found, 2):
            assert not overlap(there, here), (a.label, b.label)
        place = {box.id: r for box, r in found}
        for arrow, curve in layout.curves:
            assert len(curve) % 3 == 1
            assert on_the_border(curve[0], place[arrow.source]), arrow
            assert on_the_border(curve[-1], place[arrow.target]), arrow
            assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in curve), arrow
        for _, (left, top, right, bottom) in found:
            assert left >= 0 and top >= 0 and right <= layout.width and bottom <= layout.height
        for ground in layout.grounds:
            corner = (ground.x, ground.y, ground.x + ground.width, ground.y + ground.height)
            assert len({b.group for b, r in found if overlap(r, corner)}) == 1
    assert len(layout.curves) == len(picture.arrows)


def test_a_long_picture_is_set_in_columns_of_the_shape_of_a_page():
    model, x, y = network("ResNet-9")
    picture = draw(model, x, y, engine="layers")
    whole = lay_out(picture)
    layout = folded(whole, picture.boxes)
    assert whole.height > 4 * whole.width and 0.5 < layout.width / layout.height < 2
    short = draw(*network("W1"), engine="layers")
    assert folded(lay_out(short), short.boxes) == lay_out(short)


def test_a_gradient_lies_at_the_height_of_its_variable_and_as_far_from_the_axis():
    d = two_layers()
    picture = picture_of(d)
    picture.engine = "layers"
    middle = lay_out(picture).middle
    axes = set()
    for v in d.variables:
        if v.gradient is not None and v.name not in ("W1", "b1", "W2", "b2"):
            (x, y), (dx, dy) = middle[f"v{v.id}"], middle[f"v{v.gradient}"]
            assert y == pytest.approx(dy) and x < dx
            axes.add(round((x + dx) / 2, 3))
    assert len(axes) == 1
    for step in d.steps:
        if step.gradient_of is not None:
            assert middle[f"s{step.number}"][1] == pytest.approx(middle[f"s{step.gradient_of}"][1])


def test_layers_lead_down_and_long_arrows_pass_beside_what_lies_between():
    extents = dict.fromkeys("abcde", (20.0, 20.0, 10.0, 10.0))
    arrows = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "e")]  # a chain, and a way around it
    places = layered(extents, arrows)
    heights = [places.middle[name][1] for name in "abcde"]
    assert heights == sorted(heights) and len(set(heights)) == 5
    way = places.way["a", "e"]
    assert way[0][1] < way[-1][1]
    for name in "bcd":
        x, y = places.middle[name]
        assert all(abs(px - x) > 20 for px, py in way if abs(py - y) <= 10)
    assert layered(extents, arrows) == places


def test_arrows_that_need_not_cross_do_not():
    """Two chains that are given in opposite orders: a1 -> b2, a2 -> b1 -> ..., which swapping one row uncrosses."""
    names = ["a1", "a2", "b1", "b2", "c1", "c2"]
    arrows = [("a1", "b2"), ("a2", "b1"), ("b1", "c2"), ("b2", "c1")]
    middle = layered(dict.fromkeys(names, (10.0, 10.0, 10.0, 10.0)), arrows).middle
    for (u, v), (p, q) in itertools.combinations(arrows, 2):
        if middle[u][1] == middle[p][1]:
            assert (middle[u][0] < middle[p][0]) == (middle[v][0] < middle[q][0])


def test_isotonic_regression_by_hand_and_by_search():
    assert _isotonic([1, 2, 3], [1, 1, 1]) == [1, 2, 3]
    assert _isotonic([3, 1, 2], [1, 1, 1]) == [2, 2, 2]
    assert _isotonic([4, 1], [1, 2]) == pytest.approx([2, 2])  # (4 + 2 * 1) / 3
    rng = np.random.default_rng(0)
    wanted, weights = rng.normal(size=4), rng.uniform(0.5, 2, size=4)
    found = np.array(_isotonic(list(wanted), list(weights)))
    assert (np.diff(found) >= 0).all()

    def cost(x):
        return (weights * (x - wanted) ** 2).sum()

    for _ in range(300):  # no step that keeps the order costs less
        other = np.sort(found + rng.normal(scale=0.1, size=4))
        assert cost(other) >= cost(found) - 1e-12
