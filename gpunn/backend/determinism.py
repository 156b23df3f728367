"""Algorithms that give the same bits at every run: there are no others."""

from __future__ import annotations

import warnings


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for algorithms that give the same bits at every run, as in PyTorch. There are no others: nothing changes.

    Args:
        mode: True; where it is False a warning says that they are deterministic all the same.
        warn_only: of no effect, since nothing is refused.
    """
    if not mode:
        warnings.warn("gpunn has no nondeterministic algorithms: results stay the same to the bit", stacklevel=2)


def are_deterministic_algorithms_enabled() -> bool:
    """True: the same program gives the same bits again on the same machine; docs/trust.md lists what they depend on."""
    return True


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False: there is nothing to warn of."""
    return False
