"""Where the texts of the CUDA kernels are.

In an installed gpunn they lie inside the package, as ``gpunn/kernels``; in a checkout beside it, as ``kernels``.
"""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_SUFFIXES = {".cu", ".cuh"}
_written: dict[str, str] = {}


def _folder(package: Path) -> Path:
    """The folder of the kernel texts that belong to the gpunn in the folder `package`."""
    installed = package / "kernels"
    checkout = package.parent / "kernels"
    if installed.is_dir():
        return installed
    # Only a checkout has pyproject.toml there; a folder "kernels" beside an installed package is somebody else's.
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    raise FileNotFoundError(f"the kernel texts are missing: there is no folder {installed}; install gpunn again")


def kernel_folder() -> Path:
    """The folder of the kernel texts: the include path that the compiler needs."""
    return _folder(_PACKAGE)


def kernel_names() -> tuple[str, ...]:
    """The file names of all kernel texts (``.cu``) and of the headers that they include (``.cuh``), sorted."""
    return tuple(sorted(path.name for path in kernel_folder().iterdir() if path.suffix in _SUFFIXES))


def kernel_path(name: str) -> Path:
    """The file of one kernel text.

    Args:
        name: a file name such as ``"linear.cu"``.

    Raises:
        ValueError: there is no text of that name; the message lists those there are.
        FileNotFoundError: this installation has no kernel texts.
    """
    path = kernel_folder() / name
    if path.suffix not in _SUFFIXES or path.name != name or not path.is_file():
        raise ValueError(f"there is no kernel text {name!r}; there are: {', '.join(kernel_names())}")
    return path


def kernel_text(name: str) -> str:
    """The source of one kernel text, as `kernel_path` finds it or as it was written, its includes not expanded."""
    return _written[name] if name in _written else kernel_path(name).read_text(encoding="utf-8")


def write_text(name: str, source: str) -> None:
    """Take `source` for the kernel text `name` in this process: a kernel that the host writes by itself has no file."""
    _written[name] = source


def included_headers(name: str) -> tuple[str, ...]:
    """The headers that a kernel text includes, directly or through another header, sorted."""
    found: set[str] = set()
    left = [name]
    while left:
        included = set(re.findall(r'^\s*#\s*include\s+"(\w+\.cuh)"', kernel_text(left.pop()), re.MULTILINE))
        left += included - found
        found |= included
    return tuple(sorted(found))
