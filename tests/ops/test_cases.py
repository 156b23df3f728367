"""Every case of every op, on every device: forward, type and shape, gradient, second order, strides, `out`, purity,
against PyTorch."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.autograd import gradcheck, gradgradcheck
from gpunn.ops import OPS

from . import cases
from .harness import CASES, Case, as_tuple, is_float, recorded_ops, run, strided_tensor

for module in pkgutil.iter_modules(cases.__path__):
    importlib.import_module(f"{cases.__name__}.{module.name}")

DEVICES = [pytest.param("sim")]
if gpunn.cuda.is_available():
    DEVICES.append(pytest.param("cuda", marks=pytest.mark.gpu))
CHECKS: dict[str, tuple[Any, Any]] = {}
"""What every case is put through: a function of (case, device), and one that says whether it is for a case."""
TORCH = importlib.util.find_spec("torch") is not None


def check(applies: Any) -> Any:
    """Register a check for the cases that it applies to."""

    def register(function: Any) -> Any:
        CHECKS[function.__name__] = function, applies
        return function

    return register


def every_case(case: Case) -> bool:
    return True


def smooth(case: Case) -> bool:
    return case.gradient and not case.kink


def test_every_case_is_compared_with_something() -> None:
    assert [case.name for case in CASES if case.reference is None and case.torch is None] == []


@pytest.mark.gpu
def test_every_case_on_the_gpu() -> None:
    """Stands for the cases on `cuda` where there is no device: skipped, and so counted."""
    available, why = gpunn.cuda.is_available(), "no CUDA device"
    if not available:
        pytest.skip(why)


@check(lambda case: case.reference is not None)
def forward_is_the_reference(case: Case, device: str) -> None:
    assert case.reference is not None
    for dtype in case.dtypes:
        got = as_tuple(case.function(*case.tensors(dtype, device)))
        expected = as_tuple(case.reference(*case.reference_arrays(dtype)))
        assert len(got) == len(expected)
        for g, e in zip(got, expected):
            assert g.shape == np.shape(e)
            np.testing.assert_allclose(wide(g), e, **case.tolerance(g.dtype.name))


@check(every_case)
def array_is_what_the_shape_rule_says(case: Case, device: str) -> None:
    for dtype in case.dtypes:
        for y in as_tuple(case.function(*case.tensors(dtype, device))):
            assert type(y._data) is type(y.device.backend.empty((), y.dtype.numpy))
            assert y._data.shape == y.shape
            assert y._data.dtype == y.dtype.numpy


@check(smooth)
def gradient_is_the_central_difference(case: Case, device: str) -> None:
    if device == "cpu":
        assert gradcheck(case.function, case.tensors("float64", requires_grad=True))


@check(lambda case: smooth(case) and case.second_order)
def second_derivative_is_the_central_difference(case: Case, device: str) -> None:
    if device != "cpu":
        return
    try:
        assert gradgradcheck(case.function, case.tensors("float64", requires_grad=True), fast_mode=True)
    except gpunn.autograd.GradcheckError as error:
        # A linear op's gradient does not depend on its inputs; then only the cotangents were there to check.
        if "no output requires grad" not in str(error):
            raise


@check(smooth)
def derivatives_are_those_of_the_cpu(case: Case, device: str) -> None:
    """On other devices, which run the same formulas by other primitives; differences would take many more launches."""
    if device == "cpu":
        return
    got = derivatives(case, device)
    gpunn.set_default_device("cpu")
    expected = derivatives(case, "cpu")
    gpunn.set_default_device(device)
    assert got.keys() == expected.keys()
    for name, e in expected.items():
        np.testing.assert_allclose(got[name], e, rtol=1e-9, atol=1e-10, err_msg=name)


def derivatives(case: Case, device: str) -> dict[str, np.ndarray]:
    """The gradient by each input and, of one that may be differentiated again, its own by inputs and cotangents."""
    rng = np.random.default_rng(4)

    def cotangent(y: gpunn.Tensor) -> gpunn.Tensor:
        return gpunn.tensor(rng.uniform(0.5, 1.5, y.shape), device=y.device, requires_grad=case.second_order)

    inputs = [x for x in case.tensors("float64", device, requires_grad=True) if x.requires_grad]
    given = iter(inputs)
    tensors = [next(given) if is_float(a) else gpunn.tensor(a, device=device) for a in case.arrays("float64")]
    results = [y for y in as_tuple(case.function(*tensors)) if y.requires_grad]
    cotangents = [cotangent(y) for y in results]
    gradients = gpunn.autograd.grad(results, inputs, cotangents, create_graph=case.second_order, allow_unused=True)
    found = {f"by input {i}": g for i, g in enumerate(gradients) if g is not None}
    again = [g for g in found.values() if g.requires_grad]
    if again:
        by = [*inputs, *cotangents]
        seconds = gpunn.autograd.grad(again, by, [cotangent(g).detach() for g in again], allow_unused=True)
        found |= {f"again by {i}": g for i, g in enumerate(seconds) if g is not None}
    return {name: wide(g) for name, g in found.items()}


@check(every_case)
def strides_do_not_matter(case: Case, device: str) -> None:
    expected = as_tuple(case.function(*case.tensors("float64", device)))
    got = as_tuple(case.function(*(strided_tensor(a, device) for a in case.arrays("float64"))))
    for g, e in zip(got, expected):
        np.testing.assert_allclose(wide(g), wide(e), rtol=1e-10, atol=1e-12)


@check(every_case)
def out_gets_the_same_bits(case: Case, device: str) -> None:
    """An op that is given its memory fills it with the same result, whatever was there before."""

    def watch(op: Any, arrays: Any, specs: Any, data: Any) -> None:
        if op.view or op.name == "Empty":
            return  # no memory of its own, or nothing in it
        backend = as_tuple(specs)[0].device.backend
        anything = [np.frombuffer(bytearray(b"\xa5" * s.nbytes), s.dtype.numpy) for s in as_tuple(specs)]
        out = tuple(backend.from_numpy(a.reshape(s.shape)) for a, s in zip(anything, as_tuple(specs)))
        op.forward(backend, *arrays, out=out if isinstance(specs, tuple) else out[0])
        for o, d in zip(map(backend.to_numpy, out), map(backend.to_numpy, as_tuple(data))):
            assert o.tobytes() == d.tobytes(), f"{op} with out= gave {o}, without {d}"

    for dtype in case.dtypes:
        with recorded_ops(watch):
            run(case, dtype, device)


@check(every_case)
def inputs_are_not_written_to(case: Case, device: str) -> None:
    tensors = case.tensors("float64", device, requires_grad=case.gradient)
    before = [t.detach().cpu().numpy().copy() for t in tensors]
    results = as_tuple(case.function(*tensors))
    if case.gradient:
        for y in results:
            if y.requires_grad:
                y.sum().backward(retain_graph=True)
    for t, b in zip(tensors, before):
        np.testing.assert_array_equal(t.detach().cpu().numpy(), b)


@check(lambda case: case.torch is not None)
def agrees_with_torch(case: Case, device: str) -> None:
    torch = pytest.importorskip("torch")

    def to_torch(a: np.ndarray) -> Any:
        if a.dtype.name == "bfloat16":  # which torch does not know from NumPy
            return torch.tensor(a.astype(np.float32)).to(torch.bfloat16)
        return torch.tensor(a)

    for dtype in case.dtypes:
        theirs = [to_torch(a).requires_grad_(case.gradient and is_float(a)) for a in case.arrays(dtype)]
        ours = case.tensors(dtype, device, requires_grad=case.gradient)
        assert case.torch is not None
        expected, got = as_tuple(case.torch(*theirs)), as_tuple(case.function(*ours))
        assert len(expected) == len(got)
        for e, g in zip(expected, got):
            assert tuple(e.shape) == g.shape
            assert str(e.dtype).removeprefix("torch.") == g.dtype.name
            np.testing.assert_allclose(wide(g), wide(e), **case.tolerance(g.dtype.name))
        if not case.gradient:
            continue
        rng = np.random.default_rng(3)
        for e, g in zip(expected, got):
            if e.requires_grad and e.numel():
                cotangent = rng.uniform(0.5, 1.5, tuple(e.shape)).astype(dtype)
                e.backward(to_torch(cotangent), retain_graph=True)
                g.backward(gpunn.tensor(cotangent, device=device), retain_graph=True)
        for e, g in zip(theirs, ours):
            if e.grad is not None:
                assert g.grad is not None
                np.testing.assert_allclose(wide(g.grad), wide(e.grad), **case.tolerance(dtype))


EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@EACH
def test_on_the_cpu(case: Case) -> None:
    for function, applies in CHECKS.values():
        if applies(case) and function is not agrees_with_torch:
            function(case, "cpu")


@pytest.mark.parametrize("case", [case for case in CASES if case.torch is not None], ids=lambda case: case.name)
def test_on_the_cpu_against_torch(torch: Any, case: Case) -> None:
    agrees_with_torch(case, "cpu")


@pytest.mark.parametrize("device", DEVICES)
@EACH
def test_on_another_device(case: Case, device: str) -> None:
    """All the same checks, one after the other; what a case makes by itself is made on the device too."""
    gpunn.set_default_device(device)
    try:
        for function, applies in CHECKS.values():
            if applies(case) and (TORCH or function is not agrees_with_torch):  # which is skipped, and counted, above
                function(case, device)
    finally:
        gpunn.set_default_device("cpu")


def test_every_op_has_a_case() -> None:
    with recorded_ops() as seen:
        for case in CASES:
            run(case, case.dtypes[-1])
    assert set(OPS) - seen == set()


def wide(x: Any) -> np.ndarray:
    """The elements of a tensor, gpunn's or torch's, half precision in float32."""
    x = x.detach()
    return (x.float() if x.dtype.itemsize == 2 and x.is_floating_point() else x).cpu().numpy()
