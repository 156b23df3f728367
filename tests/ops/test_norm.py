"""Normalisation: precision, running statistics, and inputs that do not fit."""

import numpy as np
import pytest

import gpunn
from gpunn import nn, ops
from gpunn.autograd.tape import apply
from gpunn.ops.batch_norm import BatchNorm


def test_large_mean_costs_no_precision():
    # E[x^2] - E[x]^2 would lose everything here: 1e8 has no digit left for 1 in float32.
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4000, 3)) + 1e4).astype("float32")
    exact = x.astype("float64")
    expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    y = ops.batch_norm(gpunn.tensor(x), None, None, training=True).numpy()
    np.testing.assert_allclose(y, expected, atol=1e-3)  # the mean itself rounds to 1 / 1024
    rows = ops.layer_norm(gpunn.tensor(x.T.copy()), (4000,)).numpy()
    np.testing.assert_allclose(rows, expected.T, atol=1e-3)


def test_slices_of_different_mean_add_up():
    # Sorted data: every slice of the batch has another mean.
    x = np.sort(np.random.default_rng(0).normal(size=(300, 1, 2000)), axis=0).astype("float32")
    mean, var = gpunn.zeros(1), gpunn.zeros(1)
    ops.batch_norm(gpunn.tensor(x), mean, var, training=True, momentum=1.0)
    exact = x.astype("float64")
    np.testing.assert_allclose(mean.numpy(), exact.mean(), atol=1e-6)
    np.testing.assert_allclose(var.numpy(), exact.var(ddof=1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 2)])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_running_statistics_are_those_of_torch(torch, shape, momentum):
    x = np.random.default_rng(0).normal(2, 3, shape).astype("float32")
    ours = [gpunn.full((3,), 0.5), gpunn.full((3,), 2.0)]
    theirs = [torch.full((3,), 0.5), torch.full((3,), 2.0)]
    for _ in range(2):
        ops.batch_norm(gpunn.tensor(x), *ours, training=True, momentum=momentum)
        torch.nn.functional.batch_norm(torch.tensor(x), *theirs, training=True, momentum=momentum)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_running_statistics_of_instances_are_those_of_torch(torch):
    x = np.random.default_rng(0).normal(2, 3, (4, 3, 5)).astype("float32")
    ours = [gpunn.zeros(3), gpunn.ones(3)]
    theirs = [torch.zeros(3), torch.ones(3)]
    ops.instance_norm(gpunn.tensor(x), *ours, momentum=0.3)
    torch.nn.functional.instance_norm(torch.tensor(x), *theirs, momentum=0.3)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_running_statistics_change_in_training_only_and_not_by_an_empty_batch():
    mean, var = gpunn.zeros(3), gpunn.ones(3)
    ops.batch_norm(gpunn.ones(4, 3), mean, var)
    ops.batch_norm(gpunn.ones(0, 3, 2), mean, var, training=True)
    np.testing.assert_array_equal(mean.numpy(), [0, 0, 0])
    np.testing.assert_array_equal(var.numpy(), [1, 1, 1])


def test_half_precision_keeps_statistics_in_float32():
    x = gpunn.tensor(np.random.default_rng(0).normal(300, 1, (64, 2)), dtype="float16")
    mean, var = gpunn.zeros(2), gpunn.zeros(2)
    y = ops.batch_norm(x, mean, var, gpunn.ones(2), gpunn.zeros(2), training=True, momentum=1.0)
    exact = x.numpy().astype("float64")
    assert y.dtype is gpunn.float16
    np.testing.assert_allclose(mean.numpy(), exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), exact.var(0, ddof=1), rtol=1e-5)


def test_saved_result_is_not_kept():
    x = gpunn.tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    y = ops.batch_norm(x, None, None, training=True)
    y.detach().mul_(2)  # an error at backward, had the op kept y
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.zeros((4, 3)), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_batch_norm_of_one_value_per_channel_is_an_error(shape):
    with pytest.raises(ValueError, match=r"more than 1 value per channel when training, got float32"):
        ops.batch_norm(gpunn.zeros(shape), None, None, training=True)


def test_batch_norm_refuses_what_does_not_fit():
    x, m, v = gpunn.zeros(4, 3), gpunn.zeros(3), gpunn.ones(3)
    with pytest.raises(RuntimeError, match="must be defined in evaluation mode"):
        ops.batch_norm(x, None, None)
    with pytest.raises(RuntimeError, match=r"running_mean must be float32\[3\].*got float32\[2\]"):
        ops.batch_norm(x, gpunn.zeros(2), v)
    with pytest.raises(RuntimeError, match=r"weight must be float32\[3\]"):
        ops.batch_norm(x, m, v, gpunn.ones(4), training=True)
    with pytest.raises(RuntimeError, match="2 or more dimensions"):
        ops.batch_norm(gpunn.zeros(3), m, v)
    with pytest.raises(RuntimeError, match="takes floats"):
        ops.batch_norm(x.long(), m, v, training=True)
    with pytest.raises(ValueError, match="eps"):
        ops.batch_norm(x, m, v, training=True, eps=0.0)


def test_other_norms_refuse_what_does_not_fit():
    x = gpunn.zeros(2, 6, 4)
    with pytest.raises(RuntimeError, match=r"normalized_shape=\[5\] needs an input \[\*, 5\], got float32\[2, 6, 4\]"):
        ops.layer_norm(x, (5,))
    with pytest.raises(RuntimeError, match=r"bias must be float32\[4\]"):
        ops.layer_norm(x, (4,), None, gpunn.zeros(6))
    with pytest.raises(RuntimeError, match="normalized_shape"):
        ops.rms_norm(x, (6,))
    with pytest.raises(RuntimeError, match=r"6 channels.*4 groups"):
        ops.group_norm(x, 4)
    with pytest.raises(ValueError, match="more than 1 value"):
        ops.group_norm(gpunn.zeros(1, 3), 3)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        ops.instance_norm(gpunn.zeros(2, 3, 1))
    with pytest.raises(RuntimeError, match="use_input_stats"):
        ops.instance_norm(x, use_input_stats=False)


def test_same_bits_on_every_call():
    x = gpunn.tensor(np.random.default_rng(0).normal(size=(40, 8, 30, 30)).astype("float32"), requires_grad=True)
    bits = []
    for _ in range(2):
        x.grad = None
        y = ops.batch_norm(x, None, None, training=True)
        (y * y * y).sum().backward()
        bits.append((y.detach().numpy().tobytes(), x.grad.numpy().tobytes()))
    assert bits[0] == bits[1]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_running_statistics_move_as_elementwise_ops_would(dtype, device):
    """(1 - m) running + m batch in the type of the batch's statistics, to the bit; a mean or a variance alone, too."""
    rng = np.random.default_rng(3)
    x = gpunn.tensor(rng.standard_normal((6, 5, 4)), dtype=dtype, device=device)
    start = gpunn.tensor(rng.random(5) + 0.5, dtype=dtype, device=device)
    _, mu, var = apply(BatchNorm(1e-5), x, None, None)
    expected = [
        (start.to(value.dtype) * (1 - 0.3) + value * (0.3 * factor)).to(start.dtype).cpu().tolist()
        for value, factor in ((mu, 1.0), (var, 24 / 23))
    ]
    for given in ((True, True), (True, False), (False, True)):
        running = [start.clone() if there else None for there in given]
        ops.batch_norm(x, *running, training=True, momentum=0.3)
        for r, e in zip(running, expected):
            assert r is None or r.cpu().tolist() == e


@pytest.mark.parametrize("batch", [(4, 3), (0, 3)])
def test_batches_are_counted_as_torch_does(torch, batch):
    for momentum in (0.1, None):
        ours, theirs = nn.BatchNorm1d(3, momentum=momentum), torch.nn.BatchNorm1d(3, momentum=momentum)
        for _ in range(3):
            ours(gpunn.ones(*batch))
            theirs(torch.ones(*batch))
        assert ours.num_batches_tracked.item() == theirs.num_batches_tracked.item() == 3
        ours.eval()(gpunn.ones(2, 3))
        assert ours.num_batches_tracked.item() == 3


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_a_momentum_that_is_a_boolean(device):
    x, mean, var = (
        gpunn.tensor([[1.0], [3.0]], device=device),
        gpunn.zeros(1, device=device),
        gpunn.ones(1, device=device),
    )
    ops.batch_norm(x, mean, var, training=True, momentum=True)
    assert (mean.tolist(), var.tolist()) == ([2], [2])


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_running_statistics_in_another_type_than_the_batch(device):
    x = gpunn.tensor([[1.0], [3.0]], dtype="float64", device=device)
    mean, var = gpunn.tensor([4.0], device=device), gpunn.tensor([8.0], device=device)
    ops.batch_norm(x, mean, var, training=True, momentum=0.25)
    assert mean.tolist() == [0.75 * 4 + 0.25 * 2] and var.tolist() == [0.75 * 8 + 0.25 * 2]
    assert mean.dtype is var.dtype is gpunn.float32


def test_running_statistics_that_do_not_fit():
    x = gpunn.ones(4, 3)
    with pytest.raises(RuntimeError, match=r"running_mean must be float32\[3\].*got float32\[2\]"):
        ops.batch_norm(x, gpunn.zeros(2), gpunn.ones(3), training=True)
    with pytest.raises(RuntimeError, match=r"running_var must be float32\[3\].*got float64\[3\]"):
        ops.batch_norm(x, gpunn.zeros(3), gpunn.ones(3, dtype="float64"), training=True)
