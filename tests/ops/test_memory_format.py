"""Memory formats: what lies channels last, what keeps it so, and that no number depends on it; as in PyTorch."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import functional as F
from gpunn.nn.utils import convert_conv2d_weight_memory_format

torch = pytest.importorskip("torch")
torch_f = torch.nn.functional
LAST = gpunn.channels_last
SHAPES = [
    (2, 3, 8, 6),
    (2, 1, 4, 5),
    (2, 3, 1, 1),
    (1, 3, 1, 1),
    (2, 3, 1, 5),
    (4, 1, 1, 1),
    (1, 1, 1, 1),
    (1, 4, 3, 1),
]


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def both(x: np.ndarray, last: bool = True) -> tuple[Any, Any]:
    """The same tensor here and in PyTorch."""
    a, b = gpunn.tensor(x), torch.tensor(x)
    return (a.to(memory_format=LAST), b.to(memory_format=torch.channels_last)) if last else (a, b)


def lies_the_same(a: Any, b: Any) -> None:
    assert (a.stride(), a.is_contiguous(), a.is_contiguous(memory_format=LAST)) == (
        b.stride(),
        b.is_contiguous(),
        b.is_contiguous(memory_format=torch.channels_last),
    )


def test_the_formats_are_three_objects() -> None:
    assert [repr(f) for f in (LAST, gpunn.contiguous_format, gpunn.preserve_format)] == [
        "gpunn.channels_last",
        "gpunn.contiguous_format",
        "gpunn.preserve_format",
    ]
    assert isinstance(LAST, gpunn.memory_format) and copy.deepcopy(LAST) is LAST
    assert pickle.loads(pickle.dumps(LAST)) is LAST
    with pytest.raises(TypeError, match=r"cannot create 'gpunn\.memory_format' instances"):
        gpunn.memory_format()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_strides_of_what_is_converted_or_made(shape: tuple[int, ...]) -> None:
    x, t = gpunn.tensor(values(*shape)), torch.tensor(values(*shape))
    lies_the_same(x.to(memory_format=LAST), t.to(memory_format=torch.channels_last))
    lies_the_same(x.contiguous(memory_format=LAST), t.contiguous(memory_format=torch.channels_last))
    lies_the_same(gpunn.empty(shape, memory_format=LAST), torch.empty(shape, memory_format=torch.channels_last))
    a, b = x.to(memory_format=LAST), t.to(memory_format=torch.channels_last)
    for name in ("empty_like", "zeros_like", "ones_like", "rand_like", "randn_like"):
        lies_the_same(getattr(gpunn, name)(a), getattr(torch, name)(b))
        first = {"memory_format": gpunn.contiguous_format}, {"memory_format": torch.contiguous_format}
        lies_the_same(getattr(gpunn, name)(a, **first[0]), getattr(torch, name)(b, **first[1]))
    lies_the_same(gpunn.full_like(x, 2, memory_format=LAST), torch.full_like(t, 2, memory_format=torch.channels_last))
    lies_the_same(gpunn.randint_like(a, 9), torch.randint_like(b, 9))
    lies_the_same(a.clone(), b.clone())
    lies_the_same(a.clone(memory_format=gpunn.contiguous_format), b.clone(memory_format=torch.contiguous_format))
    lies_the_same(a.double(), b.double())
    np.testing.assert_array_equal(a.numpy(), values(*shape))
    np.testing.assert_array_equal(gpunn.ones_like(a).numpy(), np.ones(shape, np.float32))


def test_what_lies_so_already_is_itself() -> None:
    x = gpunn.tensor(values(2, 3, 4, 5)).to(memory_format=LAST)
    assert x.to(memory_format=LAST) is x and x.contiguous(memory_format=LAST) is x
    assert x.to(memory_format=gpunn.preserve_format) is x and x.contiguous(memory_format=gpunn.preserve_format) is x
    assert x.contiguous() is not x and x.contiguous().stride() == (60, 20, 5, 1)
    assert x.to(memory_format=gpunn.contiguous_format).is_contiguous()
    y = gpunn.tensor(values(2, 4, 5, 3)).permute(0, 3, 1, 2)  # a view of images (n, h, w, c)
    assert y.contiguous(memory_format=LAST) is y and y.relu().stride() == (60, 1, 15, 3)


X, ROWS = values(2, 3, 8, 6), values(2, 3, 8, 6)[::-1].copy()
KEPT: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "relu": lambda x, y, f, m: x.relu(),
    "gelu": lambda x, y, f, m: f.gelu(x),
    "leaky_relu": lambda x, y, f, m: f.leaky_relu(x),
    "sum of two orders": lambda x, y, f, m: x + y,
    "the other way round": lambda x, y, f, m: y + x,
    "a row": lambda x, y, f, m: x + y[0, 0, 0],
    "a number for each channel": lambda x, y, f, m: y[0, :, :1, :1] * x,
    "a number for each image": lambda x, y, f, m: y[:, :, :1, :1] * x,
    "an expanded number": lambda x, y, f, m: y[0, 0, 0, 0].expand(2, 3, 8, 6) * x,
    "comparison": lambda x, y, f, m: x > 0,
    "where": lambda x, y, f, m: m.where(x > 0, x, y),
    "clamp": lambda x, y, f, m: x.clamp(0, 1),
    "a cut of the images": lambda x, y, f, m: x[:1] * 2,
    "a cut of the channels": lambda x, y, f, m: x[:, :2] * 2,
    "a clone of a cut": lambda x, y, f, m: x[:, :2].clone(),
    "conv2d": lambda x, y, f, m: f.conv2d(x, y[:, :, :3, :3].contiguous(), padding=1),
    "conv2d of a weight": lambda x, y, f, m: f.conv2d(y, x[:, :, :3, :3] * 1),
    "conv2d of neither": lambda x, y, f, m: f.conv2d(y, y[:, :, :3, :3].contiguous()),
    "conv2d in groups": lambda x, y, f, m: f.conv2d(x, y[0, :, None, :3, :3].contiguous(), groups=3),
    "conv_transpose2d": lambda x, y, f, m: f.conv_transpose2d(x, y[:1, :2, :3, :3].expand(3, 2, 3, 3).contiguous()),
    "max_pool2d": lambda x, y, f, m: f.max_pool2d(x, 2),
    "indices": lambda x, y, f, m: f.max_pool2d(x, 3, 2, 1, return_indices=True)[1],
    "avg_pool2d": lambda x, y, f, m: f.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda x, y, f, m: f.adaptive_avg_pool2d(x, 2),
    "one pixel": lambda x, y, f, m: f.adaptive_avg_pool2d(x, 1),
    "adaptive_max_pool2d": lambda x, y, f, m: f.adaptive_max_pool2d(x, (2, 3)),
    "batch_norm": lambda x, y, f, m: f.batch_norm(x, None, None, training=True),
    "batch_norm of statistics": lambda x, y, f, m: f.batch_norm(x, y[0, :, 0, 0], y[0, :, 0, 0] ** 2 + 1),
    "cat": lambda x, y, f, m: m.cat([x, x * 2], 1),
    "cat of two orders": lambda x, y, f, m: m.cat([x, y], 1),
    "pad": lambda x, y, f, m: f.pad(x, (1, 2, 0, 1)),
}


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
def test_what_keeps_the_order(function: Callable[[Any, Any, Any, Any], Any]) -> None:
    (x, t), (y, u) = both(X), both(ROWS, last=False)
    got, expected = function(x, y, F, gpunn), function(t, u, torch_f, torch)
    lies_the_same(got, expected)
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)
    first = function(gpunn.tensor(X), y, F, gpunn)
    np.testing.assert_array_equal(got.numpy(), first.numpy())  # the bits of row-major images


def test_dropout_has_the_same_zeros() -> None:
    x, t = both(X)
    gpunn.manual_seed(1)
    last = F.dropout(x)
    gpunn.manual_seed(1)
    np.testing.assert_array_equal(last.numpy(), F.dropout(gpunn.tensor(X)).numpy())
    lies_the_same(last, torch_f.dropout(t))


@pytest.mark.parametrize(("x_last", "w_last"), [(True, False), (False, True), (True, True)])
def test_gradients_of_leaves_lie_as_these_do(x_last: bool, w_last: bool) -> None:
    grads = []
    for module, f, (x, w) in (
        (gpunn, F, (both(X, x_last)[0], both(values(4, 3, 3, 3), w_last)[0])),
        (torch, torch_f, (both(X, x_last)[1], both(values(4, 3, 3, 3), w_last)[1])),
    ):
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        b = module.zeros(4).requires_grad_()
        y = f.max_pool2d(f.conv2d(x, w, b, padding=1).relu(), 2)
        for _ in range(2):  # the second is added
            f.adaptive_avg_pool2d(y, 1).flatten(1).square().sum().backward(retain_graph=True)
        grads.append((x.grad, w.grad, b.grad))
    for ours, theirs in zip(*grads):
        lies_the_same(ours, theirs)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


def test_a_conversion_is_differentiated() -> None:
    for last in (True, False):
        x = gpunn.tensor(X).to(memory_format=LAST if last else gpunn.contiguous_format).requires_grad_()
        x.to(memory_format=gpunn.contiguous_format if last else LAST).square().sum().backward()
        assert x.grad.stride() == x.stride()
        np.testing.assert_array_equal(x.grad.numpy(), 2 * X)


def test_in_place_stays_where_it_is() -> None:
    x = gpunn.tensor(X).to(memory_format=LAST)
    before = x.data_ptr()
    x += 1
    x.relu_()
    x.copy_(gpunn.tensor(ROWS))
    x[:, 1] = 0
    expected = ROWS.copy()
    expected[:, 1] = 0
    assert (x.data_ptr(), x.stride()) == (before, (144, 1, 18, 3))
    np.testing.assert_array_equal(x.numpy(), expected)


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, (3, 1)), nn.Flatten(), nn.Linear(72, 3)
    )


def test_a_module_converts_what_has_four_dimensions() -> None:
    ours, theirs = small(), torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 6, (3, 1)))
    assert ours.to(memory_format=LAST) is ours
    theirs.to(memory_format=torch.channels_last)
    for i, k in ((0, 0), (3, 1)):
        assert ours[i].weight.stride() == theirs[k].weight.stride()
    assert ours[5].weight.stride() == (72, 1) and ours[1].running_mean.stride() == (1,)
    parameters = list(ours.parameters())
    ours.to(gpunn.float64)
    assert ours[3].weight.stride() == theirs[1].weight.stride() and ours[3].weight.dtype is gpunn.float64
    assert all(p is q for p, q in zip(parameters, ours.parameters()))
    ours.to(memory_format=gpunn.contiguous_format)
    assert ours[3].weight.is_contiguous() and ours[3].weight.stride() == (12, 3, 1, 1)
    copied = copy.deepcopy(small().to(memory_format=LAST))
    assert copied[3].weight.stride() == theirs[1].weight.stride()


def test_weights_alone_are_converted() -> None:
    ours = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 2), nn.PReLU())
    theirs = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ConvTranspose2d(3, 2, 2))
    found = convert_conv2d_weight_memory_format(ours, LAST)
    torch.nn.utils.convert_conv2d_weight_memory_format(theirs, torch.channels_last)
    assert found is ours
    for i in range(2):
        assert ours[i].weight.stride() == theirs[i].weight.stride()


def test_state_goes_into_what_lies_otherwise(tmp_path: Any) -> None:
    last, first = small().to(memory_format=LAST), small()
    gpunn.save(last.state_dict(), tmp_path / "last.safetensors")
    first.load_state_dict(gpunn.load(tmp_path / "last.safetensors"))
    again = small().to(memory_format=LAST)
    again.load_state_dict(first.state_dict())
    assert again[3].weight.stride() == last[3].weight.stride() and first[3].weight.is_contiguous()
    for a, b, c in zip(last.parameters(), first.parameters(), again.parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        np.testing.assert_array_equal(a.detach().numpy(), c.detach().numpy())


def refused() -> Iterator[tuple[Callable[[], Any], type[Exception], str]]:
    x = gpunn.zeros(2, 3)
    message = "required rank 4 tensor to use channels_last format, got one of 2 dimensions"
    for name in ("to", "contiguous", "clone"):
        yield (lambda name=name: getattr(x, name)(memory_format=LAST)), RuntimeError, f"{name}: {message}"
    for name in ("empty_like", "rand_like", "randn_like"):
        yield (lambda name=name: getattr(gpunn, name)(x, memory_format=LAST)), RuntimeError, f"{name}: {message}"
    yield (lambda: gpunn.zeros_like(x, memory_format=LAST)), RuntimeError, message
    yield (lambda: gpunn.empty(2, 3, memory_format=LAST)), RuntimeError, f"empty: {message}"
    yield (lambda: gpunn.empty(2, memory_format=gpunn.preserve_format)), RuntimeError, "unsupported memory format"
    yield (lambda: x.to(memory_format="channels_last")), TypeError, "memory_format is gpunn.channels_last, .* got 'chan"
    yield (lambda: nn.Conv3d(1, 1, 1).to(memory_format=LAST)), RuntimeError, "rank 4 tensor .* got one of 5 dimensions"


@pytest.mark.parametrize(("call", "error", "message"), list(refused()))
def test_what_can_not_lie_so(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
    assert not gpunn.zeros(2, 3).is_contiguous(memory_format=LAST)


def test_a_tensor_without_elements_lies_somehow_too() -> None:
    x = gpunn.empty(2, 3, 4, 5, device="meta", memory_format=LAST)
    y = F.conv2d(x.relu(), gpunn.empty(4, 3, 1, 1, device="meta"))
    assert (x.stride(), y.stride()) == ((60, 1, 15, 3), (80, 1, 20, 4))
    assert y.is_contiguous(memory_format=LAST) and not y.is_contiguous()


def test_tensors_of_pytorch_lie_as_they_did() -> None:
    t = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    x = gpunn.from_dlpack(t)
    assert x.stride() == t.stride() and x.relu().stride() == t.stride()
    assert torch.from_dlpack(x.relu()).stride() == t.stride()
