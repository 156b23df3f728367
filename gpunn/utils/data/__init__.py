"""Data sets, samplers and the loader that makes batches of them, with PyTorch's names and meanings."""

from gpunn.utils.data.collate import default_collate, default_convert
from gpunn.utils.data.dataloader import DataLoader
from gpunn.utils.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from gpunn.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler

__all__ = [
    "Dataset", "IterableDataset", "TensorDataset", "Subset", "ConcatDataset", "random_split",
    "Sampler", "SequentialSampler", "RandomSampler", "SubsetRandomSampler", "BatchSampler",
    "DataLoader", "default_collate", "default_convert",
]  # fmt: skip
