"""Indexing beyond what the cases cover: random keys, views, writes, errors, order of sums."""

import re

import numpy as np
import pytest

import gpunn
from gpunn.ops import Cost


def random_key(rng, shape):
    """A key for a tensor of this shape: any mixture of entries, with lists of indices that broadcast."""
    lists = [(), (1,), (3,), (2, 1), (2, 3)]
    entries = []
    dim = 0
    stop = rng.integers(0, len(shape) + 1)
    while dim < stop:
        n = shape[dim]
        kind = rng.choice(["int", "slice", "slice", "list", "list", "mask", "none", "bool", "mask2"])
        if kind == "none":
            entries.append(None)
        elif kind == "bool":
            entries.append(True)
        elif kind == "mask2" and dim + 2 <= stop:
            mask = np.zeros(shape[dim : dim + 2], dtype=bool)
            mask.flat[rng.permutation(mask.size)[:3]] = True  # three, as in the lists
            if mask.sum() == 3:
                entries.append(mask)
                dim += 2
        elif kind == "slice":
            start, end = sorted(rng.integers(-n - 1, n + 2, 2))
            entries.append(slice(*(None if rng.random() < 0.3 else int(v) for v in (start, end, rng.integers(1, 4)))))
            dim += 1
        elif kind == "int":
            entries.append(int(rng.integers(-n, n)))
            dim += 1
        elif kind == "mask" and n >= 3:
            entries.append(np.isin(np.arange(n), rng.permutation(n)[:3]))
            dim += 1
        elif kind == "list":
            entries.append(rng.integers(-n, n, lists[rng.integers(len(lists))]))
            dim += 1
    if rng.random() < 0.4:
        entries.append(Ellipsis)
        if stop < len(shape):
            entries.append(slice(0, 1))
    return tuple(entries)


def for_torch(torch, key):
    return tuple(torch.tensor(e) if isinstance(e, np.ndarray) else e for e in key)


def random_keys(seed, count):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 5)))
        yield rng, shape, random_key(rng, shape)


@pytest.mark.parametrize("seed", range(8))
def test_random_keys_read_what_torch_reads(torch, seed):
    for rng, shape, key in random_keys(seed, 60):
        array = rng.standard_normal(shape)
        theirs, ours = torch.tensor(array, requires_grad=True), gpunn.tensor(array, requires_grad=True)
        expected, got = theirs[for_torch(torch, key)], ours[key]
        assert got.shape == tuple(expected.shape), (shape, key)
        np.testing.assert_array_equal(got.detach().numpy(), expected.detach().numpy())
        cotangent = rng.standard_normal(got.shape)
        expected.backward(torch.tensor(cotangent))
        got.backward(gpunn.tensor(cotangent))
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_keys_write_what_torch_writes(torch, seed, recorded):
    for rng, shape, key in random_keys(100 + seed, 60):
        array = rng.standard_normal(shape)
        number = rng.random() < 0.3
        value = 3.5 if number else 1.25 * np.ones(gpunn.zeros(shape)[key].shape[rng.integers(0, 2) :])
        theirs, ours = torch.tensor(array, requires_grad=recorded), gpunn.tensor(array, requires_grad=recorded)
        y, z = theirs * 1, ours * 1
        y[for_torch(torch, key)] = value if number else torch.tensor(value)
        z[key] = value
        np.testing.assert_array_equal(z.detach().numpy(), y.detach().numpy(), err_msg=f"{shape} {key}")
        if recorded:
            (y * y).sum().backward()
            (z * z).sum().backward()
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("key", [0, (0, 1), slice(1, 3), (Ellipsis, 2), (None, slice(None, None, 2)), ()])
def test_slices_are_views(key):
    x = gpunn.zeros(3, 4)
    x[key].fill_(7)
    expected = np.zeros((3, 4))
    expected[key] = 7
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("key", [[0, 1], (slice(None), [2]), True])
def test_indices_make_copies(key):
    x = gpunn.zeros(3, 4)
    x[key].fill_(7)
    assert (x == 0).numpy().all()


def test_pieces_are_views():
    x = gpunn.arange(6.0)
    first, second = x.split(3)
    second.fill_(0)
    first[1:].fill_(9)
    x.unbind()[0].fill_(5)
    assert x.tolist() == [5, 9, 9, 0, 0, 0]


def test_a_write_through_a_piece_is_seen_by_the_gradient():
    x = gpunn.ones(4, requires_grad=True)
    w = gpunn.ones(4)
    y = (x * w).sum()
    w.chunk(2)[1].fill_(3)
    with pytest.raises(RuntimeError, match="inplace operation"):
        y.backward()


def test_a_write_stays_in_the_memory_where_nothing_is_recorded():
    x = gpunn.zeros(2, 3)
    memory = x.data_ptr()
    row = x[1]
    x[:, [0, 2]] = gpunn.tensor([1.0, 2.0])
    x[gpunn.tensor([[True, False, False], [False, True, False]])] = 5
    x[0, 1] = 4
    assert x.data_ptr() == memory
    assert row.tolist() == [1, 5, 2]
    assert x.tolist() == [[5, 4, 2], [1, 5, 2]]


def test_a_write_to_a_recorded_tensor_is_a_new_node():
    w = gpunn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = w * 2
    before = y.exp()  # saves its result, and nothing else of y
    y[1] = w[0] * 10
    assert y.tolist() == [2, 10, 6]
    (y.sum() + before.sum()).backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * np.exp([2.0, 4.0, 6.0]) + [2 + 10, 0, 2], rtol=1e-6)


def test_writing_a_recorded_value_records_the_tensor():
    w = gpunn.ones(2, requires_grad=True)
    x = gpunn.zeros(3)
    x[1:] = w * 3
    assert x.requires_grad
    x.sum().backward()
    assert w.grad.tolist() == [3, 3]


def test_the_last_value_stays_where_indices_repeat():
    x = gpunn.zeros(3)
    x[[1, 1, 0]] = gpunn.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [3, 2, 0]


def test_overlapping_memory():
    x = gpunn.arange(5)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]
    x[[1, 2, 3]] = x[2:]
    assert x.tolist() == [0, 1, 2, 3, 3]


def test_values_take_the_type_of_the_tensor():
    x = gpunn.zeros(2, 2, dtype=gpunn.int64)
    x[0] = 2.7
    x[[1]] = gpunn.tensor([[3.9, -3.9]])
    x[x == 2] = 5.5
    assert x.tolist() == [[5, 5], [3, -3]]
    b = gpunn.zeros(2, dtype=gpunn.bool)
    b[0] = 3
    assert b.tolist() == [True, False]


def test_in_place_sum_through_an_index():
    x = gpunn.zeros(3)
    x[1] += 2
    x[[0, 2]] += gpunn.tensor([1.0, 4.0])
    assert x.tolist() == [1, 2, 4]


def test_a_leaf_that_requires_grad_is_not_written_to():
    w = gpunn.ones(3, requires_grad=True)
    for key in (0, [0], w.detach() > 0):
        with pytest.raises(RuntimeError, match="leaf"):
            w[key] = 2.0
    with gpunn.no_grad():
        w[0] = 2.0
    assert w.tolist() == [2, 1, 1]
    assert w.requires_grad and w.is_leaf


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (3, IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
        ((0, -5), IndexError, "index -5 is out of bounds for dimension 1 with size 4"),
        ([0, 7], IndexError, "index 7 is out of bounds for dimension 0 with size 3"),
        ((slice(None), [[0], [-9]]), IndexError, "index -9 is out of bounds for dimension 1 with size 4"),
        (([0, 1], [2, 4]), IndexError, "index 4 is out of bounds for dimension 1 with size 4"),
        ((0, 0, 0), IndexError, "too many indices: 3"),
        ((..., 0, ...), IndexError, "only one ellipsis"),
        (slice(None, None, -1), ValueError, "step of a slice must be greater than zero, got -1"),
        (slice(None, None, 0), ValueError, "step"),
        ("a", IndexError, "got str"),
        (1.0, IndexError, "got float"),
        ([0.5], IndexError, "int64, int32 or bool, got float32"),
        (np.zeros(2, dtype=np.uint8), IndexError, "uint8"),
        (np.ones(4, dtype=bool), IndexError, "a mask of shape [4] does not fit dimensions of [3]"),
        ((0, np.ones((2, 2), dtype=bool)), IndexError, "too many indices"),
        (([0, 1], [0, 1, 2]), IndexError, "with shapes [2], [3]"),
    ],
)
def test_bad_keys(key, error, message):
    x = gpunn.zeros(3, 4)
    with pytest.raises(error, match=re.escape(message)):
        x[key]
    with pytest.raises(error, match=re.escape(message)):
        x[key] = 1.0
    with pytest.raises(error, match=re.escape(message)):
        (x.requires_grad_() * 1)[key] = 1.0


def test_nothing_is_written_where_an_index_is_out_of_range():
    x = gpunn.zeros(3)
    with pytest.raises(IndexError):
        x[[0, 3]] = 1.0
    assert x.tolist() == [0, 0, 0]


@pytest.mark.parametrize("key", [0, [0, 1], (slice(None), slice(1, 3))])
def test_values_that_do_not_fit(key):
    x = gpunn.zeros(3, 4)
    with pytest.raises(RuntimeError, match=re.escape("a value of shape [5] does not broadcast to the selected")):
        x[key] = gpunn.zeros(5)
    with pytest.raises(TypeError, match="got list"):
        x[key] = [1.0]


def test_a_number_has_nothing_to_index():
    x = gpunn.tensor(3.0)
    with pytest.raises(IndexError, match="too many indices: 1"):
        x[0]
    assert x[None].shape == x[True].shape == (1,)
    assert x[...].item() == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_is_summed_in_the_order_of_the_indices(rng, dtype):
    i = rng.integers(0, 5, 400)
    cotangent = rng.standard_normal((400, 3)).astype(dtype)
    x = gpunn.zeros(5, 3, dtype=dtype, requires_grad=True)
    x[i].backward(gpunn.tensor(cotangent))
    expected = np.zeros((5, 3), dtype)
    for row, value in zip(i, cotangent):
        expected[row] += value
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@pytest.mark.parametrize("dtype", [gpunn.float16, gpunn.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    # In float16, 2048 + 1 is 2048; in bfloat16, 256 + 1 is 256.
    x = gpunn.zeros(2, dtype=dtype, requires_grad=True)
    x[gpunn.zeros(4096, dtype=gpunn.int64)].sum().backward()
    assert x.grad.float().tolist() == [4096, 0]


def test_only_the_elements_that_are_picked_cost_bytes():
    x, i = gpunn.zeros(1000, 8)._spec, gpunn.zeros(3, dtype=gpunn.int64)._spec
    picked = 3 * 8 * 4
    assert gpunn.ops.indexing.Index((0,)).cost(x, i) == Cost(flop=0, bytes=2 * picked + 3 * 8)
    back = gpunn.ops.indexing.IndexSum((0,), (1000, 8)).cost(x.like((3, 8)), i)
    assert back == Cost(flop=3 * 8, bytes=picked + 3 * 8 + x.nbytes)


def test_keys_of_numpy_numbers_and_tensors():
    x = gpunn.arange(12).reshape(3, 4)
    assert x[np.int64(1), gpunn.tensor(2)].item() == 6
    assert x[gpunn.tensor(1) : gpunn.tensor(3)].shape == (2, 4)
    assert x[range(2)].tolist() == x[:2].tolist()
    assert x[np.bool_(True)].shape == (1, 3, 4)
    assert x[[]].shape == (0, 4)
