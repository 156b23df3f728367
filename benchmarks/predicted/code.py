"""What NVIDIA's compiler makes of each kernel: its registers, its memory, its machine code. No GPU is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gpunn.backend import nvrtc
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.signature import signatures, type_choices
from gpunn.inspect.profile import disassembler, occupancy
from gpunn.inspect.profile.disassembler import Code, Instruction
from gpunn.inspect.profile.flow import basic_blocks, loops
from gpunn.inspect.profile.kinds import kind

from . import chains
from .table import NONE, Column, Layout, Row, less, more, narrower

TITLE = "What the compiler makes of each kernel; README.md says what the columns are."
LAYOUT = Layout(
    ("kernel", "types", "arch"),
    (
        Column("registers", more),
        Column("shared", more),
        Column("stack", more),
        Column("spilled", more),
        Column("warps", less),
        Column("code"),
        Column("fp64", more),
        Column("switches", more),
        Column("barriers", more),
        Column("loads", narrower),
        Column("readonly %", less),
        Column("stores", narrower),
        Column("loop"),
        Column("arithmetic %", less),
        Column("FFMA %", less),
        Column("special %", more),
        Column("shared loads", narrower),
    ),
)
NEWEST, OTHER = "sm_90", "sm_86"
USUAL = ("float32", "int32", "int64")
"""The types that every text is compiled for: the first of these that it is made for."""
HALF = {"scalar_t": "bfloat16", "element_t": "int16"}
TRAINING = (
    *("activation.cu", "batch_norm.cu", "batch_norm_backward.cu", "binary.cu", "copy.cu", "dropout.cu", "loss.cu"),
    *("max_pool.cu", "optimizer.cu", "conv_tensor.cu", "matmul_tensor.cu", "reduce.cu", "row_norm.cu", "softmax.cu"),
    *("split_k.cu", "unary.cu"),
)
"""The texts that trainings in half precision spend their time in: these are compiled for it too."""
PRODUCTS = ("conv_direct.cu", "conv_implicit.cu", "linear_backward.cu", "linear_forward.cu", "matmul_vectorised.cu")
"""And these for `OTHER` too, where a multiprocessor has less room."""
_THREADS = 256  # of a block of a kernel without a launch bound
_ARITHMETIC = ("FFMA", "fp32", "fp64", "fp16", "tensor", "MUFU")


def jobs() -> Iterator[tuple[str, dict[str, str], str]]:
    """What is compiled: texts, types, architectures."""
    chains.write_texts()
    for text in (*(name for name in kernel_names() if name.endswith(".cu")), *chains.TEXTS):
        choices = type_choices(kernel_text(text))
        usual = {name: next(t for t in (*USUAL, *types) if t in types) for name, types in choices.items()}
        yield text, usual, NEWEST
        if text in TRAINING:
            yield text, {name: HALF[name] for name in choices}, NEWEST
        if text in PRODUCTS:
            yield text, usual, OTHER


def versions() -> str:
    """The compiler's and the disassembler's.

    Raises:
        NvrtcMissing: there is no compiler; the message says what to install.
        DisassemblerMissing: there is no disassembler; likewise.
    """
    return f"NVRTC {'.'.join(map(str, nvrtc.version()))}, nvdisasm {disassembler.version()}"


def rows(text: str, types: dict[str, str], arch: str) -> list[Row]:
    """A row for each kernel of a text.

    Raises:
        CompileError: the text does not compile.
    """
    chains.write_texts()
    made = nvrtc.compile_text(text, types, arch)
    codes = disassembler.disassemble(made.cubin)
    bounds = {name: signature.bound or _THREADS for name, signature in signatures(kernel_text(text)).items()}
    found = []
    for name, usage in made.kernels.items():
        room = occupancy(arch, bounds[name], usage.registers, usage.shared)
        spilled = usage.spill_stores + usage.spill_loads
        key = (f"{text}:{name}", " ".join(types.values()) or NONE, arch)
        taken = (usage.registers, usage.shared, usage.stack, spilled, room.warps)
        found.append((*key, *map(str, taken), *_cells(codes[name])))
    return found


def _cells(code: Code) -> Row:
    """The columns from "code" on. The loop is the innermost one of most instructions, else the whole kernel."""
    blocks = basic_blocks(code)
    parts = [code.instructions[block.first : block.end] for block in blocks]
    reached = [i for part in parts for i in part]
    innermost = [[i for b in loop.blocks for i in parts[b]] for loop in loops(blocks) if loop.innermost]
    loop = max(innermost, key=len, default=reached)
    kinds, within = Counter(map(kind, reached)), Counter(map(kind, loop))
    loads = [i for i in reached if i.name == "LDG"]
    arithmetic = sum(within[name] for name in _ARITHMETIC)
    return (
        *map(str, (len(reached), kinds["fp64"], _named(reached, "BRX"), _named(reached, "BAR"))),
        *(_widths(kinds, "LDG"), _percent(sum("CONSTANT" in i.opcode for i in loads), len(loads))),
        *(_widths(kinds, "STG"), str(len(loop)) if innermost else NONE),
        *(_percent(n, len(loop)) for n in (arithmetic, within["FFMA"], within["MUFU"])),
        _widths(within, "LDS"),
    )


def _named(instructions: Sequence[Instruction], name: str) -> int:
    return sum(i.name == name for i in instructions)


def _widths(kinds: Counter[str], name: str) -> str:
    """How many accesses there are of each width, such as "128x4 32x1", the widest first."""
    found = {int(k.partition(".")[2]): n for k, n in kinds.items() if k.partition(".")[0] == name}
    return " ".join(f"{bits}x{found[bits]}" for bits in sorted(found, reverse=True)) or NONE


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}" if whole else NONE
