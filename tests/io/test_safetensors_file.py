"""Saving and loading: what comes back, what other readers see, and what is refused."""

import errno
import json
import math
import zlib
from collections import OrderedDict, namedtuple

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import gpunn
from gpunn.backend.dtypes import DTYPES
from gpunn.io import FileFormatError


def roundtrip(obj, path):
    gpunn.save(obj, path)
    return gpunn.load(path)


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -(10**30), 0.1, -0.0, 1e-320, "", "Grüße \ud800", [], {}, (),
        [1, [2.0, (3, "x", None)], {}], (1,), ((), ([],)),
        {"a": {"b": 1}, 3: {-1: "int keys"}, "3": "text keys"},
    ],
    ids=repr,
)  # fmt: skip
def test_plain_values_come_back(value, tmp_path):
    back = roundtrip(value, tmp_path / "file.safetensors")
    assert back == value
    assert repr(back) == repr(value)  # also the types, the order of keys, and the sign of 0


def test_numbers_that_are_not_finite_come_back(tmp_path):
    back = roundtrip([math.inf, -math.inf, math.nan], tmp_path / "file.safetensors")
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)], ids=str)
def test_tensors_of_every_type_come_back(dtype, shape, tmp_path, rng):
    values = np.asarray(rng.normal(size=shape) * 50, dtype.numpy)
    back = roundtrip({"x": gpunn.from_numpy(values)}, tmp_path / "file.safetensors")["x"]
    assert isinstance(back, gpunn.Tensor)
    assert back.dtype is dtype
    assert back.shape == shape
    assert back.numpy().tobytes() == values.tobytes()


def test_arrays_come_back_as_arrays(tmp_path, rng):
    values = {
        "wide": rng.normal(size=(4, 6))[::2, ::-1],
        "big_endian": np.arange(3, dtype=">i4"),
        "u16": np.uint16([7]),
    }
    back = roundtrip(values, tmp_path / "file.safetensors")
    for name, array in values.items():
        assert type(back[name]) is np.ndarray
        assert back[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back[name], array)


def test_views_and_parameters_come_back(tmp_path):
    x = gpunn.arange(6.0).reshape(2, 3).requires_grad_()
    back = roundtrip([x, x.T, x[0] if hasattr(gpunn.Tensor, "__getitem__") else x.T], tmp_path / "file.safetensors")
    assert back[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert back[1].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert not back[0].requires_grad


def test_what_was_loaded_can_be_written_to(tmp_path):
    gpunn.save({"x": gpunn.zeros(3), "a": np.zeros(3)}, tmp_path / "file.safetensors")
    back = gpunn.load(tmp_path / "file.safetensors")
    back["x"] += 1
    back["a"] += 1
    assert back["x"].tolist() == back["a"].tolist() == [1, 1, 1]
    assert gpunn.load(tmp_path / "file.safetensors")["x"].tolist() == [0, 0, 0]


def test_names_that_would_collide(tmp_path):
    obj = {
        "a.b": gpunn.tensor([1.0]),
        "a": {"b": gpunn.tensor([2.0])},
        1: gpunn.tensor([3.0]),
        "1": gpunn.tensor([4.0]),
        "__metadata__": gpunn.tensor([5.0]),
    }
    back = roundtrip(obj, tmp_path / "file.safetensors")
    assert list(back) == list(obj)
    values = [back["a.b"], back["a"]["b"], back[1], back["1"], back["__metadata__"]]
    assert [value.item() for value in values] == [1, 2, 3, 4, 5]


def test_a_single_tensor(tmp_path):
    assert roundtrip(gpunn.tensor([1.0, 2.0]), tmp_path / "file.safetensors").tolist() == [1, 2]


def test_the_same_object_twice_is_no_cycle(tmp_path):
    shared = [1, gpunn.tensor([2.0])]
    back = roundtrip([shared, shared], tmp_path / "file.safetensors")
    assert back[0][1].tolist() == back[1][1].tolist() == [2]


def test_a_state_dict_is_readable_by_others(tmp_path, rng):
    state = OrderedDict(
        {"0.weight": gpunn.tensor(rng.normal(size=(3, 2))), "0.bias": gpunn.zeros(3).bfloat16(), "n": gpunn.tensor(7)}
    )
    gpunn.save(state, tmp_path / "model.safetensors")
    with safetensors.safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert set(file.keys()) == set(state)
        np.testing.assert_array_equal(file.get_tensor("0.weight"), state["0.weight"].numpy())


def test_a_state_dict_is_readable_by_torch(tmp_path, torch):
    import safetensors.torch

    gpunn.save({"w": gpunn.tensor([[1.0, 2.0]]), "b": gpunn.tensor([0.5]).bfloat16()}, tmp_path / "model.safetensors")
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert state["w"].tolist() == [[1, 2]]
    assert state["b"].dtype is torch.bfloat16
    assert state["b"].tolist() == [0.5]


def test_a_file_of_others_gives_a_dict_of_tensors(tmp_path):
    path = tmp_path / "foreign.safetensors"
    arrays = {"w": np.float32([[1, 2]]), "n": np.array(3), "h": np.array([1.5], ml_dtypes.bfloat16)}
    safetensors.numpy.save_file(arrays, path, {"format": "pt"})
    back = gpunn.load(path)
    assert {name: (x.dtype, x.tolist()) for name, x in back.items()} == {
        "w": (gpunn.float32, [[1, 2]]),
        "n": (gpunn.int64, 3),
        "h": (gpunn.bfloat16, [1.5]),
    }


def test_the_same_object_gives_the_same_bytes(tmp_path):
    state = {f"layer{i}": gpunn.full((i,), 1.0) for i in range(9)}
    gpunn.save(state, tmp_path / "a")
    gpunn.save(state, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"optimizer": {"state": {3: {"hook": len}}}}, r"^optimizer\.state\.3\.hook is a builtin_function_or_method;"),
        ([1, (2, {3})], r"^1\.1 is a set; expected dicts, lists, tuples"),
        (object(), r"^the object is a object"),
        ([np.float32(1)], r"^0 is a numpy\.float32 \(write x\.item\(\)"),
        ([Point(1, 2)], r"^0 is a .*Point"),
        ({"a": {(1, 2): 3}}, r"^a has the key \(1, 2\), a tuple; expected str or int"),
        ({"names": np.array(["x"])}, r"^names is a NumPy array of <U1"),
        ({"z": np.zeros(2, complex)}, r"^z is of dtype complex128"),
        ([b"bytes"], r"^0 is a bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_saved_is_named(obj, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        gpunn.save(obj, tmp_path / "file.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_structure_that_contains_itself(tmp_path):
    loop = {"a": []}
    loop["a"].append(loop)
    with pytest.raises(ValueError, match=r"^a\.0 contains itself"):
        gpunn.save(loop, tmp_path / "file.safetensors")


def test_a_structure_that_is_nested_deeply(tmp_path):
    """What can be saved can be loaded."""
    value = gpunn.ones(1)
    for _ in range(100):
        value = {"a": value}
    loaded = roundtrip(value, tmp_path / "file")
    for _ in range(100):
        loaded = loaded["a"]
    assert loaded.item() == 1
    with pytest.raises(ValueError, match=r"a\.a\.a\.\.\. is nested more than 100 deep"):
        gpunn.save({"a": value}, tmp_path / "file")


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    """The library's own error of it names no file."""

    def fail(*args):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    gpunn.save([1], tmp_path / "file")
    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        gpunn.save([2], tmp_path / "file")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert gpunn.load(tmp_path / "file") == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.safetensors"
    gpunn.save([1], path)
    with pytest.raises(TypeError):
        gpunn.save([len], path)
    assert gpunn.load(path) == [1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere"):
        gpunn.load(tmp_path / "nowhere.safetensors")


def test_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        gpunn.load(tmp_path)


def test_every_truncation_is_an_error(tmp_path):
    path = tmp_path / "file.safetensors"
    gpunn.save({"x": gpunn.arange(4), "n": 3}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=rf"{path.name} \({length} bytes\) is not a whole safetensors file"):
            gpunn.load(path)


def test_damage_is_found(tmp_path):
    """Whichever byte is another one: the file is refused, or what is read is what was written."""
    path = tmp_path / "file.safetensors"
    x = np.arange(3, dtype=np.float32)
    gpunn.save({"x": gpunn.tensor(x)}, path)
    whole, refused = path.read_bytes(), 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        try:
            found = gpunn.load(path)
        except FileFormatError:
            refused += 1
        else:
            assert list(found) == ["x"] and found["x"].numpy().tobytes() == x.tobytes()
    assert refused > len(whole) - 20  # the names "gpunn" and "crc32", and what fills the header up
    path.write_bytes(whole[:-1] + b"\1")
    written = zlib.crc32(b'{"dict": [["x", {"tensor": "x"}]]}' + b"('x', 'float32', (3,))" + x.tobytes())
    with pytest.raises(FileFormatError, match=rf"damaged: its content has the checksum \d+, and had {written} when"):
        gpunn.load(path)


def test_a_file_that_is_open_for_text(tmp_path):
    gpunn.save({"a": gpunn.ones(2)}, tmp_path / "file")
    with open(tmp_path / "file") as file, pytest.raises(TypeError, match="open it with mode 'rb'"):
        gpunn.load(file)
    with open(tmp_path / "file", "a") as file, pytest.raises(TypeError, match="open it with mode 'wb'"):
        gpunn.save({"a": gpunn.ones(2)}, file)


@pytest.mark.parametrize(
    "content", [b"", b"\x80PK\x03\x04" + bytes(100), b"\xff" * 64, b"hello, this is a text file\n"]
)
def test_another_kind_of_file(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FileFormatError, match="not a whole safetensors file"):
        gpunn.load(tmp_path / "file")


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"version":1,"structure":{"tensor":"gone"}}', "damaged"),
        ('{"version":1,"structure":{"code":"x"}}', "unknown kind 'code'"),
        ('{"version":1,"structure":{}}', "damaged"),
        ('{"version":1,"structure":[{"tensor":"x"},{"tensor":"x"}]}', "damaged"),  # a thousand would be of any size
        ('{"version":1,"structure":{"dict":[[[],1]]}}', "damaged"),
        ('{"version":1,"structure":' + 200 * "[" + 200 * "]" + "}", "nested more than 100 deep"),
        (100000 * "[", "nested too deeply"),
        ('{"version":2,"structure":1}', "format version 2; this gpunn reads 1"),
    ],
)
def test_a_damaged_structure(structure, message, tmp_path):
    path = tmp_path / "file.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(2)}, path, {"gpunn": structure})
    with pytest.raises(FileFormatError, match=message):
        gpunn.load(path)


def test_a_type_that_no_tensor_has(tmp_path):
    safetensors.numpy.save_file({"x": np.zeros(2, np.uint16)}, tmp_path / "foreign", {})
    with pytest.raises(FileFormatError, match="uint16"):
        gpunn.load(tmp_path / "foreign")


def test_a_type_that_numpy_lacks(tmp_path):
    header = json.dumps({"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "foreign").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(FileFormatError, match="x is of type F8_E4M3; gpunn has BOOL"):
        gpunn.load(tmp_path / "foreign")


def lying_in_many_ways(library):
    x = library.arange(48.0).reshape(2, 3, 2, 4)
    return {
        "row-major": x,
        "channels last": x.to(memory_format=library.channels_last),
        "one pixel": library.ones(2, 3, 1, 1).to(memory_format=library.channels_last),
        "one image": library.ones(1, 3, 1, 4).to(memory_format=library.channels_last),
        "transposed": library.arange(6.0).reshape(2, 3).t(),
        "permuted": x.permute(2, 0, 3, 1),
        "a number": library.tensor(3.0),
    }


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_strides_are_those_that_torch_keeps(suffix, device, tmp_path, torch):
    ours, file = lying_in_many_ways(gpunn), tmp_path / f"file.{suffix}"
    torch.save(lying_in_many_ways(torch), tmp_path / "theirs.pt")
    theirs = torch.load(tmp_path / "theirs.pt")
    gpunn.save({name: x.to(device) for name, x in ours.items()}, file)
    back = gpunn.load(file, map_location=device)
    for name, x in ours.items():
        np.testing.assert_array_equal(back[name].cpu().numpy(), x.numpy())
        assert back[name].stride() == x.to(device).stride()
        if device == "cpu" or name == "channels last":  # else a copy on the device is row-major
            assert back[name].stride() == theirs[name].stride()
    for name, x in (torch.load(file) if (suffix, device) == ("pt", "cpu") else {}).items():
        assert x.stride() == theirs[name].stride()
        np.testing.assert_array_equal(x.numpy(), ours[name].numpy())


def test_tensors_with_gaps_become_row_major(tmp_path):
    x = gpunn.arange(24.0).reshape(2, 3, 4)
    back = roundtrip([x[:, :, ::2], x[0, 0].expand(2, 4), gpunn.ones(0, 3).t()], tmp_path / "file.safetensors")
    assert [y.is_contiguous() for y in back] == [True, True, True]
    assert back[0].tolist() == x[:, :, ::2].tolist() and back[1].tolist() == [[0, 1, 2, 3]] * 2


def test_other_readers_see_channels_last_row_major(tmp_path):
    gpunn.save({"x": gpunn.arange(6.0).reshape(2, 3).t()}, tmp_path / "file.safetensors")
    np.testing.assert_array_equal(
        safetensors.numpy.load_file(tmp_path / "file.safetensors")["x"], [[0, 3], [1, 4], [2, 5]]
    )


@pytest.mark.parametrize(
    "steps", [[1, 1], [3, 2], [1], [1.0, 2], None, [-1, 2], [1 << 80, 1], [0, 0], [True, 2]], ids=str
)
def test_strides_that_are_none(steps, tmp_path):
    structure = {"strided": ["x", steps]}
    metadata = {"gpunn": json.dumps({"version": 1, "structure": structure})}
    safetensors.numpy.save_file({"x": np.ones((2, 3))}, tmp_path / "file", metadata)
    with pytest.raises(FileFormatError, match=r"the structure in its metadata is damaged.*strides"):
        gpunn.load(tmp_path / "file")
