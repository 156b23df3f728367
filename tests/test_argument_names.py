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
