"""The schedule of the learning rate, of a new run and of one that is resumed."""

from __future__ import annotations

import argparse
import math
from typing import Any

from gpunn.optim import lr_scheduler

from .errors import UsageError


def make_schedule(options: argparse.Namespace, optimizer: Any, steps_per_epoch: int) -> Any:
    """A callback with the schedule that the options name, None for a constant rate.

    A run that is resumed as it was goes on with its own schedule. With another number of epochs it goes on at the same
    place of one that ends with them. Where ``--schedule`` or ``--lr`` was given anew, a new one begins, for what is
    left.
    """
    from gpunn.train import RunFolder, ScheduleCallback, load_checkpoint

    if options.resume is None:
        return _callback(options, optimizer, options.epochs, steps_per_epoch, resume="state")
    state = load_checkpoint(RunFolder(options.resume).latest_checkpoint())
    left = max(options.epochs - state["epoch"], 0)
    if options.given & {"schedule", "lr"}:
        if options.schedule == "none":
            constant = lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
            return ScheduleCallback(constant, every="epoch", resume="anew")
        return _callback(options, optimizer, left, steps_per_epoch, resume="anew")
    if options.epochs == state["epochs"]:
        return _callback(options, optimizer, options.epochs, steps_per_epoch, resume="state")
    before = next((c["state"] for c in state["callbacks"] if c["name"] == ScheduleCallback.__name__), None)
    done = 0 if before is None else before["last_epoch"]
    epochs_done = done // steps_per_epoch if options.schedule == "onecycle" or options.warmup else done
    return _callback(options, optimizer, epochs_done + left, steps_per_epoch, resume="auto")


def _callback(options: argparse.Namespace, optimizer: Any, epochs: int, steps_per_epoch: int, resume: Any) -> Any:
    """The schedule that the options name, over so many epochs."""
    from gpunn.train import ScheduleCallback

    kind, warmup = options.schedule, options.warmup
    if warmup and kind != "onecycle":
        return ScheduleCallback(
            _warmed_up(kind, optimizer, max(epochs, 1), steps_per_epoch, warmup), every="batch", resume=resume
        )

    lr, epochs = optimizer.param_groups[0]["lr"], max(epochs, 1)
    if kind == "none":
        return None
    if kind == "onecycle":
        steps = max(steps_per_epoch * epochs, 2)
        rise = {"pct_start": min(warmup / epochs, 0.9)} if warmup else {}
        has_momentum = "betas" in optimizer.param_groups[0] or optimizer.param_groups[0].get("momentum")
        scheduler = lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=bool(has_momentum), **rise)
        return ScheduleCallback(scheduler, every="batch", resume=resume)
    made = {
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs),
        "step": lambda: lr_scheduler.StepLR(optimizer, step_size=max(1, epochs // 3), gamma=0.1),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, gamma=0.01 ** (1 / epochs)),
        "plateau": lambda: lr_scheduler.ReduceLROnPlateau(optimizer, patience=3),
    }
    return ScheduleCallback(made[kind](), every="epoch", resume=resume)


def _warmed_up(kind: str, optimizer: Any, epochs: int, steps_per_epoch: int, warmup: float) -> Any:
    """A schedule that begins with a linear rise over so many epochs, step by step (Goyal et al. 2017, "Accurate, large
    minibatch SGD: training ImageNet in 1 hour", 2.2); from then on it is what it would be without.

    Raises:
        UsageError: the schedule has no course that is known before.
    """
    courses = {
        "none": lambda epoch: 1.0,
        "cosine": lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / epochs)),
        "step": lambda epoch: 0.1 ** (epoch // max(1, epochs // 3)),
        "exponential": lambda epoch: 0.01 ** (epoch / epochs),
    }
    if kind not in courses:
        raise UsageError(f"--warmup does not go with --schedule {kind}; there are onecycle, {', '.join(courses)}")
    course, rise = courses[kind], max(1, round(warmup * steps_per_epoch))
    return lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / rise) * course(min(step // steps_per_epoch, epochs))
    )
