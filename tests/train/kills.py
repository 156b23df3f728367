"""Random trainings, in processes that are killed at moments of one's choice.

A process with gpunn loaded forks one for each piece of a training, which costs no start of Python.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("seconds", "samples_per_second", "fingerprint", "run", "other_generators")
"""Entries that differ from run to run; of Python's generators, where they are not seeded."""


class Server:
    """The process that forks; ``server.run(...)`` does a piece of a training there, and returns how it ended."""

    def __enter__(self) -> Server:
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.train.kills import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self,
        folder: Path,
        what: Any,
        moment: int = 0,
        number: int = signal.SIGKILL,
        after: float = 0,
        memory: int = 0,
    ) -> int:
        """The exit code, or less than 0 the signal.

        folder: where it is done, and what it prints comes into the file log
        what:   the arguments of the command, or those of `train`
        moment: at which of its moments, see `_at`, it gets the signal; 0 for none
        after:  seconds until it is killed; 0 for never
        memory: so many bytes more than it has may it have; 0 for any
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), what, moment, number, after, memory]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    """Do what comes on standard input, a line each."""
    import gpunn.cli.train
    import gpunn.train.results

    gpunn.train.results.write_curves = lambda path, history: None  # drawing takes longer than these runs do
    for line in sys.stdin:
        folder, *work = json.loads(line)
        child = os.fork()
        if not child:
            _work(folder, *work)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _work(folder: str, what: Any, moment: int, number: int, after: float, memory: int) -> None:
    from gpunn.cli import main

    if memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if after:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, after)
    count = _at(moment, number)
    code = 99
    with suppress(Exception):
        code = main(what) if isinstance(what[0], str) else train(*what)
    Path("moments").write_text(str(count[0]))
    os._exit(code)


def _at(moment: int, number: int) -> list[int]:
    """Count moments: before and after each call that writes or removes something, and after each batch. At one of them
    the process gets a signal.
    """
    from gpunn.train.meter import Meter

    count = [0]

    def hooked(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            pass_by()
            try:
                return function(*args, **options)
            finally:
                pass_by()

        return call

    def pass_by() -> None:
        count[0] += 1
        if count[0] == moment:
            if number == signal.SIGSTOP:
                _wake_later()
            os.kill(os.getpid(), number)

    for name in ("open", "fsync", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, name, hooked(getattr(os, name)))
    Meter.add = hooked(Meter.add)  # type: ignore[method-assign]
    return count


def _wake_later() -> None:
    """Let another process continue this one when it has stood for a while."""
    stopped = os.getpid()
    if not os.fork():
        time.sleep(0.05)
        os.kill(stopped, signal.SIGCONT)
        os._exit(0)


def options_of(seed: int) -> list[str]:
    """Options of ``gpunn train``."""
    rng = random.Random(seed)
    options = ["--model", rng.choice(["mlp:16", "mlp:40,20", "cnn", "cnn", "linear"]), "--epochs", rng.choice("345")]
    options += ["--optimizer", rng.choice(["sgd", "sgd", "adam", "adamw", "rmsprop", "adagrad"])]
    options += ["--schedule", rng.choice(["onecycle", "onecycle", "cosine", "step", "exponential", "plateau", "none"])]
    options += ["--batch-size", rng.choice(["64", "100", "128", "full"])]
    for share, name, values in (
        (0.4, "--patience", "12"),
        (0.3, "--grad-accumulation", "23"),
        (0.2, "--clip-norm", ["0.5"]),
        (0.2, "--l2", ["0.01"]),
        (0.2, "--validation", "0"),
        (0.2, "--memory-limit", ["12MiB"]),
        (0.3, "--checkpoint-every", ["1step", "5steps", "0.02s"]),
        (0.2, "--keep-checkpoints", "13"),
        (0.3, "--watch-gradients", "27"),
        (0.3, "--precision", ["fp16", "bf16"]),
    ):
        if rng.random() < share:
            options += [name, rng.choice(values)]
    return options + (["--eager"] if rng.random() < 0.25 else [])


def train(seed: int, path: str, workers: int) -> int:
    """A training by a Trainer, of what the command has not: dropout, batch norm, loaders with workers."""
    import gpunn
    from gpunn import nn, optim
    from gpunn.datasets import digits, standardise
    from gpunn.optim import lr_scheduler
    from gpunn.train import BestModel, EarlyStopping, RunFolder, Trainer, TrainingInterrupted
    from gpunn.utils.data import DataLoader, TensorDataset

    rng, data = random.Random(seed), digits()
    x, y = standardise(data.x_train, data.mean, data.std)[:250], data.y_train[:250]
    gpunn.manual_seed(seed)
    first = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    first = rng.choice([first, [nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Tanh()]])
    model = nn.Sequential(*first, nn.Dropout(0.3), nn.Linear(64, 10))
    optimizer = rng.choice(
        [
            lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
            lambda p: optim.SGD(p, 0.05, weight_decay=1e-3),
            lambda p: optim.Adam(p, 0.01, amsgrad=True),
            lambda p: optim.AdamW(p, 0.01),
            lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
        ]
    )(model.parameters())
    scheduler = rng.choice(
        [
            lambda o: None,
            lambda o: lr_scheduler.CosineAnnealingLR(o, 4),
            lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
        ]
    )(optimizer)
    batch_size = rng.choice([16, 30])
    callbacks = rng.choice([[], [EarlyStopping(patience=1)], [BestModel("best.safetensors", "val_accuracy")]])
    options = {"grad_accumulation": rng.choice([1, 1, 3]), "clip_norm": rng.choice([None, 1.0])}
    trainer = Trainer(
        model,
        "cross_entropy",
        optimizer,
        metrics=["accuracy", "per_class"],
        scheduler=scheduler,
        callbacks=callbacks,
        run_dir=RunFolder(path, model=rng.choice(["best", "last"])),
        seed=seed,
        progress=False,
        eager=rng.random() < 0.25,
        precision=rng.choice(["fp32", "fp32", "fp16", "bf16"]),
        **options,
    )
    samples = [(gpunn.tensor(a), gpunn.tensor(b)) for a, b in zip(x[:200], y[:200])]
    loader = DataLoader(samples, batch_size, shuffle=True, num_workers=workers, generator=seed)
    validation = DataLoader(TensorDataset(gpunn.tensor(x[200:]), gpunn.tensor(y[200:])), 20, shuffle=True, generator=1)
    try:
        trainer.fit(loader, 4, validation, resume=has_checkpoint(Path(path)))
    except TrainingInterrupted as stop:
        return 128 + stop.signal
    except KeyboardInterrupt:
        return 130
    return 0


def has_checkpoint(folder: Path) -> bool:
    """Whether a run can be resumed."""
    return any((folder / "checkpoints").glob("epoch_*.safetensors"))


def contents(folder: Path) -> dict[str, Any]:
    """All that a run has left, by its names: files, and each number and tensor in them."""
    from gpunn import io

    found: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                if key not in LEFT_OUT:
                    add(f"{name}.{key}", entry)
        elif isinstance(value, (list, tuple)):
            for i, entry in enumerate(value):
                add(f"{name}.{i}", entry)
        elif hasattr(value, "shape"):
            array = value.numpy() if hasattr(value, "numpy") else value
            found[name] = (array.dtype.name, array.shape, array.tobytes())
        else:
            found[name] = repr(value)

    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = path.is_dir()
        if path.suffix == ".safetensors":
            add(name, io.load(path))
        elif path.suffix == ".jsonl":
            add(name, [json.loads(line) for line in path.read_text().splitlines()])
        elif path.name == "result.json":
            add(name, json.loads(path.read_text()))
    return found
