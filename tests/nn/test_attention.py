"""Attention and Transformers against PyTorch's: outputs, weights and gradients."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.autograd.tape import apply
from gpunn.ops.attention import ScaledDotProductAttention
from gpunn.parts import Parts
from gpunn.plan.trace import trace

RNG = np.random.default_rng(0)
Q, K, V = RNG.standard_normal((2, 4, 5, 6)), RNG.standard_normal((2, 4, 7, 6)), RNG.standard_normal((2, 4, 7, 3))
MASK = RNG.random((5, 7)) > 0.4
MASK[2] = False  # may look at nothing


def gradients(library: Any, arrays: list[np.ndarray], call: Any) -> list[np.ndarray]:
    """The results of ``call(*tensors)``, and the gradients of the tensors."""
    tensors = [library.tensor(a).requires_grad_() for a in arrays]
    results = call(*tensors)
    results = [y for y in (results if isinstance(results, tuple) else (results,)) if y is not None]
    rng = np.random.default_rng(9)
    sum((y * library.tensor(rng.standard_normal(tuple(y.shape)))).sum() for y in results).backward()
    return [y.detach().numpy() for y in results] + [t.grad.numpy() for t in tensors]


def close(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.7},
        {"is_causal": True},
        {"attn_mask": MASK},
        {"attn_mask": np.where(MASK, RNG.standard_normal((5, 7)), -1.0)},
        {"attn_mask": MASK[None, None] & (RNG.random((2, 1, 5, 7)) > 0.3)},
    ],
)
def test_scaled_dot_product_attention(torch: Any, options: dict[str, Any]) -> None:
    found = []
    for library in (gpunn, torch):
        given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        attention = library.nn.functional.scaled_dot_product_attention
        found.append(gradients(library, [Q, K, V], lambda *x, f=attention, g=given: f(*x, **g)))
    close(*found)


def test_heads_that_share_keys(torch: Any) -> None:
    close(
        *(
            gradients(
                t,
                [Q, K[:, :2], V[:, :2]],
                lambda *x, t=t: t.nn.functional.scaled_dot_product_attention(*x, enable_gqa=True),
            )
            for t in (gpunn, torch)
        )
    )


def test_one_query_by_hand() -> None:
    """Two keys, one of which fits: weights 1 / (1 + e^-1) and the rest, with scale 1 / sqrt(1)."""
    q, k, v = (gpunn.tensor(x, dtype=gpunn.float64) for x in ([[1.0]], [[1.0], [0.0]], [[10.0], [20.0]]))
    weight = 1 / (1 + np.exp(-1))
    found = nn.functional.scaled_dot_product_attention(q, k, v).item()
    assert found == pytest.approx(10 * weight + 20 * (1 - weight), rel=1e-12)


def pair(torch: Any, layer: str) -> tuple[Any, Any]:
    theirs = eval(layer, {"nn": torch.nn}).double()
    ours = eval(layer, {"nn": nn}).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    return ours, theirs


def compare(torch: Any, layer: str, arrays: list[np.ndarray], masks: dict[str, Any]) -> None:
    found = []
    for library, module in zip((gpunn, torch), pair(torch, layer)):
        given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in masks.items()}
        values = gradients(library, arrays, lambda *x, m=module, g=given: m(*x, **g))
        found.append(values + [p.grad.numpy() for p in module.parameters()])
    close(*found)


X, Y = RNG.standard_normal((5, 2, 8)), RNG.standard_normal((7, 2, 8))
PADDING = np.array([[False] * 5 + [True] * 2, [False] * 7])
ATTENTIONS = [
    ("nn.MultiheadAttention(8, 2)", [X, Y, Y[::-1].copy()], {}),
    ("nn.MultiheadAttention(8, 2)", [X, Y, Y], {"key_padding_mask": PADDING, "attn_mask": RNG.random((5, 7)) > 0.8}),
    ("nn.MultiheadAttention(8, 4, bias=False)", [X, Y, Y], {"average_attn_weights": False}),
    ("nn.MultiheadAttention(8, 2)", [X, Y, Y], {"need_weights": False, "attn_mask": RNG.standard_normal((4, 5, 7))}),
    ("nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)", [X, Y, Y], {"key_padding_mask": PADDING}),
    (
        "nn.MultiheadAttention(8, 2, kdim=3, vdim=4, batch_first=True)",
        [X.transpose(1, 0, 2), Y.transpose(1, 0, 2)[..., :3], Y.transpose(1, 0, 2)[..., :4]],
        {"key_padding_mask": PADDING},
    ),
    ("nn.MultiheadAttention(8, 2)", [X[:, 0], Y[:, 0], Y[:, 0]], {"key_padding_mask": PADDING[0]}),
]


@pytest.mark.parametrize(("layer", "arrays", "masks"), ATTENTIONS)
def test_multihead_attention(torch: Any, layer: str, arrays: list[np.ndarray], masks: dict[str, Any]) -> None:
    compare(torch, layer, [np.ascontiguousarray(a) for a in arrays], masks)


CAUSAL = np.triu(np.full((5, 5), -np.inf), 1)
OPTIONS = "8, 2, 12, dropout=0.0"
LAYERS = [
    (f"nn.TransformerEncoderLayer({OPTIONS})", [X], {"src_mask": CAUSAL}),
    (f"nn.TransformerEncoderLayer({OPTIONS}, activation='gelu', norm_first=True, bias=False)", [X], {}),
    (f"nn.TransformerDecoderLayer({OPTIONS})", [X, Y], {"tgt_mask": CAUSAL, "memory_key_padding_mask": PADDING}),
    (f"nn.TransformerDecoderLayer({OPTIONS}, norm_first=True)", [X, Y], {}),
    (f"nn.TransformerEncoder(nn.TransformerEncoderLayer({OPTIONS}), 2, nn.LayerNorm(8))", [X], {"mask": CAUSAL}),
    ("nn.Transformer(8, 2, 1, 2, 12, dropout=0.0)", [Y, X], {"tgt_mask": CAUSAL, "src_key_padding_mask": PADDING}),
]


@pytest.mark.parametrize(("layer", "arrays", "masks"), LAYERS)
@pytest.mark.filterwarnings("ignore:.*nested_tensor.*:UserWarning", "ignore:.*mismatched.*:UserWarning")
def test_transformers(torch: Any, layer: str, arrays: list[np.ndarray], masks: dict[str, Any]) -> None:
    compare(torch, layer, arrays, masks)


def test_repr_and_masks(torch: Any) -> None:
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 12)
    ours = nn.TransformerEncoderLayer(8, 2, 12)
    assert repr(ours) == repr(theirs).replace("NonDynamicallyQuantizableLinear", "Linear")
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    assert mask.tolist() == torch.nn.Transformer.generate_square_subsequent_mask(3).tolist()


def test_bad_arguments() -> None:
    with pytest.raises(AssertionError, match="divisible by num_heads, got 8 and 3"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(RuntimeError, match="is_causal hint"):
        nn.MultiheadAttention(8, 2)(*[gpunn.zeros(2, 1, 8)] * 3, is_causal=True)
    with pytest.raises(RuntimeError, match="relu/gelu, not tanh"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(RuntimeError, match="equal to d_model, 8"):
        nn.Transformer(8, 2, 1, 1, 12)(gpunn.zeros(2, 1, 7), gpunn.zeros(2, 1, 8))
    with pytest.raises(RuntimeError, match="one size"):
        nn.functional.scaled_dot_product_attention(gpunn.zeros(2, 3), gpunn.zeros(2, 4), gpunn.zeros(2, 4))


def dropped(q: Any, k: Any, v: Any, p: float, as_one: bool) -> Any:
    """Attention with dropout as one op, or with all weights in memory."""
    if as_one:
        return nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=p)
    weights = gpunn.softmax(q @ k.transpose(-2, -1) / 6**0.5, -1)
    return nn.functional.dropout(weights, p) @ v


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_dropout_has_the_mask_of_the_whole_matrix(device: str) -> None:
    found = []
    for as_one in (True, False):
        gpunn.manual_seed(5)
        call = gradients(gpunn, [Q, K, V], lambda *x, a=as_one: dropped(*(t.to(device) for t in x), 0.4, a).cpu())
        found.append(call)
    close(*found)


def test_dropout_in_parts_is_that_of_the_whole() -> None:
    gpunn.manual_seed(5)
    arrays = [gpunn.tensor(a) for a in (Q, K, V)]
    whole = dropped(*arrays, 0.4, True)
    gpunn.manual_seed(5)
    parts = Parts()
    for first in (0, 1):
        with parts.from_sample(first, 1):
            part = dropped(*(a[first : first + 1] for a in arrays), 0.4, True)
        np.testing.assert_array_equal(part.numpy(), whole[first : first + 1].numpy())


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, q: Any) -> Any:
        return dropped(self.layer(q), q, q, 0.4, True)


def test_a_plan_drops_anew_in_each_step_what_eager_drops() -> None:
    found = []
    x = gpunn.tensor(Q.astype(np.float32))
    for planned in (False, True):
        gpunn.manual_seed(5)
        model = Attends()
        optimizer = gpunn.optim.SGD(model.parameters(), lr=0.1)
        step: Any = gpunn.TrainStep(model, nn.MSELoss(), optimizer, fuse=False)
        losses = []
        for _ in range(3):
            if planned:
                loss = step(x, x)
            else:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(x), x)
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
        found.append(losses)
    assert found[0] == found[1]


def test_dropout_stores_no_matrix() -> None:
    """2048 x 2048 weights are 16 MiB; a thread computes in 2 MiB."""
    x = gpunn.randn(2048, 4, requires_grad=True)
    tracemalloc.start()
    dropped(x, x, x, 0.4, True).sum().backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20


@pytest.mark.parametrize("shape", [(5, 8), (5, 2, 8)])
def test_a_sequence_that_looks_at_itself_is_multiplied_by_all_weights_at_once(shape: tuple[int, ...]) -> None:
    """Queries, keys and values are parts of one product, and the output is another one."""
    layer = nn.MultiheadAttention(8, 2)
    graph, _ = trace(lambda x: layer(x, x, x)[0], (gpunn.ones(shape),))
    assert [node.name for node in graph.nodes].count("LinearActivation") == 2


@pytest.mark.parametrize(("keys", "values"), [((2, 5, 4), (2, 6, 2)), ((1, 5, 4), (1, 5, 2)), ((2, 5, 3), (2, 5, 2))])
def test_shapes_that_are_no_attention_in_one(keys: tuple[int, ...], values: tuple[int, ...]) -> None:
    """The op takes none that are to be broadcast; the function makes those of several ops."""
    q, k, v = gpunn.ones(2, 3, 4), gpunn.ones(keys), gpunn.ones(values)
    with pytest.raises(RuntimeError, match="ScaledDotProductAttention: takes queries"):
        apply(ScaledDotProductAttention(0.5, False, None), q, k, v, None, None)
