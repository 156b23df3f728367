"""Data sets, samplers and the loader that makes batches of them, with PyTorch's names and meanings."""

from gpunn.utils.data.collate import default_collate, default_convert
from gpunn.utils.data.dataloader import DataLoader
from gpunn.utils.data.dataset import (
    ArrayDataset,
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from gpunn.utils.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from gpunn.utils.data.worker import WorkerInfo, get_worker_info

__all__ = [
    "Dataset", "IterableDataset", "TensorDataset", "ArrayDataset", "Subset", "ConcatDataset", "StackDataset",
    "ChainDataset", "random_split",
    "Sampler", "SequentialSampler", "RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler",
    "DistributedSampler", "BatchSampler", "get_worker_info", "WorkerInfo",
    "DataLoader", "default_collate", "default_convert",
]  # fmt: skip
