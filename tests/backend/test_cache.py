"""Where results are kept, with and without the library that knows the platform's folders."""

import sys
from pathlib import Path

import pytest

from gpunn.backend.cache import cache_folder


@pytest.mark.parametrize("missing", [False, True])
def test_the_folder(monkeypatch, missing) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, "platformdirs", None)
    monkeypatch.delenv("GPUNN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder("nvrtc") == Path("/somewhere/gpunn/nvrtc")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder("nvrtc") == Path("/home/ada/.cache/gpunn/nvrtc")
    monkeypatch.setenv("GPUNN_CACHE", "/chosen")
    assert cache_folder("nvrtc") == Path("/chosen/nvrtc")
