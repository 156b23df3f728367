"""The parser of the command line: argparse, with short errors that suggest what was meant."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from gpunn.printing import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and another one that says where help is. Its subcommands are of this kind.

    Names of options can't be cut short: `gpunn train --ranks` hands on all others, and has to find its own.
    """

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n{self.prog} --help shows what there is\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options; an argument that is none is an error, of the subcommand whose it would be."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = self._innermost(options)
            known = [name for action in parser._actions for name in action.option_strings]
            names = [argument.split("=")[0] for argument in unknown if argument.startswith("-")]
            near = did_you_mean(names[0], known) if names else ""
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return options

    def _innermost(self, options: argparse.Namespace) -> argparse.ArgumentParser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = action.choices.get(getattr(options, action.dest, ""))
                if isinstance(chosen, Parser):
                    return chosen._innermost(options)
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near = did_you_mean(str(value), choices)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{near}; there are {', '.join(choices)}")
