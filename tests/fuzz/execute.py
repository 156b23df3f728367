"""One target under atheris, in this process: ``python -m tests.fuzz.execute TARGET CORPUS`` and libFuzzer's options."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

SEEN = (
    "gpunn.datasets",
    "gpunn.io",
    "gpunn.train",
    "gpunn.backend",
    "gpunn.cli",
    "numpy.lib",
    "json",
    "tomllib",
    "PIL",
)
"""What coverage is measured of, with what lies in it."""


def main(name: str, corpus: str, options: list[str]) -> None:
    with atheris.instrument_imports(include=list(SEEN)):
        from .targets import CLEAN, TARGETS
    warnings.simplefilter("ignore")
    target = TARGETS[name]
    for i, seed in enumerate(target.seeds()):
        (Path(corpus) / f"seed-{i}").write_bytes(seed)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as folder:
        path = Path(folder) / target.file

        def execute(content: bytes) -> None:
            with contextlib.suppress(*CLEAN):
                if target.parse is not None:
                    target.parse(content)
                else:
                    path.write_bytes(content)
                    target.read(path)

        atheris.Setup([sys.argv[0], corpus, *options], execute)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
