"""The precision of products in eager work and in plans."""

import threading

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.products import computing_in


def network():
    gpunn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(100, 16), nn.ReLU(), nn.Linear(16, 5)
    )


def step_and_batch(device, **options):
    model = network().to(device)
    step = gpunn.TrainStep(
        model, nn.functional.cross_entropy, gpunn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), **options
    )
    x, y = gpunn.randn(6, 3, 5, 5, device=device), gpunn.randint(5, (6,), device=device)
    return model, step, (x, y)


def state(model):
    return b"".join(p.detach().cpu().numpy().tobytes() for p in model.parameters())


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_planned_is_eager_to_the_bit(device, precision):
    with computing_in(precision):
        model, step, batch = step_and_batch(device, fuse=False)
        losses = [step(*batch).item() for _ in range(3)]
        eager = network().to(device)
        optimizer = gpunn.optim.SGD(eager.parameters(), lr=0.1, momentum=0.9)
        for loss in losses:
            optimizer.zero_grad()
            found = nn.functional.cross_entropy(eager(batch[0]), batch[1])
            found.backward()
            optimizer.step()
            assert found.item() == loss
    assert state(model) == state(eager)


def test_a_plan_is_for_one_precision():
    _, step, batch = step_and_batch("cpu")
    exact = step(*batch).item()
    with computing_in("high"):
        step(*batch)
    assert len(step.plans_made) == 2 and "the precision of products" in step.plans_made[1]
    with computing_in("high"):
        _, other, _ = step_and_batch("cpu")
        assert other(*batch).item() != exact


def test_every_product_rounds_its_factors():
    """Forward and all gradients, against factors rounded by hand, to what float32 leaves."""
    gpunn.manual_seed(1)
    ten_bits = {}

    def leaf(*shape):
        x = gpunn.randn(*shape)
        bits = (x.numpy().view("u4") + 0x1000) & 0xFFFFE000
        ten_bits[id(x)] = gpunn.tensor(bits.astype("u4").view("f"), requires_grad=True)
        return x.requires_grad_()

    for function, factors in (
        (gpunn.matmul, (leaf(3, 4, 5), leaf(5, 6))),
        (gpunn.bmm, (leaf(2, 4, 5), leaf(2, 5, 3))),
        (nn.functional.linear, (leaf(7, 5), leaf(6, 5))),
        (nn.functional.conv2d, (leaf(2, 3, 6, 6), leaf(4, 3, 3, 3))),
        (lambda x, w: nn.functional.conv2d(x, w, stride=2, padding=1), (leaf(2, 3, 7, 7), leaf(4, 3, 3, 3))),
    ):
        with computing_in("high"):
            found = function(*factors)
        expected = function(*(ten_bits[id(x)] for x in factors))
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
        assert not np.allclose(found.detach().numpy(), function(*factors).detach().numpy(), rtol=1e-6, atol=1e-6)
        dy = leaf(*found.shape)
        with computing_in("high"):
            gradients = gpunn.autograd.grad(found, factors, dy.detach())
        expected_gradients = gpunn.autograd.grad(
            expected, [ten_bits[id(x)] for x in factors], ten_bits[id(dy)].detach()
        )
        for a, b in zip(gradients, expected_gradients):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_bias_is_no_product():
    dy = gpunn.full((4, 3), 1 + 2.0**-20)
    b = gpunn.zeros(3, requires_grad=True)
    with computing_in("high"):
        nn.functional.linear(gpunn.ones(4, 2), gpunn.ones(3, 2, requires_grad=True), b).backward(dy)
        assert (b.grad.numpy() == 4 + 2.0**-18).all()
        images, c = gpunn.ones(1, 1, 2, 2), gpunn.zeros(1, requires_grad=True)
        w = gpunn.ones(1, 1, 1, 1, requires_grad=True)
        nn.functional.conv2d(images, w, c).backward(gpunn.full((1, 1, 2, 2), 1 + 2.0**-20))
        assert c.grad.item() == 4 + 2.0**-18


def test_a_thread_has_its_own():
    found = []
    with computing_in("high"):
        thread = threading.Thread(
            target=lambda: found.append((gpunn.tensor([[1 + 2.0**-20]]) @ gpunn.ones(1, 1)).item())
        )
        thread.start()
        thread.join()
        assert (gpunn.tensor([[1 + 2.0**-20]]) @ gpunn.ones(1, 1)).item() == 1
    assert found == [1 + 2.0**-20]
