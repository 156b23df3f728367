"""Cases of `gpunn.ops.conv` and `gpunn.ops.conv_transpose`."""

import numpy as np

from gpunn import ops

from ..harness import add, normal
from .softmax import functional


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def conv2d_by_loops(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """One result at a time; padding as (above, below, left, right), (height, width) or one number."""
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    if not isinstance(padding, tuple) or len(padding) == 2:
        ph, pw = pair(padding)
        padding = (ph, ph, pw, pw)
    x = np.pad(x, ((0, 0), (0, 0), padding[:2], padding[2:]))
    (n, _, h, width), (o, per_group, kh, kw) = x.shape, w.shape
    z = np.empty((n, o, (h - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1))
    for m, k, r, q in np.ndindex(z.shape):
        first = k // (o // groups) * per_group
        patch = x[m, first : first + per_group, r * sh :, q * sw :][:, ::dh, ::dw][:, :kh, :kw]
        z[m, k, r, q] = (patch * w[k]).sum() + (0 if b is None else b[k])
    return z


def conv_transpose2d_by_loops(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Every element of x puts the kernel, times itself, into the result."""
    (sh, sw), (ph, pw), (eh, ew), (dh, dw) = map(pair, (stride, padding, output_padding, dilation))
    (n, c, h, width), (_, per_group, kh, kw) = x.shape, w.shape
    full = np.zeros(
        (n, per_group * groups, (h - 1) * sh + dh * (kh - 1) + 1 + eh, (width - 1) * sw + dw * (kw - 1) + 1 + ew)
    )
    for m, k, r, q in np.ndindex(x.shape):
        first = k // (c // groups) * per_group
        place = full[m, first : first + per_group, r * sh :, q * sw :]
        place[:, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw] += x[m, k, r, q] * w[k]
    y = full[:, :, ph : full.shape[2] - ph, pw : full.shape[3] - pw]
    return y if b is None else y + b[:, None, None]


def add_conv(name, x, w, options=None, bias=True, reference=None, **case):
    """A case of conv2d: torch takes the same options, the loops take `reference` where theirs differ."""
    options = options or {}
    inputs = [x, w, normal(w.shape[0], seed=2)][: 2 + bias]
    add(
        f"conv2d-{name}",
        lambda *tensors: ops.conv2d(*tensors, **options),
        *inputs,
        reference=lambda *arrays: conv2d_by_loops(*arrays, **(options if reference is None else reference)),
        **{"torch": functional("conv2d", **options), **case},
    )


def add_transposed(name, x, w, options=None, bias=True, **case):
    options = options or {}
    channels = w.shape[1] * options.get("groups", 1)
    inputs = [x, w, normal(channels, seed=2)][: 2 + bias]
    add(
        f"conv_transpose2d-{name}",
        lambda *tensors: ops.conv_transpose2d(*tensors, **options),
        *inputs,
        reference=lambda *arrays: conv_transpose2d_by_loops(*arrays, **options),
        torch=functional("conv_transpose2d", **options),
        **case,
    )


X, W = normal(2, 2, 5, 4), normal(3, 2, 3, 2, seed=1)

add_conv("plain", X, W)
add_conv("no-bias", X, W, bias=False)
add_conv("stride", X, W, {"stride": (2, 1)})
add_conv("padding", X, W, {"padding": (1, 2)})
add_conv("stride-padding", X, W, {"stride": 2, "padding": 1})
add_conv("dilation", X, W, {"dilation": (2, 3)})
add_conv("dilation-padding", X, W, {"dilation": 2, "padding": (2, 1)})
add_conv("stride-dilation-padding", X, W, {"stride": (2, 3), "dilation": (1, 2), "padding": (3, 1)})
add_conv("rows-that-no-position-reaches", normal(1, 1, 6, 6), normal(1, 1, 2, 3, seed=1), {"stride": 4})
add_conv("valid", X, W, {"padding": "valid"}, reference={})
add_conv("same", X, normal(3, 2, 3, 1, seed=1), {"padding": "same"}, reference={"padding": (1, 0)})
# PyTorch warns of a copy where "same" is not the same on both sides, and a warning is an error in these tests.
add_conv("same-even", X, W, {"padding": "same"}, reference={"padding": (1, 1, 0, 1)}, torch=None)
add_conv(
    "same-dilated",
    X,
    W,
    {"padding": "same", "dilation": 3},
    reference={"padding": (3, 3, 1, 2), "dilation": 3},
    torch=None,
)
add_conv("groups", normal(2, 4, 3, 4), normal(6, 2, 2, 2, seed=1), {"groups": 2})
add_conv("groups-strided", normal(2, 4, 3, 4), normal(6, 2, 2, 2, seed=1), {"groups": 2, "stride": 2, "padding": 1})
add_conv("depthwise", normal(1, 3, 4, 4), normal(3, 1, 3, 3, seed=1), {"groups": 3, "padding": 1})
add_conv("pointwise", normal(2, 3, 2, 2), normal(2, 3, 1, 1, seed=1))
add_conv("pointwise-many-pixels", normal(2, 1, 8, 8), normal(2, 1, 1, 1, seed=1))
add_conv("pointwise-many-pixels-groups", normal(1, 2, 8, 8), normal(4, 1, 1, 1, seed=1), {"groups": 2}, bias=False)
add_conv("pointwise-stride", normal(1, 2, 3, 5), normal(2, 2, 1, 1, seed=1), {"stride": 2})
add_conv("padding-larger-than-the-kernel", normal(1, 1, 2, 2), normal(1, 1, 1, 2, seed=1), {"padding": 3})
add_conv("whole-image", normal(2, 2, 3, 2), normal(2, 2, 3, 2, seed=1))
add_conv("size-one", normal(1, 1, 1, 1), normal(1, 1, 1, 1, seed=1))
add_conv("empty-batch", normal(0, 2, 4, 4), W)
add_conv("empty-batch-pointwise", normal(0, 2, 8, 8), normal(3, 2, 1, 1, seed=1))
add_conv("no-channel", normal(2, 0, 4, 3), normal(3, 0, 3, 2, seed=1), torch=None)
add_conv("half", X, W, {"padding": 1}, dtypes=("float16", "bfloat16"), rtol=2e-2, atol=2e-2, gradient=False)

add(
    "conv2d-unbatched",
    lambda x, w: ops.conv2d(x, w, padding=1),
    X[0],
    W,
    reference=lambda x, w: conv2d_by_loops(x[None], w, padding=1)[0],
    torch=functional("conv2d", padding=1),
)

for kind, f in (
    ("none", lambda z: z),
    ("relu", lambda z: np.maximum(z, 0)),
    ("leaky_relu", lambda z: np.where(z > 0, z, 0.01 * z)),
    ("tanh", np.tanh),
    ("softplus", lambda z: np.log1p(np.exp(z))),
    ("silu", lambda z: z / (1 + np.exp(-z))),
):
    add(
        f"conv2d_activation-{kind}",
        lambda x, w, b, kind=kind: ops.conv2d_activation(x, w, b, padding=1, activation=kind),
        X,
        W,
        normal(3, seed=2),
        reference=lambda x, w, b, f=f: f(conv2d_by_loops(x, w, b, padding=1)),
    )
add(
    "conv2d_activation-pointwise",
    lambda x, w, b: ops.conv2d_activation(x, w, b, activation="tanh"),
    normal(2, 1, 8, 8),
    normal(2, 1, 1, 1, seed=1),
    normal(2, seed=2),
    reference=lambda x, w, b: np.tanh(conv2d_by_loops(x, w, b)),
)

for name, options, lifted in (
    ("plain", {}, {}),
    ("all", {"stride": 2, "padding": 1, "dilation": 2}, {"stride": (1, 2), "padding": (0, 1), "dilation": (1, 2)}),
    ("same", {"padding": "same"}, {"padding": (0, 0, 0, 1)}),
    ("groups", {"groups": 2}, {"groups": 2}),
):
    add(
        f"conv1d-{name}",
        lambda x, w, b, options=options: ops.conv1d(x, w, b, **options),
        normal(2, 4, 5),
        normal(2, 4 // options.get("groups", 1), 2, seed=1),
        normal(2, seed=2),
        reference=lambda x, w, b, lifted=lifted: conv2d_by_loops(x[:, :, None], w[:, :, None], b, **lifted)[:, :, 0],
        torch=None if name == "same" else functional("conv1d", **options),
    )
add(
    "conv1d-unbatched",
    lambda x, w: ops.conv1d(x, w),
    normal(2, 5),
    normal(3, 2, 2, seed=1),
    reference=lambda x, w: conv2d_by_loops(x[None, :, None], w[:, :, None])[0, :, 0],
    torch=functional("conv1d"),
)

V = normal(2, 3, 3, 2, seed=1)

add_transposed("plain", normal(2, 2, 3, 2), V)
add_transposed("no-bias", normal(2, 2, 3, 2), V, bias=False)
add_transposed("stride", normal(2, 2, 3, 2), V, {"stride": (2, 3)})
add_transposed("output-padding", normal(1, 2, 3, 2), V, {"stride": 2, "padding": (1, 0), "output_padding": (1, 0)})
add_transposed("output-padding-dilation", normal(1, 2, 3, 2), V, {"dilation": 2, "output_padding": 1, "padding": 1})
add_transposed("padding-cuts-all-overlap", normal(1, 2, 3, 2), V, {"padding": (2, 1)})
add_transposed("dilation", normal(1, 2, 3, 2), V, {"dilation": (1, 2), "stride": 2})
add_transposed("groups", normal(1, 4, 2, 3), normal(4, 3, 2, 2, seed=1), {"groups": 2, "stride": 2})
add_transposed("size-one", normal(1, 1, 1, 1), normal(1, 1, 1, 1, seed=1))
add_transposed("empty-batch", normal(0, 2, 3, 2), V, {"stride": 2})
add_transposed("half", X, normal(2, 3, 2, 2), dtypes=("float16", "bfloat16"), rtol=2e-2, atol=2e-2, gradient=False)

add(
    "conv_transpose2d-unbatched",
    lambda x, w: ops.conv_transpose2d(x, w, stride=2),
    normal(2, 3, 2),
    V,
    reference=lambda x, w: conv_transpose2d_by_loops(x[None], w, stride=2)[0],
    torch=functional("conv_transpose2d", stride=2),
)
for name, options, lifted in (
    ("plain", {}, {}),
    (
        "all",
        {"stride": 3, "padding": 1, "output_padding": 1, "dilation": 2},
        {"stride": (1, 3), "padding": (0, 1), "output_padding": (0, 1), "dilation": (1, 2)},
    ),
):
    add(
        f"conv_transpose1d-{name}",
        lambda x, w, b, options=options: ops.conv_transpose1d(x, w, b, **options),
        normal(2, 2, 4),
        normal(2, 3, 2, seed=1),
        normal(3, seed=2),
        reference=lambda x, w, b, lifted=lifted: conv_transpose2d_by_loops(x[:, :, None], w[:, :, None], b, **lifted)[
            :, :, 0
        ],
        torch=functional("conv_transpose1d", **options),
    )
