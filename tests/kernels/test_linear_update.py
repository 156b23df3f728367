"""Updates of a weight in the product that makes its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel import linear_update
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.products import computing_in
from gpunn.backend.recording import Recorder
from gpunn.backend.weight_gradient import WeightGradient

from .harness import FAST, MODES, bits_of, close, simulator
from .test_optimizer import CALLS

RNG = np.random.default_rng(0)
PLAIN = ["sgd-plain", "momentum", "momentum-first", "nesterov", "sgd-maximize"]
EVERY = [*PLAIN, "adam", "adam-maximize", "amsgrad", "adamw"]
SHAPES = [(5, 7, 9), (1, 1, 1), (40, 36, 72), (33, 132, 130), (20, 64, 128)]
"""Rows, inputs, outputs; edges in each, and where quads can't be moved."""
each_size = pytest.mark.parametrize("size", ["large", "medium"])


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tiles of a size only."""

    def choose(wanted: str) -> None:
        given = linear_update._fastest
        monkeypatch.setattr(linear_update, "_fastest", lambda tiles, *sizes: given({wanted: tiles[wanted]}, *sizes))

    return choose


def given(sizes: tuple[int, int, int], dtype: Any = "float32", of_factors: Any = None) -> tuple[Any, ...]:
    rows, inputs, outputs = sizes
    dz, x = (RNG.standard_normal((rows, n)).astype(of_factors or dtype) for n in (outputs, inputs))
    state = [(low + RNG.random((outputs, inputs)) / 2).astype(dtype) for low in (0.0, 1.0, 0.2, 0.1)]
    return dz, x, state


def updated(mode: tuple[str, str], call: str, gradient: Any, state: list[Any]) -> tuple[list[Any], list[str]]:
    """Parameters and moments after the update, in their place, and the names of the kernels."""
    name, moments, options = CALLS[call]
    backend, launched = simulator(*mode), []
    state = [state[0].copy(), *(a.copy() if there == "1" else None for a, there in zip(state[1:], moments))]
    launch, elements = backend.launch, backend.launch_elements
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "launch", lambda *a, **t: launched.append(a[1]) or launch(*a, **t))
        patch.setattr(backend, "launch_elements", lambda *a, **t: launched.append(a[1]) or elements(*a, **t))
        results = getattr(backend, name)(state[0], gradient, *state[1:], **options, out=tuple(state))
    assert all(r is s for r, s in zip(results, state))
    return [s for s in state if s is not None], launched


def by_numpy(call: str, dz: Any, x: Any, state: list[Any]) -> list[Any]:
    """The same in float64: the update of the sums of products."""
    name, moments, options = CALLS[call]
    arrays = [state[0], *(a if there == "1" else None for a, there in zip(state[1:], moments))]
    wide = [None if a is None else a.astype(np.float64).ravel() for a in arrays]
    gradient = np.einsum("ro,ri->oi", dz.astype(np.float64), x.astype(np.float64)).ravel()
    found = getattr(numpy_backend, name)(wide[0], gradient, *wide[1:], **options)
    return [a.astype(state[0].dtype).reshape(state[0].shape) for a in found if a is not None]


@each_size
@pytest.mark.parametrize("sizes", SHAPES)
def test_any_shape(sizes: Any, size: str, only: Any) -> None:
    only(size)
    dz, x, state = given(sizes)
    for call in ("momentum", "amsgrad"):
        bits = set()
        for mode in MODES:
            found, launched = updated(mode, call, WeightGradient(dz, x), state)
            close(found, by_numpy(call, dz, x, state), 2e-5, 2e-5, False, f"{call} {mode}")
            assert launched == [f"linear_{CALLS[call][0]}_{size}"]
            bits.add(b"".join(map(bits_of, found)))
        assert len(bits) == 1


@pytest.mark.parametrize("call", EVERY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_update_has_the_bits_of_two_launches(call: str, dtype: str) -> None:
    dz, x, state = given((20, 36, 70), dtype)
    found, launched = updated(FAST[0], call, WeightGradient(dz, x), state)
    assert len(launched) == 1
    (gradient,) = simulator(*FAST[0]).linear_backward(dz, x, None, (False, True, False))
    apart, _ = updated(FAST[0], call, gradient, state)
    assert list(map(bits_of, found)) == list(map(bits_of, apart))
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    close(found, by_numpy(call, dz, x, state), tolerance, tolerance, False, call)


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("factors", ["float16", "bfloat16", "tf32"])
@pytest.mark.parametrize("sizes", SHAPES)
def test_tensor_cores(sizes: Any, factors: str, size: str, only: Any) -> None:
    """The gradient is rounded to halves, as it would be in memory; that of floats is not."""
    only(size)
    tf32 = factors == "tf32"
    dz, x, state = given(sizes, of_factors={"tf32": "float32", "bfloat16": bfloat16}.get(factors, factors))
    with computing_in("high" if tf32 else "highest"):
        for call in ("nesterov", "amsgrad"):
            bits = set()
            checked = factors == "float16" and sizes in (SHAPES[0], SHAPES[2])  # other products are checked elsewhere
            for mode in MODES if checked else FAST:
                found, launched = updated(mode, call, WeightGradient(dz, x), state)
                assert launched == [f"linear_{CALLS[call][0]}_tensor_{size}"]
                bits.add(b"".join(map(bits_of, found)))
            assert len(bits) == 1
            (gradient,) = simulator(*FAST[0]).linear_backward(dz, x, None, (False, True, False))
            apart, _ = updated(FAST[0], call, gradient.astype("float32"), state)
            assert list(map(bits_of, found)) == list(map(bits_of, apart))


KERNELS = [("large", "float32"), ("medium", "float32"), ("large", "float16"), ("small", "float16")]


@pytest.mark.parametrize("call", ["nesterov", "amsgrad"])
@pytest.mark.parametrize(("size", "factors"), KERNELS)
def test_a_recorded_update(size: str, factors: str, call: str, only: Any) -> None:
    """It reads its numbers from memory, and does nothing after an error."""
    only(size)
    dz, x, state = given((20, 36, 70), of_factors=factors)
    expected, _ = updated(FAST[0], call, WeightGradient(dz, x), state)
    name, moments, options = CALLS[call]
    backend = simulator(*FAST[0])
    there = [state[0].copy(), *(a.copy() if m == "1" else None for a, m in zip(state[1:], moments))]
    indices = np.array([0, 4])

    def complain(value: Any, place: Any) -> None:
        raise IndexError(value, place)

    recorder = Recorder(backend, 16)
    with recorder.call() as launches:
        backend.refuse_indices(indices, 0, 5, complain)
        getattr(backend, name)(there[0], WeightGradient(dz, x), *there[1:], **options, out=tuple(there))
    recorder.numbers.send()
    assert [launch.name.startswith("linear_") for launch in launches] == [False, True]
    before = [a.copy() for a in there if a is not None]
    indices[1] = 9
    for launch in launches:
        launch.run()
    assert list(map(bits_of, (a for a in there if a is not None))) == list(map(bits_of, before))
    with pytest.raises(IndexError, match="9, 1"):
        recorder.errors.look()
    indices[1] = 4
    for launch in launches:
        launch.run()
    assert list(map(bits_of, (a for a in there if a is not None))) == list(map(bits_of, expected))


def test_rows_of_several_dimensions() -> None:
    dz, x, state = given((24, 12, 20))
    flat, _ = updated(FAST[0], "adam", WeightGradient(dz, x), state)
    deep = WeightGradient(dz.reshape(2, 3, 4, 20), x.reshape(2, 3, 4, 12))
    assert list(map(bits_of, updated(FAST[0], "adam", deep, state)[0])) == list(map(bits_of, flat))


def shifted(a: Any) -> Any:
    """In memory that begins one element behind where it could."""
    memory = np.zeros(a.size + 1, a.dtype)[1:].reshape(a.shape)
    memory[...] = a
    return memory


@pytest.mark.parametrize("factors", ["float32", "float16"])
@pytest.mark.parametrize("call", ["nesterov", "amsgrad"])
def test_memory_that_begins_anywhere(call: str, factors: str, only: Any) -> None:
    """Elements of each array one by one, where it can't be otherwise."""
    only("large")
    dz, x, state = given((20, 40, 72), of_factors=factors)
    whole, _ = updated(FAST[0], call, WeightGradient(dz, x), state)
    name, moments, options = CALLS[call]
    for which in range(3 + len(moments)):
        arrays = [a.copy() for a in (dz, x, *state[: 1 + len(moments)])]
        arrays[which] = shifted(arrays[which])
        dz_there, x_there, *own = arrays
        getattr(simulator(*MODES[-1]), name)(own[0], WeightGradient(dz_there, x_there), *own[1:], **options, out=own)
        assert list(map(bits_of, own)) == list(map(bits_of, whole)), which


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize("sizes", [(20, 40, 36), (20, 36, 40)])
def test_one_factor_with_lines_of_whole_chunks(sizes: Any, size: str, only: Any) -> None:
    only(size)
    dz, x, state = given(sizes, of_factors="float16")
    for call in ("nesterov", "amsgrad"):
        found, slow = (updated(mode, call, WeightGradient(dz, x), state)[0] for mode in (FAST[0], MODES[-1]))
        close(found, by_numpy(call, dz, x, state), 2e-3, 2e-3, False, call)
        assert list(map(bits_of, found)) == list(map(bits_of, slow))


def test_what_has_no_kernel_is_made_first() -> None:
    """Other updates, parameters in half precision, other rungs, factors that do not lie in lines."""
    dz, x, state = given((9, 10, 11))
    found, launched = updated(FAST[0], "rmsprop-centered", WeightGradient(dz, x), state)
    close(found, by_numpy("rmsprop-centered", dz, x, state), 2e-5, 2e-5, False, "rmsprop")
    assert launched[-1] == "rmsprop_step" and len(launched) > 1
    across = np.asfortranarray(dz)
    found, launched = updated(FAST[0], "adam", WeightGradient(across, x), state)
    close(found, by_numpy("adam", dz, x, state), 2e-5, 2e-5, False, "transposed")
    assert launched[-1] == "adam_step"
    for name in ("naive", "tensor"):
        with rung("linear_backward", "naive") if name == "naive" else computing_in("medium"):
            found, launched = updated(FAST[0], "adam", WeightGradient(dz, x), state)
        close(found, by_numpy("adam", dz, x, state), 2e-5 if name == "naive" else 0.5, 1.0, False, name)
        assert launched[-1] == "adam_step"
    halves = [a.astype(bfloat16) for a in state]
    _, launched = updated(FAST[0], "momentum", WeightGradient(dz.astype(bfloat16), x.astype(bfloat16)), halves)
    assert launched[-1] == "sgd_step"


@pytest.mark.parametrize("factors", ["float32", "float16"])
def test_a_nan_stays_where_it_belongs(factors: str) -> None:
    dz, x, state = given((40, 36, 72), of_factors=factors)
    dz[3, 70] = np.nan
    for call in ("momentum", "adam"):
        p = updated(FAST[0], call, WeightGradient(dz, x), state)[0][0]
        assert np.isnan(p[70]).all() and np.isfinite(np.delete(p, 70, 0)).all()
