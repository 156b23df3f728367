"""What machine instructions do: their kinds, by opcode.

The opcodes are those of the tables of NVIDIA's "CUDA Binary Utilities", Instruction Set Reference, Turing to Blackwell.
"""

from __future__ import annotations

import re

from .disassembler import Instruction

_KINDS = {
    "FFMA": "FFMA FFMA2",
    "fp32": "FADD FADD2 FADD32I FMUL FMUL2 FMUL32I FFMA32I FMNMX FMNMX3 FSEL FSET FSETP FSWZADD FCHK",
    "fp64": "DADD DFMA DMUL DSETP DMNMX",
    "fp16": "HADD2 HADD2_32I HFMA2 HFMA2_32I HMUL2 HMUL2_32I HMNMX2 HSET2 HSETP2 VHMNMX",
    "tensor": "HMMA IMMA DMMA BMMA QMMA OMMA HGMMA IGMMA BGMMA QGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA",
    "MUFU": "MUFU",
    "convert": "F2F F2FP F2I F2IP FRND I2F I2FP I2I I2IP",
    "IMAD": "IMAD IMAD32I",
    "integer": "BMSK BREV FLO IABS IADD IADD3 IADD32I IDP IDP4A IMNMX IMUL IMUL32I ISCADD ISCADD32I ISETP LEA LOP LOP3 "
    "LOP32I PLOP3 POPC SGXT SHF SHL SHR VABSDIFF VABSDIFF4 VIADD VIADDMNMX VIMNMX VIMNMX3 LEPC QSPC",
    "move": "MOV MOV32I PRMT SEL P2R R2P S2R CS2R S2UR CS2UR R2UR UP2UR B2R MOVM GETLMEMBASE SETLMEMBASE",
    "constant": "LDC LDCU ULDC",
    "shuffle": "SHFL VOTE VOTEU MATCH REDUX CREDUX ELECT",
    "barrier": "BAR WARPSYNC SYNCS DEPBAR LDGDEPBAR MEMBAR ERRBAR CGAERRBAR FENCE ARRIVES UCGABAR_ARV UCGABAR_WAIT "
    "WARPGROUP UTCBAR ACQBULK ACQSHMINIT ENDCOLLECTIVE PREEXIT USETMAXREG",
    "bulk": "UBLKCP UBLKPF UBLKRED UTMALDG UTMASTG UTMAREDG UTMAPF UTMACCTL UTMACMDFLUSH UTCCP LDTM STTM",
    "branch": "BRA BRX BRXU JMP JMX JMXU CALL RET EXIT KILL BREAK BSSY BSYNC BMOV BPT YIELD NANOSLEEP RPCMOV RTT",
    "texture": "TEX TLD TLD4 TMML TXD TXQ SULD SUST SUATOM SURED FOOTPRINT",
}
KIND = {opcode: kind for kind, opcodes in _KINDS.items() for opcode in opcodes.split()}
"""The kind of each opcode that is no access to memory; what begins with U and is not here is "uniform"."""

MEMORY = {
    "LDG": "global load",
    "STG": "global store",
    "LD": "load of any memory",
    "ST": "store to any memory",
    "LDS": "shared load",
    "STS": "shared store",
    "LDSM": "shared load of matrices",
    "STSM": "shared store of matrices",
    "LDL": "local load",
    "STL": "local store",
    "LDGSTS": "copy from global to shared",
}
"""The instructions that move registers' worth of memory; their kinds are the name and the bits that a thread moves."""
_ATOMIC = {"ATOM", "ATOMG", "ATOMS", "RED", "REDG", "ATOMCAS"}
_BITS = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128, "256": 256}


def kind(instruction: Instruction) -> str:
    """The kind of an instruction.

    Accesses to memory are named with the bits that each thread moves, such as ``"LDG.128"``; then there are ``"FFMA"``,
    ``"fp32"`` (all other arithmetic on float32), ``"fp64"``, ``"fp16"``, ``"tensor"`` (HMMA, HGMMA and the like),
    ``"MUFU"`` (special functions), ``"convert"``, ``"IMAD"``, ``"integer"`` (with IMAD, also what computes addresses),
    ``"move"``, ``"constant"``, ``"uniform"`` (done once for all threads of a warp), ``"shuffle"``, ``"barrier"``,
    ``"bulk"`` (copies of whole tiles, and tensor memory), ``"branch"``, ``"atomic"``, ``"texture"``, ``"other"``. What
    the compiler writes as arithmetic to move a value (``IMAD.MOV``, ``HFMA2.MMA R7,-RZ,RZ,2,0``) is a move.
    """
    name = instruction.name
    if name in MEMORY:
        return f"{name}.{width(instruction)}"
    if name in _ATOMIC:
        return "atomic"
    if name in KIND:
        moves = instruction.opcode.startswith("IMAD.MOV") or (name == "HFMA2" and ",-RZ,RZ," in instruction.operands)
        return "move" if moves else KIND[name]
    return "uniform" if name.startswith("U") else "other"


def width(instruction: Instruction) -> int:
    """The bits that each thread moves by an access; of a matrix instruction, those that it gets of the matrices."""
    modifiers = instruction.opcode.split(".")[1:]
    if instruction.name in ("LDSM", "STSM"):
        return 32 * max((int(m) for m in modifiers if re.fullmatch("[124]", m)), default=1)
    return next((_BITS[m] for m in modifiers if m in _BITS), 32)
