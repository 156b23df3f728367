"""What a call is that is counted, and what calls are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gpunn
from gpunn.backend.kernel.ladder import LADDERS, rung
from gpunn.backend.products import computing_in

Tensor = gpunn.Tensor


@dataclass(frozen=True)
class Call:
    """Some work on the device sim.

    Attributes:
        inputs: makes what the work takes.
        work: is counted.
        ladder: of which each rung in `rungs` is counted; empty: what is picked.
    """

    inputs: Callable[[], tuple[Any, ...]]
    work: Callable[..., Any]
    ladder: str = ""
    rungs: tuple[str, ...] = ()


CALLS: dict[str, Call] = {}


def add(name: str, work: Callable[..., Any], *inputs: Callable[[], Any], ladder: str = "") -> None:
    """A call forward and, where inputs have a gradient, backward: the last input is then the gradient of the result."""
    rungs = LADDERS[ladder].rungs if ladder else ()
    CALLS[name] = Call(lambda: tuple(make() for make in inputs), work, ladder, rungs)


def normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim", requires_grad=True)


def fixed(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim")


def last(make: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """What `make` makes, channels last, as a leaf that is differentiated if it is one."""

    def made() -> Tensor:
        x = make()
        return x.detach().to(memory_format=gpunn.channels_last).requires_grad_(x.requires_grad)

    return made


def halves(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim", dtype=gpunn.bfloat16, requires_grad=True)


def whole(high: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randint(0, high, shape, device="sim")


def mask(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim") > 0


def bytes(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randint(0, 256, shape, device="sim").to(gpunn.uint8)


def backward(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """The function and its gradients; the last argument is the gradient of its result."""

    def work(*inputs: Tensor) -> Any:
        *given, dy = inputs
        y = function(*given)
        return y, gpunn.autograd.grad(y, [x for x in given if x.requires_grad], dy)

    return work


def in_tf32(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, with factors of products rounded to TF32."""

    def inside(*inputs: Tensor) -> Any:
        with computing_in("high"):
            return work(*inputs)

    return inside


def on_rung(ladder: str, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The work on this rung of a ladder, which is not picked by itself."""

    def inside(*inputs: Tensor) -> Any:
        with rung(ladder, name):
            return work(*inputs)

    return inside


def optimizer(make: Callable[[list[Tensor]], Any], rows: int = 256, columns: int = 256) -> Callable[[], Any]:
    """An optimizer of one parameter, which has made a step and its moments."""

    def made() -> Any:
        p = gpunn.randn(rows, columns, device="sim", requires_grad=True)
        p.grad = gpunn.randn(rows, columns, device="sim")
        optimizer = make([p])
        optimizer.step()
        return optimizer

    return made
