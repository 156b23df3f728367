"""Means over batches of different sizes, and the batch whose loss is not finite."""

import math

import numpy as np
import pytest

import gpunn
from gpunn.train import Accuracy, Batch
from gpunn.train import meter as meter_module
from gpunn.train.meter import Meter, NonFiniteLoss


def batch(target, share=None):
    target = gpunn.tensor(target)
    return Batch((), target, float(target.numel()) if share is None else share)


def test_the_loss_is_weighted_by_shares():
    meter = Meter([])
    meter.add(gpunn.tensor(1.0), None, batch([0, 0, 0]))
    meter.add(gpunn.tensor(5.0), None, batch([0]))
    assert meter.loss == (3 * 1.0 + 1 * 5.0) / 4
    assert meter.samples == 4
    assert meter.batches == 2


def test_results_and_scalars():
    meter = Meter([Accuracy()])
    meter.add(gpunn.tensor(0.5), gpunn.tensor([[2.0, 1.0], [0.0, 3.0]]), batch([0, 0]))
    assert meter.results() == {"loss": 0.5, "accuracy": 0.5}
    assert meter.scalars() == {"loss": 0.5, "accuracy": 0.5}


def test_metrics_are_its_own():
    metric = Accuracy()
    meter = Meter([metric])
    meter.add(gpunn.tensor(0.5), gpunn.tensor([[2.0, 1.0]]), batch([0]))
    assert metric.count == 0


def test_half_precision_outputs():
    meter = Meter([Accuracy()])
    meter.add(gpunn.tensor(0.5), gpunn.tensor([[2.0, 1.0], [0.0, 3.0]]).bfloat16(), batch([0, 1]))
    assert meter.results()["accuracy"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_batch_with_a_loss_that_is_not_finite_is_named(value):
    meter = Meter([])
    meter.add(gpunn.tensor(1.0), None, batch([0]))
    bad = batch([0])
    with pytest.raises(NonFiniteLoss) as caught:
        meter.add(gpunn.tensor(value), None, bad)
    assert caught.value.number == 2
    assert caught.value.batch is bad
    assert repr(caught.value.value) == repr(value)


def test_a_batch_in_which_nothing_counts_is_left_out():
    """The mean of no targets is NaN, but there is nothing wrong."""
    meter = Meter([])
    meter.add(gpunn.tensor(2.0), None, batch([0, 0]))
    meter.add(gpunn.tensor(math.nan), None, batch([-100], share=0.0))
    assert meter.loss == 2.0


def test_the_state_carries_over():
    first, second = Meter([Accuracy()]), Meter([Accuracy()])
    first.add(gpunn.tensor(0.1), gpunn.tensor([[2.0, 1.0]]), batch([0]))
    second.load_state_dict(first.state_dict())
    for meter in (first, second):
        meter.add(gpunn.tensor(0.7), gpunn.tensor([[2.0, 1.0], [0.0, 1.0]]), batch([1, 1]))
    assert first.results() == second.results()
    assert first.results()["accuracy"] == 2 / 3


def test_metrics_need_a_tensor():
    meter = Meter([Accuracy()])
    with pytest.raises(TypeError, match="the model gave tuple"):
        meter.add(gpunn.tensor(0.1), (gpunn.zeros(2),), batch([0]))


def test_reset():
    meter = Meter([Accuracy()])
    meter.add(gpunn.tensor(0.1), gpunn.tensor([[2.0, 1.0]]), batch([0]))
    meter.reset()
    assert math.isnan(meter.loss)
    assert meter.samples == 0
    assert np.isnan(meter.results()["accuracy"])


def test_results_wait_until_their_batches_take_much_memory(monkeypatch):
    monkeypatch.setattr(meter_module, "KEPT_BYTES", 100)
    meter = Meter([])
    for number in (1, 2, 0, 1):  # a batch is 6 numbers of 8 bytes
        meter.add(gpunn.tensor(1.0, device="sim"), None, batch([0] * 6))
        assert len(meter._waiting) == number if number else meter.batches == 3
