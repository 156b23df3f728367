"""Cases of `gpunn.ops.pool`, `gpunn.ops.avg_pool` and `gpunn.ops.adaptive_pool`."""

from math import ceil, floor

import numpy as np

import gpunn
from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.conv_pool import Conv2dMaxPool, Conv2dMaxPoolWeightGrad
from gpunn.ops.pool import MaxPool2dActivationBackward, MaxPool2dGather

from ..harness import add, distinct, normal, off_zero
from .conv import conv2d_by_loops, pair
from .softmax import functional


def windows(size, kernel, stride, padding, dilation, ceil_mode):
    """Along one axis: the elements of each window, in the order of the kernel, those in the padding too."""
    stride = kernel if stride is None else stride
    steps = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride
    starts = [i * stride - padding for i in range((ceil(steps) if ceil_mode else floor(steps)) + 1)]
    starts = [s for s in starts if s < size + padding]  # PyTorch: a window begins in the image or before it
    return [[s + k * dilation for k in range(kernel)] for s in starts]


def axes_of(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    strides = (None, None) if stride is None else pair(stride)
    both = zip(x.shape[2:], pair(kernel_size), strides, pair(padding), pair(dilation))
    return [windows(*axis, ceil_mode) for axis in both]


def max_pool_by_loops(x, **options):
    rows, columns = axes_of(x, **options)
    (height, width), y = x.shape[2:], np.empty((*x.shape[:2], len(rows), len(columns)))
    where = np.empty(y.shape, int)
    for n, c, r, q in np.ndindex(y.shape):
        inside = [(i, j) for i in rows[r] for j in columns[q] if 0 <= i < height and 0 <= j < width]
        i, j = max(inside, key=lambda place: x[n, c][place])  # the first of equal ones
        y[n, c, r, q], where[n, c, r, q] = x[n, c, i, j], i * width + j
    return y, where


def avg_pool_by_loops(x, count_include_pad=True, divisor_override=None, **options):
    rows, columns = axes_of(x, **options)
    (height, width), (ph, pw) = x.shape[2:], pair(options.get("padding", 0))
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for n, c, r, q in np.ndindex(y.shape):
        inside = [(i, j) for i in rows[r] for j in columns[q] if 0 <= i < height and 0 <= j < width]
        padded = [(i, j) for i in rows[r] for j in columns[q] if i < height + ph and j < width + pw]
        total = sum(x[n, c][place] for place in inside)
        y[n, c, r, q] = total / (divisor_override or len(padded if count_include_pad else inside))
    return y


def adaptive_by_loops(x, size, reduce):
    y = np.empty((*x.shape[:2], *size))
    for r, q in np.ndindex(*size):
        rows, columns = (slice(floor(i * n / o), ceil((i + 1) * n / o)) for i, n, o in zip((r, q), x.shape[2:], size))
        y[:, :, r, q] = reduce(x[:, :, rows, columns], axis=(2, 3))
    return y


for name, shape, options in (
    ("plain", (2, 2, 4, 6), {"kernel_size": 2}),
    ("odd-size", (1, 2, 5, 3), {"kernel_size": 2}),
    ("rectangle", (1, 2, 5, 4), {"kernel_size": (3, 1), "stride": (1, 2)}),
    ("overlapping", (1, 2, 5, 5), {"kernel_size": 3, "stride": 2}),
    ("overlapping-more", (1, 1, 5, 4), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("gaps", (1, 1, 5, 6), {"kernel_size": 2, "stride": 3}),
    ("padding", (1, 2, 4, 5), {"kernel_size": (2, 3), "padding": 1}),
    ("dilation", (1, 1, 5, 6), {"kernel_size": 2, "stride": 1, "dilation": (2, 3)}),
    ("dilation-padding", (1, 1, 5, 6), {"kernel_size": 2, "stride": 2, "dilation": 2, "padding": 1}),
    ("ceil", (1, 1, 5, 6), {"kernel_size": 2, "stride": (2, 4), "ceil_mode": True}),
    ("ceil-padding", (1, 1, 4, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("ceil-window-beyond", (1, 1, 4, 3), {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
    ("one-window", (2, 1, 3, 2), {"kernel_size": (3, 2)}),
    ("size-one", (1, 1, 1, 1), {"kernel_size": 1}),
    ("empty-batch", (0, 2, 4, 4), {"kernel_size": 2}),
):
    add(
        f"max_pool2d-{name}",
        lambda x, options=options: ops.max_pool2d(x, **options, return_indices=True),
        distinct(*shape),
        reference=lambda x, options=options: max_pool_by_loops(x, **options),
        torch=functional("max_pool2d", **options, return_indices=True),
    )
    if "dilation" in options:
        continue
    for further in ({}, {"count_include_pad": False}, {"divisor_override": 3}):
        add(
            f"avg_pool2d-{name}{'-'.join(('', *further))}",
            lambda x, options=options, further=further: ops.avg_pool2d(x, **options, **further),
            normal(*shape),
            reference=lambda x, options=options, further=further: avg_pool_by_loops(x, **options, **further),
            torch=functional("avg_pool2d", **options, **further),
        )

for name, options in (
    ("plain", {"kernel_size": 2}),
    ("all", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
):
    lifted = {k: (v if k == "ceil_mode" else (int(k != "padding"), v)) for k, v in options.items()}
    lifted["kernel_size"] = (1, options["kernel_size"])
    add(
        f"max_pool1d-{name}",
        lambda x, options=options: ops.max_pool1d(x, **options, return_indices=True),
        distinct(2, 3, 6),
        reference=lambda x, lifted=lifted: tuple(y[:, :, 0] for y in max_pool_by_loops(x[:, :, None], **lifted)),
        torch=functional("max_pool1d", **options, return_indices=True),
    )
    add(
        f"avg_pool1d-{name}",
        lambda x, options=options: ops.avg_pool1d(x, **options),
        normal(2, 3, 6),
        reference=lambda x, lifted=lifted: avg_pool_by_loops(x[:, :, None], **lifted)[:, :, 0],
        torch=functional("avg_pool1d", **options),
    )

add("max_pool2d-unbatched", lambda x: ops.max_pool2d(x, 2), distinct(2, 4, 4), torch=functional("max_pool2d", 2))
add("max_pool1d-unbatched", lambda x: ops.max_pool1d(x, 2), distinct(2, 4), torch=functional("max_pool1d", 2))
add("avg_pool2d-unbatched", lambda x: ops.avg_pool2d(x, 2), normal(2, 4, 4), torch=functional("avg_pool2d", 2))
add("avg_pool1d-unbatched", lambda x: ops.avg_pool1d(x, 2), normal(2, 4), torch=functional("avg_pool1d", 2))
add(
    "max_pool2d-more-than-256-elements",
    lambda x: ops.max_pool2d(x, 17, stride=1, return_indices=True),
    distinct(1, 1, 18, 17),
    reference=lambda x: max_pool_by_loops(x, kernel_size=17, stride=1),
    torch=functional("max_pool2d", 17, stride=1, return_indices=True),
    second_order=False,
)
add(
    "max_pool2d-integers",
    lambda x: ops.max_pool2d(x, 2, padding=1),
    np.arange(-24, 0).reshape(1, 2, 3, 4),
    reference=lambda x: max_pool_by_loops(x, kernel_size=2, padding=1)[0],
    torch=functional("max_pool2d", 2, padding=1),
    gradient=False,
)
for function, by_loops in (
    ("max_pool2d", lambda x: max_pool_by_loops(x, kernel_size=2)[0]),
    ("avg_pool2d", lambda x: avg_pool_by_loops(x, kernel_size=2)),
):
    add(
        f"{function}-half",
        lambda x, function=function: getattr(ops, function)(x, 2),
        normal(1, 2, 4, 4),
        reference=lambda x, by_loops=by_loops: by_loops(x.astype(np.float64)),
        dtypes=("float16", "bfloat16"),
        rtol=1e-2,
        atol=1e-2,
        gradient=False,
    )

for size, given in (
    ((1, 1), 1),
    ((2, 3), (2, 3)),
    ((3, 2), (3, 2)),
    ((4, 6), (None, None)),
    ((6, 7), (6, 7)),
    ((4, 2), (None, 2)),
):
    add(
        f"adaptive_avg_pool2d-{given}",
        lambda x, given=given: ops.adaptive_avg_pool2d(x, given),
        normal(2, 2, 4, 6),
        reference=lambda x, size=size: adaptive_by_loops(x, size, np.mean),
        torch=functional("adaptive_avg_pool2d", given),
    )
add(
    "adaptive_avg_pool2d-unbatched",
    lambda x: ops.adaptive_avg_pool2d(x, 2),
    normal(2, 3, 3),
    reference=lambda x: adaptive_by_loops(x[None], (2, 2), np.mean)[0],
    torch=functional("adaptive_avg_pool2d", 2),
)
add(
    "adaptive_avg_pool2d-half",
    lambda x: ops.adaptive_avg_pool2d(x, 2),
    normal(1, 2, 3, 4),
    reference=lambda x: adaptive_by_loops(x.astype(np.float64), (2, 2), np.mean),
    dtypes=("float16", "bfloat16"),
    rtol=1e-2,
    atol=1e-2,
    gradient=False,
)
add(
    "adaptive_avg_pool1d",
    lambda x: ops.adaptive_avg_pool1d(x, 3),
    normal(2, 2, 5),
    reference=lambda x: adaptive_by_loops(x[:, :, None], (1, 3), np.mean)[:, :, 0],
    torch=functional("adaptive_avg_pool1d", 3),
)
add(
    "adaptive_max_pool2d",
    lambda x: ops.adaptive_max_pool2d(x, (2, 3)),
    distinct(2, 2, 4, 6),
    reference=lambda x: adaptive_by_loops(x, (2, 3), np.max),
    torch=functional("adaptive_max_pool2d", (2, 3)),
)
WHICH = np.array([[[[3, 0], [2, 1]]]])
add(
    "max_pool2d-gather",  # the gradient of max pooling's gradient
    lambda x, which: apply(MaxPool2dGather((2, 2), (2, 1)), x, which.to(gpunn.uint8)),
    normal(1, 1, 4, 3),
    WHICH,
    reference=lambda x, which: np.array([[[[x[0, 0, 1, 1], x[0, 0, 0, 1]], [x[0, 0, 3, 0], x[0, 0, 2, 2]]]]]),
)


def activation_of_pooling(kind, dy, y, which):
    slope = {"relu": y > 0, "tanh": 1 - y * y, "sigmoid": y * (1 - y)}[kind]
    dz = np.zeros((*y.shape[:2], 4, 6))
    for place in np.ndindex(y.shape):
        n, c, r, q = place
        dz[n, c, 2 * r + which[place] // 2, 2 * q + which[place] % 2] = (dy * slope)[place]
    return dz


for kind in ("relu", "tanh", "sigmoid"):
    op = MaxPool2dActivationBackward((2, 2), (2, 2), size=(4, 6), activation=kind)
    add(
        f"max_pool2d_activation_backward-{kind}",
        lambda dy, y, which, op=op: apply(op, dy, y, which),
        normal(2, 3, 2, 3),
        off_zero(2, 3, 2, 3),
        np.arange(36, dtype=np.uint8).reshape(2, 3, 2, 3) % 4,
        reference=lambda *a, kind=kind: activation_of_pooling(kind, *a),
    )


def pooled_convolution(x, w, b):
    y = np.tanh(conv2d_by_loops(x, w, b))
    return y.reshape(*y.shape[:2], y.shape[2] // 2, 2, y.shape[3] // 2, 2).max((3, 5))


def pooled_convolution_in_torch(x, w, b):
    from torch.nn import functional

    return functional.max_pool2d(functional.conv2d(x, w, b).tanh(), 2)


add(
    "conv2d_max_pool",
    lambda x, w, b: apply(Conv2dMaxPool(activation="tanh"), x, w, b)[0],
    normal(2, 2, 6, 8),
    normal(3, 2, 3, 3, seed=1),
    normal(3, seed=2),
    reference=pooled_convolution,
    torch=pooled_convolution_in_torch,
)


def pooled_weight_gradient(x, dp, p, which):
    """dW and db, from the definition."""
    dz = activation_of_pooling("tanh", dp, p, which)
    dw = np.zeros((dz.shape[1], x.shape[1], 3, 3))
    for i, j in np.ndindex(3, 3):
        dw[:, :, i, j] = np.einsum("norq,ncrq->oc", dz, x[:, :, i : i + 4, j : j + 6])
    return np.concatenate([dw.reshape(-1), dz.sum((0, 2, 3))])


def both_gradients(x, dp, p, which):
    dw, db = apply(Conv2dMaxPoolWeightGrad(kernel=(3, 3), bias=True, activation="tanh"), x, dp, p, which)
    return ops.cat([dw.reshape(-1), db])


add(
    "conv2d_max_pool_weight_grad",
    both_gradients,
    normal(2, 2, 6, 8),
    normal(2, 3, 2, 3, seed=1),
    normal(2, 3, 2, 3, seed=2),
    np.arange(36, dtype=np.uint8).reshape(2, 3, 2, 3) % 4,
    reference=pooled_weight_gradient,
)
