"""Sums over ranks by MPI, from and to the host's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backend.collective import Communicator
from gpunn.backend.recording import forbid

from .watch import Watch

Array = Any


class MpiCommunicator(Communicator):
    """Sums by MPI's all-reduce.

    Gradients and layers have communicators of their own, since each has its own order: a sum of gradients may begin
    while layers still do theirs.

    Args:
        mpi: the module mpi4py.MPI.
        comm: a communicator of it.
        watch: which is told where this rank waits.
        overlaps: whether sums go on in the background (MPI_Iallreduce). Within one machine, whose cores compute as
            well, that gains nothing, and blocking ones are faster.
    """

    def __init__(self, mpi: Any, comm: Any, watch: Watch, overlaps: bool):
        self._mpi = mpi
        self.rank, self.size, self.overlaps = comm.rank, comm.size, overlaps
        self._layers, self._gradients = comm.Dup(), comm.Dup()
        self._watch = watch
        self._open: list[Any] = []

    def all_reduce(self, backend: Any, x: Array) -> None:
        """Let `x` become the sum over all ranks."""
        forbid("sums over ranks")
        host = _to_host(backend, x)
        self._watch.begin("a sum of a layer")
        self._layers.Allreduce(self._mpi.IN_PLACE, host)
        self._watch.end()
        _from_host(backend, host, x)

    def start(self, backend: Any, flat: Array) -> Any:
        """Begin to let `flat` become the sum over all ranks."""
        forbid("sums over ranks")
        host = _to_host(backend, flat)
        if self.overlaps:
            self._open.append(self._gradients.Iallreduce(self._mpi.IN_PLACE, host))
            return host, self._open[-1]
        self._watch.begin("the sum of the gradients")
        self._gradients.Allreduce(self._mpi.IN_PLACE, host)
        self._watch.end()
        return host, None

    def finish(self, backend: Any, flat: Array, started: Any) -> None:
        """Wait until that is done."""
        forbid("sums over ranks")
        host, request = started
        if request is not None:
            self._watch.begin("the sum of the gradients")
            request.Wait()
            self._watch.end()
            self._open.remove(request)
        _from_host(backend, host, flat)

    def spread(self, backend: Any, groups: list[list[Array]]) -> None:
        """Let arrays become what their owner has."""
        forbid("sends what ranks have changed")
        sizes = [sum(x.nbytes for x in group) for group in groups]
        mine = [np.ascontiguousarray(backend.to_numpy(x)).reshape(-1).view(np.uint8) for x in groups[self.rank]]
        found = np.empty(sum(sizes), np.uint8)
        self._watch.begin("the sending of the weights")
        self._gradients.Allgatherv(np.concatenate(mine) if mine else np.empty(0, np.uint8), [found, sizes])
        self._watch.end()
        at = 0
        for rank, group in enumerate(groups):
            for x in group:
                if rank != self.rank:
                    backend.copy(backend.from_numpy(found[at : at + x.nbytes].view(x.dtype).reshape(x.shape)), out=x)
                at += x.nbytes

    def progress(self) -> None:
        """Let MPI go on with sums that were begun: it works only when it is called."""
        for request in self._open:
            request.Test()


def _to_host(backend: Any, x: Array) -> np.ndarray[Any, Any]:
    """The array itself, where it is NumPy's; else a copy. Types that MPI has no sum for become float32."""
    host = x if backend.name == "numpy" else np.array(backend.to_numpy(x))
    return host if host.dtype.kind in "iu" or host.dtype in (np.float32, np.float64) else host.astype(np.float32)


def _from_host(backend: Any, host: np.ndarray[Any, Any], x: Array) -> None:
    """Bring the elements back, where they are not there already."""
    if host is not x:
        backend.copy(backend.from_numpy(host.astype(x.dtype, copy=False)), out=x)
