import numpy as np
import pytest

from gpunn.datasets import DataError, load


def test_every_kind_of_source(tmp_path):
    assert load("digits").name == "digits"
    np.savez(tmp_path / "a.NPZ", x=np.ones((2, 3)), y=[0, 1])
    (tmp_path / "a.NPZ.npz").rename(tmp_path / "a.NPZ")
    (tmp_path / "a.csv").write_text("1,2,0\n3,4,1\n")
    (tmp_path / "images" / "a").mkdir(parents=True)
    np.save(tmp_path / "images" / "a" / "1.npy", np.ones((2, 2)))
    shapes = [load(path).input_shape for path in (tmp_path / "a.NPZ", str(tmp_path / "a.csv"), tmp_path / "images")]
    assert shapes == [(3,), (2,), (1, 2, 2)]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_root_folder_is_passed_on(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: {tmp_path} holds neither"):
        load(name, root=tmp_path)


def test_the_real_mnist(mnist_folder):
    assert load("mnist", root=mnist_folder).y_train[0] == 5


def test_what_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no data set, file or folder 'mnits'.*Did you mean mnist"):
        load("mnits")
    with pytest.raises(DataError, match=r"gone\.npz: cannot be read"):
        load("gone.npz")
    with pytest.raises(DataError, match=r"digits: takes no root folder"):
        load("digits", root=tmp_path)
    (tmp_path / "data.xlsx").write_text("")
    with pytest.raises(DataError, match=r"its ending is '\.xlsx'; expected \.npz, \.csv"):
        load("data.xlsx")


def test_options_go_to_the_sources_that_have_a_use_for_them(tmp_path):
    (tmp_path / "a.csv").write_text("price,rooms\n100,2\n300,4\n")
    np.savez(tmp_path / "a.npz", x=np.ones((2, 3)), y=[0, 1])
    (tmp_path / "images" / "a").mkdir(parents=True)
    np.save(tmp_path / "images" / "a" / "1.npy", np.ones((2, 2)))
    table = load(tmp_path / "a.csv", target="price", task="regression", columns=["rooms"])
    assert (table.columns, table.y_train.tolist()) == (["rooms"], [[100], [300]])
    assert load(tmp_path / "a.npz", task="regression").task == "regression"
    assert load(tmp_path / "images", size=(2, 2)).input_shape == (1, 2, 2)
    for source, option in (
        (tmp_path / "a.npz", {"target": "price"}),
        (tmp_path / "a.csv", {"size": (2, 2)}),
        (tmp_path / "a.npz", {"size": (2, 2)}),
        (tmp_path / "images", {"target": "price"}),
        (tmp_path / "images", {"root": tmp_path}),
        ("digits", {"target": "price"}),
        ("digits", {"size": (2, 2)}),
        ("mnist", {"target": "price"}),
    ):
        with pytest.raises(
            DataError, match=rf"^{source}: takes no (target column|image size|root folder); only .* do$"
        ):
            load(source, **option)
