"""Schedules of a run that is resumed: as it was, for another number of epochs, or anew; and the rate that is shown."""

import io
import math

import pytest

import gpunn
from gpunn import nn, optim
from gpunn.optim import lr_scheduler
from gpunn.train import Lines, RunFolder, ScheduleCallback, load_checkpoint

from .conftest import make_model, make_trainer

STEPS = 4  # of an epoch: 80 samples in batches of 20
LR = 0.1

MAKE = {
    "onecycle": lambda o, n: lr_scheduler.OneCycleLR(o, LR, total_steps=n * STEPS, cycle_momentum=False),
    "cosine": lambda o, n: lr_scheduler.CosineAnnealingLR(o, n),
    "step": lambda o, n: lr_scheduler.StepLR(o, n // 2),
    "linear": lambda o, n: lr_scheduler.LinearLR(o, 1.0, 0.1, n),
    "sequence": lambda o, n: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=n // 2), lr_scheduler.ExponentialLR(o, 0.5)], [n // 2]
    ),
}


def run(task, path, kind, epochs, resume=False, make=MAKE, length=None, said=None):
    """Train up to an epoch, with a schedule of that length, and give the learning rate of each epoch's last step."""
    model = make_model()
    optimizer = optim.SGD(model.parameters(), LR)
    schedule, progress = make[kind](optimizer, length or epochs), Lines(io.StringIO() if said is None else said)
    trainer = make_trainer(model, optimizer=optimizer, scheduler=schedule, run_dir=path, progress=progress)
    return trainer.fit((task.x[:80], task.y[:80]), epochs, batch_size=20, resume=resume)["lr"]


@pytest.mark.parametrize("kind", MAKE)
def test_more_epochs_go_on_as_if_they_had_been_meant_from_the_start(kind, task, tmp_path):
    """What the rates should be is what one run of the whole length has, from the epoch of resuming on."""
    said = io.StringIO()
    whole = run(task, tmp_path / "whole", kind, 6)
    run(task, tmp_path / "half", kind, 3)
    assert run(task, tmp_path / "half", kind, 6, resume=True, said=said)[3:] == pytest.approx(whole[3:], rel=1e-12)
    assert "the schedule of the learning rate is another one than before: it goes on after" in said.getvalue()


@pytest.mark.parametrize("kind", MAKE)
def test_the_same_schedule_goes_on_without_a_word(kind, task, tmp_path):
    said = io.StringIO()
    whole = run(task, tmp_path / "whole", kind, 6)
    run(task, tmp_path / "half", kind, 3, length=6)
    assert run(task, tmp_path / "half", kind, 6, resume=True, said=said) == whole
    assert "schedule" not in said.getvalue()


def test_the_rates_by_hand(task, tmp_path):
    """The cosine of 4 epochs is lr (1 + cos(pi t / 4)) / 2; of 8 epochs, resumed after 4, it is that with t / 8."""
    run(task, tmp_path, "cosine", 4)
    rates = run(task, tmp_path, "cosine", 8, resume=True)
    assert rates[:4] == pytest.approx([LR * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)])
    assert rates[4:] == pytest.approx([LR * (1 + math.cos(math.pi * t / 8)) / 2 for t in range(4, 8)])


def test_the_cycle_is_pytorch_s(torch, task, tmp_path):
    """The row of an epoch has the rate of its last step, not that of the next one."""
    run(task, tmp_path, "onecycle", 2)
    rates = run(task, tmp_path, "onecycle", 5, resume=True)
    for epochs, mine in ((2, rates[:2]), (5, rates[2:])):
        theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], LR)
        cycle = torch.optim.lr_scheduler.OneCycleLR(theirs, LR, total_steps=epochs * STEPS, cycle_momentum=False)
        of_steps = []
        for _ in range(epochs * STEPS):
            of_steps.append(theirs.param_groups[0]["lr"])
            theirs.step()
            if len(of_steps) < epochs * STEPS:
                cycle.step()
        assert mine == pytest.approx(of_steps[STEPS - 1 :: STEPS][-len(mine) :])


def test_another_kind_begins_at_its_beginning(task, tmp_path):
    said = io.StringIO()
    run(task, tmp_path, "onecycle", 2)
    rates = run(task, tmp_path, "cosine", 4, resume=True, length=2, said=said)
    assert rates[2:] == pytest.approx([LR, LR / 2])
    assert "the schedule of the learning rate begins anew, at 0.1" in said.getvalue()


def test_a_run_without_a_schedule_gets_one(task, tmp_path):
    make_trainer(run_dir=tmp_path, lr=0.7).fit((task.x[:80], task.y[:80]), 1, batch_size=20)
    assert run(task, tmp_path, "cosine", 3, resume=True, length=2) == pytest.approx([0.7, LR, LR / 2])


def test_anew_also_where_it_is_the_same(task, tmp_path):
    run(task, tmp_path, "cosine", 2)
    anew = {"cosine": lambda o, n: ScheduleCallback(lr_scheduler.CosineAnnealingLR(o, n), resume="anew")}
    assert run(task, tmp_path, "cosine", 4, resume=True, make=anew, length=2)[2:] == pytest.approx([LR, LR / 2])


def test_as_the_run_s_state_says_however_it_is_made(task, tmp_path):
    run(task, tmp_path, "cosine", 2, length=4)
    kept = {"cosine": lambda o, n: ScheduleCallback(lr_scheduler.CosineAnnealingLR(o, n), resume="state")}
    rates = run(task, tmp_path, "cosine", 4, resume=True, make=kept, length=77)
    assert rates == pytest.approx([LR * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)])


def test_a_plateau_of_another_patience_keeps_what_it_has_seen():
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), LR)
    before = ScheduleCallback(lr_scheduler.ReduceLROnPlateau(optimizer, patience=5))
    for loss in (3.0, 2.0, 4.0, 4.0):
        before.on_epoch_end(None, 1, {"loss": loss})
    after = ScheduleCallback(lr_scheduler.ReduceLROnPlateau(optimizer, patience=2))
    assert "another one than before" in after.load_state_dict(before.state_dict())
    after.on_epoch_end(None, 5, {"loss": 4.0})  # the third without improvement, of two that are let pass
    assert optimizer.param_groups[0]["lr"] == pytest.approx(LR / 10)


def test_the_rate_of_a_step_is_kept_where_only_the_validation_is_missing(task, tmp_path):
    run(task, tmp_path, "onecycle", 2)
    state = load_checkpoint(RunFolder(tmp_path).latest_checkpoint())
    assert state["lr"] == state["history"][-1]["lr"] != state["optimizer"]["param_groups"][0]["lr"]


def test_a_word_that_is_none():
    scheduler = lr_scheduler.CosineAnnealingLR(optim.SGD([gpunn.zeros(1)], LR), 3)
    with pytest.raises(ValueError, match="resume is 'again'; expected 'auto', 'state' or 'anew'"):
        ScheduleCallback(scheduler, resume="again")


def test_a_schedule_after_more_steps_than_can_be_followed():
    """OneCycleLR has a closed form; others are followed step by step, which a damaged number would make endless."""

    def changed(make, steps):
        optimizer = optim.SGD(nn.Linear(1, 1).parameters(), LR)
        before, after = ScheduleCallback(make(optimizer, 10)), ScheduleCallback(make(optimizer, 2 * steps))
        after.load_state_dict({**before.state_dict(), "last_epoch": steps})
        return optimizer.param_groups[0]["lr"], after.scheduler.last_epoch

    cycle = lambda o, n: lr_scheduler.OneCycleLR(o, LR, total_steps=n, cycle_momentum=False)  # noqa: E731
    assert changed(cycle, 10**12) == (pytest.approx(LR * (1 + math.cos(math.pi * 2 / 7)) / 2, rel=1e-4), 10**12)
    assert changed(lr_scheduler.CosineAnnealingLR, 6) == (pytest.approx(LR / 2), 6)
    with pytest.raises(ValueError, match="has made 1,000,000,000,000 steps"):
        changed(lr_scheduler.CosineAnnealingLR, 10**12)
