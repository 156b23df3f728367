"""Recomputation: the values, gradients and random numbers of the plain call, for less memory."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


class Segmented(nn.Module):
    """A chain of blocks, computed in segments where there are some."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        gpunn.manual_seed(3)
        blocks = [(nn.Linear(24, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3)) for _ in range(5)]
        self.chain = nn.Sequential(*[layer for block in blocks for layer in block], nn.Linear(24, 4))
        self.segments = segments

    def forward(self, x: Any) -> Any:
        return checkpoint_sequential(self.chain, self.segments, x) if self.segments else self.chain(x)


def trained(segments: int, planned: bool | None = None) -> list[np.ndarray]:
    """Losses and all state after three steps; `planned` says whether ops are fused, None is op by op."""
    model = Segmented(segments)
    x, y = gpunn.randn(8, 24), gpunn.randint(4, (8,))
    optimizer, loss_fn = gpunn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), nn.CrossEntropyLoss()
    step = None if planned is None else gpunn.TrainStep(model, loss_fn, optimizer, fuse=planned)
    losses = []
    for _ in range(3):
        if step is not None:
            losses.append(step(x, y).numpy())
            continue
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().numpy())
    return [*losses, *(t.numpy() for t in model.state_dict().values())]


@pytest.mark.parametrize("planned", [None, False, True], ids=["eager", "planned", "fused"])
@pytest.mark.parametrize("segments", [2, 5])
def test_a_training_has_the_same_bits(segments: int, planned: bool | None) -> None:
    for plain, again in zip(trained(0, planned), trained(segments, planned), strict=True):
        np.testing.assert_array_equal(plain, again)


def test_the_forecast_by_hand() -> None:
    """4 blocks of x -> sigmoid(x W^T), 64 x 1024 in float32 each: of two halves the first one keeps its input only."""

    def step(segments: int) -> Any:
        with gpunn.device("meta"):
            layers = [m for _ in range(4) for m in (nn.Linear(1024, 1024, bias=False), nn.Sigmoid())]
            model = nn.Sequential(*layers)
            model.forward = lambda x: checkpoint_sequential(layers, segments, x)
            made = gpunn.TrainStep(model, lambda y, _: y.sum(), gpunn.optim.SGD(model.parameters()), fuse=False)
            return made.forecast(gpunn.zeros(64, 1024), gpunn.zeros(1))

    value = 64 * 1024 * 4
    plain, halves = step(1), step(2)
    # At the peak, the last layer's weight gradient: all four results, and dz. Recomputing, the first half's results go.
    assert plain.arena - plain.gradients - (halves.arena - halves.gradients) == value
    assert plain.parameters == halves.parameters == 4 * 1024 * 1024 * 4


def gradients(framework: Any, way: Any) -> list[np.ndarray]:
    """First and second derivatives of a network with a shared weight, in float64."""
    rng = np.random.default_rng(0)
    x, w, v = (framework.tensor(rng.standard_normal(s), requires_grad=True) for s in ((3, 4), (4, 4), (4, 4)))

    def block(h: Any, scale: Any) -> Any:
        return (h @ w).tanh() * scale + ((h * 0.1) @ w @ v).sigmoid()

    h = way(block, x, x.sum(1, keepdim=True))
    h = way(lambda h: way(block, h, 2.0) + way(block, h * h, 1.0), h)
    loss = (h * h).sum()
    first = framework.autograd.grad(loss, [x, w, v], create_graph=True)
    (first[0].square().sum() + (first[1] * first[2]).sum()).backward()
    return [t.detach().numpy() for t in (loss, *first, x.grad, w.grad, v.grad)]


def test_second_derivatives_and_nested_calls_are_pytorchs(torch: ModuleType) -> None:
    ours = gradients(gpunn, checkpoint)
    plain = gradients(gpunn, lambda function, *args: function(*args))
    theirs = gradients(torch, lambda f, *args: torch.utils.checkpoint.checkpoint(f, *args, use_reentrant=False))
    for a, b, c in zip(ours, plain, theirs):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("reentrant", [False, True])
def test_dropout_and_leaves_as_in_pytorch(torch: ModuleType, reentrant: bool) -> None:
    """What the masks are differs; that forward and backward have the same one does not: dy/dx is y/x."""
    for framework, way in ((gpunn, checkpoint), (torch, torch.utils.checkpoint.checkpoint)):
        x = framework.ones(1000, requires_grad=True)
        y = way(lambda x, f=framework: f.nn.functional.dropout(x * 1.0, 0.5) * x, x, use_reentrant=reentrant)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), 2 * y.detach().numpy())
        assert 300 < np.count_nonzero(y.detach().numpy()) < 700


def test_random_numbers_that_are_not_preserved() -> None:
    drawn = []

    def function(x: Any) -> Any:
        drawn.append(gpunn.rand(3).tolist())
        return (x * x).exp()

    x = gpunn.ones(3, requires_grad=True)
    checkpoint(function, x).sum().backward()
    checkpoint(function, x, preserve_rng_state=False).sum().backward()
    assert drawn[0] == drawn[1] and len({tuple(d) for d in drawn[1:]}) == 3
    gpunn.rand(3)  # the count goes on from where the forward left it


class Square(gpunn.autograd.Function):
    """x^2, which keeps x, its result and an attribute."""

    calls = 0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        Square.calls += 1
        y = x * x
        ctx.save_for_backward(x, y)
        ctx.two = gpunn.full((), 2.0, dtype=x.dtype)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, y = ctx.saved_tensors
        return dy * x * ctx.two + 0 * y


def test_functions_of_ones_own() -> None:
    x = gpunn.tensor([1.0, 2.0], dtype=gpunn.float64, requires_grad=True)
    Square.calls = 0
    y = checkpoint(lambda x: Square.apply(Square.apply(x * 1.0)), x)
    assert Square.calls == 2
    (g,) = gpunn.autograd.grad(y.sum(), x, create_graph=True)
    assert Square.calls == 4
    np.testing.assert_allclose(g.tolist(), [4.0, 32.0])  # 4 x^3
    np.testing.assert_allclose(gpunn.autograd.grad(g.sum(), x)[0].tolist(), [12.0, 48.0])  # 12 x^2


def test_what_is_kept() -> None:
    """Between forward and backward nothing of the inside is there; without gradients the function is called once."""
    from weakref import ref

    inside, calls = [], []

    def function(x: Any, *, scale: float) -> dict[str, Any]:
        calls.append(scale)
        h = x.exp()
        inside.append(ref(h))
        return {"y": [h * h * scale]}

    x = gpunn.ones(2, requires_grad=True)
    with gpunn.no_grad():
        checkpoint(function, x, scale=2.0)
    y = checkpoint(function, x, scale=3.0)["y"][0]
    assert [r() for r in inside] == [None, None] and calls == [2.0, 3.0]
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert calls == [2.0, 3.0, 3.0]
    np.testing.assert_allclose(x.grad.tolist(), [2 * 6 * np.e**2] * 2, rtol=1e-6)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        y.sum().backward()


def test_contexts_around_both_calls() -> None:
    entered = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            entered.append(self.name)

        def __exit__(self, *_: object) -> None:
            pass

    x = gpunn.ones(2, requires_grad=True)
    y = checkpoint(lambda x: x.exp(), x, context_fn=lambda: (Noted("forward"), Noted("again")))
    assert entered == ["forward"]
    y.sum().backward()
    assert entered == ["forward", "again"]


def test_errors() -> None:
    x = gpunn.ones(2, requires_grad=True)
    calls = iter((1, 2, 1, 2))
    y = checkpoint(lambda x: x.exp() if next(calls) == 1 else x.sin().exp(), x)
    with pytest.raises(CheckpointError, match=r"operation 1 of 1 was Exp float32\[2\], and is Sin float32\[2\]"):
        y.sum().backward()
    sizes = iter((2, 1, 2, 1))
    y = checkpoint(lambda x: x[: next(sizes)].exp(), x)
    with pytest.raises(CheckpointError, match=r"was Slice float32\[2\], and is Slice float32\[1\]"):
        y.sum().backward()
    checkpoint(lambda x: x[: next(sizes)].exp(), x, determinism_check="none").sum().backward()
    h = (x * 1.0).detach()
    y = checkpoint(lambda h: (h * x).exp(), h)
    h.add_(1)
    with pytest.raises(RuntimeError, match=r"tensor 0 of the arguments .* was modified by an inplace operation"):
        y.sum().backward()
    w = nn.Parameter(gpunn.ones(2))
    y = checkpoint(lambda x: x * w, x)
    with gpunn.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    with pytest.raises(ValueError, match="determinism_check is 'default' or 'none', got 'some'"):
        checkpoint(lambda x: x, x, determinism_check="some")
    with pytest.raises(ValueError, match="1 functions can't be cut into 2 segments"):
        checkpoint_sequential([nn.ReLU()], 2, x)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: segment"):
        checkpoint_sequential([nn.ReLU()], 1, x, segment=2)


def test_parts_of_a_batch_draw_what_the_whole_would() -> None:
    """Dropout in a checkpoint in a micro-batch: the backward, which comes after the part, has the same mask."""
    from gpunn.parts import Parts

    w = gpunn.ones(6, dtype=gpunn.float64, requires_grad=True)
    x = gpunn.tensor(np.arange(1.0, 25).reshape(4, 6))

    def function(x: Any) -> Any:
        return nn.functional.dropout(nn.functional.dropout(x * w, 0.5).exp(), 0.3)

    gradients = []
    for way in (function, lambda x: checkpoint(function, x)):
        gpunn.manual_seed(5)
        w.grad = None
        parts = Parts()
        for first in (0, 1):
            with parts.from_sample(2 * first, 2):
                y = way(x[2 * first : 2 * first + 2])
            y.sum().backward()
        gradients.append(w.grad.numpy())
        assert gpunn.get_rng_state()["calls"] == {"1": 2}
    np.testing.assert_array_equal(*gradients)


def test_kernels_in_a_captured_graph() -> None:
    """The same bits on the device sim, whose launches come from a graph."""
    weights, operations = [], []
    for segments in (0, 3):
        gpunn.manual_seed(0)
        layers = [m for _ in range(3) for m in (nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.5))]
        model = nn.Sequential(*layers).to("sim")
        if segments:
            model.forward = lambda x, layers=layers: checkpoint_sequential(layers, 3, x)
        step = gpunn.TrainStep(model, nn.MSELoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        for _ in range(2):
            step(gpunn.randn(4, 8, device="sim"), gpunn.randn(4, 8, device="sim"))
        assert step.plan.explain_capture().startswith("graph: ")
        operations.append(len(step.plan.graph.nodes))
        weights.append([p.detach().cpu().numpy() for p in model.parameters()])
    assert operations[1] > operations[0]
    for a, b in zip(*weights):
        np.testing.assert_array_equal(a, b)
