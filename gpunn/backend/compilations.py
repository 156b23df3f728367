"""What there is to compile: every kernel text in every choice of types, or what finds most of what all would find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from .kernel_texts import kernel_names, kernel_text
from .nvrtc import Job, is_made_for
from .signature import only_architecture, signatures, type_combinations

THOROUGH = ("sm_75", "sm_90")
"""The oldest, and the one that most is written for: where a choice has to be made, these get every type."""
SAMPLED = {"float32", "float64", "int64"}
"""And the others get these: what is used most, and what takes most registers."""


def jobs(archs: Sequence[str], texts: Sequence[str] | None = None) -> list[Job]:
    """Every text (or those named) in every combination of types that it is made for, on every architecture.

    A text that is made for one architecture alone, such as sm_90a, comes on that: on sm_90.
    """
    names = [n for n in kernel_names() if n.endswith(".cu")] if texts is None else texts
    return [
        Job(name, tuple(sorted(types.items())), arch)
        for name in names
        for types in type_combinations(kernel_text(name))
        for arch in archs
        if is_made_for(only_architecture(kernel_text(name)), arch)
    ]


def each_kernel(wanted: Sequence[Job]) -> list[Job]:
    """For each of these the compilations of its kernels by themselves, which is what launches on a GPU need."""
    return [job._replace(kernel=kernel) for job in wanted for kernel in signatures(kernel_text(job.text))]


def sample(wanted: Sequence[Job]) -> list[Job]:
    """Those jobs that find most of what all would find: every type on `THOROUGH`, on the others those of `SAMPLED`."""
    return [job for job in wanted if job.arch in THOROUGH or is_sampled(job)]


def is_sampled(job: Job) -> bool:
    """Whether its types are among `SAMPLED`; a text that is made for none of these has its last type sampled."""
    return dict(job.types) in _sampled_types(job.text)


@cache
def _sampled_types(text: str) -> list[dict[str, str]]:
    made_for = list(type_combinations(kernel_text(text)))
    return [types for types in made_for if set(types.values()) <= SAMPLED] or made_for[-1:]
