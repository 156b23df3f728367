"""Compiling C++ with the machine's compiler."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from . import cache
from .errors import SimulatorError

RUNTIME = Path(__file__).resolve().parent / "runtime"

_LINES = ["-g1", "-gdwarf-4", "-fno-var-tracking"]  # which line an instruction is of; never where a variable is
_COMMON = [
    *("-std=c++17", "-fPIC", "-fvisibility=hidden", "-march=native"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing"),
]
# Without the C++ library <math.h> is the C library's, which is read in a fraction of the time.
_KERNEL = [
    *_COMMON,
    *("-nostdinc++", f"-I{RUNTIME}", "-w"),
    # Variables of templates are each module copy's own, and every function and variable has a section of its own, which
    # tells which function uses which.
    *("-fno-gnu-unique", "-ffunction-sections", "-fdata-sections"),
]
# Every access calls a function that the runtime has. So does every function that is entered, unless it is told not to.
_EVERY_ACCESS = [
    *_LINES,
    "-DSIMULATOR_CHECK",
    "-fsanitize=thread",
    "--param=tsan-instrument-func-entry-exit=0",
]
_UNDEFINED = [
    "-fsanitize=bounds,object-size,alignment,null,signed-integer-overflow,shift-exponent,integer-divide-by-zero,"
    "float-cast-overflow,bool",
    "-fno-sanitize-recover=all",
]

KERNEL_FLAGS = {
    "fast": [*_KERNEL, "-O3", *_LINES],
    "check": [*_KERNEL, "-O1", *_EVERY_ACCESS, *_UNDEFINED],
    # A structure such as float4 stays one access, a loop stays a loop, and every basic block tells when it is entered.
    "profile": [
        *_KERNEL,
        *("-O1", *_EVERY_ACCESS, "-fno-tree-sra", "--param=max-completely-peel-times=0"),
        "-fsanitize-coverage=trace-pc",
    ],
    "asan": [*_KERNEL, "-O1", *_LINES, "-fno-omit-frame-pointer", "-fsanitize=address"],
}
"""How each mode compiles a kernel text."""
RUNTIME_FLAGS = {
    "fast": [*_COMMON, "-O2", "-g1"],
    "check": [*_COMMON, "-O2", "-g1", "-DSIMULATOR_CHECK"],
    "profile": [*_COMMON, "-O2", "-g1", "-DSIMULATOR_CHECK"],
    "asan": [*_COMMON, "-O2", "-g1", "-DSIMULATOR_ASAN"],
}
"""How each mode compiles the scheduler."""
LIBRARIES = ["-nodefaultlibs", "-lgcc", "-lgcc_s", "-lm", "-lc"]
"""What modules are linked with. The C++ library is not among them, since the host library has brought it into the
process: to read its names takes the linker longer than all the rest.
"""
WATCHERS = {"check": "checker", "profile": "profiler"}
"""What the modes that watch every access have beside the scheduler."""

_FAMILIES = {
    "debian": "apt install g++",
    "fedora": "dnf install gcc-c++",
    "rhel": "dnf install gcc-c++",
    "suse": "zypper install gcc-c++",
    "arch": "pacman -S gcc",
    "alpine": "apk add g++",
}


def command() -> list[str]:
    """The compiler: what `CXX` names, else g++.

    Raises:
        SimulatorError: there is none; the message says what to install.
    """
    words = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    program = shutil.which(words[0])
    if program is None:
        raise SimulatorError(
            f"running CUDA kernels on the CPU needs a C++ compiler, and there is no {words[0]!r}: install one with "
            f"{install_hint()}, or name another in the environment variable CXX",
            kind="compiler",
        )
    return [program, *words[1:]]


def install_hint() -> str:
    """The command that installs a compiler on this system, in backticks."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    families = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split()
    for family in families:
        if family in _FAMILIES:
            return f"`{_FAMILIES[family]}`"
    return "`apt install g++` (Debian, Ubuntu) or `dnf install gcc-c++` (Fedora, RHEL)"


@lru_cache(maxsize=8)
def _version(program: str) -> str:
    found = subprocess.run([program, "--version"], capture_output=True, text=True)
    return found.stdout or found.stderr


@lru_cache(maxsize=1)
def _processor() -> str:
    """What -march=native depends on."""
    features = ""
    try:
        found = re.search(r"^(?:flags|Features)\s*:.*$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        features = found[0] if found else ""
    except OSError:
        pass
    return f"{platform.machine()} {platform.processor()} {features}"


@lru_cache(maxsize=1)
def runtime_text() -> str:
    """All sources of the runtime, for the key of what is compiled with them."""
    return "\0".join(
        f"{path.name}\0{path.read_text()}" for path in sorted(RUNTIME.iterdir()) if path.suffix in (".h", ".cpp")
    )


def key(*parts: str) -> str:
    """A name for what these parts, the compiler and the processor determine."""
    compiler = command()
    whole = "\0".join([*parts, *compiler, _version(compiler[0]), _processor(), runtime_text()])
    return hashlib.sha256(whole.encode()).hexdigest()[:24]


def compile_to(output: Path, flags: Sequence[str], what: str) -> None:
    """Run the compiler.

    Raises:
        SimulatorError: it found errors; the message has them, with their places in the text.
    """
    # Folders that the environment adds could hold the C++ library, which kernel texts are compiled without.
    environment = {name: value for name, value in os.environ.items() if name not in ("CPATH", "CPLUS_INCLUDE_PATH")}
    call = [*command(), *flags, "-o", str(output)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment)
    if done.returncode:
        first = re.search(r"^([^\s:]+):(\d+):(?:\d+:)? (?:fatal )?error: ", done.stderr, re.MULTILINE)
        raise SimulatorError(
            f"{what} does not compile:\n{done.stderr[:6000]}",
            kind="compile",
            file=Path(first[1]).name if first else None,
            line=int(first[2]) if first else None,
        )


def parsed_headers(flags: Sequence[str]) -> list[str]:
    """Options by which a text that is compiled with these flags finds the runtime's headers parsed: reading them takes
    longer than reading most kernels.
    """
    path = cache.folder() / f"headers-{key('headers', *flags)}.h"
    header = RUNTIME / "cuda.h"
    call = [*flags, "-x", "c++-header", str(header)]
    cache.once(
        path, lambda out: out.write_text(f'#include "{header}"\n')
    )  # for a compiler that does not take the other
    cache.once(path.with_name(f"{path.name}.gch"), lambda out: compile_to(out, call, "the simulator's headers"))
    return ["-include", str(path)]


def scheduler_objects(mode: str, ucontext: bool) -> list[Path]:
    """The compiled scheduler, and who watches, that every module of a mode is linked with."""
    flags = [*RUNTIME_FLAGS[mode], *(["-DSIMULATOR_UCONTEXT"] if ucontext else [])]
    return [_object(name, tuple(flags)) for name in ("scheduler", WATCHERS.get(mode)) if name]


def _object(name: str, flags: tuple[str, ...]) -> Path:
    path = cache.folder() / f"{name}-{key(name, *flags)}.o"
    source = str(RUNTIME / f"{name}.cpp")
    return cache.once(path, lambda out: compile_to(out, [*flags, "-c", source], f"the simulator's {name}"))


def host_library() -> Path:
    """The compiled part of the runtime that a process has once."""
    flags = [*_COMMON, "-O2", "-shared", "-pthread"]
    path = cache.folder() / f"host-{key('host', *flags)}.so"
    source = str(RUNTIME / "host.cpp")
    return cache.once(path, lambda out: compile_to(out, [*flags, source], "the simulator's host library"))
