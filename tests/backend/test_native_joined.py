"""Steps whose calls the loops' library makes in a row: the bits of the same calls made by Python, one by one."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

TEXT = Path(__file__).with_name("native_steps.py")
CASES = [node.name for node in ast.parse(TEXT.read_text()).body if getattr(node, "decorator_list", None)]
CASES.remove("call_by_call")
ALL = ("momentum", "no_momentum", "a_rate_for_each_step", "convolutions", "a_frozen_layer", "batches_of_several_sizes")
"""Those whose calls are all the library's."""


@pytest.fixture(scope="module")
def results() -> Any:
    environment = {**os.environ, "GPUNN_NATIVE": "1"}
    call = [sys.executable, "-m", "tests.backend.native_steps"]
    done = subprocess.run(call, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_bits_of_calls_made_one_by_one(results: Any, name: str) -> None:
    joined, one_by_one = results[name]
    if name == "an_error_when_the_library_has_done_its_work":
        return  # there is no library's work, one by one
    assert joined[:2] == one_by_one[:2]


@pytest.mark.parametrize("name", ALL)
def test_all_calls_are_the_librarys(results: Any, name: str) -> None:
    ours, calls = re.match(r"(\d+) of (\d+) calls are made by the loops' library", results[name][0][2]).groups()
    assert ours == calls
    assert results[name][1][2] == f"nothing is captured: {calls} calls, one after the other"


def test_an_error_behind_the_librarys_work_is_remembered(results: Any) -> None:
    assert results["an_error_when_the_library_has_done_its_work"][0] == [True]


def test_a_label_that_is_none_changes_nothing(results: Any) -> None:
    said, same, _ = results["a_label_that_is_none"][0]
    assert "Target 7 is out of bounds" in said
    assert same
