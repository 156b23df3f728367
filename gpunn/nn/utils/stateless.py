"""Modules called with other parameters than their own."""

from __future__ import annotations

from typing import Any

from ..module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with other tensors as its parameters and buffers, under their names in `state_dict`.

    Args:
        module: it is as before behind the call.
        parameter_and_buffer_dicts: one dictionary, or several.
        args: a tuple, or the one argument.
        kwargs: arguments by name.
        tie_weights: whether a parameter that has several names is replaced under all of them.
        strict: whether each parameter and buffer has to be given.

    Raises:
        KeyError: the module has no parameter or buffer of a name, or with `strict` one is missing.
    """
    given = parameter_and_buffer_dicts
    tensors = {k: v for d in (given if isinstance(given, (tuple, list)) else (given,)) for k, v in d.items()}
    places: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {}
    for prefix, part in module.named_modules():
        for held in (part._parameters, part._buffers):  # and as attributes: see `gpunn.nn.attributes`
            places |= {f"{prefix}.{name}" if prefix else name: ((held, vars(part)), name) for name in held}

    def now(name: str) -> Any:
        homes, own = places[name]
        return homes[0][own]

    def put(name: str, value: Any) -> None:
        homes, own = places[name]
        for home in homes:
            home[own] = value

    unknown = [name for name in tensors if name not in places]
    missing = [name for name in places if name not in tensors] if strict else []
    if unknown or missing:
        raise KeyError(f"functional_call: unknown names {unknown}, missing names {missing}")
    if tie_weights:
        by_tensor = {id(now(name)): value for name, value in tensors.items()}
        for name in places:
            if name not in tensors and id(now(name)) in by_tensor and now(name) is not None:
                tensors[name] = by_tensor[id(now(name))]
    before = {name: now(name) for name in tensors}
    try:
        for name, value in tensors.items():
            put(name, value)
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for name, value in before.items():
            put(name, value)
