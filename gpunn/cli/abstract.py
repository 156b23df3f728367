"""What can be told of a network before it has elements."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from gpunn.backend.launch import Text

from .common import Whole, input_shape
from .errors import RunError

T = TypeVar("T")


def told_of(options: argparse.Namespace, shape: tuple[int, ...], tell: Callable[[Any], T]) -> T:
    """What `tell` says of the network that the options name, which is made on the device ``meta``: it takes no memory.

    A network of a FILE.py that can't be made or called without elements gets some.
    """
    import gpunn
    from gpunn.models import build
    from gpunn.models.from_file import file_and_function

    def make() -> Any:
        return build(options.model, shape, options.classes, options.activation)

    try:
        with gpunn.device("meta"):
            return tell(make())
    except Exception:
        if file_and_function(options.model) is None:
            raise
    return tell(make())


def forecasts(options: argparse.Namespace, shape: tuple[int, ...], sizes: Sequence[int]) -> dict[int, Any]:
    """What a training step on the CPU needs in memory, for each size of a batch.

    Sizes that the network does not take, as batch norm takes no batch of one, are left out; not that of the options.
    """
    return told_of(options, shape, lambda model: forecasts_of(options, model, shape, sizes))


def forecasts_of(
    options: argparse.Namespace, model: Any, shape: tuple[int, ...], sizes: Sequence[int]
) -> dict[int, Any]:
    """The same for a network that is there, on ``meta`` or on the CPU."""
    from gpunn.models import recompute

    if not any(p.requires_grad for p in model.parameters()):
        raise RunError(f"{options.model}: no parameter requires a gradient, so there is no training step")
    if segments := vars(options).get("recompute"):
        recompute(model, segments)
    ranks, device = vars(options).get("ranks") or 1, next(model.parameters()).device

    def forecast(n: int) -> Any:
        mine = -(-n // ranks)  # the largest part of a batch
        try:
            return step.forecast(*specs_of(model, mine, shape, device))
        except ValueError:
            if n == options.batch_size:
                raise
            return None

    with as_rank(model, ranks, vars(options).get("shard_optimizer", False)) as before_update:
        step = step_of(options, model, before_update)
        return {n: found for n in sizes if (found := forecast(n)) is not None}


@contextmanager
def as_rank(model: Any, ranks: int, sharded: bool) -> Iterator[Any]:
    """Inside, a step is traced as on the one of several ranks that has most to keep; what it does before its update."""
    from gpunn import parallel

    if ranks == 1:
        yield None
        return
    parameters = [p for p in model.parameters() if p.requires_grad]
    owner = parallel.owners(parameters, ranks)
    kept = [sum(p.nbytes for p, r in zip(parameters, owner) if r == rank) for rank in range(ranks)]
    rank = kept.index(max(kept))

    def before_update() -> None:
        parallel.sum_gradients(parameters)
        for p, r in zip(parameters, owner):
            if sharded and r != rank:
                p._grad = None

    with parallel.imagined(ranks, rank):
        yield before_update


def texts_of(options: argparse.Namespace, shape: tuple[int, ...]) -> tuple[Text, ...]:
    """The kernels that training and evaluation launch on a GPU."""
    import gpunn

    def tell(model: Any) -> tuple[Text, ...]:
        step, device = step_of(options, model), next(model.parameters()).device
        x, y = specs_of(model, options.batch_size, shape, device)
        training, evaluation = step.texts(x, y), gpunn.EvalStep(model.eval()).texts(x)
        return tuple(dict.fromkeys((*training, *evaluation)))

    return told_of(options, shape, tell)


def specs_of(model: Any, n: int, shape: tuple[int, ...], device: Any) -> tuple[Any, Any]:
    """A batch of n samples without elements, and its targets: classes, or what goes in for a network that gives it
    back.
    """
    import gpunn
    from gpunn.backend.spec import Spec
    from gpunn.models import reconstructs

    x = Spec((n, *shape), input_type(model, shape), device)
    return x, x if reconstructs(model) else Spec((n,), gpunn.int64, device)


def step_of(options: argparse.Namespace, model: Any, before_update: Any = None) -> Any:
    """A training step of a network, with the optimizer that the options name; `before_update` as for `TrainStep`."""
    import gpunn
    from gpunn import nn, optim
    from gpunn.models import reconstructs
    from gpunn.train.optimizers import OPTIMIZERS

    momentum = {"lr": 0.1, "momentum": 0.9} if options.optimizer == "sgd" else {}
    optimizer = getattr(optim, OPTIMIZERS[options.optimizer])(model.parameters(), **momentum)
    loss = model.training_loss() if reconstructs(model) else nn.CrossEntropyLoss()
    return gpunn.TrainStep(model, loss, optimizer, before_update=before_update)


def step_and_batch(options: argparse.Namespace, device: Any) -> tuple[Any, Any, Any]:
    """A training step of the network that the options name, and a random batch for it, on a device."""
    import gpunn
    from gpunn.models import build, reconstructs

    shape, size = input_shape(options.input), options.batch_size
    gpunn.manual_seed(0)
    model = build(options.model, shape, options.classes, options.activation).to(device)
    step, x = step_of(options, model), random_samples(model, size, shape, device)
    return step, x, x if reconstructs(model) else gpunn.randint(0, options.classes, (size,), device=device)


def input_type(model: Any, shape: tuple[int, ...]) -> Any:
    """The type of a model's inputs: int64 where they are whole numbers, else that of its first float."""
    import gpunn

    return gpunn.int64 if isinstance(shape, Whole) else float_type(model)


def random_samples(model: Any, n: int, shape: tuple[int, ...], device: Any = None) -> Any:
    """Random samples for a model; whole numbers are 0 and 1, which any table of embeddings has."""
    import gpunn

    if isinstance(shape, Whole):
        return gpunn.randint(2, (n, *shape), device=device)
    return gpunn.randn(n, *shape, dtype=float_type(model), device=device)


def float_type(model: Any) -> Any:
    """The type of a model's first float, which its inputs have too."""
    import gpunn

    return next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), gpunn.float32)


def random_batch(options: argparse.Namespace, model: Any, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """A random batch of such samples on the default device, with targets for the loss that the options name, and that
    loss; for a network that gives its inputs back, these and its own.
    """
    import gpunn
    from gpunn.models import reconstructs

    n, outputs = options.batch_size, options.classes
    x = random_samples(model, n, shape)
    if reconstructs(model):
        return x, x.clone(), model.training_loss()
    if options.loss in ("cross_entropy", "nll"):
        return x, gpunn.randint(0, outputs, (n,)), options.loss
    if options.loss in ("bce", "bce_with_logits"):
        return x, gpunn.rand(n, outputs).round(), options.loss
    return x, gpunn.randn(n, outputs), options.loss


def title_of(options: argparse.Namespace) -> str:
    """What such a step is called."""
    return f"{options.model}, batches of {options.batch_size}, {options.optimizer}"


def check_that_it_fits(spec: str, shape: tuple[int, ...], outputs: int, activation: str) -> None:
    """Look whether there is memory for the parameters of a network with a name, before they are drawn on the host.

    Raises:
        RunError: there is not; the message says what is needed, and what is free.
    """
    import gpunn
    from gpunn.models import build
    from gpunn.models.from_file import file_and_function
    from gpunn.printing import bytes_text
    from gpunn.train.cut import free_memory

    if file_and_function(spec) is not None:
        return
    with gpunn.device("meta"):
        parameters = list(build(spec, shape, outputs, activation).parameters())
    needed, free = sum(p.nbytes for p in parameters), free_memory(gpunn.device("cpu"))
    if free is not None and needed > free:
        call = f"gpunn memory --model {spec} --input {','.join(map(str, shape))} --classes {outputs}"
        raise RunError(
            f"out of memory: {spec} has {sum(p.numel() for p in parameters):,} parameters, which take "
            f"{bytes_text(needed)}, and {bytes_text(free)} are free; what training would need says: {call}"
        )
