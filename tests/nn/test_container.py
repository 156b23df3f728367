"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import gpunn
from gpunn import nn


def layers(*sizes: int) -> list[nn.Module]:
    return [nn.Linear(n, n) for n in sizes]


def widths(modules: Any) -> list[int]:
    return [m.in_features for m in modules]


def test_sequential_computes_in_order() -> None:
    class Times(nn.Module):
        def __init__(self, factor: float, shift: float):
            super().__init__()
            self.factor, self.shift = factor, shift

        def forward(self, x: Any) -> Any:
            return x * self.factor + self.shift

    assert nn.Sequential(Times(2, 1), Times(10, 0))(gpunn.tensor([3.0])).item() == 70
    assert nn.Sequential()(5) == 5


def test_names_of_a_sequential() -> None:
    named = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), act=nn.ReLU(), out=nn.Linear(3, 1)))
    assert list(named.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    assert named.hidden is named[0] and named[-1] is named.out
    assert [n for n, _ in named[1:].named_children()] == ["act", "out"]
    assert named[1:][1] is named.out


@pytest.mark.parametrize("make", [lambda ms: nn.Sequential(*ms), nn.ModuleList])
def test_lists_of_modules(make: Any) -> None:
    modules = make(layers(1, 2, 3, 4))
    assert len(modules) == 4 and widths(modules) == [1, 2, 3, 4]
    assert modules[-1].in_features == 4 and type(modules[1:3]) is type(modules) and widths(modules[1:3]) == [2, 3]
    assert widths(modules[::-2]) == [4, 2]
    assert modules[2] in modules and nn.Linear(3, 3) not in modules
    assert modules.append(nn.Linear(5, 5)) is modules
    modules.extend(layers(6, 7))
    modules += layers(8)
    assert widths(modules) == [1, 2, 3, 4, 5, 6, 7, 8]
    modules.insert(0, nn.Linear(9, 9))
    modules.insert(-1, nn.Linear(10, 10))
    assert widths(modules) == [9, 1, 2, 3, 4, 5, 6, 7, 10, 8]
    del modules[0], modules[1:7]
    assert widths(modules) == [1, 10, 8]
    modules[1] = nn.Linear(11, 11)
    assert modules.pop().in_features == 8 and modules.pop(0).in_features == 1
    assert widths(modules) == [11] and list(modules.state_dict()) == ["0.weight", "0.bias"]
    assert getattr(modules, "0") is modules[0] and not hasattr(modules, "1")
    assert widths(modules + make(layers(3))) == [11, 3]


@pytest.mark.parametrize("make", [lambda ms: nn.Sequential(*ms), nn.ModuleList])
def test_errors_of_lists(make: Any) -> None:
    modules = make(layers(1, 2))
    for action in (lambda: modules[2], lambda: modules[-3], lambda: modules.pop(5), lambda: modules.__delitem__(2)):
        with pytest.raises(IndexError, match=r"is out of range for (Sequential|ModuleList) of 2 modules"):
            action()
    with pytest.raises(IndexError, match="index 3 is out of range"):
        modules.insert(3, nn.ReLU())
    with pytest.raises(TypeError, match="insert takes a Module, got int"):
        modules.insert(0, 3)
    with pytest.raises(TypeError, match="module '2' is a Module or None, got str"):
        modules.append("layer")
    assert widths(modules) == [1, 2]


def test_only_a_sequential_computes() -> None:
    for container in (nn.ModuleList(), nn.ModuleDict(), nn.ParameterList(), nn.ParameterDict()):
        with pytest.raises(NotImplementedError, match=rf"{type(container).__name__} has no forward\(\)"):
            container(1)
    with pytest.raises(TypeError, match="can be added to a Sequential, not to list"):
        nn.Sequential().__add__([])  # type: ignore[arg-type]


def test_module_dict() -> None:
    d = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()})
    d["c"] = nn.Linear(2, 2)
    d.update([("a", nn.Linear(3, 3))])
    assert list(d) == list(d.keys()) == ["a", "b", "c"] and len(d) == 3 and "b" in d and "z" not in d
    assert d["a"].in_features == 3 and d.a is d["a"] and dict(d.items())["c"] is list(d.values())[2]
    assert list(d.state_dict()) == ["a.weight", "a.bias", "c.weight", "c.bias"]
    assert isinstance(d.pop("b"), nn.ReLU) and list(d) == ["a", "c"]
    for action in (lambda: d["b"], lambda: d.pop("b"), lambda: d.__delitem__("b")):
        with pytest.raises(KeyError, match="b"):
            action()
    with pytest.raises(KeyError, match="attribute 'keys' already exists"):
        d["keys"] = nn.ReLU()
    d.clear()
    assert len(d) == 0 and not hasattr(d, "a")


def test_parameter_list() -> None:
    given = nn.Parameter(gpunn.ones(2))
    p = nn.ParameterList([given, gpunn.zeros(3)])
    p.append(gpunn.ones(4))
    p += [gpunn.ones(5)]
    assert p[0] is given and [type(x) for x in p] == [nn.Parameter] * 4
    assert [n for n, _ in p.named_parameters()] == ["0", "1", "2", "3"]
    p[-1] = gpunn.ones(6)
    assert [x.shape[0] for x in p] == [2, 3, 4, 6] and [x.shape[0] for x in p[1:3]] == [3, 4]
    with pytest.raises(IndexError, match="index 4 is out of range"):
        p[4]
    with pytest.raises(TypeError, match="use append"):
        p.extend(gpunn.ones(2))
    with pytest.raises(TypeError, match="Parameter takes a tensor, got int"):
        p.append(3)  # type: ignore[arg-type]


def test_parameter_dict() -> None:
    p = nn.ParameterDict({"a": gpunn.ones(2)})
    p["b"] = nn.Parameter(gpunn.ones(1), requires_grad=False)
    p.update({"c": gpunn.ones(3)})
    assert list(p) == list(p.keys()) == ["a", "b", "c"] and "a" in p and len(p) == 3
    assert not p["b"].requires_grad and dict(p.items())["a"] is next(iter(p.values()))
    assert p.pop("a").shape == (2,)
    with pytest.raises(KeyError, match="a"):
        del p["a"]
    assert [n for n, _ in p.named_parameters()] == ["b", "c"]


def test_repr_is_torchs(torch: Any) -> None:
    def nested(nn: Any) -> Any:
        return nn.Sequential(
            nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Tanh(), nn.Tanh())]),
            nn.ModuleList(),
            nn.ModuleList([nn.Sequential(nn.ReLU(), nn.Linear(1, 1)) for _ in range(3)]),
            nn.ModuleDict({"a": nn.ReLU(), "b": nn.ModuleDict({"c": nn.Linear(2, 3, bias=False)})}),
            nn.Sequential(),
        )

    assert repr(nested(nn)) == repr(nested(torch.nn))
    parameters = nn.ParameterList([gpunn.ones(2, 3), gpunn.ones(4)])
    expected = torch.nn.ParameterList([torch.ones(2, 3), torch.ones(4)])
    assert repr(parameters) == repr(expected).replace("torch.", "gpunn.")
