"""Files changed at random are read, or refused by the one error of their kind: nothing else is raised, nothing hangs.

GPUNN_TRUST says how many; `make trust` takes hundreds of thousands.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import gpunn

from .fuzz.targets import CLEAN, IMAGES, TARGETS
from .mutations import changed, changed_safetensors

FILES = 50 * int(os.environ.get("GPUNN_TRUST", "0")) or 40

pytestmark = pytest.mark.promise("changed files are read, or refused by the one error of their kind")


@pytest.fixture(autouse=True)
def _count(record_property: Callable[[str, object], None]) -> None:
    record_property("tried", FILES)


@pytest.mark.parametrize("name", TARGETS)
def test_files_changed_at_random(name: str, tmp_path: Path) -> None:
    if name in IMAGES:
        pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    target = TARGETS[name]
    path, whole = tmp_path / target.file, target.seeds()
    change = changed_safetensors if path.suffix == ".safetensors" else changed
    for content in whole:
        path.write_bytes(content)
        target.read(path)
    for seed in range(FILES):
        path.write_bytes(change(whole[seed % len(whole)], Random(seed)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                target.read(path)
        except CLEAN:
            pass
        except Exception as error:
            raise AssertionError(f"the file of seed {seed} is refused by {error!r}") from error
    gpunn.manual_seed(0)  # a checkpoint that was read has set another state
