import numpy as np
import pytest

from gpunn.datasets import digits


def test_digits_are_those_of_the_uci_test_set():
    data = digits()
    assert (data.task, data.input_shape, data.outputs) == ("classification", (1, 8, 8), 10)
    assert len(data.x_train) + len(data.x_test) == 1797
    assert data.x_train.dtype == np.uint8 and data.x_train.max() == 16
    # The counts of each digit in the repository's own description, optdigits.names.
    y = np.concatenate([data.y_train, data.y_test])
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_fifth_of_each_digit_is_held_out():
    data = digits()
    share = np.bincount(data.y_test) / (np.bincount(data.y_test) + np.bincount(data.y_train))
    np.testing.assert_allclose(share, 0.2, atol=0.5 / 174)


def test_digits_are_the_images_of_scikit_learn():
    reference = pytest.importorskip("sklearn.datasets").load_digits()
    data = digits()
    ours = {(x.tobytes(), int(y)) for x, y in zip(np.r_[data.x_train, data.x_test], np.r_[data.y_train, data.y_test])}
    assert ours == {(x.tobytes(), int(y)) for x, y in zip(reference.images.astype(np.uint8), reference.target)}
