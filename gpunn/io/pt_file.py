"""Files of ``torch.save``: a zip archive of the elements of each storage, and a pickle that says how they are tensors.

It is read without running any code; see `gpunn.io.pickle_records`. The layout is that of PyTorch from version 1.6 on
(https://docs.pytorch.org/docs/stable/notes/serialization.html).
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from gpunn.backend.dtypes import DTYPES
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import row_major
from gpunn.datasets import DataError
from gpunn.datasets.expansion import check_expansion
from gpunn.io.atomic import atomic_path
from gpunn.io.errors import FileFormatError
from gpunn.io.pickle_records import Named, Refused, read_pickle
from gpunn.io.structure import DEPTH, EXPECTED, order_of, own_strides
from gpunn.nn import Parameter
from gpunn.tensor import Tensor

STORAGES: dict[str, Any] = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16,
    "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip
"""PyTorch's names of the types of elements."""
_STORAGE_OF = {np.dtype(t): name for name, t in STORAGES.items()}
_UNTYPED = "torch.storage.UntypedStorage"
_DIMENSIONS = 64
"""As many as an array of NumPy's can have."""


def is_one(data: bytes) -> bool:
    """Whether the bytes of a zip archive are a file of PyTorch's, rather than of NumPy's."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except Exception:  # whoever reads it says what is wrong
        return b"data.pkl" in data[:4096]


def parse(data: bytes, name: str, as_tensor: Callable[[Any], Tensor]) -> Any:
    """What is in the bytes of a file of PyTorch's; `name` stands for the file in errors. See `gpunn.load`.

    Raises:
        FileFormatError: it is truncated or damaged, or holds something else than tensors and plain data.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Reader(archive, len(data), as_tensor).read()
    except FileFormatError:
        raise
    except (Refused, DataError) as error:
        raise FileFormatError(f"{name}: {error}. In PyTorch, save what a state_dict() gives") from None
    except (zipfile.BadZipFile, ValueError, TypeError, KeyError, EOFError, OSError, NotImplementedError, RuntimeError,
            OverflowError, zlib.error, MemoryError, struct.error, AttributeError, UnicodeError) as error:  # fmt: skip
        raise FileFormatError(
            f"{name} ({len(data)} bytes) is not a whole file of torch.save: {error}; it is truncated, damaged or of "
            "another kind"
        ) from None


class _Storage:
    """The elements of a storage, of a type or none yet."""

    def __init__(self, array: Any, typed: bool):
        self.array, self.typed = array, typed


class _Reader:
    """Reads an archive."""

    def __init__(self, archive: zipfile.ZipFile, size: int, as_tensor: Callable[[Any], Tensor]):
        self.archive, self.size, self.as_tensor = archive, size, as_tensor
        self.members = {m.filename: m for m in archive.infolist()}
        (self.prefix,) = {n.rpartition("/")[0] for n in self.members if n.rpartition("/")[2] == "data.pkl"}
        self.storages: dict[str, tuple[str, _Storage]] = {}
        self.read_bytes = 0
        self.order = self._member("byteorder", b"little").decode("ascii", "replace").strip()
        if self.order not in ("little", "big"):
            raise Refused(f"it is of the byte order {self.order!r}")

    def read(self) -> Any:
        """The object."""
        if f"{self.prefix}/constants.pkl" in self.members:
            raise Refused("it is a program of TorchScript, which is code")
        records: dict[str, Any] = {
            "collections.OrderedDict": dict,
            "collections.Counter": dict,
            "torch.Size": tuple,
            "torch.device": lambda *place: ":".join(map(str, place)),
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_of_bytes,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            **{f"torch.{kind}": None for kind in STORAGES},
            _UNTYPED: None,
        }
        values = {f"torch.{d.name}": d for d in DTYPES}
        pickle = self._member("data.pkl")
        return read_pickle(pickle, _Callable(records), values, self._storage, (Tensor, DType))

    def _member(self, name: str, default: bytes | None = None) -> bytes:
        """The content of an entry.

        Raises:
            Refused: there is none, it is compressed, or more is read than there are bytes in the file.
        """
        member = self.members.get(f"{self.prefix}/{name}" if self.prefix else name)
        if member is None:
            if default is None:
                raise Refused(f"it has no entry {name}")
            return default
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise Refused(f"its entry {name} is compressed, which PyTorch's are not")
        self.read_bytes += member.file_size
        if self.read_bytes > self.size:
            raise Refused(f"its entries overlap, or hold more than its {self.size:,} bytes")
        return self.archive.read(member)

    def _storage(self, place: Any) -> _Storage:
        """The elements that ``("storage", type, key, device, number)`` stands for, once for each key."""
        if not isinstance(place, tuple) or len(place) != 5 or place[0] != "storage":
            raise Refused("its pickle names a storage in a way that is not known")
        _, kind, key, _, count = place
        if not isinstance(kind, Named) or not isinstance(key, str) or type(count) is not int or count < 0:
            raise Refused("its pickle names a storage in a way that is not known")
        if key not in self.storages:
            content = self._member(f"data/{key}")
            typed = kind.name != _UNTYPED
            dtype = np.dtype(STORAGES[kind.name.removeprefix("torch.")]) if typed else np.dtype(np.uint8)
            if len(content) != count * dtype.itemsize:
                raise Refused(
                    f"the storage {key} has {len(content):,} bytes, and {count:,} of {dtype} are said to be there"
                )
            array = np.frombuffer(bytearray(content), dtype)
            self.storages[key] = kind.name, _Storage(self._native(array), typed)
        name, storage = self.storages[key]
        if name != kind.name or storage.array.size != count:
            raise Refused(f"the storage {key} is said to be of two kinds")
        return storage

    def _native(self, array: Any) -> Any:
        """In the byte order of this machine."""
        swapped = np.little_endian != (self.order == "little") and array.dtype.itemsize > 1
        return array.view(f"u{array.dtype.itemsize}").byteswap().view(array.dtype) if swapped else array

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
        """A tensor: a view of its storage.

        Raises:
            Refused: it reaches beyond its storage, or would be much larger than it.
        """
        if not isinstance(storage, _Storage):
            raise Refused("a tensor has no storage")
        if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _DIMENSIONS):
            raise Refused(f"a tensor has the size {size!r} and the strides {stride!r}")
        if any(type(n) is not int or n < 0 for n in (offset, *size, *stride)):
            raise Refused(f"a tensor has the offset {offset!r}, the size {size!r} and the strides {stride!r}")
        array, numel = storage.array, math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if numel else 0
        if last >= max(array.size, 1) or (numel and not array.size):
            raise Refused(f"a tensor of the size {size} reaches beyond its storage of {array.size} elements")
        check_expansion("a tensor", array.nbytes, numel * array.dtype.itemsize)
        if not numel:
            return self.as_tensor(np.empty(size, array.dtype))
        steps = [s * array.dtype.itemsize for s in stride]
        return self.as_tensor(np.lib.stride_tricks.as_strided(array[offset:], size, steps))

    def _tensor_of_bytes(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
        """A tensor of a storage without a type: the type stands at the end."""
        dtype = rest[2] if len(rest) > 2 else None
        if not isinstance(storage, _Storage) or storage.typed or dtype not in DTYPES:
            raise Refused("a tensor has a storage or a type that is not known")
        if storage.array.size % dtype.itemsize:
            raise Refused(f"a tensor of {dtype} has a storage of {storage.array.size} bytes")
        typed = _Storage(self._native(storage.array.view(dtype.numpy)), True)
        return self._tensor(typed, offset, size, stride)

    def _parameter(self, data: Any, requires_grad: Any, *rest: Any) -> Parameter:
        if not isinstance(data, Tensor) or not isinstance(requires_grad, bool):
            raise Refused("a parameter is no tensor")
        return Parameter(data, requires_grad)


class _Callable(dict[str, Any]):
    """Records by name, of which some can't be called."""

    def __getitem__(self, name: str) -> Any:
        function = super().__getitem__(name)
        if function is None:
            raise Refused(f"its pickle calls {name}")
        return function


# Writing -------------------------------------------------------------------------------------------------------------


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write a structure into a file that ``torch.load`` reads; see `gpunn.save`.

    Tensors that show the same memory in the same way share it there too.
    """
    writer = _Writer()
    pickle = b"\x80\x02" + writer.written(obj, ()) + b"."
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", "little" if np.little_endian else "big")
        for key, array in enumerate(writer.arrays):
            with archive.open(f"archive/data/{key}", "w", force_zip64=True) as entry:
                entry.write(memoryview(array.reshape(-1).view(np.uint8)))
        archive.writestr("archive/version", "3\n")


class _Writer:
    """Writes the pickle, in the opcodes that PyTorch's own reader of weights knows; collects the elements."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self._known: dict[Any, int] = {}
        self._inside: set[int] = set()

    def written(self, x: Any, path: tuple[Any, ...]) -> bytes:
        """The opcodes that put an object onto the stack.

        Raises:
            TypeError: it is none of those that can be there.
            ValueError: it contains itself, or is nested too deeply.
        """
        if x is None or x is True or x is False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[x]
        if type(x) is int:
            return _integer(x)
        if type(x) is float:
            return b"G" + struct.pack(">d", x)
        if type(x) is str:
            text = x.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(text)) + text
        if isinstance(x, Tensor):
            return self._tensor(x)
        if type(x) not in (list, tuple) and not isinstance(x, dict):
            what = "NumPy arrays become tensors by gpunn.from_numpy" if isinstance(x, np.ndarray) else EXPECTED
            raise TypeError(f"{'.'.join(map(str, path)) or 'the object'} is a {type(x).__name__}; {what}")
        if id(x) in self._inside or len(path) >= DEPTH:
            raise ValueError(f"{'.'.join(map(str, path[:3]))}... contains itself, or is nested more than {DEPTH} deep")
        self._inside.add(id(x))
        if isinstance(x, dict):
            for key in x:
                if type(key) not in (str, int):
                    raise TypeError(
                        f"{'.'.join(map(str, path)) or 'the object'} has the key {key!r}; expected str or int"
                    )
            entries = [self.written(k, path) + self.written(v, (*path, k)) for k, v in x.items()]
            found = b"}(" + b"".join(entries) + b"u"
        else:
            entries = [self.written(v, (*path, i)) for i, v in enumerate(x)]
            found = b"](" + b"".join(entries) + b"e" if type(x) is list else b"(" + b"".join(entries) + b"t"
        self._inside.discard(id(x))
        return found

    def _tensor(self, x: Tensor) -> bytes:
        source = x.detach().cpu().numpy()
        steps = own_strides(source)
        in_order = source if steps is None else source.transpose(order_of(source.shape, steps))
        array = np.ascontiguousarray(in_order).reshape(in_order.shape)
        place = source.__array_interface__["data"][0], source.shape, source.strides, source.dtype
        key = self._known.setdefault(place, len(self.arrays)) if array.size else len(self.arrays)
        if key == len(self.arrays):
            self.arrays.append(array)
        kind = f"ctorch\n{_STORAGE_OF[array.dtype]}\n".encode()
        storage = b"(" + self.written("storage", ()) + kind + self.written(str(key), ()) + self.written("cpu", ())
        storage += _integer(array.size) + b"tQ"
        shape, strides = (self.written(v, ()) for v in (source.shape, steps or row_major(source.shape)))
        hooks = b"ccollections\nOrderedDict\n)R"
        call = b"ctorch._utils\n_rebuild_tensor_v2\n("
        return call + storage + _integer(0) + shape + strides + b"\x89" + hooks + b"tR"


def _integer(x: int) -> bytes:
    if -(1 << 31) <= x < 1 << 31:
        return b"J" + struct.pack("<i", x)
    size = x.bit_length() // 8 + 1
    if size > 255:
        raise ValueError(f"an integer of {size} bytes is too large for a file")
    return b"\x8a" + bytes([size]) + x.to_bytes(size, "little", signed=True)
