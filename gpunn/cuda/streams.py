"""Streams and events: work on one stream runs in order, and beside that on other streams.

They are CuPy's, with PyTorch's methods; `Stream.cupy` is the CuPy object. What gpunn does goes to the current stream of
its device, which `stream` sets for gpunn and CuPy alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpunn.backend.device import device as Device

from .devices import backend_of


class Stream:
    """A stream of its own on a device; it does not wait for the default stream.

    An array belongs to the stream that it was made on: when it is let go of, that stream may use its memory again. So
    before letting go of an array that another stream still reads, make its stream wait: ``own.wait_stream(other)``.

    Args:
        device: an index, ``"cuda:1"`` or a device; the current one by default.
        priority: lower numbers go first; 0 or below.

    Attributes:
        cupy: the `cupy.cuda.Stream`.
        device: the device.
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        backend = backend_of(device)
        import cupy

        with backend.device:
            self._set(cupy.cuda.Stream(non_blocking=True, priority=priority), backend.ordinal)

    def _set(self, stream: Any, index: int) -> None:
        self.cupy = stream
        self.device = Device("cuda", index)

    @property
    def cuda_stream(self) -> int:
        """CUDA's handle."""
        return int(self.cupy.ptr)

    def __cuda_stream__(self) -> tuple[int, int]:
        """The protocol by which other libraries take the stream."""
        return 0, self.cuda_stream

    def query(self) -> bool:
        """Whether all its work is done."""
        return bool(self.cupy.done)

    def synchronize(self) -> None:
        """Wait until all its work is done, and raise what gpunn's checks have found, such as a bad label."""
        self.cupy.synchronize()
        self.device.backend.look()

    def record_event(self, event: Event | None = None) -> Event:
        """Let an event, a new one by default, happen when the work so far is done."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what comes later wait for an event."""
        self.cupy.wait_event(event.cupy)

    def wait_stream(self, stream: Stream) -> None:
        """Let what comes later wait for all that another stream was given so far."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return NotImplemented
        return self.cuda_stream == other.cuda_stream and self.device is other.device

    def __hash__(self) -> int:
        return hash((self.cuda_stream, self.device.index))

    def __repr__(self) -> str:
        return f"<gpunn.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A place in a stream's work, to wait for or to take the time between two of them.

    Args:
        enable_timing: whether `elapsed_time` will be asked for; without it events cost less.
        blocking: whether `synchronize` lets the processor sleep while it waits.

    Attributes:
        cupy: the `cupy.cuda.Event`; made on the device where it is first recorded.
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self.enable_timing, self.blocking = enable_timing, blocking
        self.cupy: Any = None

    def record(self, stream: Stream | None = None) -> None:
        """Happen when the work so far of a stream, by default the current one, is done."""
        stream = stream or current_stream()
        import cupy

        with backend_of(stream.device).device:
            if self.cupy is None:
                self.cupy = cupy.cuda.Event(block=self.blocking, disable_timing=not self.enable_timing)
            self.cupy.record(stream.cupy)

    def wait(self, stream: Stream | None = None) -> None:
        """Let what a stream, by default the current one, does later wait for this event."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether it has happened; also true if it was never recorded."""
        return self.cupy is None or bool(self.cupy.done)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        if self.cupy is not None:
            self.cupy.synchronize()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to another one; both have to have happened.

        Raises:
            RuntimeError: one was not recorded, or was made without ``enable_timing``.
        """
        for event in (self, end):
            if event.cupy is None or not event.enable_timing:
                raise RuntimeError("elapsed_time takes two recorded events that were made with enable_timing=True")
        import cupy

        return float(cupy.cuda.get_elapsed_time(self.cupy, end.cupy))


@contextmanager
def stream(stream: Any) -> Iterator[None]:
    """Inside, gpunn and CuPy work on this stream, and its device is the current one; with None nothing changes.

    Args:
        stream: a `Stream`, a `cupy.cuda.Stream` of the current device, or None.
    """
    if stream is None:
        yield
        return
    device, own = (stream.device, stream.cupy) if isinstance(stream, Stream) else (None, stream)
    with backend_of(device).device, own:
        yield


def current_stream(device: Any = None) -> Stream:
    """The stream that the current or the given device works on now."""
    backend = backend_of(device)
    import cupy

    return _wrapped(cupy.cuda.get_current_stream(backend.ordinal), backend.ordinal)


def default_stream(device: Any = None) -> Stream:
    """The stream that a device works on where nobody chose another."""
    backend = backend_of(device)
    import cupy

    return _wrapped(cupy.cuda.Stream.null, backend.ordinal)


def _wrapped(stream: Any, index: int) -> Stream:
    made = Stream.__new__(Stream)
    made._set(stream, index)
    return made
