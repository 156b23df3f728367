"""Changes in place of views of recorded tensors: values, gradients and errors are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim

W = np.arange(1.0, 13).reshape(3, 4) / 3


def row(t, w):
    x = w * 2
    x[0].add_(1)
    return x


def row_by_its_own_values(t, w):
    x = w * 2
    v = x[1]
    v.mul_(v.clone())
    return x * v


def column_then_whole(t, w):
    x = w * 2
    c = x[:, 1]
    c.mul_(w[:, 0])
    x.mul_(x.clone())
    return x + c.sum()


def sibling_views(t, w):
    x = w * 2
    a, b, c = x[0], x[:, 1:3], x.t()
    a.mul_(w[2])
    b.mul_(3)
    return a.sum() + (b * b).sum() + c


def view_of_a_view(t, w):
    x = w * 1
    v = x.view(2, 6)[1][2:5]
    v.mul_(w.sum())
    return x * x


def transposed(t, w):
    x = w * 1
    x.t()[1].mul_(w[:, 0])
    x.permute(1, 0).add_(w.t())
    return x * x


def diagonal(t, w):
    x = w * 1
    x.diagonal(1).mul_(5).add_(w[:, 0])
    return x * w


def steps(t, w):
    x = w * 1
    x[::2, 1::2].mul_(x[::2, 0::2].clone())
    return x


def buffer_of_rows(t, w):
    x = t.zeros(3, 4, dtype=w.dtype)
    for i in range(3):
        x[i].copy_(w[i] * (i + 1))
    x[1].mul_(x[0].clone())
    return x


def buffer_with_views_before(t, w):
    x = t.ones(3, 4, dtype=w.dtype)
    a, b = x[0], x.view(-1)
    a.mul_(w[1])
    return x.sum() + (a * a).sum() + b[:6].sum()


def written_by_index(t, w):
    x = w * 2
    v = x[1:]
    v[0, 1:3] = w[0, :2] * 5
    v[v > 5] = 1.0
    return x * w


def zero_and_fill(t, w):
    x = w * 2
    x[0].zero_()
    x[1, 2].fill_(3)
    x[2].copy_(w[0])
    return x * w


def base_then_view(t, w):
    x = w * 2
    v = x[0]
    x.mul_(w)
    return v * w[1] + x


def detached_is_the_memory(t, w):
    x = w * 2
    d = x.detach()
    x[0].add_(1)
    return x + d


def squeezed_in_place(t, w):
    x = (w * 2).unsqueeze(0)
    v = x[0, 0]
    x.squeeze_()
    x.mul_(w)
    v.add_(1)
    x.t_().unsqueeze_(1)
    return x.transpose_(0, 2)[0] + v


def of_one_element(t, w):
    x = w * 2
    x[1, 1].mul_(w[0, 0])
    return x


def as_a_copy(t, w):
    x = w * 2
    x.t().reshape(-1).mul_(7)  # a copy: x stays
    return x


def twice(t, w):
    x = w * 1
    y = x.view(-1)
    for i in range(3):
        y[i : i + 4].mul_(y[i + 4 : i + 8].clone())
    return y * x.view(-1)


PROGRAMS = [
    *(row, row_by_its_own_values, column_then_whole, sibling_views, view_of_a_view, transposed, diagonal, steps),
    *(buffer_of_rows, buffer_with_views_before, written_by_index, zero_and_fill, base_then_view, of_one_element),
    *(detached_is_the_memory, squeezed_in_place, as_a_copy, twice),
]


def outcome(library, program, tensor):
    w = tensor(W).requires_grad_()
    y = program(library, w)
    weights = tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)))
    (y * weights).sum().backward()
    return y.detach(), w.grad


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_as_torch(torch, program, device="cpu"):
    gpunn.set_default_device(device)
    try:
        found = outcome(gpunn, program, lambda a: gpunn.tensor(a, device=device))
    finally:
        gpunn.set_default_device("cpu")
    for ours, theirs in zip(found, outcome(torch, program, torch.tensor)):
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("program", [sibling_views, diagonal, written_by_index])
def test_on_the_simulator(torch, program):
    test_as_torch(torch, program, "sim")


def of_a_leaf(t, w):
    w[0].add_(1)


def under_no_grad(t, w):
    x = w * 2
    with t.no_grad():
        v = x[0]
    v.mul_(3)


def of_several(t, w):
    x = w * 2
    x.unbind(0)[1].mul_(2)


def repeated(t, w):
    x = w[:1] * 2
    x.expand(3, 4).mul_(2)


def saved_before(t, w):
    x = w * 2
    y = (x * x).sum()
    x[0].add_(1)
    y.backward()


def saved_view(t, w):
    x = w * 2
    y = (x[1] * x[1]).sum()
    x[0].add_(1)
    y.backward()


@pytest.mark.parametrize("program", [of_a_leaf, under_no_grad, of_several, repeated, saved_before, saved_view])
def test_errors_as_in_torch(torch, program):
    for library in (torch, gpunn):
        w = library.tensor(W, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"in-?place|single memory"):
            program(library, w)


class Recurrent(nn.Module):
    """Writes its results into rows of a buffer, as programs for PyTorch do."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x):
        out = gpunn.zeros(x.shape, dtype=x.dtype)
        h = x[:, 0]
        for i in range(x.shape[1]):
            h = self.cell(h).tanh()
            out[:, i].copy_(h)
        out[:, 0].mul_(2)
        return out.sum((1, 2)).unsqueeze(1)


def test_in_a_plan():
    losses = []
    for planned in (False, True):
        gpunn.manual_seed(0)
        model = Recurrent()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        step = gpunn.TrainStep(model, nn.MSELoss(), optimizer, fuse=False)
        x, y = gpunn.rand(5, 3, 4), gpunn.rand(5, 1)
        found = []
        for _ in range(3):
            if planned:
                found.append(step(x, y).item())
            else:
                loss = nn.functional.mse_loss(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                found.append(loss.item())
        assert not planned or step.plan is not None
        losses.append(found)
    assert losses[0] == losses[1]


def test_views_that_are_gone_are_forgotten():
    x = gpunn.zeros(4)
    kept = [x[i] for i in range(3)]
    for _ in range(1000):
        x[1:]
    assert len(x._version) <= 64 and len(kept) == 3
    kept[1].add_(gpunn.ones(1, requires_grad=True)[0])
    assert x.tolist() == [0, 1, 0, 0] and x.requires_grad and kept[0].requires_grad


def test_a_detached_tensor_with_a_history_of_its_own_keeps_its_memory(torch):
    found = []
    for library in (torch, gpunn):
        w = library.tensor([1.0, 2.0], requires_grad=True)
        x = w * 3
        detached = x.detach()
        detached[0] = w[1]
        part = detached[1:]
        x.mul_(w.sum())
        part.add_(w[0])
        y = (x * 2 + detached * library.tensor([5.0, 7.0])).sum()
        found.append([x.tolist(), detached.tolist(), part.tolist(), library.autograd.grad(y, w)[0].tolist()])
    assert found[0] == found[1]
