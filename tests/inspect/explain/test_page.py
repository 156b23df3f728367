"""The page of a derivation, in a browser."""

import base64
import json
import re

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.kernel_texts import kernel_text
from gpunn.inspect import explain
from gpunn.inspect.explain import page_data
from gpunn.inspect.explain.lessons import lesson
from gpunn.inspect.explain.page import as_page, write_page
from gpunn.models import build
from tests.inspect.by_hand import HOSTILE, two_layers

LENET = 2_000_000
"""Bytes: more a page of LeNet may not have."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages by name: two layers by hand, LeNet, and a lesson of two derivations."""
    folder = tmp_path_factory.mktemp("pages")
    gpunn.manual_seed(0)
    model = build("lenet", (1, 28, 28), 10)
    x, y = gpunn.randn(2, 1, 28, 28), gpunn.randint(10, (2,))
    told = {
        "hand": two_layers(),
        "lenet": explain(model, x, y, optimizer="sgd", l2=0.01),
        "lesson": lesson("convolution"),
    }
    for name, what in told.items():
        write_page(what, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in told}


def shown(tab):
    """The number of the step that is shown; one alone is."""
    (found,) = tab.js(
        "[...document.querySelectorAll('#steps article')].filter(e => e.checkVisibility()).map(e => e.id)"
    )
    return int(found.split("-")[-1])


def classes(tab, name):
    return set(tab.js(f"document.querySelector('[data-id=\"{name}\"]').getAttribute('class')").split())


def named(tab, name):
    """The id of the box of a variable."""
    return tab.js(f"[...document.querySelectorAll('.box')].find(b => b.textContent.includes('{name}:')).dataset.id")


def press_box(tab, name):
    tab.js(f"document.querySelector('[data-id=\"{name}\"]').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")


def test_steps_forward_and_back_by_button_key_slider_and_graph(tab, pages):
    tab.open(pages["hand"])
    assert shown(tab) == 1 and tab.js("document.getElementById('back').disabled")
    tab.click("#next")
    tab.click("#next")
    assert shown(tab) == 3 and tab.text("#count") == "3 of 10"
    tab.click("#back")
    assert shown(tab) == 2
    tab.press("ArrowRight")
    tab.press("ArrowRight")
    tab.press("ArrowLeft")
    assert shown(tab) == 3
    tab.press("End")
    assert shown(tab) == 10 and tab.js("document.getElementById('next').disabled")
    tab.press("ArrowRight")
    assert shown(tab) == 10
    tab.press("Home")
    assert shown(tab) == 1
    tab.js("slider.value = 7; slider.dispatchEvent(new Event('input'))")
    assert shown(tab) == 7
    press_box(tab, "s9")
    assert shown(tab) == 9
    tab.js("document.querySelector('[data-id=s4]').focus()")
    tab.press("Enter")
    assert shown(tab) == 4
    assert tab.js("location.hash") == "#4" and tab.js("scrollY") == 0
    assert tab.errors == []


def test_an_address_may_name_the_step(tab, pages):
    tab.open(pages["hand"].resolve().as_uri() + "#6")
    assert shown(tab) == 6


def test_the_graph_shows_what_is_read_made_held_and_free(tab, pages):
    """At step 7 of the two layers: dZ2, A1 and W2 become dA1, dW2 and db2; Z2 was freed after step 6."""
    tab.open(pages["hand"])
    for _ in range(6):
        tab.press("ArrowRight")
    d = two_layers()
    number = {v.name: f"v{v.id}" for v in d.variables}
    assert "now" in classes(tab, "s7") and "future" in classes(tab, "s8")
    for name in ("dZ2", "A1", "W2"):
        assert "read" in classes(tab, number[name])
    for name in ("dA1", "dW2", "db2"):
        assert "made" in classes(tab, number[name])
    assert "freed" in classes(tab, number["Z2"]) and "freed" not in classes(tab, number["Z1"])
    assert "future" in classes(tab, number["dZ1"])
    assert "At step 7 the plan has 700 B in use" in tab.text("#held")
    held = {v.name for v in d.variables if v.written_by and v.written_by <= 7 and (v.freed_after or 99) >= 7}
    named = re.findall(r"(\w+) \d+ B", tab.text("#held").split(":")[1].translate(str.maketrans("₁₂", "12")))
    assert len(named) == 6 and set(named) <= held


def test_the_memory_curve_has_the_marker_at_the_step_and_takes_clicks(tab, pages):
    tab.open(pages["hand"])
    tab.press("End")
    end = tab.js("document.querySelector('.curve .now').getBoundingClientRect().x")
    box = tab.js("(r => [r.x, r.y, r.width, r.height])(document.querySelector('.curve').getBoundingClientRect())")
    assert box[0] + box[2] - end == pytest.approx(box[2] * (900 - 120) / 900 / 20, abs=2)  # half a step of ten
    tab.click(".curve")
    assert shown(tab) == 1 + int((450 - 120) / (780 / 10))


def test_a_weight_has_its_path_and_its_gradient_beside_the_central_difference(tab, tmp_path):
    """One linear layer: dW = (P - Y)^T X / n, written out."""
    rng = np.random.default_rng(0)
    X, y, W = rng.normal(size=(4, 3)), np.array([0, 1, 1, 0]), rng.normal(size=(2, 3))
    model = nn.Sequential(nn.Linear(3, 2, bias=False, dtype=gpunn.float64))
    with gpunn.no_grad():
        model[0].weight[:] = gpunn.tensor(W)
    write_page(explain(model, X, y), tmp_path / "page.html")
    P = np.exp(X @ W.T)
    P /= P.sum(1, keepdims=True)
    dW = (P - np.eye(2)[y]).T @ X / 4

    tab.open(tmp_path / "page.html")
    press_box(tab, named(tab, "W₁"))
    cells = tab.js("[...document.querySelectorAll('#tensor-body td button')].map(b => b.textContent)")
    assert [float(c) for c in cells] == pytest.approx(W.ravel(), rel=1e-3)
    for i in range(2):
        for j in range(3):
            tab.js(f"document.querySelectorAll('#tensor-body td button')[{3 * i + j}].click()")
            rows = tab.js("[...document.querySelectorAll('#path tr')].map(r => r.cells[1].textContent)")
            assert float(rows[0]) == pytest.approx(W[i, j], rel=1e-3)
            assert float(rows[1]) == pytest.approx(dW[i, j], rel=1e-7)
            assert float(rows[2]) == pytest.approx(dW[i, j], rel=1e-6) and "float64" in tab.text("#path")
            assert f"[{i}, {j}]" in tab.text("#path h3")
    ways = tab.js("[...document.querySelectorAll('#path li')].map(e => parseInt(e.textContent))")
    assert ways == [1, 2]
    assert "way" in classes(tab, "s1") and "way" in classes(tab, "s2") and "way" not in classes(tab, "s4")
    tab.click("#path li:nth-child(2) button")
    assert shown(tab) == 2
    tab.click("#close-tensor")
    assert tab.js("document.querySelectorAll('.way').length") == 0 and tab.errors == []


def test_a_tensor_opens_as_numbers_and_as_a_heat_map(tab, pages):
    tab.open(pages["hand"])
    tab.click("#steps [data-variable='0']")  # X
    d = two_layers()
    assert "X: input, 4 × 3, float64" in tab.text("#tensor-name")
    cells = tab.js("[...document.querySelectorAll('#tensor-body td[data-at]')].map(e => parseFloat(e.textContent))")
    assert cells == pytest.approx(d["X"].value.ravel(), rel=1e-3)
    tab.click("#as-map")
    size = tab.js("(c => [c.width, c.height])(document.querySelector('#tensor-body canvas'))")
    assert size == [3, 4]
    at = np.unravel_index(np.abs(d["X"].value).argmax(), (4, 3))
    pixel = f"document.querySelector('#tensor-body canvas').getContext('2d').getImageData({at[1]}, {at[0]}, 1, 1).data"
    warm = d["X"].value[at] > 0  # the largest has the full colour: orange above 0, blue below
    assert tab.js(f"[...{pixel}]")[:3] == ([194, 65, 12] if warm else [37, 99, 235])
    tab.media(dark=True)
    assert tab.wait(f"[...{pixel}].slice(0, 3).join() === '{'255,146,85' if warm else '110,168,254'}'")
    tab.media()


def test_slices_of_a_tensor_with_more_axes(tab, pages):
    tab.open(pages["lenet"])
    press_box(tab, named(tab, "W₁"))
    assert tab.js("document.querySelectorAll('#slice option').length") == 6
    tab.js("(s => { s.value = 4; s.dispatchEvent(new Event('change')) })(document.querySelector('#slice select'))")
    first = tab.js("document.querySelector('#tensor-body td[data-at]').dataset.at")
    assert int(first) == 4 * 25


def test_the_texts_that_do_a_step_are_shown(tab, pages):
    tab.open(pages["hand"])
    tab.js("document.querySelector('#steps details').open = true")
    tab.click("#steps [data-source='linear.cu']")
    assert tab.js("document.getElementById('source-text').textContent") == kernel_text("linear.cu")
    tab.click("#steps [data-source='linear_activation']")
    assert "def linear_activation(" in tab.js("document.getElementById('source-text').textContent")
    tab.click("#close-source")
    assert not tab.js("document.getElementById('source').checkVisibility()")


def test_a_lesson_brings_its_derivations_one_at_a_time(tab, pages):
    tab.open(pages["lesson"])
    shown_parts = "[...document.querySelectorAll('[data-derivation]')].filter(e => e.checkVisibility()).map(e => e.dataset.derivation)"  # noqa: E501
    assert set(tab.js(shown_parts)) == {"0"}
    tab.press("ArrowRight")
    tab.click("[data-bring='1']")
    assert set(tab.js(shown_parts)) == {"1"} and shown(tab) == 1
    tab.press("End")
    count = tab.js("JSON.parse(document.getElementById('data').textContent).derivations[1].steps.length")
    assert shown(tab) == count and tab.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hand", "lenet", "lesson"])
def test_every_page_can_be_read_by_everybody_and_asks_for_nothing(tab, pages, name):
    """Light, dark, narrow and printed: contrast, names for a screen reader, nothing wider than the window."""
    tab.open(pages[name])
    tab.click("#steps [data-variable]")
    for dark, width in ((False, 1200), (True, 400)):
        tab.media(dark=dark)
        tab.size(width)
        assert tab.overflow() <= 0
        assert tab.weak_texts() == []
        assert tab.unlabelled() == []
    tab.media(printed=True)
    hidden = "[...document.querySelectorAll('#steps article')].filter(e => !e.checkVisibility()).length"
    assert tab.js(hidden) == 0 and not tab.js("document.querySelector('nav').checkVisibility()")
    assert tab.weak_texts() == []
    assert tab.pdf().startswith(b"%PDF")
    assert tab.js(
        "[document.querySelectorAll('header, main, nav').length, document.querySelectorAll('h1').length]"
    ) == [3, 1]
    assert tab.requests == [pages[name].resolve().as_uri()]
    assert tab.errors == []


def test_the_page_forbids_itself_any_request_and_any_other_script(tab, pages):
    tab.open(pages["hand"])
    tab.js("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png', alt: ''}))")
    tab.js("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.bad = 1'}))")
    assert tab.js("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert tab.js("window.bad") is None
    assert len(tab.errors) >= 3 and all("Content Security Policy" in e for e in tab.errors)


def test_names_are_text_wherever_they_come_from(tab, tmp_path):
    d = two_layers(layer=HOSTILE, path=HOSTILE, title=HOSTILE)
    d.steps[0].sentences.append(HOSTILE)
    d.introduction.append(HOSTILE)
    d.remarks[1] = HOSTILE
    write_page(d, tmp_path / "page.html")
    tab.open(tmp_path / "page.html")
    assert tab.js("[document.scripts.length, document.title, document.querySelector('h1').textContent]") == [2, HOSTILE, HOSTILE]  # fmt: skip  # noqa: E501
    press_box(tab, named(tab, "W₁"))
    assert HOSTILE in tab.text("#tensor-name")
    assert tab.text("#steps").count(HOSTILE) == 3  # the layer, a sentence, a remark
    assert HOSTILE in tab.js("document.querySelector('.graph .name').textContent")
    assert tab.errors == [] and tab.unlabelled() == []
    data = re.search(r'id="data">(.*?)</script>', as_page(d), re.DOTALL)[1]
    assert "<" not in data and HOSTILE in json.dumps(json.loads(data), ensure_ascii=False).replace('\\"', '"')


def test_a_page_of_lenet_is_small(pages):
    assert pages["lenet"].stat().st_size < LENET


@pytest.mark.slow
def test_a_thousand_nodes_open_in_three_seconds(browser, tab, tmp_path):
    """CPU time of the page, which is what it takes on a machine that does nothing else."""
    gpunn.manual_seed(0)
    model = nn.Sequential(*(layer for _ in range(84) for layer in (nn.Linear(2, 2), nn.Tanh())))
    write_page(explain(model, gpunn.randn(2, 2), gpunn.randint(2, (2,))), tmp_path / "page.html")
    before = browser.cpu_seconds()
    tab.open(tmp_path / "page.html")
    assert tab.js("document.querySelectorAll('.box').length") > 1000
    assert browser.cpu_seconds() - before < 3


def test_texts_lie_within_their_boxes(tab, pages):
    tab.open(pages["lenet"])
    too_wide = """[...document.querySelectorAll('.box')].filter(b => [...b.querySelectorAll('text')].some(
        t => t.getBBox().width > b.querySelector('rect').getBBox().width)).map(b => b.textContent)"""
    assert tab.js(too_wide) == []


def test_what_is_not_finite_or_empty_is_said(tab, tmp_path):
    d = two_layers()
    d["W1"].value = np.array([[np.nan, np.inf, -1.0]] * 5)
    d["X"].value = np.zeros((0, 3))
    write_page(d, tmp_path / "page.html")
    tab.open(tmp_path / "page.html")
    press_box(tab, named(tab, "W₁"))
    assert tab.js("[...document.querySelectorAll('#tensor-body td[data-at]')].slice(0, 3).map(e => e.textContent)") == ["nan", "inf", "-1"]  # fmt: skip  # noqa: E501
    tab.click("#as-map")
    press_box(tab, named(tab, "X"))
    assert "not on this page" in tab.text("#tensor-body") and tab.errors == []


def test_heat_maps_show_means_of_blocks_and_tiles():
    x = np.arange(192 * 97, dtype=float).reshape(192, 97)
    found = page_data.heat_map(x)
    assert (found["rows"], found["columns"]) == (96, 49) and "2 × 2" in found["note"]
    assert found["low"] == x[:2, :2].mean() and found["high"] == x[-2:, -1:].mean()
    tiles = np.arange(2 * 3 * 4 * 5, dtype=float).reshape(2, 3, 4, 5)
    found = page_data.heat_map(tiles)
    assert (found["rows"], found["columns"]) == (2 * 5 - 1, 3 * 6 - 1) and found["note"].startswith(
        "2 × 3 tiles of 4 × 5"
    )
    levels = np.frombuffer(base64.b64decode(found["levels"]), np.uint8).reshape(9, 17)
    assert levels[0, 0] == 0 and levels[-1, -1] == 254 and (levels[4] == 255).all() and (levels[:, 5] == 255).all()
    assert levels[0, 6] == round(254 * 20 / 119)  # the first element of the second tile
