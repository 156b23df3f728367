"""The campaign over the files of gpunn/ops and gpunn/plan, by the operators of mutmut.

A change is made to one function, in a forked process, by giving it the code of the changed text; then the tests that
call the function run, the fastest ones first.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
import types
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gpunn.backend.cache import cache_folder

from . import report
from .cuda_text import Mutant
from .session import Failure, bounded, confirm, failure, in_a_child, show
from .table import Table, Verdict, cell

ROOT = Path(__file__).parents[2]
FOLDERS = ("gpunn/ops", "gpunn/plan")
NOT_COMPUTING = ("report.py", "report_text.py", "listing.py", "note.py", "interrupt.py", "__init__.py")
ELSEWHERE = ("overlap.py", "separable.py")
"""What tests of trainings and of several processes try, which take too long to be run for each change."""
TESTS = (
    "tests/ops",
    "tests/plan",
    "tests/nn",
    "tests/autograd",
    "tests/test_tensor.py",
    "tests/test_random.py",
    "tests/optim",
    "tests/backend/test_cuda_interop.py",
)
LEFT_OUT = ("test_on_another_device", "test_every_case_on_the_gpu")
MESSAGES = ("raise", "assert", "return f", 'f"', "f'", '"', "warnings.warn")
"""Lines that begin so are prose, or tell it."""
OF_LINES, AT_LEAST = 0.04, 3
"""So many changes are tried of each file: a share of its lines."""
LONGEST = 10
PATIENCE = 12
MEMORY = 8 << 30


def files() -> list[str]:
    """The files that are changed."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [str(path.relative_to(ROOT)) for path in found if path.name not in NOT_COMPUTING + ELSEWHERE]


def mutants(file: str, source: str) -> Iterator[tuple[Mutant, str]]:
    """Every change of a file and the changed text: of each kind one in turn, in a random order, always the same."""
    import libcst
    from mutmut.mutation.file_mutation import create_mutations, deep_replace

    module, mutations, _, _ = create_mutations(file, source)
    kinds: dict[str, list[Any]] = {}
    for mutation in mutations:
        if not isinstance(mutation.original_node, (libcst.BaseString, libcst.Raise)):
            kinds.setdefault(type(mutation.original_node).__name__, []).append(mutation)
    for some in kinds.values():
        Random(file).shuffle(some)
    before = source.splitlines()
    for kind, mutation in [
        (k, m) for turn in zip_longest(*kinds.values()) for k, m in zip(kinds, turn) if m is not None
    ]:
        changed = deep_replace(module, mutation.original_node, mutation.mutated_node)
        assert isinstance(changed, libcst.Module)
        after = changed.code.splitlines()
        line = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), None)
        if line is not None and not before[line].strip().startswith(MESSAGES):
            yield Mutant(file, line + 1, 1, kind, before[line].strip(), after[line].strip()), changed.code


def chosen(file: str, source: str) -> dict[Mutant, str]:
    """The changes of a file that are tried."""
    return dict(islice(mutants(file, source), max(AT_LEAST, round(OF_LINES * source.count("\n")))))


def campaign(
    items: Sequence[pytest.Item], part: int, parts: int, only: Sequence[str], patience: float, again: bool = False
) -> None:
    """Try what is not in the tables yet, or has survived and nobody has said why.

    Of `parts` processes at once this one is number `part`.
    """
    unexplained = {(row["text"], row["line"], row["after"]) for row in report.unexplained("python")}
    by_name = {item.nodeid: item for item in items}
    tests = {name: test for name, test in recorded(items).items() if name in by_name}
    for file in list(only or files())[part::parts]:
        source = (ROOT / file).read_text()
        table, some = Table("python", file, source), chosen(file, source)
        survivors = [m for m in some if (file.replace("/", "."), str(m.line), cell(m.after)) in unexplained]
        for mutant in survivors if again else table.left(some):
            verdict = tried(mutant, source, some[mutant], by_name, tests, patience)
            if again:
                table.forget(mutant)
            table.add(mutant, verdict)
            show(f"{file}:{mutant.line} {mutant.before!r} -> {mutant.after!r}: {verdict}")


def tried(
    mutant: Mutant, source: str, changed: str, by_name: dict[str, pytest.Item], tests: dict[str, Any], patience: float
) -> Verdict:
    """Whether a test notices the change."""
    path = str(ROOT / mutant.text)
    try:
        pairs = list(zip(_functions(source, path), _functions(changed, path)))
    except SyntaxError as error:
        return Verdict("invalid", str(error), "", 0)
    ours = [(a, b) for a, b in pairs if a.co_firstlineno <= mutant.line <= _last_line(a)]
    if not ours:
        return Verdict("invalid", "outside of functions", "", 0)
    old, new = max(ours, key=lambda pair: pair[0].co_firstlineno)
    if old == new:
        return Verdict("same code", "", "", 0)
    function = f"{mutant.text}:{old.co_qualname}"
    concerned = sorted((t["seconds"], name) for name, t in tests.items() if function in t["functions"])

    functions = _functions_of(path, old)
    if not functions:
        return Verdict("invalid", f"no function {old.co_qualname} is there", "", 0)

    def run() -> tuple[Failure | None, int]:
        for some in functions:
            some.__code__ = new
        return _first_failure([name for _, name in concerned], by_name, tests, patience)

    answer, seconds = in_a_child(run, 8 * patience + 60, MEMORY)
    if isinstance(answer, str):
        return Verdict("caught", answer, "", seconds)
    found, runs = answer
    if found is None:
        return Verdict("survived", f"{runs} tests of {len(concerned)}", "", seconds)
    confirm(found, by_name, MEMORY)
    return Verdict("caught", found.what[:90], found.test, seconds)


def _functions(source: str, path: str) -> Iterator[types.CodeType]:
    """The code of the functions and methods of a text, without those inside others, in the order of the text."""
    todo = [compile(source, path, "exec", dont_inherit=True)]
    while todo:
        code = todo.pop(0)
        for inner in code.co_consts:
            if isinstance(inner, types.CodeType):
                is_class = not inner.co_flags & 0x2  # CO_NEWLOCALS
                if is_class:
                    todo.append(inner)
                else:
                    yield inner


def _last_line(code: types.CodeType) -> int:
    """The last line of a function."""
    inner = [_last_line(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return max([line for _, _, line in code.co_lines() if line is not None] + inner)


def _functions_of(path: str, code: types.CodeType) -> list[types.FunctionType]:
    """The functions that have this code, wherever they are."""
    return [
        f
        for f in gc.get_objects()
        if type(f) is types.FunctionType  # a proxy of something lazy would be asked for its class
        and f.__code__.co_filename == path
        and (f.__code__.co_qualname, f.__code__.co_firstlineno) == (code.co_qualname, code.co_firstlineno)
    ]


def _first_failure(
    concerned: Sequence[str], by_name: dict[str, pytest.Item], tests: dict[str, Any], patience: float
) -> tuple[Failure | None, int]:
    """The first failure of the tests, of each test function the fastest ones first, and how many were run."""
    left, functions = dict.fromkeys(concerned), Counter[str]()
    spent, runs = 0.0, 0
    while left:
        best = min(left, key=lambda n: (tests[n]["seconds"] + 0.002) * (1 + functions[n.split("[")[0]]))
        spent += tests[best]["seconds"] + 0.002
        if runs and spent > patience:
            break
        runs += 1
        del left[best]
        functions[best.split("[")[0]] += 1
        bounded(3 + 10 * tests[best]["seconds"])
        found = failure(by_name[best])
        bounded(0)
        if found is not None:
            return found, runs
    return None, runs


def recorded(items: Sequence[pytest.Item]) -> dict[str, Any]:
    """For each test its ``seconds``, and the ``functions`` it calls as "file:qualified name".

    They are kept in the cache until there are other functions.
    """
    names = [f"{f}:{c.co_qualname}" for f in files() for c in _functions((ROOT / f).read_text(), f)]
    key = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    path = cache_folder("mutants") / f"functions-{key}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    items = [item for item in items if item.nodeid not in found and not any(word in item.nodeid for word in LEFT_OUT)]
    for begin in range(0, len(items), 400):
        answer, _ = in_a_child(partial(_calls, items[begin : begin + 400]), 3600, MEMORY)
        if not isinstance(answer, str):
            found |= answer
        show(f"{begin} of {len(items)} tests recorded; {answer if isinstance(answer, str) else ''}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


def _calls(items: Sequence[pytest.Item]) -> dict[str, Any]:
    prefixes = tuple(str(ROOT / folder) for folder in FOLDERS)
    seen: set[types.CodeType] = set()

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    found = {}
    for item in items:
        seen.clear()
        before = time.process_time()
        sys.setprofile(watch)
        failed = failure(item)
        sys.setprofile(None)
        seconds = time.process_time() - before
        called = [code for code in seen if code.co_filename.startswith(prefixes)]
        ours = {f"{code.co_filename[len(str(ROOT)) + 1 :]}:{code.co_qualname}" for code in called}
        useful = failed is None and seconds < LONGEST
        found[item.nodeid] = {"seconds": round(seconds, 4), "functions": sorted(ours) if useful else []}
    return found
