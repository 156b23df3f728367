"""A sample of the op cases on the device cuda, on a CuPy without a GPU: what the host side of the kernels does with
arrays that are no NumPy arrays, on two devices of which the other one is current."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backend import numpy as numpy_backend

from ..ops.harness import CASES, Case, as_tuple
from ..ops.test_cases import every_case  # noqa: F401 (loads the cases)
from . import fake_cupy


def sample() -> list[Case]:
    """A case of every function, by the first word of its name."""
    chosen: dict[str, Case] = {}
    for case in CASES:
        chosen.setdefault(case.name.split("-")[0], case)
    return list(chosen.values())


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[Any]:
    with fake_cupy.installed(devices=2) as found, pytest.MonkeyPatch.context() as patch:
        from gpunn.backend.cuda import CudaBackend

        patch.setattr(CudaBackend, "of_arrays", _of_arrays)
        yield found


def _of_arrays(self: Any, function: Any, arrays: Any, dtypes: Any, out: Any = None) -> Any:
    """CuPy's own linear algebra and the like, of which this CuPy has none, by NumPy's."""
    with self.here():
        given = [self.to_numpy(self.contiguous(a)) if isinstance(a, fake_cupy.ndarray) else a for a in arrays]
        found = numpy_backend.of_arrays(function, given, dtypes)
        made = tuple(map(self.from_numpy, found)) if isinstance(found, tuple) else self.from_numpy(found)
        if out is None:
            return made
        for place, array in zip(*((out, made) if isinstance(made, tuple) else ([out], [made])), strict=True):
            self.copy(array, out=place)
        return out


def values(case: Case, dtype: str, device: str) -> list[np.ndarray]:
    """The results of a case and the gradients of its inputs."""
    gpunn.set_default_device(device)
    gpunn.manual_seed(0)
    try:
        inputs = case.tensors(dtype, device, requires_grad=case.gradient)
        results = as_tuple(case.function(*inputs))
        if case.gradient:
            gpunn.autograd.backward([y.sum() for y in results if y.requires_grad])
        grads = [x.grad for x in inputs if x.grad is not None]
        assert {t.device for t in (*results, *grads)} == {gpunn.device(device)}
        return [t.detach().cpu().numpy() for t in (*results, *grads)]
    finally:
        gpunn.set_default_device("cpu")


@pytest.mark.parametrize("case", sample(), ids=lambda case: case.name)
def test_results_and_gradients_are_those_of_the_cpu(case: Case) -> None:
    dtype = case.dtypes[0]
    for got, expected in zip(values(case, dtype, "cuda:1"), values(case, dtype, "cpu"), strict=True):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(
            got.astype(np.float64), expected.astype(np.float64), **{k: 2 * v for k, v in case.tolerance(dtype).items()}
        )
