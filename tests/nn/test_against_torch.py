"""Every module that PyTorch has too: the same repr, state_dict, results and gradients, in training and evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn

IMAGE, SEQUENCE, ROWS, VOLUME = (2, 4, 7, 6), (2, 4, 9), (5, 4), (2, 4, 5, 4, 6)

LAYERS = {
    # One expression for both libraries, and the shape of the input.
    "nn.Identity()": ROWS,
    "nn.Linear(4, 3)": (2, 5, 4),
    "nn.Linear(4, 3, bias=False)": (4,),
    "nn.Flatten()": IMAGE,
    "nn.Flatten(0, -2)": IMAGE,
    "nn.Unflatten(1, (2, -1))": IMAGE,
    "nn.Conv1d(4, 6, 3)": SEQUENCE,
    "nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2, bias=False)": SEQUENCE,
    "nn.Conv1d(4, 2, 4, padding='same', padding_mode='replicate')": SEQUENCE,
    "nn.Conv2d(4, 6, 3)": IMAGE,
    "nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)": IMAGE,
    "nn.Conv2d(4, 2, (3, 4), padding='same')": IMAGE,
    "nn.Conv2d(4, 2, 3, padding='valid', bias=False)": IMAGE[1:],
    "nn.Conv2d(4, 2, 3, padding=(2, 1), padding_mode='reflect')": IMAGE,
    "nn.Conv2d(4, 2, 3, padding=(2, 1), padding_mode='replicate', stride=2)": IMAGE,
    "nn.Conv2d(4, 2, (3, 4), padding='same', padding_mode='circular')": IMAGE,
    "nn.Conv2d(4, 2, 3, padding='valid', padding_mode='circular')": IMAGE,
    "nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)": SEQUENCE,
    "nn.ConvTranspose2d(4, 6, 3)": IMAGE,
    "nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 0), groups=2, dilation=2)": IMAGE,
    "nn.Conv3d(4, 6, (3, 2, 2), stride=(2, 1, 1), padding=(1, 0, 1), dilation=(1, 2, 1), groups=2)": VOLUME,
    "nn.Conv3d(4, 2, 3, padding='same', padding_mode='circular', bias=False)": VOLUME,
    "nn.Conv3d(4, 2, 3, padding=1, padding_mode='reflect')": VOLUME[1:],
    "nn.ConvTranspose3d(4, 6, (3, 2, 2), stride=(2, 3, 1), padding=1, output_padding=(1, 2, 0), groups=2)": VOLUME,
    "nn.Unfold((2, 3), dilation=(2, 1), padding=1, stride=2)": IMAGE,
    "nn.Fold((4, 5), (2, 2))": (2, 8, 12),
    "nn.MaxPool1d(3, stride=2, padding=1)": SEQUENCE,
    "nn.MaxPool2d(2)": IMAGE,
    "nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=2, ceil_mode=True)": IMAGE,
    "nn.MaxPool3d((3, 2, 2), stride=(2, 1, 2), padding=(1, 0, 1), ceil_mode=True)": VOLUME,
    "nn.AvgPool1d(3, 2, 1)": SEQUENCE,
    "nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)": IMAGE,
    "nn.AvgPool2d((2, 3), divisor_override=5)": IMAGE,
    "nn.AdaptiveAvgPool1d(4)": SEQUENCE,
    "nn.AdaptiveAvgPool2d((None, 4))": IMAGE,
    "nn.AvgPool3d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)": VOLUME,
    "nn.AvgPool3d((2, 1, 3), divisor_override=5)": VOLUME[1:],
    "nn.AdaptiveAvgPool3d((None, 3, 4))": VOLUME,
    "nn.AdaptiveMaxPool1d(4)": SEQUENCE,
    "nn.AdaptiveMaxPool2d((7, 3))": IMAGE,
    "nn.AdaptiveMaxPool2d((5, 8))": IMAGE,
    "nn.AdaptiveMaxPool3d((2, None, 4))": VOLUME,
    "nn.LPPool1d(2, 3, ceil_mode=True)": SEQUENCE,
    "nn.LPPool2d(2.0, (2, 3), stride=1)": IMAGE,
    "nn.LPPool3d(2, 2)": VOLUME,
    "nn.LocalResponseNorm(3, 0.1, k=2.0)": VOLUME,
    "nn.Upsample(scale_factor=1.5)": VOLUME,
    "nn.Upsample(size=(3, 9), mode='bicubic', align_corners=True)": IMAGE,
    "nn.UpsamplingNearest2d(scale_factor=2)": IMAGE,
    "nn.UpsamplingBilinear2d(size=(5, 9))": IMAGE,
    "nn.BatchNorm1d(4)": ROWS,
    "nn.BatchNorm1d(4, momentum=None, eps=1e-3)": SEQUENCE,
    "nn.BatchNorm1d(4, bias=False)": SEQUENCE,
    "nn.BatchNorm2d(4, momentum=0.3)": IMAGE,
    "nn.BatchNorm2d(4, affine=False)": IMAGE,
    "nn.BatchNorm2d(4, track_running_stats=False)": IMAGE,
    "nn.BatchNorm3d(4, momentum=0.3)": VOLUME,
    "nn.InstanceNorm3d(4, affine=True, track_running_stats=True)": VOLUME,
    "nn.InstanceNorm1d(4, affine=True)": SEQUENCE,
    "nn.InstanceNorm2d(4)": IMAGE[1:],
    "nn.InstanceNorm2d(4, affine=True, track_running_stats=True)": IMAGE,
    "nn.PixelShuffle(2)": IMAGE,
    "nn.PixelUnshuffle(2)": (2, 3, 4, 6),
    "nn.ChannelShuffle(2)": IMAGE,
    "nn.Softmax2d()": IMAGE,
    "nn.ConstantPad1d((1, 2), 3.5)": SEQUENCE,
    "nn.ConstantPad2d(2, -1.0)": IMAGE,
    "nn.ConstantPad3d((1, 0, 2, -1, 0, 1), 0.5)": (2, 3, 4, 3, 5),
    "nn.ZeroPad1d(2)": SEQUENCE,
    "nn.ZeroPad2d((1, -2, 0, 3))": IMAGE,
    "nn.ZeroPad3d(1)": IMAGE,
    "nn.ReflectionPad1d((3, 1))": SEQUENCE,
    "nn.ReflectionPad2d((1, 2, 0, 3))": IMAGE,
    "nn.ReflectionPad3d(1)": (2, 3, 4, 3, 5),
    "nn.ReplicationPad1d(2)": SEQUENCE[1:],
    "nn.ReplicationPad2d((1, 2, 0, 3))": IMAGE,
    "nn.ReplicationPad3d((1, 2, 0, 3, 1, 1))": (2, 3, 4, 3, 5),
    "nn.CircularPad1d(2)": SEQUENCE,
    "nn.CircularPad2d((1, 2, 0, 3))": IMAGE,
    "nn.CircularPad3d(1)": (2, 3, 4, 3, 5),
    "nn.LayerNorm(6)": IMAGE,
    "nn.LayerNorm((7, 6), eps=1e-3, bias=False)": IMAGE,
    "nn.LayerNorm((6,), elementwise_affine=False)": IMAGE,
    "nn.GroupNorm(2, 4)": IMAGE,
    "nn.GroupNorm(4, 4, affine=False)": SEQUENCE,
    "nn.RMSNorm(6)": IMAGE,
    "nn.RMSNorm((7, 6), eps=1e-3, elementwise_affine=False)": IMAGE,
    "nn.ReLU()": ROWS,
    "nn.LeakyReLU(0.2)": ROWS,
    "nn.ELU(0.7)": ROWS,
    "nn.GELU()": ROWS,
    "nn.GELU('tanh')": ROWS,
    "nn.SiLU()": ROWS,
    "nn.Sigmoid()": ROWS,
    "nn.Tanh()": ROWS,
    "nn.Softplus(beta=2, threshold=1)": ROWS,
    "nn.Softmax(1)": ROWS,
    "nn.LogSoftmax(dim=-1)": ROWS,
    "nn.Softmin(0)": ROWS,
    "nn.LogSigmoid()": ROWS,
    "nn.Hardtanh(-0.5, 0.7)": ROWS,
    "nn.ReLU6()": ROWS,
    "nn.Hardsigmoid()": ROWS,
    "nn.Hardswish()": ROWS,
    "nn.Mish()": ROWS,
    "nn.SELU()": ROWS,
    "nn.CELU(0.5)": ROWS,
    "nn.GLU(0)": IMAGE,
    "nn.PReLU(4, init=0.1)": IMAGE,
    "nn.Threshold(0.1, 5)": ROWS,
    "nn.Softsign()": ROWS,
    "nn.Tanhshrink()": ROWS,
    "nn.Hardshrink(0.3)": ROWS,
    "nn.Softshrink(0.3)": ROWS,
    "nn.Dropout(0.0)": ROWS,
    "nn.Dropout1d(0.0)": SEQUENCE,
    "nn.Dropout2d(0.0)": IMAGE,
    "nn.Dropout3d(0.0)": (1, *IMAGE),
    "nn.AlphaDropout(0.0)": ROWS,
    "nn.FeatureAlphaDropout(0.0)": IMAGE,
}

RTOL = {"nn.Hardsigmoid()": 1e-7}  # PyTorch's gradient has 1/6 rounded to float32, in float64 too

INPLACE = ["ReLU", "LeakyReLU", "ELU", "SiLU", "ReLU6", "Hardtanh", "Mish", "SELU", "CELU"]


def run(module: Any, x: np.ndarray, wrap: Any) -> dict[str, Any]:
    """What comes out of three steps in training and one in evaluation."""
    found: dict[str, Any] = {}
    generator = np.random.default_rng(5)
    for step in range(4):
        if step == 3:
            module.eval()
        inputs = wrap(x + step).requires_grad_()
        y = module(inputs)
        cotangent = generator.standard_normal(tuple(y.shape))
        (y * wrap(cotangent)).sum().backward()
        found |= {f"y{step}": y.detach(), f"dx{step}": inputs.grad}
    found |= {f"d {k}": p.grad for k, p in module.named_parameters()}
    found |= {f"buffer {k}": b for k, b in module.named_buffers()}
    return {k: None if v is None else np.asarray(v) for k, v in found.items()}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("expression", LAYERS)
def test_layers(expression: str, torch: Any) -> None:
    theirs = eval(expression, {"nn": torch.nn}).double()
    ours = eval(expression, {"nn": nn}).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        for i, p in enumerate(theirs.parameters()):
            p.copy_(torch.linspace(-1, 1 + i, p.numel(), dtype=torch.float64).reshape(p.shape))
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(1).standard_normal(LAYERS[expression])
    a, b = run(ours, x, gpunn.tensor), run(theirs, x, torch.tensor)
    assert list(a) == list(b)
    for key in b:
        np.testing.assert_allclose(a[key], b[key], rtol=RTOL.get(expression, 1e-10), atol=1e-12, err_msg=key)
        assert a[key].dtype == b[key].dtype


@pytest.mark.parametrize("name", INPLACE)
def test_inplace(name: str, torch: Any) -> None:
    values = np.linspace(-3, 8, 12)
    ours, theirs = getattr(nn, name)(inplace=True), getattr(torch.nn, name)(inplace=True)
    assert repr(ours) == repr(theirs)
    x, t = gpunn.tensor(values), torch.tensor(values)
    y = ours(x)
    theirs(t)
    assert y is x
    np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=1e-12)


def test_table_of_vectors(torch: Any) -> None:
    for options in ({}, {"padding_idx": -2}, {"max_norm": 1.0, "norm_type": 1.0}, {"scale_grad_by_freq": True}):
        ours, theirs = nn.Embedding(6, 3, **options).double(), torch.nn.Embedding(6, 3, **options).double()
        assert repr(ours) == repr(theirs)
        ours.load_state_dict(theirs.state_dict())
        index = np.array([[0, 5, 4], [4, 4, 1]])
        y, z = ours(gpunn.tensor(index)), theirs(torch.tensor(index))
        (y**2).sum().backward()
        (z**2).sum().backward()
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-12)
        np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-12)


PROBABILITIES = np.random.default_rng(2).dirichlet(np.ones(4), 5)
SCORES = np.random.default_rng(3).standard_normal((5, 4))
CLASSES = np.array([0, 3, 1, 2, 1])
WEIGHT = np.array([1.0, 2.0, 0.5, 3.0])

SIGNS = np.where(PROBABILITIES > 0.2, 1.0, -1.0)
COUNTS = np.floor(PROBABILITIES * 12)
LABELS = np.stack([np.roll([2, 0, -1, 1], i) for i in range(len(SCORES))])
LOSSES = [
    ("CrossEntropyLoss", {}, SCORES, CLASSES),
    ("CrossEntropyLoss", {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}, SCORES, CLASSES),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, SCORES, PROBABILITIES),
    ("NLLLoss", {"weight": WEIGHT}, np.log(PROBABILITIES), CLASSES),
    ("NLLLoss", {"ignore_index": 3}, np.log(PROBABILITIES), CLASSES),
    ("MSELoss", {}, SCORES, PROBABILITIES),
    ("L1Loss", {}, SCORES, PROBABILITIES),
    ("SmoothL1Loss", {"beta": 0.7}, SCORES, PROBABILITIES),
    ("HuberLoss", {"delta": 0.7}, SCORES, PROBABILITIES),
    ("BCELoss", {"weight": WEIGHT}, PROBABILITIES, PROBABILITIES[::-1].copy()),
    ("BCEWithLogitsLoss", {}, SCORES, PROBABILITIES),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT[::-1].copy()}, SCORES, PROBABILITIES),
    ("KLDivLoss", {"log_target": True}, np.log(PROBABILITIES), np.log(PROBABILITIES[::-1].copy())),
    ("SoftMarginLoss", {}, SCORES, SIGNS),
    ("HingeEmbeddingLoss", {"margin": 0.6}, SCORES, SIGNS),
    ("MultiMarginLoss", {}, SCORES, CLASSES),
    ("MultiMarginLoss", {"p": 2, "margin": 0.7, "weight": WEIGHT}, SCORES, CLASSES),
    ("MultiMarginLoss", {}, SCORES[0], CLASSES[0]),
    ("MultiLabelMarginLoss", {}, SCORES, LABELS),
    ("MultiLabelMarginLoss", {}, SCORES[0], LABELS[0]),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHT}, SCORES, PROBABILITIES),
    ("PoissonNLLLoss", {}, SCORES, COUNTS),
    ("PoissonNLLLoss", {"log_input": False, "full": True}, PROBABILITIES, COUNTS),
    ("KLDivLoss", {}, np.log(PROBABILITIES), PROBABILITIES[::-1].copy()),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "x", "target"), LOSSES)
@pytest.mark.filterwarnings("ignore:.*batchmean.*:UserWarning")
def test_losses(name: str, options: Any, x: np.ndarray, target: np.ndarray, reduction: str, torch: Any) -> None:
    if name == "KLDivLoss" and reduction == "mean":
        reduction = "batchmean"
    results = []
    for library in (gpunn, torch):
        given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        module = getattr(library.nn, name)(reduction=reduction, **given)
        t = library.tensor(x).requires_grad_()
        loss = module(t, library.tensor(target))
        loss.sum().backward()
        results.append((repr(module), list(module.state_dict()), loss.detach().numpy(), t.grad.numpy()))
    ours, theirs = results
    assert ours[:2] == theirs[:2]
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-12)
    np.testing.assert_allclose(ours[3], theirs[3], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("target", [[1, -1, 1, -1, -1]])
def test_cosines(target: list[int], torch: Any) -> None:
    for library in (gpunn, torch):
        assert repr(library.nn.CosineSimilarity(dim=0)) == "CosineSimilarity()"
    a, b = SCORES, PROBABILITIES
    np.testing.assert_allclose(
        nn.CosineSimilarity(dim=0)(gpunn.tensor(a), gpunn.tensor(b)).numpy(),
        torch.nn.CosineSimilarity(dim=0)(torch.tensor(a), torch.tensor(b)).numpy(),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        nn.CosineEmbeddingLoss(0.1)(gpunn.tensor(a), gpunn.tensor(b), gpunn.tensor(target)).item(),
        torch.nn.CosineEmbeddingLoss(0.1)(torch.tensor(a), torch.tensor(b), torch.tensor(target)).item(),
        rtol=1e-12,
    )


def test_sizes_of_a_transposed_convolution(torch: Any) -> None:
    ours, theirs = nn.ConvTranspose2d(2, 3, 3, stride=3).double(), torch.nn.ConvTranspose2d(2, 3, 3, stride=3).double()
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4))
    for size in ([12, 13], [1, 3, 14, 12]):
        y = ours(gpunn.tensor(x), output_size=size)
        np.testing.assert_allclose(
            y.detach().numpy(), theirs(torch.tensor(x), output_size=size).detach().numpy(), rtol=1e-10
        )
    with pytest.raises(ValueError, match=r"outputs from \(12, 12\) to \(14, 14\), not \(15, 12\)"):
        ours(gpunn.tensor(x), output_size=[15, 12])


def test_modules_of_two_inputs(torch: Any) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    for bias in (True, False):
        ours, theirs = (n.Bilinear(3, 4, 6, bias=bias).double() for n in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
        found, expected = ours(gpunn.tensor(a), gpunn.tensor(b)), theirs(torch.tensor(a), torch.tensor(b))
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-10)
    distances = [
        n.PairwiseDistance(3.0, keepdim=True)(tensor(a), tensor(b[..., :3]))
        for n, tensor in ((nn, gpunn.tensor), (torch.nn, torch.tensor))
    ]
    np.testing.assert_allclose(distances[0].numpy(), distances[1].numpy(), rtol=1e-10)


def test_every_module_of_ours_that_torch_has_is_here() -> None:
    names = {n for n in vars(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    elsewhere = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
    elsewhere |= {"LinearActivation", "Conv2dActivation", "Embedding", "CosineSimilarity", "CosineEmbeddingLoss"}
    elsewhere |= {"SyncBatchNorm"}  # of several processes: tests/parallel
    elsewhere |= {"Bilinear", "PairwiseDistance", "MarginRankingLoss", "GaussianNLLLoss"}
    elsewhere |= {"TripletMarginLoss", "TripletMarginWithDistanceLoss"}
    elsewhere |= {"MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerEncoderLayer"}
    elsewhere |= {"TransformerDecoder", "TransformerDecoderLayer"}
    elsewhere |= {"RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"}
    elsewhere |= {name for name in names if name.startswith(("Lazy", "MaxUnpool", "Fractional"))}  # test_functional,
    elsewhere |= {"EmbeddingBag", "CTCLoss", "AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss", "RReLU"}  # there
    elsewhere |= {"NLLLoss2d"}  # NLLLoss by another name
    tested = {e[3:].split("(")[0] for e in LAYERS} | {loss[0] for loss in LOSSES}
    assert names - elsewhere == tested
