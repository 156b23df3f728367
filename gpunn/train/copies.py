"""How the tensors of a batch come to the device where it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpunn.autograd.tape import wrap
from gpunn.backend.device import device as Device
from gpunn.backend.spec import Spec
from gpunn.tensor import Tensor

Copies = Callable[[Sequence[Tensor]], list[Tensor]]


def copies_to(device: Device, ahead: int = 1) -> Copies:
    """A function of a batch's tensors that gives them on a device; those that are there already as they are.

    From the host to a CUDA device they are copied on a stream of their own, while the device still does the step
    before; see `gpunn.backend.cuda_ahead.CopiesAhead`.

    Args:
        device: where the model is.
        ahead: how many batches are asked for, one behind the other, before a step is done with them.
    """
    copy_ahead = device.backend.copies_ahead(ahead) if streams_to(device) else None

    def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
        streamed = [t for t in tensors if copy_ahead and t.device.type == "cpu" and not t.requires_grad]
        arrays = iter(copy_ahead([t._data for t in streamed]) if copy_ahead and streamed else ())
        there = {id(t): wrap(next(arrays), Spec(t.shape, t.dtype, device)) for t in streamed}
        return [there[id(t)] if id(t) in there else t.to(device=device) for t in tensors]

    return copies


def streams_to(device: Device) -> bool:
    """Whether copies to a device have a stream of their own."""
    return hasattr(device.backend, "copies_ahead")
