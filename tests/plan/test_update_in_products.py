"""Kernels that update a weight in the product that makes its gradient, in whole steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim
from gpunn.backend.kernel.gemm import ROUND, TF32_TILES, TILES
from gpunn.backend.products import computing_in
from gpunn.optim import arena
from gpunn.plan import capture
from gpunn.plan.fuse import RULES
from gpunn.plan.rules import product_update

OTHERS = [name for name in RULES if name != "product_update"]
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "adam": lambda params: optim.Adam(params, 0.01, amsgrad=True),
    "adamw": lambda params: optim.AdamW(params, 0.01),
    "sgd": lambda params: optim.SGD(params, 0.1, weight_decay=0.01),
    "nesterov": lambda params: optim.SGD(params, 0.1, momentum=0.9, nesterov=True),
}
GIVEN = np.random.default_rng(3)
X, T = GIVEN.standard_normal((6, 5, 12)).astype("f"), GIVEN.integers(0, 4, (6, 5))


@pytest.fixture(autouse=True)
def _however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_update, "LARGE_BYTES", 0)
    monkeypatch.setattr(product_update, "CACHED_BYTES", 0)


class Net(nn.Module):
    """Whose products are of a type; without biases, whose sums would be in another order."""

    def __init__(self, autocast: Any = None) -> None:
        super().__init__()
        gpunn.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(12, 20, bias=False), nn.ReLU(), nn.Linear(20, 16, bias=False), nn.Tanh(), nn.Linear(16, 4)
        )
        self.autocast = autocast
        self.to("sim")

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        with gpunn.autocast("sim", dtype=self.autocast) if self.autocast else nullcontext():
            return self.layers(x)


def batch(i: int) -> tuple[gpunn.Tensor, gpunn.Tensor]:
    return gpunn.tensor(X[i], device="sim"), gpunn.tensor(T[i], device="sim")


def trained(
    optimizer: str, fuse: Any = True, autocast: Any = None, steps: int = 5
) -> tuple[list[np.ndarray], TrainStep]:
    model = Net(autocast)
    step = TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS[optimizer](model.parameters()), fuse=fuse)
    seen = [step(*batch(i)) for i in range(steps)]
    return state_of(model, step.optimizer, seen), step


def state_of(model: nn.Module, optimizer: Any, seen: Any = ()) -> list[np.ndarray]:
    """Losses, parameters and moments."""
    moments = [m for p in model.parameters() for m in optimizer.state[p].values()]
    return [x.detach().float().cpu().numpy().copy() for x in (*seen, *model.parameters(), *moments)]


def kernels(step: TrainStep) -> list[str]:
    return [launch.name for segment in step.plan.segments for launch in segment.launches]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(params=["highest", "high", "float16", "bfloat16"])
def products(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The type of products, for `Net`."""
    name = request.param
    with computing_in(name if name in ("highest", "high") else "highest"):
        yield getattr(gpunn, name, None)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_bits_are_those_of_two_launches(optimizer: str, products: Any) -> None:
    got, step = trained(optimizer, autocast=products)
    expected, _ = trained(optimizer, OTHERS, products)
    same(got, expected)
    assert sum(name.startswith("linear_") and "_step" in name for name in kernels(step)) == 3
    assert step.plan.explain_fusion().count("product_update") >= 3


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An element for each graph that is captured."""
    found: list[int] = []
    given = capture.capture
    monkeypatch.setattr(capture, "capture", lambda *args: found.append(1) or given(*args))
    return found


def test_a_graph_is_captured_once(captured: list[int]) -> None:
    """When moments are there; its numbers change, and its launches do not."""
    model = Net()
    optimizer = optim.Adam(model.parameters(), 0.01)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    step = TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    for i in range(6):
        step(*batch(i))
        schedule.step()
    assert len(captured) == 1 and "op by op" not in step.plan.explain_capture()
    reference = Net()
    optimizer = optim.Adam(reference.parameters(), 0.01)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for i in range(6):
        optimizer.zero_grad()
        nn.functional.cross_entropy(reference(batch(i)[0]), batch(i)[1]).backward()
        optimizer.step()
        schedule.step()
    for a, b in zip(model.parameters(), reference.parameters()):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=1e-5, atol=1e-6)


FACTORS: dict[str, Callable[[gpunn.Tensor], gpunn.Tensor]] = {
    "in several pieces": lambda x: x[:, 0, 0, :12:2],
    "across": lambda x: x[:, 0, 0].t()[:6].t(),
    "a view of what was copied": lambda x: gpunn.stack([x[:, 0, 0, :6]] * 2).transpose(0, 1).reshape(5, 2, 1, 6),
    "repeated": lambda x: x[:, 0, 0, :6].unsqueeze(0).expand(2, 5, 6),
    "images with their channels last": lambda x: x.exp()[..., :6].to(memory_format=gpunn.channels_last).cos(),
    "some rows": lambda x: x.exp().reshape(120, 6)[5:10],
    "channels": lambda x: x.exp().to(memory_format=gpunn.channels_last).sin().permute(0, 2, 3, 1),
}


@pytest.mark.parametrize("factors", FACTORS)
def test_however_factors_lie(factors: str, captured: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight is updated in one launch where they lie in lines; else in two, which also stay the same."""
    monkeypatch.setattr(product_update, "pays", lambda *sizes: True)
    lines = factors in ("some rows", "channels")
    images = gpunn.tensor(GIVEN.standard_normal((5, 6, 2, 12)).astype("f"), device="sim")
    found = []
    for fuse in (True, OTHERS):
        gpunn.manual_seed(0)
        layer = nn.Linear(6, 4, bias=False).to("sim")
        model = nn.Module()
        model.layer, model.forward = layer, lambda x, layer=layer: layer(FACTORS[factors](x)).tanh()
        step = TrainStep(model, lambda z, _: z.square().mean(), optim.Adam(layer.parameters(), 0.1), fuse=fuse)
        for _ in range(4):
            step(images, images)
        found.append(layer.weight.detach().cpu().numpy())
        assert any(name.startswith("linear_adam_step") for name in kernels(step)) == (fuse is True and lines)
    np.testing.assert_allclose(*found, rtol=1e-5)
    assert len(captured) == 2


def test_what_is_said_of_its_kernels() -> None:
    """The tile, and the time of the product where that is longer than what the arrays take."""
    for precision, size, tile in (("highest", "medium", TILES["medium"]), ("high", "small", TF32_TILES["small"])):
        with computing_in(precision):
            _, step = trained("adam", steps=3)
        rows = [line for line in step.plan.explain_kernels().splitlines() if "linear_adam_step" in line]
        product = (max(tile.cycles, tile.alone) * 5 + ROUND) / 1980  # microseconds, of one block for five rows
        assert len(rows) == 3
        for row in rows:
            assert f"  {size} {tile.rows} x {tile.columns}  " in row and row.endswith(f"  {product:.1f}")


def test_several_steps_in_one_launch() -> None:
    model = Net()
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01))
    for i in range(3):
        step(*batch(i))
    step.steps(gpunn.tensor(X[3:], device="sim"), gpunn.tensor(T[3:], device="sim"))
    single = Net()
    alone = TrainStep(single, nn.CrossEntropyLoss(), optim.Adam(single.parameters(), 0.01))
    for i in range(6):
        alone(*batch(i))
    same(state_of(model, step.optimizer), state_of(single, alone.optimizer))


def test_a_loaded_state_is_used() -> None:
    got, step = trained("adam")
    saved = deepcopy(step.optimizer.state_dict()), {k: v.clone() for k, v in step.model.state_dict().items()}
    after = [step(*batch(5)).item(), *state_of(step.model, step.optimizer)]
    other = Net()
    again = TrainStep(other, nn.CrossEntropyLoss(), OPTIMIZERS["adam"](other.parameters()))
    for i in range(3):
        again(*batch(i))
    again.optimizer.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    same([again(*batch(5)).item(), *state_of(other, again.optimizer)], after)
    assert got[0].shape == ()


def test_nothing_is_updated_after_a_bad_label() -> None:
    got, step = trained("adam", steps=4)
    before = [p.detach().cpu().numpy().copy() for p in step.model.parameters()]
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        step(batch(4)[0], gpunn.full((5,), 4, dtype=gpunn.int64, device="sim"))
        step.check()
    same([p.detach().cpu().numpy() for p in step.model.parameters()], before)
    assert len(got) == 4 + 4 + 4 * 4


def reasons(step: TrainStep) -> str:
    step(*batch(0))
    return step.plan.explain_fusion()


def test_where_it_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    model, loss = Net(), nn.CrossEntropyLoss()
    assert "no kernel does Lion's step" in reasons(TrainStep(model, loss, optim.Lion(model.parameters())))
    kept = TrainStep(model, loss, optim.SGD(model.parameters(), 0.1), keep_grads=True)
    assert "the result of the step needs the gradient" in reasons(kept)
    weight = model.layers[2].weight

    def with_weight(z: gpunn.Tensor, t: gpunn.Tensor) -> gpunn.Tensor:
        return loss(z, t) + weight.square().sum()

    said = reasons(TrainStep(model, with_weight, optim.SGD(model.parameters(), 0.1)))
    assert said.count("+ SGD") - said.count("not fused: kernels do that for weights") == 2  # without this one
    with computing_in("medium"):
        said = reasons(TrainStep(model, loss, optim.SGD(model.parameters(), 0.1)))
    assert "no kernel does SGD's step where it makes a product of float32" in said
    monkeypatch.setattr(product_update, "CACHED_BYTES", 1 << 30)
    assert "stay in a GPU's cache" in reasons(TrainStep(model, loss, optim.SGD(model.parameters(), 0.1)))


def test_a_weight_of_two_layers_is_updated_by_both_gradients() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            gpunn.manual_seed(0)
            self.layer = nn.Linear(12, 12, bias=False)
            self.to("sim")

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            return self.layer(self.layer(x).tanh())

    found = []
    for fuse in (True, OTHERS):
        model = Shared()
        step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01), fuse=fuse)
        for i in range(3):
            step(*batch(i))
        found.append(state_of(model, step.optimizer))
    same(*found)


def test_clipped_gradients_are_there_as_a_whole() -> None:
    found = []
    for fuse in (True, OTHERS):
        model = Net()
        clip = partial(nn.utils.clip_grad_norm_, list(model.parameters()), 0.1)
        optimizer = optim.Adam(model.parameters(), 0.01)
        step = TrainStep(model, nn.CrossEntropyLoss(), optimizer, fuse=fuse, before_update=clip)
        for i in range(4):
            step(*batch(i))
        found.append(state_of(model, step.optimizer))
        assert not any("linear_adam" in name for name in kernels(step))
    same(*found)


def test_behind_a_max_pooling() -> None:
    """The product that makes the gradient of a pooling, too, leaves that of the weight to the update."""
    found = []
    for fuse in (True, OTHERS):
        gpunn.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4, bias=False)
        ).to("sim")
        step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.1, momentum=0.9), fuse=fuse)
        rng = np.random.default_rng(0)
        for _ in range(4):
            step(*(gpunn.tensor(rng.standard_normal(s).astype("f"), device="sim") for s in ((5, 1, 6, 6), (5, 4))))
        found.append([p.detach().cpu().numpy() for p in model.parameters()])
        assert any("linear_sgd_step" in name for name in kernels(step)) == (fuse is True)
    same(*found)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_what_lies_between_large_weights_is_updated_by_one_walk(
    monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Between large weights, whether a plan updates those by themselves or not; the smallest is just large enough."""
    for module, name in ((arena, "ALONE_BYTES"), (product_update, "LARGE_BYTES")):
        monkeypatch.setattr(module, name, 12 * 24 * 4)
    gpunn.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(12, 24), nn.LayerNorm(24), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 24), nn.Linear(24, 4)
    ).to("sim")
    made = optim.RMSprop(model.parameters()) if optimizer == "rmsprop" else optim.Adam(model.parameters())
    step = TrainStep(model, nn.CrossEntropyLoss(), made)
    for i in range(3):
        step(*batch(i))
    updates = [name for name in kernels(step) if name.endswith("_step") or "_step_" in name]
    large = "rmsprop_step" if optimizer == "rmsprop" else "linear_adam_step_medium"
    assert sorted(updates) == sorted([large] * 3 + [f"{optimizer}_step"])
