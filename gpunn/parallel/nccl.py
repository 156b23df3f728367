"""Sums over ranks by NCCL, from GPU to GPU.

It has been tested with a stand-in for CuPy alone, and has not run on GPUs yet.

NCCL works on a stream of its own: it waits by an event for the gradients, which the current stream computes, and that
stream waits by another for the sums. So the backward goes on meanwhile, and the host waits for nothing. A captured step
is cut there into several graphs.
"""

from __future__ import annotations

from typing import Any

from gpunn.backend.recording import forbid

from .mpi import MpiCommunicator

Array = Any


class NcclCommunicator(MpiCommunicator):
    """Sums of arrays on GPUs by NCCL, and of all others by MPI.

    Args:
        mpi: the module mpi4py.MPI.
        comm: a communicator of it.
        watch: which is told where this rank waits.
        cupy: the module.
        nccl: ``cupy.cuda.nccl``.
    """

    def __init__(self, mpi: Any, comm: Any, watch: Any, cupy: Any, nccl: Any):
        super().__init__(mpi, comm, watch, overlaps=True)
        self._cupy, self._nccl = cupy, nccl
        identity = comm.bcast(nccl.get_unique_id() if comm.rank == 0 else None)
        self._communicator = nccl.NcclCommunicator(comm.size, identity, comm.rank)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._types = {
            "float32": nccl.NCCL_FLOAT32,
            "float64": nccl.NCCL_FLOAT64,
            "float16": nccl.NCCL_FLOAT16,
            "bfloat16": nccl.NCCL_BFLOAT16,
            "int64": nccl.NCCL_INT64,
        }

    def all_reduce(self, backend: Any, x: Array) -> None:
        """Let `x` become the sum over all ranks."""
        if not self._takes(x):
            super().all_reduce(backend, x)
            return
        forbid("sums over ranks")
        self._sum(x, self._cupy.cuda.get_current_stream())

    def start(self, backend: Any, flat: Array) -> Any:
        """Begin to let `flat` become the sum over all ranks, behind what the current stream does."""
        if not self._takes(flat):
            return super().start(backend, flat)
        forbid("sums over ranks")
        self._stream.wait_event(self._cupy.cuda.get_current_stream().record())
        self._sum(flat, self._stream)
        return self._stream.record()

    def finish(self, backend: Any, flat: Array, started: Any) -> None:
        """Let the current stream wait until that is done; the host does not."""
        if not self._takes(flat):
            super().finish(backend, flat, started)
            return
        forbid("sums over ranks")
        self._cupy.cuda.get_current_stream().wait_event(started)

    def _takes(self, x: Array) -> bool:
        return isinstance(x, self._cupy.ndarray) and x.dtype.name in self._types

    def _sum(self, x: Array, stream: Any) -> None:
        kind = self._types[x.dtype.name]
        self._communicator.allReduce(x.data.ptr, x.data.ptr, x.size, kind, self._nccl.NCCL_SUM, stream.ptr)


def usable(ranks_alike: bool) -> tuple[Any, Any] | None:
    """CuPy and its NCCL, if each rank of a machine has a GPU of its own; None where it has not, or there is no NCCL.

    Args:
        ranks_alike: whether no rank of this machine has to share a GPU with another one.
    """
    if not ranks_alike:
        return None
    try:
        import cupy
        from cupy.cuda import nccl
    except ImportError:
        return None
    return (cupy, nccl) if nccl.available else None
