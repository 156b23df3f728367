"""The ranks that train together, and how they find each other."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpunn.backend import collective
from gpunn.backend.collective import Communicator
from gpunn.backend.device import device as Device
from gpunn.optional import needed

from .watch import LOST, Watch

TIMEOUT = 300.0
"""Seconds that ranks wait for one that hangs, unless the variable GPUNN_PARALLEL_TIMEOUT says otherwise."""
_LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables in which those that start ranks say how many: Open MPI's mpirun, MPICH's and Intel's, SLURM's srun."""
_LAUNCHED = "PMIX_RANK"
"""What PMIx sets, by which they may start ranks too, without saying how many."""


class RanksDiffer(RuntimeError):
    """Ranks were not started alike."""

    on_all_ranks = True


class World:
    """All ranks, as one of them sees them; this one is alone.

    Attributes:
        rank: the number of this rank, from 0.
        size: how many there are.
        local_rank: its number among those on the same machine.
        local_size: how many these are.
        machines: how many machines there are.
        communicator: what sums arrays over all ranks.
    """

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1
    machines = 1
    communicator = Communicator()

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files and shows progress."""
        return self.rank == 0

    def gather(self, value: Any, where: str = "a comparison of the ranks") -> list[Any]:
        """What each rank calls this with, in the order of the ranks; picklable."""
        return [value]

    def collect(self, value: Any, where: str = "the writing of a checkpoint") -> list[Any] | None:
        """What each rank calls this with, for rank 0; None for all others."""
        return [value]

    def broadcast(self, value: Any, where: str = "a message of rank 0") -> Any:
        """What rank 0 calls this with."""
        return value

    def agree(self, *numbers: float) -> np.ndarray[Any, Any]:
        """The numbers of all ranks, (size, count) float64."""
        return np.array([numbers], np.float64)

    def share(self, samples: float) -> float:
        """What part of all ranks' samples this one has, out of so many here: by it the mean loss of a rank counts."""
        total = float(self.agree(samples).sum())
        return samples / total if total else 0.0

    def device(self, device: Any) -> Device:
        """The device of this rank: ``cuda`` stands for the GPUs of a machine, which its ranks take in turn."""
        found = Device(device)
        if found.type != "cuda" or self.size == 1 or ":" in str(device):
            return found
        from gpunn import cuda

        count = cuda.device_count()
        mine = Device(f"cuda:{self.local_rank % count}")
        self._use_gpus(mine, self.local_size <= count)
        return mine

    def _use_gpus(self, device: Device, alone: bool) -> None:
        """Sum from GPU to GPU, if every rank has one for itself."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """An error inside ends all other ranks too, with a message that names this one; not so one that all have, which
        says so by an attribute `on_all_ranks`.
        """
        try:
            yield
        except BaseException as error:
            if not getattr(error, "on_all_ranks", False):
                self.fail(f"{type(error).__name__}: {error}")
            raise

    def fail(self, text: str) -> None:
        """Tell all others that this rank has failed, so that they end too."""

    def set_last_words(self, words: Callable[[str], str]) -> None:
        """Where another rank is lost or fails, this process says so and ends: ``words(message)`` is called before, by
        another thread, and what it returns is the end of the message.
        """

    def __repr__(self) -> str:
        return f"<rank {self.rank} of {self.size}>"


class MpiWorld(World):
    """Ranks that MPI has started; see `init`."""

    def __init__(self, timeout: float):
        late = threading.Timer(timeout, _not_together, (timeout,))
        late.daemon = True
        late.start()
        MPI = _mpi()
        self._mpi = MPI
        comm = self._comm = MPI.COMM_WORLD.Dup()
        self.rank, self.size = comm.rank, comm.size
        on_machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = on_machine.rank, on_machine.size
        on_machine.Free()
        self.machines = len(set(comm.allgather(socket.gethostname())))
        self._watch = Watch(self.rank, self.size, comm.bcast, timeout)
        late.cancel()
        self._failed = False
        from .mpi import MpiCommunicator

        wanted = os.environ.get("GPUNN_PARALLEL_OVERLAP")
        overlaps = self.machines > 1 if wanted is None else wanted == "1"
        self.communicator = MpiCommunicator(MPI, comm, self._watch, overlaps)
        self._before = sys.excepthook
        sys.excepthook = self._end_all
        atexit.register(self._leave)

    def gather(self, value: Any, where: str = "a comparison of the ranks") -> list[Any]:
        """What each rank calls this with."""
        with self._watch.doing(where):
            found: list[Any] = self._comm.allgather(value)
        return found

    def collect(self, value: Any, where: str = "the writing of a checkpoint") -> list[Any] | None:
        """What each rank calls this with, for rank 0."""
        with self._watch.doing(where):
            found: list[Any] | None = self._comm.gather(value)
        return found

    def broadcast(self, value: Any, where: str = "a message of rank 0") -> Any:
        """What rank 0 calls this with."""
        with self._watch.doing(where):
            return self._comm.bcast(value)

    def agree(self, *numbers: float) -> np.ndarray[Any, Any]:
        """The numbers of all ranks."""
        mine = np.array(numbers, np.float64)
        found = np.empty((self.size, mine.size))
        self._watch.begin("the beginning of a step")
        self._comm.Allgather(mine, found)
        self._watch.end()
        return found

    def _use_gpus(self, device: Device, alone: bool) -> None:
        from gpunn import cuda

        from .nccl import NcclCommunicator, usable

        found = usable(alone)
        if all(self.gather(found is not None, "the choice of NCCL or MPI")) and found is not None:
            with cuda.device(device):
                self.communicator = NcclCommunicator(self._mpi, self._comm, self._watch, *found)
            collective.use(self.communicator)
        elif self.is_first:
            print("GPUs are summed over through the host's memory by MPI: they are shared, or there is no NCCL",
                  file=sys.stderr)  # fmt: skip

    def fail(self, text: str) -> None:
        """Tell all others that this rank has failed."""
        self._failed = True
        self._watch.fail(text)

    def set_last_words(self, words: Callable[[str], str]) -> None:
        """What is called before this process ends because of another rank."""
        self._watch.last_words = words

    def _end_all(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        self.fail(f"{kind.__name__}: {error}")
        self._before(kind, error, trace)

    def _leave(self) -> None:
        if not self._failed:  # else the others are gone, and MPI would wait for them
            self._watch.leave()
            self._mpi.Finalize()


class _Current:
    world = World()


def world() -> World:
    """The ranks that train together: one, until `init` has found more."""
    return _Current.world


def init(timeout: float | None = None) -> World:
    """Find the ranks that train together, those that ``mpirun -n N`` or ``srun`` has started; with one there is none.

    Call it once, at the beginning. From then on `gpunn.Trainer` trains on all of them, and `sum_gradients` adds up
    gradients in a loop of one's own. A program that is started by itself needs nothing installed for it.

    Args:
        timeout: seconds after which a rank that hangs is given up, and all others end; 300 if not given.

    Raises:
        ImportError: there are several, and mpi4py is not installed.
        RuntimeError: mpi4py's MPI is not that of the launcher.
        ValueError: the timeout is no positive number.
    """
    if timeout is None:
        given = os.environ.get("GPUNN_PARALLEL_TIMEOUT", str(TIMEOUT))
        try:
            timeout = float(given)
        except ValueError:
            raise ValueError(f"GPUNN_PARALLEL_TIMEOUT is {given!r}; expected a number of seconds") from None
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout}; expected a positive number of seconds")
    timeout = min(timeout, threading.TIMEOUT_MAX / 2)  # what the system's clocks can wait for
    if _Current.world.size == 1 and (launched() > 1 or _LAUNCHED in os.environ):
        made = MpiWorld(timeout)
        _Current.world = made
        collective.use(made.communicator)
    return _Current.world


@contextmanager
def alone() -> Iterator[None]:
    """Inside, each rank trains by itself."""
    before = _Current.world
    _Current.world = World()
    collective.use(Communicator())
    try:
        yield
    finally:
        _Current.world = before
        collective.use(before.communicator)


@contextmanager
def imagined(size: int, rank: int = 0) -> Iterator[None]:
    """Inside, this process counts as a rank of so many, to trace what one would do; nothing is summed."""
    before, _Current.world = _Current.world, World()
    _Current.world.size, _Current.world.rank = size, rank
    try:
        yield
    finally:
        _Current.world = before


def check_same(what: Iterable[tuple[str, Any]], name: Callable[[int], str] = "rank {}".format) -> None:
    """See to it that entries are the same on all ranks.

    Args:
        what: pairs of a name and a value, which is compared by its text.

    Raises:
        RanksDiffer: they are not; the same message on all ranks.
    """
    mine = {key: str(value) for key, value in what}
    ranks = world().gather(mine, "the comparison of the ranks' configurations")
    lines = []
    for rank, theirs in enumerate(ranks):
        for key in dict.fromkeys((*ranks[0], *theirs)):
            first, here = ranks[0].get(key, "nothing"), theirs.get(key, "nothing")
            if first != here:
                lines.append(f"{key} is {_short(first, here)} on {name(0)} and {_short(here, first)} on {name(rank)}")
    if lines:
        raise RanksDiffer(f"ranks can't train together: {'; '.join(lines[:4])}. All have to be started alike")


def _short(text: str, other: str) -> str:
    """A text, or, where it is long, the part that differs from the other one."""
    if max(len(text), len(other)) <= 120:
        return text
    at = next((i for i, (a, b) in enumerate(zip(text, other)) if a != b), min(len(text), len(other)))
    return f"...{' '.join(text[max(0, at - 30) : at + 60].split())}..."


def launched() -> int:
    """How many ranks a launcher has started, by its variables; 1 where there is none, or it does not say."""
    sizes = [int(os.environ[name]) for name in _LAUNCHERS if os.environ.get(name, "").isdigit()]
    return max(sizes, default=1)


def _not_together(timeout: float) -> None:
    """End, since MPI's start waits for a rank that does not come, and has no end of its own."""
    text = (
        f"gpunn: the ranks have not found each other within {timeout:.0f} seconds: one has died or hangs at its start"
    )
    print(text, file=sys.stderr, flush=True)
    os._exit(LOST)


def _mpi() -> Any:
    """MPI, initialised.

    Raises as `init` does.
    """
    needed("mpi4py", "training on several ranks")
    import mpi4py

    mpi4py.rc.finalize = False  # where ranks are gone it would wait for them
    from mpi4py import MPI

    if MPI.COMM_WORLD.size != launched() > 1:
        library = MPI.Get_library_version().splitlines()[0].strip(" \0")
        raise RuntimeError(
            f"{launched()} ranks were started, but mpi4py finds {MPI.COMM_WORLD.size}: it uses {library}, and another "
            "MPI has started the ranks. Start them by the mpirun of that one, or let MPI4PY_LIBMPI name the other's "
            "libmpi.so"
        )
    return MPI
