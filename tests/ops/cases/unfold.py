"""Cases of `gpunn.ops.unfold`."""

import numpy as np

from gpunn import ops

from ..harness import add, normal
from .conv import pair
from .softmax import functional


def places(size, kernel_size, dilation=1, padding=0, stride=1):
    """Row and column, in the padded image, of each element of each patch: two arrays (kh kw, patches)."""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = map(pair, (kernel_size, dilation, padding, stride))
    height, width = size[0] + 2 * ph - dh * (kh - 1), size[1] + 2 * pw - dw * (kw - 1)
    corners = [(r, q) for r in range(0, height, sh) for q in range(0, width, sw)]
    elements = [(i * dh, j * dw) for i in range(kh) for j in range(kw)]
    return tuple(np.array([[e[axis] + c[axis] for c in corners] for e in elements]) for axis in (0, 1))


def unfold_by_index(x, **options):
    ph, pw = pair(options.get("padding", 0))
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows, columns = places(x.shape[2:], **options)
    return padded[:, :, rows, columns].reshape(x.shape[0], -1, rows.shape[1])


def fold_by_index(y, output_size, **options):
    ph, pw = pair(options.get("padding", 0))
    rows, columns = places(output_size, **options)
    y = y.reshape(y.shape[0], -1, *rows.shape)
    padded = np.zeros((*y.shape[:2], output_size[0] + 2 * ph, output_size[1] + 2 * pw))
    for n, c in np.ndindex(*y.shape[:2]):
        for place in np.ndindex(rows.shape):
            padded[n, c, rows[place], columns[place]] += y[n, c][place]
    return padded[:, :, ph : ph + output_size[0], pw : pw + output_size[1]]


for name, options in (
    ("plain", {"kernel_size": (2, 3)}),
    ("padding", {"kernel_size": 3, "padding": (1, 2)}),
    ("stride", {"kernel_size": 2, "stride": (2, 1)}),
    ("dilation", {"kernel_size": (2, 2), "dilation": (3, 1)}),
    ("all", {"kernel_size": (2, 1), "stride": 3, "padding": 1, "dilation": 2}),
):
    x = normal(2, 2, 4, 5)
    add(
        f"unfold-{name}",
        lambda x, options=options: ops.unfold(x, **options),
        x,
        reference=lambda x, options=options: unfold_by_index(x, **options),
        torch=functional("unfold", **options),
    )
    add(
        f"fold-{name}",
        lambda y, options=options: ops.fold(y, (4, 5), **options),
        normal(*unfold_by_index(x, **options).shape, seed=1),
        reference=lambda y, options=options: fold_by_index(y, (4, 5), **options),
        torch=functional("fold", (4, 5), **options),
    )

add("unfold-unbatched", lambda x: ops.unfold(x, 2), normal(2, 3, 3), torch=functional("unfold", 2))
add("unfold-empty", lambda x: ops.unfold(x, 2), normal(0, 2, 3, 3), torch=functional("unfold", 2))
add("fold-unbatched", lambda y: ops.fold(y, 3, 2), normal(4, 4), torch=functional("fold", 3, 2))
add("fold-empty", lambda y: ops.fold(y, 3, 2), normal(0, 8, 4), torch=functional("fold", 3, 2))
add(
    "fold-half",
    lambda y: ops.fold(y, 4, 3),
    normal(1, 18, 4),
    reference=lambda y: fold_by_index(y.astype(np.float64), (4, 4), kernel_size=3),
    dtypes=("float16", "bfloat16"),
    rtol=2e-2,
    atol=2e-2,
    gradient=False,
)
