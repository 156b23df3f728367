"""Switches that PyTorch's programs set. Here they are what they say, and change nothing but for ``matmul.allow_tf32``.

What they choose among there is one of here: kernels of gpunn's own, which give the same bits at every run.
"""

from __future__ import annotations

from typing import Any

from gpunn.backend import products


class _Switches:
    """A library that gpunn does without, with the attributes that programs set."""

    def __init__(self, name: str, **switches: Any):
        self.__dict__.update(switches)
        self._name = name

    def is_available(self) -> bool:
        """False: gpunn does not use it."""
        return False

    def is_built(self) -> bool:
        """False: gpunn does not use it."""
        return False

    def version(self) -> None:
        """None: there is none."""
        return None

    def __setattr__(self, name: str, value: Any) -> None:
        properties = [n for n, v in vars(type(self)).items() if isinstance(v, property)]
        if name != "_name" and name not in (*vars(self), *properties):
            known = ", ".join(switch for switch in (*vars(self), *properties) if not switch.startswith("_"))
            raise AttributeError(f"gpunn.backends.{self._name} has no switch {name!r}; it has {known or 'none'}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"gpunn.backends.{self._name}: not used by gpunn"


class _Products(_Switches):
    """Products of float32; see `gpunn.set_float32_matmul_precision`."""

    @property
    def allow_tf32(self) -> bool:
        """Whether they may be less exact than float32; to set it is to choose "high", or "highest"."""
        return products.precision_everywhere() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        products.set_precision("high" if allowed else "highest")

    def __repr__(self) -> str:
        return f"gpunn.backends.{self._name}: allow_tf32 is {self.allow_tf32}"


class _Cuda(_Switches):
    """The GPU; ``matmul.allow_tf32`` holds for convolutions too, and for products on every device."""

    def is_available(self) -> bool:
        """Whether there is a GPU that can be used."""
        from gpunn.cuda import is_available

        return is_available()

    is_built = is_available

    def __repr__(self) -> str:
        return "gpunn.backends.cuda: gpunn.cuda has what there is"


cudnn = _Switches("cudnn", enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
cuda = _Cuda("cuda", matmul=_Products("cuda.matmul"))
mps = _Switches("mps")
mkldnn = _Switches("mkldnn", enabled=False)
mkl = _Switches("mkl")
