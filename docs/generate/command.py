"""The page of the command: what --help of each command says."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from unittest.mock import patch

from gpunn.cli import COMMANDS, _parser

WIDTH = 88
INTRODUCTION = """# The command gpunn

What `--help` says. `gpunn train` with nothing else trains a network on the bundled digits; `--json` makes the last line
of output one JSON object. Exit codes: 0 done, 1 the run failed, 2 the call was wrong, 130 after Ctrl-C, 143 after
SIGTERM, 129 after SIGHUP."""


def pages() -> dict[str, str]:
    """The text of the one page, in Markdown, by its name."""
    parts = [INTRODUCTION]
    with patch.dict(os.environ, {"COLUMNS": str(WIDTH), "NO_COLOR": "1"}):
        for command in COMMANDS:
            for name, parser in _parsers(f"gpunn {command}", _subparsers(_parser([command]))[command]):
                parts += [f"## {name}", f"```text\n{parser.format_help().rstrip()}\n```"]
    return {"index": "\n\n".join(parts) + "\n"}


def _parsers(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command's parser, and those of the commands below it."""
    yield name, parser
    for below, inner in _subparsers(parser).items():
        yield from _parsers(f"{name} {below}", inner)


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(choices[0]) if choices else {}
