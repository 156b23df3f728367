"""A small data set, and the threads that load from it."""

import threading

import numpy as np

import gpunn
from gpunn.utils.data import TensorDataset


def tensors(n=10):
    return TensorDataset(gpunn.from_numpy(np.arange(n * 3.0).reshape(n, 3)), gpunn.from_numpy(np.arange(n)))


def workers_alive():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gpunn.DataLoader")]
