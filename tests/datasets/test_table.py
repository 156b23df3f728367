import numpy as np
import pytest

from gpunn.datasets import DataError, from_csv
from gpunn.datasets.table import features_from_csv


@pytest.fixture
def read(tmp_path):
    def read(text, encoding="utf-8", **options):
        (tmp_path / "table.csv").write_bytes(text.encode(encoding))
        return from_csv(tmp_path / "table.csv", **options)

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


@pytest.mark.parametrize("first", ["0.5,2.0", "1e3,2", "-1,2", "+1,2"])
def test_beside_other_numbers_a_y_is_no_header(read, first):
    data = read(f"{first},y\n3,4,n\n5,6,y\n")
    np.testing.assert_array_equal(data.x_train, [[float(cell) for cell in first.split(",")], [3, 4], [5, 6]])
    assert (data.classes, data.y_train.tolist(), data.columns) == (["n", "y"], [1, 0, 1], None)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("p,q,r", "1,2,y\n3,4,n\n5,6,y\n"),
        ("label,p,q", "y,1,2\nn,3,4\ny,5,6\n"),
        ("p,q,r", "1,2,class\n3,4,order\n5,6,class\n"),
        ("p,q,r", "0,1,2\n5.5,6.5,1\n7.5,8.5,0\n"),  # as pandas writes what has no names
        ("p;q;r;s", "0;1;2;3\n1;2;3;4\n2;3;4;5\n"),
    ],
)
def test_a_line_that_may_be_a_header_or_a_sample_is_refused(read, names, text):
    with pytest.raises(DataError, match=r"its first line .* a sample"):
        read(text)
    assert len(read(f"{names}\n{text}").x_train) == 3


def test_whole_numbers_beyond_64_bits_are_targets(read):
    data = read(f"a,label\n1,{10**25}\n2,{3 * 10**25}\n", task="regression")
    np.testing.assert_array_equal(data.y_train, [[1e25], [3e25]])
    assert read(f"a,label\n1,{10**17}\n2,-{10**17}\n", task="classification").classes == [f"-{10**17}", f"{10**17}"]


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
    [
        *("1;2;a\n3;4;b\n", "1\t2\ta\n3\t4\tb\n", '\ufeff"1","2","a"\n"3","4","b"', "1,2,a\r\n\r\n3,4,b\r\n\n"),
        *("\ufeffsep=;\r\n1;2;a\r\n3;4;b\r\n", "sep=,\n1,2,a\n3,4,b\n", "sep=\t\nu\tv\tlabel\n1\t2\ta\n3\t4\tb"),
    ],
    ids=["semicolons", "tabs", "quotes and byte order mark", "blank lines", "Excel's ;", "Excel's ,", "Excel's tab"],
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
        ("a,b,a,label\n1,2,3,0\n", "has more than one column called 'a'"),
        (",a,label\n0,1,0\n", "column 1 has no name.*index=False"),
        ('1,"2,0\n', "not a CSV file"),
    ],
)
def test_tables_that_make_no_sense_are_refused(read, text, message):
    with pytest.raises(DataError, match=rf"table\.csv: .*{message}"):
        read(text)


def test_prices_in_whole_numbers_are_not_taken_for_classes(read):
    rows = "".join(f"{row},{row * 3}\n" for row in range(200))
    with pytest.raises(DataError, match="200 different whole numbers from 0 to 597 in 200 samples"):
        read(rows)
    assert read(rows.replace("\n", ".0\n")).task == "regression"
    assert read(rows, task="regression").y_train[:3].tolist() == [[0], [3], [6]]
    assert len(read(rows, task="classification").classes) == 200


@pytest.mark.parametrize("text", ["1,5;7\n2,5;8\n", "1,5;a\n2,5;b\n", "1,5\t2,5\ta\n" * 2, "size, cm;label\n1,5;a\n"])
def test_decimal_commas_do_not_part_cells(read, text):
    with pytest.raises(DataError, match=r"holds '[12],5'; expected a finite number with a decimal point"):
        read(text)


def test_text_in_quotes_does_not_choose_what_parts_cells(read):
    data = read('"a;b","c\td",label\n1,2,"x;y"\n3,4,"z\tz"\n')
    assert (data.columns, data.classes) == (["a;b", "c\td"], ["x;y", "z\tz"])


# Python's float takes the first three; what NumPy's loadtxt refuses is no number.
def test_names_and_labels_in_two_spellings_are_one(read):
    """An é may be one letter, or an e and an accent."""
    data = read("e\u0301te\u0301,b\ncafe\u0301,1\ncaf\u00e9,2\nthe\u0301,3\n", target="\u00e9t\u00e9")
    assert (data.classes, data.y_train.tolist()) == (["caf\u00e9", "th\u00e9"], [0, 0, 1])


@pytest.mark.parametrize("cell", ["1_0", "0_1", "\uff11", "1j", "0x10", "1d3", "1e", "- 1", "True", "5f"])
def test_a_cell_is_a_number_where_loadtxt_reads_one(read, cell):
    with pytest.raises(ValueError, match="could not convert"):
        np.loadtxt([cell])
    with pytest.raises(DataError, match=f"line 2, column 1 holds '{cell}'; expected a finite number"):
        read(f"1,0\n{cell},1\n")
    assert read(f"1,a\n2,{cell}\n").classes == sorted(["a", cell])  # as a label it is text


@pytest.mark.parametrize("cell", ["1e5", "+1", " 1 ", "1.", ".5", "1E-5", "1\xa0", "\x1f1", "-0"])
def test_numbers_are_those_of_loadtxt(read, cell):
    assert read(f"{cell},0\n2,1\n").x_train[0, 0] == np.loadtxt([cell], encoding="utf-8")


def test_numbers_and_text_are_classes_if_they_are_said_to_be(read):
    assert read("1,10\n2,other\n3,9\n", task="classification").classes == ["10", "9", "other"]


def test_the_target_is_a_column_by_name_or_number(read):
    text = "rooms,price,class\n1,10.5,2\n3,20.5,4\n"
    data = read(text, target="price")
    assert (data.target, data.columns, data.y_train.tolist()) == ("price", ["rooms", "class"], [[10.5], [20.5]])
    assert read(text, target="1").target == "rooms"
    assert read("1,2,3\n4,5,6\n", target="2").x_train.tolist() == [[1, 3], [4, 6]]
    assert read("1,a,3\n2,b,6\n", target="2").classes == ["a", "b"]
    assert read("price,0,1\n7.5,5,6\n", target="price").columns == ["0", "1"]
    for target in ("pric", "0", "4", "-1", "2.0", "\u0661"):
        with pytest.raises(DataError, match=f"has no column '{target}' for the labels; there are rooms, price, class"):
            read(text, target=target)
    with pytest.raises(DataError, match="there are the columns 1 to 3, without names"):
        read("1,2,3\n4,5,6\n", target="price")


def test_columns_are_found_by_name(read):
    text = "b,y,c,a\n2,0,3,1\n20,1,30,10\n"
    data = read(text, columns=["a", "b", "c"])
    assert (data.columns, data.target) == (["a", "b", "c"], "y")
    np.testing.assert_array_equal(data.x_train, [[1, 2, 3], [10, 20, 30]])
    assert data.y_train.tolist() == [0, 1]
    with pytest.raises(
        DataError, match="lacks the columns 'd', 'e' and has the unknown columns 'b'; expected a, c, d, e"
    ):
        read(text, columns=["a", "c", "d", "e"])
    with pytest.raises(DataError, match=r"has the unknown columns 'b', 'c'; expected a$"):
        read(text, columns=["a"])
    with pytest.raises(DataError, match="has no header; expected one with a, b, c"):
        read("1,2,3,0\n", columns=["a", "b", "c"])


def test_names_that_are_numbers_are_known_where_they_are_expected(read):
    data = read("1,0,2\n5,6,0\n7,8,1\n", columns=["0", "1"])
    np.testing.assert_array_equal(data.x_train, [[6, 5], [8, 7]])


class TestFeatures:
    """Of a table to predict for, which may lack the labels."""

    @pytest.fixture
    def features(self, tmp_path):
        def features(text, count=2, **known):
            (tmp_path / "table.csv").write_text(text, encoding="utf-8")
            return features_from_csv(tmp_path / "table.csv", count, **known).tolist()

        return features

    @pytest.mark.parametrize(
        "text",
        [
            *("a,b\n1,2\n3,4\n", "b,a\n2,1\n4,3\n", "b;a\n2;1\n4;3\n", "b\ta\n2\t1\n4\t3\n"),
            *("b,price,a\n2,9.5,1\n4,9.5,3\n", "b,price,a\n2,unknown,1\n4,?,3\n"),
            *("price,a,b\n,1,2\n,3,4\n", "a,b,price\n1,2,\n3,4,9.5\n", "a,price,b\n1, ,2\n3,nan,4\n"),
        ],
    )
    def test_of_columns_with_names(self, features, text):
        assert features(text, columns=["a", "b"], target="price") == [[1, 2], [3, 4]]

    @pytest.mark.parametrize("text", ["1,2\n3,4\n", "u,v\n1,2\n3,4\n", "1,2,x\n3,4,x\n", "y,u,v\nx,1,2\nx,3,4\n"])
    def test_of_columns_without_names(self, features, text):
        assert features(text) == [[1, 2], [3, 4]]

    def test_the_column_of_labels_is_that_of_training(self, features):
        assert features("7,1,2\n1,3,4\n", target="1") == [[1, 2], [3, 4]]

    @pytest.mark.parametrize(
        ("text", "known", "message"),
        [
            ("a,c\n1,2\n", {"columns": ["a", "b"]}, "lacks the columns 'b' and has the unknown columns 'c'"),
            ("a,b,y\n1,2,3\n", {"columns": ["a", "b"]}, "unknown columns 'y'"),
            ("a,b,b\n1,2,3\n", {"columns": ["a", "b"]}, "more than one column called 'b'"),
            ("1,2\n", {"columns": ["a", "b"]}, "has no header; expected one with a, b"),
            ("1,2,3\n", {"columns": ["a", "b"]}, "has no header; expected one with a, b"),
            ("1,2,3,4\n", {}, "has 4 columns; expected 2 features"),
            ("1\n", {}, "has 1 columns"),
            ("a,b\n", {}, "a header but no rows"),
            ("a,b,y\n1,,0\n", {}, "line 2, column 'b' is empty"),
            ("1,2,y\n3,4,n\n3,4,y\n", {}, "its first line may be a header or a sample: 'y' is a label"),
            ("1,2\n3,oops\n", {}, "line 2, column 2 holds 'oops'"),
        ],
    )
    def test_others_are_refused(self, features, text, known, message):
        with pytest.raises(DataError, match=message):
            features(text, **known)


def test_huge_numbers_whose_sum_overflows_are_numbers_all_the_same(read):
    assert read("1e308,1e308,0\n").x_train.tolist() == [[1e308, 1e308]]


def test_other_files_are_refused(read, tmp_path):
    with pytest.raises(DataError, match="not a text file in UTF-8"):
        read("1,2,ä\n", "latin-1")
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read"):
        from_csv(tmp_path / "nothing.csv")
