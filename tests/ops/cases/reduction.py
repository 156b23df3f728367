"""Cases of `gpunn.ops.reduction` and `gpunn.ops.vector_norm`."""

import math

import numpy as np

import gpunn
from gpunn import ops

from ..harness import add, distinct, normal, off_zero
from .arithmetic import by_name

EVERY = ("float16", "bfloat16", "float32", "float64")
INTEGERS = np.array([[5, -3, 0, 2], [12, 7, -1, 0], [1, 1, 1, 1]])
SOME = np.array([[True, False, True], [False, False, False], [True, True, True]])


def torch_type(name):
    """PyTorch's type of this name, found when it is asked for."""
    import torch

    return getattr(torch, name)


def groups(x, dim, keepdim, function):
    """`function` of the list of elements of each group, one after the other."""
    dims = (
        range(x.ndim) if dim is None or dim == () else [d % x.ndim for d in (dim if isinstance(dim, tuple) else (dim,))]
    )
    kept = [1 if d in dims else n for d, n in enumerate(x.shape)]
    found = {}
    for place in np.ndindex(x.shape):
        found.setdefault(tuple(0 if d in dims else i for d, i in enumerate(place)), []).append(x[place].item())
    result = np.array([function(found.get(key, [])) for key in np.ndindex(*kept)]).reshape(kept)
    return result if keepdim else result.reshape([n for d, n in enumerate(kept) if d not in dims])


def add_over(name, x, function, dims=(None, 0, -1, (0, 2), (-1, -2)), label="", **options):
    for dim in dims:
        for keepdim in (False, True):
            add(
                f"{name}{label}-{dim}-{keepdim}",
                lambda x, dim=dim, keepdim=keepdim: getattr(gpunn, name)(x, dim, keepdim=keepdim),
                x,
                reference=lambda x, dim=dim, keepdim=keepdim: groups(x, dim, keepdim, function),
                **(
                    {"torch": lambda x, dim=dim, keepdim=keepdim: by_name(name)(x, dim, keepdim=keepdim)}
                    if dim is not None
                    else {}
                ),
                **options,
            )


def mean(v):
    return math.fsum(v) / len(v) if v else math.nan


def variance(correction):
    def function(v):
        m = mean(v)
        return math.fsum((a - m) ** 2 for a in v) / (len(v) - correction) if len(v) > correction else math.nan

    return function


X = normal(2, 3, 4)
add_over("sum", X, math.fsum, dtypes=EVERY)
add_over("mean", X, mean, dtypes=EVERY)
add_over("var", X, variance(1), dtypes=EVERY)
add_over("std", X, lambda v: math.sqrt(variance(1)(v)))
add_over("amax", distinct(2, 3, 4), max, dims=((), 0, -1, (0, 2)), dtypes=EVERY)
add_over("amin", distinct(2, 3, 4), min, dims=((), 0, -1, (0, 2)), dtypes=EVERY)
add_over("logsumexp", X, lambda v: math.log(math.fsum(map(math.exp, v))), dims=(0, -1, (0, 2)), dtypes=EVERY)
add_over("prod", X, math.prod, dims=(None, 0, -1))
add_over("all", SOME, all, dims=(None, 0, 1, (0, 1)))
add_over("any", SOME, any, dims=(None, 0, 1, (0, 1)))
add_over("sum", np.zeros((2, 0, 3)), math.fsum, dims=(None, 0, 1), label="-empty")
add_over("mean", np.zeros((2, 0, 3)), mean, dims=(0, 1), label="-empty")
add_over("prod", np.zeros((2, 0, 3)), math.prod, dims=(None, 0, 1), label="-empty")
add_over("logsumexp", np.zeros((2, 0, 3)), lambda v: -math.inf, dims=(0, 1), label="-empty")
add_over("amax", np.zeros((2, 0, 3)), max, dims=(0, 2), label="-empty")
add_over("all", np.zeros((2, 0), bool), all, dims=(None, 0, 1), label="-empty")
add_over("any", np.zeros((2, 0), bool), any, dims=(None, 0, 1), label="-empty")
for name in ("sum", "mean", "prod", "amax", "amin", "logsumexp"):
    add_over(name, normal(1, 1), lambda v: v[0], dims=(0, (0, 1)) if name != "prod" else (0, 1), label="-one")
    add(
        f"{name}-0d",
        lambda x, name=name: getattr(gpunn, name)(x, 0),
        normal(),
        torch=lambda x, name=name: by_name(name)(x, 0),
    )
for name in ("sum", "prod", "all", "any", "amax", "amin", "count_nonzero"):
    add(f"{name}-integers", getattr(gpunn, name), INTEGERS, torch=by_name(name))
    add(
        f"{name}-integers-1",
        lambda x, name=name: getattr(gpunn, name)(x, 1),
        INTEGERS,
        torch=lambda x, name=name: by_name(name)(x, 1),
    )
for name in ("sum", "prod", "amax", "all"):
    add(
        f"{name}-booleans",
        lambda x, name=name: getattr(gpunn, name)(x, 1),
        SOME,
        torch=lambda x, name=name: by_name(name)(x, 1),
    )
add("any-uint8", gpunn.any, np.array([0, 3], np.uint8), torch=by_name("any"))
add("any-nan", gpunn.any, np.array([0.0, np.nan]), reference=lambda x: True, torch=by_name("any"), gradient=False)
add(
    "count_nonzero",
    lambda x: gpunn.count_nonzero(x, 1),
    np.array([[0.0, 1.0], [2.0, -1.0]]),
    gradient=False,
    reference=lambda x: np.array([1, 2]),
    torch=lambda x: by_name("count_nonzero")(x, 1),
)

add("sum-dtype", lambda x: x.sum(0, dtype=gpunn.float64), X, reference=lambda x: x.astype(float).sum(0))
add("mean-dtype", lambda x: gpunn.mean(x, 1, dtype=gpunn.float32), INTEGERS, torch=lambda x: x.float().mean(1))
# Half precision adds up in float32: 4096 ones would stop at 2048 in float16.
add("sum-long", lambda x: x.sum(), np.ones(4096), reference=lambda x: 4096.0, dtypes=EVERY, gradient=False)
add(
    "mean-long",
    lambda x: x.mean(0),
    np.full((4096, 2), 0.5),
    reference=lambda x: np.full(2, 0.5),
    dtypes=EVERY,
    gradient=False,
)
add(
    "amax-ties",
    lambda x: x.amax(1),
    np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]),
    torch=lambda x: x.amax(1),
    kink=True,
)
add("amin-nan", lambda x: x.amin(1), np.array([[1.0, np.nan], [2.0, 1.0]]), torch=lambda x: x.amin(1), kink=True)
add(
    "logsumexp-large",
    lambda x: x.logsumexp(1),
    np.array([[1000.0, 1000.0], [-1000.0, -1001.0], [80.0, -80.0]]),
    reference=lambda x: np.array([1000 + math.log(2), -1000 + math.log1p(math.exp(-1)), 80.0]),
    torch=lambda x: x.logsumexp(1),
)
add(
    "logsumexp-infinite",
    lambda x: x.logsumexp(1),
    np.array([[np.inf, 0.0], [-np.inf, -np.inf], [np.nan, 0.0]]),
    torch=lambda x: x.logsumexp(1),
    kink=True,
)
add("logsumexp-integers", lambda x: x.logsumexp(1), INTEGERS, torch=lambda x: x.logsumexp(1))
for correction in (0, 1, 2, 0.5):
    add(
        f"var-correction-{correction}",
        lambda x, c=correction: x.var(1, correction=c),
        X,
        reference=lambda x, c=correction: groups(x, 1, False, variance(c)),
        torch=lambda x, c=correction: x.var(1, correction=c),
    )
add("var-biased", lambda x: x.var(unbiased=False), X, torch=lambda x: x.var(unbiased=False))
add("var-false", lambda x: (x.var(False), x.std(False)), X, torch=lambda x: (x.var(False), x.std(False)))
add("var-of-one", lambda x: x.var(0), normal(1, 3), reference=lambda x: np.full(3, np.nan), gradient=False)
# E[x^2] - E[x]^2 would have no digit left here.
add("var-far-from-0", lambda x: x.var(), np.array([1e6, 1e6 + 1, 1e6 + 2]), reference=lambda x: 1.0)
add(
    "std-of-a-constant",
    lambda x: x.std(1),
    np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]),
    torch=lambda x: x.std(1),
    kink=True,
)
add(
    "prod-zero",
    lambda x: x.prod(1),
    np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 4.0]]),
    torch=lambda x: x.prod(1),
)
add("prod-long", lambda x: x.prod(), normal(13, low=0.5), torch=lambda x: x.prod())
add("prod-dtype", lambda x: gpunn.prod(x, 0, dtype=gpunn.float64), INTEGERS, torch=lambda x: x.double().prod(0))
add("sum_to", lambda x: ops.sum_to(x, (3, 1)), X, reference=lambda x: groups(x, (0, 2), True, math.fsum)[0])
add("sum_to-0d", lambda x: ops.sum_to(x, ()), X, reference=lambda x: groups(x, None, False, math.fsum))

for dim in (0, 1, -1):
    add(
        f"cumsum-{dim}",
        lambda x, d=dim: x.cumsum(d),
        X,
        torch=lambda x, d=dim: x.cumsum(d),
        dtypes=EVERY,
        reference=lambda x, d=dim: np.moveaxis([np.moveaxis(x, d, 0)[: i + 1].sum(0) for i in range(x.shape[d])], 0, d),
    )
add("cumsum-integers", lambda x: x.cumsum(0), INTEGERS, torch=lambda x: x.cumsum(0))
add("cumsum-booleans", lambda x: x.cumsum(1), SOME, torch=lambda x: x.cumsum(1))
add("cumsum-empty", lambda x: x.cumsum(0), np.zeros((0, 2)), torch=lambda x: x.cumsum(0))
add("cumsum-0d", lambda x: x.cumsum(0), normal(), torch=lambda x: x.cumsum(0))
for small in (gpunn.int32, gpunn.int8):  # whose sums wrap around in their own type
    for function in ("sum", "prod", "cumsum"):
        add(
            f"{function}-{small.name}",
            lambda x, function=function, small=small: getattr(gpunn, function)(x * 9, 0, dtype=small),
            INTEGERS,
            torch=lambda x, function=function, small=small: by_name(function)(x * 9, 0, dtype=torch_type(small.name)),
        )
add("cumsum-dtype", lambda x: x.cumsum(0, dtype=gpunn.float32), INTEGERS, torch=lambda x: x.float().cumsum(0))

Y = off_zero(2, 3, 4)
for p in (1, 2, 3, 2.5, 0.5, -1.5, math.inf, -math.inf):
    for dim in (None, 1, (0, 2)):
        add(
            f"norm-{p}-{dim}",
            lambda x, p=p, dim=dim: x.norm(p, dim),
            distinct(2, 3, 4) + 0.03,
            rtol=1e-4,
            reference=lambda x, p=p, dim=dim: groups(
                abs(x),
                dim,
                False,
                lambda v: (
                    max(v) if p == math.inf else min(v) if p == -math.inf else math.fsum(a**p for a in v) ** (1 / p)
                ),
            ),
            torch=lambda x, p=p, dim=dim: x.norm(p, dim),
        )
add(
    "norm-default",
    lambda x: (x.norm(), x.norm("fro", 1, True)),
    Y,
    torch=lambda x: (x.norm(), x.norm("fro", 1, True)),
    dtypes=EVERY,
)
add(
    "norm-0",
    lambda x: x.norm(0, 1),
    np.array([[0.0, 2.0], [1.0, 1.0]]),
    reference=lambda x: np.array([1.0, 2.0]),
    torch=lambda x: x.norm(0, 1),
    gradient=False,
)
for p in (0.5, 1, 2, 3, math.inf):
    add(
        f"norm-of-zeros-{p}",
        lambda x, p=p: x.norm(p, 1),
        np.array([[0.0, 0.0], [0.0, 2.0], [-3.0, 3.0]]),
        torch=lambda x, p=p: x.norm(p, 1),
        kink=True,
    )
add("norm-0d", lambda x: x.norm(), off_zero(), torch=lambda x: x.norm())
add(
    "norm-empty",
    lambda x: (x.norm(), x.norm(2, 1)),
    np.zeros((2, 0)),
    torch=lambda x: (x.norm(), x.norm(2, 1)),
    gradient=False,
)
add(
    "vector_norm-dtype",
    lambda x: ops.vector_norm(x, 2, 1, dtype=gpunn.float64),
    Y,
    reference=lambda x: groups(x.astype(float), 1, False, lambda v: math.hypot(*v)),
)
