"""Optimizer updates over kernels, and training with them."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

import gpunn
from gpunn import nn, optim
from gpunn.backend import numpy as numpy_backend

from .harness import FAST, MODES, assert_rounded_once, close, in_float32, simulator

RNG = np.random.default_rng(0)
COMMON = {"weight_decay": 0.1, "maximize": False}
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "nesterov": False, "first": False, **COMMON}
RMSPROP = {"lr": 0.1, "alpha": 0.9, "eps": 1e-6, "momentum": 0.0, **COMMON}
ADAM = {"step": 3, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "decoupled": False, **COMMON}
BETAS = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-6}
NADAM = {"gradient_rate": 0.02, "moment_rate": 0.1, "correction": 0.3, "shrink": 1.0}
RPROP = {"minus": 0.5, "plus": 1.25, "smallest": 0.3, "largest": 0.5, "maximize": False}
# The primitive, which of its moments there are, and its options.
CALLS = {
    "sgd": ("sgd_step", "0", {**SGD, "momentum": 0.0, "dampening": 0.0}),
    "sgd-plain": ("sgd_step", "0", {**SGD, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0}),
    "momentum": ("sgd_step", "1", SGD),
    "momentum-first": ("sgd_step", "1", {**SGD, "first": True}),
    "nesterov": ("sgd_step", "1", {**SGD, "dampening": 0.0, "nesterov": True}),
    "sgd-maximize": ("sgd_step", "1", {**SGD, "maximize": True}),
    "adagrad": ("adagrad_step", "1", {"step": 3, "lr": 0.1, "lr_decay": 0.1, "eps": 1e-6, **COMMON}),
    "rmsprop": ("rmsprop_step", "100", RMSPROP),
    "rmsprop-centered": ("rmsprop_step", "111", {**RMSPROP, "momentum": 0.5}),
    "rmsprop-maximize": ("rmsprop_step", "101", {**RMSPROP, "momentum": 0.5, "maximize": True, "weight_decay": 0.0}),
    "adam": ("adam_step", "110", ADAM),
    "adam-maximize": ("adam_step", "110", {**ADAM, "maximize": True, "weight_decay": 0.0}),
    "amsgrad": ("adam_step", "111", ADAM),
    "adamw": ("adam_step", "110", {**ADAM, "decoupled": True}),
    "adadelta": ("adadelta_step", "11", {"lr": 0.5, "rho": 0.9, "eps": 1e-4, **COMMON}),
    "adamax": ("adamax_step", "11", {**BETAS, "rate": 0.1, **COMMON}),
    "nadam": ("nadam_step", "11", {**BETAS, **NADAM, **COMMON}),
    "nadam-shrink": ("nadam_step", "11", {**BETAS, **NADAM, "shrink": 0.98, "weight_decay": 0.0, "maximize": True}),
    "radam": ("radam_step", "11", {**BETAS, "rate": 0.1, "rectified": 1.0, "shrink": 1.0, **COMMON}),
    "radam-early": ("radam_step", "11", {**BETAS, "rate": 0.1, "rectified": 0.0, "shrink": 0.98, **COMMON}),
    "asgd": ("asgd_step", "1", {"eta": 0.1, "shrink": 0.99, "mu": 1.0, **COMMON}),
    "asgd-average": ("asgd_step", "1", {"eta": 0.1, "shrink": 0.99, "mu": 0.25, **COMMON}),
    "rprop": ("rprop_step", "11", RPROP),
    "rprop-maximize": ("rprop_step", "11", {**RPROP, "maximize": True}),
    "lion": ("lion_step", "1", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "shrink": 1.0, "maximize": False}),
    "lion-shrink": ("lion_step", "1", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "shrink": 0.98, "maximize": True}),
}

every_call = pytest.mark.parametrize("call", CALLS)


def inputs(call, n, dtype="float32"):
    """p, g and moments; RMSprop's v - average^2 stays above 0. Some gradients are 0."""
    name, moments, options = CALLS[call]
    state = [low + RNG.random(n) / 2 if there == "1" else None for low, there in zip((1.0, 0.2, 0.0), moments)]
    arrays = [RNG.standard_normal(n), RNG.standard_normal(n) * (np.arange(n) % 5 > 0), *state]
    return name, [None if a is None else a.astype(dtype) for a in arrays], options


def check(call, n, dtype="float32", modes=MODES):
    """As NumPy's, in every mode the same bits: into new arrays, into others, and in place."""
    name, arrays, options = inputs(call, n, dtype)
    expected = [e for e in getattr(numpy_backend, name)(*arrays, **options) if e is not None]
    wide = [e for e in getattr(numpy_backend, name)(*map(in_float32, arrays), **options) if e is not None]
    bits = set()
    for mode in modes:
        step = getattr(simulator(*mode), name)
        copies = [None if a is None else a.copy() for a in arrays]
        results = step(*copies, **options)
        assert [r is None for r in results] == [a is None for a in (arrays[0], *arrays[2:])]
        results = [r for r in results if r is not None]
        close(results, expected, None, None, False, f"{call} {mode}")
        assert_rounded_once(results, wide, f"{call} {mode}")
        assert all(a is None or a.tobytes() == c.tobytes() for a, c in zip(arrays, copies))

        others = [None if a is None else np.full_like(a, 7) for a in (arrays[0], *arrays[2:])]
        step(*copies, **options, out=tuple(others))
        places = (copies[0], *copies[2:])
        step(*copies, **options, out=places)
        for found in (results, others, places):
            bits.add(b"".join(f.tobytes() for f in found if f is not None))
    assert len(bits) == 1


@every_call
@pytest.mark.parametrize("n", [0, 1, 300, 1027])
def test_against_numpy(call, n):
    check(call, n)


@every_call
@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(call, dtype):
    check(call, 303, dtype, modes=FAST)


@every_call
def test_nothing_is_updated_after_an_error(call):
    backend = simulator("fast", "forward")
    name, arrays, options = inputs(call, 9)
    before = [None if a is None else a.copy() for a in arrays]

    def complain(value, place):
        raise IndexError(value, place)

    backend.refuse_indices(np.array([0, 9]), 0, 5, complain)
    getattr(backend, name)(*arrays, **options, out=(arrays[0], *arrays[2:]))
    with pytest.raises(IndexError, match="9, 1"):
        backend.look()
    for a, b in zip(arrays, before):
        np.testing.assert_array_equal(a, b)


def test_misaligned():
    """Pieces of arenas may start anywhere."""
    arena, gradient = np.zeros(300, "float32"), np.ones(299, "float32")
    simulator("fast", "forward").sgd_step(arena[1:], gradient, None, **CALLS["sgd-plain"][2], out=(arena[1:], None))
    assert arena[0] == 0 and np.all(arena[1:] == np.float32(-0.1))


def test_what_is_not_a_number_stays_so():
    """As in NumPy: maxima do not hide it."""
    for call in ("rmsprop-centered", "amsgrad", "adamax", "rprop", "lion"):
        name, arrays, options = inputs(call, 8)
        arrays[1][3] = np.nan
        for p in (getattr(b, name)(*arrays, **options)[0] for b in (numpy_backend, simulator("fast", "forward"))):
            assert np.isnan(p[3]) and np.isfinite(p).sum() == 7


def test_by_hand():
    """The first step of Adam has the size lr, whatever the gradient."""
    zeros = np.zeros(2)
    p, m, v, _ = simulator("fast", "forward").adam_step(
        zeros, np.array([0.5, -8.0]), zeros, zeros, None, 1, 0.1, 0.9, 0.99, 0.0, 0.0, False, False
    )
    np.testing.assert_allclose(p, [-0.1, 0.1], rtol=1e-12)
    np.testing.assert_allclose(m, [0.05, -0.8], rtol=1e-12)
    np.testing.assert_allclose(v, [0.0025, 0.64], rtol=1e-12)


def test_pieces_of_an_arena():
    backend = simulator("fast", "forward")
    arena = np.arange(20.0)
    a, b = arena[2:8].reshape(2, 3), arena[8:12]
    assert backend.distance(a, b) == 6 and backend.distance(b, a) == -6
    assert backend.distance(arena, a) is None and backend.distance(a, np.arange(3.0)) is None
    assert backend.distance(a, arena[8:16:2]) is None and backend.distance(a[:, :2], b) is None
    assert backend.extend(a, 10).tolist() == list(range(2, 12))


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.1),
    "Nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_agree(name):
    """A small network in float64 is the same on both devices after 20 steps."""
    x, y = RNG.standard_normal((12, 6)), RNG.standard_normal((12, 3))
    trained = {}
    for device in ("cpu", "sim"):
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double().to(device)
        optimizer = OPTIMIZERS[name](model.parameters())
        inputs, targets = gpunn.tensor(x, device=device), gpunn.tensor(y, device=device)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        trained[device] = [p.detach().cpu().numpy() for p in model.parameters()]
    for on_cpu, on_sim in zip(trained["cpu"], trained["sim"]):
        np.testing.assert_allclose(on_sim, on_cpu, rtol=1e-12, atol=1e-12)
