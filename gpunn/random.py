"""Random numbers from counters: the same seed gives the same numbers, in any order of calls and on every device.

The generator is Philox 4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), NumPy's own.
A draw is a function of

    key     = (seed, stream)
    counter = (1 + block of 4 x 64 bits within the draw, call number of the stream, 0, 0)

so no draw depends on how many numbers another one took. (NumPy counts up before it makes a block, hence the 1.)
Uniform float32 are ``(u32 >> 8) * 2^-24``, from the lower and then the upper half of each 64-bit word; float16 and
bfloat16 keep the upper 11 and 8 of these 24 bits, so that none becomes 1; uniform float64 are ``(u64 >> 11) * 2^-53``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.argument_names import with_other_names
from gpunn.autograd.mode import state
from gpunn.backend.dtypes import FLOAT, as_dtype, get_default_dtype, int64
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.memory_format import memory_format as MemoryFormat
from gpunn.backend.memory_format import preserve_format
from gpunn.backend.philox import philox as philox
from gpunn.backend.spec import sizes

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

VALUES, DROPOUT, SHUFFLE, SPLIT = 0, 1, 2, 3
"""The streams: initial values and `rand`, dropout masks, the order of data, the parts of a data set."""


class Generator:
    """A seed, and how many draws were made from each of its streams."""

    def __init__(self, seed: int = 0):
        self._seed = int(seed) % 2**64
        self._calls: dict[int, int] = {}

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, an integer; negative ones count from 2^64 down."""
        _only_outside_of_a_trace("is seeded")
        self._seed, self._calls = int(seed) % 2**64, {}
        return self

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed

    def next_call(self, stream: int = VALUES) -> int:
        """The number of the next draw from a stream, counted from 0."""
        return self._next_call(stream) if state.part is None else state.part.next_call(self, stream)

    def _next_call(self, stream: int) -> int:
        if state.tracer is not None:
            state.tracer.keep_state(self)
        call = self._calls.get(stream, 0)
        self._calls[stream] = call + 1
        return call if state.tracer is None else state.tracer.next_call(self, stream, call)

    def get_state(self) -> dict[str, Any]:
        """Seed and call numbers, for `set_state`."""
        return {"seed": self._seed, "calls": {str(k): v for k, v in self._calls.items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called.

        Raises ValueError for what is no such state.
        """
        _only_outside_of_a_trace("gets a state")
        seed, calls = int(state["seed"]), {int(k): int(v) for k, v in state["calls"].items()}
        if not all(0 <= number < 2**64 for number in (seed, *calls, *calls.values())):
            raise ValueError(f"the state of a generator is {state}; expected whole numbers from 0 to 2^64 - 1")
        self._seed, self._calls = seed, calls

    def numpy(self, stream: int = VALUES) -> np.random.Generator:
        """NumPy's generator for the next draw from a stream."""
        _only_outside_of_a_trace("gives numbers to Python")
        return philox(self._seed, stream, self.next_call(stream))


def _only_outside_of_a_trace(what: str) -> None:
    """Refuse what a plan could not do again."""
    if state.tracer is not None:
        state.tracer.refuse(f"a generator of random numbers {what}")


default_generator = Generator(0)


def manual_seed(seed: int) -> Generator:
    """Seed everything random: initial values, dropout, shuffling. Without it the seed is 0."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: dict[str, Any]) -> None:
    """Set the state of the default generator."""
    default_generator.set_state(new_state)


@with_other_names
def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers in [0, 1): ``rand(2, 3)`` or ``rand((2, 3))``.

    Raises:
        RuntimeError: the type is not floating point.
    """
    d = _float("rand", dtype)
    return _drawn(uniform, (d,), sizes(size), generator, d, device, requires_grad)


@with_other_names
def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal numbers of mean 0 and variance 1.

    Raises:
        RuntimeError: the type is not floating point.
    """
    d = _float("randn", dtype)
    return _drawn(normal, (d,), sizes(size), generator, d, device, requires_grad)


def randint(
    low: int | None = None,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from low up to high, without high: ``randint(high, size)`` or ``randint(low, high, size)``.

    Raises:
        RuntimeError: there is no such integer, or the type can't hold it.
    """
    first, last, shape = (0, low, high) if size is None else (low, high, size)
    if size is not None and (low is None or high is None):  # by name: (high, size=...), (high=..., size=...)
        first, last = 0, high if low is None else low
    if not isinstance(first, int) or not isinstance(last, int) or shape is None or isinstance(shape, int):
        raise TypeError("randint: takes (high, size) or (low, high, size), and the size is a tuple")
    d, n = int64 if dtype is None else as_dtype(dtype), tuple(shape)
    check_integers(first, last, d)
    return _drawn(integers, (first, last), n, generator, d, device, requires_grad)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The integers 0 to n - 1 in random order."""
    if n < 0:
        raise RuntimeError(f"randperm: there are no {n} integers")
    d = int64 if dtype is None else as_dtype(dtype)
    return _drawn(permutation, (), (n,), generator, d, device, requires_grad)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`rand` in the shape, type, device and, unless another one is given, memory format of input."""
    from gpunn.ops.creation import format_like
    from gpunn.ops.view import in_format

    found = format_like("rand_like", input, memory_format)
    drawn = rand(input.shape, generator=generator, dtype=dtype or input.dtype, device=device or input.device)
    return in_format(drawn, found).requires_grad_(requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`randn` in the shape, type, device and, unless another one is given, memory format of input."""
    from gpunn.ops.creation import format_like
    from gpunn.ops.view import in_format

    found = format_like("randn_like", input, memory_format)
    drawn = randn(input.shape, generator=generator, dtype=dtype or input.dtype, device=device or input.device)
    return in_format(drawn, found).requires_grad_(requires_grad)


_UNIFORM_BITS = {"float16": 11, "bfloat16": 8}
"""The bits of a half-precision number below 1: rounding more of them could give 1."""
Array = np.ndarray[Any, Any]


Sample = Callable[..., Any]
"""A function of a module: (NumPy's generator, shape, *options) -> an array of that shape."""
_ONE_BY_ONE: set[Sample] = set()


def one_by_one(sample: Sample) -> Sample:
    """Say of a function that it draws one number after the other: more of them begin with the same ones."""
    _ONE_BY_ONE.add(sample)
    return sample


def draws_one_by_one(sample: Sample) -> bool:
    """Whether `one_by_one` was said of it."""
    return sample in _ONE_BY_ONE


def of_part(sample: Sample, options: tuple[Any, ...], size: tuple[int, ...]) -> tuple[Sample, tuple[Any, ...]]:
    """What draws the numbers that the part of a batch that is computed has in the whole; see `gpunn.parts.Parts`."""
    part = state.part
    if part is None or not part.first or size[:1] != (part.samples,) or not draws_one_by_one(sample):
        return sample, options
    return _from, (part.first, sample, *options)


def _from(rng: np.random.Generator, size: tuple[int, ...], first: int, sample: Sample, *options: Any) -> Any:
    return sample(rng, (first + size[0], *size[1:]), *options)[first:]


@one_by_one
def uniform(rng: np.random.Generator, size: tuple[int, ...], d: DType) -> Array:
    """Uniform numbers in [0, 1) that the type `d` holds exactly, as float64 or float32."""
    if d.name == "float64":
        return rng.random(size)
    u = rng.random(size, np.float32)
    bits = _UNIFORM_BITS.get(d.name)
    return u if bits is None else np.floor(u * 2**bits) * np.float32(2**-bits)


@one_by_one
def normal(rng: np.random.Generator, size: tuple[int, ...], d: DType) -> Array:
    """Normal numbers of mean 0 and variance 1, as float64 or, for smaller types, as float32."""
    return np.asarray(rng.standard_normal(size, np.float64 if d.name == "float64" else np.float32))


@one_by_one
def integers(rng: np.random.Generator, size: tuple[int, ...], low: int, high: int) -> Array:
    """Integers from low up to high, without high."""
    return rng.integers(low, high, size=size, dtype=np.int64)


def check_integers(low: int, high: int, d: DType) -> None:
    """See to it that there are integers from low up to high, without high, and that the type `d` holds them.

    Raises:
        RuntimeError: it is not so.
    """
    if low >= high:
        raise RuntimeError(f"random integers: from {low} up to {high}, without {high}, there is none")
    if d.category != FLOAT:
        first, last = (0, 1) if d.name == "bool" else (np.iinfo(d.numpy).min, np.iinfo(d.numpy).max)
        if low < first or high - 1 > last:
            raise RuntimeError(f"random integers: {d!r} does not hold all from {low} to {high - 1}")


def permutation(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """The integers 0 to n - 1 in random order, n being the size."""
    return rng.permutation(size[0])


def _drawn(
    sample: Callable[..., Any],
    options: tuple[Any, ...],
    size: tuple[int, ...],
    generator: Generator | None,
    d: DType,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    from gpunn.ops.draw import draw

    return draw(sample, options, size, d, device, generator).requires_grad_(requires_grad)


def _float(name: str, d: Any) -> DType:
    result = get_default_dtype() if d is None else as_dtype(d)
    if not result.is_floating_point:
        raise RuntimeError(f"{name}: the numbers are floats, so the type can't be {result!r}")
    return result
