"""Random numbers from counters: the same seed gives the same numbers, in any order of calls and on every device.

The generator is Philox 4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), NumPy's own.
A draw is a function of

    key     = (seed, stream)
    counter = (block of 4 x 64 bits within the draw, call number of the stream, 0, 0)

so no draw depends on how many numbers another one took. Uniform floats are ``(u32 >> 8) * 2^-24``, from the lower and
then the upper half of each 64-bit word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

VALUES, DROPOUT, SHUFFLE, SPLIT = 0, 1, 2, 3
"""The streams: initial values and `rand`, dropout masks, the order of data, the parts of a data set."""


class Generator:
    """A seed, and how many draws were made from each of its streams."""

    def __init__(self, seed: int = 0):
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, an integer; negative ones count from 2^64 down."""
        self._seed = int(seed) % 2**64
        self._calls: dict[int, int] = {}
        return self

    def initial_seed(self) -> int:
        """The seed."""
        return self._seed

    def next_call(self, stream: int = VALUES) -> int:
        """The number of the next draw from a stream, counted from 0."""
        call = self._calls.get(stream, 0)
        self._calls[stream] = call + 1
        return call

    def get_state(self) -> dict[str, Any]:
        """Seed and call numbers, for `set_state`."""
        return {"seed": self._seed, "calls": {str(k): v for k, v in self._calls.items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called."""
        self._seed = int(state["seed"])
        self._calls = {int(k): int(v) for k, v in state["calls"].items()}

    def numpy(self, stream: int = VALUES) -> np.random.Generator:
        """NumPy's generator for the next draw from a stream."""
        return philox(self._seed, stream, self.next_call(stream))


def philox(seed: int, stream: int, call: int, block: int = 0) -> np.random.Generator:
    """NumPy's generator at the given place; `block` counts groups of 8 uniform floats within the draw."""
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([block, call, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


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


def set_rng_state(state: dict[str, Any]) -> None:
    """Set the state of the default generator."""
    default_generator.set_state(state)


def rand(*size: Any, generator: Generator | None = None, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1): ``rand(2, 3)``. Options: ``dtype, device, requires_grad``."""
    shape = _sizes(size)
    draw = (generator or default_generator).numpy()
    return _tensor(lambda d: draw.random(shape, dtype=d), options)


def randn(*size: Any, generator: Generator | None = None, **options: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    shape = _sizes(size)
    draw = (generator or default_generator).numpy()
    return _tensor(lambda d: draw.standard_normal(shape, dtype=d), options)


def randint(low: int, high: Any = None, size: Any = None, *, generator: Generator | None = None, **options: Any) -> Any:
    """Integers from low up to high, without high: ``randint(high, size)`` or ``randint(low, high, size)``."""
    if size is None:
        low, high, size = 0, low, high
    if low >= high:
        raise RuntimeError(f"randint: there is no integer from {low} up to {high}, without {high}")
    options.setdefault("dtype", "int64")
    draw = (generator or default_generator).numpy()
    return _tensor(lambda d: draw.integers(low, high, size=tuple(size), dtype=np.int64), options)


def randperm(n: int, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """The integers 0 to n - 1 in random order."""
    options.setdefault("dtype", "int64")
    draw = (generator or default_generator).numpy()
    return _tensor(lambda d: draw.permutation(n), options)


def rand_like(input: Tensor, **options: Any) -> Tensor:
    """`rand` in the shape, type and device of input."""
    return rand(*input.shape, **{"dtype": input.dtype, "device": input.device, **options})


def randn_like(input: Tensor, **options: Any) -> Tensor:
    """`randn` in the shape, type and device of input."""
    return randn(*input.shape, **{"dtype": input.dtype, "device": input.device, **options})


def _tensor(draw: Any, options: dict[str, Any]) -> Tensor:
    """A tensor of drawn values, made on the host; half precision is drawn in float32."""
    from gpunn.backend.dtypes import as_dtype, get_default_dtype
    from gpunn.tensor import tensor

    d = as_dtype(options.pop("dtype", None) or get_default_dtype())
    values = draw(np.float64 if d.name == "float64" else np.float32)
    return tensor(np.asarray(values), dtype=d, **options)


def _sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    if len(args) == 1 and not isinstance(args[0], int):
        return tuple(int(n) for n in args[0])
    return tuple(int(n) for n in args)
