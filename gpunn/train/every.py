"""How often something is done: "epoch", "500steps" or "30s"."""

from __future__ import annotations

import re
import time


class Every:
    """Whether it is time again, within an epoch.

    text: "epoch" for never within one; "500steps" for after so many steps; "30s" for after so many seconds, by a clock
          that nobody can set

    Raises ValueError for another text.
    """

    def __init__(self, text: str):
        match = re.fullmatch(r"epoch|([1-9]\d{0,17})steps?|(\d{1,9}(?:\.\d{1,9})?)s", text)
        if match is None or (match[2] and not float(match[2])):
            raise ValueError(f"{text!r} is no 'epoch', number of steps such as '500steps' or of seconds such as '30s'")
        self.text = text
        self._steps = int(match[1]) if match[1] else 0
        self._seconds = float(match[2]) if match[2] else 0.0
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self._count, self._since = 0, time.monotonic()

    def due(self) -> bool:
        """Count a step; whether it is time."""
        self._count += 1
        if self._steps:
            return self._count >= self._steps
        return bool(self._seconds) and time.monotonic() - self._since >= self._seconds

    def __repr__(self) -> str:
        return f"Every({self.text!r})"
