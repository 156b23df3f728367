"""torchvision's networks, made of its source by PyTorch and by gpunn: outputs, loss, gradients and buffers are equal.

The source is a wheel in build/torchvision (``make test-peers`` brings it), or the folder in GPUNN_TORCHVISION.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .torchvision_models import FAMILIES, PUBLISHED, TOLERANCE, Source, compare, run

WHEELS = Path(__file__).parents[2] / "build" / "torchvision"


@pytest.fixture(scope="module")
def sources(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    """Both libraries' torchvision."""
    folder = os.environ.get("GPUNN_TORCHVISION")
    wheels = sorted(WHEELS.glob("torchvision-*.whl"))
    if not folder and not wheels:
        pytest.skip("torchvision's source is not in build/torchvision; make test-peers brings it")
    if not folder:
        target = tmp_path_factory.mktemp("torchvision")
        with zipfile.ZipFile(wheels[-1]) as wheel:
            wheel.extractall(target, [name for name in wheel.namelist() if name.endswith(".py")])
        folder = str(target / "torchvision")
    return {library: Source(Path(folder), library) for library in ("torch", "gpunn")}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_small_network_of_the_family(sources: dict[str, Source], family: str) -> None:
    theirs, ours = run(sources["torch"], family), run(sources["gpunn"], family)
    compare(ours, theirs, TOLERANCE.get(family, 1e-9))


@pytest.mark.slow
@pytest.mark.skipif("GPUNN_TRUST" not in os.environ, reason="networks in their published sizes: make trust")
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network(sources: dict[str, Source], name: str) -> None:
    theirs, ours = run(sources["torch"], name, published=True), run(sources["gpunn"], name, published=True)
    compare(ours, theirs, TOLERANCE.get(name, 1e-9))
