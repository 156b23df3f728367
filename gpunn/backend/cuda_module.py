"""Compiled kernels where there are several devices: each is loaded and launched on its own."""

from __future__ import annotations

from typing import Any


class OnItsDevice:
    """A module whose functions are loaded and launched on the device that they are compiled for."""

    def __init__(self, module: Any, backend: Any) -> None:
        self.module, self.backend = module, backend

    def get_function(self, name: str) -> Any:
        """A kernel of the module, by its name."""
        with self.backend.here():
            return _Function(self.module.get_function(name), self.backend)


class _Function:
    def __init__(self, function: Any, backend: Any) -> None:
        self.function, self.backend = function, backend

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        with self.backend.here():
            self.function(grid, block, args, shared_mem=shared_mem)

    @property
    def attributes(self) -> dict[str, int]:
        with self.backend.here():
            found: dict[str, int] = self.function.attributes
            return found

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        with self.backend.here():
            return int(self.function.max_dynamic_shared_size_bytes)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        with self.backend.here():
            self.function.max_dynamic_shared_size_bytes = size
