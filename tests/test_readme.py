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
QUICK = [c for c in COMMANDS if c.split()[1] in ("memory", "summary") or "--memory-limit" in c]


def test_there_are_programs_and_commands() -> None:
    assert len(PROGRAMS) >= 3 and len(COMMANDS) >= 10 and len(QUICK) == 4


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


def _without_comments(text: str) -> list[str]:
    return [line.split("  #")[0].rstrip() for line in text.splitlines() if not line.lstrip().startswith("#")]


def test_the_chinese_readme_says_the_same() -> None:
    """The same sections, programs, commands, numbers, and names in backticks, in the same order of sections."""
    ours, theirs = (re.split(r"^## ", text, flags=re.MULTILINE) for text in (README, CHINESE))
    assert len(ours) == len(theirs)
    for english, chinese in zip(ours, theirs):
        title = english.split("\n")[0]
        for pattern in (r"^    (.*)$", r"^```python\n(.*?)^```"):
            blocks = [re.findall(pattern, text, re.DOTALL * ("```" in pattern) | re.MULTILINE) for text in (english, chinese)]
            code = [_without_comments("\n".join(block)) for block in blocks]
            assert code[0] == code[1], title
        for pattern in (r"\d(?:[\d,.]*\d)?", r"`([^`]+)`"):
            found = [Counter(" ".join(n.split()) for n in re.findall(pattern, text)) for text in (english, chinese)]
            assert found[0] == found[1], (title, found[0] - found[1], found[1] - found[0])
