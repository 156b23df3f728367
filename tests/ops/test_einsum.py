"""einsum: random equations, the order of products, errors."""

import re

import numpy as np
import pytest

import gpunn
from gpunn.ops.einsum import _path


@pytest.mark.parametrize("seed", range(40))
def test_random_equations(seed):
    rng = np.random.default_rng(seed)
    sizes = dict(zip("abcde", rng.integers(1, 4, 5)))
    terms = ["".join(rng.choice(list("abcde"), rng.integers(0, 4))) for _ in range(rng.integers(1, 5))]
    used = sorted(set("".join(terms)))
    output = "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)])
    equation = f"{','.join(terms)}->{output}"
    arrays = [rng.standard_normal([sizes[c] for c in term]) for term in terms]
    got = gpunn.einsum(equation, *map(gpunn.tensor, arrays))
    np.testing.assert_allclose(got.numpy(), np.einsum(equation, *arrays), rtol=1e-10, atol=1e-12, err_msg=equation)


def test_operands_are_multiplied_in_a_cheap_order():
    # From the left, 1000 x 1000 numbers would lie between; (ij,j) first needs no more than 1000.
    labels = ((0, 1), (1, 2), (2, 3))
    assert _path(labels, ((1000, 2), (2, 1000), (1000, 1)), (0, 3))[0] == (1, 2)


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3), (4, 3)], "'j' has size 4 in operand 1, and size 3 before"),
        ("ii", [(2, 3)], "'i' is repeated in operand 0 with sizes 2 and 3"),
        ("ii", [(1, 3)], "'i' is repeated"),
        ("...i,...i", [(2, 3), (4, 3)], '"..." has size 4 in operand 1'),
        ("ij->iij", [(2, 3)], "'i' occurs more than once in the output"),
        ("ij->k", [(2, 3)], "'k' of the output occurs in no operand"),
        ("ij", [(2, 3), (2, 3)], "there are 2 operands, but subscripts for 1"),
        ("ij,jk", [(2, 3)], "there are 1 operands, but subscripts for 2"),
        ("ijk", [(2, 3)], "there are 3 subscripts for operand 0 (float32[2, 3]), and no ellipsis"),
        ("...ijk", [(2, 3)], "there are 3 subscripts for operand 0"),
        ("i1", [(2, 3)], "'1' is no subscript"),
        ("i..j", [(2, 3)], "'.' is no subscript"),
        ("...i...", [(2, 3)], 'more than one "..."'),
        ("i->...j->i", [(2,)], "is no subscript"),
    ],
)
def test_errors(equation, shapes, message):
    with pytest.raises(RuntimeError, match=re.escape(message)):
        gpunn.einsum(equation, *(gpunn.zeros(s) for s in shapes))


def test_bad_operands():
    with pytest.raises(ValueError, match="at least one operand"):
        gpunn.einsum("ij->")
    with pytest.raises(TypeError, match="operand 1 is no tensor but ndarray"):
        gpunn.einsum("i,i", gpunn.zeros(2), np.zeros(2))
    with pytest.raises(RuntimeError, match=re.escape("operand 0 is float32[2], operand 1 is float64[2]")):
        gpunn.einsum("i,i", gpunn.zeros(2), gpunn.zeros(2).double())
    with pytest.raises(RuntimeError, match="integers from 0 to 51"):
        gpunn.einsum(gpunn.zeros(2), [77])
    with pytest.raises(RuntimeError, match="list of integers"):
        gpunn.einsum(gpunn.zeros(2), gpunn.zeros(2))
