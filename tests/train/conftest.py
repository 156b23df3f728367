"""A small task, and a Trainer for it: quick, silent, and with everything in it that has a state."""

from types import SimpleNamespace

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.train import Trainer

CLASSES, FEATURES = 3, 4


@pytest.fixture
def task():
    """Three clouds of points in four dimensions: x (90, 4) float32, y (90,) int64, and as many to test on."""
    rng = np.random.default_rng(7)
    centres = 3 * rng.normal(size=(CLASSES, FEATURES))
    y = np.tile(np.arange(CLASSES), 30)
    x = (centres[y] + rng.normal(size=(len(y), FEATURES))).astype(np.float32)
    x_test = (centres[y] + rng.normal(size=(len(y), FEATURES))).astype(np.float32)
    return SimpleNamespace(x=x, y=y, x_test=x_test, y_test=y)


def make_model(dropout=0.0, batch_norm=False):
    gpunn.manual_seed(3)
    layers = [nn.Linear(FEATURES, 8)]
    layers += [nn.BatchNorm1d(8)] if batch_norm else []
    layers += [nn.ReLU()]
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(8, CLASSES))


def make_trainer(model=None, lr=0.1, momentum=0.9, loss="cross_entropy", optimizer=None, **options):
    model = make_model() if model is None else model
    optimizer = optim.SGD(model.parameters(), lr, momentum=momentum) if optimizer is None else optimizer
    return Trainer(model, loss, optimizer, **{"progress": False, "metrics": ["accuracy"], **options})


def weights(model):
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].tobytes() == b[name].tobytes(), name
