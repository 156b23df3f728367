"""The public interface changes only where somebody means it to."""

from __future__ import annotations

from . import interface


def test_the_interface_is_that_of_the_file() -> None:
    now, before = interface.lines(), interface.FILE.read_text(encoding="utf-8").splitlines()
    gone, new = sorted(set(before) - set(now)), sorted(set(now) - set(before))
    assert (gone, new) == ([], []), "python -m tests.interface writes tests/interface.txt anew, if that is meant"
