"""The documentation's programs run and print what it says, its commands run, and every public name has an entry."""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from gpunn.cli import main
from tests.documents import ROOT, commands, programs

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
NEEDS = {"g++": shutil.which("g++"), **{n: importlib.util.find_spec(n) for n in ("torch", "scipy")}}
NEEDS["nvrtc"] = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cuda_nvrtc")
CHECKER = doctest.OutputChecker()


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of a page run one after the other, in one namespace and an empty folder, and then its commands."""
    document = path.read_text(encoding="utf-8")
    needs = re.search(r"^<!-- needs (.+) -->$", document, re.MULTILINE)
    if missing := [name for name in (needs[1].split(", ") if needs else []) if not NEEDS[name]]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": path.stem}
    for program in programs(document):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * program.line + program.text, str(path), "exec"), namespace)
        expected = program.output or ""
        assert CHECKER.check_output(expected, printed.getvalue(), doctest.ELLIPSIS), (
            f"{path.name}, line {program.line}: printed\n{printed.getvalue()}\nexpected\n{expected}"
        )
    for command in commands(document):
        words = shlex.split(command)
        settings = dict(word.split("=", 1) for word in words[: words.index("gpunn")])
        with monkeypatch.context() as there:
            for name, value in settings.items():
                there.setenv(name, value)
            assert main(words[words.index("gpunn") + 1 :]) == 0, command
