"""Each operator by the ONNX project's own tests, and the table of the docs that says what became of them."""

from __future__ import annotations

import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from .cases import RANDOM, TABLE, cases, row, run  # noqa: E402


def test_all_pass_or_have_a_reason_that_the_docs_list():
    """The table may not say more than is so; it may be behind where more has come to pass since it was written."""
    outcomes, failed = [], []
    for case in cases():
        try:
            outcomes.append(run(case))
        except Exception as error:
            failed.append(f"{case.name}: {type(error).__name__}: {error}")
    assert not failed, "\n".join(failed)
    assert {case.name for case in cases()} >= RANDOM
    assert sum(not o.reason for o in outcomes) >= 1557
    written = TABLE.read_text()
    if f"ONNX {onnx.__version__}," not in written:  # which has other tests
        return
    for operator in {o.operator for o in outcomes if o.reason}:
        line = row(operator, [o for o in outcomes if o.operator == operator])
        assert line in written, f"{line}\nis not in {TABLE}; write it anew: python -m tests.onnx"
