"""The updates of the NumPy backend: pure or in place, in chunks of any size."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gpunn.backend.numpy as backend
from gpunn.backend.numpy import walk as module

COMMON = {"weight_decay": 0.1, "maximize": False}
CALLS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sgd": ("sgd_step", 0, {"lr": 0.1, "momentum": 0, "dampening": 0, "nesterov": False, "first": False, **COMMON}),
    "momentum": (
        "sgd_step",
        1,
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "nesterov": False, "first": False, **COMMON},
    ),
    "nesterov": (
        "sgd_step",
        1,
        {"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": True, "first": False, **COMMON},
    ),
    "adagrad": ("adagrad_step", 1, {"step": 3, "lr": 0.1, "lr_decay": 0.1, "eps": 1e-6, **COMMON}),
    "rmsprop": ("rmsprop_step", 3, {"lr": 0.1, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, **COMMON}),
    "adam": (
        "adam_step",
        3,
        {"step": 3, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "decoupled": False, **COMMON},
    ),
    "adamw": (
        "adam_step",
        2,
        {"step": 3, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "decoupled": True, **COMMON},
    ),
}
BETAS = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-6}
CALLS |= {
    "adadelta": ("adadelta_step", 2, {"lr": 0.5, "rho": 0.9, "eps": 1e-4, **COMMON}),
    "adamax": ("adamax_step", 2, {**BETAS, "rate": 0.1, **COMMON}),
    "nadam": (
        "nadam_step",
        2,
        {**BETAS, "gradient_rate": 0.02, "moment_rate": 0.1, "correction": 0.3, "shrink": 0.9, **COMMON},
    ),
    "radam": ("radam_step", 2, {**BETAS, "rate": 0.1, "rectified": 1.0, "shrink": 0.9, **COMMON}),
    "asgd": ("asgd_step", 1, {"eta": 0.1, "shrink": 0.99, "mu": 0.25, **COMMON}),
    "rprop": (
        "rprop_step",
        2,
        {"minus": 0.5, "plus": 1.25, "smallest": 0.3, "largest": 0.5, "maximize": True},
    ),
    "lion": ("lion_step", 1, {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "shrink": 0.9, "maximize": True}),
}
PLACES = {"sgd_step": 1, "adagrad_step": 1, "rmsprop_step": 3, "adam_step": 3}

both = pytest.mark.parametrize("call", CALLS)
types = pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])


def arrays(call: str, dtype: Any, n: int = 1000) -> tuple[Any, list[Any], dict[str, Any]]:
    name, moments, options = CALLS[call]
    rng = np.random.default_rng(0)
    p, g = rng.standard_normal(n), rng.standard_normal(n)
    state = [low + rng.random(n) / 2 for low in (1, 0.2, 0)[:moments]]  # RMSprop's v - average^2 stays above 0
    inputs = [a.astype(dtype) for a in (p, g, *state)] + [None] * (PLACES.get(name, moments) - moments)
    return getattr(backend, name), inputs, options


def same(a: Any, b: Any) -> bool:
    return (a is None and b is None) or (a.dtype == b.dtype and a.tobytes() == b.tobytes())


@both
@types
def test_pure_without_out(call: str, dtype: Any) -> None:
    step, inputs, options = arrays(call, dtype)
    copies = [None if a is None else a.copy() for a in inputs]
    results = step(*inputs, **options)
    assert all(same(a, b) for a, b in zip(inputs, copies))
    assert len(results) == len(inputs) - 1
    for result, x in zip(results, [inputs[0], *inputs[2:]]):
        assert (result is None) == (x is None)
        assert x is None or (result.dtype == x.dtype and result.shape == x.shape and not same(result, x))


@both
@types
def test_out_and_in_place(call: str, dtype: Any) -> None:
    step, inputs, options = arrays(call, dtype)
    expected = step(*inputs, **options)
    out = tuple(None if a is None else np.full_like(a, 7) for a in expected)
    assert step(*inputs, **options, out=out) is out
    assert all(same(a, b) for a, b in zip(out, expected))
    g = inputs[1].copy()
    step(*inputs, **options, out=(inputs[0], *inputs[2:]))
    assert all(same(a, b) for a, b in zip((inputs[0], *inputs[2:]), expected))
    assert same(inputs[1], g)


@both
@types
def test_chunks_do_not_show(call: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step, inputs, options = arrays(call, dtype)
    expected = step(*inputs, **options)
    for chunk in (1, 7, 333, 1000):
        monkeypatch.setattr(module, "CHUNK", chunk)
        assert all(same(a, b) for a, b in zip(step(*inputs, **options), expected))


@both
def test_more_than_one_chunk(call: str) -> None:
    """Each part of a long array is as if it stood alone."""
    n = 2 * module.CHUNK + 5
    step, inputs, options = arrays(call, np.float32, n)
    results = step(*inputs, **options)
    for part in (slice(0, 10), slice(module.CHUNK - 5, module.CHUNK + 5), slice(n - 10, n)):
        alone = step(*[None if a is None else a[part].copy() for a in inputs], **options)
        assert all(same(None if a is None else a[part].copy(), b) for a, b in zip(results, alone))


@both
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_float32_rounded_once(call: str, dtype: Any) -> None:
    step, inputs, options = arrays(call, dtype)
    wide = step(*[None if a is None else a.astype(np.float32) for a in inputs], **options)
    narrow = step(*inputs, **options)
    assert all(same(None if a is None else a.astype(dtype), b) for a, b in zip(wide, narrow))


@both
def test_nothing_to_do(call: str) -> None:
    step, inputs, options = arrays(call, np.float32, 0)
    assert all(a is None or a.shape == (0,) for a in step(*inputs, **options))


def test_first_step_of_momentum_does_not_read_the_buffer() -> None:
    step, inputs, options = arrays("momentum", np.float32)
    p, g, buf = inputs
    _, result = step(p, g, np.full_like(buf, np.nan), **{**options, "first": True, "weight_decay": 0})
    assert same(result, g)


def test_distance() -> None:
    flat = np.arange(100, dtype=np.float32)
    a, b = flat[8:20].reshape(3, 4), flat[32:40]
    assert backend.distance(a, b) == 24
    assert backend.extend(a, 32).tolist() == list(range(8, 40))
    assert backend.distance(a, np.arange(3, dtype=np.float32)) is None
    assert backend.distance(a, flat[40:48:2]) is None
    assert backend.distance(flat.reshape(10, 10)[:, 0], b) is None
    assert backend.distance(flat[8:20], flat.view(np.int32)[32:40]) is None


def test_distance_in_an_array_of_bytes() -> None:
    memory = np.zeros(400, np.uint8)
    flat = memory[8:].view(np.float32)
    flat[:] = np.arange(98)
    a, b = flat[4:8].reshape(2, 2), flat[20:24]
    assert backend.distance(a, b) == 16
    extended = backend.extend(a, 20)
    assert extended.dtype == np.float32 and extended.tolist() == list(range(4, 24))
    assert backend.distance(a, memory[10:18].view(np.float32)) is None
