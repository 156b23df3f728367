"""The command as its users call it."""

import json

import pytest

from gpunn.cli import main


class Result:
    """What a call of the command left: its exit code, and what it wrote."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def gpunn_command(capsys, tmp_path, monkeypatch):
    """Call ``gpunn ...`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as end:  # argparse leaves so
            code = end.code
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call
