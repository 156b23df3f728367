"""Picking by measurement: of all the ways to compute something the one that takes least on this device.

Where nothing is asked for, a prediction picks (`gemm.schedule` and its like). With ``GPUNN_TUNE`` in the environment it
is what was measured on this device, with this driver and version:

- ``off``, the default: as predicted. Nothing is read, and nothing measured.
- ``cached``: what was measured before; what was not is picked as predicted.
- ``full``: what was not measured before is measured when it is first needed, and kept (`picks.Picks`).

What is picked stays: in a process once it was used, on a machine once it was kept. So runs repeat to the bit, and a
pick goes into their numeric fingerprint. Measured are launches in graphs, on random arrays of the product's shape and
never on those of the user; several rounds, in which all ways take turns. A way wins if it takes `MARGIN` less than the
predicted one, so that noise does not pick, and if its result is that of the simplest kernel.

Nothing is measured while a stream captures, and on several ranks, which so all pick from what they find at their start:
there the file is read only.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np

from gpunn.backend import collective, recording
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.recording import Launch, Recorder

from .family import accumulator
from .picks import Picks

Array = Any
Way = TypeVar("Way")
MODES = ("off", "cached", "full")
ROUNDS = 7
MARGIN = 0.05
"""A way has to take so much less than the predicted one."""
GRAPH_SECONDS = 5e-4
MOST_LAUNCHES = 50
"""A way is launched so often in a graph that this takes so long: then a launch by the host does not count."""
TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 8e-2}
"""How far a result may lie from that of the simplest kernel, in root mean squares of it, by the type of the factors.

A sum of n terms is off by about sqrt(n) roundings of it, which are 6e-8 in float32, 5e-4 of a factor in TF32 and
float16, 4e-3 in bfloat16; a term that is missing, by 1 / sqrt(n).
"""


class Trial(NamedTuple):
    """Some work on arrays of its own.

    Attributes:
        run: computes `results` in the way that is picked.
        reference: computes them by the simplest kernel.
        results: arrays.
    """

    run: Callable[[], object]
    reference: Callable[[], object]
    results: Sequence[Array]


def mode() -> str:
    """What ``GPUNN_TUNE`` says: one of `MODES`.

    Raises:
        ValueError: it says something else.
    """
    chosen = os.environ.get("GPUNN_TUNE") or "off"
    if chosen not in MODES:
        raise ValueError(
            f"GPUNN_TUNE is {chosen!r}; expected off (kernels are picked as predicted), cached (as measured before) or "
            "full (and what was not measured before is measured)"
        )
    return chosen


def tuner_of(backend: Any, identity: Callable[[], Mapping[str, str]]) -> Tuner | None:
    """What picks for a backend; None where ``GPUNN_TUNE`` asks for nothing.

    Args:
        backend: the backend.
        identity: says what its times depend on, beside the kernels.

    Raises:
        ValueError: ``GPUNN_TUNE`` is none of `MODES`.
    """
    chosen = mode()
    if chosen == "off":
        return None
    texts = "\0".join(map(kernel_text, kernel_names()))
    version = hashlib.sha256(texts.encode()).hexdigest()[:12]
    return Tuner(backend, Picks({**identity(), "kernels": version}), measures=chosen == "full")


class _Found(NamedTuple):
    way: Any
    name: str
    measured: bool


class _Trying(threading.local):
    """The way that this thread is trying now, of each product; it is one product within another."""

    def __init__(self) -> None:
        self.ways: dict[tuple[Any, ...], Any] = {}


class Tuner:
    """Picks for one device.

    Args:
        backend: the device's.
        kept: what was picked before.
        measures: whether what was not is measured.
    """

    def __init__(self, backend: Any, kept: Picks, measures: bool) -> None:
        self.backend, self.kept, self.measures = backend, kept, measures
        self._found: dict[tuple[Any, ...], _Found] = {}
        self._lock = threading.RLock()
        self._trying = _Trying()

    def pick(
        self,
        op: str,
        sizes: tuple[Any, ...],
        precision: str,
        predicted: Way,
        offered: Callable[[], Mapping[str, Way]],
        trial: Callable[[Any], Trial],
    ) -> Way:
        """The way to compute something.

        Args:
            op: what, such as "linear_forward".
            sizes: of what shape, with a `text` where that is not just numbers.
            precision: the type of the factors, one of `TOLERANCES`.
            predicted: the way that is predicted to take least.
            offered: all ways, by name.
            trial: makes the work on arrays of a backend, to measure them.
        """
        key = op, sizes, precision
        tried = self._trying.ways.get(key)
        if tried is not None:
            way: Way = tried
            return way
        found = self._found.get(key)
        if found is None:
            with self._lock:
                found = self._found.get(key) or self._find(key, predicted, offered(), trial)
                self._found[key] = found
        recorder = recording.current()
        if recorder is not None:
            recorder.picked = "measured" if found.measured else "predicted"
        way = found.way
        return way

    def look_up(
        self, op: str, sizes: tuple[Any, ...], precision: str, predicted: Way, offered: Callable[[], Mapping[str, Way]]
    ) -> Way:
        """As `pick`, as far as it is known; nothing is measured, and nothing settled."""
        found = self._found.get((op, sizes, precision))
        if found is not None:
            way: Way = found.way
            return way
        name = self.kept.get(text_of(op, sizes, precision))
        return predicted if name is None else offered().get(name, predicted)

    def picks(self, also: Mapping[str, Any] = {}) -> dict[str, str]:
        """The way of each product that was picked in this process; and of those in `also` what would be."""
        kept = {product: name for product in also if (name := self.kept.get(product)) is not None}
        return kept | {text_of(*key): found.name for key, found in self._found.items()}

    def _find(
        self,
        key: tuple[Any, ...],
        predicted: Any,
        offered: Mapping[str, Any],
        trial: Callable[[Any], Trial],
    ) -> _Found:
        product, own = text_of(*key), next((name for name, way in offered.items() if way == predicted), "")
        name = self.kept.get(product)
        if name is None and own and self.measures and len(offered) > 1 and self._may_measure():
            row = self._measured(key, own, offered, trial)
            name = None if row is None else self.kept.add(product, row)
        if name is not None:
            if name in offered:
                return _Found(offered[name], name, measured=True)
            warnings.warn(f"{self.kept.path}: {product} has no {name!r}; it is picked as predicted", stacklevel=4)
        return _Found(predicted, own, measured=False)

    def _may_measure(self) -> bool:
        backend = self.backend
        return (
            collective.current().size == 1
            and not backend.streams.get_current_stream().is_capturing()
            and getattr(backend, "mode", "fast") == "fast"  # the simulator's others watch what is launched
            and self.kept.can_be_written()
        )

    # Measuring --------------------------------------------------------------------------------------------------------

    def _measured(
        self, key: tuple[Any, ...], own: str, offered: Mapping[str, Any], make: Callable[[Any], Trial]
    ) -> dict[str, Any] | None:
        """The row of the file for what takes least; None where that could not be found out."""
        product, backend = text_of(*key), self.backend
        try:
            with recording.paused(), backend.here(), _told(product):
                trial = make(backend)
                trial.reference()
                expected = [_Expected(backend, y) for y in trial.results]
                ways = {}
                for name in (own, *(name for name in offered if name != own)):
                    if (launches := self._tried_out(key, name, offered[name], trial, expected)) is not None:
                        ways[name] = launches
                if not ways:
                    return None
                times = self._times(ways)
        except (MemoryError, RuntimeError) as error:  # of CUDA, of its memory, of the simulator
            warnings.warn(f"{product} can't be measured, and is picked as predicted: {error}", stacklevel=5)
            return None
        best = min(times, key=lambda name: times[name])
        if own in times and times[best] > (1 - MARGIN) * times[own]:
            best = own
        us = {name: round(1e6 * seconds, 2) for name, seconds in times.items()}
        return {"pick": best, "us": us[best], "predicted": own, "us_of_predicted": us.get(own), "tried": len(times)}

    def _tried_out(
        self, key: tuple[Any, ...], name: str, way: Any, trial: Trial, expected: Sequence[_Expected]
    ) -> list[Launch] | None:
        """The launches of a way, made once; None where its result is wrong, or it can't be launched."""
        product, backend = text_of(*key), self.backend
        for y in trial.results:  # what was there before is right already
            backend.copy(backend.full(y.shape, np.nan, y.dtype), out=y)
        self._trying.ways[key] = way
        try:
            with Recorder(backend).call() as launches:
                trial.run()
            for launch in launches:
                launch.run()
            off = max(right.distance(y) for y, right in zip(trial.results, expected))
        except (recording.NotRecordable, MemoryError, RuntimeError) as error:
            warnings.warn(f"{product}: {name} is not taken, since it failed: {error}", stacklevel=6)
            return None
        finally:
            del self._trying.ways[key]
        if off > TOLERANCES[key[2]]:
            warnings.warn(f"{product}: {name} is not taken, since its result is wrong by {off:.1e}", stacklevel=6)
            return None
        return launches

    def _times(self, ways: Mapping[str, Sequence[Launch]]) -> dict[str, float]:
        """Seconds of each way: the median of rounds in which they take turns."""
        backend = self.backend
        once = recording.capture(backend, next(iter(ways.values())), lanes=1)
        seconds_of(backend, once)
        count = max(1, min(MOST_LAUNCHES, round(GRAPH_SECONDS / max(seconds_of(backend, once), 1e-9))))
        graphs = {name: recording.capture(backend, [*launches] * count, lanes=1) for name, launches in ways.items()}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, graph in graphs.items():
                times[name].append(seconds_of(backend, graph) / count)
        return {name: median(of) for name, of in times.items()}


def text_of(op: str, sizes: tuple[Any, ...], precision: str) -> str:
    """A product as the file has it, such as "linear_forward 128x784x512 float32"."""
    return f"{op} {getattr(sizes, 'text', None) or 'x'.join(map(str, sizes))} {precision}"


def seconds_of(backend: Any, graph: Any) -> float:
    """How long a graph takes: between CUDA's events on a GPU, by the host's clock on the simulator."""
    if backend.name != "cuda":
        start = time.perf_counter()
        graph.launch()
        return time.perf_counter() - start
    first, last = backend.streams.Event(), backend.streams.Event()
    first.record()
    graph.launch()
    last.record()
    last.synchronize()
    return float(backend.streams.get_elapsed_time(first, last)) / 1e3


def random_array(backend: Any, shape: Sequence[int], dtype: Any, seed: int) -> Array:
    """Random numbers on a device, of a normal distribution; a large array has some of them again and again."""
    random, count = np.random.default_rng(seed), int(np.prod(shape, dtype=np.int64))
    numbers = random.standard_normal(min(count, 1_000_003), np.float32)
    return backend.from_numpy(np.resize(numbers, count).reshape(tuple(shape)).astype(dtype))


@contextmanager
def _told(product: str) -> Iterator[None]:
    """Say on a terminal what is measured, since it may take seconds."""
    if not sys.stderr.isatty():
        yield
        return
    print(f"\rmeasuring {product}\x1b[K", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Expected:
    """A result as it should be; what is on the device stays there.

    Args:
        backend: the device's.
        y: the result.
    """

    def __init__(self, backend: Any, y: Array) -> None:
        self.backend, self.axes = backend, tuple(range(y.ndim))
        self.y = backend.copy(y, out=backend.allocate(y.shape, y.dtype))
        norm = self._read(backend.vector_norm(self._wide(y), 2.0, self.axes, False))
        self.scale = norm / math.sqrt(max(math.prod(y.shape), 1)) or 1.0

    def distance(self, y: Array) -> float:
        """The largest difference to it, in root mean squares of it; infinite for one that is NaN."""
        difference = self.backend.subtract(self._wide(y), self._wide(self.y))
        most = self._read(self.backend.amax(self.backend.absolute(difference), self.axes, False))
        return math.inf if math.isnan(most) else most / self.scale

    def _wide(self, x: Array) -> Array:
        return self.backend.converted(x, accumulator(x.dtype))

    def _read(self, x: Array) -> float:
        """What the user's work has left unlooked at stays so."""
        return float(self.backend.read(x).reshape(-1)[0])
