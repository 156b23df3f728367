"""Functions that make functions of functions: gradients, products with Jacobians, Hessians, batches; as torch.func.

Inputs and outputs are tensors, or lists, tuples and dictionaries of them. What a function gives can be differentiated
again, by these or by ``backward``. There is no forward mode: `jvp` goes backward twice, and Jacobians and `vmap` are
made row by row, a pass each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gpunn import autograd, ops
from gpunn.autograd import enable_grad
from gpunn.autograd.tape import TensorBase
from gpunn.nn.utils.stateless import functional_call as functional_call
from gpunn.ops.further.asking import is_tensor
from gpunn.random import get_rng_state, set_rng_state

if TYPE_CHECKING:
    from gpunn.nn.module import Module
    from gpunn.tensor import Tensor

__all__ = [
    *("functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp"),
    *("replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap"),
]

Argnums = int | tuple[int, ...]


# Lists, tuples and dictionaries ---------------------------------------------------------------------------------------


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in _leaves(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [tree]


def _filled(tree: Any, leaves: Iterator[Any]) -> Any:
    """A tree of that form with other leaves."""
    if isinstance(tree, dict):
        return {key: _filled(value, leaves) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [_filled(part, leaves) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(leaves)


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    return _filled(tree, iter([function(leaf) for leaf in _leaves(tree)]))


def _tensors(name: str, tree: Any) -> list[Any]:
    found = _leaves(tree)
    for x in found:
        if not isinstance(x, TensorBase):
            raise RuntimeError(f"{name}: takes tensors, and lists and dictionaries of them, got {type(x).__name__}")
    return found


# Gradients ------------------------------------------------------------------------------------------------------------


class _Call:
    """One call of a function whose inputs are followed: a gradient with respect to them can be asked for."""

    def __init__(self, name: str, function: Callable[..., Any], args: Sequence[Any], places: Argnums, has_aux: bool):
        self.name = name
        self.fresh: set[int] = set()
        picked = (places,) if isinstance(places, int) else tuple(places)
        for i in picked:
            if not -len(args) <= i < len(args):
                raise RuntimeError(f"{name}: argnums={places} names argument {i}, and there are {len(args)}")
        own = list(args)
        for i in picked:
            for x in _tensors(name, args[i]):
                if not x.is_floating_point():
                    raise RuntimeError(f"{name}: only floats have gradients, argument {i} is {x._spec!r}")
            own[i] = _mapped(self._followed, args[i])
        self.inputs = own[picked[0]] if isinstance(places, int) else tuple(own[i] for i in picked)
        with enable_grad():
            result = function(*own)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError(
                f"{name}: with has_aux=True the function returns (output, aux), got {type(result).__name__}"
            )
        self.output: Any
        self.aux: Any
        self.output, self.aux = result if has_aux else (result, None)

    def _followed(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            with enable_grad():
                return ops.identity(x)
        x = x.detach().requires_grad_()
        self.fresh.add(id(x))
        return x

    def gradients(self, outputs: list[Any], cotangents: Any) -> Any:
        """The gradients in the form of the inputs, zeros where nothing depends on one."""
        leaves = _leaves(self.inputs)
        pairs = [(y, v) for y, v in zip(outputs, cotangents) if y.requires_grad]
        if not pairs:
            return _mapped(ops.zeros_like, self.inputs)
        ys, vs = zip(*pairs)
        with enable_grad():
            found = autograd.grad(ys, leaves, vs, create_graph=True, materialize_grads=True)
        return _filled(self.inputs, iter(found))

    def settled(self, tree: Any) -> Any:
        """Results without the history of what was followed here alone."""

        def alone(x: Any) -> Any:
            return x.detach() if is_tensor(x) and not self._depends(x) else x

        return _mapped(alone, tree)

    def _depends(self, x: Any) -> bool:
        """Whether x was computed from something that requires grad outside of this call."""
        if x._node is None:
            return bool(x._requires_grad) and id(x) not in self.fresh
        seen, stack = set(), [x._node]
        while stack:
            node = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            for edge in node.edges:
                if isinstance(edge, tuple):
                    stack.append(edge[0])
                elif edge is not None and id(edge) not in self.fresh:
                    return True
        return False


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func``, which gives one number.

    Args:
        func: a function of tensors whose result has one element.
        argnums: with respect to which arguments; several give a tuple.
        has_aux: whether func gives (output, aux); then the result is (gradient, aux).
    """

    def gradient(*args: Any, **kwargs: Any) -> Any:
        gradients, rest = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (gradients, rest[1]) if has_aux else gradients

    return gradient


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives (gradient, value), or with `has_aux` (gradient, (value, aux)); see `grad`."""

    def both(*args: Any, **kwargs: Any) -> Any:
        call = _Call("grad", lambda *own: func(*own, **kwargs), args, argnums, has_aux)
        y: Any = call.output
        if not is_tensor(y) or y.ndim:
            found = repr(y._spec) if is_tensor(y) else type(y).__name__
            raise RuntimeError(f"grad: the function gives a tensor without dimensions, got {found}; or use jacrev")
        gradients = call.settled(call.gradients([y], [ops.ones_like(y)]))
        value = call.settled(y)
        return gradients, (value, call.settled(call.aux)) if has_aux else value

    return both


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), f) or with `has_aux` (output, f, aux), where f(cotangents) = (the gradient of each primal).

    ``f`` takes cotangents in the form of the output, and can be called again and again.
    """
    call = _Call("vjp", func, primals, tuple(range(len(primals))), has_aux)
    outputs = _tensors("vjp", call.output)

    def pulled_back(*cotangents: Any) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        vs = _tensors("vjp", given)
        if [v.shape for v in vs] != [y.shape for y in outputs]:
            raise RuntimeError(
                f"vjp: a cotangent for each output, {[y._spec for y in outputs]}, got {[v._spec for v in vs]}"
            )
        return call.settled(call.gradients(outputs, vs))

    output = call.settled(call.output)
    return (output, pulled_back, call.settled(call.aux)) if has_aux else (output, pulled_back)


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """(func(*primals), its derivative along the tangents), or with `has_aux` (output, derivative, aux).

    Going backward twice: the gradient along u is linear in u, and its own gradient with respect to u along the
    tangents is the derivative.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError("jvp: primals and tangents are tuples, one entry for each argument")
    call = _Call("jvp", func, primals, tuple(range(len(primals))), has_aux)
    outputs, xs, ts = (_tensors("jvp", tree) for tree in (call.output, call.inputs, tangents))
    if [x.shape for x in xs] != [t.shape for t in ts]:
        raise RuntimeError(f"jvp: a tangent for each primal, {[x._spec for x in xs]}, got {[t._spec for t in ts]}")
    us = [ops.zeros_like(y).requires_grad_() for y in outputs]
    call.fresh |= {id(u) for u in us}
    gradients = _leaves(call.gradients(outputs, us))
    used = [(g, t) for g, t in zip(gradients, ts) if g.requires_grad]
    derivatives = [ops.zeros_like(y) for y in outputs]
    if used:
        gs, along = zip(*used)
        with enable_grad():
            derivatives = list(autograd.grad(gs, us, along, create_graph=True, materialize_grads=True))
    output, derivative = call.settled(call.output), call.settled(_filled(call.output, iter(derivatives)))
    return (output, derivative, call.settled(call.aux)) if has_aux else (output, derivative)


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable[..., Any]:
    """A function that gives the Jacobian: for each output and each argument a tensor (*output's shape, *argument's).

    Row by row, one pass back for each element of the output. `chunk_size` is not needed.
    """

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = _Call("jacrev", lambda *own: func(*own, **kwargs), args, argnums, has_aux)
        blocks = []
        for y in _tensors("jacrev", call.output):
            flat = ops.reshape(y, -1)
            rows = [call.gradients([flat[i]], [ops.ones_like(flat[i])]) for i in range(y.numel())]
            parts = []
            for k, x in enumerate(_leaves(call.inputs)):
                shape = (*y.shape, *x.shape)
                row = [_leaves(r)[k] for r in rows]
                parts.append(ops.reshape(ops.stack(row), shape) if row else ops.zeros(shape, dtype=x.dtype))
            blocks.append(_filled(call.inputs, iter(parts)))
        found = call.settled(_filled(call.output, iter(blocks)))
        return (found, call.settled(call.aux)) if has_aux else found

    return jacobian


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """`jacrev`: there is no forward mode here, and the Jacobian is the same."""
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives, the Jacobian of the Jacobian."""
    return jacrev(jacrev(func, argnums), argnums)


# Batches --------------------------------------------------------------------------------------------------------------


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function of batches: ``func`` for each element of a dimension of its inputs, and the results as one tensor.

    The elements are taken one after the other: what it saves is writing, and no time. Arguments by name are the same
    for all elements.

    Args:
        func: of one element.
        in_dims: the dimension of each argument, None for one that is the same for all elements; or one for all.
        out_dims: where the dimension is in the results.
        randomness: "same" for the same numbers of the default generator in each element; they differ with "different",
            and with "error".
        chunk_size: not needed.

    Raises:
        ValueError: no input has the dimension, sizes differ, or there is no such `randomness`.
    """
    if randomness not in ("error", "different", "same"):
        raise ValueError(f"vmap: randomness is 'error', 'different' or 'same', got {randomness!r}")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        dims = in_dims if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ValueError(f"vmap: in_dims has an entry for each of {len(args)} arguments, got {len(dims)}")
        spread = [_spread(a, d) for a, d in zip(args, dims)]
        found = [(x, d) for pairs in spread for x, d in pairs if d is not None]
        sizes = {x.shape[d] for x, d in found}
        if len(sizes) != 1:
            raise ValueError(f"vmap: the mapped dimensions have one size, got {sorted(sizes) or 'none'}")
        results = []
        before = get_rng_state()
        for i in range(sizes.pop()):
            if randomness == "same":
                set_rng_state(before)
            own = [
                _filled(a, iter([x if d is None else ops.select(x, d, i) for x, d in pairs]))
                for a, pairs in zip(args, spread)
            ]
            results.append(func(*own, **kwargs))
        if not results:
            raise ValueError("vmap: the mapped dimension is empty")
        columns = [_leaves(r) for r in results]
        places = _leaves(out_dims) if isinstance(out_dims, (tuple, list)) else [out_dims] * len(columns[0])
        stacked = [
            column[0] if d is None else ops.movedim(ops.stack(list(column)), 0, d)
            for column, d in zip(zip(*columns), places)
        ]
        return _filled(results[0], iter(stacked))

    return mapped


def _spread(tree: Any, dims: Any) -> list[tuple[Any, int | None]]:
    """Each leaf with its dimension."""
    if isinstance(dims, (int, type(None))):
        return [(x, dims if isinstance(x, TensorBase) else None) for x in _leaves(tree)]
    if isinstance(tree, dict):
        return [pair for key in tree for pair in _spread(tree[key], dims[key])]
    return [pair for part, d in zip(tree, dims) for pair in _spread(part, d)]


# Modules --------------------------------------------------------------------------------------------------------------


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Let all batch norms of a module use the statistics of the batch alone, so that they keep nothing; the module."""
    from gpunn.nn.batchnorm import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters, and the buffers, of several modules of one kind, each stacked to one tensor."""
    if not models:
        raise RuntimeError("stack_module_state: expected at least one model, got none")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {k: ops.stack([p[k] for p in parameters]).detach().requires_grad_() for k in parameters[0]},
        {k: ops.stack([b[k] for b in buffers]) for k in buffers[0]},
    )
