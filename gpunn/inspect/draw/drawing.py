"""`gpunn.inspect.draw`: a picture of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.inspect.explain import explain
from gpunn.nn import Module

from .picture import Picture

VIEWS = ("graph", "gradients", "layers", "step")


def draw(
    model: Module,
    x: Any,
    y: Any,
    loss: str | Callable[..., Any] = "cross_entropy",
    *,
    view: str = "graph",
    optimizer: Any = None,
    l2: float = 0.0,
    title: str = "",
    engine: str = "auto",
) -> Picture:
    """Draw a model on a batch; nothing is computed.

    ::

        gpunn.inspect.draw(model, x, y).save("graph.svg")

    Args:
        model: in the mode that it is in; on the device ``meta`` it takes no memory.
        x: its input, a tensor or an array with the batch; a tuple for a model of several inputs.
        y: the target.
        loss: a function of (output, target), or a name such as "cross_entropy" or "mse"; see `gpunn.Trainer`.
        view: "graph", the computational graph from the input to the loss: squares for variables, circles for
            operators; "gradients", the backward beside it as its mirror image, and the update, if there is an
            optimizer; "layers", a box for each call of a layer; "step", all that a planned training step does after
            fusion, and where in the arena it lies.
        optimizer: whose update is drawn.
        l2: lambda of the penalty on weights.
        title: what the picture is called.
        engine: what lays it out: "dot", Graphviz; "layers", gpunn; "auto", the first where it is installed.

    Returns:
        The picture, with ``save(path)``, ``svg()``, ``dot()`` and ``html()``; Jupyter shows it.

    Raises:
        ValueError: there is no such view, or no such engine.
        NotExplained: the step has no place in a graph; the message says why.
        ImportError: the engine is "dot", and Graphviz is not installed.
    """
    from .layers import layers_of
    from .steps import picture_of

    if view not in VIEWS:
        raise ValueError(f"there is no view {view!r}; there are {', '.join(VIEWS)}")
    if engine not in ("auto", "dot", "layers"):
        raise ValueError(f"there is no engine {engine!r}; there are auto, dot, layers")
    found = explain(model, x, y, loss, optimizer=optimizer, l2=l2, fused=view == "step", title=title, numbers=False)
    if view == "layers":
        picture = layers_of(found, model)
    else:
        picture = picture_of(found, backward=view != "graph", memory=view == "step")
    picture.engine = engine
    return picture
