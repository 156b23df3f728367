"""The machine code of compiled kernels, by NVIDIA's disassembler `nvdisasm`: it needs neither a GPU nor a driver.

Its text has opcodes and operands, source lines, and where the functions that they are in were inlined. Two things that
it leaves out are read from the cubin itself, which is an ELF file:

- the control word of each instruction, the upper bits of its 128: from bit 105 on four bits of cycles that the
  scheduler waits before the warp's next instruction, one of yielding, three each for the barrier that its result and
  its reading of operands is awaited at (7: none), six for the barriers that it waits at (Jia et al. 2018, "Dissecting
  the NVIDIA Volta GPU Architecture via Microbenchmarking", section 2.1; Turing to Blackwell kept them, as their
  disassemblies show);
- where indirect branches (`switch`) may go: attribute 0x34 of the section ``.nv.info.<kernel>``, for each of them its
  address, a zero, the number of targets, the targets.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpunn.backend import compiled
from gpunn.backend.cache import cache_folder
from gpunn.backend.simulator.elf import Elf

INSTALL = "pip install nvidia-cuda-nvdisasm (or 'gpunn[profile]')"
BYTES = 16
"""Of an instruction, from Volta on."""
_INDIRECT_TARGETS = 0x34
_NONE = 7  # no barrier
_WITH_SIZE = 4  # the format of an attribute that has a size and as many bytes
WRAPPERS = "ptx.cuh", "ptx_sm90.cuh"
"""The headers of inline PTX. What it does has the line that calls its wrapper, for the simulator as well."""
_SECTION = re.compile(r"\s*\.section\s+\.text\.([^,]+),")
_LINE = re.compile(r'\s*//## File "([^"]*)", line (\d+)')
_INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:(@\S+) )?\s*(\S+) *(.*?)\s*(?:\(\*.*\*\)\s*)?;")
_BETWEEN = re.compile(r" ?, *| +")
_LABEL = re.compile(r"(\.L_\S+):")
_JUMP = re.compile(r"`\((.*?)\)")
_Line = tuple[str, str, str, str, int]  # opcode, operands, predicate, file, line


class DisassemblerMissing(RuntimeError):
    """There is no nvdisasm on this machine; the message says what to install."""


@dataclass(frozen=True)
class Instruction:
    """One machine instruction.

    Attributes:
        opcode: with its modifiers, such as ``"LDG.E.128"``.
        operands: as the disassembler writes them, with commas and no spaces between them.
        predicate: such as ``"@!P0"``: only then it is executed; empty: always.
        file: the source file's name; empty where the cubin has no line information.
        line: the line in it, of the innermost function where calls were inlined; of inline PTX that of the call.
        stall: cycles until the warp may issue its next instruction, at the least; what memory and other results of
            variable latency add is not in it.
        result: the barrier that is free when its result is there, where its latency varies; None: it has none.
        reading: the barrier that is free when it has read its operands; likewise.
        waits: the barriers that it waits for, as bits.
    """

    opcode: str
    operands: str = ""
    predicate: str = ""
    file: str = ""
    line: int = 0
    stall: int = 0
    result: int | None = None
    reading: int | None = None
    waits: int = 0

    @property
    def name(self) -> str:
        """The opcode without modifiers."""
        return self.opcode.partition(".")[0]


@dataclass(frozen=True)
class Code:
    """The instructions of a kernel, 16 bytes each, in the order of their addresses.

    Attributes:
        name: of the kernel, as in the cubin: C++ names are mangled.
        instructions: all of them, from address 0.
        targets: where indirect branches may go, by the branch; numbers of instructions.
        functions: the functions that were not inlined and lie behind the kernel, such as slow paths of division: their
            names, by their first instruction.
    """

    name: str
    instructions: tuple[Instruction, ...]
    targets: dict[int, tuple[int, ...]]
    functions: dict[int, str]


def disassemble(cubin: bytes) -> dict[str, Code]:
    """The code of each kernel of a cubin, by name.

    What nvdisasm writes, which takes it half a second for the smallest cubin, is remembered in
    `gpunn.backend.cache.cache_folder`.

    Raises:
        DisassemblerMissing: there is no nvdisasm.
        RuntimeError: it does not read this cubin, with its words.
    """
    kept = cache_folder("nvdisasm") / hashlib.sha256(f"{version()} text\0".encode() + cubin).hexdigest()
    found = compiled.load(kept)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "code.cubin"
        file.write_bytes(cubin)
        if found is None:
            done = subprocess.run([path(), "-c", "-gi", str(file)], capture_output=True)
            if done.returncode:
                raise RuntimeError(f"{path()} failed: {(done.stderr or done.stdout).decode(errors='replace').strip()}")
            found = "", done.stdout
            compiled.store(kept, *found)
        elf = Elf(file)
        return {name: _code(name, lines, elf) for name, lines in read(found[1].decode()).items()}


def read(text: str) -> dict[str, list[_Line]]:
    """What `nvdisasm -c -gi` wrote of a cubin: of each function the instructions, with the file and line of each."""
    found: dict[str, list[_Line]] = {}
    own: list[_Line] = []
    labels: dict[str, int] = {}
    chain: list[tuple[str, int]] = []  # the innermost line, where that was inlined, and so on; it holds until the next
    complete = True
    for row in text.splitlines():
        if instruction := _INSTRUCTION.match(row):
            complete = True
            predicate, opcode, operands = instruction.groups("")
            place = next((place for place in chain if place[0] not in WRAPPERS), chain[0] if chain else ("", 0))
            own.append((opcode, _BETWEEN.sub(",", operands), predicate, *place))
        elif line := _LINE.match(row):
            chain = [*([] if complete else chain), (Path(line[1]).name, int(line[2]))]
            complete = False
        elif label := _LABEL.match(row):
            labels[label[1]] = len(own) * BYTES
        elif section := _SECTION.match(row):
            own, chain = found.setdefault(section[1], []), []

    def where(jump: re.Match[str]) -> str:
        return hex(labels[jump[1]]) if jump[1] in labels else jump[1]

    return {
        name: [
            (opcode, _JUMP.sub(where, operands), predicate, file, line)
            for opcode, operands, predicate, file, line in lines
        ]
        for name, lines in found.items()
    }


def _code(name: str, lines: list[_Line], cubin: Elf) -> Code:
    section = f".text.{name}"
    controls = _controls(cubin.content(section))
    instructions = tuple(Instruction(*line, *control) for line, control in zip(lines, controls, strict=True))
    functions = {
        s.value // BYTES: s.name
        for s in cubin.symbols
        if s.section and s.name.startswith("$") and cubin.sections[s.section].name == section
    }
    return Code(name, instructions, dict(_indirect(cubin.content(f".nv.info.{name}"))), functions)


def _controls(text: bytes) -> Iterator[tuple[int, int | None, int | None, int]]:
    """Of each instruction: stall, barriers of the result and of reading, barriers that it waits for."""
    for (high,) in struct.iter_unpack("<8xQ", text):
        word = high >> (105 - 64)
        result, reading = word >> 5 & 7, word >> 8 & 7
        yield word & 15, None if result == _NONE else result, None if reading == _NONE else reading, word >> 11 & 63


def _indirect(info: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The indirect branches of a kernel's attributes, with their targets."""
    at = 0
    while at < len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != _WITH_SIZE:
            continue
        if attribute == _INDIRECT_TARGETS:
            words = list(struct.unpack_from(f"<{size // 4}I", info, at))
            while words:
                branch, _, count = words[:3]
                yield branch // BYTES, tuple(target // BYTES for target in words[3 : 3 + count])
                del words[: 3 + count]
        at += size


# The program --------------------------------------------------------------------------------------------------------


@cache
def path() -> str:
    """The program: NVIDIA's wheel's, else that of a CUDA toolkit, else what is in the search path.

    Raises:
        DisassemblerMissing: it is in none of these places.
    """
    wheels = importlib.util.find_spec("nvidia")
    folders = [f"{folder}/cu13/bin" for folder in (wheels.submodule_search_locations or ())] if wheels else []
    toolkits = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    folders += [f"{toolkit}/bin" for toolkit in toolkits if toolkit]
    found = shutil.which("nvdisasm", path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        raise DisassemblerMissing(f"nvdisasm, NVIDIA's disassembler, was not found; {INSTALL}")
    return found


@cache
def version() -> str:
    """The disassembler's version, such as "13.5".

    Raises:
        DisassemblerMissing: there is none.
    """
    said = subprocess.run([path(), "--version"], capture_output=True, text=True).stdout
    match = re.search(r"release (\d+\.\d+)", said)
    return match[1] if match else "of unknown version"
