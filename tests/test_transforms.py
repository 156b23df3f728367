"""Changes of images at random, on the device and in the plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import Trainer, nn
from gpunn.train import TrainingError
from gpunn.transforms import (
    Compose,
    Cutout,
    MixUp,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    affine,
)

X = np.random.default_rng(0).random((40, 2, 5, 6), np.float32) + 1
ALL = [RandomHorizontalFlip(), RandomVerticalFlip(0.3), RandomCrop(2), Cutout(3), RandomAffine(20, (0.1, 0.1))]


@pytest.fixture(autouse=True)
def _seed() -> None:
    gpunn.manual_seed(0)


def test_flips() -> None:
    for flip, axis in ((RandomHorizontalFlip(), 2), (RandomVerticalFlip(), 1)):
        y = flip(gpunn.tensor(X)).numpy()
        turned = [np.array_equal(b, np.flip(a, axis)) for a, b in zip(X, y)]
        assert all(t or np.array_equal(a, b) for t, a, b in zip(turned, X, y)) and 8 < sum(turned) < 32


def test_crops_are_parts_of_the_image_with_a_border() -> None:
    y = RandomCrop(1)(gpunn.tensor(X)).numpy()
    wide, places = np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1))), set()
    for i in range(len(X)):
        found = [(r, c) for r in range(3) for c in range(3) if np.array_equal(y[i], wide[i, :, r : r + 5, c : c + 6])]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 9


def test_cutout_hides_a_square() -> None:
    hidden = Cutout(2)(gpunn.tensor(X)).numpy() == 0
    assert (hidden == hidden[:, :1]).all()  # in all channels alike; X has no 0
    sizes = {(int(m[0].any(1).sum()), int(m[0].any(0).sum())) for m in hidden}
    assert {(1, 2), (2, 1), (2, 2)} <= sizes <= {(1, 1), (1, 2), (2, 1), (2, 2)}


def numbers(*values: float) -> list[gpunn.Tensor]:
    return [gpunn.tensor([v], dtype=gpunn.float64) for v in values]


def test_an_affine_map_is_that_of_its_formula() -> None:
    x = np.random.default_rng(1).random((1, 1, 6, 6))
    for angle, dx, dy, expected in (
        (np.pi / 2, 0, 0, np.rot90(x, -1, (2, 3))),  # clockwise, since y is down
        (0, 2, 0, np.pad(x, ((0, 0), (0, 0), (0, 0), (2, 0)))[..., :6]),
        (0, 0, -1, np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)))[:, :, 1:]),
    ):
        a, tx, ty, s, k = numbers(angle, dx, dy, 1, 0)
        np.testing.assert_allclose(affine(gpunn.tensor(x), a, (tx, ty), s, k).numpy(), expected, atol=1e-12)


@pytest.mark.torch
def test_an_affine_map_reads_between_pixels(torch: Any) -> None:
    x, (a, s, k, dx, dy) = np.random.default_rng(2).random((1, 2, 5, 7)), (0.3, 1.3, 0.2, 0.5, -1.0)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    back = np.linalg.inv(s * turn @ np.array([[1, np.tan(k)], [0, 1]]))
    columns, rows = np.meshgrid(np.arange(7) - 3.0, np.arange(5) - 2.0)
    places = np.stack([columns - dx, rows - dy], -1) @ back.T / np.array([3.5, 2.5])
    expected = torch.nn.functional.grid_sample(torch.tensor(x), torch.tensor(places)[None], align_corners=False)
    a, s, k, dx, dy = numbers(a, s, k, dx, dy)
    np.testing.assert_allclose(affine(gpunn.tensor(x), a, (dx, dy), s, k).numpy(), expected.numpy(), atol=1e-12)


def test_mixup_mixes_images_and_targets_alike() -> None:
    y = np.arange(40) % 3
    shares = []
    for _ in range(200):
        a, b = MixUp(3, 0.4)(gpunn.tensor(X), gpunn.tensor(y))
        share = ((a.numpy() - X[::-1]) / (X - X[::-1])).mean()
        shares.append(share)
        one_hot = np.eye(3)[y]
        np.testing.assert_allclose(b.numpy(), share * one_hot + (1 - share) * one_hot[::-1], atol=1e-4)
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); 200 draws
    assert abs(np.mean(shares) - 0.5) < 0.1 and np.var(shares) == pytest.approx(1 / 7.2, rel=0.25)
    amounts = MixUp(None)(gpunn.tensor(X), gpunn.tensor(X[:, :1, 0, 0]))[1]
    assert amounts.shape == (40, 1)


@pytest.mark.parametrize("alpha", [0.2, 3.0])
def test_quantiles_of_beta(alpha: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    found = MixUp(3, alpha).quantiles.numpy()
    np.testing.assert_allclose(found[:-1], stats.beta(alpha, alpha).ppf(np.linspace(0, 1, 1025)), atol=2e-6)


def test_nothing_happens_in_evaluation_but_normalising() -> None:
    x, y = gpunn.tensor(X), gpunn.tensor(np.arange(40) % 3)
    for transform in (*ALL, MixUp(3)):
        a, b = transform.eval()(x, y)
        transform.train()
        assert a is x and b is y
    found = Compose([Normalize([1.0, 2.0], [0.5, 4.0])]).eval()(x).numpy()
    np.testing.assert_allclose(found, (X - [[[1]], [[2]]]) / [[[0.5]], [[4]]], rtol=1e-6)


def trainer(**options: Any) -> Trainer:
    gpunn.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    augment = Compose(options.pop("augment", [*ALL, MixUp(3)]))
    return Trainer(model, "cross_entropy", "sgd", augment=augment, progress=False, seed=3, **options)


def weights(found: Trainer) -> bytes:
    return found.model[1].weight.detach().cpu().numpy().tobytes()


def test_a_training_has_the_same_bits_planned_eager_and_resumed(tmp_path: Any) -> None:
    data = X[:20], np.arange(20) % 3
    planned, eager = trainer(), trainer(eager=True)
    losses = planned.fit(*data, epochs=3, batch_size=6)["loss"]
    assert eager.fit(*data, epochs=3, batch_size=6)["loss"] == pytest.approx(losses, rel=1e-5)
    trainer(run_dir=tmp_path).fit(*data, epochs=2, batch_size=6)
    again = trainer(run_dir=tmp_path)
    assert again.fit(*data, epochs=3, batch_size=6, resume=True)["loss"] == losses
    assert weights(again) == weights(planned)
    without = Trainer(planned.model, "cross_entropy", "sgd", progress=False)
    assert planned.evaluate(*data) == without.evaluate(*data)  # which has nothing of it


def test_on_a_device_with_kernels_it_is_the_same() -> None:
    data = X[:6], np.arange(6) % 3
    few = [*ALL[:1], *ALL[2:4]]
    ours, expected = trainer(device="sim", augment=few), trainer(augment=few)
    losses = expected.fit(*data, epochs=2, batch_size=6)["loss"]
    assert ours.fit(*data, epochs=2, batch_size=6)["loss"] == pytest.approx(losses, rel=1e-4)


def test_micro_batches_draw_what_the_batch_draws() -> None:
    data = X[:12], np.arange(12) % 3
    expected = trainer(augment=ALL)
    losses = expected.fit(*data, epochs=2, batch_size=12)["loss"]
    limit = sum(expected.memory.values()) - 1
    found = trainer(augment=ALL, memory_limit=limit)
    assert found.fit(*data, epochs=2, batch_size=12)["loss"] == pytest.approx(losses, rel=1e-5)
    assert sum(found.memory.values()) <= limit
    with pytest.raises(TrainingError, match="augment mixes samples, so the batch can't be cut"):
        trainer(memory_limit=limit).fit(*data, batch_size=12)


def test_wrong_calls() -> None:
    for make, message in (
        (lambda: RandomCrop(0), "padding is 0; expected whole pixels"),
        (lambda: Cutout(-1), "size is -1; expected whole pixels"),
        (lambda: RandomHorizontalFlip(2), "RandomHorizontalFlip: p is 2; expected a probability"),
        (lambda: RandomAffine(0, scale=(2, 1)), r"scale is \(2, 1\); expected the smallest and the largest"),
        (lambda: RandomAffine(0, shear=90), "expected angles up to 180 and 90"),
        (lambda: MixUp(3, 0), "alpha is 0; expected a number above 0"),
        (lambda: MixUp(3)(gpunn.tensor(X)), "MixUp: expected targets too"),
        (lambda: Cutout(1)(gpunn.ones(3, 4)), r"Cutout: expected images \(n, channels, height, width\) of floats"),
        (lambda: Normalize([1.0], [0.0]), "expected as many, and deviations above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="augment is called with inputs and target"):
        Trainer(nn.Linear(2, 2), "mse", "sgd", augment=3)


def test_targets_of_mixup_and_pixels_that_are_not_finite():
    x = gpunn.full((4, 1, 3, 3), float("inf"))
    assert (Cutout(7)(x) == 0).all()  # and not inf * 0
    halves = gpunn.full((4, 2), 0.5)
    np.testing.assert_array_equal(MixUp(2)(x, halves)[1].numpy(), halves.numpy())  # probabilities stay such
    with pytest.raises(ValueError, match="classes is None, for amounts, and the targets are int64"):
        MixUp(None)(x, gpunn.arange(4))
