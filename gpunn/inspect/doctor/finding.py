"""One line of what `doctor` says."""

from __future__ import annotations

from dataclasses import dataclass

OK, ABSENT, WRONG = "ok", "absent", "wrong"
"""All is well; not there, and only needed for what the line says; there, but it will not do."""


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes:
        what: the thing, such as "NumPy".
        found: what there is, or what is wrong with it.
        state: "ok", "absent" or "wrong".
        remedy: the command that mends it; empty where there is nothing to mend, or no command that could.
        needed: whether training on the CPU needs it.
    """

    what: str
    found: str
    state: str = OK
    remedy: str = ""
    needed: bool = False
