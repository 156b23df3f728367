"""Recurrent layers against PyTorch's: outputs, states and gradients, padded, packed and without a batch."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.kernel.family import Family
from gpunn.nn.utils import rnn
from gpunn.ops.recurrent import WIDEST, steps_apart

LAYERS = [
    "nn.RNN(3, 5)",
    "nn.RNN(3, 5, nonlinearity='relu', bias=False, batch_first=True)",
    "nn.LSTM(3, 5)",
    "nn.LSTM(3, 5, num_layers=2, bidirectional=True)",
    "nn.LSTM(3, 5, num_layers=2, batch_first=True, proj_size=2, bidirectional=True)",
    "nn.GRU(3, 5, num_layers=3)",
    "nn.GRU(3, 5, bias=False, bidirectional=True, batch_first=True)",
]
LENGTHS = [6, 2, 4, 4]


def pair(torch: Any, layer: str) -> tuple[Any, Any]:
    theirs = eval(layer, {"nn": torch.nn}).double()
    ours = eval(layer, {"nn": nn}).double()
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    return ours, theirs


def flat(result: Any) -> list[Any]:
    if isinstance(result, tuple) and not hasattr(result, "data"):
        return [x for part in result for x in flat(part)]
    return [result.data if hasattr(result, "batch_sizes") else result]


def compare(torch: Any, layer: str, arrays: list[np.ndarray], call: Any) -> None:
    """``call(library, module, *tensors)`` gives the same, and so do the gradients of inputs and weights."""
    found = []
    for library, module in zip((gpunn, torch), pair(torch, layer)):
        tensors = [library.tensor(a).requires_grad_() for a in arrays]
        results = flat(call(library, module, *tensors))
        rng = np.random.default_rng(9)
        sum((y * library.tensor(rng.standard_normal(tuple(y.shape)))).sum() for y in results).backward()
        gradients = [t.grad for t in tensors] + [p.grad for p in module.parameters()]
        found.append([y.detach().numpy() for y in results] + [g.numpy() for g in gradients])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def states(layer: str, batch: int | None) -> list[np.ndarray]:
    module = eval(layer, {"nn": nn})
    count = module.num_layers * (1 + module.bidirectional)
    sizes = [module.proj_size or 5, 5][: 2 if module.mode == "LSTM" else 1]
    rng = np.random.default_rng(3)
    return [rng.standard_normal((count, *(() if batch is None else (batch,)), size)) for size in sizes]


def given(module: Any, x: Any, hx: tuple[Any, ...]) -> Any:
    return module(x) if not hx else module(x, hx if len(hx) == 2 else hx[0])


@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_padded(torch: Any, layer: str, with_states: bool) -> None:
    x = np.random.default_rng(0).standard_normal((4, 6, 3) if "batch_first" in layer else (6, 4, 3))
    hx = states(layer, 4) if with_states else []
    compare(torch, layer, [x, *hx], lambda library, module, x, *hx: given(module, x, hx))


@pytest.mark.parametrize("layer", LAYERS)
def test_without_a_batch(torch: Any, layer: str) -> None:
    x = np.random.default_rng(1).standard_normal((6, 3))
    compare(torch, layer, [x, *states(layer, None)], lambda library, module, x, *hx: given(module, x, hx))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("ordered", [True, False])
def test_packed(torch: Any, layer: str, ordered: bool) -> None:
    lengths = sorted(LENGTHS, reverse=True) if ordered else LENGTHS
    x = np.random.default_rng(2).standard_normal((6, 4, 3))

    def call(library: Any, module: Any, x: Any, *hx: Any) -> Any:
        utils = library.nn.utils.rnn
        packed = utils.pack_padded_sequence(x, library.tensor(lengths), enforce_sorted=ordered)
        output, ends = given(module, packed, hx)
        return (utils.pad_packed_sequence(output)[0], *(ends if isinstance(ends, tuple) else (ends,)))

    compare(torch, layer, [x, *states(layer, 4)], call)


@pytest.mark.parametrize("cell", ["RNNCell(3, 5)", "RNNCell(3, 5, nonlinearity='relu')", "LSTMCell(3, 5)"])
@pytest.mark.parametrize("shape", [(4, 3), (3,)])
def test_cells(torch: Any, cell: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(4).standard_normal(shape)
    hx = [np.random.default_rng(5 + i).standard_normal((*shape[:-1], 5)) for i in range(1 + ("LSTM" in cell))]
    compare(torch, f"nn.{cell}", [x, *hx], lambda library, module, x, *hx: given(module, x, hx))
    compare(torch, f"nn.{cell}", [x], lambda library, module, x: given(module, x, ()))
    for other in ("nn.GRUCell(3, 5)", "nn.GRUCell(3, 5, bias=False)"):
        compare(torch, other, [x, hx[0]], lambda library, module, x, h: module(x, h))


def test_by_hand() -> None:
    """A GRU and an LSTM of one number, as their papers have them."""
    s = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    gru, lstm = nn.GRUCell(1, 1, bias=False).double(), nn.LSTMCell(1, 1, bias=False).double()
    for cell, gates in ((gru, 3), (lstm, 4)):
        with gpunn.no_grad():
            cell.weight_ih.copy_(gpunn.arange(1.0, gates + 1).reshape(gates, 1) / 4)
            cell.weight_hh.copy_(-gpunn.arange(1.0, gates + 1).reshape(gates, 1) / 8)
    x, h, c = 0.7, -0.3, 0.2
    tensors = [gpunn.tensor([v], dtype=gpunn.float64) for v in (x, h, c)]
    z, n = s(x / 2 - h / 4), np.tanh(3 * x / 4 - s(x / 4 - h / 8) * 3 * h / 8)
    assert gru(tensors[0], tensors[1]).item() == pytest.approx((1 - z) * n + z * h, rel=1e-12)
    cell_state = s(x / 2 - h / 4) * c + s(x / 4 - h / 8) * np.tanh(3 * x / 4 - 3 * h / 8)
    new, kept = lstm(tensors[0], (tensors[1], tensors[2]))
    assert kept.item() == pytest.approx(cell_state, rel=1e-12)
    assert new.item() == pytest.approx(s(x - h / 2) * np.tanh(cell_state), rel=1e-12)


def test_packing(torch: Any) -> None:
    sequences = [np.random.default_rng(i).standard_normal((n, 2)) for i, n in enumerate(LENGTHS)]
    found = []
    for library in (gpunn, torch):
        utils = library.nn.utils.rnn
        given = [library.tensor(s) for s in sequences]
        packed = utils.pack_sequence(given, enforce_sorted=False)
        padded, lengths = utils.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=8)
        left = utils.pad_sequence(given, padding_side="left", padding_value=2.0)
        found.append([*packed, padded, lengths, left, *utils.unpack_sequence(packed)])
    for ours, theirs in zip(*found):
        assert np.array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(RuntimeError, match="longest first"):
        rnn.pack_padded_sequence(gpunn.zeros(6, 4, 2), LENGTHS)
    with pytest.raises(RuntimeError, match="from 1 to 6"):
        rnn.pack_padded_sequence(gpunn.zeros(6, 2, 2), [7, 1])


def test_bad_arguments() -> None:
    for options, words in (
        ({"hidden_size": 0}, "greater than zero"),
        ({"num_layers": 0}, "greater than zero"),
        ({"dropout": 2.0}, r"range \[0, 1\]"),
        ({"proj_size": 5}, "smaller than hidden_size"),
    ):
        with pytest.raises(ValueError, match=words):
            nn.LSTM(**{"input_size": 3, "hidden_size": 5, **options})
    with pytest.raises(ValueError, match="for an LSTM"):
        nn.GRU(3, 5, proj_size=2)
    with pytest.raises(RuntimeError, match="Expected 3, got 4"):
        nn.GRU(3, 5)(gpunn.zeros(2, 1, 4))
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 1, 5\), got \(1, 2, 5\)"):
        nn.GRU(3, 5)(gpunn.zeros(2, 1, 3), gpunn.zeros(1, 2, 5))
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.RNN(3, 5, dropout=0.5)


def test_a_training_in_plans() -> None:
    """The planned steps of an LSTM have the eager steps' bits."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 5, num_layers=2, dropout=0.2, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    weights = []
    for planned in (False, True):
        gpunn.manual_seed(0)
        model = Last()
        optimizer = gpunn.optim.SGD(model.parameters(), lr=0.1)
        step = gpunn.TrainStep(model, nn.MSELoss(), optimizer, fuse=False)
        x, y = gpunn.randn(4, 6, 3), gpunn.randn(4, 2)
        for _ in range(3):
            if planned:
                step(x, y)
            else:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x), y).backward()
                optimizer.step()
        weights.append([p.detach().numpy().tobytes() for p in model.parameters()])
    assert weights[0] == weights[1]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_all_steps_at_once_are_steps_one_by_one(layer: str, device: str) -> None:
    gpunn.manual_seed(0)
    module = getattr(nn, layer)(3, 5, bidirectional=True, device=device, dtype=gpunn.float64)
    x = gpunn.randn(4, 6, 3, device=device, dtype=gpunn.float64, requires_grad=True)
    found = []
    for how in (nullcontext, steps_apart):
        with how():
            y, last = module(x)
        loss = (y**2).sum() + sum((s * 3).sin().sum() for s in (last if layer == "LSTM" else [last]))
        gradients = gpunn.autograd.grad(loss, [x, *module.parameters()])
        found.append([y.detach().cpu().numpy(), *(g.cpu().numpy() for g in gradients)])
    for at_once, one_by_one in zip(*found):
        np.testing.assert_allclose(at_once, one_by_one, rtol=1e-11, atol=1e-13)


def test_all_steps_are_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    launch = Family.launch

    def noted(self: Any, text: str, name: str, *args: Any, **kwargs: Any) -> None:
        names.append(name)
        launch(self, text, name, *args, **kwargs)

    monkeypatch.setattr(Family, "launch", noted)
    for size, count in ((8, 1), (WIDEST + 1, 0)):
        names.clear()
        nn.LSTM(3, size, device="sim")(gpunn.randn(2, 1, 3, device="sim"))
        assert names.count("recurrent_forward_lstm") == count


def test_a_plan_gives_the_bits_of_the_eager_step() -> None:
    losses = []
    x, target = gpunn.randn(5, 4, 3), gpunn.randn(5, 4, 6)
    for planned in (False, True):
        gpunn.manual_seed(0)
        module = nn.LSTM(3, 6, num_layers=2)
        optimizer = gpunn.optim.SGD(module.parameters(), lr=0.1)

        def loss_fn(result: Any, target: Any) -> Any:
            return nn.functional.mse_loss(result[0], target)

        step = gpunn.TrainStep(module, loss_fn, optimizer, fuse=False) if planned else None
        for _ in range(3):
            if step is not None:
                losses.append(step(x, target).item())
                continue
            loss = loss_fn(module(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:3] == losses[3:] and losses[0] > losses[2]


def test_a_sequence_without_steps() -> None:
    with pytest.raises(RuntimeError, match="LSTM: Expected sequence length to be larger than 0"):
        nn.LSTM(3, 4)(gpunn.zeros(0, 2, 3))


@pytest.mark.parametrize("layer", ["nn.LSTM(2, 3)", "nn.GRU(2, 3)", "nn.RNN(2, 3)"])
def test_third_derivatives_are_those_of_elementary_ops(layer: str) -> None:
    rng = np.random.default_rng(4)
    module = eval(layer, {"nn": nn}).double()
    for p in module.parameters():
        p.data = gpunn.tensor(rng.standard_normal(p.shape))
    weights = [gpunn.tensor(rng.standard_normal((3, 1, 2))) for _ in range(2)]
    found = []
    for how in (nullcontext, steps_apart):
        with how():
            x = gpunn.tensor(np.linspace(-1, 1, 6).reshape(3, 1, 2), requires_grad=True)
            y = module(x)[0].square().sum()
            for w in weights:
                (slope,) = gpunn.autograd.grad(y, x, create_graph=True)
                y = (slope * w).sum()
            found.append(gpunn.autograd.grad(y, x)[0].numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8, atol=1e-10)
