"""Launching a kernel: the simulator's counterpart of `cupy.RawKernel`."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import native, stream
from .arena import Arena
from .compiler import WATCHERS
from .errors import SimulatorError
from .profile import Launched

if TYPE_CHECKING:
    from .module import RawModule

ORDERS = {"forward": 0, "reverse": 1, "random": 2}
DEFAULT_DYNAMIC_SHARED = 48 << 10
MAX_SHARED = 227 << 10  # of a block on compute capability 9.0 and 10.0
MANY_THREADS = 4096  # in a launch that may be worth the help of other workers


class RawKernel:
    """A kernel that is launched like a `cupy.RawKernel`: ``kernel(grid, block, args, shared_mem=0)``.

    Attributes:
        name: the kernel's name.
        arguments: what each parameter takes.
    """

    def __init__(self, module: RawModule, name: str) -> None:
        self.name, self.module = name, module
        host = native.host()
        self.arguments = module.signature(name)
        self._parameters = (native.Parameter * max(len(self.arguments), 1))()
        for argument, parameter in zip(self.arguments, self._parameters):
            argument.describe(parameter)
        self._order = "forward"
        f = self._function = native.Function()
        f.parameters = len(self.arguments)
        f.parameter = self._parameters
        shared = module.shared_arrays(name)
        self._shared = (ctypes.c_int32 * max(len(shared), 1))(*shared)
        f.shared_arrays = self._shared
        f.shared_count = len(shared)
        f.static_shared = module.shared_bytes(shared)
        f.max_dynamic_shared = DEFAULT_DYNAMIC_SHARED
        f.max_shared = MAX_SHARED
        f.max_threads = module.bound(name)
        f.seed = 1
        f.counted_blocks = module.counted_blocks or 0
        f.only_counted = module.only_counted
        f.workers = 1
        f.run[0], f.kernel[0] = module.worker(0, name)
        self._address = ctypes.addressof(f)
        self._launch, self._launch_values = host.launch, host.launch_values
        # The host library reads the arguments itself unless it can't, or the checker has to know the arrays.
        self._direct = host.reads_objects and module.mode == "fast"
        self._alone = module.workers == 1

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0, **_: Any
    ) -> None:
        """Run the kernel, or record it where the current stream captures.

        Args:
            grid: blocks along x, y, z; those left out are 1.
            block: threads of a block along x, y, z.
            args: an array (or None) for each pointer, a number for each number, an array of bytes for a structure.
            shared_mem: bytes of dynamic shared memory.

        Raises:
            SimulatorError: the arguments or sizes do not fit the kernel, or it has a bug that was caught.
        """
        if stream.capturing and stream.record(self, grid, block, args, shared_mem):
            return
        if type(args) is not tuple:
            args = tuple(args)
        gx, gy, gz = grid if len(grid) == 3 else _three("grid", grid)
        bx, by, bz = block if len(block) == 3 else _three("block", block)
        if not self._alone and 1.0 * gx * gy * gz * bx * by * bz >= MANY_THREADS:
            self._load_workers()
        with self.module.lock:
            answer = native.ARGUMENT
            if self._direct:
                try:
                    answer = self._launch(self._address, id(args), gx, gy, gz, bx, by, bz, shared_mem)
                    if answer >= native.ARGUMENT:
                        # A Python number, often; with its array the launch is as good as any.
                        args = tuple([a.simplify(value) for a, value in zip(self.arguments, args)])
                        answer = self._launch(self._address, id(args), gx, gy, gz, bx, by, bz, shared_mem)
                except ctypes.ArgumentError:
                    answer = native.ARGUMENT
            if answer:
                self._finish(answer, (gx, gy, gz), (bx, by, bz), args, shared_mem)

    def _finish(
        self,
        answer: int,
        grid: tuple[Any, Any, Any],
        block: tuple[Any, Any, Any],
        args: tuple[Any, ...],
        shared_mem: Any,
    ) -> None:
        """Launch with sizes and arguments that take a closer look, or raise what is wrong."""
        gx, gy, gz, bx, by, bz = (_integer(n) for n in (*grid, *block))
        shared_mem = _integer(shared_mem)
        if answer >= native.ARGUMENT:
            answer = self._launch_converted((gx, gy, gz, bx, by, bz), args, shared_mem)
        if answer:
            self._raise(answer, (gx, gy, gz), (bx, by, bz), args, shared_mem)

    @property
    def order(self) -> str:
        """The order in which threads and blocks run: "forward", "reverse", or "random" from `seed`."""
        return self._order

    @order.setter
    def order(self, order: str) -> None:
        if order not in ORDERS:
            raise SimulatorError(f"order is one of {', '.join(ORDERS)}, got {order!r}", kind="argument")
        self._order = order
        self._function.order = ORDERS[order]

    @property
    def seed(self) -> int:
        """The seed of the random order."""
        return int(self._function.seed)

    @seed.setter
    def seed(self, seed: int) -> None:
        self._function.seed = seed

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """The most bytes of dynamic shared memory that a launch may ask for; up to 227 KiB less the static."""
        return int(self._function.max_dynamic_shared)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        most = MAX_SHARED - self.shared_size_bytes
        if not 0 <= size <= most:
            raise SimulatorError(
                f"kernel {self.name}: at most {most} bytes of dynamic shared memory are possible, got {size}",
                kind="sizes",
            )
        self._function.max_dynamic_shared = size

    @property
    def max_threads_per_block(self) -> int:
        """The most threads that a block may have: the kernel's launch bound, else 1024."""
        return int(self._function.max_threads)

    @property
    def shared_size_bytes(self) -> int:
        """Bytes of static shared memory that the kernel declares."""
        return int(self._function.static_shared)

    @property
    def attributes(self) -> dict[str, int]:
        """The attributes that CuPy has too, as far as a CPU has them."""
        return {
            "max_threads_per_block": self.max_threads_per_block,
            "shared_size_bytes": self.shared_size_bytes,
            "max_dynamic_shared_size_bytes": self.max_dynamic_shared_size_bytes,
        }

    def check(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int) -> None:
        """Check a launch without running it.

        Raises:
            SimulatorError: the arguments or sizes do not fit the kernel.
        """
        gx, gy, gz = (_integer(n) for n in _three("grid", grid))
        bx, by, bz = (_integer(n) for n in _three("block", block))
        if len(args) != len(self.arguments):
            self._raise(native.COUNT, (gx, gy, gz), (bx, by, bz), tuple(args), shared_mem)
        for argument, value in zip(self.arguments, args):
            argument.convert(value)
        refused = self._refused((gx, gy, gz), (bx, by, bz), _integer(shared_mem))
        if refused:
            raise SimulatorError(f"kernel {self.name}: {refused}", kind="sizes")

    def compile(self) -> None:
        """Do nothing: a kernel that was got is compiled."""

    def __repr__(self) -> str:
        return f"<simulated kernel {self.name}>"

    def _load_workers(self) -> None:
        for index in range(1, self.module.workers):
            self._function.run[index], self._function.kernel[index] = self.module.worker(index, self.name)
        self._function.workers = self.module.workers
        self._alone = True

    def _launch_converted(self, sizes: Sequence[int], args: tuple[Any, ...], shared_mem: int) -> int:
        if len(args) != len(self.arguments):
            return native.COUNT
        held, arrays = [], []
        values = (ctypes.c_void_p * max(len(args), 1))()
        for i, (argument, value) in enumerate(zip(self.arguments, args)):
            values[i], keep, array = argument.convert(value)
            held.append(keep)
            argument.learn(value, self._parameters[i])
            if array is not None:
                arrays.append((argument, keep, array))
        if self.module.mode not in WATCHERS:
            return int(self._launch_values(self._address, values, *sizes, shared_mem, 0, None))
        profiled = self.module.mode == "profile"
        arena = Arena([array for _, _, array in arrays], [argument for argument, _, _ in arrays], as_on_gpu=profiled)
        for (_, pointer, array), address in zip(arrays, arena.addresses):
            if array.nbytes:
                pointer.value = address
        self._function.paused = paused = self.module.profiles.paused
        answer = int(self._launch_values(self._address, values, *sizes, shared_mem, arena.count, arena.buffers))
        arena.copy_back()
        if profiled and not paused and answer == native.DONE:
            grid, block = (sizes[0], sizes[1], sizes[2]), (sizes[3], sizes[4], sizes[5])
            made = Launched(
                self.name, grid, block, self.shared_size_bytes + shared_mem, self.module.code, self.module.options
            )
            self.module.profiles.append(self.module.counted.launch(made, arena.sizes(), self.module.only_counted))
        return answer

    def _raise(
        self,
        answer: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: tuple[Any, ...],
        shared_mem: int,
    ) -> None:
        if answer == native.COUNT:
            names = ", ".join(a.name or f"argument {a.position + 1}" for a in self.arguments)
            raise SimulatorError(
                f"kernel {self.name} takes {len(self.arguments)} arguments ({names}), got {len(args)}", kind="argument"
            )
        if answer == native.SIZES:
            raise SimulatorError(f"kernel {self.name}: {self._refused(grid, block, shared_mem)}", kind="sizes")
        failure = self._function.failure
        kind, message = failure.kind.decode(), failure.message.decode(errors="replace")
        places = self._places(failure.file, failure.line, failure.pc)
        others = self._places(failure.other_file, failure.other_line, failure.other_pc)
        if others:
            message += "; the other access is at {}:{}".format(*others[0])
        if not places:
            raise SimulatorError(f"{kind} in kernel {self.name}: {message}", kind)
        (file, line), *through = places
        called = "".join(f", called at {f}:{n}" for f, n in through[:3])
        raise SimulatorError(f"{file}:{line}{called}: {kind} in kernel {self.name}: {message}", kind, file, line)

    def _places(self, file: bytes, line: int, pc: int) -> list[tuple[str, int]]:
        """Where something happened, innermost first: at a place that is known, or at an instruction."""
        if file:
            return [(file.decode(errors="replace").rpartition("/")[2], line)]
        return self.module.place(pc) if pc else []

    def _refused(self, grid: tuple[int, int, int], block: tuple[int, int, int], shared_mem: int) -> str:
        """What is wrong with the sizes of a launch; empty if nothing is."""
        threads = math.prod(block)
        if min(grid) < 1 or grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
            return f"a grid of {grid} blocks; a grid has from 1 to (2147483647, 65535, 65535)"
        if min(block) < 1 or max(block) > 1024 or block[2] > 64 or threads > 1024:
            return f"blocks of {block} threads; a block has from 1 to (1024, 1024, 64), and at most 1024 in all"
        if threads > self.max_threads_per_block:
            return f"blocks of {threads} threads, and its __launch_bounds__ allows {self.max_threads_per_block}"
        if not 0 <= shared_mem <= self.max_dynamic_shared_size_bytes:
            return (
                f"{shared_mem} bytes of dynamic shared memory, and {self.max_dynamic_shared_size_bytes} are allowed; "
                f"max_dynamic_shared_size_bytes can be raised to {MAX_SHARED - self.shared_size_bytes}"
            )
        if shared_mem + self.shared_size_bytes > MAX_SHARED:
            return (
                f"{shared_mem} bytes of dynamic and {self.shared_size_bytes} of static shared memory, and a block has "
                f"{MAX_SHARED}"
            )
        return ""


def _three(what: str, sizes: Sequence[int]) -> tuple[int, int, int]:
    if not 1 <= len(sizes) <= 3:
        raise SimulatorError(f"a {what} has from one to three sizes, got {tuple(sizes)}", kind="sizes")
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def _integer(n: Any) -> int:
    try:
        return int(n.__index__())
    except AttributeError:
        raise SimulatorError(f"sizes are integers, got {n!r} ({type(n).__name__})", kind="sizes") from None
