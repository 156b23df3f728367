"""Workers that hang, die or raise an error."""

import subprocess
import sys
from itertools import chain

import pytest

from gpunn.utils.data import (
    DataLoader,
    Dataset,
    random_split,
)

from .small import tensors, workers_alive


def test_a_random_split_is_loaded_part_by_part():
    train, test = random_split(tensors(), [0.8, 0.2], generator=0)
    seen = [y.tolist() for part in (train, test) for _, y in DataLoader(part, 100)]
    assert [len(part) for part in seen] == [8, 2] and sorted(chain(*seen)) == list(range(10))


HANGS = """
import threading, sys, signal, os
from gpunn.utils.data import DataLoader, prefetch

how, context = sys.argv[1], sys.argv[2] or None
prefetch.PATIENCE = 0.3
shown, hangs = threading.Event(), threading.Event()

class Data:
    def __len__(self):
        return 9
    def __getitem__(self, i):
        if i == 4:
            hangs.set()
            if how == "waiting":
                shown.wait()
                os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait()
        return i

try:
    for x in DataLoader(Data(), num_workers=2, timeout=0.3 if how == "timeout" else 0, multiprocessing_context=context):
        print(x.item(), flush=True)
        if x == 3:
            shown.set()
            if how == "working":
                hangs.wait()
                os.kill(os.getpid(), signal.SIGINT)
except (RuntimeError, KeyboardInterrupt) as error:
    print(type(error).__name__)
"""


@pytest.mark.promise("a worker of a loader that hangs, dies or raises is told, and keeps no program from ending")
@pytest.mark.parametrize(
    ("how", "context", "error"),
    [
        ("timeout", "", "RuntimeError"),
        ("timeout", "fork", "RuntimeError"),
        ("waiting", "", "KeyboardInterrupt"),
        ("working", "", "KeyboardInterrupt"),
    ],
)
def test_a_worker_that_hangs_for_ever_does_not_keep_the_program(how, context, error):
    """It is late, or Ctrl-C comes while its batch is waited for, or while the caller works."""
    command = [sys.executable, "-c", HANGS, how, context]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    *numbers, last = done.stdout.split()
    # On a busy machine another sample may take longer than the timeout.
    assert last == error and numbers == ["0", "1", "2", "3"][: len(numbers) if how == "timeout" else None]


@pytest.mark.promise("a worker of a loader that hangs, dies or raises is told, and keeps no program from ending")
@pytest.mark.parametrize("error", [SystemExit, MemoryError, KeyboardInterrupt, GeneratorExit])
def test_whatever_ends_a_worker_comes_to_the_caller(error):
    class Data(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, i):
            if i == 5:
                raise error("worker")
            return i

    for workers in (0, 2):
        found = []
        with pytest.raises(error):
            found.extend(x.item() for x in DataLoader(Data(), num_workers=workers))
        found = []
        with pytest.raises(error):
            for x in DataLoader(Data(), num_workers=workers):
                found.append(x.item())
        assert found == [0, 1, 2, 3, 4]
        assert not workers_alive()
