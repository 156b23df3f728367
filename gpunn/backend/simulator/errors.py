"""What the simulator raises."""

from __future__ import annotations


class SimulatorError(RuntimeError):
    """A kernel that does not compile, a call that does not fit it, or a bug that was caught while it ran.

    Attributes:
        kind: what kind of error it is, such as ``"race"`` or ``"argument"``.
        file: the kernel text or header where it happened, None where it has no place.
        line: the line in `file`.
    """

    def __init__(self, message: str, kind: str = "", file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.file, self.line = kind, file, line

    def __reduce__(self) -> tuple[type[SimulatorError], tuple[str, str, str | None, int | None]]:
        """Its parts, for a copy in another process."""
        return SimulatorError, (str(self), self.kind, self.file, self.line)
