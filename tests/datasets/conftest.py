import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with the real MNIST: $GPUNN_TEST_MNIST, else ../shared/data/mnist beside the checkout."""
    checkout = Path(__file__).parents[2]
    folder = Path(os.environ.get("GPUNN_TEST_MNIST") or checkout.parent / "shared" / "data" / "mnist")
    if not folder.is_dir():
        pytest.skip(f"MNIST is not at {folder}; name its folder in GPUNN_TEST_MNIST")
    return folder
