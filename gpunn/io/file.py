"""`gpunn.save` and `gpunn.load`: the kind of a file is told by its name when it is written, and by its content when it
is read.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Any

from gpunn.io import safetensors_file
from gpunn.io.errors import FileFormatError
from gpunn.tensor import Tensor, from_numpy

ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files begin that PyTorch wrote before version 1.6, or with ``_use_new_zipfile_serialization=False``."""


def save(obj: Any, path: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write nested dicts, lists and tuples of tensors, NumPy arrays, int, float, bool, str and None into one file.

    Arrays are stored under their path in the structure, "optimizer.state.0.exp_avg", so a saved state_dict is a
    safetensors file with its own keys, which any other reader understands; the structure is JSON in the metadata, with
    a checksum of all content, by which `load` finds damage. Keys are str or int. A tensor's gradient, history and
    device are not saved. Its strides are, unless it has gaps: then it comes back row-major.

    A name that ends in ``.pt`` or ``.pth`` makes a file of PyTorch's, which ``torch.load`` reads with
    ``weights_only=True``; there are no NumPy arrays in it. One that ends in ``.npz`` makes one of NumPy's, of a dict of
    tensors alone, such as a state_dict.

    The file is written beside `path` and then takes its place, so that there is never half of one. Where `path` is an
    open file, a safetensors file is written there.

    Raises:
        ImportError: safetensors is not installed.
        TypeError: something else is in there; the message names its place.
        ValueError: the structure contains itself, or is nested too deeply to be read again.
        FileNotFoundError: the folder does not exist.
        OSError: it can't be written, such as on a full disk.
    """
    if not isinstance(path, (str, os.PathLike)):
        safetensors_file.save(obj, _file(path, "write", "gpunn.save"))
        return
    suffix = Path(path).suffix.lower()
    if suffix in (".pt", ".pth"):
        from gpunn.io import pt_file  # when it is asked for: ``import gpunn`` stays quick

        pt_file.save(obj, path)
    elif suffix == ".npz":
        from gpunn.io import npz_file

        npz_file.save(obj, path)
    else:
        safetensors_file.save(obj, path)


def load(path: str | os.PathLike[str] | IO[bytes], map_location: Any = None, weights_only: bool = True) -> Any:
    """What `save` wrote, in the types it had; or, of any other safetensors or NPZ file, the dict of its tensors.

    Files of ``torch.save`` are read too, without running any code: what is in them besides tensors, parameters, dicts,
    lists, tuples, numbers and text is refused by its name. Their tensors keep their strides, and the memory that they
    share.

    Tensors are on the CPU, or on the device `map_location`, and don't require grad, but for parameters. `path` may be
    an open file, which is read from where it stands to its end. There is nothing in such files but weights, whatever
    `weights_only` says.

    Raises:
        ImportError: safetensors is not installed.
        FileNotFoundError: there is no such file.
        FileFormatError: it is of none of these kinds, or a truncated or damaged one, or holds a type that gpunn lacks.
    """
    name = str(path)
    if isinstance(path, (str, os.PathLike)):
        path = Path(path)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; expected a file of weights")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        data = path.read_bytes()
    else:
        data = _file(path, "read", "gpunn.load").read()
        if not isinstance(data, bytes):
            raise TypeError(
                f"gpunn.load: expected a file whose read() gives bytes, got {type(data).__name__} of {path!r}"
            )

    def as_tensor(array: Any) -> Tensor:
        try:
            tensor = from_numpy(array)
        except TypeError:
            raise FileFormatError(f"{name}: holds {array.dtype}, which no tensor of gpunn can be") from None
        return tensor if map_location is None else tensor.to(device=map_location)

    if data.startswith(ZIP):
        from gpunn.io import npz_file, pt_file

        return (pt_file if pt_file.is_one(data) else npz_file).parse(data, name, as_tensor)
    if data.startswith(LEGACY):
        raise FileFormatError(
            f"{name} is a file of PyTorch's from before version 1.6, which gpunn does not read; write it anew in "
            "PyTorch: torch.save(torch.load(path, map_location='cpu'), path)"
        )
    return safetensors_file.parse(data, name, as_tensor)


def _file(file: Any, method: str, caller: str) -> Any:
    """An open file, if it is one.

    Raises:
        TypeError: it is none.
    """
    if isinstance(file, io.TextIOBase):
        mode = "rb" if method == "read" else "wb"
        raise TypeError(f"{caller}: the file is open for text; open it with mode {mode!r}, got {file!r}")
    if not hasattr(file, method):
        raise TypeError(f"{caller} takes a path or a file that is open for bytes, got {type(file).__name__}")
    return file
