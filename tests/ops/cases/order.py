"""Cases of `gpunn.ops.order`."""

import numpy as np

import gpunn

from ..harness import add, distinct
from .arithmetic import by_name

EVERY = ("float16", "bfloat16", "float32", "float64")
X = distinct(2, 5, 3)
TIES = np.array([[2.0, 1.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0, 0.0, 0.0]])
SPECIAL = np.array([1.0, np.nan, -np.inf, np.inf, np.nan, 0.0])
INTEGERS = np.array([[5, -3, 0], [12, 7, -1]])


def ordered(x, dim, descending):
    """Values and places, each group in order by insertion, equal ones as they came."""
    values, places = np.array(x), np.zeros(x.shape, np.int64)
    for index in np.ndindex(*(1 if d == dim % x.ndim else n for d, n in enumerate(x.shape))):
        key = tuple(slice(None) if d == dim % x.ndim else i for d, i in enumerate(index))
        pairs = []
        for place, value in enumerate(x[key]):
            at = next((k for k, (v, _) in enumerate(pairs) if (value > v if descending else value < v)), len(pairs))
            pairs.insert(at, (value, place))
        values[key], places[key] = [v for v, _ in pairs], [p for _, p in pairs]
    return values, places


for name, descending in (("max", True), ("min", False)):
    function = getattr(gpunn, name)
    add(name, function, X, torch=by_name(name), reference=lambda x, d=descending: sorted(x.ravel(), reverse=d)[0])
    for dim in (0, 1, -1):
        add(
            f"{name}-{dim}",
            lambda x, f=function, d=dim: tuple(f(x, d)),
            X,
            torch=lambda x, n=name, d=dim: tuple(by_name(n)(x, d)),
            reference=lambda x, d=dim, down=descending: tuple(np.take(v, 0, d) for v in ordered(x, d, down)),
            dtypes=EVERY,
        )
        add(
            f"arg{name}-{dim}",
            lambda x, n=name, d=dim: getattr(x, f"arg{n}")(d),
            X,
            gradient=False,
            dtypes=EVERY,
            torch=lambda x, n=name, d=dim: getattr(x, f"arg{n}")(d),
        )
    for at, x in {"0d": X[0, 0, 0], "one": X[:1, :1, 0], "ties": TIES, "nan": SPECIAL, "integers": INTEGERS}.items():
        add(
            f"{name}-{at}",
            lambda x, f=function: (f(x), *f(x, 0), *f(x, -1, True)),
            x,
            kink=at == "ties",
            gradient=at not in ("nan", "integers"),
            torch=lambda x, n=name: (by_name(n)(x), *by_name(n)(x, 0), *by_name(n)(x, -1, True)),
        )
        add(
            f"arg{name}-{at}",
            lambda x, n=name: (getattr(x, f"arg{n}")(), getattr(x, f"arg{n}")(0, True)),
            x,
            torch=lambda x, n=name: (getattr(x, f"arg{n}")(), getattr(x, f"arg{n}")(0, True)),
            gradient=False,
        )
    add(
        f"arg{name}",
        lambda x, n=name: (getattr(x, f"arg{n}")(), getattr(x, f"arg{n}")(keepdim=True)),
        X,
        gradient=False,
        torch=lambda x, n=name: (getattr(x, f"arg{n}")(), getattr(x, f"arg{n}")(keepdim=True)),
    )
    add(
        f"{name}-empty",
        lambda x, f=function: tuple(f(x, 1)),
        np.zeros((0, 2)),
        torch=lambda x, n=name: tuple(by_name(n)(x, 1)),
    )
    add(f"{name}-booleans", lambda x, f=function: f(x), np.array([True, False]), torch=by_name(name))
    add(f"{name}-of-two", function, distinct(3, 4), distinct(4, seed=1) + 0.03, torch=by_name(name))
    add(f"{name}-shared", lambda x, f=function: f(x), TIES, torch=by_name(name), kink=True)

for dim in (0, 1, -1):
    for descending in (False, True):
        add(
            f"sort-{dim}-{descending}",
            lambda x, d=dim, down=descending: tuple(x.sort(d, down)),
            X,
            reference=lambda x, d=dim, down=descending: ordered(x, d, down),
            torch=lambda x, d=dim, down=descending: tuple(x.sort(d, down)),
            dtypes=EVERY,
        )
for descending in (False, True):
    add(
        f"sort-ties-{descending}",
        lambda x, down=descending: tuple(gpunn.sort(x, stable=True, descending=down)),
        TIES,
        reference=lambda x, down=descending: ordered(x, -1, down),
        gradient=False,
        torch=lambda x, down=descending: tuple(by_name("sort")(x, stable=True, descending=down)),
    )
    add(
        f"sort-nan-{descending}",
        lambda x, down=descending: tuple(x.sort(descending=down)),
        SPECIAL,
        gradient=False,
        dtypes=EVERY,
        torch=lambda x, down=descending: tuple(x.sort(descending=down, stable=True)),
    )
    add(
        f"sort-integers-{descending}",
        lambda x, down=descending: tuple(x.sort(0, down)),
        INTEGERS,
        torch=lambda x, down=descending: tuple(x.sort(0, down)),
    )
    add(
        f"argsort-{descending}",
        lambda x, down=descending: x.argsort(1, down),
        X,
        gradient=False,
        torch=lambda x, down=descending: x.argsort(1, down),
    )
add("sort-0d", lambda x: tuple(x.sort()), X[0, 0, 0], torch=lambda x: tuple(x.sort()))
add("sort-empty", lambda x: tuple(x.sort(0)), np.zeros((0, 2)), torch=lambda x: tuple(x.sort(0)))
add(
    "sort-booleans",
    lambda x: tuple(x.sort()),
    np.array([True, False, True]),
    torch=lambda x: tuple(x.sort(stable=True)),
)
add(
    "argsort-of-recorded",
    lambda x: x.argsort(),
    X[0, :, 0],
    reference=lambda x: ordered(x, 0, False)[1],
    gradient=False,
)

for k in (0, 1, 3, 5):
    for largest in (True, False):
        add(
            f"topk-{k}-{largest}",
            lambda x, k=k, up=largest: tuple(x.topk(k, 1, up)),
            X,
            dtypes=EVERY,
            torch=lambda x, k=k, up=largest: tuple(x.topk(k, 1, up)),
            reference=lambda x, k=k, up=largest: tuple(v[:, :k] for v in ordered(x, 1, up)),
        )
add("topk-0d", lambda x: tuple(x.topk(1)), X[0, 0, 0], torch=lambda x: tuple(x.topk(1)))
