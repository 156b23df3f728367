"""Cases of `gpunn.ops.einsum`."""

from itertools import product

import numpy as np

import gpunn

from ..harness import add, normal
from .arithmetic import by_name


def by_loops(equation, *arrays):
    """The definition: for each value of each letter, one product; only for equations with "->" and without "..."."""
    inputs, output = equation.replace(" ", "").split("->")
    terms = inputs.split(",")
    sizes = {c: n for term, x in zip(terms, arrays) for c, n in zip(term, x.shape)}
    letters = sorted(sizes)
    y = np.zeros([sizes[c] for c in output])
    for values in product(*(range(sizes[c]) for c in letters)):
        at = dict(zip(letters, values))
        y[tuple(at[c] for c in output)] += np.prod([x[tuple(at[c] for c in t)] for t, x in zip(terms, arrays)])
    return y


def case(equation, *shapes):
    add(
        f"einsum-{equation}-{shapes}",
        lambda *xs: gpunn.einsum(equation, *xs),
        *(normal(*shape, seed=i) for i, shape in enumerate(shapes)),
        reference=(lambda *xs: by_loops(equation, *xs))
        if "->" in equation and "." not in equation
        else (lambda *xs: np.einsum(equation, *xs)),
        torch=lambda *xs: by_name("einsum")(equation, *xs),
    )


case("ij->ji", (2, 3))
case("ij->", (2, 3))
case("ij->j", (2, 3))
case("ii->i", (3, 3))
case("ii->", (3, 3))
case("iji->j", (2, 3, 2))
case("iij->ji", (2, 2, 3))
case("i,i->", (4,), (4,))
case("i,j->ij", (2,), (3,))
case("i,i->i", (3,), (3,))
case("ij,j->i", (2, 3), (3,))
case("ij,jk->ik", (2, 3), (3, 4))
case("ij,jk->ki", (2, 3), (3, 4))
case("ij,kj->ik", (2, 3), (4, 3))
case("ij,jk->", (2, 3), (3, 2))
case("bij,bjk->bik", (2, 2, 3), (2, 3, 2))
case("bij,bij->b", (2, 2, 3), (2, 2, 3))
case("bhqd,bkhd->bhqk", (2, 2, 3, 2), (2, 2, 2, 2))
case("ijk,ilm,njm->nkl", (2, 2, 3), (2, 2, 2), (3, 2, 2))
case("ij,jk,kl,lm->im", (2, 3), (3, 2), (2, 4), (4, 2))
case("i,i,i->i", (3,), (3,), (3,))
case("bn,anm,bm->ba", (2, 3), (2, 3, 2), (2, 2))
case("i,j,k->kij", (2,), (3,), (2,))
case("ii,ij->j", (2, 2), (2, 3))
case("ij,kl->ik", (2, 3), (2, 2))
case(",i->i", (), (3,))
case("ij,jk->ik", (0, 3), (3, 2))
case("ij,jk->ik", (2, 0), (0, 3))
case("ij,jk", (2, 3), (3, 4))
case("ba", (2, 3))
case("bA,bB", (2, 3), (2, 2))
case("ii", (3, 3))
case("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2))
case("...i,i", (2, 3), (3,))
case("i...->...", (2, 3))
case("...ii->...i", (2, 3, 3))
case("b...,b...->...b", (2, 3), (2, 1))
case("a...b,b...->...a", (2, 3, 2), (2, 3))
case(" i j , j -> i ", (2, 3), (3,))

# Sizes of 1 broadcast, which NumPy's einsum allows too.
add(
    "einsum-size-one",
    lambda x, y: gpunn.einsum("ij,ij->i", x, y),
    normal(2, 1),
    normal(2, 3, seed=1),
    reference=lambda x, y: (x * y).sum(1),
    torch=lambda x, y: by_name("einsum")("ij,ij->i", x, y),
)
add(
    "einsum-size-one-of-three",
    lambda x, y, z: gpunn.einsum("i,i,i->", x, y, z),
    normal(1),
    normal(1, seed=1),
    normal(3, seed=2),
    reference=lambda x, y, z: (x * y * z).sum(),
    torch=lambda x, y, z: by_name("einsum")("i,i,i->", x, y, z),
)
add(
    "einsum-summed-ellipsis",
    lambda x: gpunn.einsum("...i->i", x),
    normal(2, 2, 3),
    reference=lambda x: x.sum((0, 1)),
    torch=lambda x: by_name("einsum")("...i->i", x),
)
add(
    "einsum-sublists",
    lambda x, y: gpunn.einsum(x, [0, ..., 1], y, [1, 5], [..., 5, 0]),
    normal(2, 2, 3),
    normal(3, 4, seed=1),
    reference=lambda x, y: np.einsum("i...j,jk->...ki", x, y),
    torch=lambda x, y: by_name("einsum")(x, [0, ..., 1], y, [1, 5], [..., 5, 0]),
)
add(
    "einsum-list",
    lambda x, y: gpunn.einsum("ij,jk", [x, y]),
    normal(2, 3),
    normal(3, 2),
    reference=lambda x, y: x @ y,
    torch=lambda x, y: by_name("einsum")("ij,jk", [x, y]),
)
add(
    "einsum-integers",
    lambda x, y: gpunn.einsum("ij,jk->k", x, y),
    np.arange(6).reshape(2, 3),
    np.arange(12).reshape(3, 4),
    reference=lambda x, y: (x @ y).sum(0),
    torch=lambda x, y: by_name("einsum")("ij,jk->k", x, y),
    gradient=False,
)
