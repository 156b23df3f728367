"""Cases of `gpunn.ops.images`."""

import numpy as np

from gpunn import ops

from ..harness import add

RNG = np.random.default_rng(0)
INDEX = np.array([3, 0, 3, 5, 1])


def reference(images, index, scale, shift):
    channels = (-1, *(1,) * (images.ndim - 2)) if scale.size > 1 else ()
    return images[index].astype(np.float64) * scale.reshape(channels) + shift.reshape(channels)


for name, shape, channels in (
    ("colour", (6, 3, 4, 5), 3),
    ("grey", (6, 1, 4, 4), 1),
    ("odd", (6, 2, 3, 3), 2),
    ("one-for-all", (6, 3, 2, 2), 1),
    ("no-channels", (6, 7), 1),
    ("numbers", (6,), 1),
):
    for dtype in (None, "float64", "float16"):
        add(
            f"gather_images-{name}-{dtype or 'default'}",
            lambda x, i, scale, shift, dtype=dtype: ops.gather_images(x, i, scale, shift, dtype),
            RNG.integers(0, 256, shape, dtype=np.uint8),
            INDEX,
            RNG.uniform(0.001, 0.02, channels),
            RNG.normal(size=channels),
            reference=reference,
            gradient=False,
        )
add(
    "gather_images-none",
    ops.gather_images,
    RNG.integers(0, 256, (6, 3, 2, 2), dtype=np.uint8),
    INDEX[:0],
    np.ones(3),
    np.zeros(3),
    reference=reference,
    gradient=False,
)
