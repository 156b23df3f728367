"""Functions, and modules of several inputs, against PyTorch's: results, gradients and second gradients."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import functional as F

RNG = np.random.default_rng(1)
VOLUME = RNG.standard_normal((2, 4, 5, 4, 6))
IMAGE, SEQUENCE = VOLUME[0], VOLUME[0, 0]
TIES = np.round(VOLUME)


@pytest.mark.filterwarnings("ignore:.*(affine_grid|grid_sample).*:UserWarning")
def test_affine_grid(same):
    for aligned in (None, True):
        same(lambda F, t, a=aligned: F.affine_grid(t, (2, 3, 4, 5), a), RNG.standard_normal((2, 2, 3)))
        same(lambda F, t, a=aligned: F.affine_grid(t, (2, 3, 4, 1, 5), a), RNG.standard_normal((2, 3, 4)))


def test_unpooling(same):
    def there_and_back(axes, kernel, stride, padding, size=None):
        def f(F, x):
            y, i = getattr(F, f"max_pool{axes}d")(x, kernel, stride, padding, return_indices=True)
            return getattr(F, f"max_unpool{axes}d")(y * 2, i, kernel, stride, padding, size)

        return f

    same(there_and_back(1, 2, 2, 0), SEQUENCE)
    same(there_and_back(1, 2, 2, 0, (6,)), SEQUENCE)
    same(there_and_back(2, 3, 2, 1, (4, 6)), IMAGE)
    same(there_and_back(2, (2, 3), None, 0), VOLUME[:, :, 0])
    same(there_and_back(3, 2, 2, 0, (5, 4, 6)), VOLUME)
    pool, back = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    y, i = pool(gpunn.arange(16.0).reshape(1, 1, 4, 4))
    assert back(y, i).sum().item() == 5 + 7 + 13 + 15 and repr(back) == (
        "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"
    )
    with pytest.raises(ValueError, match=r"less than a stride \[2, 2\] from 4 x 4 .* got \[9, 9\]"):
        back(y, i, output_size=[9, 9])
    with pytest.raises(IndexError, match="index 16 is out of bounds"):
        back(y, i * 0 + 16)


def test_fractional_pooling(same):
    for k, o in ((2, 2), ((1, 2, 2), (4, 2, 4)), (3, 1)):
        u = np.random.default_rng(2).random((2, 4, 3))
        same(lambda F, x, u, g=(k, o): F.fractional_max_pool3d(x, *g, None, True, u.detach()), TIES, u)
        k, o = (k, o) if isinstance(k, int) else (k[1:], o[1:])
        same(
            lambda F, x, u, g=(k, o): F.fractional_max_pool2d(x, *g, None, True, u.detach()), TIES[:, :, 0], u[..., :2]
        )
    y = nn.FractionalMaxPool2d(2, output_ratio=0.5)(gpunn.tensor(IMAGE))
    assert (
        y.shape == (*(4, 5, 2, 3)[:1], 5, 2, 3)
        and nn.FractionalMaxPool3d(2, 2)(gpunn.tensor(IMAGE)).shape[1:] == (2,) * 3
    )
    with pytest.raises(ValueError, match="give one of output_size and output_ratio"):
        nn.FractionalMaxPool2d(2)


LENGTHS = [((12, 12, 10, 7, 5), (4, 4, 3, 1, 0)), ((12, 5, 4, 3, 1), (2, 1, 4, 4, 4))]  # of the second some can't be


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("times", "labels"), LENGTHS)
def test_ctc_loss(times, labels, reduction, torch, same):
    rng = np.random.default_rng(4)
    scores, targets = rng.standard_normal((12, 5, 6)), rng.integers(1, 6, (5, 4))
    targets[:2] = [[2, 2, 2, 3], [1, 1, 1, 1]]
    row = np.concatenate([t[:n] for t, n in zip(targets, labels)])
    options = {"reduction": reduction, "zero_infinity": times[1] < 12}

    def loss(F, x, t, i, n):
        return F.ctc_loss(F.log_softmax(x, -1), t, i, n, **options)

    same(loss, scores, targets, np.array(times), np.array(labels), second=False)
    same(lambda F, x, t: loss(F, x, t, times, labels), scores, row, second=False)
    probabilities = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    same(lambda F, p, t: F.ctc_loss(p, t, times, labels, **options), probabilities, targets, second=False)
    same(lambda F, p, t: F.ctc_loss(p, t - 1, times, labels, blank=5, **options), probabilities, targets, second=False)
    same(lambda F, p, t: F.ctc_loss(p, t, (9,), (4,), **options), probabilities[:, 0], targets[0], second=False)


def test_ctc_loss_of_what_can_not_be():
    p = F.log_softmax(gpunn.randn(2, 1, 3), -1).detach().requires_grad_()
    loss = F.ctc_loss(p, gpunn.tensor([[1, 2, 1]]), [2], [3])
    assert loss.item() == float("inf")
    loss.backward()
    assert not np.isfinite(p.grad.numpy()).any()
    criterion = nn.CTCLoss(zero_infinity=True)
    assert criterion(p, gpunn.tensor([[1, 2, 1]]), [2], [3]).item() == 0
    for wrong, message in (
        ((gpunn.tensor([[1, 3, 1]]), [2], [3]), "labels from 0 to 2"),
        ((gpunn.tensor([[1, 2, 1]]), [3], [3]), "input_lengths are from 0 to 2 here, got 3"),
        ((gpunn.tensor([1, 2, 1]), [2], [2]), "target_lengths add up to 2"),
    ):
        with pytest.raises(RuntimeError, match=message):
            criterion(p, *wrong)


TABLE = RNG.standard_normal((7, 3))
TABLE[5] = TABLE[2]


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode, padding_idx, same):
    rng = np.random.default_rng(5)
    bags, row = rng.integers(0, 7, (4, 5)), rng.integers(0, 7, 11)
    options = {"mode": mode, "padding_idx": padding_idx}
    same(lambda F, w, i: F.embedding_bag(i, w, **options), TABLE, bags, second=False)
    for last, offsets in ((False, [0, 3, 3, 8]), (True, [0, 3, 3, 8, 11])):
        options["include_last_offset"] = last
        same(lambda F, w, i, o: F.embedding_bag(i, w, o, **options), TABLE, row, np.array(offsets), second=False)
    if mode == "sum":
        del options["include_last_offset"]
        weights = rng.standard_normal((4, 5))
        same(
            lambda F, w, s, i: F.embedding_bag(i, w, per_sample_weights=s, **options),
            TABLE,
            weights,
            bags,
            second=False,
        )
        # PyTorch's bags divide by the frequency of another index; those of embedding() do not.
        same(lambda F, w, i: F.embedding(i, w, scale_grad_by_freq=True).sum(1), TABLE, bags, second=False)
        by_frequency = gpunn.tensor(TABLE).requires_grad_()
        F.embedding_bag(
            gpunn.tensor([[1, 1], [1, 2]]), by_frequency, scale_grad_by_freq=True, mode="sum"
        ).sum().backward()
        assert by_frequency.grad[:3, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("expression", "arrays"),
    [
        ("nn.EmbeddingBag(7, 3, mode='sum', padding_idx=-2)", [np.array([[0, 5, 4], [1, 1, 6]])]),
        (
            "nn.EmbeddingBag(7, 3, mode='max', max_norm=1.0, norm_type=1.0)",
            [np.array([0, 5, 4, 2]), np.array([0, 2, 2])],
        ),
        (
            "nn.AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10], div_value=2.0, head_bias=True)",
            [TIES[0, 0, 0], np.array([3, 4, 9, 19])],
        ),
        ("nn.LinearCrossEntropyLoss(6, 5, bias=True, label_smoothing=0.1)", [SEQUENCE[0], np.array([0, 4, 4, 1])]),
        (
            "nn.LinearCrossEntropyLoss(6, 5, out_features=(2,))",
            [SEQUENCE[0], np.array([[0, 1], [4, 4], [1, 1], [2, 3]])],
        ),
        ("nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2, bias=False))", [SEQUENCE]),
        ("nn.LazyConv1d(5, 3, groups=5)", [SEQUENCE.reshape(4, 5, 6)]),
        ("nn.LazyConv2d(6, 3, padding=1)", [IMAGE]),
        ("nn.LazyConv3d(6, 3, bias=False)", [VOLUME]),
        ("nn.LazyConvTranspose1d(6, 3)", [SEQUENCE[0]]),
        ("nn.LazyConvTranspose2d(5, 3, groups=5, stride=2)", [IMAGE]),
        ("nn.LazyConvTranspose3d(6, 3)", [VOLUME]),
        ("nn.LazyBatchNorm1d()", [SEQUENCE]),
        ("nn.LazyBatchNorm2d(affine=False)", [IMAGE]),
        ("nn.LazyBatchNorm3d(momentum=0.3)", [VOLUME]),
        ("nn.LazyInstanceNorm1d()", [SEQUENCE]),
        ("nn.LazyInstanceNorm2d(track_running_stats=False)", [IMAGE]),
        ("nn.LazyInstanceNorm3d(affine=False)", [VOLUME]),
    ],
)
def test_modules(expression, arrays, torch):
    if "AdaptiveLog" in expression:
        arrays = [RNG.standard_normal((4, 4)), arrays[1]]
    ours, theirs = eval(expression, {"nn": nn}).double(), eval(expression, {"nn": torch.nn}).double()
    assert repr(ours) == repr(theirs)
    ours(*map(gpunn.tensor, arrays))
    theirs(*map(torch.tensor, arrays))
    assert repr(ours) == repr(theirs)
    state = {key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    found = []
    for library, module in ((gpunn, ours), (torch, theirs)):
        y = module(*map(library.tensor, arrays))
        ys = list(y if isinstance(y, tuple) else (y,))
        if ys[0].requires_grad:
            sum((q * q).sum() for q in ys).backward()
        found.append([t.detach().numpy() for t in (*ys, *(p.grad for p in module.parameters()), *module.buffers())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_adaptive_softmax_of_all_classes(torch):
    ours, theirs = (n.AdaptiveLogSoftmaxWithLoss(4, 20, [4, 10], 2.0).double() for n in (nn, torch.nn))
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    x = RNG.standard_normal((5, 4))
    p = ours.log_prob(gpunn.tensor(x))
    np.testing.assert_allclose(p.detach().numpy(), theirs.log_prob(torch.tensor(x)).detach().numpy(), rtol=1e-10)
    assert ours.predict(gpunn.tensor(x)).tolist() == theirs.predict(torch.tensor(x)).tolist()
    y, loss = ours(gpunn.tensor(x[0]), gpunn.tensor(12))
    np.testing.assert_allclose(y.item(), p[0, 12].item(), rtol=1e-12)
    assert loss.item() == -y.item()
    with pytest.raises(IndexError, match="out of bounds"):
        ours(gpunn.tensor(x[:1]), gpunn.tensor([20]))


def test_lazy_modules_take_a_state_and_are_no_others_afterwards():
    model = nn.Sequential(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d())
    weight = model[0].weight
    with pytest.raises(RuntimeError, match="UninitializedParameter has no shape yet"):
        _ = weight.shape
    other = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    model.load_state_dict(other.state_dict())
    x = gpunn.randn(2, 2, 5, 5)
    assert (model(x) == other(x)).all() and model[0].weight is weight and type(weight) is nn.Parameter
    assert type(model[0]) is nn.Conv2d and model[0].in_channels == 2 and type(model[1]) is nn.BatchNorm2d
    gpunn.manual_seed(3)
    a = nn.LazyLinear(4)
    a(x)
    gpunn.manual_seed(3)
    assert (a.weight == nn.Linear(5, 4).weight).all()
    with pytest.raises(TypeError, match="missing a required argument: 'out_features'"):
        nn.LazyLinear()


def test_buffers_by_being_set():
    module = nn.Module()
    module.mean = nn.Buffer(gpunn.ones(2))
    module.work = nn.Buffer(gpunn.zeros(1), persistent=False)
    assert list(module.state_dict()) == ["mean"] and [n for n, _ in module.named_buffers()] == ["mean", "work"]


def test_attention_as_a_function(same):
    e, heads, length, size, n = 6, 2, 3, 4, 2
    rng = np.random.default_rng(6)
    shapes = [(length, n, e), (size, n, e), (size, n, e), (3 * e, e), (3 * e,), (e, e), (e,)]
    arrays = [rng.standard_normal(s) for s in shapes]
    masks = [rng.random((length, size)) > 0.7, rng.random((n, size)) > 0.8]

    def f(F, q, k, v, w, b, wo, bo, mask, padding):
        given = {"key_padding_mask": padding, "attn_mask": mask, "average_attn_weights": False}
        return F.multi_head_attention_forward(q, k, v, e, heads, w, b, None, None, True, 0.0, wo, bo, **given)

    same(f, *arrays, *masks, second=False)
    keys = rng.standard_normal((2, n * heads, size, e // heads))

    def static(F, q, k, v, w, b, wo, bo, sk, sv):
        given = {"static_k": sk, "static_v": sv}
        return F.multi_head_attention_forward(q, k, v, e, heads, w, b, None, None, False, 0.0, wo, bo, **given)

    same(static, *arrays, *keys, second=False)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("relu_", ()),
        ("elu_", (0.5,)),
        ("selu_", ()),
        ("celu_", (0.5,)),
        ("hardtanh_", (-0.3, 0.4)),
        ("rrelu_", ()),
        ("leaky_relu_", (0.2,)),
        ("threshold_", (0.1, 7)),
    ],
)
def test_in_place(name, arguments, same, torch):
    same(lambda F, x: getattr(F, name)(x * 1, *arguments), SEQUENCE)
    x = gpunn.tensor(SEQUENCE)
    assert getattr(F, name)(x, *arguments) is x and (x.numpy() != SEQUENCE).any()


def test_slopes_that_are_drawn():
    x = gpunn.randn(40000).requires_grad_()
    layer = nn.RReLU(0.1, 0.3)
    y = layer(x)
    y.sum().backward()
    below = x.detach().numpy() < 0
    slopes = x.grad.numpy()[below]
    assert (x.grad.numpy()[~below] == 1).all() and slopes.min() >= 0.1 and slopes.max() < 0.3
    assert abs(slopes.mean() - 0.2) < 4 * 0.2 / np.sqrt(12 * below.sum())
    np.testing.assert_allclose(slopes, y.detach().numpy()[below] / x.detach().numpy()[below], rtol=1e-5)
    assert (layer.eval()(x) == F.leaky_relu(x, 0.2)).all() and repr(layer) == "RReLU(lower=0.1, upper=0.3)"


def test_samples_of_categories():
    p = np.array([0.1, 0.2, 0.7])
    logits = gpunn.tensor(np.log(p)).expand(20000, 3).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, 0.5, hard=True)
    counts = hard.detach().numpy().mean(0)
    assert (abs(counts - p) < 4 * np.sqrt(p * (1 - p) / 20000)).all()
    np.testing.assert_allclose(np.unique(hard.detach().numpy()), [0, 1], atol=1e-12)
    hard[:, 0].sum().backward()
    assert (abs(logits.grad) > 0).any()
    np.testing.assert_allclose(F.gumbel_softmax(logits, 2.0, dim=0).sum(0).detach().numpy(), 1, rtol=1e-9)


def test_channels_at_the_limit():
    y = F.feature_alpha_dropout(gpunn.randn(50, 60, 7), 0.3, training=True).numpy()
    whole = (y == y[..., :1]).all(-1)
    assert abs(whole.mean() - 0.3) < 0.03 and abs(y.mean()) < 0.1 and abs(y.std() - 1) < 0.1


@pytest.mark.parametrize(
    "f",
    [
        lambda F, x: F.conv3d(x, x[:, :, :2, :2, :3], None, (1, 2, 1), 1),
        lambda F, x: F.conv_transpose3d(
            x, x[:, :, :2, :2, :3].transpose(0, 1)[:2].expand(2, 2, 2, 2, 3), None, 2, 1, 1
        ),
        lambda F, x: F.max_pool3d(x, 2, 1, 1, return_indices=True),
        lambda F, x: F.adaptive_max_pool3d(x, (2, 3, 2), True),
        lambda F, x: F.interpolate(x, (3, 5, 4), mode="trilinear", align_corners=False),
        lambda F, x: F.grid_sample(x, x[:, :, :3, :3, :3].tanh().flatten(1, 2)[..., None, :], align_corners=False),
    ],
)
def test_on_the_simulator(f, same):
    x = RNG.standard_normal((2, 2, 3, 3, 4))
    same(f, x, dtype="float32", device="sim", rtol=1e-3, second=False)


class Sampled(nn.Module):
    """Images that are pooled, put back, and sampled at places that are learned."""

    def __init__(self):
        super().__init__()
        self.conv, self.where = nn.Conv2d(4, 3, 3, padding=1), nn.Linear(1, 6)

    def forward(self, x):
        y = F.max_unpool2d(*F.max_pool2d(self.conv(x), 2, return_indices=True), 2)
        theta = self.where(gpunn.ones(x.shape[0], 1)).reshape(-1, 2, 3)
        y = F.grid_sample(y, F.affine_grid(theta, y.shape, align_corners=False), align_corners=False)
        return F.gumbel_softmax(F.fractional_max_pool2d(y, 2, 2).mean((2, 3)))


def volumes():
    return nn.Sequential(
        *(nn.Conv3d(4, 2, 3, padding=1), nn.BatchNorm3d(2), nn.ReLU(), nn.MaxPool3d(2), nn.Upsample(scale_factor=2)),
        *(nn.ConvTranspose3d(2, 2, 2), nn.AdaptiveMaxPool3d(3), nn.LPPool3d(2, 2, 1), nn.RReLU(), nn.Flatten()),
        *(nn.Linear(16, 5),),
    )


def ctc(y, t):
    return F.ctc_loss(F.log_softmax(y, -1), t, (5, 4, 3, 5), (2, 1, 2, 0))


@pytest.mark.parametrize(
    ("build", "loss_fn", "x", "t"),
    [
        (volumes, F.cross_entropy, VOLUME[..., :4], [0, 3]),
        (Sampled, F.cross_entropy, VOLUME[:, :, 0], [0, 2]),
        (lambda: nn.Linear(6, 4), ctc, SEQUENCE, [[1, 2], [3, 3], [1, 1], [2, 2]]),
    ],
)
def test_planned_steps_do_the_same(build, loss_fn, x, t):
    batch = gpunn.tensor(x.astype("float32")), gpunn.tensor(t)
    losses = []
    for planned in (False, True):
        gpunn.manual_seed(1)
        model = build()
        optimizer = gpunn.optim.SGD(model.parameters(), 0.05)
        step = gpunn.TrainStep(model, loss_fn, optimizer, fuse=False)
        for _ in range(3):
            if planned:
                losses.append(step(*batch).item())
                continue
            optimizer.zero_grad()
            loss = loss_fn(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:3] == losses[3:] and len(set(losses[:3])) == 3


def test_what_a_plan_refuses():
    with pytest.raises(RuntimeError, match="call the model with one"):
        gpunn.EvalStep(nn.Sequential(nn.LazyLinear(2)))(gpunn.ones(2, 3))
    bags = nn.EmbeddingBag(3, 2, mode="max")  # of any length
    with pytest.raises(RuntimeError, match="the step reads the elements of a tensor"):
        gpunn.EvalStep(bags)(gpunn.tensor([0, 1, 2]), gpunn.tensor([0, 2]))
