"""Kernel texts through NVIDIA's own compiler on any machine: NVRTC needs neither a GPU nor a driver.

So the real compiler's errors are known everywhere, and what `ptxas` says of each kernel: its registers, its shared
memory, and whether it spills registers into memory, which costs more than anything that a kernel can win.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from . import compiled, cuda_library
from .cache import cache_folder
from .kernel_texts import included_headers, kernel_folder, kernel_text
from .launch import Text, check_types, compile_options
from .lost_negation import lost_negations
from .signature import alone, only_architecture

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
"""Those that gpunn is made for: Turing, Ampere (two), Ada, Hopper, Blackwell (two)."""
PREFERRED = (12, 13)
"""The versions of CUDA whose NVRTC is taken where any will do: with that of CUDA 12.9 no kernel spills."""
INSTALL = "pip install nvidia-cuda-nvrtc-cu12 (or nvidia-cuda-nvrtc for CUDA 13)"


class NvrtcMissing(RuntimeError):
    """There is no NVRTC on this machine; the message says what to install."""


class CompileError(RuntimeError):
    """A text does not compile. The message has file, line and the compiler's words."""


@dataclass(frozen=True)
class Usage:
    """What one kernel takes: registers a thread; bytes of stack, of spilled registers stored and loaded again (the
    instructions' sizes, as `ptxas` counts them), and of static shared memory a block.
    """

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int

    @property
    def spills(self) -> bool:
        """Whether registers are kept in memory for want of room."""
        return bool(self.spill_stores or self.spill_loads)


class Job(NamedTuple):
    """One compilation: a text, the type of each name that it leaves open, as (name, type), an architecture, and which
    kernel of the text; empty: all of them.
    """

    text: str
    types: tuple[tuple[str, str], ...]
    arch: str
    kernel: str = ""

    @classmethod
    def of(cls, text: Text, arch: str) -> Job:
        """That of what launches need."""
        return cls(text.name, text.types, arch, text.kernel)

    def __str__(self) -> str:
        what = f"{self.text}:{self.kernel}" if self.kernel else self.text
        return " ".join((what, *(f"{variable}={name}" for variable, name in self.types), self.arch))


class Source(NamedTuple):
    """All that a compilation depends on, beside the compiler.

    Attributes:
        job: the text's name, types and architecture.
        code: the text.
        headers: the texts of the headers that it includes.
        folders: where those lie.
        lines: whether the cubin is to say which line of the text each instruction comes from.
        defines: further options, ``-D``.
    """

    job: Job
    code: str
    headers: tuple[str, ...]
    folders: tuple[Path, ...]
    lines: bool = False
    defines: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The compiler's options, but for the folders.

        Raises a CompileError if the text is made for another architecture alone.
        """
        only = only_architecture(self.code)
        if not is_made_for(only, self.job.arch):
            raise CompileError(f"{self.job.text} is made for {only} alone, and can't be compiled for {self.job.arch}")
        options = (
            *compile_options(dict(self.job.types)),
            *self.defines,
            f"-arch={only or self.job.arch}",
            "--ptxas-options=-v",
        )
        return (*options, "-lineinfo") if self.lines else options


@dataclass(frozen=True)
class Compiled:
    """A text compiled for one choice of types and one architecture.

    Attributes:
        job: what was compiled.
        cubin: the machine code, or for a virtual architecture PTX.
        log: the compiler's warnings and `ptxas`'s report.
        kernels: what each kernel takes, by name.
    """

    job: Job
    cubin: bytes
    log: str = field(compare=False)
    kernels: dict[str, Usage]

    @property
    def warnings(self) -> list[str]:
        """The compiler's warnings, a line each."""
        return [line for line in _with_lines(self.log).splitlines() if ": warning" in line]


def compile_text(name: str, types: dict[str, str], arch: str, major: int | None = None) -> Compiled:
    """Compile all kernels of a text, with the options that `gpunn.backend.launch` uses; as `compile_job`.

    Args:
        name: the file, such as ``"linear.cu"``.
        types: the type of each name that the text leaves open, such as ``{"scalar_t": "float32"}``.
        arch: the architecture, such as ``"sm_90"``, or a virtual one, ``"compute_90"``, whose PTX the driver compiles.
        major: see `compile_job`.
    """
    return compile_job(Job(name, tuple(sorted(types.items())), arch), major)


def compile_job(job: Job, major: int | None = None) -> Compiled:
    """Compile a text, or one kernel of it.

    Results are remembered in `gpunn.backend.cache.cache_folder` by all that they depend on, so that a text that did not
    change costs nothing. Several threads may call this at once.

    Args:
        job: what to compile.
        major: of CUDA, whose NVRTC is to compile; by default the first of `PREFERRED` that there is.

    Raises:
        CompileError: the text does not compile, or not for this architecture, or this NVRTC does not know it.
        ValueError: there is no such text, or it is not made for these types.
        NvrtcMissing: there is no NVRTC.
    """
    check_types(job.text, kernel_text(job.text), dict(job.types))
    return compile_source(source_of(job), major)


def source_of(job: Job) -> Source:
    """What a compilation of one of gpunn's kernel texts depends on.

    Raises:
        ValueError: there is no such text.
    """
    headers = tuple(map(kernel_text, included_headers(job.text)))
    code = kernel_text(job.text)
    return Source(job, alone(code, job.kernel) if job.kernel else code, headers, (kernel_folder(),))


def compile_source(source: Source, major: int | None = None) -> Compiled:
    """Compile any text, as `compile_job` does.

    Raises:
        CompileError: the text does not compile, or this NVRTC does not know the architecture.
        NvrtcMissing: there is no NVRTC.
    """
    job, stored = source.job, _stored(source, major)
    found = compiled.load(stored)
    if found is None:
        code = f'#line 1 "{job.text}"\n{source.code}'
        folders = (f"-I{folder}" for folder in source.folders)
        try:
            found = _library(major).compile(job.text, code, (*source.options, *folders))
        except CompileError as error:
            raise CompileError(f"{job} does not compile:\n{_with_lines(str(error))}") from None
        compiled.store(stored, *found)
    log, cubin = found
    return Compiled(job, cubin, log, read_usage(log))


def is_kept(job: Job, major: int | None = None) -> bool:
    """Whether the result is there from an earlier time.

    Args:
        job: a compilation.
        major: see `compile_job`.

    Raises:
        NvrtcMissing: there is no NVRTC.
    """
    return _stored(source_of(job), major).exists()


def is_made_for(only: str, arch: str) -> bool:
    """Whether a text that is made for `only` alone, if that is not empty, is compiled for this architecture."""
    return not only or only[:-1] == arch


def compile_all(
    wanted: Sequence[Job], on_done: Callable[[Job], None] | None = None, major: int | None = None
) -> dict[Job, Compiled | CompileError]:
    """Compile all of these at once, on all cores; what does not compile comes as its error.

    Args:
        wanted: what to compile.
        on_done: called after each one, in this thread.
        major: see `compile_job`.

    Raises:
        NvrtcMissing: there is no NVRTC.
    """
    results: dict[Job, Compiled | CompileError] = {}
    version(major)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = {pool.submit(compile_job, job, major): job for job in wanted}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, CompileError):
                    raise error
                results[futures[future]] = error or future.result()
                if on_done is not None:
                    on_done(futures[future])
        finally:
            pool.shutdown(cancel_futures=True)
    return {job: results[job] for job in wanted}


def read_usage(log: str) -> dict[str, Usage]:
    """What each kernel takes, from what `ptxas -v` wrote. Functions that were not inlined count with their kernel."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        stacks = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        stack, stores, loads = (sum(column) for column in zip(*(map(int, s) for s in stacks)))
        registers = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        assert registers is not None, part
        found[part.split("'")[0]] = Usage(int(registers[1]), stack, stores, loads, int(shared[1]) if shared else 0)
    return dict(sorted(found.items()))


def _with_lines(log: str) -> str:
    """The compiler's "file(line):" as "file:line:"."""
    return re.sub(r"^(\S+)\((\d+)\): ", r"\1:\2: ", log, flags=re.MULTILINE).strip()


# The library --------------------------------------------------------------------------------------------------------


def version(major: int | None = None) -> tuple[int, int]:
    """NVRTC's version.

    Raises:
        NvrtcMissing: there is none.
    """
    return _library(major).version


def path(major: int | None = None) -> str:
    """NVRTC's file.

    Raises:
        NvrtcMissing: there is none.
    """
    return _library(major).path


def known_architectures(major: int | None = None) -> tuple[str, ...]:
    """The architectures that this NVRTC compiles for.

    Raises:
        NvrtcMissing: there is no NVRTC.
    """
    return _library(major).architectures


def architecture(capability: int, major: int | None = None) -> str:
    """What to compile for on a device: its own architecture, or PTX where it is newer than this NVRTC.

    Args:
        capability: the device's compute capability, such as 90 for 9.0.
        major: see `compile_job`.

    Raises:
        NvrtcMissing: there is no NVRTC.
        CompileError: the device is older than all that this NVRTC compiles for.
    """
    known = sorted(int(arch.removeprefix("sm_")) for arch in known_architectures(major))
    if capability in known:
        return f"sm_{capability}"
    older = [arch for arch in known if arch < capability]
    if not older:
        own, first = (f"{c // 10}.{c % 10}" for c in (capability, known[0]))
        raise CompileError(f"the device has compute capability {own}; this NVRTC compiles for {first} and newer")
    return f"compute_{older[-1]}"


@cache
def _library(major: int | None) -> _Nvrtc:
    try:
        return cuda_library.first_working("nvrtc", PREFERRED if major is None else (major,), _Nvrtc)
    except cuda_library.LibraryMissing as error:
        which = "" if major is None else f" of CUDA {major}"
        raise NvrtcMissing(f"NVRTC{which}, the CUDA compiler, was not found; {INSTALL} ({error})") from None


class _Nvrtc:
    """The library, through ctypes, which lets other threads run while it compiles.

    Raises:
        RuntimeError: it is there, but compiles nothing.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.c, self.path = library, library._name
        self.c.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        self.architectures = tuple(f"sm_{n}" for n in numbers)
        self.compile("empty.cu", "", (f"-arch={self.architectures[0]}",))

    def compile(self, name: str, code: str, options: Sequence[str]) -> tuple[str, bytes]:
        """The log and the cubin (or PTX); CompileError with the log if there is none."""
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), code.encode(), name.encode(), 0, None, None)
        try:
            array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = self.c.nvrtcCompileProgram(program, len(options), array)
            log = self._bytes("ProgramLog", program).rstrip(b"\0").decode(errors="replace")
            if failed:
                raise CompileError(log or self.c.nvrtcGetErrorString(failed).decode())
            virtual = any(option.startswith("-arch=compute_") for option in options)
            ptx = self._bytes("PTX", program).rstrip(b"\0")
            if lost := lost_negations(ptx.decode()):
                raise CompileError(
                    f"{name}: {', '.join(lost)}: a maximum or minimum of three integers, of which one is negated; "
                    "ptxas of CUDA 12.9 and 13.0 loses the sign, see gpunn.backend.lost_negation. If a loop goes down "
                    "between two bounds, let it go up"
                )
            return log, ptx if virtual else self._bytes("CUBIN", program)
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _bytes(self, what: str, program: Any) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self.c, function)(*arguments)
        if code:
            raise RuntimeError(f"{function}: {self.c.nvrtcGetErrorString(code).decode()}")


def _stored(source: Source, major: int | None) -> Path:
    """Where a result is kept, by all that it depends on, and by no folder: machines may share results."""
    texts = (source.job.text, source.code, *source.headers)
    key = "\0".join((*texts, *source.options, str(version(major))))
    return cache_folder("nvrtc") / hashlib.sha256(key.encode()).hexdigest()
