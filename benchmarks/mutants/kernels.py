"""The campaign over the CUDA texts: g++ compiles each change, and the tests of its kernels run until one fails."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gpunn.backend import kernel_texts
from gpunn.backend.cache import cache_folder
from gpunn.backend.launch import compile_options
from gpunn.backend.simulator import SimulatorError, compiler, source
from gpunn.backend.simulator import module as module_file

from . import report
from .cuda_text import Mutant, mutants
from .session import Failure, bounded, confirm, failure, in_a_child, show
from .simulated import check_always, kernels_at, record
from .table import Table, Verdict, cell

OF_THE_SIMULATOR = "tests/backend/simulator/test_kernels.py"
"""For what no kernel uses yet, such as tensor cores: these tests have kernels of their own."""
TESTS = ("tests/kernels", OF_THE_SIMULATOR, "tests/plan/test_captured_bits.py", "tests/plan/test_bad_indices.py")
SHARE, AT_LEAST = 0.1, 20
"""Of the changes of a text so many are tried; of what compiles in less than a second more."""
PATIENCE = 10
"""CPU seconds that the tests of one change may take in all, with compiling."""
ENOUGH = 6
"""Modules that are looked at when a change has survived."""
MANY = 20
"""Of more tests than these the larger half is run where large ones are needed."""
MEMORY = 12 << 30
_codes: dict[tuple[str, str], bytes] = {}
_FOLDER = kernel_texts.kernel_folder()


def chosen(text: str) -> list[Mutant]:
    """The changes of a text that are tried."""
    found = mutants(text, (_FOLDER / text).read_text())
    return found[: max(AT_LEAST, round(min(1, SHARE / _seconds_to_compile(text)) * len(found)))]


def campaign(
    items: Sequence[pytest.Item], part: int, parts: int, only: Sequence[str], patience: float, again: bool = False
) -> None:
    """Try what is not in the tables yet, or has survived and nobody has said why.

    Of `parts` processes at once this one is number `part`.
    """
    by_name = {item.nodeid: item for item in items}
    bare = [name for name in by_name if name.startswith(OF_THE_SIMULATOR)]
    tests = record([item for item in items if item.nodeid not in bare])
    tests |= {name: {"seconds": 0.3, "kernels": []} for name in bare}
    check_always()
    os.environ["GPUNN_CACHE"] = str(cache_folder("mutants"))
    texts = only or kernel_texts.kernel_names()
    unexplained = {(row["text"], int(row["line"]), int(row["column"]), row["after"]) for row in report.unexplained()}

    def left(table: Table) -> list[Mutant]:
        if not again:
            return table.left(chosen(table.name))
        return [m for m in chosen(table.name) if (m.text, m.line, m.column, cell(m.after)) in unexplained]

    todo = [
        (rank * _seconds_to_compile(table.name), table, m)
        for table in map(_table, texts)
        for rank, m in enumerate(left(table))
    ]
    for _, table, mutant in sorted(todo, key=lambda entry: entry[0])[part::parts]:  # every text in turn
        verdict = tried(mutant, by_name, tests, patience, again)
        if again:
            table.forget(mutant)
        table.add(mutant, verdict)
        show(f"{mutant.text}:{mutant.line}:{mutant.column} {mutant.before!r} -> {mutant.after!r}: {verdict}")


def _table(text: str) -> Table:
    return Table("kernels", text, (_FOLDER / text).read_text())


def tried(
    mutant: Mutant,
    by_name: dict[str, pytest.Item],
    tests: dict[str, Any],
    patience: float,
    thorough: bool,
) -> Verdict:
    """Whether a test notices the change; if `thorough`, of those tests whose machine code it changes."""
    users = {
        name for name in kernel_texts.kernel_names() if mutant.text in (name, *kernel_texts.included_headers(name))
    }
    concerned = _concerned(mutant, tests)
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=_memory()) as place:
        folder = Path(shutil.copytree(_FOLDER, Path(place) / "kernels"))
        (folder / mutant.text).write_text(mutant.applied((_FOLDER / mutant.text).read_text()))

        if thorough:
            changed = _changed_modules(mutant, tests, concerned, folder)
            if len(changed) < ENOUGH:  # else there may be more of them
                uses = {n: {(k[0], k[1]) for k in tests[n]["kernels"]} for n in concerned}
                concerned = [n for n in concerned if uses[n] & changed] or concerned

        def run() -> tuple[Failure | None, int]:
            _take_texts_from(folder)
            try:
                return _first_failure(concerned, by_name, tests, users, patience)
            finally:
                _forget_compiled(users)

        answer, seconds = in_a_child(run, 8 * patience + 120, MEMORY)
        survived = not isinstance(answer, str) and answer[0] is None
        if survived and not (changed if thorough else _changed_modules(mutant, tests, concerned, folder)):
            return Verdict("same code", "", "", seconds)
    if isinstance(answer, str):
        return Verdict("caught", answer, "", seconds)
    found, runs = answer
    if found is None:
        return Verdict("survived", f"{runs} tests of {len(concerned)}", "", seconds)
    invalid = any(words in found.what for words in ("does not compile", "could not be loaded"))
    if not invalid:
        confirm(found, by_name, MEMORY)
    what = found.what.replace(f"{cache_folder('simulator')}/", "")
    return Verdict("invalid" if invalid else "caught", what[:90], found.test, seconds)


def _take_texts_from(folder: Path) -> None:
    """In this process the kernel texts lie in another folder."""
    kernel_texts._folder = lambda package: folder  # type: ignore[assignment]
    make = module_file.RawModule.__init__

    def made(self: Any, *, options: Sequence[str] = (), **others: Any) -> None:
        make(self, options=[o.replace(f"-I{_FOLDER}", f"-I{folder}") for o in options], **others)

    module_file.RawModule.__init__ = made  # type: ignore[method-assign]


def _forget_compiled(users: set[str]) -> None:
    """Remove what was compiled of changed texts from the cache."""
    for module in list(module_file._modules):
        text = module.code.split('"', 2)[1] if module.code.startswith("#line") else ""
        if text in users and module.path is not None:
            for path in (module.path, module.path.with_suffix(".json")):
                path.unlink(missing_ok=True)


def _concerned(mutant: Mutant, tests: dict[str, Any]) -> list[str]:
    """The tests that launch a kernel which the changed line is a part of."""
    kernels = {(text, kernel) for text, some in kernels_at(mutant.text, mutant.line).items() for kernel in some}
    found = [name for name, test in tests.items() if any((k[0], k[2]) in kernels for k in test["kernels"])]
    if mutant.before == "acc_t":  # it differs from scalar_t in half precision alone
        halves = [name for name in found if any("float16" in k[1] for k in tests[name]["kernels"])]
        return halves or found
    if mutant.after == "signed char" and len(found) > MANY:  # the larger half: indices beyond 127
        return sorted(found, key=lambda name: tests[name]["seconds"])[len(found) // 2 :]
    return found or [name for name in tests if name.startswith(OF_THE_SIMULATOR)]


def _first_failure(
    concerned: Sequence[str],
    by_name: dict[str, pytest.Item],
    tests: dict[str, Any],
    users: set[str],
    patience: float,
) -> tuple[Failure | None, int]:
    """The first failure of the tests, the cheapest ones first, and how many were run."""
    left, compiled, functions = set(concerned), set[tuple[str, str]](), Counter[str]()
    needs = {n: {(k[0], k[1]) for k in tests[n]["kernels"] if k[0] in users} for n in concerned}
    runs, begun = 0, sum(os.times()[:4])

    def cost(name: str) -> float:
        return tests[name]["seconds"] + sum(_seconds_to_compile(text) for text, _ in needs[name] - compiled) + 0.01

    while left:
        best = min(sorted(left), key=lambda name: cost(name) * (1 + functions[name.split("[")[0]]))
        if runs and sum(os.times()[:4]) - begun + cost(best) > patience:
            break
        runs += 1
        left.remove(best)
        compiled |= needs[best]
        functions[best.split("[")[0]] += 1
        bounded(4 + 10 * tests[best]["seconds"])
        found = failure(by_name[best])
        bounded(0)
        if found is not None:
            return found, runs
    return None, runs


@cache
def _seconds_to_compile(text: str) -> float:
    """About how many CPU seconds a text takes to compile, or the cheapest one that includes it: by what it includes."""
    users = [
        n for n in kernel_texts.kernel_names() if n.endswith(".cu") and text in (n, *kernel_texts.included_headers(n))
    ]
    together = [[n, *kernel_texts.included_headers(n)] for n in users]
    return 0.1 + min(sum(len(kernel_texts.kernel_text(n)) for n in names) for names in together) / 60000


def _changed_modules(
    mutant: Mutant, tests: dict[str, Any], concerned: Sequence[str], folder: Path
) -> set[tuple[str, str]]:
    """Texts and types of which g++ makes other machine code than before, a few of them.

    If there are none, nothing was changed ("trivial compiler equivalence": Papadakis et al., ICSE 2015).
    """
    modules = {(k[0], k[1]) for name in concerned for k in tests[name]["kernels"]}
    users = [m for m in sorted(modules) if mutant.text in (m[0], *kernel_texts.included_headers(m[0]))]
    users.sort(key=lambda m: (kernel_texts.kernel_path(m[0]).stat().st_size, "float32" not in m[1], m[1]))
    found: set[tuple[str, str]] = set()
    for text, types in users:
        try:
            if _machine_code(folder, text, types) != _machine_code(_FOLDER, text, types):
                found.add((text, types))
        except SimulatorError:  # it does not compile
            found.add((text, types))
        if len(found) == ENOUGH:
            break
    return found if users else {("", "")}


def _machine_code(folder: Path, text: str, types: str) -> bytes:
    """A hash of what g++ makes of a text; of one that is not changed it is kept."""
    if folder == _FOLDER and (text, types) in _codes:
        return _codes[text, types]
    code = (folder / text).read_text()
    kernels = {str(i): name for i, name in enumerate(source.kernels(code))}
    flags = [flag for flag in compiler.KERNEL_FLAGS["fast"] if not flag.startswith(("-g", "-O"))]
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=_memory()) as place:
        (Path(place) / "code.cpp").write_text(source.translation_unit(code, kernels, {}))
        # With the same name and folder for all, which the compiler may write down.
        options = [
            *flags,
            "-O1",
            *compile_options(json.loads(types)),
            f"-I{folder}",
            f"-ffile-prefix-map={place}=.",
            f"-ffile-prefix-map={folder}=.",
        ]
        compiler.compile_to(Path(place) / "code.s", [*options, "-S", str(Path(place) / "code.cpp")], text)
        made = hashlib.sha256((Path(place) / "code.s").read_bytes()).digest()
    if folder == _FOLDER:
        _codes[text, types] = made
    return made


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
