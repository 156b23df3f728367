"""What an op is.

An op is a small class with a shape rule, a forward, a gradient and a cost, side by side. Its attributes (a stride, an
axis) are the fields of a frozen dataclass, so that two equal calls are equal objects; its tensors are the arguments of
`gpunn.autograd.apply`. Defining the class registers it, and the test-suite refuses a registered op without samples.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Union

from gpunn.backend.memory_format import decided, lies_last
from gpunn.backend.spec import Spec

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    from gpunn.tensor import Tensor

Number = bool | int | float
Operand = Union["Tensor", Number]

OPS: dict[str, type[Op]] = {}


@dataclass(frozen=True)
class Cost:
    """What one call of an op costs at least: arithmetic, and bytes read plus bytes written."""

    flop: int
    bytes: int


C = TypeVar("C", bound=type)
_unwritten: set[type] = set()
_writing = threading.Lock()


def _write(cls: Any) -> None:
    """Make a class a dataclass; its `__init__` last, so that other threads find either the old one or a whole class."""
    dataclass(frozen=True, init=False)(cls)
    parts = [(f.name, f.type, f) for f in fields(cls)]
    cls.__init__ = vars(make_dataclass(cls.__name__, parts, frozen=True, eq=False, repr=False))["__init__"]
    _unwritten.remove(cls)


def _write_all(cls: Any) -> None:
    """Make a class a dataclass, and before it those that it inherits from."""
    with _writing:
        for base in reversed(cls.__mro__):
            if base in _unwritten:
                _write(base)


def _made(cls: Any, state: dict[str, Any]) -> Any:
    """A copy by what `copy` and `pickle` kept of an object; it may be the first object of its class."""
    _write_all(cls)
    made = object.__new__(cls)
    made.__dict__.update(state)
    return made


def _reduced(self: Any) -> Any:
    return _made, (type(self), dict(vars(self)))


if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True)
    def frozen(cls: C) -> C:
        """What type checkers see."""

else:

    def frozen(cls: Any) -> Any:
        """A frozen dataclass whose methods are written when its first object is made.

        Those of a hundred ops would take a third of ``import gpunn``, and few of them are used.
        """

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            _write_all(type(self))
            cls.__init__(self, *args, **kwargs)

        cls.__init__, cls.__reduce__ = __init__, _reduced
        _unwritten.add(cls)
        return cls


class Op:
    """One operation on tensors.

    A subclass gives:

    - ``shape(*specs)``: the `Spec` of the result, or an error that says what is wrong with the inputs. Where an input
      is a Python number or None it is passed as it is, here and everywhere below.
    - ``forward(backend, *arrays, out=None)``: the result, from one or a few primitives of the backend. Ops that name
      their `primitive` need none.
    - ``vjp(needs, dy, y, *inputs)``: the gradient of each input for which ``needs`` is True, None for the others, as a
      tuple (or the one gradient, for an op of one input); written with ops, so that it has a gradient itself. It
      reads shapes and types, never values. ``y`` and inputs that were not saved come as a `Spec`. Where inputs
      were broadcast the gradient may have the shape of the result: the engine sums it down.
    - ``cost(*specs)``: arithmetic and memory traffic.

    An op with several results gives a tuple of specs as its shape; then `forward` gives a tuple too, and ``dy`` and
    ``y`` are tuples (``dy`` with None where no gradient came).
    """

    primitive: ClassVar[str] = ""
    """The one backend primitive that computes this op, called as ``primitive(*arrays, out=out)``."""
    saved: ClassVar[tuple[int, ...]] = ()
    """Which inputs' elements the gradient needs."""
    saved_for: ClassVar[tuple[tuple[int, ...], ...]] = ()
    """For each input the inputs whose gradients need it, where these are not all. It is saved only if one of them
    requires a gradient: nothing of ``w * 3``, and of ``x @ w`` only x where w alone is trained."""
    saves_output: ClassVar[bool | tuple[int, ...]] = False
    """Whether the gradient needs the elements of the result; of several results, which."""
    output_for: ClassVar[tuple[int, ...]] = ()
    """The inputs whose gradients need the result, where these are not all."""
    overwrites: ClassVar[tuple[int, ...]] = ()
    """The inputs of the result's shape and type in whose memory a primitive may write the result: `out` may be them.
    Of an op with several results the input for each of them, -1 for none."""
    view: ClassVar[bool] = False
    """Whether the result shares the memory of the first input."""
    from_number: ClassVar[bool] = False
    """Whether the only input is a Python number, so that the op itself says where its result is made."""
    differentiable: ClassVar[bool] = True
    """False where the result is an integer or a boolean, or constant almost everywhere."""
    takes_numbers: ClassVar[bool] = False
    """Whether a CPU tensor without dimensions counts as the number that it holds, beside tensors of another device."""
    flop_per_element: ClassVar[int] = 1
    by_element: ClassVar[bool] = False
    """Whether each element of the one result depends on the elements at its place alone, wherever that lies: then the
    result lies channels last where the first input does that decides it (`gpunn.backend.memory_format.decided`)."""
    images: ClassVar[tuple[int, ...]] = ()
    """The inputs that are images (n, c, h, w), or the weights (o, c, kh, kw) of some: where one of them lies channels
    last, so do the results of four dimensions."""
    writes_images: ClassVar[str] = ""
    """The primitive that writes those results as they are to lie, on a backend that lists it in `writes_images`; else
    they are copied there."""

    def __init_subclass__(cls, abstract: bool = False) -> None:
        if not abstract:
            OPS[cls.__name__] = cls

    @property
    def name(self) -> str:
        """The class's name, as errors and pictures show it."""
        return type(self).__name__

    def shape(self, *specs: Any) -> Any:
        """The `Spec` of the result (a tuple of them for several results)."""
        raise NotImplementedError(f"{self.name} has no shape rule")

    def gives_last(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
        """Whether results of this shape, (n, c, h, w), lie channels last; only strides of `arrays` are looked at."""
        if not self.by_element:
            return any(lies_last(arrays[i]) for i in self.images)
        found = (decided(x, shape) for x in arrays if hasattr(x, "strides"))
        return next((last for last in found if last is not None), False)

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        """The result as a backend array."""
        return getattr(backend, self.primitive)(*arrays, out=out)

    def vjp(self, needs: tuple[bool, ...], dy: Any, y: Any, *inputs: Any) -> Any:
        """The gradient of each input."""
        raise NotImplementedError(f"{self.name} has no gradient")

    def cost(self, *specs: Any) -> Cost:
        """By default one operation per element of the result, and every input and result moved once."""
        results = self.shape(*specs)
        results = results if isinstance(results, tuple) else (results,)
        moved = sum(s.nbytes for s in (*specs, *results) if isinstance(s, Spec))
        return Cost(self.flop_per_element * sum(s.numel() for s in results), moved)


class Composite(Op, abstract=True):
    """An op whose gradient is that of its `formula`: the same values, written in elementary ops.

    Gradients of heavy ops are such ops: fast at first order, and differentiable again through the formula.
    """

    def formula(self, *inputs: Any) -> Any:
        """The result of the op, by elementary ops; None inputs stay None."""
        raise NotImplementedError

    def vjp(self, needs: tuple[bool, ...], dy: Any, y: Any, *inputs: Any) -> Any:
        """Differentiate the formula."""
        from gpunn.autograd.engine import vjp_of

        return vjp_of(self.formula, needs, dy, inputs)


def conversion(dtype: Any) -> str:
    """What to write for a tensor in another type: ".float()"."""
    names = {"float32": ".float()", "float64": ".double()", "float16": ".half()"}
    return names.get(dtype.name, f".to(gpunn.{dtype.name})")


def check_one_type(name: str, x: Spec, w: Spec, b: Spec | None) -> None:
    """Raise unless an input, its weight and its bias have one type; the message says how the input gets theirs."""
    if x.dtype is not w.dtype or (b is not None and b.dtype is not w.dtype):
        found = f"{x!r}, {w!r}" + ("" if b is None else f", {b!r}")
        hint = f"convert the input with {conversion(w.dtype)}" if x.dtype is not w.dtype else "convert the bias"
        raise shape_error(name, f"input, weight and bias must have one type, got {found}; {hint}")


def shape_error(op: Op | str, message: str) -> RuntimeError:
    """An error that starts with the op's name; PyTorch raises RuntimeError for shapes that do not fit."""
    return RuntimeError(f"{op if isinstance(op, str) else op.name}: {message}")
