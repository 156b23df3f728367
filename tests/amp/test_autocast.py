"""autocast against PyTorch's: types of results, numbers, and networks that train."""

import threading

import numpy as np
import pytest

import gpunn
import gpunn.nn.functional as F
from gpunn import nn
from gpunn.amp import custom_bwd, custom_fwd
from gpunn.utils.checkpoint import checkpoint

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x": RANDOM.uniform(0.1, 0.9, (4, 6)).astype(np.float32),
    "w": RANDOM.normal(size=(5, 6)).astype(np.float32),
    "b": RANDOM.normal(size=5).astype(np.float32),
    "image": RANDOM.normal(size=(2, 3, 6, 6)).astype(np.float32),
    "volume": RANDOM.normal(size=(1, 3, 3, 3, 3)).astype(np.float32),
    "filters": RANDOM.normal(size=(3, 3, 3, 3)).astype(np.float32),
    "three": RANDOM.uniform(0.1, 0.9, 3).astype(np.float32),
    "label": np.array([0, 5, 2, 1]),
    "rows": np.ones((4, 6), np.int64),
    "signs": np.ones((4, 6), np.float32),
}
# Each is called with a library, its functional, and its tensors, of which x, image, volume and signs may be halves.
CALLS = {
    "linear": lambda lib, f, a: f.linear(a.x, a.w, a.b),
    "matmul": lambda lib, f, a: a.x @ a.w.T,
    "bmm": lambda lib, f, a: lib.bmm(a.image[0], a.image[1]),
    "addmm": lambda lib, f, a: lib.addmm(a.b, a.x, a.w.T),
    "baddbmm": lambda lib, f, a: lib.baddbmm(a.image[0], a.image[0], a.image[1]),
    "einsum": lambda lib, f, a: lib.einsum("ij,kj->ik", a.x, a.w),
    "conv2d": lambda lib, f, a: f.conv2d(a.image, a.filters, a.three),
    "conv1d": lambda lib, f, a: f.conv1d(a.image[0], a.filters[:, :, 0].repeat(1, 2, 1)),
    "conv_transpose2d": lambda lib, f, a: f.conv_transpose2d(a.image, a.filters),
    "conv3d": lambda lib, f, a: f.conv3d(a.volume, a.filters[..., None]),
    "conv_transpose3d": lambda lib, f, a: f.conv_transpose3d(a.volume, a.filters[..., None]),
    "einsum of a list": lambda lib, f, a: lib.einsum("ij,kj->ik", [a.x, a.w]),
    "attention": lambda lib, f, a: f.scaled_dot_product_attention(a.image, a.image, a.image),
    "prelu": lambda lib, f, a: f.prelu(a.x, a.three[:1]),
    "softmax": lambda lib, f, a: a.x.softmax(1),
    "sum": lambda lib, f, a: a.x.sum(),
    "exp": lambda lib, f, a: a.x.exp(),
    "pow": lambda lib, f, a: a.x**2,
    "prod": lambda lib, f, a: a.x.prod(),
    "trace": lambda lib, f, a: a.x.trace(),
    "relu": lambda lib, f, a: f.relu(a.x),
    "gelu": lambda lib, f, a: f.gelu(a.x),
    "add": lambda lib, f, a: a.x + a.w[:4],
    "cat": lambda lib, f, a: lib.cat([a.x, a.w]),
    "batch_norm": lambda lib, f, a: f.batch_norm(a.image, a.three, a.three, a.three, a.three),
    "layer_norm": lambda lib, f, a: f.layer_norm(a.x, (6,), a.w[0], a.w[1]),
    "group_norm": lambda lib, f, a: f.group_norm(a.image, 3, a.three, a.three),
    "rms_norm": lambda lib, f, a: f.rms_norm(a.x, (6,), a.w[0]),
    "cross_entropy": lambda lib, f, a: f.cross_entropy(a.x, a.label),
    "nll_loss": lambda lib, f, a: f.nll_loss(a.x, a.label),
    "mse_loss": lambda lib, f, a: f.mse_loss(a.x, a.x * 2),
    "l1_loss": lambda lib, f, a: f.l1_loss(a.x, a.x * 2),
    "smooth_l1_loss": lambda lib, f, a: f.smooth_l1_loss(a.x, a.x * 2),
    "huber_loss": lambda lib, f, a: f.huber_loss(a.x, a.x * 2),
    "binary_cross_entropy": lambda lib, f, a: f.binary_cross_entropy(a.x, a.x),
    "binary_cross_entropy with floats": lambda lib, f, a: f.binary_cross_entropy(a.x, a.w[:4].sigmoid()),
    "cross_entropy of halves": lambda lib, f, a: f.cross_entropy(a.x, a.x),
    "ctc_loss": lambda lib, f, a: f.ctc_loss(a.x.log_softmax(1), a.label[3:], lib.tensor(4), lib.tensor(1)),
    "grid_sample": lambda lib, f, a: f.grid_sample(a.image, a.filters[:2, :, :, :2], align_corners=False),
    "inv": lambda lib, f, a: lib.linalg.inv(a.image[0, 0]),
    "svdvals": lambda lib, f, a: lib.linalg.svdvals(a.x),
    "solve": lambda lib, f, a: lib.linalg.solve(a.image[0, 0], a.image[0, 1]),
    "with_logits": lambda lib, f, a: f.binary_cross_entropy_with_logits(a.x, a.x),
    "kl_div": lambda lib, f, a: f.kl_div(a.x, a.x),
    "cosine_embedding_loss": lambda lib, f, a: f.cosine_embedding_loss(a.x, a.x * 2, a.signs[:, 0]),
    "cosine_similarity": lambda lib, f, a: f.cosine_similarity(a.x, a.x * 2),
    "margin_ranking_loss": lambda lib, f, a: f.margin_ranking_loss(a.x, a.x * 2, a.signs),
    "triplet_margin_loss": lambda lib, f, a: f.triplet_margin_loss(a.x, a.x * 2, a.x * 3),
    "multi_margin_loss": lambda lib, f, a: f.multi_margin_loss(a.x, a.label),
    "multilabel_margin_loss": lambda lib, f, a: f.multilabel_margin_loss(a.x, a.rows),
    "soft_margin_loss": lambda lib, f, a: f.soft_margin_loss(a.x, a.signs),
    "hinge_embedding_loss": lambda lib, f, a: f.hinge_embedding_loss(a.x, a.signs),
    "poisson_nll_loss": lambda lib, f, a: f.poisson_nll_loss(a.x, a.x),
    "cdist": lambda lib, f, a: lib.cdist(a.x, a.x * 2),
    "quantile": lambda lib, f, a: lib.quantile(a.x, 0.5),
}


class Arguments:
    """The arrays as tensors of a library; some floats of them in half precision."""

    def __init__(self, lib, halves, device="cpu"):
        for name, array in ARRAYS.items():
            t = lib.tensor(array, device=device)
            setattr(self, name, t.to(lib.bfloat16) if halves and name in ("x", "image", "volume", "signs") else t)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight", "ignore:.*mean.* divides")
@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_types_and_numbers_are_pytorchs(name, halves):
    torch = pytest.importorskip("torch")
    with torch.autocast("cpu", torch.bfloat16):
        theirs = CALLS[name](torch, torch.nn.functional, Arguments(torch, halves))
    with gpunn.autocast("cpu", gpunn.bfloat16):
        ours = CALLS[name](gpunn, F, Arguments(gpunn, halves))
    assert str(ours.dtype) == str(theirs.dtype).replace("torch", "gpunn")
    # Two roundings to eight bits apart: of what softmax and products are rounded to on the way, and of the result.
    np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=2**-6, atol=2**-6)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("linear", "float16"), ("conv2d", "float16"), ("relu", "bfloat16"), ("softmax", "float32")),
        *(("sum", "float32"), ("exp", "float32"), ("pow", "float32"), ("layer_norm", "float32")),
        ("cross_entropy", "float32"),
    ],
)
def test_on_a_gpu_more_is_done_in_float32(monkeypatch, name, kind):
    """As the lists in PyTorch's documentation have it; sim does what cuda does. Types need no kernel."""
    monkeypatch.setattr(gpunn.backend.launch.Launcher, "__call__", lambda *_, **__: None)
    monkeypatch.setattr(gpunn.backend.kernel.check.Check, "refuse", lambda *_: None)  # no label has been looked at
    monkeypatch.setattr(np, "empty", np.zeros)
    with gpunn.autocast("sim"):
        assert CALLS[name](gpunn, F, Arguments(gpunn, True, "sim")).dtype.name == kind


def test_where_it_holds():
    x, w = gpunn.ones(2, 2), gpunn.ones(2, 2)
    seen = []
    with gpunn.autocast("cpu", gpunn.float16):
        seen.append((x @ w).dtype)
        with gpunn.autocast("cpu", enabled=False):
            seen.append((x @ w).dtype)
            with gpunn.autocast("cpu"):
                seen.append((x @ w).dtype)
        seen += [(x.double() @ w.double()).dtype, (x @ w).dtype]
        thread = threading.Thread(target=lambda: seen.append((x @ w).dtype))
        thread.start()
        thread.join()
        assert gpunn.is_autocast_enabled("cpu") and not gpunn.is_autocast_enabled()
        assert gpunn.get_autocast_dtype("cpu") is gpunn.float16
    with gpunn.autocast("cuda"):
        seen.append((x @ w).dtype)
    seen.append((x @ w).dtype)
    names = ["float16", "float32", "bfloat16", "float64", "float16", "float32", "float32", "float32"]
    assert [dtype.name for dtype in seen] == names
    assert not gpunn.is_autocast_enabled("cpu") and gpunn.get_autocast_dtype("cuda") is gpunn.float16


def test_as_a_decorator_also_of_what_calls_itself():
    @gpunn.autocast("cpu")
    def power(x, n):
        return power(x, n - 1) @ x if n > 1 else x @ x

    assert power(gpunn.eye(2), 3).dtype is gpunn.bfloat16
    assert not gpunn.is_autocast_enabled("cpu")


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"there is no kind of device 'gpu'; there are cpu, meta, cuda, sim"):
        gpunn.autocast("gpu")
    with pytest.raises(ValueError, match="device_type is a string, got device"):
        gpunn.autocast(gpunn.device("cpu"))
    with pytest.warns(UserWarning, match="only float16 and bfloat16"), gpunn.autocast("cpu", gpunn.float32):
        assert not gpunn.is_autocast_enabled("cpu")


def test_a_parameter_is_cast_once_until_it_changes():
    layer = nn.Linear(3, 3)
    with gpunn.autocast("cpu"):
        first, second = layer(gpunn.ones(1, 3)), layer(gpunn.ones(1, 3))
        cast = [y.grad_fn.next_functions[1][0] for y in (first, second)]
        assert cast[0] is cast[1]
        with gpunn.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
        assert layer(gpunn.ones(1, 3)).abs().sum() == 0
    with gpunn.autocast("cpu", cache_enabled=False):
        first, second = layer(gpunn.ones(1, 3)), layer(gpunn.ones(1, 3))
        assert first.grad_fn.next_functions[1][0] is not second.grad_fn.next_functions[1][0]


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_a_spectral_norm_is_found_in_the_type_of_the_weight(norm):
    layer = norm(nn.Linear(4, 3))
    with gpunn.autocast("cpu"):
        assert layer(gpunn.ones(2, 4)).dtype is gpunn.bfloat16
        for _ in range(30):
            layer(gpunn.ones(2, 4))
        assert abs(np.linalg.norm(layer.weight.detach().numpy(), 2) - 1) < 1e-4


@pytest.mark.parametrize("inside", [False, True])
def test_losses_that_share_a_cast_parameter_have_a_backward_each(inside):
    def gradient(lib):
        w = lib.full((2, 3), 0.5, requires_grad=True)
        with lib.autocast("cpu", dtype=lib.bfloat16):
            first = lib.nn.functional.linear(lib.ones(4, 3), w).sum()
            if inside:
                first.backward()
            second = lib.nn.functional.linear(lib.full((4, 3), 2.0), w).sum()
        if not inside:
            first.backward()
        second.backward()
        return w.grad.tolist()

    assert gradient(gpunn) == gradient(pytest.importorskip("torch"))


def network(lib):
    nn = lib.nn
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    )


def losses(lib, model, n=6, wrap=lambda model, x: model(x)):
    x = np.random.default_rng(1).normal(size=(8, 3, 6, 6)).astype(np.float32)
    optimizer = lib.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found = []
    for _ in range(n):
        optimizer.zero_grad()
        with lib.autocast("cpu", dtype=lib.bfloat16):
            loss = lib.nn.functional.cross_entropy(wrap(model, lib.tensor(x)), lib.tensor(np.arange(8) % 5))
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


@pytest.fixture
def model():
    gpunn.manual_seed(0)
    return network(gpunn)


def test_a_network_trains_as_in_pytorch(model):
    torch = pytest.importorskip("torch")
    theirs = network(torch)
    theirs.load_state_dict({name: torch.tensor(t.numpy()) for name, t in model.state_dict().items()})
    found = losses(gpunn, model)
    np.testing.assert_allclose(found, losses(torch, theirs), rtol=2e-3)
    assert {p.grad.dtype for p in model.parameters()} == {gpunn.float32}
    assert found[-1] < found[0] / 2


def test_recomputation_is_in_the_types_of_the_forward(model):
    state = {name: t.clone() for name, t in model.state_dict().items()}
    plain = losses(gpunn, model)
    model.load_state_dict(state)
    assert losses(gpunn, model, wrap=checkpoint) == plain


class Cast(nn.Module):
    """A model inside of autocast."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        with gpunn.autocast("cpu"):
            return self.model(x).float()


def test_planned_steps_have_the_bits_of_eager_ones(model):
    x, y = gpunn.randn(8, 3, 6, 6), gpunn.arange(8) % 5
    state = {name: t.clone() for name, t in model.state_dict().items()}
    optimizer = gpunn.optim.Adam(model.parameters(), 0.01)
    step = gpunn.TrainStep(Cast(model), F.cross_entropy, optimizer, fuse=False)
    planned = [step(x, y).item() for _ in range(4)]
    model.load_state_dict(state)
    eager, optimizer = [], gpunn.optim.Adam(model.parameters(), 0.01)
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(Cast(model)(x), y)
        loss.backward()
        optimizer.step()
        eager.append(loss.item())
    assert planned == eager


def test_a_plan_is_made_anew_inside_autocast(model):
    step = gpunn.EvalStep(model.eval())
    x = gpunn.randn(2, 3, 6, 6)
    with gpunn.autocast("cpu"):
        assert step(x).dtype is gpunn.bfloat16
        assert step(x).dtype is gpunn.bfloat16
    assert step(x).dtype is gpunn.float32
    assert len(step.plans_made) == 2


def test_functions_of_ones_own():
    class Product(gpunn.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu")
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            seen.append((dy @ w.T).dtype)
            return dy @ w.T, x.T @ dy

    class Wide(gpunn.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", cast_inputs=gpunn.float32)
        def forward(ctx, x, *others):
            seen.extend(t.dtype for t in (others[0][0], others[1]["a"][0]))
            return x @ x

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, dy):
            seen.append((dy @ dy).dtype)
            return dy, None, None

    seen = []
    x = gpunn.ones(2, 2, requires_grad=True)
    with gpunn.autocast("cpu"):
        y = Product.apply(x, x.detach())
        half = (x @ x).detach().requires_grad_()
        z = Wide.apply(half, [half], {"a": (half,)})
    assert (y.dtype, z.dtype) == (gpunn.bfloat16, gpunn.float32)
    y.sum().backward()
    z.sum().backward()
    assert seen == [gpunn.float32, gpunn.float32, gpunn.bfloat16, gpunn.float32]
