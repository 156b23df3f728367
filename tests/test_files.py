"""Files are short enough to be read as a whole."""

import pytest

from tests.documents import ROOT

MOST = 400
KINDS = (".py", ".cu", ".cuh", ".cpp", ".h", ".js", ".css", ".html")


@pytest.mark.parametrize("folder", ["gpunn", "kernels", "benchmarks", "tests", "docs"])
def test_no_file_has_more_than_400_lines(folder: str) -> None:
    files = [p for p in (ROOT / folder).rglob("*") if p.suffix in KINDS]
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in files}
    assert {name: n for name, n in lines.items() if n > MOST} == {}
    assert lines
