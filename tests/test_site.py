"""The documentation as ``make docs`` has built it, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.documents import ROOT

SITE = ROOT / "build" / "docs"
PAGES = (
    "index", "tutorials/by_hand", "tutorials/from_chainer", "lessons/convolution", "reference/gpunn.nn",
    "reference/gpunn.optim", "ladder/matmul", "command/index", "kernels/index",
)  # fmt: skip
pytestmark = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built: make docs")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages(page: str, dark: bool, tab: Any) -> None:
    """Nothing is asked of a network, nothing is wrong, nothing is too wide, all can be read, by a screen reader too."""
    tab.media(dark=dark)
    tab.size(400)
    tab.open(SITE / f"{page}.html")
    assert tab.overflow() <= 0
    assert tab.weak_texts() == []
    assert {*tab.unlabelled()} <= {"an svg has neither name nor role"}  # the theme's icons, in buttons with names
    for width in (1200, 1400, 1600, 1700):
        tab.size(width)
        assert tab.overflow() <= 0, width
    assert [url for url in tab.requests if not url.startswith("file:")] == [] and tab.errors == []


def test_formulas_are_mathml(tab: Any) -> None:
    tab.open(SITE / "tutorials" / "by_hand.html")
    assert tab.js("document.querySelectorAll('math').length") > 40
    assert tab.js("document.querySelectorAll('math[display=block] mtr').length") >= 16
    assert "&=" not in tab.text("main, [role=main]") and "\\frac" not in tab.text("main, [role=main]")


def test_search_finds_a_name(tab: Any) -> None:
    tab.open(f"{(SITE / 'search.html').as_uri()}?q=CrossEntropyLoss")
    found = (
        "new Promise(done => setTimeout(() => done(document.querySelectorAll('#search-results li a').length), 3000))"
    )
    assert tab.js(found) > 0
    assert "gpunn.nn" in tab.text("#search-results")


def test_a_difference_can_be_folded(tab: Any) -> None:
    tab.open(SITE / "ladder" / "matmul.html")
    opened = tab.js("document.querySelectorAll('details[open]').length")
    tab.click("details[open] summary")
    assert tab.js("document.querySelectorAll('details[open]').length") == opened - 1
