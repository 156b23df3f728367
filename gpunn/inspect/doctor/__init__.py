"""What gpunn stands on here, from Python to the GPU's driver, and what mends what is missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from . import cuda, devices, host
from .finding import ABSENT, OK, WRONG, Finding

__all__ = ["ABSENT", "OK", "WRONG", "Diagnosis", "Finding", "doctor"]


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` found."""

    findings: list[Finding]

    @property
    def works(self) -> bool:
        """Whether all is well that training on the CPU needs."""
        return not any(f.state == WRONG and f.needed for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {"works": self.works, "findings": [asdict(f) for f in self.findings]}


def doctor() -> Diagnosis:
    """Look at everything that gpunn uses, and compute something small on each device. Nothing is changed."""
    return Diagnosis([*host.findings(), *cuda.findings(), *devices.findings(), *host.caches()])
