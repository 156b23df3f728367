"""Options, parameters and groups that optimizers refuse."""

from __future__ import annotations

from typing import Any

import pytest

from gpunn import optim

from .small import leaf

# Errors


@pytest.mark.parametrize(
    "cls, options, message",
    [
        (optim.SGD, {"lr": -1}, "Invalid learning rate: -1"),
        (optim.SGD, {"lr": float("nan")}, "Invalid learning rate: nan"),
        (optim.SGD, {"momentum": -0.1}, "Invalid momentum value"),
        (optim.SGD, {"weight_decay": -0.1}, "Invalid weight_decay value"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
        (optim.Adagrad, {"lr_decay": -1}, "Invalid lr_decay value"),
        (optim.Adagrad, {"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value"),
        (optim.Adagrad, {"eps": -1}, "Invalid epsilon value"),
        (optim.RMSprop, {"alpha": -1}, "Invalid alpha value"),
        (optim.RMSprop, {"momentum": -1}, "Invalid momentum value"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.Adam, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        (optim.Adam, {"betas": (0.9,)}, "betas takes two numbers"),
        (optim.AdamW, {"eps": -1}, "Invalid epsilon value"),
    ],
)
def test_options_out_of_range(cls: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls([leaf(1)], **options)
    group = {"params": [leaf(1)], **options}
    with pytest.raises(ValueError, match=message):
        cls([group])


def test_options_that_are_no_numbers() -> None:
    with pytest.raises(TypeError, match="lr takes a number, got str"):
        optim.SGD([leaf(1)], lr="0.1")
    with pytest.raises(TypeError, match="betas takes two numbers, got str at index 1"):
        optim.Adam([leaf(1)], betas=(0.9, "x"))
    with pytest.raises(TypeError, match="momenta"):
        optim.SGD([leaf(1)], momenta=0.9)


def test_bad_parameters() -> None:
    p = leaf(2)
    with pytest.raises(ValueError, match="empty parameter list"):
        optim.SGD([])
    with pytest.raises(TypeError, match="got a tensor"):
        optim.SGD(p)
    with pytest.raises(TypeError, match="one of the params is float"):
        optim.SGD([1.0])
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        optim.SGD([p * 2])
    with pytest.raises(ValueError, match="duplicate parameters"):
        optim.SGD([p, p])
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.raises(TypeError, match="set"):
        optim.SGD([{"params": {p}}])
    with pytest.raises(ValueError, match="needs 'params'"):
        optim.SGD([{"lr": 1.0}])
    with pytest.raises(TypeError, match="must be a dict, but got list"):
        optim.SGD([p]).add_param_group([p])


def test_a_refused_group_changes_nothing() -> None:
    optimizer = optim.SGD([leaf(1)])
    with pytest.raises(ValueError, match="Invalid learning rate"):
        optimizer.add_param_group({"params": [leaf(1)], "lr": -1})
    assert len(optimizer.param_groups) == 1
