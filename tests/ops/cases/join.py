"""Cases of `gpunn.ops.join`."""

import numpy as np

import gpunn

from ..harness import add, normal
from .arithmetic import by_name


def joined(name, function, reference, *inputs, **options):
    add(
        f"{function}-{name}",
        lambda *xs: getattr(gpunn, function)(xs, **options),
        *inputs,
        reference=reference,
        torch=lambda *xs: by_name(function)(xs, **options),
    )


def blocks(*xs):
    """The rows of all, one by one."""
    return np.array([row for x in xs for row in x])


joined("rows", "cat", blocks, normal(2, 3), normal(1, 3, seed=1), normal(4, 3, seed=2))
joined("columns", "cat", lambda *xs: blocks(*(x.T for x in xs)).T, normal(2, 3), normal(2, 1, seed=1), dim=1)
joined("last", "cat", lambda *xs: np.concatenate(xs, -1), normal(2, 1, 3), normal(2, 1, 2), dim=-1)
joined("one", "cat", lambda x: x, normal(2, 3))
joined("empty", "cat", blocks, normal(0, 3), normal(2, 3))
joined("vectors-of-none", "cat", lambda a, b: np.zeros(0), normal(0), normal(0))
joined("types", "cat", lambda a, b: np.concatenate([a, b]), np.arange(3), normal(2))
add(
    "cat-legacy-empty",
    lambda x: gpunn.cat([gpunn.tensor([]), x], 1),
    normal(2, 3),
    reference=lambda x: x,
    torch=lambda x: by_name("cat")([x.new_zeros(0), x], 1),
)
add("cat-itself", lambda x: gpunn.cat([x, x]), normal(2, 3), reference=lambda x: blocks(x, x))

joined("first", "stack", lambda *xs: np.array(xs), normal(2, 3), normal(2, 3, seed=1))
joined("middle", "stack", lambda a, b: np.array([a, b]).transpose(1, 0, 2), normal(2, 3), normal(2, 3, seed=1), dim=1)
joined("last", "stack", lambda a, b: np.array([a, b]).transpose(1, 2, 0), normal(2, 3), normal(2, 3, seed=1), dim=-1)
joined("numbers", "stack", lambda *xs: np.array(xs), normal(), normal(seed=1), normal(seed=2))
joined("empty", "stack", lambda *xs: np.array(xs), normal(0, 2), normal(0, 2))
joined("types", "stack", lambda a, b: np.array([a, b]), np.array([True, False]), normal(2))

joined("vectors", "hstack", lambda *xs: np.hstack(xs), normal(2), normal(3), normal())
joined("matrices", "hstack", lambda *xs: np.hstack(xs), normal(2, 2), normal(2, 3))
joined("vectors", "vstack", lambda *xs: np.vstack(xs), normal(3), normal(2, 3))
joined("numbers", "vstack", lambda *xs: np.vstack(xs), normal(), normal(seed=1))
