"""The one checked way to a kernel.

CUDA reads whatever it is given: a float64 array as floats, a view as if it had no gaps, a Python float as half of a
double. So every launch goes through here, where each argument is held against the signature in the kernel's own text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import recording
from .dtypes import as_dtype
from .kernel_texts import kernel_folder, kernel_text
from .signature import Parameter, Signature, signature, type_choices

C_TYPES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "float16": "half_t",
    "bfloat16": "bfloat16_t",
    "float32": "float",
    "float64": "double",
}
"""What a kernel text calls each of our types."""
NUMPY_TYPES = {c: as_dtype(name).numpy for name, c in C_TYPES.items()} | {
    "index_t": np.dtype(np.int64),
    "unsigned": np.dtype(np.uint32),
    "unsigned int": np.dtype(np.uint32),
    "unsigned long long": np.dtype(np.uint64),
    "unsigned short": np.dtype(np.uint16),
    "char": np.dtype(np.int8),
    "long": np.dtype(np.int64),
    "unsigned long": np.dtype(np.uint64),
    "size_t": np.dtype(np.uint64),
    **{np.dtype(i).name + "_t": np.dtype(i) for i in "bBhHiIlL"},  # int8_t, uint8_t, ...
    **dict.fromkeys(("half", "__half"), np.dtype(np.float16)),
    "__nv_bfloat16": as_dtype("bfloat16").numpy,
}
"""The NumPy type of each type that a parameter may be or point to."""
_MAX_GRID = (2**31 - 1, 65535, 65535)
_MAX_BLOCK = (1024, 1024, 64)
_UNBOUND = 256
"""The most threads of a block of a kernel without a launch bound: 65,536 registers are 256 for each, and none takes
more than 255. More threads need a bound, with which the compiler keeps the registers few enough."""
_USUAL_SHARED = 48 << 10
"""Bytes of dynamic shared memory that a kernel may have without opting in."""
_MAX_SHARED = 227 << 10
"""And with that on sm_90 and sm_100, the most of all (CUDA C++ Programming Guide, "Compute Capabilities")."""

LAYOUT = np.dtype([("size", np.int64, 6), ("stride", np.int64, 6)])
"""The struct Layout of `layout.cuh`."""
STRUCTS = {"Layout": np.dtype((np.void, LAYOUT.itemsize)), "TensorMap": np.dtype((np.void, 128))}
"""What may be passed by value beside numbers, each as an array of one element without fields.

CuPy asks such an array for its ``__array_interface__`` at each launch, which describes every field anew.
"""

Convert = Callable[[Any], Any]


class LaunchError(TypeError):
    """A kernel was called with something else than its text takes."""


class Text(NamedTuple):
    """What is compiled at once: a kernel text, the type of each name that it leaves open, as (name, type), sorted, and
    which kernel of it; empty: all of them.
    """

    name: str
    types: tuple[tuple[str, str], ...]
    kernel: str = ""


class Launcher:
    """Compiles kernels when they are first used, and launches them with checked arguments.

    Args:
        raw_module: makes a compiled module of a text: `cupy.RawModule`, or the simulator's.
        array: the type of the arrays.
        device_of: says on which device an array lies, where there are several.
        device: the device that they have to lie on.

    Attributes:
        compiles_ahead: whether compiling takes so long that it is worth to `prepare`, each kernel by itself.
    """

    compiles_ahead = False

    def __init__(
        self,
        raw_module: Callable[..., Any],
        array: type[Any],
        device_of: Callable[[Any], Any] | None = None,
        device: Any = None,
    ) -> None:
        self.raw_module = raw_module
        self.array = array
        self.device_of = device_of
        self.device = device
        self._modules: dict[Text, Any] = {}
        self._kernels: dict[Any, _Kernel] = {}

    def __call__(
        self,
        text: str,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        shared_mem: int = 0,
        **types: Any,
    ) -> None:
        """Launch kernel `name` of the file `text`.

        Args:
            text: the file, such as ``"linear.cu"``.
            name: the kernel in it.
            grid: blocks along x, y, z; fewer numbers stand for 1.
            block: threads of a block along x, y, z.
            args: arrays for pointers (None for null), Python or NumPy numbers, arrays of `STRUCTS`.
            shared_mem: bytes of dynamic shared memory.
            types: the type of each name that the text leaves open, such as ``scalar_t=np.dtype("float32")``.

        Raises:
            LaunchError: an argument does not fit; the message names kernel, parameter, what came and what is expected.
            ValueError: no such text or kernel, or sizes beyond what a device takes.
        """
        kernel = self._kernels.get((text, name, *types.items())) or self._make(text, name, types)
        recorder = recording.current()
        if recorder is None:
            kernel(grid, block, args, shared_mem)
        else:
            recorder.launch(kernel, grid, block, args, shared_mem)

    def function(self, text: str, name: str, **types: Any) -> Any:
        """The compiled function that launches of this kernel call, without checks; for its attributes."""
        return (self._kernels.get((text, name, *types.items())) or self._make(text, name, types)).function

    def prepare(self, texts: Iterable[Text], note: Callable[[str], None] | None = None) -> None:
        """Compile these texts before they are launched, where `compiles_ahead`.

        Args:
            texts: those that are compiled already cost nothing.
            note: called with a line before anything is compiled that is not kept from an earlier time.
        """

    def compile(self, text: Text, source: str) -> Any:
        """The compiled module of a text; called once for each."""
        return self.raw_module(
            code=f'#line 1 "{text.name}"\n{source}',
            options=(*compile_options(dict(text.types)), f"-I{kernel_folder()}"),
        )

    def _make(self, text: str, name: str, types: dict[str, Any]) -> _Kernel:
        source = kernel_text(text)
        declared = signature(source, name, text)
        named = {variable: as_dtype(d).name for variable, d in types.items()}
        check_types(text, source, named)
        key = Text(text, tuple(sorted(named.items())), name if self.compiles_ahead else "")
        module = self._modules.get(key)
        if module is None:
            module = self._modules[key] = self.compile(key, source)
        kernel = _Kernel(text, declared, module.get_function(name), named, self)
        self._kernels[(text, name, *types.items())] = kernel
        return kernel


def compile_options(types: dict[str, str]) -> tuple[str, ...]:
    """The compiler's options that settle the types that a text leaves open."""
    return ("-std=c++17", *(f"-D{variable}={C_TYPES[name]}" for variable, name in sorted(types.items())))


def check_types(text: str, source: str, types: dict[str, str]) -> None:
    """Raise a ValueError unless `types` settles just what the text leaves open, with types that it is made for."""
    choices = type_choices(source)
    if set(choices) != set(types):
        raise ValueError(f"{text} is compiled for {', '.join(choices) or 'no type'}, got {', '.join(types) or 'none'}")
    for variable, name in types.items():
        if name not in choices[variable]:
            raise ValueError(f"{text} is compiled for {variable} = {', '.join(choices[variable])}, not {name}")


class _Kernel:
    """One compiled kernel, with a function for each parameter that checks and converts its argument."""

    def __init__(self, text: str, signature: Signature, function: Any, types: dict[str, str], launcher: Launcher):
        self.text, self.signature, self.function = text, signature, function
        self.launcher = launcher
        self.types = {variable: as_dtype(name).numpy for variable, name in types.items()}
        scalar = types.get("scalar_t")
        if scalar is not None:
            half = scalar in ("float16", "bfloat16")
            self.types["acc_t"] = np.dtype(np.float32) if half else as_dtype(scalar).numpy
        self.bound = signature.bound or _UNBOUND
        self.most_shared = _USUAL_SHARED
        self.converters = [self._converter(p) for p in signature.parameters]

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int) -> None:
        self.function(tuple(grid), tuple(block), self.checked(grid, block, args, shared_mem), shared_mem=shared_mem)

    def checked(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int
    ) -> tuple[Any, ...]:
        """The arguments as the compiled function takes them.

        Raises:
            LaunchError: one does not fit.
            ValueError: grid or block are larger than a device takes.
        """
        if len(args) != len(self.converters):
            raise LaunchError(f"{self}: takes {len(self.converters)} arguments, got {len(args)}: {self.signature}")
        if not (_fits(grid, _MAX_GRID) and _fits(block, _MAX_BLOCK)):
            raise ValueError(
                f"{self}: a grid of {tuple(grid)} blocks of {tuple(block)} threads; "
                f"sizes are from 1 to {_MAX_GRID} blocks and {_MAX_BLOCK} threads"
            )
        if math.prod(block) > self.bound:
            raise ValueError(
                f"{self}: a block of {tuple(block)} threads; it may have {self.bound}"
                + ("" if self.signature.bound else ", and more if the text had __launch_bounds__")
            )
        if not 0 <= shared_mem <= _MAX_SHARED:
            raise ValueError(f"{self}: {shared_mem} bytes of shared memory; there are from 0 to {_MAX_SHARED}")
        if shared_mem > self.most_shared:
            self.function.max_dynamic_shared_size_bytes = self.most_shared = shared_mem
        return tuple([convert(a) for convert, a in zip(self.converters, args)])

    def __str__(self) -> str:
        return f"kernel {self.signature.name} ({self.text})"

    def _converter(self, p: Parameter) -> Convert:
        if p.type in STRUCTS and not p.pointer:
            return self._struct(p, STRUCTS[p.type])
        dtype = self.types.get(p.type) or NUMPY_TYPES.get(p.type)
        if dtype is None:
            raise LaunchError(f"{self}: the type of '{p}' is not known here")
        if p.pointer:
            return self._pointer(p, dtype)
        return self._integer(p, dtype) if dtype.kind in "iub" else self._float(p, dtype)

    def _pointer(self, p: Parameter, dtype: Any) -> Convert:
        array, device_of, device = self.launcher.array, self.launcher.device_of, self.launcher.device
        numpy_arrays = issubclass(array, np.ndarray)

        def convert(a: Any) -> Any:
            if not isinstance(a, array):
                if a is None and p.nullable:
                    return None
                raise self._error(p, f"an array of {dtype.name}{' or None' if p.nullable else ''}", _describe(a))
            if a.dtype != dtype:
                raise self._error(p, f"an array of {dtype.name}", f"one of {a.dtype.name}")
            if not a.flags.c_contiguous:
                what = f"a view with strides {a.strides} of shape {a.shape}"
                raise self._error(p, "a row-major array without gaps", what + "; copy it first")
            if device_of is not None and device_of(a) != device:
                raise self._error(p, f"an array on device {device}", f"one on device {device_of(a)}")
            if numpy_arrays and not p.const and not a.flags.writeable:
                raise self._error(p, "an array to write to", "one that is read-only")
            return a

        return convert

    def _struct(self, p: Parameter, dtype: Any) -> Convert:
        def convert(a: Any) -> Any:
            if not isinstance(a, np.ndarray) or a.dtype != dtype or a.size != 1:
                raise self._error(p, f"a {p.type} as a NumPy array of one element", _describe(a))
            return a

        return convert

    def _integer(self, p: Parameter, dtype: Any) -> Convert:
        make = dtype.type
        low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))

        def convert(a: Any) -> Any:
            if not isinstance(a, (int, np.integer, np.bool_)):
                raise self._error(p, f"an integer ({dtype.name})", _describe(a))
            if not low <= int(a) <= high:
                more = (
                    "; sizes beyond 32 bits are not for this kernel"
                    if dtype.itemsize == 4 and abs(int(a)) > high
                    else ""
                )
                raise self._error(p, f"an integer from {low} to {high} ({dtype.name})", f"{a}{more}")
            return make(a)

        return convert

    def _float(self, p: Parameter, dtype: Any) -> Convert:
        make = dtype.type

        def convert(a: Any) -> Any:
            if not isinstance(a, (int, float, np.integer, np.floating)) or isinstance(a, bool):
                raise self._error(p, f"a number ({dtype.name})", _describe(a))
            return make(a)

        return convert

    def _error(self, p: Parameter, expected: str, got: str) -> LaunchError:
        position = self.signature.parameters.index(p) + 1
        return LaunchError(f"{self}: argument {position}, '{p}', takes {expected}, got {got}")


def _fits(sizes: Sequence[int], most: Sequence[int]) -> bool:
    for n, m in zip(sizes, most):
        if not 1 <= n <= m:
            return False
    return len(sizes) <= 3


def _describe(a: Any) -> str:
    if hasattr(a, "dtype") and hasattr(a, "shape"):
        return f"a {type(a).__module__}.{type(a).__name__} of {a.dtype} and shape {tuple(a.shape)}"
    return f"{a!r} ({type(a).__name__})"
