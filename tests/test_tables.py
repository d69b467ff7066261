"""Tables from files: the same rows whatever the format, and errors that name column, row and remedy."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from fastmlp import delimited
from fastmlp.datasets import read_table


def csv(tmp_path, text, name="table.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def write_parquet(tmp_path, **columns):
    parquet.write_table(pyarrow.table(columns), tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "table.npz", **arrays)
    return tmp_path / "table.npz"


@pytest.fixture(params=[0, 1 << 60], ids=["pyarrow", "csv"], autouse=True)
def from_how_many_bytes_on_pyarrow_reads_text(request, monkeypatch):
    monkeypatch.setattr(delimited, "_LARGE", request.param)


# ---- what is read


@pytest.mark.parametrize(("ending", "module"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
@pytest.mark.parametrize("kind", ["csv", "TSV"])
def test_packed_text(tmp_path, ending, module, kind):
    path = tmp_path / f"table.{kind}{ending}"
    path.write_bytes(module.compress("\ufeffa\tb\ty\n1\té\t0\n2\té\t1\n".encode()))
    data = read_table(path, "y", drop=["b"])
    assert data.X.tolist() == [[1.0], [2.0]]
    assert (data.y.tolist(), data.name) == ([0, 1], path.name)
    path.write_bytes(module.compress(rng_table())[:-20])
    with pytest.raises(ValueError, match=rf"{ending} cannot be unpacked: .*\. Is it cut short or of another kind"):
        read_table(path, "y")
    path.write_text("a,y\n1,0\n2,1\n")
    with pytest.raises(ValueError, match="cannot be unpacked: "):
        read_table(path, "y")


def rng_table() -> bytes:
    numbers = np.random.default_rng(0).normal(size=(500, 2))
    return b"a,y\n" + b"".join(b"%f,%f\n" % tuple(row) for row in numbers)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas(tmp_path, separator):
    text = "a;b;day;y\n1,5;-2;1.5.2024;0,25\n,5;+3,;;1e1\n2,5e-1;NA;2.5;3\n"
    path = csv(tmp_path, text.replace(";", separator).replace("NA", "7"))
    data = read_table(path, "y", drop=["day"], decimal=",")
    assert data.X.tolist() == [[1.5, -2.0], [0.5, 3.0], [0.25, 7.0]]
    assert (data.kind, data.y.tolist()) == ("regression", [0.25, 10.0, 3.0])
    words = read_table(csv(tmp_path, "a;y\n1,5;yes, sir\n2;v1.5.2\n"), "y", decimal=",")
    assert words.labels == ("v1.5.2", "yes, sir")


def test_decimal_commas_between_commas_are_in_quotes(tmp_path):
    data = read_table(csv(tmp_path, 'a,y\n"1,5",0\n"2,5",1\n'), "y", decimal=",")
    assert data.X.tolist() == [[1.5], [2.5]]


@pytest.mark.parametrize("cell", ["1.5", "1.234,5", "1.234"])
@pytest.mark.parametrize("column", ["a", "y"])
def test_points_in_numbers_with_decimal_commas_are_refused(tmp_path, cell, column):
    rows = {"a": ["1,5", "2,5"], "y": ["3,5", "4,5"]}
    rows[column][1] = cell
    path = csv(tmp_path, "a;y\n" + "".join(f"{a};{y}\n" for a, y in zip(*rows.values(), strict=True)))
    with pytest.raises(
        ValueError, match=rf"column '{column}' has '{cell}', but with decimal=',' .* such as 1234,5\. Write them"
    ):
        read_table(path, "y", decimal=",")


def test_decimals_are_for_text_and_of_two_kinds(tmp_path):
    with pytest.raises(ValueError, match=r"decimal must be one of '\.', ','; got ';'"):
        read_table(csv(tmp_path, "a,y\n1,0\n"), "y", decimal=";")
    path = tmp_path / "rows.npz"
    np.savez(path, X=np.eye(2), y=np.arange(2))
    with pytest.raises(ValueError, match=r"rows\.npz has numbers, not text: decimal=',' is for text"):
        read_table(path, decimal=",")
    with pytest.raises(ValueError, match=r"rows\.npz\.gz is not a kind of file .* one of \.gz, \.bz2, \.xz after it"):
        read_table(tmp_path / "rows.npz.gz")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
def test_csv_with_any_separator(tmp_path, separator):
    text = "a,b,kind\n1,2.5,cat\n-3,1e2,dog\n0,0,cat\n".replace(",", separator)
    data = read_table(csv(tmp_path, text), "kind")
    assert data.X.tolist() == [[1.0, 2.5], [-3.0, 100.0], [0.0, 0.0]]
    assert data.y.tolist() == [0, 1, 0]
    assert (data.kind, data.n_classes, data.labels) == ("binary", 2, ("cat", "dog"))
    assert (data.features, data.name) == (("a", "b"), "table.csv")


@pytest.mark.parametrize("text", ["\ufeffa,y\r\n1,0\r\n2,1\r\n", 'a , y\n 1 , 0\n\n2, "1"\n\n', '"a","y"\n1,0\n2,1'])
def test_csv_as_spreadsheets_write_it(tmp_path, text):
    data = read_table(csv(tmp_path, text), "y")
    assert data.X.tolist() == [[1.0], [2.0]]
    assert data.y.tolist() == [0, 1]


def test_csv_of_more_rows_than_are_read_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_CHUNK", 3)
    text = "a,y\n" + "".join(f"{i},{i / 2}\n" for i in range(10))
    data = read_table(csv(tmp_path, text), "y")
    assert data.X[:, 0].tolist() == list(range(10))
    assert data.y.tolist() == [i / 2 for i in range(10)]


def test_columns_may_be_dropped_whatever_they_hold(tmp_path):
    text = "id,a,when,y\nx1,1,,0\nx2,2,soon,1\nx3,3,NA,0\n"
    whole = {"id": ["x1", "x2", "x3"], "a": [1, 2, 3], "when": [[1], [], [2]], "y": [0, 1, 0]}
    for path in (csv(tmp_path, text), write_parquet(tmp_path, **whole)):
        data = read_table(path, "y", drop=["id", "when", "id"])
        assert (data.features, data.X.tolist(), data.y.tolist()) == (("a",), [[1.0], [2.0], [3.0]], [0, 1, 0])


@pytest.mark.parametrize(
    ("drop", "error", "why"),
    [
        (["idd"], ValueError, r"has no column 'idd' to drop \(did you mean 'id'\?\). Its columns are id, a, y."),
        (["id", "y"], ValueError, "column 'y' is the target, which cannot be dropped"),
        (["id", "a"], ValueError, "no column beside the target 'y' that is not dropped: there is nothing to predict it from"),
        ("id", TypeError, r"drop must be a list of columns' names, such as \['id'\]; got the text 'id'"),
    ],
)
def test_what_cannot_be_dropped(tmp_path, drop, error, why):
    for path in (csv(tmp_path, "id,a,y\n1,2,3\n"), write_parquet(tmp_path, id=[1], a=[2], y=[3])):
        with pytest.raises(error, match=why):
            read_table(path, "y", drop=drop)


def test_columns_without_names_cannot_be_dropped(tmp_path):
    with pytest.raises(ValueError, match=r"the columns of X have no names to drop them by. Save X without them"):
        read_table(npz(tmp_path, X=np.ones((2, 2)), y=np.arange(2)), drop=["X[:, 0]"])


def test_truth_values_in_text_are_numbers_as_they_are_in_parquet(tmp_path):
    words = ["True", "False", "TRUE", "FALSE", "true", " false", "1"]
    text = "b,y\n" + "".join(f"{word},{i / 2}\n" for i, word in enumerate(words))
    assert read_table(csv(tmp_path, text), "y").X[:, 0].tolist() == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    with pytest.raises(ValueError, match=r"feature column holds words, not numbers: 'b' \('yes'\)"):
        read_table(csv(tmp_path, "b,y\nTrue,1\nyes,2\n"), "y")


def test_parquet_columns_of_all_types(tmp_path):
    path = write_parquet(
        tmp_path,
        i=pyarrow.array([1, 2, 3], "int16"),
        f=pyarrow.array([0.5, 1.5, 2.5], "float32"),
        b=[True, False, True],
        y=pyarrow.array(["u", "v", "u"]).dictionary_encode(),
    )
    data = read_table(path, "y")
    assert data.X.tolist() == [[1.0, 0.5, 1.0], [2.0, 1.5, 0.0], [3.0, 2.5, 1.0]]
    assert data.y.tolist() == [0, 1, 0]
    assert data.labels == ("u", "v")


def test_npz_with_its_own_names(tmp_path):
    X = np.arange(6.0).reshape(3, 2)
    path = npz(tmp_path, X=X, y=np.array([0.5, 1, 2]), other=np.array([[1], [0], [1]]))
    data = read_table(path)
    assert (data.X == X).all()
    assert (data.kind, data.y.tolist()) == ("regression", [0.5, 1.0, 2.0])
    assert read_table(path, "other").y.tolist() == [1, 0, 1]


def test_npz_with_several_quantities(tmp_path):
    data = read_table(npz(tmp_path, X=np.zeros((3, 2)), y=np.ones((3, 4))))
    assert (data.kind, data.n_outputs) == ("regression", 4)


@pytest.mark.parametrize(
    ("cells", "kind", "n_classes", "first"),
    [
        (["red", "blue", "green"], "classes", 3, 2),
        (["True", "False", "True"], "binary", 2, 1),
        (["3", "5", "3"], "binary", 2, 0),
        (["0.5", "1.5", "2"], "regression", 0, 0.5),
        (["0.0", "1.0", "0.0"], "regression", 0, 0.0),
        ([str(i) for i in range(21)], "regression", 0, 0.0),
        ([str(i) for i in range(20)], "classes", 20, 0),
        (["none", "some", "some"], "binary", 2, 0),
    ],
    ids=["words", "truth", "two integers", "floats", "whole floats", "many integers", "some integers", "none is a word"],
)
def test_the_kind_of_a_target_follows_from_its_cells(tmp_path, cells, kind, n_classes, first):
    path = csv(tmp_path, "a,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    data = read_table(path, "y")
    assert (data.kind, data.n_classes, data.y[0]) == (kind, n_classes, first)


def test_the_kind_can_be_given(tmp_path):
    path = csv(tmp_path, "a,y\n1,3\n2,4\n3,3\n")
    assert read_table(path, "y", kind="regression").y.tolist() == [3.0, 4.0, 3.0]
    path = csv(tmp_path, "a,y\n1,0.5\n2,1.5\n3,0.5\n")
    assert read_table(path, "y", kind="classes").labels == (0.5, 1.5)


# ---- what is refused


REFUSED = {
    "gap": ("a,b,y\n1,2,0\n3,,1\n", "column 'b' has no value .* in row 2 .*Fill the gap"),
    "NaN": ("a,b,y\n1,2,0\n3,NaN,1\n", "column 'b' has no value .*in row 2"),
    "NA": ("a,b,y\nNA,2,0\n3,4,1\n", "column 'a' has no value .*in row 1"),
    "NUL": ("a,b,y\n1,2,0\n3,\0,1\n", "column 'b' has no value .*in row 2"),
    "infinite": ("a,y\n1,0\n-inf,1\n", "column 'a' has the value -inf in row 2"),
    "words": ("a,b,c,y\n1,x,0,0\n2,,0,1\n3,4,u,1\n", "columns hold words, not numbers: 'b' .'x'., 'c' .'u'.*Encode them"),
    "gap in target": ("a,y\n1,2.5\n3,\n", "column 'y' has no value .*in row 2"),
    "gap in classes": ("a,y\n1,u\n3,\n4,v\n", "column 'y' has no value .*in row 2"),
    "NA in classes": ("a,y\n1,u\n3,v\n4,NA\n", "column 'y' has no value .*NA.* in row 3"),
    "mark in classes": ("a,y\n1,u\n3,?\n4,v\n", "column 'y' has no value .* in row 2"),
    "underscore": ("a,y\n1_000,0\n2,1\n", "column holds words, not numbers: 'a' .'1_000'"),
    "NaN in target": ("a,y\n1,2.5\n3,nan\n", "column 'y' has no value .*in row 2"),
    "one class": ("a,y\n1,u\n3,u\n", "the target 'y' is u in every row"),
    "no rows": ("a,y\n", "has no rows below the line of names"),
    "nothing": ("", "is empty"),
    "blank": ("\n1,2\n", "is empty"),
    "target alone": ("y\n1\n2\n", "has no column beside the target 'y'"),
    "short row": ("a,b,y\n1,2,0\n3,1\n", "line 3: 2 cells, but the line of names has 3"),
    "long row": ("a,y\n1,2,0\n", "line 2: 3 cells, but the line of names has 2"),
    "same name": ("a,a,y\n1,2,0\n", "2 columns named 'a'"),
    "no target": ("a,b,Y2\n1,2,0\n", "no column 'y' .did you mean 'Y2'.*Its columns are a, b, Y2"),
    "no names": ("1,2,3\n4,5,6\n", "is the line of names missing"),
    "decimal commas": (
        "a;y\n2,5;0\n3,5;1\n",
        "column holds words, not numbers: 'a' .'2,5'.*a decimal point and no other marks.* pass decimal=',' or .* --decimal ,",
    ),
    "thousands": ('a,y\n"1,234.5",0\n3,1\n', "'a' .'1,234.5'.*a decimal point and no other marks, such as 1234.5.$"),
    "decimal commas in the target": (
        "a;y\n2;0,5\n3;1,5\n",
        "target 'y' holds words such as '0,5'. Numbers have a decimal point.* pass decimal=','",
    ),
    "open quote": ('a,y\n1,"u\n3,v\n', "not a table of text"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=list(REFUSED))
def test_csv_that_cannot_be_used(tmp_path, text, why):
    path = csv(tmp_path, text)
    with pytest.raises(ValueError, match=why) as caught:
        read_table(path, "y")
    assert str(path) in str(caught.value)


def test_words_after_the_first_rows_are_found_too(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_CHUNK", 2)
    path = csv(tmp_path, "a,y\n1,0\n2,1\n3,0\nx,1\n")
    with pytest.raises(ValueError, match=r"'a' .'x'."):
        read_table(path, "y")


def test_a_table_without_a_target_lists_its_columns(tmp_path):
    with pytest.raises(ValueError, match=r"say which column is the target, by target= or .* --target\. Its columns are a, b"):
        read_table(csv(tmp_path, "a,b\n1,2\n"))
    with pytest.raises(ValueError, match=r"Its columns are 1, 2\. All names are numbers: is the line of names missing"):
        read_table(csv(tmp_path, "1,2\n3,4\n"))


def test_words_are_no_quantity(tmp_path):
    with pytest.raises(ValueError, match=r"holds words such as 'u'"):
        read_table(csv(tmp_path, "a,y\n1,u\n2,v\n"), "y", kind="regression")


def test_an_unknown_kind(tmp_path):
    with pytest.raises(ValueError, match=r"kind must be one of"):
        read_table(csv(tmp_path, "a,y\n1,u\n2,v\n"), "y", kind="regresion")


def test_text_in_another_encoding(tmp_path):
    with pytest.raises(ValueError, match=r"not text in UTF-8"):
        read_table(csv(tmp_path, "größe,y\n1,2\n", encoding="latin-1"), "y")


def test_a_missing_file_a_folder_and_an_unknown_ending(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none.csv"):
        read_table(tmp_path / "none.csv", "y")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"is a folder"):
        read_table(tmp_path / "folder.csv", "y")
    with pytest.raises(ValueError, match=r"must end in .csv, .tsv"):
        read_table(tmp_path / "table.xls", "y")


def test_parquet_gaps_words_and_damage(tmp_path):
    with pytest.raises(ValueError, match=r"column 'a' has no value .*in row 2"):
        read_table(write_parquet(tmp_path, a=[1, None, 3], y=["u", "v", "u"]), "y")
    with pytest.raises(ValueError, match=r"column 'y' has no value .*in row 3"):
        read_table(write_parquet(tmp_path, a=[1, 2, 3], y=["u", "v", None]), "y")
    with pytest.raises(ValueError, match=r"holds words, not numbers: 'a' .'p'."):
        read_table(write_parquet(tmp_path, a=["p", "q", "r"], y=[0.5, 1, 2]), "y")
    (tmp_path / "table.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(ValueError, match=r"not a readable Parquet file"):
        read_table(tmp_path / "table.parquet", "y")


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (pyarrow.array([None] * 3, "string"), r"column 'a' has no value .*in row 1 "),
        (["", "", ""], r"column 'a' has no value .*in row 1 "),
        ([[1], [2], [3]], r"column 'a' of type list<.*> holds neither numbers nor words. Turn it into columns"),
        ([{"k": 1}] * 3, r"column 'a' of type struct<.*> holds neither numbers nor words. Turn it into columns"),
        ([b"\xff", b"u", b"v"], r"column 'a' of type binary holds .* or leave it out, by drop= or in a shell"),
        ([2**53 + 1, None, 3], r"column 'a' has no value .*in row 2 "),
        (pyarrow.array([2**64 - 1, 1, None], "uint64"), r"column 'a' has no value .*in row 3 "),
    ],
    ids=["null words", "empty words", "lists", "structs", "bytes", "large integers", "large unsigned integers"],
)
def test_parquet_columns_that_cannot_be_used_are_named(tmp_path, cells, why):
    path = write_parquet(tmp_path, a=cells, y=[0, 1, 0])
    with pytest.raises(ValueError, match=why) as caught:
        read_table(path, "y")
    assert str(path) in str(caught.value)


def test_parquet_of_no_rows_says_so_whatever_its_columns(tmp_path):
    with pytest.raises(ValueError, match=r"table.parquet has no rows"):
        read_table(write_parquet(tmp_path, a=pyarrow.array([], "string"), y=pyarrow.array([], "int64")), "y")


def test_parquet_of_two_columns_of_one_name_is_refused_as_csv_is(tmp_path):
    column = pyarrow.array([1.0, 2.0])
    parquet.write_table(pyarrow.table([column, column, column], names=["a", "a", "y"]), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=r"table\.parquet has 2 columns named 'a': names must differ"):
        read_table(tmp_path / "table.parquet", "y")


def test_parquet_names_are_without_blanks_around_them_as_those_of_csv(tmp_path):
    assert read_table(write_parquet(tmp_path, **{" a": [1, 2], "y": [0, 1]}), "y").features == ("a",)


def test_the_index_of_a_pandas_frame_is_no_feature(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame, path = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "id": [7, 5, 9], "y": [0, 1, 0]}), tmp_path / "frame.parquet"
    for written, features in ((frame.iloc[[2, 0, 1]], ("a", "id")), (frame.set_index("id"), ("a",)), (frame, ("a", "id"))):
        written.to_parquet(path)
        assert read_table(path, "y").features == features
    frame.set_index("y").to_parquet(path)
    assert read_table(path, "y").y.tolist() == [0, 1, 0]


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path, monkeypatch):
    path = write_parquet(tmp_path, a=[1], y=[2])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install pyarrow"):
        read_table(path, "y")


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": np.zeros((2, 1)), "y": np.arange(2)}, "has no array 'X' .did you mean 'x'.+; its arrays are x, y"),
        ({"X": np.zeros((2, 1))}, "has no array 'y'; its arrays are X"),
        ({}, "has no array 'X'; it has none at all"),
        ({"X": np.zeros(2), "y": np.arange(2)}, "X must be numbers of shape"),
        ({"X": np.array([["u"], ["v"]]), "y": np.arange(2)}, "X must be numbers of shape"),
        ({"X": np.zeros((3, 1)), "y": np.arange(2)}, "y must have one row for each of X's 3 rows"),
        ({"X": np.array([[1.0], [np.nan]]), "y": np.arange(2)}, "has no value .*in row 2"),
        ({"X": np.zeros((2, 1)), "y": np.array([1.0, np.inf])}, "column 'y' has the value inf in row 2"),
        ({"X": np.zeros((2, 1)), "y": np.array([[1.0, 2.0], [3.0, np.nan]])}, "column 'y' has no value .*in row 2"),
        ({"X": np.zeros((0, 1)), "y": np.zeros(0)}, "has no rows"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, arrays, why):
    with pytest.raises(ValueError, match=why):
        read_table(npz(tmp_path, **arrays))


def test_the_features_of_an_npz_file_are_not_its_target(tmp_path):
    with pytest.raises(ValueError, match=r"the array 'X' has the features"):
        read_table(npz(tmp_path, X=np.zeros((2, 1)), y=np.arange(2)), "X")


def test_npz_never_runs_what_a_pickle_in_it_says(tmp_path):
    np.savez(tmp_path / "table.npz", X=np.array([[print]], dtype=object), y=np.arange(1), allow_pickle=True)
    with pytest.raises(ValueError, match=r"not a readable .npz file of plain arrays"):
        read_table(tmp_path / "table.npz")
    (tmp_path / "table.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"not a readable .npz file of plain arrays"):
        read_table(tmp_path / "table.npz")


def test_separators_within_quotes_are_none(tmp_path):
    data = read_table(csv(tmp_path, '"a, b";"c, d, e";y\n1;2;0\n4;5;1\n'), "y")
    assert data.features == ("a, b", "c, d, e")
    assert data.X.tolist() == [[1.0, 2.0], [4.0, 5.0]]


def test_parquet_of_large_unsigned_integers_and_truth_values_with_gaps(tmp_path):
    large = np.array([2**64 - 1, 2**63, 5], np.uint64)
    assert read_table(write_parquet(tmp_path, a=large, y=[0, 1, 0]), "y").X[:, 0].tolist() == [2.0**64, 2.0**63, 5.0]
    with pytest.raises(ValueError, match=r"column 'a' has no value .* in row 2"):
        read_table(write_parquet(tmp_path, a=[True, None, False], y=[0, 1, 0]), "y")


@pytest.mark.parametrize("digits", [19, 20])
def test_long_integers_of_a_target_stay_as_they_are_as_far_as_int64_holds_them(digits, tmp_path):
    number = 10 ** (digits - 1) + 1
    read = read_table(csv(tmp_path, f"a,y\n1,{number}\n2,{number + 1}\n3,{number}\n"), "y")
    if digits == 19:
        assert (read.kind, read.y.tolist()) == ("binary", [0, 1, 0])
    else:
        assert read.y.dtype.kind == "f"
