"""Trainings in half precision, and with factors of products rounded to TF32."""

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.train import LambdaCallback, TrainingError
from tests.train.conftest import CLASSES, FEATURES, assert_same_bits, make_trainer, weights


def make_network():
    gpunn.manual_seed(3)
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))


def trained(task, epochs=2, **options):
    model = make_network()
    trainer = make_trainer(model, **{"seed": 1, **options})
    return trainer.fit((task.x, task.y), epochs, batch_size=10, validation=0.2), weights(model), trainer


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
@pytest.mark.parametrize("how", [{}, {"eager": True}, {"grad_accumulation": 2, "clip_norm": 0.5}, {"device": "sim"}])
def test_the_course_is_that_of_float32(precision, how, task):
    """Within what eight and eleven bits leave of a product, and not the same."""
    found, w, _ = trained(task, precision=precision, **how)
    expected, w32, _ = trained(task, **how)
    np.testing.assert_allclose(
        found["loss"], expected["loss"], rtol={"tf32": 2**-9, "bf16": 2**-7, "fp16": 2**-9}[precision]
    )
    assert all(a.dtype == np.float32 for name, a in w.items() if "num_batches" not in name)
    assert any((w[name] != w32[name]).any() for name in w)
    if precision == "fp16":
        assert found["skipped"] == [0, 0]


@pytest.mark.promise("a loss scale that overflows comes down by itself, and the steps up to there have never been")
@pytest.mark.parametrize("eager", [False, True])
def test_an_overflow_halves_the_scale_and_changes_nothing(eager, task, record_property):
    """From a scale at which gradients overflow in float16 it comes down; the steps up to there have never been."""
    seen = []

    def look(trainer, batch):
        seen.append((trainer.scaler.get_scale(), weights(trainer.model)))

    model = make_network()
    before = weights(model)
    trainer = make_trainer(model, seed=1, precision="fp16", eager=eager, callbacks=[LambdaCallback(on_batch_end=look)])
    trainer.scaler.update(2.0**40)
    history = trainer.fit((task.x, task.y), 4, batch_size=10)
    scales = [scale for scale, _ in seen]
    skipped = sum(history["skipped"])
    assert 10 < skipped < 40
    assert scales[:skipped] == [2.0 ** (39 - i) for i in range(skipped)] and len(set(scales[skipped:])) == 1
    assert_same_bits(seen[skipped - 1][1], before)
    assert history["loss"][-1] < history["loss"][0]
    record_property("tried", skipped)


def test_a_resumed_run_has_the_bits_of_one_that_was_not(task, tmp_path):
    def run(name, epochs, resume=False):
        trainer = make_trainer(make_network(), seed=1, precision="fp16", run_dir=tmp_path / name)
        trainer.scaler.update(2.0**30)
        trainer.fit((task.x, task.y), epochs, batch_size=10, resume=resume)
        return weights(trainer.model), trainer.scaler.state_dict()

    whole, state = run("whole", 3)
    run("parts", 1)
    parts, state_of_parts = run("parts", 3, resume=True)
    assert_same_bits(parts, whole)
    assert state_of_parts == state


def test_what_no_scale_helps(task):
    x = task.x.copy()
    x[5] = np.inf
    with pytest.raises(TrainingError, match="the loss became nan"):
        make_trainer(make_network(), precision="fp16", seed=1).fit((x, task.y), 1, batch_size=10)

    class Root(nn.Module):
        def forward(self, z):
            return (z * 0).abs().sqrt() + z  # whose gradient is 0 times infinity

    model = nn.Sequential(nn.Linear(FEATURES, CLASSES), Root())
    with pytest.raises(TrainingError, match="infinite or NaN in fp16 even where they are not scaled"):
        make_trainer(model, precision="fp16", seed=1).fit((task.x, task.y), 9, batch_size=10)


def test_there_is_no_such_precision():
    with pytest.raises(ValueError, match="precision is 'half'; expected one of 'fp32', 'tf32', 'bf16', 'fp16'"):
        make_trainer(precision="half")
