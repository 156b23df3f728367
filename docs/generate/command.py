"""The page of the command: what --help of each command says."""

from __future__ import annotations

import argparse
import os
from unittest.mock import patch

from gpunn.cli import COMMANDS, _parser

WIDTH = 88


def page() -> str:
    """The page, in Markdown."""
    parts = [
        "# The command gpunn",
        "What `--help` says. `gpunn train` with nothing else trains a network on the bundled digits; `--json` makes the "
        "last line of output one JSON object. Exit codes: 0 done, 1 the run failed, 2 the call was wrong, 130 after "
        "Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.",
    ]
    with patch.dict(os.environ, {"COLUMNS": str(WIDTH), "NO_COLOR": "1"}):
        for name, text in COMMANDS.items():
            summary = text[0].upper() + text[1:]
            parts += [f"## gpunn {name}", f"{summary}.", f"```text\n{_help(name).rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _help(name: str) -> str:
    """What ``gpunn NAME --help`` prints."""
    for action in _parser([name])._actions:
        if isinstance(action, argparse._SubParsersAction):
            return str(action.choices[name].format_help())
    raise LookupError(f"there is no command {name}")
