"""Cases of `gpunn.ops.softmax` and of the activations made of other ops."""

import numpy as np

from gpunn import ops

from ..harness import add, normal, off_zero


def functional(name, *args, **kwargs):
    """PyTorch's function of this name with these further arguments, found when it is called."""

    def function(*tensors):
        import torch

        return getattr(torch.nn.functional, name)(*tensors, *args, **kwargs)

    return function


def softmax_by_loops(x, dim):
    y = np.empty(x.shape)
    vectors, results = np.moveaxis(x, dim, -1), np.moveaxis(y, dim, -1)
    for place in np.ndindex(vectors.shape[:-1]):
        e = [np.exp(np.float64(v)) for v in vectors[place]]
        results[place] = [v / sum(e) for v in e]
    return y


def log_softmax_by_loops(x, dim):
    return np.log(softmax_by_loops(x, dim))


def softmin_by_loops(x, dim):
    return softmax_by_loops(-x, dim)


for shape, dim in (
    ((5,), 0),
    ((3, 4), 1),
    ((3, 4), 0),
    ((3, 40), -1),
    ((2, 3, 4), 1),
    ((2, 3, 4), -1),
    ((2, 5, 3, 2), 1),
    ((1, 1), 1),
    ((3, 1), 1),
    ((0, 3), 1),
    ((0, 3), 0),
    ((3, 0), 1),
):
    for name, by_loops in (
        ("softmax", softmax_by_loops),
        ("log_softmax", log_softmax_by_loops),
        ("softmin", softmin_by_loops),
    ):
        add(
            f"{name}-{shape}-dim{dim}",
            lambda x, name=name, dim=dim: getattr(ops, name)(x, dim),
            normal(*shape),
            reference=lambda x, by_loops=by_loops, dim=dim: by_loops(x, dim),
            torch=functional(name, dim),
            gradient=0 not in shape,
        )

for name in ("softmax", "log_softmax"):
    add(f"{name}-0d", lambda x, name=name: getattr(ops, name)(x, 0), normal(), torch=functional(name, 0))
    add(
        f"{name}-half",
        lambda x, name=name: getattr(ops, name)(x, 1),
        normal(3, 4),
        torch=functional(name, 1),
        gradient=False,
        dtypes=("float16",),
        rtol=2e-3,
        atol=1e-3,
    )
    add(
        f"{name}-extreme",
        lambda x, name=name: getattr(ops, name)(x, 1),
        np.array([[1e4, -1e4, 9999.0, 0.0], [-1e4, -1e4 + 2, -1e4 - 1, -1e4], [88.0, 89.0, 90.0, 710.0]]),
        torch=functional(name, 1),
        gradient=False,
    )

x = off_zero(3, 4, gap=0.05) * 2
SELU_SCALE, SELU_ALPHA = 1.05070098735548, 1.67326324235437
for name, args, formula in (
    ("logsigmoid", (), lambda x: -np.log1p(np.exp(-x))),
    ("hardtanh", (), lambda x: np.clip(x, -1, 1)),
    ("hardtanh", (-0.5, 2.0), lambda x: np.clip(x, -0.5, 2)),
    ("relu6", (), lambda x: np.clip(x, 0, 6)),
    ("hardswish", (), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("mish", (), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ("selu", (), lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * (np.exp(x) - 1))),
    ("celu", (), lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    ("celu", (0.5,), lambda x: np.where(x > 0, x, 0.5 * (np.exp(x / 0.5) - 1))),
    ("threshold", (0.1, 20.0), lambda x: np.where(x > 0.1, x, 20)),
    ("softsign", (), lambda x: x / (1 + np.abs(x))),
    ("tanhshrink", (), lambda x: x - np.tanh(x)),
    ("hardshrink", (), lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    ("softshrink", (), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    ("softshrink", (0.3,), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.3, 0)),
):
    add(
        "-".join([name, *map(str, args)]),
        lambda x, name=name, args=args: getattr(ops, name)(x, *args),
        x,
        reference=formula,
        torch=functional(name, *args),
    )
add("hardsigmoid", ops.hardsigmoid, x, reference=lambda x: np.clip(x + 3, 0, 6) / 6)
# PyTorch's gradient takes 1/6 in float32, whatever the input.
add("hardsigmoid-torch", ops.hardsigmoid, x, torch=functional("hardsigmoid"), dtypes=("float32",))
add("glu", ops.glu, normal(3, 4), torch=functional("glu"))
add("glu-dim0", lambda x: ops.glu(x, 0), normal(4, 3), torch=functional("glu", 0))
add("prelu-one", ops.prelu, x, np.array([0.25]), torch=functional("prelu"))
add("prelu-channels", ops.prelu, off_zero(2, 3, 4), normal(3), torch=functional("prelu"))
add("prelu-vector", ops.prelu, off_zero(5), np.array([0.25]), torch=functional("prelu"))
