"""Cases of `gpunn.ops.linear`."""

import numpy as np

from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.activation import derivative_from_output
from gpunn.ops.linear import ActivationLinearBackward, LinearActivation
from gpunn.ops.linear_pooled import PooledLinearBackward
from gpunn.ops.linear_sum import LinearSum

from ..harness import add, normal, off_zero
from .activation import FORMULAS, KINDS
from .math import EVERY, pointwise
from .softmax import functional

W, B = normal(3, 4, seed=1), normal(3, seed=2)


def affine(x, w, b=None):
    """By the definition: z_o = sum of w_oi x_i, plus b_o, for each row x."""
    z = np.zeros((*x.shape[:-1], len(w)))
    for place in np.ndindex(z.shape):
        z[place] = sum(w[place[-1], i] * x[(*place[:-1], i)] for i in range(w.shape[1]))
    return z if b is None else z + b


for shape in ((5, 4), (4,), (1, 4), (0, 4), (2, 5, 4), (2, 1, 2, 4), (2, 0, 4)):
    add(f"linear-{shape}", ops.linear, normal(*shape), W, B, reference=affine, torch=functional("linear"))
    add(f"linear-{shape}-without-bias", ops.linear, normal(*shape), W, reference=affine, torch=functional("linear"))
add("linear-half", ops.linear, normal(5, 4), W, B, reference=affine, torch=functional("linear"), dtypes=EVERY)
add("linear-vector-weight", ops.linear, normal(5, 4), W[0], torch=functional("linear"))
add("linear-no-inputs", ops.linear, np.zeros((5, 0)), np.zeros((3, 0)), B, reference=affine, torch=functional("linear"))
add(
    "linear-no-outputs",
    ops.linear,
    normal(5, 4),
    np.zeros((0, 4)),
    np.zeros(0),
    reference=affine,
    torch=functional("linear"),
)
add("linear-one", ops.linear, normal(1, 1), normal(1, 1), normal(1), reference=affine, torch=functional("linear"))

# Away from the kink at 0 of some activations.
X = np.array([[1.0, -2.0, 0.5, 0.3], [-1.0, 0.2, 0.7, -0.4], [0.1, 0.9, -1.2, 2.0]])
for kind, parameter in KINDS:
    function = pointwise(lambda z, kind=kind, p=parameter: FORMULAS[kind](z, p))
    options = {"dtypes": EVERY, "second_order": kind not in ("relu", "leaky_relu")}
    add(
        f"linear_activation-{kind}-{parameter}",
        lambda x, w, b, kind=kind, p=parameter: ops.linear_activation(x, w, b, kind, p),
        X,
        W,
        B,
        reference=lambda x, w, b, f=function: f(affine(x, w, b)),
        **options,
    )
    add(
        f"linear_activation-{kind}-{parameter}-batches-without-bias",
        lambda x, w, kind=kind, p=parameter: ops.linear_activation(x, w, None, kind, p),
        X.reshape(3, 1, 4),
        W,
        reference=lambda x, w, f=function: f(affine(x, w)),
        **options,
    )
add(
    "linear_activation-both-results",
    lambda x, w, b: apply(LinearActivation("gelu"), x, w, b),
    X,
    W,
    B,
    reference=lambda x, w, b: (pointwise(lambda z: FORMULAS["gelu"](z, 0))(affine(x, w, b)), affine(x, w, b)),
)


def gradients(kind, parameter, wanted, dz, x, w):
    """dX = dZ W f'(V), dW = dZ^T X, db = sum of dZ, with f' from X = f(V)."""
    slope = {
        "none": lambda y: 1.0,
        "relu": lambda y: y > 0,
        "leaky_relu": lambda y: np.where(y > 0, 1, parameter),
        "sigmoid": lambda y: y * (1 - y),
        "tanh": lambda y: 1 - y * y,
    }[kind]
    rows = dz.reshape(-1, dz.shape[-1])
    found = dz @ w * slope(x), rows.T @ x.reshape(len(rows), x.shape[-1]), rows.sum(0)
    return tuple(g for g, want in zip(found, wanted) if want)


for kind, parameter in KINDS:
    if derivative_from_output(kind, parameter):
        op = ActivationLinearBackward(kind, parameter, (True, True, True))
        add(
            f"activation_linear_backward-{kind}-{parameter}",
            lambda *a, op=op: apply(op, *a),
            normal(5, 3, seed=3),
            off_zero(5, 4, seed=4),
            W,
            reference=lambda *a, kind=kind, p=parameter: gradients(kind, p, (True, True, True), *a),
            dtypes=EVERY,
        )
for wanted in ((True, False, False), (False, True, False), (True, False, True), (False, False, True)):
    for shape in ((5,), (1,), (0,), (2, 1, 2)):
        add(
            f"activation_linear_backward-{wanted}-{shape}",
            lambda dz, x, w, wanted=wanted: apply(
                ActivationLinearBackward("tanh", 0.0, wanted),
                dz,
                x if wanted[0] or wanted[1] else None,
                w if wanted[0] else None,
            ),
            normal(*shape, 3),
            normal(*shape, 4),
            W,
            reference=lambda *a, wanted=wanted: gradients("tanh", 0.0, wanted, *a),
        )
add(
    "linear-sum",
    lambda *a: apply(LinearSum(), *a),
    normal(2, 3, 4),
    normal(5, 4, seed=1),
    normal(5, seed=2),
    normal(2, 3, 5, seed=3),
    reference=lambda x, w, b, r: x @ w.T + b + r,
    gradient=False,
)


def pooled_gradients(dz, x, w, which):
    """dV, dW and db in a row, from the definition."""
    dx, dw, db = gradients("tanh", 0.0, (True, True, True), dz, x, w)
    n, c, h, across = which.shape
    dv = np.zeros((n, c, 2 * h, 2 * across))
    for place, number in np.ndenumerate(which):
        image, channel, row, column = place
        i, j = divmod(int(number), 2)
        dv[image, channel, 2 * row + i, 2 * column + j] = dx[image].reshape(c, h, across)[place[1:]]
    return np.concatenate([g.reshape(-1) for g in (dv, dw, db)])


def all_in_a_row(dz, x, w, which):
    found = apply(PooledLinearBackward("tanh", 0.0, (True, True, True)), dz, x, w, which)
    return ops.cat([g.reshape(-1) for g in found])


add(
    "pooled-linear-backward",
    all_in_a_row,
    normal(5, 3, seed=3),
    normal(5, 12, seed=4),
    normal(3, 12, seed=5),
    np.arange(60, dtype=np.uint8).reshape(5, 2, 2, 3) % 4,
    reference=pooled_gradients,
    gradient=False,
)
