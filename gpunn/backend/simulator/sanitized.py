"""The mode "asan": kernels under GCC's address sanitizer, in a process of their own.

The sanitizer has to be in a process from its start, and it ends the process at the first bug. So a module's kernels run
in a child, which gets the arrays and sends them back. What it sees beyond the mode "check" are local arrays of a
thread, reached by a pointer; of races and undefined values it sees nothing.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from . import compiler
from .errors import SimulatorError
from .function import RawKernel

if TYPE_CHECKING:
    from .module import RawModule

_OPTIONS = "detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:use_sigaltstack=0"
_REPORT = re.compile(r"ERROR: AddressSanitizer: (?P<kind>[\w-]+)(?P<rest>[^\n]*)")
_FRAME = re.compile(r"^\s+#\d+ 0x[0-9a-f]+ in .*? (?P<file>[^\s:]+):(?P<line>\d+)(?::\d+)?$", re.MULTILINE)
_ACCESS = re.compile(r"^(READ|WRITE) of size (\d+)", re.MULTILINE)


class Child:
    """The process that runs the kernels of a module. It is started at the first launch, and again after each bug."""

    def __init__(self, code: str, options: Sequence[str], names: Sequence[str]) -> None:
        self._module = {"code": code, "options": tuple(options), "name_expressions": list(names)}
        self._process: subprocess.Popen[bytes] | None = None
        self._report: IO[bytes] | None = None

    def run(self, launch: dict[str, Any]) -> list[np.ndarray | None]:
        """Launch a kernel.

        Args:
            launch: what `_launch` takes.

        Returns:
            The arrays among the arguments, as the kernel left them; None for other arguments.

        Raises:
            SimulatorError: the kernel has a bug that was caught.
        """
        process = self._started()
        assert process.stdin and process.stdout
        try:
            pickle.dump(launch, process.stdin)
            process.stdin.flush()
            answer: list[np.ndarray | None] | SimulatorError = pickle.load(process.stdout)  # noqa: S301 (our own child's)
        except (EOFError, BrokenPipeError):
            raise self._buried(launch["name"]) from None
        if isinstance(answer, SimulatorError):
            self.close()
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
            self._process = None
        if self._report is not None:
            self._report.close()
            self._report = None

    def __del__(self) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._report = tempfile.TemporaryFile()  # noqa: SIM115, it is closed with the child
            package = str(Path(__file__).resolve().parents[3])
            path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gpunn.backend.simulator.sanitized"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._report,
                env={**os.environ, "LD_PRELOAD": _library(), "ASAN_OPTIONS": _OPTIONS, "PYTHONPATH": path},
            )
            assert self._process.stdin
            pickle.dump(self._module, self._process.stdin)
        return self._process

    def _buried(self, name: str) -> SimulatorError:
        """What the sanitizer has reported of the process that it ended."""
        assert self._process and self._report
        self._process.wait()
        self._report.seek(0)
        text = self._report.read().decode(errors="replace")
        self.close()
        report = _REPORT.search(text)
        if report is None:
            return SimulatorError(f"the process of kernel {name} ended:\n{text[-3000:]}", kind="process")
        access = _ACCESS.search(text)
        what = f"{access[2]}-byte {access[1].lower()}, " if access else ""
        kind = "out of bounds" if "overflow" in report["kind"] or "underflow" in report["kind"] else report["kind"]
        message = f"{kind} in kernel {name}: {what}{report['kind']} (address sanitizer)"
        frames = [
            (Path(f["file"]).name, int(f["line"]))
            for f in _FRAME.finditer(text[report.end() :])
            if not (compiler.RUNTIME / Path(f["file"]).name).exists()
        ]
        if not frames:
            return SimulatorError(message, kind)
        file, line = frames[0]
        return SimulatorError(f"{file}:{line}: {message}", kind, file, line)


def _library() -> str:
    found = subprocess.run([*compiler.command(), "-print-file-name=libasan.so"], capture_output=True, text=True)
    path = found.stdout.strip()
    if not os.path.isabs(path):
        raise SimulatorError("the compiler has no address sanitizer: install libasan", kind="compiler")
    return path


class SanitizedKernel(RawKernel):
    """A kernel whose launches run in the child."""

    def __init__(self, twin: RawModule, name: str, child: Child) -> None:
        twin.compile()
        super().__init__(twin, name)
        self._child = child

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0, **_: Any
    ) -> None:
        """Run the kernel; as in `RawKernel`."""
        self.check(grid, block, args, shared_mem)
        launch = {
            "name": self.name,
            "grid": tuple(grid),
            "block": tuple(block),
            "args": tuple(args),
            "shared_mem": shared_mem,
            "order": self.order,
            "seed": self.seed,
            "max_dynamic": self.max_dynamic_shared_size_bytes,
        }
        for before, after in zip(args, self._child.run(launch)):
            if after is not None and before.flags.writeable:
                before[...] = after


def _launch(module: RawModule, launch: dict[str, Any]) -> list[np.ndarray | None]:
    """In the child: run a kernel on copies of the arrays that the sanitizer knows the ends of."""
    kernel = module.get_function(launch["name"])
    kernel.order, kernel.seed = launch["order"], launch["seed"]
    kernel.max_dynamic_shared_size_bytes = launch["max_dynamic"]
    arrays = [_guarded(value) if isinstance(value, np.ndarray) and value.nbytes else None for value in launch["args"]]
    args = [value if array is None else array for value, array in zip(launch["args"], arrays)]
    kernel(launch["grid"], launch["block"], args, shared_mem=launch["shared_mem"])
    return arrays


def _guarded(array: np.ndarray) -> np.ndarray:
    """A copy of an array in a block of memory that the sanitizer's allocator has made for it alone."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    memory = (ctypes.c_char * array.nbytes).from_address(libc.malloc(array.nbytes))
    copy = np.frombuffer(memoryview(memory), np.uint8).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def main() -> None:
    """The child: take launches until there are no more."""
    from .module import RawModule

    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a kernel prints
    module = RawModule(**pickle.load(source), mode="asan", workers=1)  # noqa: S301 (our own parent's)
    module.sanitized = True
    while True:
        try:
            launch = pickle.load(source)  # noqa: S301
        except EOFError:
            return
        try:
            answer: Any = _launch(module, launch)
        except SimulatorError as error:
            answer = error
        pickle.dump(answer, target)
        target.flush()


if __name__ == "__main__":
    main()
