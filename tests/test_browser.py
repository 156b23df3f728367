"""The browser that pages are tested in sees what is wrong with one."""

import pytest

GOOD = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>t</title>
<body style="background: #fff; color: #000"><main><h1>One</h1><p>text</p><button>press</button></main></body></html>"""


@pytest.fixture
def show(tab, tmp_path):
    def show(html):
        (tmp_path / "page.html").write_text(html)
        return tab.open(tmp_path / "page.html")

    return show


def test_a_good_page_has_nothing_to_complain_of(show):
    tab = show(GOOD)
    assert tab.weak_texts() == [] and tab.unlabelled() == [] and tab.errors == [] and tab.overflow() == 0
    assert len(tab.requests) == 1 and tab.requests[0].startswith("file:")


def test_contrast_is_the_ratio_of_wcag(show):
    """#767676 on white is 4.54, and #777777 is 4.48: the two sides of 4.5 that are known for it."""
    tab = show(GOOD.replace("<p>", '<p style="color: #767676">'))
    assert tab.weak_texts() == []
    tab = show(GOOD.replace("<p>", '<p style="color: #777777">'))
    assert [t.split(":")[0] for t in tab.weak_texts()] == ["4.48"]
    black = '<rect width="90" height="40" fill="#000"/><text y="20" fill="#333">in</text>'
    tab = show(GOOD.replace("<p>", f'<svg role="img" aria-label="s">{black}</svg><p>'))
    assert len(tab.weak_texts()) == 1


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (' lang="en"', "", "language"),
        ("<button>press", "<button>", "no name"),
        ("main>", "div>", "main"),
        ("<p>text</p>", "<h4>deep</h4>", "after h1 comes H4"),
        ("<p>text</p>", "<svg><circle r='3'/></svg>", "svg"),
    ],
)
def test_what_a_screen_reader_would_miss_is_named(show, before, after, complaint):
    assert complaint in " ".join(show(GOOD.replace(before, after)).unlabelled())


def test_errors_and_requests_are_seen(show):
    tab = show(GOOD.replace("<p>", '<script>missing()</script><img alt="" src="http://127.0.0.1:9/x.png"><p>'))
    assert any("missing is not defined" in e for e in tab.errors)
    assert "http://127.0.0.1:9/x.png" in tab.requests


def test_keys_clicks_sizes_and_media(show, tmp_path):
    tab = show(
        GOOD.replace(
            "<p>",
            "<script>addEventListener('keydown', (e) => { document.title = e.key; });</script><p>",
        ).replace("<button>", "<button onclick='document.title = 1'>")
    )
    tab.press("ArrowRight")
    assert tab.js("document.title") == "ArrowRight"
    tab.click("button")
    assert tab.js("document.title") == "1"
    tab.size(400)
    assert tab.js("innerWidth") == 400
    tab.media(dark=True)
    assert tab.js("matchMedia('(prefers-color-scheme: dark)').matches")
    tab.media(printed=True)
    assert tab.js("matchMedia('print').matches") and tab.pdf().startswith(b"%PDF")
    tab.screenshot(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
