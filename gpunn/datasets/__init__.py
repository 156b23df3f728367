"""Data to learn from, as plain NumPy arrays: bundled, downloaded, or a user's own files."""

from gpunn.datasets.arrays import Arrays, standardise
from gpunn.datasets.bundled import digits
from gpunn.datasets.cifar import cifar10
from gpunn.datasets.errors import DataError
from gpunn.datasets.folder import from_folder
from gpunn.datasets.idx import read_idx
from gpunn.datasets.inputs import Inputs, load_inputs
from gpunn.datasets.mnist_format import fashion_mnist, mnist
from gpunn.datasets.npz import from_npz
from gpunn.datasets.registry import NAMES, load
from gpunn.datasets.split import stratified_split
from gpunn.datasets.table import from_csv

__all__ = [
    "NAMES", "Arrays", "DataError", "Inputs", "load", "load_inputs", "standardise", "stratified_split",
    "digits", "mnist", "fashion_mnist", "cifar10",
    "from_npz", "from_csv", "from_folder", "read_idx",
]  # fmt: skip
