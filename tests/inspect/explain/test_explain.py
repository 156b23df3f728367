"""What a derivation says, and that nothing is changed by it."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.cli.common import as_json
from gpunn.inspect import explain
from gpunn.inspect.explain import NotExplained
from gpunn.inspect.explain.markdown import as_markdown
from gpunn.inspect.explain.text import as_text
from gpunn.models import build, recompute
from gpunn.plan.liveness import Liveness
from gpunn.plan.memory import lay_out

from .networks import CASES, Residual, case, resnet9


def mlp(*sizes: int) -> nn.Module:
    gpunn.manual_seed(0)
    return build(f"mlp:{','.join(map(str, sizes[1:-1]))}", (sizes[0],), sizes[-1])


def formulas(d, *names: str) -> list[str]:
    return [f.text for name in names for f in d.steps[d[name].written_by - 1].formulas]


def test_the_derivation_of_two_layers() -> None:
    d = explain(mlp(4, 4, 3), np.ones((5, 4)), np.zeros(5, np.int64), l2=0.1, optimizer="sgd")
    assert [f.text for s in d.steps for f in s.formulas] == [
        "Z₁ = X W₁ᵀ + b₁",
        "A₁ = max(Z₁, 0)",
        "Z₂ = A₁ W₂ᵀ + b₂",
        "L = mean (−ln S_y) over the 5 samples",
        "S = softmax(Z₂) over the classes",
        "s = (λ / 2) (‖W₁‖² + ‖W₂‖²)",
        "J = L + s",
        "dL = 1",
        "dZ₂ = (S − I_y) dL / 5",
        "S = softmax(Z₂) over the classes",
        "dA₁ = dZ₂ W₂",
        "dW₂[L] = dZ₂ᵀ A₁",
        "db₂ = Σ dZ₂ over the batch",
        "dZ₁ = dA₁ ⊙ [A₁ > 0]",
        "dW₁[L] = dZ₁ᵀ X",
        "db₁ = Σ dZ₁ over the batch",
        "dW₁[s] = λ W₁",
        "dW₁ = dW₁[L] + dW₁[s]",
        "dW₂[s] = λ W₂",
        "dW₂ = dW₂[L] + dW₂[s]",
        "d ← g + l p",
        "b ← μ b + (1 − τ) d",
        "p ← p − lr b",
    ]
    assert [f.text for f in d.objective] == ["s = (λ / 2) (‖W₁‖² + ‖W₂‖²)", "J = L + s"]
    assert [s.phase for s in d.steps] == ["forward"] * 5 + ["backward"] * 9 + ["update"]
    back = d.steps[d["dW2{L}"].written_by - 1]
    assert back.gradient_of == d["Z2"].written_by and back.primitives == ["linear_backward"]
    assert "linear.cu" in back.kernels
    told = " ".join(s for step in d.steps for s in step.sentences)
    assert "its transpose (4, 3) fits: (5, 4) (4, 3) → (5, 3)" in told
    assert "dZ₂ᵀ (3, 5) (5, 4) → (3, 4). The inner 5 are the samples; they add up" in told
    assert "X is data: nobody needs its gradient" in told
    assert "A₁ is kept (80 B) for the gradient in steps 8 and 9" in told
    assert "∂Z₂/∂A₁ would be a matrix of 15 x 20 (1.2 KiB)" in told
    assert "Source: Goodfellow et al. 2016, 6.5." in back.sentences
    assert "what is left is the probabilities less the one-hot labels" in told
    assert "lr = 0.001" in told and "without momentum μ, b is d" in told


def test_branches_and_shared_weights_add_up() -> None:
    d = explain(*case("residual")[:4])
    assert formulas(d, "dA1{1}", "dA1") == ["dN₂ = dR₂", "dA₁[1] = dR₂", "dA₁ = dA₁[1] + dA₁[2]"]
    (sentence,) = (s for s in d.steps[d["dA1"].written_by - 1].sentences if "add up" in s)
    assert sentence.startswith("A₁ is read by steps 5 and 8: the loss depends on it in several ways")
    assert formulas(d, "mean1'") == [
        "mean₁′ = 0.9 mean₁ + 0.1 μ₁",
        f"var₁′ = 0.9 var₁ + {0.1 * 144 / 143:.6g} v₁",
        "batches₁′ = batches₁ + 1",
    ]

    d = explain(*case("shared")[:4])
    (sentence,) = (s for s in d.steps[d["dW1"].written_by - 1].sentences if "add up" in s)
    assert sentence.startswith("W₁ is a weight that is used by steps 1 and 3")
    assert formulas(d, "L") == ["L = L₁ + L₃"] and formulas(d, "dL3") == ["dL₁ = dL", "dL₃ = dL"]


def test_a_value_that_is_given_twice_is_added_once() -> None:
    d = explain(nn.Linear(3, 2), gpunn.ones(4, 3), gpunn.ones(4, 2), lambda y, t: (1 + y).sum() + (y * y).sum())
    assert formulas(d, "dZ1") == ["dZ₁ = dZ₁[1-2] + dZ₁[3]"]


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_changed(name: str) -> None:
    model, x, y, loss, _ = case(name)
    optimizer = optim.Adam(model.parameters())
    next(model.parameters()).grad = gpunn.zeros_like(next(model.parameters()))
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    gradients, state = [p.grad for p in model.parameters()], gpunn.get_rng_state()
    arrays = [id(p._data) for p in model.parameters()]
    d = explain(model, x, y, loss, optimizer=optimizer, l2=0.1)
    d.path("W1", (0,) * d["W1"].value.ndim)
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients))
    assert [id(p._data) for p in model.parameters()] == arrays
    assert gpunn.get_rng_state() == state and not optimizer.state and model.training


@pytest.mark.parametrize("optimizer", [None, "sgd"])
@pytest.mark.parametrize("name", CASES)
def test_memory_is_that_of_the_plan(name: str, optimizer) -> None:
    """The peak is what the plan's liveness says, and nothing is read or written behind the step that frees it."""
    model, x, y, loss, _ = case(name)
    d = explain(model, x, y, loss, optimizer=optimizer)
    if optimizer:
        from gpunn.nn import functional as F

        sgd = optim.SGD(model.parameters())
        step = gpunn.TrainStep(model, F.cross_entropy if loss == "cross_entropy" else loss, sgd, fuse=False)
        step(x, y)
        life: Liveness = step.plan.liveness
        ends = range(len(step.plan.graph.nodes))
        in_use = [sum(s.size for s in life.storages if s.first <= i <= s.last) for i in ends]
        assert max(d.memory) == max(in_use) <= lay_out(life.storages)
    for v in d.variables:
        if v.freed_after is not None:
            assert v.written_by <= v.freed_after and all(n <= v.freed_after for n in v.read_by)
        for n in (*v.read_by, *([] if v.written_by is None else [v.written_by])):
            assert v.id in (*d.steps[n - 1].inputs, *d.steps[n - 1].outputs)


def test_fusion() -> None:
    model, x, y, _, _ = case("lenet")
    d = explain(model, x, y, optimizer="sgd", fused=True)
    assert formulas(d, "A1") == ["A₁ = max(Z, 0)", "Z = X ∗ W₁ + b₁"]
    assert any(line.split()[:2] == ["affine_activation", "Conv2d"] and line.endswith("fused") for line in d.fused)
    assert d.variables == [v for i, v in enumerate(d.variables) if v.id == i]
    used = {i for s in d.steps for i in (*s.inputs, *s.outputs)}
    assert used <= {v.id for v in d.variables}
    unfused = explain(model, x, y, optimizer="sgd")
    assert len(d.steps) < len(unfused.steps) and not unfused.fused
    for v in d.variables:
        if v.role == "state":
            np.testing.assert_allclose(v.value, unfused[v.name].value, rtol=1e-10)


def test_what_a_checkpoint_computes_again() -> None:
    models = [mlp(8, 8, 8, 8, 3) for _ in range(2)]
    recompute(models[1], 2)
    kept, again = (explain(m, np.ones((64, 8)), np.zeros(64, np.int64)) for m in models)
    for v in kept.variables:
        if v.role == "parameter":
            np.testing.assert_array_equal(kept[f"d{v.name}"].value, again[f"d{v.name}"].value)
    told = [(s.number, t) for s in again.steps for t in s.sentences if "A checkpoint kept nothing" in t]
    assert [n for n, _ in told] == [again["dW2"].written_by] and "the forward of 1, 2" in told[0][1]
    assert again["A1"].freed_after < 8 < kept["A1"].freed_after


def test_vanishing_exploding_dead_saturated_and_not_finite() -> None:
    def kinds(model: nn.Module, x) -> dict[str, object]:
        return {f.kind: f for f in explain(model, x, np.zeros(8, np.int64)).findings}

    def scaled(model: nn.Module, factor: float) -> nn.Module:
        with gpunn.no_grad():
            for p in model.parameters():
                if p.ndim > 1:
                    p.mul_(factor)
        return model

    gpunn.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    sizes = "mlp:" + ",".join(["16"] * 8)
    deep = build(sizes, (16,), 3, "sigmoid")
    found = kinds(deep, x)
    assert list(found) == ["vanishing"] and found["vanishing"].layer
    assert "Glorot" in found["vanishing"].sentence and "He et al. 2015" in found["vanishing"].sentence
    assert list(kinds(scaled(build(sizes, (16,), 3, "leaky_relu"), 8.0), x)) == ["exploding"]
    dead = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    with gpunn.no_grad():
        dead[0].bias[:5] = -100.0
    assert "62% of the units of A₁ (layer 1) are 0 for every sample" in kinds(dead, x)["dead"].sentence
    assert "saturated" in kinds(scaled(nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)), 100.0), x)
    found = kinds(nn.Sequential(nn.Linear(16, 3)), np.where(x > 2, np.nan, x))
    assert "NaN" in found["not finite"].sentence and found["not finite"].steps == (1,)
    assert kinds(nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)), x) == {}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_as_text_markdown_and_json(name: str) -> None:
    model, x, y, loss, _ = case(name)
    d = explain(model, x, y, loss, l2=0.1, title="a < b & `c`")
    text, markdown = as_text(d), as_markdown(d)
    for step in d.steps:
        for f in step.formulas:
            assert f.text in text and f.latex in markdown
    assert "# a &lt; b &amp; \\`c\\`" in markdown
    told = json.loads(as_json(d.to_dict()))
    assert len(told["steps"]) == len(d.steps) and told["memory"] == d.memory
    small = next(v for v in told["variables"] if v["name"] == "L")
    assert small["value"] == d["L"].value


def test_names_of_strangers_are_text() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("<script>alert(1)</script>|`", nn.Linear(3, 2))
            self.register_parameter("<b>\x1b[31m", nn.Parameter(gpunn.ones(2)))

        def forward(self, x):
            return self._modules["<script>alert(1)</script>|`"](x) * self._parameters["<b>\x1b[31m"]

    d = explain(Odd(), np.ones((2, 3)), np.ones((2, 2)), "mse")
    assert "\x1b" not in as_text(d)
    markdown = as_markdown(d)
    assert "\x1b" not in markdown and "`` <script>alert(1)</script>" in markdown  # as code
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown)
    assert "<script>" not in outside and "<b>" not in outside
    assert all("<b>" not in f.mathml for s in d.steps for f in s.formulas)


def test_shapes_alone() -> None:
    with gpunn.device("meta"):
        model = build("mlp:100000,100000", (784,), 10)
        d = explain(model, gpunn.zeros(32, 784), gpunn.zeros(32, dtype=gpunn.int64), l2=1e-4)
    assert d["W2"].value is None and d["J"].value is None and d["W2"].nbytes == 4 * 10**10
    assert "W₂ (100000, 100000)" in as_text(d) and as_markdown(d)
    with pytest.raises(ValueError, match="no numbers"):
        d.path("W2", (0, 0))


@pytest.mark.slow
def test_resnet9_takes_little_time() -> None:
    gpunn.manual_seed(0)
    model = resnet9()
    x, y = gpunn.randn(2, 3, 32, 32), gpunn.tensor([1, 2])
    start = time.process_time()
    d = explain(model, x, y)
    as_text(d)
    assert time.process_time() - start < 5
    assert len(d.steps) > 70 and sum(v.role == "parameter" for v in d.variables) == 26


def test_wrong_calls() -> None:
    model = mlp(4, 4, 3)
    x, y = np.ones((5, 4)), np.zeros(5, np.int64)
    with pytest.raises(ValueError, match="there is no loss 'cross_entrpy'; did you mean cross_entropy"):
        explain(model, x, y, "cross_entrpy")
    with pytest.raises(RuntimeError, match=r"Linear: the input float32\[5, 3\]"):
        explain(model, x[:, :3], y)
    with pytest.raises(ValueError, match="expected one number"):
        explain(model, x, y, lambda output, target: output)
    with pytest.raises(ValueError, match="no optimizer 'sdg'; did you mean sgd"):
        explain(model, x, y, optimizer="sdg")
    d = explain(model, x, y)
    with pytest.raises(KeyError, match="there is no variable 'W9' in the derivation; there are X, y, W1"):
        d["W9"]
    with pytest.raises(IndexError, match=r"W1 has the shape \(4, 4\); there is no element \(4, 0\)"):
        d.path("W1", (4, 0))
    with pytest.raises(ValueError, match="Z1 is no parameter with a gradient"):
        d.path("Z1", (0, 0))
    model[1].register_forward_hook(lambda module, args, output: None)
    with pytest.raises(NotExplained, match="no derivation: the layer 1 has a hook"):
        explain(model, x, y)


def test_a_model_without_anything_to_train() -> None:
    for p in (model := mlp(4, 4, 3)).parameters():
        p.requires_grad_(False)
    with pytest.raises(NotExplained, match="no parameter of Sequential requires a gradient"):
        explain(model, np.ones((5, 4)), np.zeros(5, np.int64))


def test_frozen_layers_have_no_gradient() -> None:
    model = mlp(4, 4, 4, 3)
    model[1].requires_grad_(False)
    d = explain(model, np.ones((5, 4)), np.zeros(5, np.int64))
    assert d["W1"].gradient is None and d["W1"].role == "buffer" and d["W2"].gradient is not None
    assert "dZ1" not in {v.name for v in d.variables}


def test_evaluation_mode() -> None:
    d = explain(Residual().eval(), np.ones((2, 3, 4, 4)), np.zeros(2, np.int64))
    assert formulas(d, "N1") == ["N₁ = γ₁ ⊙ (Z₁ − mean₁) / sqrt(var₁ + ε) + β₁"]
    assert not any(v.role == "state" for v in d.variables)


@pytest.mark.parametrize("where", ["X", "W2"])
def test_nan_that_was_there_before_is_no_fault_of_a_step(where: str) -> None:
    model, x = mlp(4, 4, 3), np.ones((5, 4))
    if where == "X":
        x[1, 2] = np.nan
    else:
        list(model.parameters())[2].data[0, 0] = float("inf")
    (found,) = [f for f in explain(model, x, np.zeros(5, np.int64)).findings if f.kind == "not finite"]
    name = {"X": "X", "W2": "W₂"}[where]
    assert found.sentence == f"{name} has 1 element that is NaN or infinite before the first step"
