"""Cases of `gpunn.ops.view`; what they do is said by where each element goes."""

import numpy as np

import gpunn

from ..harness import add, normal
from .arithmetic import by_name

X = normal(2, 3, 4)
EVERY = ("float16", "bfloat16", "float32", "float64")


def from_places(shape, place):
    """The array y of a shape with y[i] = x[place(*i)]."""

    def reference(x):
        y = np.empty(shape, x.dtype)
        for i in np.ndindex(*shape):
            y[i] = x[place(*i)]
        return y

    return reference


def from_order(shape):
    """The array of a shape with the elements in row-major order."""

    def reference(x):
        y = np.empty(shape, x.dtype)
        for i, v in zip(np.ndindex(*shape), [x[j] for j in np.ndindex(*x.shape)]):
            y[i] = v
        return y

    return reference


def both(name, function, x, reference=None, **options):
    """gpunn's and PyTorch's tensors have methods of the same names."""
    add(name, function, x, reference=reference, torch=function, **options)


both("reshape", lambda x: x.reshape(4, 6), X, from_order((4, 6)), dtypes=EVERY)
both("reshape-tuple", lambda x: x.reshape((-1, 2)), X, from_order((12, 2)))
both("reshape-flat", lambda x: x.reshape(-1), X, from_order((24,)))
both("reshape-to-0d", lambda x: x.reshape(()), X[:1, :1, 0], from_order(()))
both("reshape-empty", lambda x: x.reshape(4, -1, 3), np.zeros((2, 0, 3)), from_order((4, 0, 3)))
both("reshape-transposed", lambda x: x.transpose(0, 2).reshape(6, 4), X)
both("reshape-same", lambda x: x.reshape(2, 3, 4), X, from_order((2, 3, 4)))
add("reshape_as", lambda x, y: x.reshape_as(y), X, np.zeros((6, 4)), reference=lambda x, y: from_order((6, 4))(x))
add("view", lambda x: x.contiguous().view(6, -1), X, reference=from_order((6, 4)), torch=lambda x: x.view(6, -1))
add(
    "view_as", lambda x, y: x.contiguous().view_as(y), X, np.zeros((6, 4)), reference=lambda x, y: from_order((6, 4))(x)
)
both("permute", lambda x: x.permute(2, 0, 1), X, from_places((4, 2, 3), lambda i, j, k: (j, k, i)), dtypes=EVERY)
both("permute-tuple", lambda x: x.permute((-1, 0, -2)), X, from_places((4, 2, 3), lambda i, j, k: (j, k, i)))
both("permute-0d", lambda x: x.permute(()), X[0, 0, 0], lambda x: x)
both("transpose", lambda x: x.transpose(0, -1), X, from_places((4, 3, 2), lambda i, j, k: (k, j, i)))
both("transpose-one", lambda x: x.transpose(0, 0), X[0, 0], lambda x: x)
both("transpose-0d", lambda x: x.transpose(0, -1), X[0, 0, 0], lambda x: x)
both("movedim", lambda x: x.movedim(0, 2), X, from_places((3, 4, 2), lambda i, j, k: (k, i, j)))
both("movedim-several", lambda x: x.movedim((0, 1), (-1, 0)), X, from_places((3, 4, 2), lambda i, j, k: (k, i, j)))
both("t", lambda x: x.t(), X[0], from_places((4, 3), lambda i, j: (j, i)))
both("t-of-a-vector", lambda x: x.t(), X[0, 0], lambda x: x)
both("T", lambda x: x.T, X[0], from_places((4, 3), lambda i, j: (j, i)))
both("mT", lambda x: x.mT, X, from_places((2, 4, 3), lambda i, j, k: (i, k, j)))
both(
    "expand",
    lambda x: x.expand(5, -1, 3, 4),
    X[:, :1],
    from_places((5, 2, 3, 4), lambda h, i, j, k: (i, 0, k)),
    dtypes=EVERY,
)
both("expand-0d", lambda x: x.expand(2, 3), X[0, 0, 0], lambda x: np.full((2, 3), x))
both("expand-empty", lambda x: x.expand(0, 3), X[0, :1, :1], lambda x: np.zeros((0, 3), x.dtype))
both("broadcast_to", lambda x: x.broadcast_to((2, 3, 4)), X[0], lambda x: np.stack([x, x]))
add("expand_as", lambda x, y: x.expand_as(y), X[:, :1], np.zeros((2, 3, 4)), torch=lambda x, y: x.expand_as(y))
both("flatten", lambda x: x.flatten(), X, from_order((24,)))
both("flatten-some", lambda x: x.flatten(1), X, from_order((2, 12)))
both("flatten-first", lambda x: x.flatten(0, 1), X, from_order((6, 4)))
both("flatten-0d", lambda x: x.flatten(), X[0, 0, 0], from_order((1,)))
both("flatten-empty", lambda x: x.flatten(1), np.zeros((0, 2, 3)), from_order((0, 6)))
both("unflatten", lambda x: x.unflatten(2, (2, -1)), X, from_order((2, 3, 2, 2)))
both("squeeze", lambda x: x.squeeze(), X[:1, :, :1], from_order((3,)))
both("squeeze-one", lambda x: (x.squeeze(0), x.squeeze(1), x.squeeze(-1)), X[:1, :, :1])
both("squeeze-several", lambda x: x.squeeze((0, 2)), X[:1, :, :1], from_order((3,)))
both("unsqueeze", lambda x: (x.unsqueeze(0), x.unsqueeze(2), x.unsqueeze(-1)), X)
both("unsqueeze-0d", lambda x: x.unsqueeze(0), X[0, 0, 0], from_order((1,)))
both("clone", lambda x: x.clone(), X, lambda x: x, dtypes=EVERY)
both("clone-transposed", lambda x: x.transpose(0, 1).clone(), X)
both("contiguous", lambda x: x.transpose(0, 1).contiguous(), X, from_places((3, 2, 4), lambda i, j, k: (j, i, k)))
add("identity", gpunn.ops.identity, X, reference=lambda x: x)
for name in ("reshape", "permute", "transpose", "squeeze", "unsqueeze", "flatten", "movedim"):
    arguments = {
        "reshape": ((6, 4),),
        "permute": ((2, 1, 0),),
        "transpose": (0, 1),
        "unsqueeze": (0,),
        "movedim": (0, 1),
    }
    rest = arguments.get(name, ())
    add(
        f"{name}-function",
        lambda x, n=name, rest=rest: getattr(gpunn, n)(x, *rest),
        X,
        torch=lambda x, n=name, rest=rest: by_name(n)(x, *rest),
    )
add("integers-are-viewed", lambda x: x.reshape(3, 2).t(), np.arange(6), torch=lambda x: x.reshape(3, 2).t())
