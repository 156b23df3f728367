"""Mixed precision: products in half precision, and gradients that are scaled so that they do not vanish there.

::

    scaler = gpunn.amp.GradScaler()
    for x, y in loader:
        optimizer.zero_grad()
        with gpunn.autocast("cuda", dtype=gpunn.float16):
            loss = loss_fn(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

With bfloat16, whose range is that of float32, no scaler is needed.
"""

from gpunn.autograd.autocast import autocast, is_autocast_available

from .custom import custom_bwd, custom_fwd
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
