"""Cases of `gpunn.ops.norm`."""

import numpy as np

from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.batch_norm import BatchNormBackward, BatchNormRelu, TrackedBatchNorm

from ..harness import add, normal
from .softmax import functional

EPS = 1e-5


def normalised(x, dims):
    x = x.astype(np.float64)
    return (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + EPS)


def per_channel(p, x):
    return p.reshape(-1, *(1,) * (x.ndim - 2))


def batch_norm_reference(x, w=None, b=None):
    y = normalised(x, (0, *range(2, x.ndim)))
    return y * (1 if w is None else per_channel(w, x)) + (0 if b is None else per_channel(b, x))


def by_torch(name, **kwargs):
    """PyTorch's function with the weight and the bias, where there are some, as keywords."""

    def function(x, w=None, b=None):
        import torch

        return getattr(torch.nn.functional, name)(x, weight=w, bias=b, **kwargs)

    return function


for shape in ((4, 3), (2, 3, 4), (2, 3, 2, 2), (1, 2, 3), (3, 1), (2, 1, 1, 5)):
    for affine in ("", "-affine", "-weight"):
        parameters = [normal(shape[1], seed=s) for s in (1, 2)][: {"": 0, "-affine": 2, "-weight": 1}[affine]]
        add(
            f"batch_norm-{shape}{affine}",
            lambda x, w=None, b=None: ops.batch_norm(x, None, None, w, b, training=True),
            normal(*shape) + 1,
            *parameters,
            reference=batch_norm_reference,
            torch=by_torch("batch_norm", running_mean=None, running_var=None, training=True),
            atol=1e-5,
        )
add(
    "batch_norm-bias-only",
    lambda x, b: ops.batch_norm(x, None, None, None, b, training=True),
    normal(4, 3),
    normal(3, seed=1),
    reference=lambda x, b: normalised(x, 0) + b,
)
add(
    "batch_norm-relu",
    lambda x, w, b: apply(BatchNormRelu(EPS), x, w, b)[0],
    normal(4, 3) + 1,
    normal(3, seed=1),
    normal(3, seed=2),
    reference=lambda *a: np.maximum(batch_norm_reference(*a), 0),
    atol=1e-5,
)


def batch_norm_gradients(dy, x, w, mu, var, b):
    xhat = (x - mu) / np.sqrt(var + EPS)
    dz = np.where(w * xhat + b > 0, dy, 0)
    means = dz.mean(0), (dz * xhat).mean(0)
    return w / np.sqrt(var + EPS) * (dz - means[0] - xhat * means[1]), (dz * xhat).sum(0), dz.sum(0)


add(
    "batch_norm-relu-backward",
    lambda dy, x, w, mu, var, b: apply(BatchNormBackward(EPS, (True, True, True), True), dy, x, w, mu, var, b),
    normal(4, 3),
    X := normal(4, 3, seed=1) + 1,
    normal(3, seed=2),
    X.mean(0),
    X.var(0),
    normal(3, seed=3),
    reference=batch_norm_gradients,
    gradient=False,
    atol=1e-5,
)
add(
    "batch_norm-tracked",
    lambda x, w, b, mean, var: [
        apply(TrackedBatchNorm(EPS, True, 0.75, 0.25, 0.3), x, w, b, mean, var, None)[k] for k in (0, 3, 4)
    ],
    normal(4, 3) + 1,
    *(normal(3, seed=s) for s in range(1, 5)),
    reference=lambda x, w, b, mean, var: (
        np.maximum(batch_norm_reference(x, w, b), 0),
        0.75 * mean + 0.25 * x.astype(np.float64).mean(0),
        0.75 * var + 0.3 * x.astype(np.float64).var(0),
    ),
    gradient=False,
    atol=1e-5,
)
add(
    "batch_norm-many-slices",
    lambda x: ops.batch_norm(x, None, None, training=True),
    normal(70, 5, 400) * 3 + np.arange(70)[:, None, None],
    reference=lambda x: normalised(x, (0, 2)),
    gradient=False,
    atol=1e-5,
)
add(
    "batch_norm-large-sample",
    lambda x: ops.batch_norm(x, None, None, training=True),
    normal(3, 2, 40000),
    reference=lambda x: normalised(x, (0, 2)),
    gradient=False,
    atol=1e-5,
)


def running_statistics(x):
    mean, var = (ops.full((3,), value, dtype=x.dtype, device=x.device) for value in (0.5, 2))
    ops.batch_norm(x, mean, var, training=True, momentum=0.25)
    return mean, var


def running_statistics_by_torch(x):
    import torch

    mean, var = (torch.full((3,), value, dtype=x.dtype) for value in (0.5, 2))
    torch.nn.functional.batch_norm(x, mean, var, training=True, momentum=0.25)
    return mean, var


for shape in ((4, 3), (5, 3, 2, 2)):
    add(
        f"batch_norm-{shape}-running",
        running_statistics,
        normal(*shape) + 1,
        reference=lambda x: (
            0.75 * 0.5 + 0.25 * np.moveaxis(x.astype(np.float64), 1, 0).reshape(3, -1).mean(1),
            0.75 * 2 + 0.25 * np.moveaxis(x.astype(np.float64), 1, 0).reshape(3, -1).var(1, ddof=1),
        ),
        torch=running_statistics_by_torch,
        gradient=False,
    )
add(
    "batch_norm-empty",
    lambda x: ops.batch_norm(x, None, None, training=True),
    normal(0, 3, 2),
    torch=by_torch("batch_norm", running_mean=None, running_var=None, training=True),
    gradient=False,
)
add(
    "batch_norm-half",
    lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
    normal(8, 3),
    normal(3, seed=1),
    normal(3, seed=2),
    reference=batch_norm_reference,
    dtypes=("float16",),
    gradient=False,
    atol=5e-3,
)
for shape in ((4, 3), (2, 3, 2, 2), (0, 3, 2)):
    add(
        f"batch_norm-evaluation-{shape}",
        ops.batch_norm,
        normal(*shape),
        normal(3, seed=1),
        normal(3, seed=2, low=0.5),
        normal(3, seed=3),
        normal(3, seed=4),
        reference=lambda x, m, v, w, b: (
            (x - per_channel(m, x)) / np.sqrt(per_channel(v, x) + EPS) * per_channel(w, x) + per_channel(b, x)
        ),
        torch=lambda x, m, v, w, b: functional("batch_norm", m.detach(), v.detach(), w, b)(x),
        gradient=0 not in shape,
    )
add(
    "batch_norm-evaluation-plain",
    lambda x, m, v: ops.batch_norm(x, m, v, eps=0.0),
    normal(4, 3),
    normal(3, seed=1),
    normal(3, seed=2, low=0.5),
    reference=lambda x, m, v: (x - m) / np.sqrt(v),
)

for shape, last in (
    ((4, 6), (6,)),
    ((2, 3, 4), (3, 4)),
    ((2, 3, 4), (4,)),
    ((5,), (5,)),
    ((3, 1), (1,)),
    ((0, 4), (4,)),
):
    dims = tuple(range(-len(last), 0))
    for affine in (False, True):
        add(
            f"layer_norm-{shape}-{last}{'-affine' if affine else ''}",
            lambda x, w=None, b=None, last=last: ops.layer_norm(x, last, w, b),
            normal(*shape),
            *([normal(*last, seed=1), normal(*last, seed=2)] if affine else []),
            reference=lambda x, w=1, b=0, dims=dims: normalised(x, dims) * w + b,
            # The gradient in x of one element is 0; PyTorch's is a rounding error.
            torch=by_torch("layer_norm", normalized_shape=last) if last != (1,) else None,
            gradient=0 not in shape,
        )
add(
    "layer_norm-bias-only",
    lambda x, b: ops.layer_norm(x, (4,), None, b),
    normal(3, 4),
    normal(4, seed=1),
    reference=lambda x, b: normalised(x, -1) + b,
)
add(
    "layer_norm-half",
    lambda x, w, b: ops.layer_norm(x, (8,), w, b),
    normal(3, 8),
    normal(8, seed=1),
    normal(8, seed=2),
    torch=by_torch("layer_norm", normalized_shape=(8,)),
    dtypes=("float16",),
    gradient=False,
    atol=5e-3,
)
add(
    "layer_norm-many-slices",
    lambda x: ops.layer_norm(x, (300,)),
    normal(700, 300) * 2 + 5,
    reference=lambda x: normalised(x, -1),
    gradient=False,
    atol=1e-5,
)


def group_norm_reference(groups):
    def reference(x, w=None, b=None):
        y = normalised(x.reshape(x.shape[0], groups, -1), -1).reshape(x.shape)
        return y * (1 if w is None else per_channel(w, x)) + (0 if b is None else per_channel(b, x))

    return reference


for shape, groups in (((2, 6), 2), ((2, 4, 3), 2), ((2, 4, 2, 2), 1), ((2, 3, 2, 2), 3), ((1, 4, 3), 4)):
    for affine in (False, True):
        add(
            f"group_norm-{shape}-{groups}{'-affine' if affine else ''}",
            lambda x, w=None, b=None, groups=groups: ops.group_norm(x, groups, w, b),
            normal(*shape),
            *([normal(shape[1], seed=1), normal(shape[1], seed=2)] if affine else []),
            reference=group_norm_reference(groups),
            torch=by_torch("group_norm", num_groups=groups),
            atol=3e-6,  # groups of 3 elements: PyTorch's float32 gradient is 1.3e-6 off its own in float64
        )
add(
    "instance_norm",
    lambda x, w, b: ops.instance_norm(x, weight=w, bias=b),
    normal(2, 3, 4),
    normal(3, seed=1),
    normal(3, seed=2),
    reference=group_norm_reference(3),
    torch=by_torch("instance_norm"),
)
add(
    "instance_norm-evaluation",
    lambda x, m, v: ops.instance_norm(x, m, v, use_input_stats=False),
    normal(2, 3, 4),
    normal(3, seed=1),
    normal(3, seed=2, low=0.5),
    reference=lambda x, m, v: (x - m[:, None]) / np.sqrt(v[:, None] + EPS),
    torch=lambda x, m, v: functional("instance_norm", m.detach(), v.detach(), use_input_stats=False)(x),
)
add(
    "rms_norm",
    lambda x, w: ops.rms_norm(x, (4,), w, 1e-3),
    normal(3, 4),
    normal(4, seed=1),
    reference=lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3) * w,
    torch=lambda x, w: functional("rms_norm", (4,), w, 1e-3)(x),
)
add("rms_norm-default", lambda x: ops.rms_norm(x, (3, 4)), normal(2, 3, 4), torch=functional("rms_norm", (3, 4)))
add(
    "rms_norm-half",
    lambda x: ops.rms_norm(x, (4,)),
    normal(3, 4) * 300,
    torch=functional("rms_norm", (4,)),
    dtypes=("float16",),
    gradient=False,
    atol=2e-3,
)
for p, dim in ((2.0, 1), (1.0, 0), (3.0, 1), (float("inf"), 1), (2.0, (0, 1))):
    add(
        f"normalize-{p}-{dim}",
        lambda x, p=p, dim=dim: ops.normalize(x, p, dim),
        normal(3, 4),
        torch=functional("normalize", p, dim),
    )
add(
    "normalize-zero",
    lambda x: ops.normalize(x, eps=0.5),
    np.zeros((2, 3)),
    torch=functional("normalize", eps=0.5),
    second_order=False,
)
