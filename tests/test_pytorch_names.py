"""The table of PyTorch's names says what both libraries have."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import gpunn
from tests.pytorch_names import page, signatures
from tests.pytorch_names.calls import CALLS


@pytest.fixture(scope="module")
def torch_of_the_page(torch: Any) -> Any:
    written = re.search(r"PyTorch ([\d.]+\d),", page.FILE.read_text(encoding="utf-8"))
    found = torch.__version__.partition("+")[0]
    assert written
    if found != written[1]:
        pytest.skip(f"docs/pytorch.md is about PyTorch {written[1]}, not {found}")
    return torch


def test_the_page_is_what_the_libraries_have(torch_of_the_page: Any) -> None:
    now, before = page.text().splitlines(), page.FILE.read_text(encoding="utf-8").splitlines()
    gone, new = sorted(set(before) - set(now)), sorted(set(now) - set(before))
    assert (gone, new) == ([], []), "python -m tests.pytorch_names writes docs/pytorch.md anew, if that is meant"


@pytest.mark.parametrize("path", CALLS)
def test_calls_that_signatures_do_not_tell(torch_of_the_page: Any, path: str) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for call in CALLS[path]:
        ours, theirs = call(gpunn, gpunn.tensor(x)), call(torch_of_the_page, torch_of_the_page.tensor(x))
        _same(ours, theirs, inspect.getsource(call))


def _same(ours: Any, theirs: Any, where: str) -> None:
    if isinstance(theirs, (tuple, list)) and not hasattr(theirs, "numel"):
        assert len(ours) == len(theirs), where
        for one, other in zip(ours, theirs):
            _same(one, other, where)
    elif hasattr(theirs, "numpy"):
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1], where
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, err_msg=where)
    else:
        assert str(ours).split(".")[-1] == str(theirs).split(".")[-1], where


def test_what_counts_as_a_difference() -> None:
    def theirs(input: Any, dim: Any, keepdim: bool = False, *, out: Any = None) -> None: ...
    def ours(input: Any, keepdim: bool = True, *, dim: Any, other: Any) -> None: ...

    one, two = signatures.of(theirs), signatures.of(ours)
    assert one and two and signatures.differences([one], one) == []
    assert signatures.differences([one], two) == [
        "`dim=` by name alone",
        "`keepdim` is argument 2, not 3",
        "no `out=`",
        "`keepdim=True`, not `False`",
        "needs `other`",
    ]
