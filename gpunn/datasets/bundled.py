"""The data set that ships with gpunn: 1,797 handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

from importlib import resources

import numpy as np

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.split import stratified_split

HELD_OUT = 0.2
SPLIT_SEED = 0


def digits() -> Arrays:
    """Optical Recognition of Handwritten Digits: uint8 images (1, 8, 8) with values from 0 to 16, in 10 classes.

    Each pixel counts the dark pixels in a 4 x 4 block of a 32 x 32 scan. These are the 1,797 images of 13 writers that
    the UCI repository publishes as the test set, unchanged, as scikit-learn's `load_digits` carries them
    (`digits.npz` holds them in that order). A fifth of each class, always the same images, is held out as x_test; since
    both parts are by the same writers, writers never seen before are harder.

    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
    doi:10.24432/C50P49; licence CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
    """
    with resources.files("gpunn.datasets").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x, y = stored["x"][:, None], stored["y"].astype(np.int64)
    train, test = stratified_split(y, HELD_OUT, SPLIT_SEED)
    return Arrays("digits", x[train], y[train], x[test], y[test], [str(digit) for digit in range(10)])
