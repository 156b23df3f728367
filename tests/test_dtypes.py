"""Data types, and PyTorch's rules for promoting them."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

import gpunn
from gpunn.backend.dtypes import DTYPES, as_dtype, scalar_dtype

NAMES = [d.name for d in DTYPES]
every_pair = pytest.mark.parametrize(("a", "b"), list(itertools.product(NAMES, NAMES)))
by_name = pytest.mark.parametrize("name", NAMES)
FORMS = {
    "tensor": lambda t, name: t.ones(2, dtype=getattr(t, name)),
    "0-d": lambda t, name: t.ones((), dtype=getattr(t, name)),
}
NUMBERS = {"bool": True, "int": 3, "float": 2.5}


@every_pair
def test_promote_types_is_torch_s_table(a: str, b: str, torch) -> None:
    expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
    assert gpunn.promote_types(getattr(gpunn, a), getattr(gpunn, b)).name == str(expected).removeprefix("torch.")


@every_pair
def test_promotion_of_tensors_is_torch_s(a: str, b: str, torch) -> None:
    for make_a, make_b in itertools.product(FORMS.values(), FORMS.values()):
        theirs = (make_a(torch, a), make_b(torch, b))
        ours = (make_a(gpunn, a), make_b(gpunn, b))
        expected = torch.result_type(*theirs)
        for got in (gpunn.result_type(*ours), (ours[0] + ours[1]).dtype, gpunn.where(ours[0] == 0, *ours).dtype):
            assert got.name == str(expected).removeprefix("torch.")
        divided = theirs[0] / theirs[1]
        assert (ours[0] / ours[1]).dtype.name == str(divided.dtype).removeprefix("torch.")


@by_name
@pytest.mark.parametrize("number", NUMBERS)
def test_promotion_with_python_numbers_is_torch_s(name: str, number: str, torch) -> None:
    for make in FORMS.values():
        theirs, ours = make(torch, name), make(gpunn, name)
        expected = str(torch.result_type(theirs, NUMBERS[number])).removeprefix("torch.")
        assert gpunn.result_type(ours, NUMBERS[number]).name == expected
        assert gpunn.result_type(NUMBERS[number], ours).name == expected
        assert (ours + NUMBERS[number]).dtype.name == expected
        assert (NUMBERS[number] * ours).dtype.name == expected


def test_the_default_type_decides_what_floats_are(torch) -> None:
    try:
        for name in ("float64", "float16", "bfloat16"):
            gpunn.set_default_dtype(getattr(gpunn, name))
            torch.set_default_dtype(getattr(torch, name))
            for make in (
                lambda t: t.tensor(1.5),
                lambda t: t.ones(1),
                lambda t: t.tensor([1, 2]) + 1.5,
                lambda t: t.tensor([1, 2]) / 2,
                lambda t: t.arange(0.5),
                lambda t: t.tensor([True]).exp(),
                lambda t: t.rand(1),
                lambda t: t.full((1,), 2.5),
                lambda t: t.linspace(0, 1, 2),
            ):
                assert make(gpunn).dtype.name == str(make(torch).dtype).removeprefix("torch.") == name
    finally:
        gpunn.set_default_dtype(gpunn.float32)
        torch.set_default_dtype(torch.float32)
    with pytest.raises(TypeError, match=r"floating point type, got gpunn\.int64"):
        gpunn.set_default_dtype(gpunn.int64)


@by_name
def test_one_object_per_type(name: str) -> None:
    d = getattr(gpunn, name)
    assert as_dtype(name) is d
    assert as_dtype(d.numpy) is d
    assert as_dtype(d.numpy.type) is d
    assert pickle.loads(pickle.dumps(d)) is d
    assert copy.deepcopy(d) is d
    assert repr(d) == f"gpunn.{name}"
    assert d.itemsize * 8 == d.bits == d.numpy.itemsize * 8


@by_name
def test_what_a_type_is_agrees_with_torch(name: str, torch) -> None:
    ours, theirs = getattr(gpunn, name), getattr(torch, name)
    assert ours.is_floating_point == theirs.is_floating_point
    assert ours.is_signed == theirs.is_signed
    assert ours.itemsize == theirs.itemsize


@pytest.mark.parametrize("alias", ["float", "double", "half", "long", "int", "short"])
def test_aliases_are_torch_s(alias: str, torch) -> None:
    assert getattr(gpunn, alias).name == str(getattr(torch, alias)).removeprefix("torch.")


def test_python_types() -> None:
    assert [as_dtype(t) for t in (bool, int, float)] == [gpunn.bool, gpunn.int64, gpunn.float64]  # as in PyTorch
    assert [scalar_dtype(v) for v in (True, 1, 1.0)] == [gpunn.bool, gpunn.int64, gpunn.float32]


@pytest.mark.parametrize(
    "unknown", ["float128", "complex64", np.complex64, "U3", object, 3, None, np.dtype(">f4"), str]
)
def test_unknown_types_list_the_known_ones(unknown) -> None:
    with pytest.raises(TypeError, match=r"is no type that gpunn has; it has bool, uint8, .*float64"):
        as_dtype(unknown)
