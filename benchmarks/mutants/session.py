"""A pytest session that collects tests once and runs some of them again and again, each time in a process of its own.

The process that collects runs no test itself, so that a forked one has nothing that an earlier test left behind.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item

LOOK = 1.0
"""Seconds between two looks at a process that does not answer."""


class Failure(NamedTuple):
    """How a test failed: its name and what was raised, in a line."""

    test: str
    what: str


def collected(paths: Sequence[str], work: Callable[[list[pytest.Item]], None]) -> None:
    """Collect the tests of some paths, and do `work` with them where pytest would run them."""

    class Plugin:
        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            gc.unfreeze()  # else functions and backends that were made until here are not found among objects
            work(session.items)
            return True

    options = (
        "-s",
        "-o",
        "addopts=--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:terminal",
        "-p",
        "no:xdist",
        "-p",
        "no:faulthandler",
    )
    code = pytest.main([*options, *paths], plugins=[Plugin()])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"the tests could not be collected (pytest ended with {code!r})")


def failure(item: pytest.Item) -> Failure | None:
    """Run a test in this process; how it failed, or None."""
    item._initrequest()  # type: ignore[attr-defined]  # what an earlier run of the test left
    with catch_warnings_for_item(item.config, item.ihook, "runtest", item):  # with its marks' filters
        reports = runtestprotocol(item, log=False, nextitem=None)
    for report in reports:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = " ".join((crash.message if crash else str(report.longrepr)).split())
            return Failure(item.nodeid, text.removeprefix("gpunn.backend.simulator.errors.")[:300])
    return None


def confirm(found: Failure, by_name: Mapping[str, pytest.Item], memory: int) -> None:
    """Run the test that has noticed a change again, without the change, now.

    Raises:
        SystemExit: it fails then too, so that it has noticed something else: files that were changed meanwhile, a
            machine without memory. Nothing more would be learnt.
    """
    answer, _ = in_a_child(lambda: failure(by_name[found.test]), 300, memory)
    if answer is not None:
        what = answer if isinstance(answer, str) else answer.what
        raise SystemExit(f"{found.test} fails without any change too ({what}): mend that, then go on")


def in_a_child(work: Callable[[], Any], seconds: float, memory: int = 0) -> tuple[Any, float]:
    """What `work` returns in a forked process, and the CPU seconds of that process and those it started.

    A process that dies gives the text ``"died of SIGSEGV"``; one that raises ``"raised SystemExit: ..."``; one that
    takes more CPU time than `seconds`, or sleeps for longer, ``"out of time"``. How long it waits for a processor does
    not count: the machine may be busy.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            os.close(read)
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            try:
                answer = pickle.dumps(work())
            except BaseException as error:
                answer = pickle.dumps(f"raised {type(error).__name__}: {error}"[:90])
            with os.fdopen(write, "wb") as file:
                file.write(answer)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    content, asleep, late = b"", 0.0, False
    while True:
        ready, _, _ = select.select([read], [], [], LOOK)
        if ready:
            piece = os.read(read, 1 << 16)
            if not piece:
                break
            content += piece
            continue
        used, runs = _at_work(child)
        asleep = 0.0 if runs else asleep + LOOK
        if max(used, asleep) > seconds:
            late = True
            os.killpg(child, signal.SIGKILL)
            break
    os.close(read)
    _, status, usage = os.wait4(child, 0)
    taken = usage.ru_utime + usage.ru_stime
    if content and not late:
        return pickle.loads(content), taken
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF):
        return "out of time", taken
    return f"died of {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "died", taken


def _at_work(group: int) -> tuple[float, bool]:
    """The CPU seconds that the processes of a group have taken, and whether a thread of them runs or would like to."""
    ticks, runs = 0, False
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have ended meanwhile
            state = (process / "stat").read_text().rpartition(")")[2].split()  # from the third field on, see proc(5)
            if int(state[2]) == group:
                ticks += sum(map(int, state[11:15]))
                threads = ((task / "stat").read_text() for task in (process / "task").iterdir())
                runs |= any(text.rpartition(")")[2].split()[0] in "RD" for text in threads)
    return ticks / os.sysconf("SC_CLK_TCK"), runs


def bounded(seconds: float) -> None:
    """End this process when it has taken so many more CPU seconds; 0 takes the bound away."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)


def show(line: str) -> None:
    """A line about where a campaign stands."""
    print(line, file=sys.stderr, flush=True)
