"""Data parallel: several ranks train one network, each on its part of every batch, over MPI and NCCL."""

from .gradients import buckets, sum_gradients
from .processes import RanksDiffer, World, alone, check_same, imagined, init, launched, world
from .sharded import ShardedStep, owners

__all__ = [  # fmt: skip
    "World",
    "init",
    "world",
    "sum_gradients",
    "check_same",
    "RanksDiffer",
    "alone",
    "imagined",
    "launched",
    "buckets",
    "ShardedStep",
    "owners",
]
