"""What CUDA's errors mean for who trains, in one line each."""

from __future__ import annotations

FORKED = (
    "the process that this one was forked from has used CUDA, which does not work in its children then; start them "
    "with the method 'spawn', as multiprocessing.get_context('spawn') does"
)
_NO_CONTEXT = {
    "cudaErrorDevicesUnavailable": (
        "another process has it for itself (the compute mode is exclusive), or nobody may use it (prohibited); "
        "nvidia-smi shows the mode and the processes"
    ),
    "cudaErrorMemoryAllocation": (
        "it has no memory left for one more process, which takes some hundred MiB to begin with; "
        "nvidia-smi shows what else runs there"
    ),
    "cudaErrorInitializationError": FORKED,
}
_LOST = "nvidia-smi says whether the GPU is still there, and the system's log (dmesg) has lines with Xid about it"


def why_no_context(error: Exception) -> str:
    """Why a process can't begin with a device, given the error of its first call."""
    return f"{error}; {_NO_CONTEXT.get(_name(error), _LOST)}"


def why_failed(error: Exception) -> str:
    """What has happened to a device that had worked before, given the error of any call."""
    return (
        f"{error}. Some launch up to now went wrong, or the GPU is lost; either ends this process's work on it, so "
        f"start it anew, from a checkpoint. {_LOST}"
    )


def _name(error: Exception) -> str:
    return str(error).partition(":")[0]
