"""Reading ELF files: of compiled modules, which functions use which __shared__ arrays, and where those lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_RELOCATIONS, _SYMBOLS = 4, 2  # section types SHT_RELA and SHT_SYMTAB
_WRITABLE = 1  # the section flag SHF_WRITE
_OBJECT = 1  # the symbol type STT_OBJECT


@dataclass(frozen=True)
class Section:
    """A section of an ELF file."""

    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


@dataclass(frozen=True)
class Symbol:
    """A symbol of an ELF file. `section` is 0 where it is defined elsewhere."""

    name: str
    type: int
    section: int
    value: int
    size: int


class Elf:
    """An object file or shared library, of 64 bits and little-endian."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        if self._data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF file")

    @cached_property
    def sections(self) -> list[Section]:
        """All sections."""
        (offset,) = struct.unpack_from("<Q", self._data, 40)
        size, count, names = struct.unpack_from("<HHH", self._data, 58)
        raw = [struct.unpack_from("<IIQQQQIIQQ", self._data, offset + i * size) for i in range(count)]
        if count == 0:
            # More sections than 16 bits hold: the first entry has their number.
            (count,) = struct.unpack_from("<Q", self._data, offset + 32)
            raw = [struct.unpack_from("<IIQQQQIIQQ", self._data, offset + i * size) for i in range(count)]
        if names == 0xFFFF:
            names = raw[0][6]
        table = raw[names][4]
        return [
            Section(self._string(table + name), kind, flags, at, length, link, info, entry)
            for name, kind, flags, _, at, length, link, info, _, entry in raw
        ]

    @cached_property
    def symbols(self) -> list[Symbol]:
        """All symbols, those of sections with the section's name."""
        for section in self.sections:
            if section.type == _SYMBOLS:
                strings = self.sections[section.link].offset
                found = []
                for at in range(section.offset, section.offset + section.size, section.entry_size):
                    name, info, _, index, value, size = struct.unpack_from("<IBBHQQ", self._data, at)
                    index = index if index < 0xFF00 else 0
                    found.append(Symbol(self._string(strings + name), info & 15, index, value, size))
                return found
        return []

    def content(self, name: str) -> bytes:
        """The bytes of the section of that name; none where there is no such section."""
        for section in self.sections:
            if section.name == name:
                return self._data[section.offset : section.offset + section.size]
        return b""

    def variables_of_functions(self) -> list[Symbol]:
        """The variables that functions declare `static` and may write to."""
        return [
            s
            for s in self.symbols
            if s.type == _OBJECT
            and s.section
            and s.name.startswith("_ZZ")
            and self.sections[s.section].flags & _WRITABLE
        ]

    def reachable(self, function: str) -> set[int]:
        """The sections that are used, directly or not, by a function that has a section of its own."""
        todo = [s.section for s in self.symbols if s.name == function and s.section]
        seen = set(todo)
        while todo:
            for target in self._uses.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    def refers_to(self, name: str) -> bool:
        """Whether the file uses a symbol that it does not define."""
        return any(s.name == name and not s.section for s in self.symbols)

    @cached_property
    def _uses(self) -> dict[int, set[int]]:
        uses: dict[int, set[int]] = {}
        for section in self.sections:
            if section.type == _RELOCATIONS:
                targets = {self.symbols[i].section for i in self._relocated(section)}
                uses.setdefault(section.info, set()).update(targets - {0})
        return uses

    def _relocated(self, section: Section) -> Iterator[int]:
        for at in range(section.offset, section.offset + section.size, section.entry_size):
            _, info, _ = struct.unpack_from("<QQq", self._data, at)
            yield info >> 32

    def _string(self, at: int) -> str:
        return self._data[at : self._data.index(b"\0", at)].decode(errors="replace")
