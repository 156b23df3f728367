"""What the compiler made of a kernel: instructions, blocks and loops equal what was counted by hand.

The listings beside the kernels are what nvdisasm 13.5 prints of them, compiled by NVRTC 12.9: address, stall count,
predicate, opcode, operands.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from gpunn.inspect.profile import DisassemblerMissing, disassembler, kernel_code
from gpunn.inspect.profile.code import _compiled
from gpunn.inspect.profile.disassembler import Code, Instruction
from gpunn.inspect.profile.flow import Block, basic_blocks, loops
from gpunn.inspect.profile.kinds import KIND, kind

KERNELS = Path(__file__).parent / "kernels"


def listed(name: str, targets: dict[int, tuple[int, ...]] | None = None) -> Code:
    """The code of a listing; `targets`: where its indirect branches go, by address."""
    instructions = []
    for number, line in enumerate((KERNELS / f"{name}.txt").read_text().splitlines()):
        address, stall, predicate, opcode, operands = re.fullmatch(
            r"(\w{4}) ([ \d]\d) (@!?U?P\d)? *(\S+) ?(\S*)", line
        ).groups()
        assert int(address, 16) == number * 16
        instructions.append(Instruction(opcode, operands, predicate or "", stall=int(stall)))
    return Code(name, tuple(instructions), targets or {}, {})


def counts(instructions: list[Instruction]) -> dict[str, int]:
    names = [kind(i) for i in instructions]
    return {name: names.count(name) for name in names}


def innermost(code: Code) -> list[list[Instruction]]:
    """The instructions of each innermost loop."""
    blocks = basic_blocks(code)
    return [
        [i for b in loop.blocks for i in code.instructions[blocks[b].first : blocks[b].end]]
        for loop in loops(blocks)
        if loop.innermost
    ]


# Counted by hand ----------------------------------------------------------------------------------------------------


def test_a_copy_of_quads() -> None:
    code = listed("copy.sm_90")
    (loop,) = innermost(code)
    assert counts(loop) == {"IMAD": 2, "LDG.128": 1, "integer": 2, "STG.128": 1, "branch": 1}
    assert sum(i.stall for i in loop) == 5 + 1 + 1 + 4 + 1 + 12 + 5
    assert basic_blocks(code) == [
        Block(0x00 // 16, 0x80 // 16, (1,), True),
        Block(0x80 // 16, 0xD0 // 16, (2,), False),
        Block(0xD0 // 16, 0x140 // 16, (2, 3), False),
        Block(0x140 // 16, 0x150 // 16, (), False),
    ]


def test_a_loop_unrolled_by_four_and_what_is_left_over() -> None:
    rest, four = innermost(listed("dot.sm_75"))
    assert counts(four) == {"move": 4, "LDG.32": 8, "integer": 5, "FFMA": 4, "IMAD": 1, "branch": 1}
    assert counts(rest) == {"move": 2, "LDG.32": 2, "integer": 6, "IMAD": 1, "FFMA": 1, "branch": 1}


def test_a_product_of_tiles_in_shared_memory() -> None:
    (loop,) = innermost(listed("tile.sm_90"))
    assert counts(loop) == {
        **{"LDG.32": 2, "integer": 6, "STS.32": 2, "barrier": 2},
        **{"LDS.32": 16, "LDS.128": 4, "FFMA": 16, "branch": 1},
    }


def test_a_switch_within_a_loop() -> None:
    targets = {0x140: (0x170, 0x1D0, 0x150, 0x340), 0x270: (0x300, 0x320, 0x280)}
    by_number = {at // 16: tuple(t // 16 for t in where) for at, where in targets.items()}
    (loop,) = innermost(listed("pick.sm_90", by_number))
    assert counts(loop) == {
        **{"LDG.32": 2, "STG.32": 1, "integer": 11, "branch": 10, "constant": 2},
        **{"fp32": 13, "MUFU": 3, "move": 1, "IMAD": 1, "convert": 2},
    }


def test_an_array_in_local_memory() -> None:
    (loop,) = innermost(listed("local.sm_120"))
    assert counts(loop) == {
        **{"LDG.32": 1, "move": 2, "IMAD": 1, "integer": 3, "LDL.64": 1},
        **{"uniform": 2, "fp64": 2, "STL.64": 1, "other": 4, "branch": 1},
    }


def test_tensor_cores() -> None:
    (loop,) = innermost(listed("mma.sm_80"))
    assert counts(loop) == {"move": 1, "IMAD": 1, "LDG.32": 6, "integer": 3, "tensor": 1, "branch": 1}


# Kinds --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opcode", "operands", "expected"),
    [
        ("LDG.E.64.CONSTANT", "R2,[R4.64]", "LDG.64"),
        ("LDG.E.U8", "R2,[R4.64]", "LDG.8"),
        ("LDG.E.S16.SYS", "R2,[R4.64]", "LDG.16"),
        ("STS.U16", "[R2],R3", "STS.16"),
        ("LDS.U.128", "R4,[R2]", "LDS.128"),
        ("LDSM.16.M88.4", "R4,[R2]", "LDSM.128"),
        ("LDSM.16.MT88.2", "R4,[R2]", "LDSM.64"),
        ("LDGSTS.E.BYPASS.128", "[R2],[R4.64]", "LDGSTS.128"),
        ("STL", "[R1+0x4],R5", "STL.32"),
        ("RED.E.ADD.F32.FTZ.RN.STRONG.GPU", "[R2.64],R5", "atomic"),
        ("IMAD.MOV.U32", "R5,RZ,RZ,R9", "move"),
        ("IMAD.WIDE.U32", "R6,R11,UR14,R6", "IMAD"),
        ("HFMA2.MMA", "R7,-RZ,RZ,2,0", "move"),
        ("HFMA2.MMA", "R7,R2,R3,R7", "fp16"),
        ("HGMMA.64x64x16.F32", "R24,gdesc[UR8],R24", "tensor"),
        ("MUFU.EX2", "R11,R0", "MUFU"),
        ("UIADD3", "UR4,UR4,0x1,URZ", "uniform"),
        ("UTMALDG.2D", "[UR8],[UR4]", "bulk"),
        ("ULDC.64", "UR4,c[0x0][0x208]", "constant"),
        ("BRA.U", "!UP0,0x250", "branch"),
        ("CCTL.IVALL", "", "other"),
    ],
)
def test_kinds(opcode: str, operands: str, expected: str) -> None:
    assert kind(Instruction(opcode, operands)) == expected


def test_no_opcode_has_two_kinds() -> None:
    from gpunn.inspect.profile import kinds

    assert len(KIND) == sum(len(opcodes.split()) for opcodes in kinds._KINDS.values())
    assert not KIND.keys() & (kinds.MEMORY.keys() | kinds._ATOMIC)


# Flow ---------------------------------------------------------------------------------------------------------------


def code_of(*opcodes: str, targets: dict[int, tuple[int, ...]] | None = None, functions: dict[int, str] | None = None):
    """Code of instructions such as ``"@P0 BRA 2"``, where numbers stand for instructions."""
    made = []
    for text in opcodes:
        predicate, _, rest = text.rpartition("@P0 ")
        opcode, _, target = rest.partition(" ")
        made.append(
            Instruction(opcode, f"{int(target) * 16:#x}" if target else "", "@P0" if predicate or rest != text else "")
        )
    return Code("f", tuple(made), targets or {}, functions or {})


def test_nested_loops() -> None:
    code = code_of("MOV", "IADD3", "FFMA", "@P0 BRA 2", "IADD3", "@P0 BRA 1", "EXIT")
    found = loops(basic_blocks(code))
    assert [(loop.header, loop.blocks, loop.innermost) for loop in found] == [(1, (1, 2, 3), False), (2, (2,), True)]


def test_two_ways_back_are_one_loop() -> None:
    code = code_of("IADD3", "@P0 BRA 0", "FFMA", "@P0 BRA 0", "EXIT")
    (loop,) = loops(basic_blocks(code))
    assert (loop.header, loop.blocks, loop.innermost) == (0, (0, 1), True)


def test_a_jump_into_the_middle_is_no_loop() -> None:
    code = code_of("@P0 BRA 2", "FADD", "FFMA", "@P0 BRA 1", "EXIT")
    assert loops(basic_blocks(code)) == []


def test_what_fills_memory_behind_the_end_is_left_out() -> None:
    assert basic_blocks(code_of("FADD", "EXIT", "BRA 2", "NOP", "NOP")) == [Block(0, 2, (), True)]


def test_a_function_that_was_called_has_blocks_of_its_own() -> None:
    code = code_of("CALL", "FADD", "EXIT", "FMUL", "@P0 BRA 3", "RET", functions={3: "$slow_path"})
    assert basic_blocks(code) == [
        Block(0, 3, (), True),
        Block(3, 5, (1, 2), True),
        Block(5, 6, (), False),
    ]
    assert [loop.blocks for loop in loops(basic_blocks(code))] == [(1,)]


def test_a_call_of_an_address_is_a_jump() -> None:
    assert basic_blocks(code_of("@P0 CALL.REL.NOINC 3", "EXIT", "NOP", "EXIT")) == [
        Block(0, 1, (1, 2), True),
        Block(1, 2, (), False),
        Block(3, 4, (), False),
    ]


def test_an_exit_under_a_condition_ends_a_block() -> None:
    assert basic_blocks(code_of("MOV", "@P0 EXIT", "FADD", "EXIT")) == [Block(0, 2, (1,), True), Block(2, 4, (), False)]


def test_where_an_indirect_branch_goes() -> None:
    code = code_of("BRX", "FADD", "EXIT", "FMUL", "EXIT", targets={0: (1, 3)})
    assert [b.next for b in basic_blocks(code)] == [(1, 2), (), ()]


# What the disassembler leaves out -----------------------------------------------------------------------------------


def test_indirect_targets_are_read_from_the_attributes() -> None:
    words = struct.pack("<9I", 0x140, 0, 2, 0x170, 0x150, 0x270, 0, 1, 0x300)
    info = struct.pack("<BBH", 3, 0x1B, 255) + struct.pack("<BBH", 4, 0x34, len(words)) + words
    info += struct.pack("<BBHI", 4, 0x1C, 4, 7)
    assert dict(disassembler._indirect(info)) == {0x14: (0x17, 0x15), 0x27: (0x30,)}


def test_the_control_words_are_read_from_the_encoding() -> None:
    # From a disassembly of CUDA 12.9: FFMA R7,R4,R7,1, which waits for barrier 2; LDG.E R4,desc[UR4][R4.64], whose
    # result is awaited at barrier 2 and the reading of its address at 0; @P1 BRA.
    code = struct.pack(
        "<6Q",
        0x3F80000004077423,
        0x004FE20000000007,
        0x0000000404047981,
        0x0000A2000C1E1900,
        0xFFFFFFFC00C01947,
        0x000FEE000383FFFF,
    )
    assert list(disassembler._controls(code)) == [(1, None, None, 0b100), (1, 2, 0, 0), (7, None, None, 0)]


# The whole, where nvdisasm is installed -----------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["sm_75", "sm_90", "sm_120"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("copy", {"LDG.128": 1, "STG.128": 1}),
        ("dot", {"LDG.32": 8, "FFMA": 4}),
        ("tile", {"LDG.32": 2, "STS.32": 2, "barrier": 2, "FFMA": 16}),
        ("pick", {"MUFU": 3}),
        ("local", {"LDL.64": 1, "STL.64": 1}),
    ],
)
def test_what_follows_from_the_text_on_every_architecture(nvdisasm, arch, name, expected) -> None:
    found = kernel_code(str(KERNELS / "each.cu"), name, arch)
    most = found.innermost[0]
    assert {key: most.kinds[key] for key in expected} == expected
    assert most.file == f"{name}.cu"
    assert sum(found.kinds.values()) == found.instructions
    assert found.usage.shared == (2048 if name == "tile" else 0)


def test_a_listing_of_the_disassembler(nvdisasm) -> None:
    from gpunn.backend import nvrtc

    if nvrtc.version() != (12, 9):
        pytest.skip("another compiler makes other code")
    cubin = _compiled(str(KERNELS / "pick.cu"), "sm_90", {}).cubin
    code = disassembler.disassemble(cubin)["pick"]
    plain = [Instruction(i.opcode, i.operands, i.predicate, stall=i.stall) for i in code.instructions]
    expected = listed("pick.sm_90").instructions
    assert tuple(plain[: len(expected)]) == expected
    assert code.targets == {0x14: (0x17, 0x1D, 0x15, 0x34), 0x27: (0x30, 0x32, 0x28)}
    lines = {i.line for i in code.instructions if i.name == "MUFU"}
    assert lines == {6, 7, 11}  # those of __expf, rsqrtf, __logf


def test_inline_ptx_has_the_line_that_calls_its_wrapper() -> None:
    text = """
\t.section\t.text.product,"ax",@progbits
.text.product:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
\t//## File "/here/product.cu", line 55
        /*0010*/                   S2R R4, SR_CTAID.X ;
\t//## File "/here/ptx.cuh", line 172 inlined at "/here/tensor.cuh", line 141
\t//## File "/here/tensor.cuh", line 141 inlined at "/here/product.cu", line 33
\t//## File "/here/product.cu", line 33
        /*0020*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ;
        /*0030*/                   HMMA.16816.F32.BF16 R6, R8, R12, R6 ;
\t//## File "/here/tensor.cuh", line 150 inlined at "/here/product.cu", line 33
\t//## File "/here/product.cu", line 33
        /*0040*/                   EXIT ;
\t.section\t.text.other,"ax",@progbits
\t//## File "/here/ptx.cuh", line 59
        /*0000*/                   EXIT ;
"""
    called = ("tensor.cuh", 141)
    assert {name: [line[3:] for line in lines] for name, lines in disassembler.read(text).items()} == {
        "product": [("", 0), ("product.cu", 55), called, called, ("tensor.cuh", 150)],
        "other": [("ptx.cuh", 59)],
    }


def test_operands_and_jumps() -> None:
    text = """
\t.section\t.text.f,"ax",@progbits
.text.f:
        /*0000*/              @!P0 BRA `(.L_x_1) ;
        /*0010*/                   FSETP.GTU.FTZ.AND P0, PT, |R8|, +INF , PT ;
.L_x_0:
        /*0020*/                   LDGSTS.E [R11], [R8.64], !P1 ;
.L_x_1:
        /*0030*/                   BRX R14 -0x880                (*"BRANCH_TARGETS .L_x_0,.L_x_1"*) ;
        /*0040*/               @P1 BRA `(.L_x_0) ;
        /*0050*/                   CALL.REL.NOINC `($__internal_0_$__cuda_sm20_rem_s64) ;
        /*0060*/                   EXIT ;
"""
    assert [line[:3] for line in disassembler.read(text)["f"]] == [
        ("BRA", "0x30", "@!P0"),
        ("FSETP.GTU.FTZ.AND", "P0,PT,|R8|,+INF,PT", ""),
        ("LDGSTS.E", "[R11],[R8.64],!P1", ""),
        ("BRX", "R14,-0x880", ""),
        ("BRA", "0x20", "@P1"),
        ("CALL.REL.NOINC", "$__internal_0_$__cuda_sm20_rem_s64", ""),
        ("EXIT", "", ""),
    ]


def test_what_the_disassembler_wrote_is_kept(nvdisasm, monkeypatch, tmp_path) -> None:
    cubin = _compiled(str(KERNELS / "copy.cu"), "sm_90", {}).cubin
    monkeypatch.setenv("GPUNN_CACHE", str(tmp_path))
    found = disassembler.disassemble(cubin)
    assert len(list((tmp_path / "nvdisasm").iterdir())) == 1
    monkeypatch.setattr("subprocess.run", None)
    assert disassembler.disassemble(cubin) == found
    with pytest.raises(TypeError):
        disassembler.disassemble(cubin + b"\0")  # another one, and no program to read it


def test_a_kernel_of_gpunn(nvdisasm) -> None:
    found = kernel_code("split_k.cu", "add_parts")
    assert (found.types, found.arch) == ({"scalar_t": "float32"}, "sm_90")
    assert found.usage.spills is False
    half = kernel_code("split_k.cu", "add_parts", types={"scalar_t": "float16"})
    assert "STG.16" in half.kinds
    assert "STG.16" not in found.kinds


def test_without_the_disassembler_the_error_says_what_to_install(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for variable in ("PATH", "CUDA_PATH", "CUDA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    disassembler.path.cache_clear()
    try:
        with pytest.raises(DisassemblerMissing, match="pip install nvidia-cuda-nvdisasm"):
            disassembler.path()
    finally:
        disassembler.path.cache_clear()


@pytest.mark.parametrize(
    ("file", "kernel", "options", "message"),
    [
        (
            "softmax.cu",
            "softmax_forward_warp",
            {"arch": "sm_91"},
            "does not know the architecture 'sm_91'; it knows .*sm_90",
        ),
        ("softmax.cu", "softmax_forward_warp", {"arch": "sm_70"}, "machine code of sm_70 is not read; that of sm_75"),
        ("nothing.cu", "f", {}, "no file 'nothing.cu', and no kernel text of that name; there are: .*softmax.cu"),
        ("softmax.cu", "f", {"types": {"scalar_t": "int8"}}, "compiled for scalar_t = float32"),
        (str(KERNELS / "copy.cu"), "copy", {"types": {"T": "float33"}}, "no type float33; there are .*float32"),
    ],
)
def test_what_is_asked_for_wrongly(nvdisasm, file, kernel, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_code(file, kernel, **options)


def test_a_kernel_that_is_not_there(nvdisasm) -> None:
    with pytest.raises(ValueError, match=r"copy.cu has no kernel 'copies'; it has copy"):
        kernel_code(str(KERNELS / "copy.cu"), "copies")


def test_a_kernel_with_a_mangled_name_and_a_header_beside_it(nvdisasm, tmp_path) -> None:
    (tmp_path / "twice.h").write_text("__device__ float twice(float a) { return a + a; }\n")
    (tmp_path / "my.cu").write_text('#include "twice.h"\n__global__ void my(float* x) { *x = twice(*x); }\n')
    found = kernel_code(str(tmp_path / "my.cu"), "my")
    assert (found.kernel, found.kinds["fp32"], found.innermost) == ("my", 1, [])
