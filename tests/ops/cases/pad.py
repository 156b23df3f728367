"""Cases of `gpunn.ops.pad`."""

import numpy as np

from gpunn.ops import pad

from ..harness import add, normal


def torch_pad(*args, **kwargs):
    import torch

    return torch.nn.functional.pad(*args, **kwargs)


def case(shape, sides, mode="constant", value=None):
    """Where nothing is taken away, NumPy's own pad is the reference."""
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    width = [(0, 0)] * (len(shape) - len(sides) // 2) + [tuple(sides[i : i + 2]) for i in range(len(sides) - 2, -1, -2)]
    options = {"constant_values": value or 0} if mode == "constant" else {}
    add(
        f"pad-{mode}-{shape}-{sides}-{value}",
        lambda x: pad(x, sides, mode, value),
        normal(*shape),
        reference=None if min(sides, default=0) < 0 else lambda x: np.pad(x, width, modes[mode], **options),
        torch=lambda x: torch_pad(x, sides, mode, value),
    )


case((2, 3), (1, 2))
case((2, 3), (1, 2, 0, 1), value=-1.5)
case((2, 3, 4), (0, 0, 2, 1), value=2)
case((2, 3), (0, 0))
case((2, 3), ())
case((0, 3), (1, 1, 1, 0), value=1.0)
case((2, 4), (-1, 2))
case((2, 4), (-1, -2, 1, 0), value=0.5)
case((2, 4), (-3, -1))
for mode in ("reflect", "replicate", "circular"):
    case((1, 2, 4), (1, 2), mode)
    case((1, 2, 4), (3, 0), mode)
    case((1, 2, 3, 4), (2, 1, 1, 2), mode)
    case((1, 1, 2, 3, 2), (1, 0, 0, 2, 1, 1), mode)
    case((1, 2, 4), (-1, 2), mode)
    case((1, 2, 4), (0, -2), mode)
case((1, 2, 1), (0, 0), "reflect")
case((1, 2, 1), (3, 2), "replicate")
case((1, 2, 2), (2, 2), "circular")
