"""The names of arguments that PyTorch takes beside its own: NumPy's, and sizes by name."""

import numpy as np
import pytest

import gpunn

X = np.arange(24.0).reshape(2, 3, 4)

# The call, written for both; `t` is the module, `x` a tensor.
CALLS = {
    "sum": lambda t, x: t.sum(x, axis=1, keepdims=True),
    "method": lambda t, x: x.mean(axis=(0, 2), keepdims=True),
    "max": lambda t, x: x.max(axis=-1, keepdims=True)[0],
    "argmax": lambda t, x: t.argmax(x, axis=1),
    "cat": lambda t, x: t.cat((x, x), axis=2),
    "stack": lambda t, x: t.stack([x, x], axis=1),
    "softmax": lambda t, x: t.softmax(x, axis=0),
    "squeeze": lambda t, x: x[:, :1].squeeze(axis=1),
    "unsqueeze": lambda t, x: t.unsqueeze(x, axis=0),
    "var": lambda t, x: x.var(axis=1),
    "cumsum": lambda t, x: x.cumsum(axis=2),
    "sort": lambda t, x: (-x).sort(axis=1)[0],
    "logsumexp": lambda t, x: t.logsumexp(x, axis=2, keepdims=True),
    "flip": lambda t, x: t.flip(x, dims=(0, 2)),
    "flip method": lambda t, x: x.flip(dims=[1]),
    "permute": lambda t, x: t.permute(x, dims=(2, 0, 1)),
    "tile": lambda t, x: t.tile(x, dims=(2, 1, 1)),
    "reshape": lambda t, x: t.reshape(x, shape=(6, 4)),
    "reshape method": lambda t, x: x.reshape(shape=(4, 6)),
    "view": lambda t, x: x.view(size=(4, 6)),
    "expand": lambda t, x: x[:, :1].expand(size=(2, 5, 4)),
    "broadcast_to": lambda t, x: t.broadcast_to(x, size=(2, 2, 3, 4)),
    "zeros": lambda t, x: t.zeros(size=(2, 3)),
    "ones": lambda t, x: t.ones(size=[2]),
    "empty": lambda t, x: t.empty(size=(0, 3)),
    "full": lambda t, x: t.full(size=(2,), fill_value=3.0),
    "tuple as an index": lambda t, x: x[:, (1, 2)],
    "one tuple as an index": lambda t, x: x[(1, 0),],
    "an empty tuple inside": lambda t, x: x[:, ()],
    "tuples of masks": lambda t, x: x[:, (True, False, True)],
}


@pytest.mark.parametrize("call", CALLS)
def test_as_in_torch(torch, call):
    ours, theirs = CALLS[call](gpunn, gpunn.tensor(X)), CALLS[call](torch, torch.tensor(X))
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


def test_nothing_as_an_index():
    """As NumPy, and as PyTorch will."""
    assert gpunn.tensor(X)[[[]]].shape == X[[[]]].shape == (1, 0, 3, 4)


def test_random_numbers_by_names():
    assert gpunn.rand(size=(2, 3)).shape == gpunn.randn(size=(2, 3)).shape == (2, 3)
    for numbers in (
        gpunn.randint(5, size=(100,)),
        gpunn.randint(high=5, size=(100,)),
        gpunn.randint(low=0, high=5, size=(100,)),
    ):
        assert set(numbers.tolist()) == {0, 1, 2, 3, 4}
    with pytest.raises(TypeError, match="size is a tuple"):
        gpunn.randint(size=(2,))


def test_both_names_are_an_error():
    with pytest.raises(TypeError, match="both dim= and axis="):
        gpunn.sum(gpunn.tensor(X), dim=0, axis=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
        gpunn.sum(gpunn.tensor(X), axes=1)


# Calls that write into what is there; `o` makes a tensor of zeros in a shape and a type.
OUT = {
    "elementwise": lambda t, x, o: t.add(x, x[:1], alpha=2, out=o((2, 3, 4), "float64")),
    "wider": lambda t, x, o: t.sin(x.to(t.float32), out=o((2, 3, 4), "float64")),
    "narrower": lambda t, x, o: t.exp(x / 30, out=o((2, 3, 4), "float32")),
    "a reduction": lambda t, x, o: t.sum(x, dim=1, keepdims=True, out=o((2, 1, 4), "float64")),
    "no shape yet": lambda t, x, o: t.cat([x, x], axis=2, out=o((0,), "float64")),
    "booleans": lambda t, x, o: t.lt(x, 5, out=o((2, 3, 4), "bool")),
    "booleans as numbers": lambda t, x, o: t.lt(x, 5, out=o((2, 3, 4), "int32")),
    "indices": lambda t, x, o: t.argmax(x, 1, out=o((2, 4), "int64")),
    "two": lambda t, x, o: t.max(x, 1, out=(o((2, 4), "float64"), o((2, 4), "int64"))),
    "two by name": lambda t, x, o: t.sort(-x, dim=0, out=(o((0,), "float64"), o((0,), "int64"))).indices,
    "making": lambda t, x, o: t.arange(3, out=o((3,), "int16")),
    "full": lambda t, x, o: t.full((2, 2), 7, out=o((0,), "float64")),
    "a view": lambda t, x, o: (y := o((4, 4), "float64"), t.mm(x[0].T, x[1], out=y[:4]))[0],
    "linalg": lambda t, x, o: t.linalg.matrix_norm(x, out=o((2,), "float64")),
    "loaded later": lambda t, x, o: t.cumprod(x, 1, out=o((2, 3, 4), "float64")),
}


@pytest.mark.parametrize("call", OUT)
def test_results_written_as_in_torch(torch, call):
    given = {gpunn: [], torch: []}
    results = []
    for t in given:

        def zeros(shape, dtype, t=t):
            given[t].append(t.zeros(shape, dtype=getattr(t, dtype)))
            return given[t][-1]

        results.append(OUT[call](t, t.tensor(X), zeros))
    ours, theirs = ([r] if hasattr(r, "numel") else list(r) for r in results)
    for a, b in zip([*ours, *given[gpunn]], [*theirs, *given[torch]], strict=True):
        assert tuple(a.shape) == tuple(b.shape) and str(a.dtype)[6:] == str(b.dtype)[6:]
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_results_that_can_t_be_written():
    x = gpunn.tensor(X)
    with pytest.raises(RuntimeError, match=r"sin\(\): the result is float64\[2, 3, 4\], for which out of int64"):
        gpunn.sin(x, out=gpunn.zeros(2, 3, 4, dtype=gpunn.int64))
    with pytest.raises(RuntimeError, match=r"sum\(\): out has the shape \[3\], the result \[2, 4\]; give .*empty\(0\)"):
        gpunn.sum(x, 1, out=gpunn.ones(3, dtype=gpunn.float64))
    with pytest.raises(TypeError, match=r"max\(\): out= takes a tuple of 2 tensors, got Tensor of 1"):
        gpunn.max(x, 1, out=x[0])
    with pytest.raises(TypeError, match=r"add\(\): out= takes one tensor, got tuple of 1"):
        gpunn.add(x, x, out=(x,))
    with pytest.raises(TypeError, match=r"add\(\): out= takes tensors, got ndarray"):
        gpunn.add(x, x, out=X.copy())
    w = gpunn.ones(2, 3, 4, dtype=gpunn.float64, requires_grad=True)
    for args, out in (((x, w), x), ((x, x), w)):
        with pytest.raises(RuntimeError, match=r"mul\(\): functions with out=.* don't support automatic diff"):
            gpunn.mul(*args, out=out)
    with gpunn.no_grad():
        assert gpunn.mul(x, w, out=w) is w and w.tolist() == X.tolist()
