"""What would make a network fit the input that it does not take."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from math import prod
from typing import Any

from gpunn.autograd.mode import state
from gpunn.autograd.shapes import Shapes, only_shapes
from gpunn.autograd.tape import TensorBase

MOST_TRIES = 24
"""How often a network is gone through to find a layer with another padding or stride that would make it fit."""


def fitting_argument(layer: Any, args: tuple[Any, ...]) -> str:
    """What would make a layer take its input: "in_features=12", "nn.Flatten() before it"; empty if nothing is known."""
    if not args or not isinstance(args[0], TensorBase):
        return ""
    shape = args[0].shape
    own: dict[str, Any] = vars(layer)
    if "in_features" in own and shape and shape[-1] != own["in_features"]:
        if len(shape) < 3:
            return f"in_features={shape[-1]}"
        flat = prod(shape[1:])
        return "nn.Flatten() before it" + (f" and in_features={flat}" if flat != own["in_features"] else "")
    if "in_channels" in own and len(shape) >= 2:
        dims, channels = own["weight"].ndim - 2, own["in_channels"]
        found = shape[-dims - 1] if len(shape) > dims else 0
        if len(shape) in (dims + 1, dims + 2) and found != channels:
            if channels == 1 and len(shape) == dims + 1:
                return "x.unsqueeze(1) before it, which adds the axis of channels"
            if shape[-1] == channels and len(shape) == dims + 2:
                order = ", ".join(map(str, (0, dims + 1, *range(1, dims + 1))))
                return f"x.permute({order}) before it, which brings the channels to the front"
            return f"in_channels={found}"
    for name in ("num_features", "num_channels"):
        if name in own and len(shape) >= 2 and shape[1] != own[name]:
            return f"{name}={shape[1]}"
    if "normalized_shape" in own:
        sizes = tuple(own["normalized_shape"])
        if len(shape) >= len(sizes) and shape[len(shape) - len(sizes) :] != sizes:
            return f"normalized_shape={list(shape[len(shape) - len(sizes) :])}"
    return ""


def fitting_window(error: Exception, network: Any, args: tuple[Any, ...]) -> tuple[str, str, str] | None:
    """A change of a convolution or pooling inside a network with which the network would take its input: what to set,
    the path of the layer, and what it is now; None if none is found.

    The network's forward is run on shapes, without elements, with one window after another changed: the padding that
    keeps the size of an image, no padding, steps of one, or pooling that rounds up. It is only done for errors that
    gpunn's own operations raise.
    """
    if isinstance(state.tracer, Shapes) and state.tracer.searching:
        return None
    if type(error) is not RuntimeError or not _is_of_an_op(error):
        return None
    inside = list(network.named_modules())
    windows = [(path, m) for path, m in inside if "kernel_size" in vars(m) and not getattr(m, "transposed", False)]
    tries = [(path, m, *change) for path, m in reversed(windows) for change in _changes(m)]
    for path, module, name, value in tries[:MOST_TRIES]:
        before = vars(module)[name]
        vars(module)[name] = value  # not by setattr: that would count as a change of the module
        try:
            if _fits(network, args):
                return f"{name}={_plain(value)}", path, str(_plain(before))
        finally:
            vars(module)[name] = before
    return None


def _changes(module: Any) -> Iterator[tuple[str, Any]]:
    own = vars(module)
    if "in_channels" in own:
        if isinstance(own["padding"], tuple):
            same = tuple(d * (k - 1) // 2 for k, d in zip(own["kernel_size"], own["dilation"]))
            for padding in dict.fromkeys((same, (0,) * len(same))):
                if padding != own["padding"]:
                    yield "padding", padding
        if any(s != 1 for s in own["stride"]):
            yield "stride", (1,) * len(own["stride"])
    elif "ceil_mode" in own:
        yield "ceil_mode", not own["ceil_mode"]


def _plain(value: Any) -> Any:
    """(1, 1) as 1."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _is_of_an_op(error: Exception) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("gpunn.ops.")


def _fits(network: Any, args: tuple[Any, ...]) -> bool:
    with only_shapes(), _quiet(network):
        state.tracer.searching = True
        try:
            network.forward(*args)
        except Exception:
            return False
    return True


@contextmanager
def _quiet(network: Any) -> Iterator[None]:
    """Inside, nothing is printed, nobody is warned, and no hooks are called."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    hooks = [(vars(m), name, vars(m)[name]) for m in network.modules() for name in names if vars(m)[name]]
    for fields, name, _ in hooks:
        fields[name] = {}
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for fields, name, found in hooks:
            fields[name] = found
