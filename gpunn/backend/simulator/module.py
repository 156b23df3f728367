"""Compiled kernel texts: the simulator's counterpart of `cupy.RawModule`."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import shutil
import threading
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cache, compiler, native, places, source
from .arguments import Argument
from .elf import Elf
from .errors import SimulatorError
from .function import RawKernel
from .profile import Counted, Profiles

if TYPE_CHECKING:
    from .sanitized import Child

_IGNORED = re.compile(
    r"-{1,2}(std=|use_fast_math|fmad|arch|gpu-architecture|ftz|prec-|extra-device-vectorization|device-debug|"
    r"generate-line-info|lineinfo|G$|default-device|maxrregcount|restrict|w$|dopt|split-compile|minimal|jitify)"
)


class RawModule:
    """The kernels of a text, compiled for the CPU when the first is asked for.

    Args:
        code: the CUDA C++ text. Errors name it ``kernel.cu``, unless it begins with ``#line 1 "name.cu"``.
        options: the compiler's. ``-I`` and ``-D`` count; those that say how NVRTC is to generate code for a GPU have no
            meaning here and are ignored. ``--use_fast_math`` is one of them: the results are those without it.
        name_expressions: the kernels that can be got, such as ``"axpy<float>"``; without it all that the text declares.
        mode: ``"fast"`` runs kernels as fast as it can and notices what it sees in passing (barriers that do not meet,
            accesses to no memory at all). ``"check"`` watches every access: races, bounds, undefined values of shared
            memory and more, tens of times slower. ``"asan"`` is the address sanitizer's view, in a process of its own.
            ``"profile"`` counts what a GPU would do: executed lines, sectors of memory, conflicts between banks.
        workers: threads of the operating system that run blocks; by default ``$GPUNN_SIMULATOR_WORKERS``, else one a
            core. A launch starts them only when it takes longer than starting them does.
        profiles: in the mode "profile", the list that each launch adds its `LaunchProfile` to.
        counted_blocks: in that mode, how many blocks of a larger grid are counted, evenly spread; None: all.
        only_counted: no other block runs, so what the kernel writes is incomplete.
    """

    def __init__(
        self,
        *,
        code: str,
        options: Sequence[str] = (),
        name_expressions: Sequence[str] | None = None,
        mode: str = "fast",
        workers: int | None = None,
        profiles: Profiles | None = None,
        counted_blocks: int | None = None,
        only_counted: bool = False,
    ) -> None:
        if mode not in compiler.KERNEL_FLAGS:
            raise SimulatorError(f"mode is one of {', '.join(compiler.KERNEL_FLAGS)}, got {mode!r}", kind="argument")
        self.code = code
        self.options = tuple(_taken(options))
        self.mode = mode
        self.workers = min(workers or _default_workers(), native.MAX_WORKERS)
        self.profiles = Profiles() if profiles is None else profiles
        self.counted_blocks = counted_blocks
        self.only_counted = only_counted
        self.lock = threading.RLock()
        self.kernels = source.kernels(code)
        names = name_expressions or [k.name for k in self.kernels.values() if not k.is_template]
        self.symbols = {name: f"{i}" for i, name in enumerate(names)}
        self.path: Path | None = None
        self._libraries: list[Any] = []
        self._offset: list[int] = []
        self._layout: dict[str, Any] = {}
        self._others: dict[str, RawModule] = {}
        self.sanitized = False  # this process has the address sanitizer
        self._child: Child | None = None
        self._explicit = name_expressions is not None
        _modules.add(self)

    def get_function(self, name: str) -> RawKernel:
        """A kernel that can be launched.

        Args:
            name: as in the text, or as in `name_expressions`.

        Raises:
            SimulatorError: the text does not compile, or has no such kernel.
        """
        if name not in self.symbols:
            if self._explicit or not re.search(rf"\b{re.escape(name)}\b", self.code):
                raise SimulatorError(
                    f"there is no kernel {name!r}; there are: {', '.join(self.symbols) or 'none'}", kind="argument"
                )
            # A macro makes it: the compiler will know.
            if name not in self._others:
                self._others[name] = RawModule(
                    code=self.code,
                    options=self.options,
                    name_expressions=[name],
                    mode=self.mode,
                    workers=self.workers,
                    profiles=self.profiles,
                    counted_blocks=self.counted_blocks,
                    only_counted=self.only_counted,
                )
            return self._others[name].get_function(name)
        if self.mode == "asan" and not self.sanitized:
            return self._sanitized_kernel(name)
        self.compile()
        return RawKernel(self, name)

    def _sanitized_kernel(self, name: str) -> RawKernel:
        from .sanitized import Child, SanitizedKernel

        with self.lock:
            if self._child is None:
                self._child = Child(self.code, self.options, list(self.symbols))
                twin = RawModule(code=self.code, options=self.options, name_expressions=list(self.symbols), workers=1)
                self._others["twin"] = twin
        return SanitizedKernel(self._others["twin"], name, self._child)

    def compile(self) -> None:
        """Compile the text and load it, unless that was done."""
        with self.lock:
            if self._libraries:
                return
            self.path = self._compiled()
            self._layout = _read_layout(self.path.with_suffix(".json"))
            # A grid barrier needs all blocks at once, and the checker sees one thread at a time: both on one worker.
            if self._layout["grid_barrier"] or self.mode != "fast":
                self.workers = 1
            self._load(self.path)

    # -- what a kernel needs of its module

    def signature(self, name: str) -> list[Argument]:
        """The parameters of a kernel."""
        out = ctypes.create_string_buffer(8192)
        getattr(self._libraries[0], f"simulator_signature_{self.symbols[name]}")(out)
        kernel = self.kernels.get(name.split("<")[0].strip())
        words = out.value.decode().split()
        if kernel is None or len(kernel.parameters) != len(words):
            return [Argument(name, i, "", word) for i, word in enumerate(words)]
        parameters = zip(kernel.parameters, words, kernel.restricted)
        return [Argument(name, i, *parameter) for i, parameter in enumerate(parameters)]

    def bound(self, name: str) -> int:
        """The most threads that a block of the kernel may have."""
        found = getattr(self._libraries[0], f"simulator_bound_{self.symbols[name]}", None)
        return min(int(found()), 1024) if found else 1024

    def shared_arrays(self, name: str) -> list[int]:
        """The __shared__ arrays that a kernel uses, as positions among those of the module."""
        used: list[int] = self._layout["used"][self.symbols[name]]
        return used

    def shared_bytes(self, arrays: list[int]) -> int:
        """The size of some of the module's __shared__ arrays."""
        return sum(self._layout["shared"][i][1] for i in arrays)

    def worker(self, index: int, name: str) -> tuple[int, int]:
        """The addresses of the scheduler and of the kernel in the copy of the module that worker `index` runs."""
        with self.lock:
            while len(self._libraries) <= index:
                self._load(self._copy(len(self._libraries)))
        library = self._libraries[index]
        run = ctypes.cast(library.simulator_run, ctypes.c_void_p).value
        kernel = ctypes.cast(getattr(library, f"simulator_kernel_{self.symbols[name]}"), ctypes.c_void_p).value
        assert run and kernel
        return run, kernel

    def place(self, pc: int) -> list[tuple[str, int]]:
        """The file and line of an instruction, and those of the calls that it was inlined through."""
        for offset in self._offset:
            assert self.path is not None
            (place,) = places.places(self.path, [pc - offset])
            if place:
                return place
        return []

    @cached_property
    def counted(self) -> Counted:
        """What the profiler counts."""
        assert self.path is not None
        return Counted(self._libraries[0], self.path, self._offset[0])

    # -- compiling and loading

    def _compiled(self) -> Path:
        more = shlex.split(os.environ.get("GPUNN_SIMULATOR_FLAGS", ""))
        common = [*compiler.KERNEL_FLAGS[self.mode], *more]
        flags = [*common, *self.options]
        folders = [Path(o[2:]) for o in self.options if o.startswith("-I")]
        headers = [f"{path.name}\0{text}" for path, text in source.included(self.code, folders)]
        ucontext = os.environ.get("GPUNN_SIMULATOR_FIBERS") == "ucontext"
        exports = {symbol: name for name, symbol in self.symbols.items()}
        text = source.translation_unit(self.code, exports, self._bounds())
        name = f"{self.mode}-{compiler.key(text, *sorted(headers), *flags, str(ucontext))}"
        path = cache.folder() / f"{name}.so"

        def make(out: Path) -> None:
            cpp, obj, script = out.with_suffix(".cpp"), out.with_suffix(".o"), out.with_suffix(".ld")
            try:
                cpp.write_text(text, encoding="utf-8")
                call = [*flags, *compiler.parsed_headers(common), "-c", str(cpp)]
                compiler.compile_to(obj, call, "the kernel text")
                # Linked apart, because the sanitizers' libraries must not be: the checker takes their place.
                compiled = Elf(obj)
                link = ["-shared", "-Wl,-Bsymbolic", str(obj)]
                link += [str(o) for o in compiler.scheduler_objects(self.mode, ucontext)]
                link += ["-fsanitize=address"] if self.mode == "asan" else compiler.LIBRARIES
                if self.mode in compiler.WATCHERS:
                    script.write_text(_apart(compiled))
                    link.append(f"-Wl,-T,{script}")
                compiler.compile_to(out, link, "the module")
                layout = json.dumps(_layout(compiled, Elf(out), list(exports)))
                cache.once(path.with_suffix(".json"), lambda out: out.write_text(layout), again=True)
            finally:
                cpp.unlink(missing_ok=True)
                obj.unlink(missing_ok=True)
                script.unlink(missing_ok=True)

        return cache.once(path, make, again=not _read_layout(path.with_suffix(".json")))

    def _bounds(self) -> dict[str, str]:
        """The launch bounds that the compiler can evaluate outside the kernel."""
        bounds = {}
        for name, symbol in self.symbols.items():
            kernel = self.kernels.get(name.split("<")[0].strip())
            if kernel and kernel.bound and ("<" not in name or kernel.bound.isdigit()):
                bounds[symbol] = kernel.bound
        return bounds

    def _copy(self, index: int) -> Path:
        """The module in another file, which the loader takes for another module with its own variables."""
        assert self.path is not None
        path, original = self.path.with_name(f"{self.path.stem}.{index}.so"), self.path
        return cache.once(path, lambda out: shutil.copyfile(original, out))

    def _load(self, path: Path) -> None:
        native.host()  # brings the C++ library
        try:
            library: Any = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise SimulatorError(f"a compiled module could not be loaded and was removed: {error}") from error
        address = ctypes.cast(library.simulator_run, ctypes.c_void_p).value
        assert address
        offset = address - self._layout["run"]
        arrays = self._layout["shared"]
        shared = (native.Shared * max(len(arrays), 1))(
            *(native.Shared(offset + at, size, _variable(symbol).encode()[:95]) for at, size, symbol in arrays)
        )
        library.simulator_set_shared(len(arrays), shared)
        self._libraries.append(library)
        self._offset.append(offset)


_modules: weakref.WeakSet[RawModule] = weakref.WeakSet()


def _renew_locks() -> None:
    """Free what other threads held when the process was forked: the child has not got these threads."""
    for module in _modules:
        module.lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)


def _taken(options: Sequence[str]) -> list[str]:
    """The options that mean something here. -I and -D may be followed by their value as an option of its own."""
    taken, waiting = [], ""
    for option in options:
        if waiting:
            taken.append(waiting + option)
            waiting = ""
        elif option in ("-I", "-D"):
            waiting = option
        elif option.startswith(("-I", "-D", "-U")):
            taken.append(option)
        elif option.startswith(("--include-path=", "--define-macro=")):
            taken.append(("-I" if option[2] == "i" else "-D") + option.split("=", 1)[1])
        elif not _IGNORED.match(option):
            raise SimulatorError(f"the compiler's option {option!r} is not known to the simulator", kind="argument")
    return taken


def _default_workers() -> int:
    chosen = os.environ.get("GPUNN_SIMULATOR_WORKERS")
    if chosen:
        if not chosen.isdigit() or int(chosen) < 1:
            raise SimulatorError(f"GPUNN_SIMULATOR_WORKERS is a number of threads, got {chosen!r}", kind="argument")
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _apart(compiled: Elf) -> str:
    """A script for the linker that puts room between the __shared__ arrays, so that none ends where another begins."""
    room = ". = ALIGN(4096); . += 65536;"
    names = sorted({compiled.sections[s.section].name for s in compiled.variables_of_functions()})
    places = " ".join(f"*({name}) {room}" for name in names)
    begin = "PROVIDE_HIDDEN(simulator_shared_begin = .);"
    return f"SECTIONS {{ .simulator_shared (NOLOAD) : {{ {begin} {room} {places} }} }} INSERT AFTER .bss;\n"


def _layout(compiled: Elf, module: Elf, kernels: Sequence[str]) -> dict[str, Any]:
    """What the loader has to know of a module.

    Returns:
        ``run`` and ``shared``: the addresses before relocation of the scheduler's entry and of the __shared__ arrays
        (address, size, symbol); ``used``: which of these each kernel uses; ``grid_barrier``: whether a kernel has one.
    """
    shared = sorted((s.value, s.size, s.name) for s in module.variables_of_functions())
    sections: dict[str, int] = {s.name: s.section for s in compiled.variables_of_functions()}
    used = {}
    for kernel in kernels:
        reachable = compiled.reachable(f"simulator_kernel_{kernel}")
        used[kernel] = [i for i, (_, _, name) in enumerate(shared) if sections.get(name) in reachable]
    run = next(s.value for s in module.symbols if s.name == "simulator_run" and s.section)
    return {"run": run, "shared": shared, "used": used, "grid_barrier": compiled.refers_to("simulator_grid_barrier")}


def _read_layout(path: Path) -> dict[str, Any]:
    """What `_layout` has found, from a file of the cache; empty where there is none, or a damaged one."""
    if not cache.is_there(path):
        return {}
    try:
        layout = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    whole = isinstance(layout, dict) and layout.keys() == {"run", "shared", "used", "grid_barrier"}
    return layout if whole else {}


def _variable(symbol: str) -> str:
    """The name of a variable in a function, from its mangled name such as ``_ZZ4axpyE4tile``."""
    rest = symbol[symbol.rfind("E") + 1 :]
    for match in re.finditer(r"E(\d+)", symbol):
        length, end = int(match[1]), match.end()
        if re.fullmatch(r"(_\d+|__\d+_)?", symbol[end + length :]):
            rest = symbol[end : end + length]
    return rest
