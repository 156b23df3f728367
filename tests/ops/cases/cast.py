"""Cases of `gpunn.ops.cast`."""

import numpy as np

import gpunn
from tests.backend import recording  # noqa: F401 (makes the device "recorder")

from ..harness import add, normal

X = normal(3, 4) * 3
EVERY = ("float16", "bfloat16", "float32", "float64")


def torch_type(name):
    import torch

    return getattr(torch, name)


for name in EVERY:
    # Types that hold less round, so central differences see steps; the gradient is compared with PyTorch's.
    add(
        f"to-{name}",
        lambda x, n=name: x.to(getattr(gpunn, n)),
        X,
        torch=lambda x, n=name: x.to(torch_type(n)),
        dtypes=EVERY,
        second_order=False,
        gradient=name == "float64",
    )
for name in ("uint8", "int8", "int16", "int32", "int64", "bool"):
    add(
        f"to-{name}",
        lambda x, n=name: x.to(getattr(gpunn, n)),
        abs(X),
        torch=lambda x, n=name: x.to(torch_type(n)),
        dtypes=EVERY,
        gradient=False,
    )
    add(
        f"to-{name}-from-integers",
        lambda x, n=name: x.to(getattr(gpunn, n)),
        np.array([[1, 0, 300], [-5, 127, -1]]),
        torch=lambda x, n=name: x.to(torch_type(n)),
    )
    add(
        f"{name}-to-float",
        lambda x, n=name: x.to(getattr(gpunn, n)).float(),
        np.array([0, 1, 100]),
        torch=lambda x, n=name: x.to(torch_type(n)).float(),
    )
add(
    "to-bool-special",
    lambda x: x.bool(),
    np.array([0.0, -0.0, np.nan, np.inf, 1e-30]),
    torch=lambda x: x.bool(),
    gradient=False,
)
add(
    "methods",
    lambda x: (x.float(), x.double(), x.half(), x.bfloat16(), x.long(), x.int(), x.bool()),
    X,
    torch=lambda x: (x.float(), x.double(), x.half(), x.bfloat16(), x.long(), x.int(), x.bool()),
    gradient=False,
)
add("to-0d", lambda x: x.double(), X[0, 0], torch=lambda x: x.double())
add("to-empty", lambda x: x.double(), X[:0], torch=lambda x: x.double())
# float32 -> float64 -> float32 is exact, also for the gradient.
add("to-and-back", lambda x: x.double().to(x.dtype) * 2, X, reference=lambda x: x * 2)
add("to-device", lambda x: (x.to("recorder") * 2).cpu(), X, reference=lambda x: x * 2, dtypes=EVERY)
add("to-device-and-type", lambda x: x.to("recorder", gpunn.float64).cpu(), X, reference=lambda x: x)
