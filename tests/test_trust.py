"""The file and the page of what was tried say the same, and what they name is there."""

from __future__ import annotations

from . import trust


def test_the_page_has_the_table_of_the_file() -> None:
    found = trust.read()
    assert all({name: type(value) for name, value in entry.items()} == trust.ENTRY for entry in found.values())
    between = trust.PAGE.read_text(encoding="utf-8").partition(trust.BEGIN)[2].partition(trust.END)[0]
    assert between == "\n" + trust.table(found) if found else between == "\n"


def test_what_holds_a_promise_is_there() -> None:
    assert [entry["test"] for entry in trust.read().values() if not (trust.CHECKOUT / entry["test"]).exists()] == []
