"""A report of memory, against numbers worked out by hand."""

from __future__ import annotations

import gpunn
from gpunn import nn, optim

# float32 in whole cache lines of 64 bytes: W 128 x 64 (32,768), b 128 (512), W 10 x 128 (5,120) and b 10 (64) are
# 38,464 bytes, and so are the gradients and each of the two moments; the batch is 32 x 64 float32 and 32 int64. Most is
# there when the second layer's gradients are made: the hidden layer and its gradient, 32 x 128 each (16,384), the
# gradient of the scores, 32 x 10 (1,280), and the loss (64). Primitives compute in 2 MiB; the gradient of the loss in
# itself, 1, is kept.
MLP = """\
2.2 MiB at the peak of a step
  parameters   37.6 KiB
  batch         8.2 KiB
  optimizer    75.1 KiB
  gradients    37.6 KiB
  activations  33.3 KiB
  workspace     2.0 MiB
  constants        64 B

most is in use in 2: LinearBackward; the largest values there
  float32[128, 64] of 0                           32.0 KiB
  float32[32, 128] of 2                           16.0 KiB
  float32[32, 128] of 0                           16.0 KiB
  float32[10, 128] of 2                            5.0 KiB
  float32[32, 10] of SoftmaxCrossEntropyBackward   1.2 KiB

  layer  parameters  gradients  activations  in use after it
  0        32.5 KiB   32.5 KiB     16.0 KiB         16.0 KiB
  2         5.0 KiB    5.0 KiB     17.2 KiB         17.2 KiB
  loss                              1.5 KiB"""


def test_the_text() -> None:
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    x, y = gpunn.rand(32, 64), gpunn.randint(10, (32,))
    report = step.forecast(x, y)
    assert str(report) == MLP
    assert report.total == 4 * 38_464 + 32 * (64 * 4 + 8) + 2 * 16_384 + 1_280 + 64 + 2**21 + 64
    step(x, y)
    assert str(step.plan.memory()) == MLP


def test_parameters_that_move() -> None:
    """A step that needs less than a second copy of the parameters, which is there while they move."""
    model = nn.Linear(784, 1024)
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    report = step.forecast(gpunn.rand(1, 784), gpunn.tensor([3]))
    weights = 4 * (784 * 1024 + 1024)
    batch = 4 * 784 + 8
    assert report.parts == {"parameters": weights, "buffers": 0, "batch": batch, "parameters that move": weights}
    assert report.total == 2 * weights + batch
    assert str(report).splitlines()[:4] == [
        "6.1 MiB at the peak of a step",
        "  parameters            3.1 MiB",
        "  batch                 3.1 KiB",
        "  parameters that move  3.1 MiB",
    ]


def test_the_text_of_a_step_that_does_nothing() -> None:
    step = gpunn.plan.EvalStep(nn.Identity())
    step(gpunn.rand(3))
    assert str(step.plan.memory()) == "2.0 MiB at the peak of a step\n  batch         12 B\n  workspace  2.0 MiB"
