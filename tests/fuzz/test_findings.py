"""What fuzzing has found, with the bytes that did it: each file is read, or refused by the one error of its kind."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from pathlib import Path

import pytest

from gpunn.datasets import from_csv

from .targets import CLEAN, TARGETS

KERNEL = b'extern "C" __global__ void '
BOUND = KERNEL + b"__launch_bounds__(A) f(int n) {}"

FINDINGS = {
    # ValueError: an array has at most 64 dimensions.
    "idx, 65 dimensions": ("idx", b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"x"),
    "idx, 13 dimensions and none of an element": ("idx", b"\0\0\x0d\x0c" + b"\x0c" * 42 + b"\1\0\0\0\0\0"),
    "idx, no elements, but more than there is memory": ("idx-gz", gzip.compress(b"\0\0\x0e\3\0\0\0\0" + b"\xff" * 8)),
    # UnicodeDecodeError; and what has no log was taken for an empty kernel.
    "compiled, a log that is no text": ("compiled", zlib.compress(b"\xff\0cubin")),
    # Each took minutes to years, by a pattern that can match one text in many ways.
    "kernel, comments in a list that does not end": ("kernel-text", KERNEL + b"f(" + b"//" * 60),
    "kernel, a parameter behind many spaces": ("kernel-text", KERNEL + b"f(int" + b" " * 16000 + b"!)"),
    "kernel, types behind many spaces": ("kernel-text", b"// compiled for t = " + b" " * 16000 + b"!"),
    # A bound that grew for ever, one that grew by 2^40, and one that calls a number.
    "kernel, a constant of itself": ("kernel-text", b"constexpr int A = A + 1;" + BOUND),
    "kernel, constants of constants": (
        "kernel-text",
        b"".join(b"constexpr int A%d = A%d + A%d;" % (i, i + 1, i + 1) for i in range(40)) + BOUND.replace(b"A", b"A0"),
    ),
    "kernel, a bound that is none": ("kernel-text", KERNEL + b"__launch_bounds__(2 (3)) f(int n) {}"),
}


@pytest.mark.parametrize("finding", FINDINGS)
def test_findings(finding: str, tmp_path: Path) -> None:
    name, content = FINDINGS[finding]
    path = tmp_path / TARGETS[name].file
    path.write_bytes(content)
    with contextlib.suppress(*CLEAN):
        TARGETS[name].read(path)


def test_a_compiled_kernel_that_is_not_whole_is_compiled_again(tmp_path: Path) -> None:
    for content in (b"", b"x", zlib.compress(b""), zlib.compress(b"\xff\0cubin")):
        (tmp_path / "t").write_bytes(content)
        assert TARGETS["compiled"].read(tmp_path / "t") is None
    (tmp_path / "t").write_bytes(zlib.compress(b"log\0cubin"))
    assert TARGETS["compiled"].read(tmp_path / "t") == ("log", b"cubin")


def test_a_name_of_two_lines_before_the_first_semicolon(tmp_path: Path) -> None:
    """Hypothesis drew it: the first line alone did not show what parts cells."""
    (tmp_path / "t.csv").write_text('"a\nb";c;y\n1;2;0\n3;4;1\n')
    found = from_csv(tmp_path / "t.csv")
    assert found.columns == ["a\nb", "c"]
    assert found.x_train.tolist() == [[1, 2], [3, 4]]
