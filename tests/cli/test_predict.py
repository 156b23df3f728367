"""`predict` reads what `train` reads, and says of which sample it speaks."""

import csv
import io
import re

import numpy as np
import pytest

from gpunn.cli import main
from gpunn.cli.job import make_probabilities

SHADES = {"black": 0, "grey": 120, "white": 240}


def picture(path, value, size=(4, 5), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    pytest.importorskip("PIL.Image").fromarray(np.full(shape, value, np.uint8)).save(path)


def train(folder, *options):
    arguments = ("train", "--model", "linear", "--epochs", 10, "--lr", 1, "--batch-size", "full", "--validation", 0)
    assert main([str(a) for a in (*arguments, "--out", folder / "run", *options)]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """A run on pictures of 4 x 5 pixels in three classes."""
    folder = tmp_path_factory.mktemp("shades")
    for name, value in SHADES.items():
        for n in range(5):
            picture(folder / "data" / name / f"{n}.png", value + n)
    return train(folder, "--data", folder / "data")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return train(tmp_path_factory.mktemp("digits"), "--epochs", 1)


def rows_of(result):
    assert result.code == 0, result.err
    return list(csv.DictReader(io.StringIO(result.out)))


def test_a_flat_folder(gpunn_command, shades, tmp_path):
    for name, value in {"b.png": 240, "a.PNG": 3, "sub/c.jpg": 118}.items():
        picture(tmp_path / "photos" / name, value)
    (tmp_path / "photos" / "notes.txt").touch()
    rows = rows_of(gpunn_command("predict", shades, "--input", "photos"))
    assert [(row["file"], row["class"]) for row in rows] == [
        ("a.PNG", "black"),
        ("b.png", "white"),
        ("sub/c.jpg", "grey"),
    ]


def test_a_folder_of_classes_and_one_with_other_classes(gpunn_command, shades, tmp_path):
    picture(tmp_path / "train" / "white" / "1.png", 240)
    picture(tmp_path / "test" / "unknown" / "2.png", 0)
    rows = rows_of(gpunn_command("predict", shades, "--input", tmp_path))
    assert [(row["file"], row["class"]) for row in rows] == [
        ("test/unknown/2.png", "black"),
        ("train/white/1.png", "white"),
    ]


@pytest.mark.parametrize("name", ["one.png", "one.PNG", "one.npy", "one.NPY", "one.bmp"])
def test_one_image(gpunn_command, shades, tmp_path, name):
    if name.lower().endswith(".npy"):
        with open(tmp_path / name, "wb") as file:
            np.save(file, np.full((4, 5), 240, np.uint8))
    else:
        picture(tmp_path / name, 240)
    (row,) = rows_of(gpunn_command("predict", shades, "--input", name))
    assert row["class"] == "white"
    assert (row.get("file"), row.get("sample")) == ((None, "0") if "np" in name.lower() else (name, None))


def test_the_test_set_of_a_folder(gpunn_command, shades):
    rows = rows_of(gpunn_command("predict", shades))
    assert sorted(row["class"] for row in rows) == sorted(row["file"].split("/")[0] for row in rows) == [*SHADES]


def test_an_image_of_another_size(gpunn_command, shades, tmp_path):
    picture(tmp_path / "one.png", 240, (5, 4))
    result = gpunn_command("predict", shades, "--input", "one.png")
    assert (result.code, result.out) == (2, "")
    assert "one sample has shape (1, 5, 4)" in result.err
    assert "was trained on (1, 4, 5); a run with --image-size resizes pictures" in result.err


def test_a_coloured_image_for_a_network_of_grey_ones(gpunn_command, shades, tmp_path):
    picture(tmp_path / "one.png", 240, mode="RGB")
    assert "(3, 4, 5)" in gpunn_command("predict", shades, "--input", "one.png").err


def test_images_of_several_sizes(gpunn_command, tmp_path):
    for n in range(5):
        picture(tmp_path / "data" / "black" / f"{n}.png", n, (4, 5 + n))
        picture(tmp_path / "data" / "white" / f"{n}.png", 240 + n, (9, 4), "RGB")
    result = gpunn_command("train", "--data", "data")
    assert result.code == 2
    assert "bring all images to one size first, or train with --image-size 4,5, which resizes pictures" in result.err
    run = train(tmp_path, "--data", "data", "--image-size", "6,7")
    assert "image_size = [6, 7]" in (run / "config.toml").read_text()
    assert gpunn_command("evaluate", "run", "--part", "all", "--json").json["accuracy"] == 1
    picture(tmp_path / "one.png", 240, (30, 20))
    (row,) = rows_of(gpunn_command("predict", "run", "--input", "one.png"))
    assert (row["file"], row["class"]) == ("one.png", "white")
    assert gpunn_command("train", "--resume", "run", "--epochs", 11, "--schedule", "none").code == 0
    for n in range(5):
        picture(tmp_path / "grey" / "black" / f"{n}.png", n)  # no colours at all, as in some folders of the training
    assert gpunn_command("evaluate", "run", "--data", "grey", "--json").json["accuracy"] == 1
    for wrong in ("6,7,8", "6x7", "0", ""):
        assert gpunn_command("train", "--data", "data", "--image-size", wrong).code == 2


def test_images_are_turned_as_the_camera_was(gpunn_command, tmp_path):
    image = pytest.importorskip("PIL.Image")
    upright = np.zeros((4, 4), np.uint8)
    upright[0] = 250  # light comes from above, and for the other class from the left
    for n in range(5):
        picture(tmp_path / "data" / "above" / f"{n}.png", upright, (4, 4))
        picture(tmp_path / "data" / "left" / f"{n}.png", upright.T, (4, 4))
    train(tmp_path, "--data", "data")
    exif = image.Exif()
    exif[0x0112] = 8  # the picture is shown upright when it is turned by 90 degrees against the clock
    image.fromarray(np.ascontiguousarray(np.rot90(upright, -1))).save(tmp_path / "turned.png", exif=exif)
    (row,) = gpunn_command("predict", "run", "--input", "turned.png", "--json").json
    assert row["class"] == "above"


def test_probabilities_of_all_classes(gpunn_command, digits, tmp_path):
    rows = rows_of(gpunn_command("predict", digits, "--probabilities"))
    names = [str(digit) for digit in range(10)]
    assert [*rows[0]] == ["sample", "class", "probability", *(f"probability_{name}" for name in names)]
    for row in rows:
        found = [float(row[f"probability_{name}"]) for name in names]
        assert sum(found) == pytest.approx(1, abs=1e-5)
        assert names[int(np.argmax(found))] == row["class"]
        assert max(found) == float(row["probability"])
    objects = gpunn_command("predict", digits, "--probabilities", "--json").json
    assert [o["probabilities"][o["class"]] for o in objects] == [float(row["probability"]) for row in rows]
    assert gpunn_command("predict", digits, "--probabilities", "--out", "p.csv").code == 0
    assert list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines())) == rows
    assert "probabilities" not in gpunn_command("predict", digits, "--json").json[0]


def test_classes_that_are_called_as_the_columns_are(gpunn_command, tmp_path):
    for name, value in {"file": 0, "class": 100, "probability": 200}.items():
        for n in range(5):
            picture(tmp_path / "data" / name / f"{n}.png", value + n)
    train(tmp_path, "--data", "data")
    (found,) = gpunn_command("predict", "run", "--input", "data/class/1.png", "--probabilities", "--json").json
    assert (found["file"], found["class"]) == ("data/class/1.png", "class")
    assert {*found["probabilities"]} == {"file", "class", "probability"}


def test_probabilities_are_what_the_loss_has_taught():
    x = np.array([[2.0, 0.0, -1.0], [0.2, 0.6, 0.2], [-1.0, -3.0, -0.5]])
    outputs = x.astype(np.float32)
    softmax = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(make_probabilities(None)(outputs), softmax, rtol=1e-6)
    np.testing.assert_allclose(make_probabilities("cross_entropy")(outputs), softmax, rtol=1e-6)
    sigmoid = 1 / (1 + np.exp(-x))
    found = make_probabilities("bce_with_logits")(outputs)
    np.testing.assert_allclose(found, sigmoid / sigmoid.sum(1, keepdims=True), rtol=1e-6)
    # Outputs that are to be 1 for the class and 0 else, and the class of the highest where all are below 0.
    np.testing.assert_allclose(make_probabilities("mse")(outputs), [[1, 0, 0], [0.2, 0.6, 0.2], [0, 0, 1]], rtol=1e-6)


def test_a_network_that_learned_vectors_is_not_asked_for_a_softmax(gpunn_command, tmp_path):
    """The softmax of outputs between 0 and 1 gives the right one of ten classes 23 % at most."""
    train(tmp_path, "--loss", "mse", "--lr", 0.01, "--batch-size", 64)
    rows = gpunn_command("predict", "run", "--json").json
    assert np.median([row["probability"] for row in rows]) > 0.35
    sure = re.findall(r"<br>(\d+)% sure", (tmp_path / "run" / "report.html").read_text())
    assert max(map(int, sure)) > 23


@pytest.mark.parametrize(
    "x",
    [np.ones((2, 64)) + 1j, np.full((2, 64), np.nan), np.full((2, 64), "1"), np.ones((2, 64), "M8[s]")],
    ids=["complex", "nan", "text", "dates"],
)
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_what_is_no_finite_real_number_is_refused(gpunn_command, digits, tmp_path, x, name):
    x = x.reshape(2, 1, 8, 8)
    np.save(tmp_path / name, x) if name == "x.npy" else np.savez(tmp_path / name, x=x)
    result = gpunn_command("predict", digits, "--input", name)
    assert (result.code, result.out) == (2, "")
    assert f"gpunn predict: {name}" in result.err


def test_json_has_names_in_any_alphabet(gpunn_command, tmp_path):
    x = np.array([[0.0], [1], [0], [1], [0], [1]] * 2)
    np.savez(tmp_path / "t.npz", x=x, y=np.array([b"K\xc3\xa4se", "日本".encode()] * 6))
    train(tmp_path, "--data", "t.npz")
    assert gpunn_command("predict", "run", "--input", "t.npz", "--json").json[0]["class"] == "Käse"
