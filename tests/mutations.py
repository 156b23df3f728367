"""Files changed at random: bytes, and of JSON in a safetensors file the structure."""

from __future__ import annotations

import json
from random import Random
from typing import Any

PIECES = (
    b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"999999999999", b"-1", b"1e999", b"NaN",
    b"null", b"{}", b"[]", b"true", b'"', b"[" * 2000, b"(" * 300, b"0", b"\n", b",", b"\xe9",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(2**63), 1e308, 1.5, "", "x", "nan", [], [1], {}, [[]],
    {"tensor": "a"}, {"dict": []}, {"float": "nan"}, {"float": "x"}, {"tuple": [1]},
)  # fmt: skip


def changed(content: bytes, rng: Random) -> bytes:
    """Some bytes of a file changed, left out, put in, repeated; most of them in its header."""
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        if not found:
            break
        i = rng.randrange(len(found))
        if rng.random() < 0.5:
            i = min(len(found) - 1, int(rng.expovariate(1 / 60)))
        piece, kind = rng.choice(PIECES), rng.randrange(7)
        if kind == 0:
            found[i] = rng.randrange(256)
        elif kind == 1:
            found[i] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del found[i : i + rng.choice([1, 1, 4, 50])]
        elif kind == 3:
            found[i:i] = piece
        elif kind == 4:
            found[i : i + len(piece)] = piece
        elif kind == 5:
            j = rng.randrange(len(found))
            found[i:i] = found[j : j + rng.randrange(40)]
        elif rng.random() < 0.3:
            del found[i:]
    return bytes(found)


def changed_safetensors(content: bytes, rng: Random) -> bytes:
    """As `changed`, or the header or gpunn's structure in it, with other values in some places."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    kind = rng.random()
    if kind < 0.3:
        return changed(content, rng)
    if kind < 0.6:
        _change(header, rng)
    else:
        structure = json.loads(header["__metadata__"]["gpunn"])
        _change(structure, rng)
        header["__metadata__"]["gpunn"] = json.dumps(structure)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _change(tree: Any, rng: Random) -> None:
    """Put something else in the place of some parts of a structure of JSON, leave them out, or repeat them."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)):
                walk(part[key])

    walk(tree)
    part, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.7:
        part[key] = rng.choice(VALUES)
    elif kind < 0.85:
        del part[key]
    elif isinstance(part, list):
        part.insert(key, part[key])
