"""Fuzzing guided by coverage: every parser reads bytes that nobody foresaw.

    make fuzz                                         # every target for 30 seconds
    python -m tests.fuzz idx toml --seconds 600       # these

A target reads bytes as a file of one kind. It ends, within memory and time, with what was read or with the one error of
its kind (`targets.CLEAN`); anything else is a finding, of which libFuzzer keeps the bytes. What was found once stands
with its bytes in `test_findings.py`. It needs atheris (`pip install '.[fuzz]'`), which brings LLVM's libFuzzer.
"""
