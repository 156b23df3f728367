import numpy as np
import pytest

from gpunn.datasets import DataError, from_csv


@pytest.fixture
def read(tmp_path):
    def read(text, encoding="utf-8"):
        (tmp_path / "table.csv").write_bytes(text.encode(encoding))
        return from_csv(tmp_path / "table.csv")

    return read


def test_without_a_header_the_last_column_is_the_label(read):
    data = read("5.1,3.5,setosa\n4.9,3.0,virginica\n6.2,2.9,setosa\n")
    np.testing.assert_array_equal(data.x_train, [[5.1, 3.5], [4.9, 3.0], [6.2, 2.9]])
    assert (data.classes, data.y_train.tolist()) == (["setosa", "virginica"], [0, 1, 0])
    assert (data.task, data.input_shape, data.x_test) == ("classification", (2,), None)


@pytest.mark.parametrize("name", ["label", "target", "class", "y", "Label", " TARGET "])
def test_a_header_names_the_label_column(read, name):
    data = read(f"a,{name},b\n1,0,2\n3,1,4\n")
    np.testing.assert_array_equal(data.x_train, [[1, 2], [3, 4]])
    assert (data.classes, data.y_train.tolist()) == (["0", "1"], [0, 1])


def test_a_header_with_numbers_for_names_is_known_by_the_label(read):
    assert read("label,0,1\n1,5,6\n0,7,8\n").y_train.tolist() == [1, 0]


def test_of_several_label_names_the_first_of_the_list_counts(read):
    data = read("x,y,label\n1,2,0\n3,4,1\n")
    np.testing.assert_array_equal(data.x_train, [[1, 2], [3, 4]])


def test_a_header_without_such_a_name_leaves_the_last_column(read):
    assert read("width,height,species\n1,2,b\n3,4,a\n").classes == ["a", "b"]


def test_decimal_fractions_are_targets_of_a_regression(read):
    data = read("a,target\n1,2.5\n2,3\n")
    assert (data.task, data.classes, data.outputs) == ("regression", None, 1)
    np.testing.assert_array_equal(data.y_train, [[2.5], [3]])


@pytest.mark.parametrize(
    "text",
    ["1;2;a\n3;4;b\n", "1\t2\ta\n3\t4\tb\n", '\ufeff"1","2","a"\n"3","4","b"', "1,2,a\r\n\r\n3,4,b\r\n\n"],
    ids=["semicolons", "tabs", "quotes and byte order mark", "blank lines"],
)
def test_other_ways_to_write_a_table(read, text):
    data = read(text)
    np.testing.assert_array_equal(data.x_train, [[1, 2], [3, 4]])
    assert data.classes == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,b,label\n", "a header but no rows"),
        ("1\n2\n", "has one column"),
        ("1,2,0\n3,4,1\n5,6\n", "line 3 has 2 cells; expected 3"),
        ("1,2,0\n3,4,5,1\n", "line 2 has 4 cells; expected 3"),
        ("a,b,label\n1,nan,0\n", "line 2, column 'b' holds 'nan'; expected a finite number"),
        ("1,inf,0\n", "line 1, column 2 holds 'inf'"),
        ("1,2,0\n3,oops,1\n", "line 2, column 2 holds 'oops'"),
        ("1,2,0\n3,,1\n", "line 2, column 2 is empty"),
        ("1,2,0\n3,4,\n", "line 2, column 3 is empty"),
        ("1,2,a\n3,4,7\n", "column 3 mixes numbers with text such as 'a'"),
        ("1,2,0\n3,4,-1\n", "column 3 holds the label -1"),
        ("a,target\n1,0.5\n2,nan\n", "column 'target' holds nan"),
        ("a,label\n1,0\n2,123456789\n", "column 'label' holds the label 123456789 among 2 samples"),
        (",a,label\n0,1,0\n", "column 1 has no name.*index=False"),
        ('1,"2,0\n', "not a CSV file"),
    ],
)
def test_tables_that_make_no_sense_are_refused(read, text, message):
    with pytest.raises(DataError, match=rf"table\.csv: .*{message}"):
        read(text)


def test_prices_in_whole_numbers_are_not_taken_for_classes(read):
    rows = "".join(f"{row},{row * 3}\n" for row in range(200))
    with pytest.raises(DataError, match="200 different whole numbers in 200 rows"):
        read(rows)
    assert read(rows.replace("\n", ".0\n")).task == "regression"


def test_huge_numbers_whose_sum_overflows_are_numbers_all_the_same(read):
    assert read("1e308,1e308,0\n").x_train.tolist() == [[1e308, 1e308]]


def test_other_files_are_refused(read, tmp_path):
    with pytest.raises(DataError, match="not a text file in UTF-8"):
        read("1,2,ä\n", "latin-1")
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read"):
        from_csv(tmp_path / "nothing.csv")
