"""The rules of fusion, each by itself, on graphs that nobody runs."""

from __future__ import annotations

from typing import Any

import pytest

import gpunn
from gpunn import nn, ops
from gpunn.nn import functional as F
from gpunn.plan.fuse import RULES, apply_rules, check_rules, explain
from gpunn.plan.graph import Assign, Compute, Graph, Value
from gpunn.plan.rules.note import Note
from gpunn.plan.simplify import without_dead_code

from .test_graph import graph_of, names

X = gpunn.ones(4, 3)
W, B = gpunn.ones(5, 3, requires_grad=True), gpunn.zeros(5, requires_grad=True)
LABELS = gpunn.zeros(4, dtype=gpunn.int64)


def only(graph: Graph, name: str) -> Compute:
    """The one op of that name."""
    (node,) = [n for n in graph.nodes if n.name == name]
    assert isinstance(node, Compute)
    return node


def gradients(loss: gpunn.Tensor, *of: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
    return (loss, *gpunn.autograd.grad(loss, of))


def test_an_unknown_rule() -> None:
    with pytest.raises(ValueError, match="no fusion rule 'magic'; there are: affine_activation"):
        check_rules(["magic"])


def test_places_that_are_alike_share_a_line() -> None:
    notes = [Note("first", "a + b"), Note("second_rule", "c", "it is blue"), Note("first", "a + b")]
    assert explain(notes) == "first        2 x a + b  fused\nsecond_rule  c          not fused: it is blue"
    assert explain([]) == "nothing to fuse"


# A layer and its activation -------------------------------------------------------------------------------------------


def test_an_affine_map_and_its_activation_become_one() -> None:
    graph = graph_of(lambda x: ops.linear(x, W, B).relu().sum(), X)
    notes = apply_rules(graph, ["affine_activation"])
    assert names(graph) == ["LinearActivation", "Sum"]
    assert only(graph, "LinearActivation").op.activation == "relu"
    assert [str(n) for n in notes] == ["affine_activation: LinearActivation float32[4, 5] + relu"]


def test_a_convolution_too() -> None:
    w = gpunn.ones(2, 1, 3, 3)
    graph = graph_of(lambda x: F.conv2d(x, w).tanh(), gpunn.ones(1, 1, 5, 5))
    apply_rules(graph, RULES)
    assert names(graph) == ["Conv2d"]


@pytest.mark.parametrize("slope", [0.1, -0.1])
def test_a_slope_that_does_not_tell_the_sign_is_not_taken_from_the_result(slope: float) -> None:
    body, x = two_layers("sim", lambda z: F.leaky_relu(z, slope))
    (note,) = apply_rules(graph_of(body, x), ["activation_gradient"])
    assert bool(note.reason) == (slope < 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: F.gelu(ops.linear(x, W, B)), "the derivative of gelu needs what goes into it"),
        (lambda x: (z := ops.linear(x, W, B)).relu() + z, "Add needs what goes into relu"),
        (lambda x: ((z := ops.linear(x, W, B)).relu(), z), "the result of the step needs what goes into relu"),
    ],
)
def test_what_is_not_fused_has_its_reason(body: Any, reason: str) -> None:
    graph = graph_of(body, X)
    before = names(graph)
    (note,) = apply_rules(graph, ["affine_activation"])
    assert note.reason == reason
    assert names(graph) == before


# Cross entropy --------------------------------------------------------------------------------------------------------


def log_likelihood(x: gpunn.Tensor, y: gpunn.Tensor, **options: Any) -> gpunn.Tensor:
    return F.nll_loss(F.log_softmax(x, 1), y, **options)


def test_a_log_softmax_and_its_loss_become_one() -> None:
    graph = graph_of(lambda x, y: log_likelihood(x, y, reduction="sum", ignore_index=2), X, LABELS)
    assert [n.reason for n in apply_rules(graph, ["softmax_cross_entropy"])] == [""]
    assert names(graph) == ["SoftmaxCrossEntropy"]
    op = only(graph, "SoftmaxCrossEntropy").op
    assert (op.reduction, op.ignore_index, op.label_smoothing) == ("sum", 2, 0.0)


def test_and_so_do_their_gradients() -> None:
    weight = gpunn.ones(5)
    graph = graph_of(lambda x, y: gradients(log_likelihood(ops.linear(x, W, B), y, weight=weight), W), X, LABELS)
    without_dead_code(graph)
    apply_rules(graph, ["softmax_cross_entropy"])
    backward = ["Full", "SoftmaxCrossEntropyBackward", "LinearBackward"]
    assert names(graph) == ["LinearActivation", "SoftmaxCrossEntropy", *backward]
    loss, gradient = only(graph, "SoftmaxCrossEntropy"), only(graph, "SoftmaxCrossEntropyBackward")
    assert loss.outputs[0] is graph.results[0]
    assert gradient.inputs == (only(graph, "Full").outputs[0], *loss.inputs, *loss.outputs[1:])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x, y: F.nll_loss(F.log_softmax(x, 0), y), "the softmax is along axis 0, not the classes"),
        (lambda x, y: F.nll_loss(s := F.log_softmax(x, 1), y) + s.sum(), "Sum needs the logarithms"),
        (lambda x, y: (F.nll_loss(s := F.log_softmax(x, 1), y), s), "the result of the step needs the logarithms"),
    ],
)
def test_logarithms_that_are_needed_stay(body: Any, reason: str) -> None:
    graph = graph_of(body, X, LABELS)
    before = names(graph)
    (note,) = apply_rules(graph, ["softmax_cross_entropy"])
    assert note.reason == reason
    assert names(graph) == before


def test_a_gradient_through_another_loss_stays() -> None:
    def body(x: gpunn.Tensor, y: gpunn.Tensor) -> Any:
        s = F.log_softmax(ops.linear(x, W, B), 1)
        return gradients(F.nll_loss(s, y) + F.nll_loss(s, 1 - y), W)

    graph = graph_of(body, X, LABELS)
    notes = apply_rules(graph, ["softmax_cross_entropy"])
    assert [n.reason for n in notes] == ["LogSoftmaxBackward, NLLLoss needs the logarithms"] * 2


def test_a_loss_and_its_gradient_become_one_on_a_device_with_kernels() -> None:
    def body(x: gpunn.Tensor, y: gpunn.Tensor) -> Any:
        return gradients(F.cross_entropy(ops.linear(x, w, b), y, label_smoothing=0.1), w)

    w, b = W, B
    graph = graph_of(body, X, LABELS)
    without_dead_code(graph)
    (note,) = apply_rules(graph, ["loss_gradient"])
    assert note.reason == "on the CPU two passes take no longer than one"
    w, b = (a.detach().to("sim").requires_grad_() for a in (W, B))
    graph = graph_of(body, X.to("sim"), LABELS.to("sim"))
    without_dead_code(graph)
    assert [note.reason for note in apply_rules(graph, ["loss_gradient"])] == [""]
    assert names(graph) == ["LinearActivation", "Full", "SoftmaxCrossEntropyGradient", "LinearBackward"]
    node = only(graph, "SoftmaxCrossEntropyGradient")
    assert node.op.label_smoothing == 0.1
    assert node.outputs[0] is graph.results[0] and node.outputs[0].node is node


def test_a_loss_that_its_gradient_needs_stays() -> None:
    def body(x: gpunn.Tensor, y: gpunn.Tensor) -> Any:
        loss = F.cross_entropy(ops.linear(x, w, None), y)
        return gradients(loss * loss, w)

    w = W.detach().to("sim").requires_grad_()
    graph = graph_of(body, X.to("sim"), LABELS.to("sim"))
    assert [note.reason for note in apply_rules(graph, ["loss_gradient"])] == ["Mul needs the loss before its gradient"]


# The gradient of a layer ----------------------------------------------------------------------------------------------


def two_layers(device: str, f: Any) -> tuple[Any, gpunn.Tensor]:
    """A step that differentiates f(x w^T) v^T + b, and what it is called with."""
    w, v, b = (gpunn.ones(*shape, device=device, requires_grad=True) for shape in ((5, 3), (2, 5), (2,)))
    x = gpunn.ones(4, 3, device=device)
    return lambda x: gradients(ops.linear(f(ops.linear(x, w)), v, b).sum(), w, v, b), x


def test_kernels_differentiate_an_activation_where_they_write_the_gradient_behind_it() -> None:
    graph = graph_of(*two_layers("sim", lambda z: z.relu()))
    notes = apply_rules(graph, ["affine_activation", "activation_gradient"])
    assert [n.reason for n in notes if n.rule == "activation_gradient"] == [""]
    without_dead_code(graph)
    assert "ActivationBackward" not in names(graph)
    forward = next(n for n in graph.nodes if n.name == "LinearActivation")
    through, first = only(graph, "ActivationLinearBackward"), only(graph, "LinearBackward")
    assert (through.op.activation, through.op.wanted) == ("relu", (True, True, True))
    assert through.inputs[1] is forward.outputs[0]
    assert first.inputs[0] is through.outputs[0] and first.inputs[0].node is through


@pytest.mark.parametrize(
    ("device", "f", "reason"),
    [
        ("cpu", lambda z: z.relu(), "on the CPU nothing would be saved"),
        ("sim", lambda z: F.silu(z), "the derivative of silu does not follow from its result in a few operations"),
        ("sim", lambda z: z.relu() * 2, "what makes dY is no linear layer"),
    ],
)
def test_an_activation_that_is_differentiated_by_itself(device: str, f: Any, reason: str) -> None:
    graph = graph_of(*two_layers(device, f))
    (note,) = apply_rules(graph, ["activation_gradient"])
    assert note.reason == reason
    assert "ActivationLinearBackward" not in names(graph)


def test_the_weight_behind_the_activation_may_have_no_gradient() -> None:
    w, v = gpunn.ones(5, 3, device="sim", requires_grad=True), gpunn.ones(2, 5, device="sim")
    x = gpunn.ones(4, 3, device="sim")
    graph = graph_of(lambda x: gradients(ops.linear(ops.linear(x, w).tanh(), v).sum(), w), x)
    assert [n.reason for n in apply_rules(graph, ["activation_gradient"])] == [""]
    through = only(graph, "ActivationLinearBackward")
    assert through.op.wanted == (True, False, False) and through.inputs[1].node.name == "Tanh"


def test_an_activation_behind_which_a_gradient_is_needed_is_differentiated_by_itself() -> None:
    w, v = (gpunn.ones(3, 3, device="sim", requires_grad=True) for _ in range(2))

    def body(x: gpunn.Tensor) -> Any:
        y = ops.linear(x, w).relu()
        return gradients(ops.linear(y, v).sum(), w, v, y)

    graph = graph_of(body, gpunn.ones(4, 3, device="sim"))
    (note,) = apply_rules(graph, ["activation_gradient"])
    assert note.reason == "the result of the step needs dX"


def test_an_activation_that_is_written_to_in_between_is_differentiated_by_itself() -> None:
    """Its result is a buffer here, which has other values when the gradient comes to it."""
    w, v = (gpunn.ones(3, 3, device="sim", requires_grad=True) for _ in range(2))
    x = gpunn.ones(4, 3, device="sim")
    graph = graph_of(lambda x: gradients(ops.linear(ops.linear(x, w).relu(), v).sum(), w, v), x)
    maker = next(n for n in graph.nodes if n.name == "LinearBackward")
    target = gpunn.zeros(4, 3, device="sim")._data
    at = graph.nodes.index(maker)
    graph.nodes.insert(at + 1, Assign(Value(maker.outputs[0].spec, state=target), maker.inputs[0]))
    (note,) = apply_rules(graph, ["activation_gradient"])
    assert note.reason == "something is written to between"


# Chains ---------------------------------------------------------------------------------------------------------------


def chained(body: Any, *arguments: gpunn.Tensor) -> tuple[list[str], list[str], Graph]:
    """The names of the ops, the notes, and the graph."""
    graph = graph_of(body, *arguments)
    without_dead_code(graph)
    notes = apply_rules(graph, ["elementwise_chain"])
    return names(graph), [str(n).removeprefix("elementwise_chain: ") for n in notes], graph


@pytest.mark.usefixtures("any_size")
def test_a_run_becomes_a_chain() -> None:
    found, notes, graph = chained(lambda x, y: (1 - x * y).relu().sum(), X, X)
    assert found == ["Chain", "Sum"]
    assert notes == ["Mul + Sub + relu float32[4, 3]"]
    node = only(graph, "Chain")
    assert node.op.steps == (("multiply", 0, 1), ("subtract", 2, 4), ("activation:relu", 5, 3))
    assert node.inputs[2:] == (1, 0.0)


@pytest.mark.usefixtures("any_size")
def test_what_is_used_several_times_inside_is_in_the_chain() -> None:
    found, _, graph = chained(lambda x: (y := x.exp()) * y + y.log(), X)
    assert found == ["Chain"]
    assert only(graph, "Chain").op.steps == (("exp", 0), ("multiply", 1, 1), ("log", 1), ("add", 2, 3))


@pytest.mark.usefixtures("any_size")
def test_masks_and_choices() -> None:
    def body(x: gpunn.Tensor) -> gpunn.Tensor:
        return gpunn.where((x > 0) & ~gpunn.isnan(x), x, 0.5) * (x < 1).to(gpunn.float32)

    found, _, graph = chained(body, X)
    assert found == ["Chain"]
    steps = [name for name, *_ in only(graph, "Chain").op.steps]
    assert steps == ["greater", "isnan", "invert", "bitwise_and", "where", "less", "cast", "multiply"]


@pytest.mark.usefixtures("any_size")
def test_a_smaller_operand_is_broadcast_in_the_chain() -> None:
    found, _, graph = chained(lambda x, y: (x + y.exp()).sin(), X, gpunn.ones(3))
    assert found == ["Exp", "Chain"]
    assert only(graph, "Chain").inputs[1] is only(graph, "Exp").outputs[0]


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda x: (y := x.exp()).sin().sum() + y.sum(), ["Exp", "Sin", "Sum", "Sum", "Add"]),  # read by something else
        (lambda x: ((y := x.exp()).sin(), y), ["Exp", "Sin"]),  # returned
        (lambda x: x.exp().t().sin(), ["Exp", "Permute", "Sin"]),  # a view between
        (lambda x: F.dropout(x.exp()).sin(), ["Exp", "Dropout", "Sin"]),  # a random draw
        (lambda x: x.exp().double().sin(), ["Exp", "Cast", "Sin"]),  # another type
        (lambda x: x.exp().sum(0).sin(), ["Exp", "Sum", "Sin"]),  # another shape
        (lambda x: x.to(gpunn.int64) * 2 + 1, ["Cast", "Mul", "Add"]),  # integers
        (lambda x: (x > 0) & (x < 1), ["Compare", "Compare", "Bitwise"]),  # no floats
        (lambda x: x.long().gt(0).float() * 2, ["Cast", "Compare", "Cast", "Mul"]),  # not among the inputs either
    ],
)
def test_what_is_no_run(body: Any, expected: list[str]) -> None:
    assert chained(body, X)[0] == expected


@pytest.mark.usefixtures("any_size")
def test_who_reads_what_is_between_is_said() -> None:
    notes = chained(lambda x: (y := x.exp()).sin() + y.sum(), X)[1]
    assert notes == [
        "Exp + Sin float32[4, 3]: not fused, what is between is needed by Sum",
        "Sin + Add float32[4, 3]",
    ]


@pytest.mark.usefixtures("any_size")
def test_running_statistics_are_a_chain() -> None:
    running = gpunn.ones(3)

    def body(x: gpunn.Tensor) -> gpunn.Tensor:
        running.copy_(running * 0.9 + x.mean(0) * 0.1)
        return x + running

    found, _, graph = chained(body, X)
    assert found == ["Mean", "Chain", "Expand", "Assign", "Add"]
    assert only(graph, "Chain").op.steps == (("multiply", 0, 2), ("multiply", 1, 3), ("add", 4, 5))


@pytest.mark.usefixtures("any_size")
def test_nothing_that_reads_memory_waits_for_a_write_to_it() -> None:
    state = gpunn.ones(4, 3)

    def body(x: gpunn.Tensor) -> gpunn.Tensor:
        before = state.t().exp()  # of a view
        state.copy_(x)
        return before.sin()

    assert chained(body, X)[0] == ["Permute", "Exp", "Expand", "Assign", "Sin"]


@pytest.mark.usefixtures("any_size")
def test_nothing_that_reads_a_parameter_waits_for_its_update() -> None:
    w = nn.Parameter(gpunn.ones(3))
    optimizer = gpunn.optim.SGD([w], 0.1)

    def body(x: gpunn.Tensor) -> gpunn.Tensor:
        optimizer.zero_grad()
        before = w.detach().exp()
        (x * w).sum().backward()
        optimizer.step()
        return before.sin()

    found, _, _ = chained(body, X)
    assert found.index("Exp") < found.index("Update") < found.index("Sin")


@pytest.mark.usefixtures("any_size")
def test_a_kernel_takes_so_many_tensors_and_no_more() -> None:
    many = [gpunn.ones(4) for _ in range(40)]

    def body(*xs: gpunn.Tensor) -> gpunn.Tensor:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total

    found, notes, graph = chained(body, *many)
    assert found == ["Chain"] * 6
    assert [len(list(node.reads())) for node in graph.nodes] == [5, 8, 8, 8, 8, 8]
    assert "Add + Add float32[4]: not fused, a chain takes at most 8 tensors" in notes


@pytest.mark.usefixtures("any_size")
def test_memory_does_not_grow() -> None:
    w = gpunn.ones(3, 3)

    def sum_of_products(x: gpunn.Tensor) -> gpunn.Tensor:
        total = x @ w + x @ w.t()
        return total + x.square() @ w  # with a chain, three products would be there at a time

    found, notes, _ = chained(sum_of_products, X)
    assert "Chain" not in found
    assert notes == ["Add + Add float32[4, 3]: not fused, the step would take more memory"]

    def one_for_one(x: gpunn.Tensor) -> gpunn.Tensor:
        return (x @ w).exp() + x.square() @ w  # one of them waits, as its exponential would

    assert chained(one_for_one, X)[0] == ["MatMul", "Square", "MatMul", "Chain"]


def test_on_the_cpu_a_chain_is_for_what_no_cache_holds() -> None:
    found, notes, _ = chained(lambda x: x.exp().sin(), X)
    assert found == ["Exp", "Sin"]
    assert notes == ["Exp + Sin float32[4, 3]: not fused, it stays in the CPU's caches from op to op"]
    assert chained(lambda x: x.exp().sin(), gpunn.ones(1 << 20))[0] == ["Chain"]
    assert chained(lambda x: x.exp().sin(), gpunn.ones(4, 3, device="sim"))[0] == ["Chain"]
