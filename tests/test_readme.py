"""What README.md shows works: its programs run, its commands exist and the quick ones are run."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from gpunn.cli import _parser, main
from tests.documents import ROOT, commands, programs

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
PROGRAMS = [program.text for program in programs(README)]
COMMANDS = [command for command in commands(README) if command.startswith("gpunn")]
QUICK = [c for c in COMMANDS if c.split()[1] in ("compare", "gradcheck", "memory", "summary") or "--memory-limit" in c]


def test_there_are_programs_and_commands() -> None:
    assert len(PROGRAMS) >= 3 and len(COMMANDS) >= 10 and len(QUICK) == 6


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda text: text.splitlines()[-1])
def test_programs_run(program: str) -> None:
    exec(compile(program, "README.md", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command)[1:]
    assert _parser(words).parse_args(words).command == words[0]


@pytest.mark.parametrize("command", QUICK)
def test_quick_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    assert main([*words, "--epochs", "1"] if words[0] == "train" else words) == 0


FENCED = re.compile(r"^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (.*)$", re.MULTILINE)


def _code(section: str) -> list[str]:
    """Its programs and commands, without comments."""
    lines = [line for program in FENCED.findall(section) for line in program.splitlines()] + INDENTED.findall(section)
    return [line.split("  #")[0].rstrip() for line in lines if not line.lstrip().startswith("#")]


def test_the_chinese_readme_says_the_same() -> None:
    """The same sections, with the same programs, commands, numbers and names in backticks."""
    sections = [re.split(r"^## ", text, flags=re.MULTILINE) for text in (README, CHINESE)]
    assert len(sections[0]) == len(sections[1])
    for section in zip(*sections):
        title = section[0].split("\n")[0]
        assert _code(section[0]) == _code(section[1]), title
        prose = [INDENTED.sub("", FENCED.sub("", text)) for text in section]
        for pattern in (r"\d(?:[\d,.]*\d)?", r"`([^`]+)`"):
            ours, theirs = (Counter(" ".join(found.split()) for found in re.findall(pattern, text)) for text in prose)
            assert ours == theirs, (title, ours - theirs, theirs - ours)
