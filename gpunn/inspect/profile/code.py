"""What NVIDIA's compiler made of a kernel: its machine code, counted, on any machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gpunn.backend import nvrtc
from gpunn.backend.kernel_texts import kernel_folder, kernel_names, kernel_text
from gpunn.backend.launch import C_TYPES, check_types
from gpunn.backend.nvrtc import Compiled, Job, Source, Usage
from gpunn.backend.signature import type_choices
from gpunn.backend.simulator.profile import Launched
from gpunn.backend.simulator.source import included

from ..kernels import check_architecture
from . import disassembler
from .disassembler import Code, Instruction
from .flow import basic_blocks, loops
from .kinds import kind

OLDEST = 75
"""The oldest architecture whose machine code the disassembler of CUDA 13 reads."""


@dataclass(frozen=True)
class LoopCode:
    """One pass through an innermost loop, with every branch within taken as executed.

    Attributes:
        file: the source file that most of its instructions come from.
        lines: the first and the last line in that file; (0, 0) where the cubin has no line information.
        instructions: how many there are.
        stall_cycles: the sum of their stall counts: a warp takes at least these cycles to issue them all.
        kinds: how many there are of each kind (see `gpunn.inspect.profile.kinds.kind`), most first.
    """

    file: str
    lines: tuple[int, int]
    instructions: int
    stall_cycles: int
    kinds: dict[str, int]


@dataclass(frozen=True)
class KernelCode:
    """What the compiler made of a kernel.

    Attributes:
        text: the file.
        kernel: the kernel's name.
        types: the type of each name that the text leaves open.
        arch: the architecture, such as ``"sm_90"``.
        nvrtc: the compiler's version.
        nvdisasm: the disassembler's version.
        usage: registers, stack, spills, static shared memory.
        instructions: all that can be reached.
        blocks: the number of basic blocks.
        loops: the number of loops.
        kinds: how many instructions there are of each kind, most first.
        innermost: the innermost loops, the one of most instructions first.
    """

    text: str
    kernel: str
    types: dict[str, str]
    arch: str
    nvrtc: str
    nvdisasm: str
    usage: Usage
    instructions: int
    blocks: int
    loops: int
    kinds: dict[str, int]
    innermost: list[LoopCode]

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, strings and numbers."""
        return asdict(self)


def kernel_code(file: str, kernel: str, arch: str = "sm_90", types: dict[str, str] | None = None) -> KernelCode:
    """Compile a kernel and count its machine code.

    Args:
        file: a file of one's own, or the name of one of gpunn's kernel texts, such as ``"softmax.cu"``.
        kernel: the kernel's name in it.
        arch: the architecture, such as ``"sm_90"``.
        types: the type of each name that the text leaves open, such as ``{"scalar_t": "float32"}``; of those that are
            not given, the first that the text says it is compiled for.

    Raises:
        ValueError: there is no such file, kernel, type or architecture; the message lists those there are.
        CompileError: the text does not compile.
        NvrtcMissing: there is no compiler; the message says what to install.
        DisassemblerMissing: there is no disassembler; likewise.
    """
    _check(arch)
    made = _compiled(file, arch, types or {})
    return _counted(made, *_kernel(made, kernel), kernel)


def launched_code(launch: Launched, arch: str) -> tuple[Code, Usage]:
    """The machine code of a kernel that was launched on the simulator, and what it takes.

    Args:
        launch: the launch.
        arch: the architecture to compile for, such as ``"sm_90"``.

    Raises:
        ValueError: there is no such architecture.
        CompileError: the text does not compile.
        NvrtcMissing: there is no compiler; the message says what to install.
        DisassemblerMissing: there is no disassembler; likewise.
    """
    _check(arch)
    named = re.match(r'#line 1 "([^"]*)"', launch.code)
    folders = tuple(Path(option[2:]) for option in launch.options if option.startswith("-I"))
    headers = tuple(text for _, text in sorted(included(launch.code, folders)))
    defines = ("-std=c++17", *(option for option in launch.options if option.startswith(("-D", "-U"))))
    source = Source(Job(named[1] if named else "kernel.cu", (), arch), launch.code, headers, folders, True, defines)
    return _kernel(nvrtc.compile_source(source), launch.kernel)


def _check(arch: str) -> None:
    check_architecture(arch)
    if int(arch.removeprefix("sm_")) < OLDEST:
        raise ValueError(f"the machine code of {arch} is not read; that of sm_{OLDEST} and newer is")


@lru_cache(256)
def _codes(cubin: bytes) -> dict[str, Code]:
    return disassembler.disassemble(cubin)


def _kernel(made: Compiled, kernel: str) -> tuple[Code, Usage]:
    disassembler.path()  # it may be missing although the answer is known
    codes = _codes(made.cubin)
    name = _find(kernel, list(codes), made.job.text)
    return codes[name], made.kernels[name]


def text_of(file: str) -> tuple[Path, str, tuple[Path, ...]]:
    """The path, the text and the folders of headers of a file of one's own, or of one of gpunn's kernel texts.

    Raises:
        ValueError: there is no such file; the message lists the texts that there are.
    """
    path = Path(file)
    if path.is_file() and path.resolve().parent != kernel_folder():
        try:
            return path, path.read_text(encoding="utf-8-sig"), (path.resolve().parent, kernel_folder())
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is no text in UTF-8 (byte {error.start}); save it as that") from None
    if path.name not in kernel_names():
        texts = ", ".join(name for name in kernel_names() if name.endswith(".cu"))
        raise ValueError(f"there is no file {file!r}, and no kernel text of that name; there are: {texts}")
    return path, kernel_text(path.name), (kernel_folder(),)


def _compiled(file: str, arch: str, types: dict[str, str]) -> Compiled:
    path, code, folders = text_of(file)
    own = len(folders) > 1
    choices = type_choices(code)
    types = {variable: names[0] for variable, names in choices.items()} | types
    if choices or not own:
        check_types(path.name, code, types)
    if unknown := set(types.values()) - C_TYPES.keys():
        raise ValueError(f"there is no type {', '.join(sorted(unknown))}; there are {', '.join(C_TYPES)}")
    job = Job(path.name, tuple(sorted(types.items())), arch)
    source = _own_source(code, job, folders) if own else nvrtc.source_of(job)
    return nvrtc.compile_source(source._replace(lines=True))


def _own_source(code: str, job: Job, folders: tuple[Path, ...]) -> Source:
    """A text of the user's own: it may include headers beside it, and those of gpunn."""
    return Source(job, code, tuple(text for _, text in sorted(included(code, folders))), folders)


def _find(kernel: str, names: Sequence[str], text: str) -> str:
    """The name that a kernel has in the cubin: its own, or one that C++ has mangled."""
    for name in names:
        if name == kernel or name.startswith(f"_Z{len(kernel)}{kernel}"):
            return name
    raise ValueError(f"{text} has no kernel {kernel!r}; it has {', '.join(sorted(names)) or 'none'}")


def _counted(made: Compiled, code: Code, usage: Usage, kernel: str) -> KernelCode:
    blocks = basic_blocks(code)
    found = loops(blocks)
    parts = [code.instructions[block.first : block.end] for block in blocks]
    innermost = [_loop([i for b in loop.blocks for i in parts[b]]) for loop in found if loop.innermost]
    reached = [i for part in parts for i in part]
    return KernelCode(
        text=made.job.text,
        kernel=kernel,
        types=dict(made.job.types),
        arch=made.job.arch,
        nvrtc=".".join(map(str, nvrtc.version())),
        nvdisasm=disassembler.version(),
        usage=usage,
        instructions=len(reached),
        blocks=len(blocks),
        loops=len(found),
        kinds=_kinds(reached),
        innermost=sorted(innermost, key=lambda loop: -loop.instructions),
    )


def _loop(instructions: list[Instruction]) -> LoopCode:
    file = Counter(i.file for i in instructions).most_common(1)[0][0]
    lines = [i.line for i in instructions if i.file == file]
    stalls = sum(i.stall for i in instructions)
    return LoopCode(file, (min(lines), max(lines)), len(instructions), stalls, _kinds(instructions))


def _kinds(instructions: list[Instruction]) -> dict[str, int]:
    return dict(Counter(map(kind, instructions)).most_common())
