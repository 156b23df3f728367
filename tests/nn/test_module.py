"""What every module can do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn.attributes import last_change


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scale = nn.Parameter(gpunn.ones(3))
        self.register_buffer("steps", gpunn.zeros((), dtype="int64"))
        self.register_buffer("cache", gpunn.zeros(2), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.linear(x) * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))

    def forward(self, x: Any) -> Any:
        return self.rest(self.first(x))


def test_names_and_their_order() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "first.scale",
        "first.linear.weight",
        "first.linear.bias",
        "rest.1.weight",
        "rest.1.bias",
    ]
    assert [n for n, _ in net.named_buffers()] == ["first.steps", "first.cache"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "first.linear", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == []
    assert [n for n, _ in net.first.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert len(list(net.modules())) == 6 and len(list(net.children())) == 2
    assert len(list(net.parameters())) == 5 and len(list(net.buffers())) == 2


def test_what_is_shared_comes_once() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    net.append(net[0])
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "2.weight",
        "2.bias",
    ]
    assert list(net.children()) == [net[0], net[1]]
    assert len(net.state_dict()) == 6


def test_paths() -> None:
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_parameter("rest.1.weight") is net.rest[1].weight
    assert net.get_buffer("first.steps") is net.first.steps
    with pytest.raises(AttributeError, match=r"no module '7' in Sequential \(looking for 'rest.7'\)"):
        net.get_submodule("rest.7")
    with pytest.raises(AttributeError, match=r"no parameter 'rest\.1\.wait' in Net"):
        net.get_parameter("rest.1.wait")
    with pytest.raises(AttributeError, match=r"no buffer 'first\.linear' in Net"):
        net.get_buffer("first.linear")


# Attributes


def test_attributes_change_their_kind() -> None:
    m = nn.Module()
    m.x = 1
    m.x = nn.Parameter(gpunn.ones(2))
    assert list(m._parameters) == ["x"]
    m.x = nn.ReLU()
    assert list(m._parameters) == [] and list(m._modules) == ["x"]
    m.x = None
    assert m.x is None and list(m._modules) == ["x"] and list(m.children()) == []
    del m.x
    assert not hasattr(m, "x") and list(m._modules) == []
    m.register_buffer("x", gpunn.ones(1))
    m.x = gpunn.zeros(3)
    assert [b.shape for b in m.buffers()] == [(3,)] and m.x.shape == (3,)
    m.x = nn.Parameter(gpunn.ones(1))
    assert list(m.buffers()) == [] and len(list(m.parameters())) == 1


def test_none_stands_for_what_is_missing() -> None:
    m = nn.Linear(2, 3, bias=False)
    assert m.bias is None
    assert [n for n, _ in m.named_parameters()] == ["weight"] and list(m.state_dict()) == ["weight"]
    m.bias = nn.Parameter(gpunn.ones(3))
    assert list(m.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (
            lambda m: setattr(m, "weight", gpunn.ones(2, 2)),
            TypeError,
            "'weight' is a Parameter or None, got Tensor",
        ),
        (lambda m: setattr(m, "child", 3), TypeError, "module 'child' is a Module or None, got int"),
        (lambda m: setattr(m, "count", "a"), TypeError, "buffer 'count' is a tensor or None, got str"),
        (lambda m: m.register_parameter("a.b", None), KeyError, "has no '.'"),
        (lambda m: m.register_parameter("", None), KeyError, "not empty"),
        (lambda m: m.register_parameter(1, None), TypeError, "the name of a parameter is a string, got int"),
        (lambda m: m.register_buffer("forward", None), KeyError, "attribute 'forward' already exists"),
        (lambda m: m.add_module("count", nn.ReLU()), KeyError, "attribute 'count' already exists"),
        (lambda m: m.nothing, AttributeError, "'Linear' object has no attribute 'nothing'"),
        (lambda m: m.train("yes"), ValueError, "mode is True or False, got 'yes'"),
        (lambda m: m.to(gpunn.int64), TypeError, "takes a floating point type, got gpunn.int64"),
    ],
)
def test_wrong_uses(action: Any, error: type[Exception], message: str) -> None:
    m = nn.Linear(2, 2)
    m.child = nn.ReLU()
    m.register_buffer("count", gpunn.zeros(1))
    with pytest.raises(error, match=message):
        action(m)


def test_forgotten_super_init() -> None:
    class Forgetful(nn.Module):
        def __init__(self, value: Any) -> None:
            self.value = value

    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Forgetful(nn.ReLU())
    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call"):
        Forgetful(nn.Parameter(gpunn.ones(1)))
    with pytest.raises(AttributeError, match=r"Forgetful.__init__ must begin with super\(\).__init__\(\)"):
        Forgetful(1)(gpunn.ones(1))


def test_forward_is_required() -> None:
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(\)"):
        nn.Module()(1)


# Modes, types, gradients


def test_train_and_eval() -> None:
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())


def test_train_asks_each_module_itself() -> None:
    class Frozen(nn.ReLU):
        def train(self, mode: bool = True) -> Frozen:
            return super().train(False)

    net = nn.Sequential(Frozen(), nn.ReLU()).train()
    assert [m.training for m in net.modules()] == [True, False, True]


def test_conversion_keeps_the_parameters_and_integers() -> None:
    net = Net()
    before = list(net.parameters())
    net(gpunn.ones(1, 3)).sum().backward()
    gradient = before[1].grad.numpy().copy()
    assert net.double() is net
    assert all(p is q and p.dtype is gpunn.float64 for p, q in zip(net.parameters(), before))
    assert net.first.steps.dtype is gpunn.int64 and net.first.cache.dtype is gpunn.float64
    assert before[1].grad.dtype is gpunn.float64
    np.testing.assert_array_equal(before[1].grad.numpy(), gradient)
    assert {p.dtype for p in net.half().parameters()} == {gpunn.float16}
    assert {p.dtype for p in net.bfloat16().parameters()} == {gpunn.bfloat16}
    assert {p.dtype for p in net.to("cpu", gpunn.float32).parameters()} == {gpunn.float32}
    assert {p.dtype for p in net.to(gpunn.ones(1, dtype="float64")).parameters()} == {gpunn.float64}
    assert {p.dtype for p in net.float().parameters()} == {gpunn.float32}
    assert net.cpu() is net and net.first.cache is net.first._buffers["cache"]


def test_conversion_that_changes_nothing_leaves_the_memory() -> None:
    layer = nn.Linear(2, 2)
    address, version = layer.weight.data_ptr(), layer.weight._version[0]
    layer.float().to("cpu")
    assert layer.weight.data_ptr() == address and layer.weight._version[0] == version


def test_gradients_off_and_forgotten() -> None:
    net = Net()
    net(gpunn.ones(1, 3)).sum().backward()
    gradients = [p.grad for p in net.parameters()]
    net.zero_grad(set_to_none=False)
    assert all(p.grad is g for p, g in zip(net.parameters(), gradients))
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.first.requires_grad_(False)
    net(gpunn.ones(1, 3)).sum().backward()
    assert [p.grad is None for p in net.parameters()] == [True, True, True, False, False]


def test_apply_goes_from_the_inside_out() -> None:
    seen: list[nn.Module] = []
    net = Net()
    assert net.apply(seen.append) is net
    assert seen == [net.first.linear, net.first, net.rest[0], net.rest[1], net.rest, net]


# Copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_on_their_own(copied: Any) -> None:
    net = Net()
    net.rest[1].weight.requires_grad_(False)
    net.first.tied = net.first.scale
    other = copied(net)
    x = gpunn.ones(2, 3)
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    assert repr(other) == repr(net) and list(other.state_dict()) == list(net.state_dict())
    assert type(other.first.scale) is nn.Parameter and other.first.tied is other.first.scale
    assert not other.rest[1].weight.requires_grad and other.rest[1].bias.requires_grad
    assert other.first.linear.weight is other.first.linear._parameters["weight"]
    with gpunn.no_grad():
        other.first.scale.zero_()
    assert (net.first.scale.detach().numpy() == 1).all()


def test_parameter() -> None:
    data = gpunn.tensor([1.0, 2.0])
    p = nn.Parameter(data)
    assert p.requires_grad and p.is_leaf and p.data_ptr() == data.data_ptr()
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert type(p + 1) is gpunn.Tensor and type(p.detach()) is gpunn.Tensor
    assert nn.Parameter().shape == (0,)
    with pytest.raises(TypeError, match=r"takes a tensor, got list; use Parameter\(gpunn.tensor\(data\)\)"):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="only floats can require gradients"):
        nn.Parameter(gpunn.tensor([1]))


def test_writing_to_the_data_of_a_parameter_is_noticed() -> None:
    data = gpunn.tensor([1.0, 2.0])
    p = nn.Parameter(data)
    y = (p * p).sum()
    with gpunn.no_grad():
        data.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


# Changes, for plans


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda m: setattr(m, "bias", None), True),
        (lambda m: setattr(m, "weight", nn.Parameter(gpunn.ones(2, 2))), True),
        (lambda m: setattr(m, "child", nn.ReLU()), True),
        (lambda m: setattr(m, "slope", 0.5), True),
        (lambda m: delattr(m, "bias"), True),
        (lambda m: m.register_buffer("b", None), True),
        (lambda m: m.register_forward_hook(print), True),
        (lambda m: m.double(), True),
        (lambda m: m.train(), False),
        (lambda m: setattr(m, "in_features", m.in_features), False),
        (lambda m: m(gpunn.ones(1, 2)), False),
        (lambda m: list(m.named_parameters()), False),
    ],
)
def test_changes_are_counted(change: Any, counts: bool) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    then = last_change()
    change(net[0])
    assert (last_change() > then) == counts
    assert (net[0]._changed > then) == counts
    assert net._changed <= then and net[1]._changed <= then


def test_a_mode_is_noticed_but_is_no_change_of_its_module() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    then = last_change()
    net.eval()
    assert last_change() > then
    assert all(m._changed <= then for m in net.modules())


def test_a_removed_hook_is_a_change() -> None:
    layer = nn.ReLU()
    handle = layer.register_forward_hook(lambda *_: None)
    then = last_change()
    handle.remove()
    assert layer._changed > then


# As text


def test_repr() -> None:
    assert repr(nn.Module()) == "Module()"
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Block(\n"
        "    (linear): Linear(in_features=3, out_features=3, bias=True)\n"
        "  )\n"
        "  (rest): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=3, out_features=2, bias=True)\n"
        "  )\n"
        ")"
    )


def test_a_module_is_not_inside_itself():
    """In PyTorch it can be, and train(), to() and repr() of it end in a RecursionError."""
    outer = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    for place in (outer, outer[1]):
        with pytest.raises(ValueError, match=r"module '\w+' is or contains the Sequential .* keep it in a list"):
            place.append(outer)
        with pytest.raises(ValueError, match="'me' is or contains"):
            place.me = outer
    assert len(outer) == 2 and len(outer[1]) == 1 and not hasattr(outer, "me")
    outer.child = [outer]
    outer.eval()
