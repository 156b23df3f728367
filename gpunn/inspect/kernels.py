"""What each CUDA kernel takes of a GPU, by NVIDIA's compiler, on any machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gpunn.backend import compilations, nvrtc
from gpunn.backend.nvrtc import Compiled, CompileError, Job


@dataclass(frozen=True)
class KernelReport:
    """All kernel texts, compiled for some architectures.

    Attributes:
        nvrtc: the compiler's version, such as "12.9".
        results: what came of each text, choice of types and architecture: the compiled text or its error.
    """

    nvrtc: str
    results: dict[Job, Compiled | CompileError]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each kernel, choice of types and architecture."""
        return [
            {"text": job.text, "kernel": name, "types": dict(job.types), "arch": job.arch, **asdict(usage)}
            for job, made in self.results.items()
            if isinstance(made, Compiled)
            for name, usage in made.kernels.items()
        ]

    @property
    def errors(self) -> list[str]:
        """The compiler's errors."""
        return [str(made) for made in self.results.values() if isinstance(made, CompileError)]

    @property
    def spills(self) -> list[str]:
        """The kernels that spill registers into memory, with how much."""
        return [
            f"{name} ({job}): {usage.spill_stores} bytes of spill stores, {usage.spill_loads} of loads"
            for job, made in self.results.items()
            if isinstance(made, Compiled)
            for name, usage in made.kernels.items()
            if usage.spills
        ]

    def kernel_table(self) -> list[list[Any]]:
        """Rows of text, kernel, types, registers, stack, spills, shared memory; types with the same numbers as one."""
        merged: dict[tuple[Any, ...], list[str]] = {}
        for job, made in self.results.items():
            if isinstance(made, Compiled):
                for name, u in made.kernels.items():
                    key = (job.text, name, u.registers, u.stack, u.spill_stores + u.spill_loads, u.shared)
                    merged.setdefault(key, []).append(" ".join(type_name for _, type_name in job.types))
        order = {key[:2]: i for i, key in reversed(list(enumerate(merged)))}
        return [
            [*key[:2], ", ".join(types), *key[2:]]
            for key, types in sorted(merged.items(), key=lambda entry: order[entry[0][:2]])
        ]

    def arch_table(self) -> tuple[list[str], list[list[Any]]]:
        """A row for each text, a column for each architecture: the most registers of its kernels, or what is wrong."""
        archs = list(dict.fromkeys(job.arch for job in self.results))
        texts = dict.fromkeys(job.text for job in self.results)
        return archs, [[text, *(self._cell(text, arch) for arch in archs)] for text in texts]

    def _cell(self, text: str, arch: str) -> str:
        made = [m for job, m in self.results.items() if (job.text, job.arch) == (text, arch)]
        if not made:  # a text for another architecture alone
            return ""
        if any(isinstance(m, CompileError) for m in made):
            return "error"
        usages = [u for m in made if isinstance(m, Compiled) for u in m.kernels.values()]
        return f"{max(u.registers for u in usages)}" + (" spills" if any(u.spills for u in usages) else "")


def kernel_report(
    archs: Sequence[str],
    every_type: bool = True,
    major: int | None = None,
    on_start: Callable[[int], None] | None = None,
    on_done: Callable[[], None] | None = None,
) -> KernelReport:
    """Compile every kernel text for these architectures.

    Args:
        archs: such as ``["sm_75", "sm_90"]``.
        every_type: whether in every choice of types, or in a sample of them (see `gpunn.backend.compilations.sample`).
        major: of CUDA, whose NVRTC is to compile; see `gpunn.backend.nvrtc.compile_job`.
        on_start: called with the number of compilations.
        on_done: called after each one.

    Raises:
        ValueError: the compiler does not know an architecture.
        NvrtcMissing: there is no NVRTC; the message says what to install.
    """
    for arch in archs:
        check_architecture(arch, major)
    jobs = compilations.jobs(archs)
    if not every_type:
        jobs = compilations.sample(jobs)
    if on_start is not None:
        on_start(len(jobs))
    version = ".".join(map(str, nvrtc.version(major)))
    return KernelReport(version, nvrtc.compile_all(jobs, on_done and (lambda job: on_done()), major))


def check_architecture(arch: str, major: int | None = None) -> None:
    """Raise a ValueError unless this NVRTC compiles for the architecture; it lists those that it compiles for.

    Raises:
        NvrtcMissing: there is no NVRTC.
    """
    known = nvrtc.known_architectures(major)
    if arch not in known:
        number = ".".join(map(str, nvrtc.version(major)))
        raise ValueError(f"NVRTC {number} does not know the architecture {arch!r}; it knows {', '.join(known)}")
