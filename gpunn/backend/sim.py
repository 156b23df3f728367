"""The device ``sim``: the CUDA kernels on the CPU, on NumPy arrays, through the simulator.

It is a device like any other (``model.to("sim")``, ``GPUNN_DEVICE=sim``), there to test kernels and the host code
around them where there is no GPU. Read from the environment when it is first used, and settable with
`SimBackend.configure`:

- ``GPUNN_SIM_MODE``: ``fast``, or ``check``, which finds races, accesses out of bounds and the like, and is 20 to 100
  times slower; ``profile`` counts what a GPU would do (see `gpunn.inspect.profile.profile_launches`).
- ``GPUNN_SIM_ORDER``: in which order threads run: ``forward``, ``reverse`` or ``random``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from . import recording, simulator
from .kernel import KernelBackend
from .kernel.tuning import tuner_of
from .launch import Launcher
from .simulator import Profiles, RawModule, forbid_in_capture

Array = Any
MODES = ("fast", "check", "profile")
ORDERS = ("forward", "reverse", "random")


class SimBackend(KernelBackend):
    """The primitives on NumPy arrays, by simulated kernels."""

    name = "sim"
    xp = np
    streams = simulator
    mode: str
    order: str
    profiles: Profiles
    """What each launch in the mode "profile" did, the oldest first, until somebody takes it."""
    counted_blocks: int | None = None
    """How many blocks of a larger grid are counted then; None: all. It holds for what is configured afterwards."""
    only_counted: bool = False
    """Whether no other blocks run then, so that what kernels write is incomplete; likewise."""

    def __init__(self, mode: str = "fast", order: str = "forward") -> None:
        self.profiles = Profiles()
        self.configure(mode, order)
        self.tuner = tuner_of(self, lambda: {"gpu": "sim"})

    def configure(self, mode: str | None = None, order: str | None = None) -> None:
        """Choose how kernels run from now on; None leaves a choice as it is.

        Args:
            mode: "fast", "check" or "profile".
            order: "forward", "reverse" or "random": the order in which threads and blocks run.

        Raises:
            ValueError: there is no such mode or order.
        """
        if mode is not None and mode not in MODES:
            raise ValueError(f"the simulator's modes are {', '.join(MODES)}, not {mode!r}")
        if order is not None and order not in ORDERS:
            raise ValueError(f"the simulator's thread orders are {', '.join(ORDERS)}, not {order!r}")
        self.mode = mode or self.mode
        self.order = order or self.order
        self.launcher = Launcher(self._module, np.ndarray)

    def _module(self, code: str, options: tuple[str, ...]) -> Any:
        module = RawModule(
            code=code,
            options=options,
            mode=self.mode,
            profiles=self.profiles,
            counted_blocks=self.counted_blocks,
            only_counted=self.only_counted,
        )
        return _Ordered(module, self.order)

    # What a stream that captures forbids ------------------------------------------------------------------------------

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Memory for `empty`."""
        forbid_in_capture("allocation")
        return np.empty(shape, dtype)

    def from_numpy(self, x: Any) -> Array:
        """A NumPy array as an array of this backend: a copy, as on a GPU."""
        recording.forbid("copies from the host")
        forbid_in_capture("a copy from the host")
        return np.array(x, order="C")

    def to_numpy(self, x: Array) -> Any:
        """An array of this backend as a NumPy array, when all work on it is done: a copy, as on a GPU."""
        recording.forbid("reads from the device")
        y = self.read(x)
        self.look()
        return y

    def read(self, x: Array) -> Any:
        """As `to_numpy`, without a look at what checks have found."""
        forbid_in_capture("a copy to the host")
        return np.array(x, order="C")

    def write(self, x: Any, out: Array) -> None:
        """Copy a NumPy array to a row-major array of the same shape and type, which is there already."""
        recording.forbid("copies from the host")
        forbid_in_capture("a copy from the host")
        np.copyto(out, x)

    def transfer(self, x: Array, out: Array) -> None:
        """Copy a row-major array to another one of the same shape and type, without a kernel."""
        recording.forbid("copies without a kernel")
        forbid_in_capture("a copy without a kernel")
        np.copyto(out, x)

    def synchronize(self) -> None:
        """Wait until all work is done; here it always is."""
        recording.forbid("waits for the device")
        forbid_in_capture("synchronisation")
        self.look()

    def address(self, x: Array) -> int:
        """The address of the first element."""
        return int(x.__array_interface__["data"][0])


class _Ordered:
    """A module whose functions run their threads in a given order."""

    def __init__(self, module: Any, order: str) -> None:
        self.module, self.order = module, order

    def get_function(self, name: str) -> Any:
        function = self.module.get_function(name)
        function.order = self.order
        return function


@cache
def backend() -> SimBackend:
    """The one backend of the device ``sim``.

    Raises:
        ValueError: the environment asks for a mode, an order or a way of tuning that there is not.
    """
    return SimBackend(os.environ.get("GPUNN_SIM_MODE") or "fast", os.environ.get("GPUNN_SIM_ORDER") or "forward")
