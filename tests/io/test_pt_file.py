"""Files of torch.save: what PyTorch wrote is read without running code, and the other way round."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.dtypes import DTYPES
from gpunn.io import FileFormatError


def same(theirs, ours, torch):
    """Whether a structure of PyTorch's is one of gpunn's, to the bit."""
    if isinstance(theirs, torch.Tensor):
        assert (tuple(theirs.shape), str(theirs.dtype)) == (tuple(ours.shape), f"torch.{ours.dtype.name}")
        assert isinstance(theirs, torch.nn.Parameter) is isinstance(ours, nn.Parameter)
        bits = theirs.detach().contiguous().reshape(-1).view(torch.uint8).numpy() if theirs.numel() else np.empty(0)
        assert bits.tobytes() == ours.detach().numpy().tobytes()
    elif isinstance(theirs, dict):
        assert list(theirs) == list(ours)
        for key, value in theirs.items():
            same(value, ours[key], torch)
    elif isinstance(theirs, (list, tuple)):
        assert len(theirs) == len(ours)
        assert isinstance(theirs, list) is isinstance(ours, list)
        for a, b in zip(theirs, ours):
            same(a, b, torch)
    else:
        assert type(theirs) is type(ours)
        assert theirs == ours


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_pytorch_wrote(torch, tmp_path, protocol):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.randn(4, 3), "exp_avg_sq": torch.rand(4, 3)}
    group = {"lr": 0.001, "betas": (0.9, 0.999), "amsgrad": False, "foreach": None, "params": [0]}  # as Adam's is
    image = torch.arange(24.0).reshape(4, 6)
    saved = {
        "model": model.state_dict(),
        "optimizer": {"state": {0: moments}, "param_groups": [group]},
        "types": [torch.tensor([0, 1, 2]).to(getattr(torch, d.name)) for d in DTYPES],
        "views": [image[1:, ::2], image.t(), image[0].expand(3, 6)],
        "plain": [1, -5, 2**40, -(2**70), 1.5, True, None, "ü", (1, 2, 3, 4), {3: ()}],
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3.0),
        "parameter": torch.nn.Parameter(torch.ones(2), requires_grad=False),
    }
    torch.save(saved, tmp_path / "saved.pt", pickle_protocol=protocol)
    found = gpunn.load(tmp_path / "saved.pt")
    same(saved, found, torch)
    part, turned, _ = found["views"]
    assert part.numpy().strides == (24, 8)
    with gpunn.no_grad():
        turned[0, 1] = 99.0
    assert part[0, 0] == 99.0  # they share their memory, as in PyTorch
    assert not found["parameter"].requires_grad


def test_what_pytorch_reads(torch, tmp_path):
    shared = gpunn.ones(3)
    saved = {
        "types": [gpunn.tensor([0, 1, 2]).to(d) for d in DTYPES],
        "plain": [1, -3, 2**50, -(2**70), 1.5, None, True, "ä", (1, (2,)), {0: "zero"}],
        "turned": gpunn.arange(6.0).reshape(2, 3).T,
        "empty": gpunn.zeros(0, 2),
        "scalar": gpunn.tensor(2.0),
        "shared": [shared, shared],
    }
    gpunn.save(saved, tmp_path / "saved.pth")
    found = torch.load(tmp_path / "saved.pth", weights_only=True)
    same(found, saved, torch)
    same(found, gpunn.load(tmp_path / "saved.pth"), torch)
    assert found["shared"][0].data_ptr() == found["shared"][1].data_ptr()


def test_models_move_both_ways(torch, tmp_path):
    theirs, ours = torch.nn.LSTM(3, 4), nn.LSTM(3, 4)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    ours.load_state_dict(gpunn.load(tmp_path / "theirs.pt"))
    for p in ours.parameters():
        p.data.mul_(2)
    gpunn.save(ours.state_dict(), tmp_path / "ours.pt")
    theirs.load_state_dict(torch.load(tmp_path / "ours.pt", weights_only=True))
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    expected = theirs(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(ours(gpunn.tensor(x))[0].detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_what_is_no_data_is_refused_by_its_name(torch, tmp_path):
    model = torch.nn.Linear(2, 2)
    for value, name in (
        (model, "torch.nn.modules.linear.Linear"),
        ({"loss": np.float64(1)}, r"numpy.*\.scalar"),
        (torch.eye(2).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        ({"a": {1, 2}}, "__builtin__.set"),
    ):
        torch.save(value, tmp_path / "file.pt")
        with pytest.raises(FileFormatError, match=rf"file.pt: it holds {name}, .*state_dict"):
            gpunn.load(tmp_path / "file.pt")
    torch.save(model.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(FileFormatError, match=r"old.pt is a file of PyTorch's from before version 1\.6.*torch.save\("):
        gpunn.load(tmp_path / "old.pt")


# Files made by hand ---------------------------------------------------------------------------------------------------


def archive(pickled, storages=(bytes(16),), order="little", compressed=False, extra=()):
    """A file of torch.save's layout."""
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as made:
        made.writestr("x/data.pkl", pickled)
        made.writestr("x/byteorder", order)
        for key, content in enumerate(storages):
            made.writestr(f"x/data/{key}", content)
        for name in extra:
            made.writestr(name, b"")
    return file.getvalue()


def number(n):
    return b"J" + struct.pack("<i", n)


def numbers(*values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(size, stride, offset=0, count=4, kind=b"FloatStorage", key=b"0"):
    """The opcodes of a tensor."""
    storage = b"(X\7\0\0\0storagectorch\n" + kind + b"\nX\1\0\0\0" + key + b"X\3\0\0\0cpu" + number(count) + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage + number(offset) + numbers(*size) + numbers(*stride) + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def read(content):
    return gpunn.load(io.BytesIO(content))


def test_a_tensor_made_by_hand():
    elements = np.float32([1, 2, 3, 4])
    assert read(archive(tensor((2, 2), (1, 2)) + b".", (elements.tobytes(),))).tolist() == [[1, 3], [2, 4]]
    swapped = elements.astype(">f4").tobytes()
    assert read(archive(tensor((3,), (1,), 1) + b".", (swapped,), "big")).tolist() == [2, 3, 4]


MANY = 1 << 30
LOOP = b"]q\0h\0a."
DEEP = b"]" * 300 + b"a" * 299 + b"."
DOUBLED = b"]q\0" + b"".join(b"0](h%ch%ceq%c" % (i, i, i + 1) for i in range(60)) + b"."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(tensor((5,), (1,)) + b"."), "reaches beyond its storage of 4"),
        (archive(tensor((2,), (1,), 3) + b"."), "reaches beyond its storage"),
        (archive(tensor((2, 2), (1,)) + b"."), "the size"),
        (archive(tensor((-1,), (1,)) + b"."), "the size"),
        (archive(tensor((2,), (-1,), 1) + b"."), "the strides"),
        (archive(tensor((1,) * 65, (1,) * 65) + b"."), "the size"),
        (archive(tensor((MANY, MANY), (0, 0)) + b"."), "GPUNN_MAX_EXPANSION"),
        (archive(tensor((2,), (1,), count=MANY) + b"."), "has 16 bytes"),
        (archive(tensor((2,), (1,), key=b"7") + b"."), "no entry data/7"),
        (archive(tensor((2,), (1,), kind=b"ComplexFloatStorage") + b"."), "torch.ComplexFloatStorage"),
        (archive(tensor((2,), (1,)) + b".", order="middle"), "byte order"),
        (archive(tensor((2,), (1,)) + b".", compressed=True), "is compressed"),
        (archive(b"N.", extra=("x/constants.pkl",)), "TorchScript"),
        (archive(b"N.", extra=("y/data.pkl",)), "not a whole file"),
        (archive(b"cposix\nsystem\nX\2\0\0\0id\x85R."), "posix.system"),
        (archive(b"c__builtin__\neval\n."), "__builtin__.eval"),
        (archive(b"\x8c\2os\x8c\6system\x93."), "os.system"),
        (archive(b"(X\1\0\0\0aios\nsystem\n."), "INST"),
        (archive(b"ctorch\nFloatStorage\n."), "torch.FloatStorage itself"),
        (archive(b"ctorch\nFloatStorage\n)R."), "calls torch.FloatStorage"),
        (archive(b"ccollections\nOrderedDict\n)R}b."), None),
        (archive(b"N}b."), "sets attributes"),
        (archive(b"}(]Nu."), "list as a key"),
        (archive(LOOP), "contains itself"),
        (archive(DEEP), "nested more than 100 deep"),
        (archive(DOUBLED), None),
        (archive(b"h\0."), "damaged"),
        (archive(b"N"), "damaged"),
        (archive(b"."), "damaged"),
        (archive(b"(."), "damaged"),
        (archive(b"\x8b\xff\xff\xff\x7f."), "damaged"),
        (archive(b"N.")[:-30], "not a whole file"),
    ],
)  # fmt: skip
def test_hostile_files(content, message):
    if message is None:
        read(content)
        return
    with pytest.raises(FileFormatError, match=message):
        read(content)


def test_a_pickle_that_would_run_code_runs_none(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "made"), "w")

    with pytest.raises(FileFormatError, match=r"io\.open"):
        read(archive(pickle.dumps(Bomb(), 2)))
    assert not (tmp_path / "made").exists()


def test_entries_that_overlap():
    """Two entries of the archive that are one piece of the file would be read twice."""
    content = archive(b"(" + tensor((4,), (1,)) + tensor((4,), (1,), key=b"1") + b"t.", (bytes(16), bytes(16)))
    at = content.index(b"x/data/1", content.index(b"PK\1\2")) - 4
    first = content.index(b"PK\3\4", 4)
    second = content.index(b"x/data/0") - 30
    assert first < second
    lying = content[:at] + struct.pack("<I", second) + content[at + 4 :]
    with pytest.raises(FileFormatError):
        read(lying)


def test_what_can_not_be_written(tmp_path):
    with pytest.raises(TypeError, match=r"a\.0 is a ndarray; NumPy arrays become tensors"):
        gpunn.save({"a": [np.ones(2)]}, tmp_path / "file.pt")
    with pytest.raises(TypeError, match="the key"):
        gpunn.save(OrderedDict({(1, 2): 3}), tmp_path / "file.pt")
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        gpunn.save(loop, tmp_path / "file.pt")
    assert not list(tmp_path.iterdir())
