"""``gpunn train``: from data to a run folder with a trained network, its curves and a report."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .common import add_command, as_json, pick_device
from .options import add_options, configured, with_config
from .say import say

EXAMPLE = """\
  gpunn train                                              a small network on the bundled handwritten digits
  gpunn train --data mnist --model cnn --epochs 3
  gpunn train --data cifar10 --model resnet9 --augment crop:4,flip --log csv
  gpunn train --data mnist --data-root DIR --model mlp:512,512 --epochs 5 --json
  gpunn train --data houses.csv --target price --task regression --l2 1e-4
  gpunn train --resume runs/digits-cnn-1 --epochs 40
  gpunn train --ranks 2 --restart 3                        on two ranks of this machine; mpirun -n 2 gpunn train too"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, lambda options: run(_complete(parser, options)), EXAMPLE)
    add_options(parser)


def _complete(parser: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.Namespace:
    """The options with those from a file; these become defaults, and the command line is read once more."""
    return with_config(parser, options, options.argv)


def run(options: argparse.Namespace) -> None:
    """Train, measure on the test set, and leave the run folder; on all ranks together."""
    from gpunn import parallel

    if options.ranks or options.restart:
        _launch(options)
        return
    with parallel.init(options.timeout).guarded():
        _run(options)


def _launch(options: argparse.Namespace) -> None:
    """Start ranks that do the same, and end with their exit code."""
    from gpunn import parallel
    from gpunn.models.from_file import file_and_function
    from gpunn.parallel.launch import run_again

    from . import job
    from .data import prepare_data
    from .errors import UsageError

    if parallel.launched() > 1:
        raise UsageError("--ranks and --restart start the ranks, but this is one of several already; leave them out")
    command = [sys.executable, "-m", "gpunn", "train"]
    given = _without(options.argv, ("--ranks", "--restart"))
    if options.resume:
        folder = options.resume
    elif options.out:
        folder = options.out
        _folder(folder).check_free()
    else:
        model = options.model or job.default_model(prepare_data(options).source.input_shape)
        file_and_function(model)
        claimed = _claim_next(f"{_word(options.data)}-{_word(model)}", _folder)
        folder = claimed.path
        claimed.release()
        given += ["--out", str(folder)]

    def again() -> list[str]:
        if not _folder(folder).checkpoints():
            return [*command, *given]
        rest = _without(given, ("--out", "--config", "--resume"))
        return [*command, *rest, "--resume", str(folder)]

    code = run_again(options.ranks or 1, [*command, *given], again, options.restart or 0)
    if code:
        raise SystemExit(code if code > 0 else 128 - code)


def _without(argv: list[str], names: tuple[str, ...]) -> list[str]:
    """Arguments without some options, which have a value each."""
    found, left = [], list(argv)
    while left:
        argument = left.pop(0)
        if argument in names:
            left.pop(0)
        elif argument.split("=")[0] not in names:
            found.append(argument)
    return found


def _run(options: argparse.Namespace) -> None:
    import gpunn
    from gpunn import parallel
    from gpunn.models import build, recompute, reconstructs
    from gpunn.train import Trainer

    from . import job
    from .abstract import check_that_it_fits
    from .data import prepare_data
    from .schedule import make_schedule
    from .trained import stored_model

    ranks = parallel.world()
    if options.out is not None and options.resume is None and ranks.is_first:
        _folder(options.out).check_free()
    device = ranks.device(pick_device(options.device))
    data = prepare_data(options)
    source = data.source
    options.model = options.model or job.default_model(source.input_shape)
    network = stored_model(options.model, options.resume), source.input_shape, source.outputs, options.activation
    check_that_it_fits(*network)
    gpunn.manual_seed(options.seed)
    model = build(*network).to(device)
    if options.sync_batch_norm:
        model = gpunn.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if options.recompute:
        recompute(model, options.recompute)
    info, loss = data.shape_info, job.make_loss(options, source, model)
    if reconstructs(model):
        data = data.reconstructed()
    say(data.learned)
    augment = job.make_augmentation(options, source, model)
    optimizer = job.make_optimizer(options, model)
    train, validation = _split(data, options)
    batch_size = len(train[0]) if options.batch_size == "full" else min(options.batch_size, len(train[0]))
    steps = -(-len(train[0]) // batch_size)
    if options.scale_lr:
        say(job.scale_learning_rate(optimizer, options.scale_lr, batch_size * options.grad_accumulation))
    schedule = make_schedule(options, optimizer, -(-steps // options.grad_accumulation))
    parameters = sum(p.numel() for p in model.parameters())
    settings = {"lr": optimizer.defaults["lr"], "loss": job.loss_name(options, source, model), "data_info": info}
    with _run_folder(options, settings, validation is not None) as folder:
        where = f"{ranks.size} ranks, each on {device.type}" if ranks.size > 1 else device
        say(
            f"{source.name}: {len(train[0]):,} samples to train on, "
            f"{len(validation[0]) if validation else 0:,} to validate, {len(data.x_test):,} to test; "
            f"{options.model} with {parameters:,} parameters on {where}; run folder {folder.path}"
        )
        trainer = Trainer(
            model,
            loss,
            optimizer,
            metrics=job.make_metrics(data.units, model),
            l2=options.l2,
            grad_accumulation=options.grad_accumulation,
            steps_per_launch=options.steps_per_launch,
            clip_norm=options.clip_norm,
            scheduler=schedule,
            device=device,
            callbacks=job.make_callbacks(options, folder.path),
            run_dir=folder,
            seed=options.seed,
            eager=options.eager,
            memory_limit=options.memory_limit,
            on_nan=options.on_nan,
            precision=options.precision,
            shard_optimizer=options.shard_optimizer,
            augment=augment,
        )
        history = trainer.fit(train, options.epochs, validation, batch_size, resume=bool(options.resume))
        if not ranks.is_first:
            return
        if not folder.model_path.exists():  # no epoch was the best: all had a loss that is NaN
            gpunn.save(model.state_dict(), folder.model_path)
        model.load_state_dict(gpunn.load(folder.model_path))
        found = trainer.evaluate((data.x_test, data.y_test))
        test = (data.x_test, data.y_test)
        trainer.report(
            test,
            class_names=source.classes,
            images=source.x_test,
            units=data.units or (0.0, 1.0),
            probabilities=job.make_probabilities(options.loss),
            columns=source.columns,
        )
        result = _result(found, history, trainer.best_epoch, parameters, folder.path)
        gpunn.io.write_text(folder.path / "result.json", as_json(result) + "\n")
        if options.json:
            print(as_json(result))
        else:
            _print(result, folder)


def _split(data: Any, options: argparse.Namespace) -> tuple[Any, Any]:
    """What to train on, and what to validate with."""
    from .data import VALIDATION_HINT, hold_out

    x, y = data.x_train, data.y_train
    if not options.validation:
        return (x, y), None
    rest, held = hold_out(data.source, options.validation, options.seed + 1, VALIDATION_HINT)
    return (x[rest], y[rest]), (x[held], y[held])


@contextmanager
def _run_folder(options: argparse.Namespace, settings: dict[str, Any], validated: bool) -> Iterator[Any]:
    """The run's folder, which no other training uses meanwhile; its config.toml has the settings too."""
    from gpunn import parallel
    from gpunn.models.from_file import file_and_function

    from .trained import MODEL_FILE

    # Where the learning rate runs down to 0 the last weights are the settled ones; elsewhere the best epoch's are kept,
    # and always where training ends because nothing gets better.
    settles = options.schedule in ("onecycle", "cosine")
    named = None if options.resume else file_and_function(options.model)
    make = partial(
        _folder,
        config={**configured(options), **settings},
        model="best" if options.patience or (validated and not settles) else "last",
        checkpoint_every=options.checkpoint_every,
        keep_checkpoints=options.keep_checkpoints,
        files={} if named is None else {MODEL_FILE: named[0].read_bytes()},
    )
    ranks = parallel.world()
    folder = None
    if ranks.is_first:
        if path := options.resume or options.out:
            folder = make(path)
            folder.claim()
        else:
            folder = _claim_next(f"{_word(options.data)}-{_word(options.model)}", make)
    path = ranks.broadcast(None if folder is None else folder.path)
    try:
        yield make(path) if folder is None else folder
    finally:
        if folder is not None:
            folder.release()


def _folder(path: Path, **options: Any) -> Any:
    from gpunn.train import RunFolder

    return RunFolder(path, resume_hint=f"gpunn train --resume {path}", **options)


def _word(text: str) -> str:
    """A short name for a folder: "mlp:128,128" -> "mlp", "data/cats.npz" -> "cats"."""
    return re.sub(r"\W+", "-", Path(text.split(":")[0]).stem) or "run"


def _claim_next(name: str, make: Callable[[Path], Any]) -> Any:
    """The next folder runs/NAME-N that there is not; another training may look for one at the same moment."""
    root = Path("runs")
    numbers = [int(m[1]) for p in root.glob(f"{name}-*") if (m := re.fullmatch(rf"{re.escape(name)}-(\d+)", p.name))]
    number = max(numbers, default=0) + 1
    while True:
        folder = make(root / f"{name}-{number}")
        try:
            folder.claim(new=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _result(found: dict[str, Any], history: Any, best_epoch: int, parameters: int, path: Path) -> dict[str, Any]:
    row = history.last
    result = {
        "test_accuracy": found.get("accuracy"),
        "test_loss": found["loss"],
        "train_loss": row["loss"],
        "epochs": history.epochs,
        "tested_epoch": best_epoch or history.epochs,
        "samples_per_second": history.samples_per_second,
        "parameters": parameters,
        "run": str(path),
    }
    extra = {k: v for k, v in row.items() if k in ("val_loss", "val_accuracy")}
    extra |= {f"test_{k}": v for k, v in found.items() if k in ("r2", "rmse", "mae")}
    return result | extra


def _print(result: dict[str, Any], folder: Any) -> None:
    if result["test_accuracy"] is not None:
        print(f"test accuracy {result['test_accuracy']:.2%}, test loss {result['test_loss']:.4f}")
    else:
        r2, rmse, mae = (result.get(f"test_{name}") for name in ("r2", "rmse", "mae"))
        first = f"test loss {result['test_loss']:.4f}" if r2 is None else f"test R^2 {r2:.4f}"
        print(f"{first}; errors in the target's units: RMSE {rmse:.4g}, MAE {mae:.4g}")
    if result["tested_epoch"] < result["epochs"]:
        print(f"with the weights of epoch {result['tested_epoch']}, the best of {result['epochs']}")
    print(f"report: {folder.report_path}")
