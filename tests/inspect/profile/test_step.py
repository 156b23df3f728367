"""What a training step would take: its launches, with what they are done for, and their sum."""

from __future__ import annotations

import json

import pytest

import gpunn
from gpunn import nn
from gpunn.inspect.profile import gpu, predict_step
from gpunn.inspect.profile.plot import plot

H100 = gpu("H100")


@pytest.fixture(scope="module")
def predicted(nvdisasm):
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).to("sim")
    step = gpunn.TrainStep(model, nn.functional.cross_entropy, gpunn.optim.SGD(model.parameters(), lr=0.1))
    x, y = gpunn.randn(16, 1, 8, 8, device="sim"), gpunn.randint(0, 10, (16,), device="sim")
    return predict_step(step, x, y, gpu=H100, title="a small network")


def test_launches_are_named_by_what_they_are_done_for(predicted) -> None:
    phases = [x.phase for x in predicted.launches]
    assert phases == sorted(phases, key=("forward", "backward", "update").index)
    products = [(x.phase, x.layer) for x in predicted.launches if x.prediction.kernel.startswith("linear_")]
    assert products[:2] == [("forward", "1"), ("forward", "3")]
    assert {layer for phase, layer in products if phase == "backward"} == {"1", "3"}
    assert predicted.launches[-1].phase == "update"
    assert all(x.advice for x in predicted.launches)


def test_the_sum_of_a_step(predicted) -> None:
    work = sum(x.prediction.microseconds for x in predicted.launches)
    assert predicted.microseconds == pytest.approx(work + len(predicted.launches) * H100.graph_node_us)
    assert predicted.samples_per_second == pytest.approx(16e6 / predicted.microseconds)
    assert predicted.low < predicted.microseconds < predicted.high
    # Two products forward, two for weights, one for the input of the second; and a little for activations and loss.
    products = 2 * 16 * (2 * 64 * 32 + 3 * 32 * 10)
    assert products < predicted.flop < 1.2 * products
    assert predicted.bytes > 2 * 4 * (64 * 32 + 32 * 10)  # each weight is read and written at least once
    assert predicted.resident  # some kilobytes in a cache of 50 megabytes


def test_as_json(predicted) -> None:
    found = json.loads(json.dumps(predicted.to_dict()))
    assert (found["gpu"], found["title"], found["samples"]) == ("H100", "a small network", 16)
    assert [x["kernel"] for x in found["launches"]] == [x.prediction.kernel for x in predicted.launches]
    assert found["launches"][0]["occupancy"]["most_warps"] == 64


def test_as_a_picture(predicted, tmp_path) -> None:
    plot(predicted, tmp_path / "step.svg")
    text = (tmp_path / "step.svg").read_text()
    assert text.startswith("<?xml") and len(text) > 10_000


def test_a_step_that_is_not_on_the_simulator() -> None:
    model = nn.Linear(4, 2)
    step = gpunn.EvalStep(model)
    with pytest.raises(ValueError, match="has no plan on the device sim"):
        predict_step(step, gpunn.randn(3, 4), gpu=H100)
