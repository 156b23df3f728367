"""Classes and columns are what their names say, wherever they stand."""

import numpy as np
import pytest

from gpunn.cli import main

ANIMALS = {"ant": (0, 0), "bee": (9, 0), "cow": (0, 9), "dog": (9, 9)}
LEARNED = ("ant", "bee", "cow")
TRAIN = ("--model", "linear", "--epochs", 10, "--lr", 1, "--batch-size", "full", "--validation", 0, "--out", "run")


def table(animals, columns="ab", label="animal", header=True, called=str):
    """Ten rows around the place of each animal; the label stands last, or first if its name is "label"."""
    rng = np.random.default_rng(sum(map(len, animals)))
    lines = []
    for name in animals:
        for spot in ANIMALS[name] + rng.normal(size=(10, 2)):
            cells = {"a": f"{spot[0]:.3f}", "b": f"{spot[1]:.3f}", "c": "0.5", label: called(name)}
            lines.append([cells[column] for column in [*columns, label]])
    lines.insert(0, [*columns, label])
    if label == "label":
        lines = [line[-1:] + line[:-1] for line in lines]
    return "".join(",".join(line) + "\n" for line in lines[0 if header else 1 :])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run on the columns a and b and the three animals."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "old.csv").write_text(table(LEARNED))
    arguments = ("train", "--data", folder / "old.csv", *TRAIN[:-1], folder / "run")
    assert main([str(argument) for argument in arguments]) == 0
    return folder / "run"


@pytest.fixture
def evaluate(gpunn_command, tmp_path, run):
    """Evaluate that run, or one on another table, on a new table."""

    def evaluate(new, trained_on=None):
        if trained_on is not None:
            (tmp_path / "old.csv").write_text(trained_on)
            assert gpunn_command("train", "--data", "old.csv", *TRAIN).code == 0
        (tmp_path / "new.csv").write_text(new)
        return gpunn_command("evaluate", "run" if trained_on else run, "--data", "new.csv", "--part", "all", "--json")

    return evaluate


@pytest.mark.parametrize(
    "new",
    [
        table(("cow", "ant", "bee")),
        table(LEARNED, "ba"),
        table(("bee", "cow")),
        table(("cow",)),
        table(("cow", "bee"), "ba"),
        table(("bee",), "ba").replace(",", ";"),
    ],
    ids=["same", "columns exchanged", "two classes", "one class", "both", "semicolons"],
)
def test_the_same_samples_are_told_apart_as_well(evaluate, new):
    result = evaluate(new)
    assert result.code == 0, result.err
    assert (result.json["accuracy"], result.json["samples"]) == (1.0, new.count("\n") - 1)


def test_results_by_class_are_those_of_the_run(evaluate):
    found = evaluate(table(("bee", "cow"))).json["per_class"]
    assert found["support"] == [0, 10, 10]
    assert found["confusion"] == [[0, 0, 0], [0, 10, 0], [0, 0, 10]]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (table(("bee", "cow", "dog")), "has samples of the classes dog; expected ant, bee, cow"),
        (table(("dog",)), "has samples of the classes dog"),
        (table(LEARNED, called=str.upper), "of the classes ANT, BEE, COW; expected ant, bee, cow"),
        (table(LEARNED, "ac"), "lacks the columns 'b' and has the unknown columns 'c'; expected a, b"),
        (table(LEARNED, "a"), "lacks the columns 'b'; expected a, b"),
        (table(LEARNED, "abc"), "has the unknown columns 'c'"),
        (table(LEARNED, "aba"), "has more than one column called 'a'"),
        (table(LEARNED, label="kind"), "has no column 'animal' for the labels; there are a, b, kind"),
        (table(LEARNED, header=False), "has no header; expected one with a, b"),
        (table(("ant", "bee"), called=lambda name: f"{len(name)}.5"), "numbers as targets"),
    ],
    ids=lambda text: "" if "\n" in text else text,
)
def test_what_the_network_has_not_learned_is_refused(evaluate, new, message):
    result = evaluate(new)
    assert result.code == 2
    assert message in result.err
    assert "new.csv" in result.err
    assert result.out == ""


def test_tables_without_names_go_by_the_order(evaluate):
    result = evaluate(table(LEARNED, header=False), trained_on=table(LEARNED, header=False))
    assert result.json["accuracy"] == 1.0


def test_the_column_of_labels_may_stand_anywhere(evaluate, gpunn_command, tmp_path):
    """The names are those of pixels, so that no cell of the header but one is text."""
    old, new = (
        table(LEARNED, columns, "label").replace("a,b", "0,1").replace("b,a", "1,0") for columns in ("ab", "ba")
    )
    assert old.startswith("label,0,1\n") and new.startswith("label,1,0\n")
    assert evaluate(new, trained_on=old).json["accuracy"] == 1.0
    unlabelled = "".join(line.partition(",")[2] + "\n" for line in new.splitlines())
    (tmp_path / "unlabelled.csv").write_text(unlabelled)
    rows = gpunn_command("predict", "run", "--input", "unlabelled.csv").out.splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == [line.partition(",")[0] for line in new.splitlines()[1:]]


@pytest.mark.parametrize("columns", ["ab", "ba"])
@pytest.mark.parametrize("labelled", [True, False])
def test_predictions_find_columns_by_name(run, gpunn_command, tmp_path, columns, labelled):
    new = table(("cow", "ant"), columns).splitlines()
    lines = new if labelled else [line.rpartition(",")[0] for line in new]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    rows = gpunn_command("predict", run, "--input", "p.csv", "--json").json
    assert [row["class"] for row in rows] == ["cow"] * 10 + ["ant"] * 10
    assert [row["sample"] for row in rows] == list(range(20))


def test_a_prediction_for_unknown_columns_is_refused(run, gpunn_command, tmp_path):
    (tmp_path / "p.csv").write_text("a,c\n1,2\n")
    result = gpunn_command("predict", run, "--input", "p.csv")
    assert (result.code, result.out) == (2, "")
    assert "lacks the columns 'b' and has the unknown columns 'c'; expected a, b" in result.err


def test_numbers_are_names_of_classes_too(gpunn_command, tmp_path):
    """Labels 0, 10 and 20 are three classes, not twenty-one, in all kinds of files."""
    number = {"ant": "0", "bee": "10", "cow": "20"}
    (tmp_path / "old.csv").write_text(table(LEARNED, called=number.get))
    trained = gpunn_command("train", "--data", "old.csv", *TRAIN, "--json")
    assert trained.json["parameters"] == 3 * 3  # two weights and a bias each
    assert "classification: 3 classes, 0, 10, 20; --task regression if they are amounts" in trained.err
    x = np.array([ANIMALS["cow"], ANIMALS["bee"]])
    for labels in ([20, 10], [20.0, 10.0], ["20", "10"], [b"20", b"10"]):
        np.savez(tmp_path / "new.npz", x=x, y=labels)
        assert gpunn_command("evaluate", "run", "--data", "new.npz", "--json").json["accuracy"] == 1
    np.savez(tmp_path / "new.npz", x=x, y=[20, 15])
    assert "of the classes 15; expected 0, 10, 20" in gpunn_command("evaluate", "run", "--data", "new.npz").err


def test_folders_of_classes(gpunn_command, tmp_path):
    def images(folder, **classes):
        for name, value in classes.items():
            (tmp_path / folder / name).mkdir(parents=True)
            for n in range(5):
                np.save(tmp_path / folder / name / f"{n}.npy", np.full((2, 2), value + n))

    images("old", ant=0, bee=50, cow=100)
    assert gpunn_command("train", "--data", "old", *TRAIN).code == 0
    images("some", cow=100, bee=50)
    assert gpunn_command("evaluate", "run", "--data", "some", "--json").json["accuracy"] == 1
    images("other", bee=50, dog=0)
    result = gpunn_command("evaluate", "run", "--data", "other")
    assert (result.code, result.out) == (2, "")
    assert "of the classes dog; expected ant, bee, cow" in result.err


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (table(("ant", "bee", "dog")), "classes, mean, std"),
        (table(LEARNED, "ba"), "columns, mean, std"),
        (table(LEARNED).replace("animal", "kind"), "target"),
        (table(LEARNED) + "5,5,ant\n", "mean, std"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(gpunn_command, tmp_path, new, changed):
    (tmp_path / "old.csv").write_text(table(LEARNED))
    gpunn_command("train", "--data", "old.csv", *TRAIN)
    (tmp_path / "old.csv").write_text(new)
    result = gpunn_command("train", "--resume", "run", "--epochs", 50)
    assert result.code == 2
    assert f"run can't go on with {tmp_path / 'old.csv'}: it has changed since, in {changed}" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table(("ant",)), "has the class ant only; expected two or more to tell apart"),
        (table(("ant",), called=lambda name: "3"), "has the class 3 only"),
        (table(("ant", "bee"), called=lambda name: "2.5"), "the target is 2.5 in all samples to train on"),
    ],
)
def test_where_there_is_nothing_to_learn(gpunn_command, tmp_path, text, message):
    (tmp_path / "old.csv").write_text(text)
    result = gpunn_command("train", "--data", "old.csv", *TRAIN)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not (tmp_path / "run").exists()


def test_classes_without_samples_to_train_on(gpunn_command, tmp_path):
    x = np.zeros((4, 2))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0, 1, 0, 1], x_test=x, y_test=[0, 1, 2, 3])
    result = gpunn_command("train", "--data", "a.npz", *TRAIN)
    assert result.code == 2
    assert "a.npz: has no samples to train on of the classes 2, 3" in result.err
