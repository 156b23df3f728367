import sys

import numpy as np
import pytest

from gpunn.datasets import DataError, from_folder


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        pytest.importorskip("PIL.Image").fromarray(array).save(path)


def grey(value):
    return np.full((4, 3), value, np.uint8)


def test_a_folder_of_arrays_needs_no_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for name, value in (("dog", 1.5), ("cat", 2.5), ("cat", 3.5)):
        save(tmp_path / name / f"{value}.npy", np.full((4, 3), value))
    data = from_folder(tmp_path)
    assert (data.classes, data.y_train.tolist(), data.input_shape) == (["cat", "dog"], [0, 0, 1], (1, 4, 3))
    assert data.x_train[:, 0, 0, 0].tolist() == [2.5, 3.5, 1.5] and data.x_test is None


def test_pictures_with_a_test_set(tmp_path):
    for number, part in enumerate(("train", "test")):
        for name in ("a", "b"):
            save(tmp_path / part / name / f"{name}.png", grey(100 + number))
    (tmp_path / "train" / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "a" / "._a.png").write_text("hidden")
    (tmp_path / "train" / ".cache").mkdir()
    data = from_folder(tmp_path)
    assert data.classes == ["a", "b"] and data.x_train.shape == (2, 1, 4, 3) and data.x_train.dtype == np.uint8
    assert (data.x_train.max(), data.x_test.min(), data.y_test.tolist()) == (100, 101, [0, 1])


def test_colour_comes_channels_first_and_makes_grey_ones_colour_too(tmp_path):
    colour = np.arange(36, dtype=np.uint8).reshape(4, 3, 3)
    save(tmp_path / "a" / "colour.png", colour)
    save(tmp_path / "a" / "transparent.png", np.dstack([colour, grey(7)]))
    save(tmp_path / "b" / "grey.png", grey(9))
    data = from_folder(tmp_path)
    assert data.x_train.shape == (3, 3, 4, 3)
    for image in data.x_train[:2]:
        np.testing.assert_array_equal(image, colour.transpose(2, 0, 1))
    np.testing.assert_array_equal(data.x_train[2], [grey(9)] * 3)


def test_a_class_may_be_absent_from_the_test_set(tmp_path):
    save(tmp_path / "train" / "a" / "1.npy", grey(1))
    save(tmp_path / "train" / "b" / "1.npy", grey(2))
    save(tmp_path / "test" / "b" / "1.npy", grey(3))
    assert from_folder(tmp_path).y_test.tolist() == [1]


def test_folders_that_make_no_sense_are_refused(tmp_path):
    def refused(message):
        with pytest.raises(DataError, match=message):
            from_folder(tmp_path)

    refused("has no subfolders")
    save(tmp_path / "train" / "a" / "1.npy", grey(1))
    (tmp_path / "val").mkdir()
    refused("has val beside train")
    (tmp_path / "val").rmdir()
    (tmp_path / "test").mkdir()
    refused("test set is empty")
    save(tmp_path / "test" / "b" / "1.npy", grey(1))
    refused("has the classes b, which .*train does not have")
    (tmp_path / "train" / "b").mkdir()
    refused(r"train.b: holds no images")
    save(tmp_path / "train" / "b" / "2.npy", np.zeros((4, 4), np.uint8))
    refused(r"2\.npy: uint8 .* = \(1, 4, 4\), but 1\.npy is uint8 \(1, 4, 3\); bring all")
    save(tmp_path / "train" / "b" / "2.npy", np.array([{}], object))
    refused(r"2\.npy: holds Python objects")
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        from_folder(tmp_path / "nowhere")


def test_a_damaged_picture_is_named(tmp_path):
    save(tmp_path / "a" / "1.png", np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    whole = (tmp_path / "a" / "1.png").read_bytes()
    for damaged in (b"", b"text", whole[:200]):
        (tmp_path / "a" / "1.png").write_bytes(damaged)
        with pytest.raises(DataError, match=r"1\.png: truncated, damaged, or not an image"):
            from_folder(tmp_path)


def test_pixels_of_16_bits_are_not_cut_down(tmp_path):
    save(tmp_path / "a" / "1.png", np.full((4, 3), 1000, np.uint16))
    with pytest.raises(DataError, match=r"do not fit in bytes; save it as \.npy"):
        from_folder(tmp_path)


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    save(tmp_path / "a" / "1.png", grey(1))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="pip install pillow"):
        from_folder(tmp_path)


def test_images_know_their_files(tmp_path):
    save(tmp_path / "train" / "b" / "1.npy", grey(1))
    save(tmp_path / "train" / "a" / "2.npy", grey(2))
    save(tmp_path / "test" / "b" / "3.npy", grey(3))
    data = from_folder(tmp_path)
    assert (data.files_train, data.files_test) == (["train/a/2.npy", "train/b/1.npy"], ["test/b/3.npy"])
    again = data.with_test(np.array([1]), np.array([0]))
    assert (again.files_train, again.files_test) == (["train/b/1.npy"], ["train/a/2.npy"])


# As a camera that was turned stores them: what the first row and the first column of the file are in the scene
# (EXIF 2.3, table of tag 0x0112), as the same with NumPy.
ORIENTATIONS = {
    1: lambda scene: scene,
    2: lambda scene: scene[:, ::-1],
    3: lambda scene: scene[::-1, ::-1],
    4: lambda scene: scene[::-1],
    5: lambda scene: scene.T,
    6: lambda scene: np.rot90(scene),
    7: lambda scene: scene[::-1, ::-1].T,
    8: lambda scene: np.rot90(scene, -1),
}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_stand_upright(tmp_path, orientation, suffix):
    image = pytest.importorskip("PIL.Image")
    scene = np.kron(np.arange(0, 240, 20, np.uint8).reshape(4, 3), np.ones((8, 8), np.uint8))  # blocks survive JPEG
    exif = image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").mkdir()
    stored = np.ascontiguousarray(ORIENTATIONS[orientation](scene))
    image.fromarray(stored).save(tmp_path / "a" / f"1{suffix}", exif=exif)
    np.testing.assert_array_equal(from_folder(tmp_path).x_train[0, 0], scene)


def test_pictures_of_several_sizes_are_resized(tmp_path):
    save(tmp_path / "a" / "small.png", grey(7))
    save(tmp_path / "b" / "large.png", np.full((9, 20, 3), 8, np.uint8))
    with pytest.raises(
        DataError, match=r"large\.png: .*; bring all .*, or train with --image-size 4,3, which resizes pictures$"
    ):
        from_folder(tmp_path)
    data = from_folder(tmp_path, (5, 6))
    assert data.x_train.shape == (2, 3, 5, 6)
    assert [np.unique(image).tolist() for image in data.x_train] == [[7], [8]]
    save(tmp_path / "a" / "array.npy", grey(1))
    with pytest.raises(DataError, match=r"array\.npy is uint8 \(3, 4, 3\); bring all images to one size first$"):
        from_folder(tmp_path, (5, 6))


def test_a_resized_picture_is_an_average(tmp_path):
    save(tmp_path / "a" / "1.png", np.kron(np.array([[10, 20], [30, 40]], np.uint8), np.ones((50, 50), np.uint8)))
    found = from_folder(tmp_path, (2, 2)).x_train[0, 0]
    # Each new pixel is a mean of its own quarter, and a little of the next ones.
    assert np.abs(found - np.array([[10.0, 20], [30, 40]])).max() < 5
    assert from_folder(tmp_path, (1, 1)).x_train.item() == pytest.approx(25, abs=1)


def test_one_name_in_two_spellings_is_one_class(tmp_path):
    """An é may be one letter, or an e and an accent: macOS writes the second into archives."""
    for part, name, value in (("train", "caf\u00e9", 1), ("train", "cafe\u0301", 2), ("train", "tea", 3)):
        save(tmp_path / part / name / f"{value}.npy", grey(value))
    save(tmp_path / "test" / "cafe\u0301" / "1.npy", grey(4))
    data = from_folder(tmp_path)
    assert data.classes == ["caf\u00e9", "tea"] and data.y_train.tolist() == [0, 0, 1]
    assert data.y_test.tolist() == [0] and sorted(data.x_train[:, 0, 0, 0]) == [1, 2, 3]
