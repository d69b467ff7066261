"""TabularEncoder: from numbers and categories to a network's inputs."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from fastmlp.tabular import TabularClassifier, TabularEncoder, preprocessing


def clipped(x):
    """The smooth clip of the paper."""
    return x / np.sqrt(1 + (x / 3) ** 2)


def test_numbers_are_centred_and_scaled_by_quartiles_then_clipped() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0, 100.0])  # median 2, quartiles 1 and 3
    out = TabularEncoder().fit_transform(x[:, None])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0], clipped((x - 2) / 2), rtol=1e-6)
    assert out.max() < 3


def test_half_the_range_stands_in_for_a_spread_of_zero_and_constants_are_zero() -> None:
    X = np.array([[0.0, 7.0], [0.0, 7.0], [0.0, 7.0], [0.0, 7.0], [10.0, 7.0]])
    encoder = TabularEncoder().fit(X)
    np.testing.assert_allclose(encoder.transform(X)[:, 0], clipped(np.array([0, 0, 0, 0, 2.0])), rtol=1e-6)
    assert encoder.transform([[0.0, 5e30]])[0, 1] == 0.0


def test_missing_numbers_are_where_the_median_is() -> None:
    encoder = TabularEncoder().fit([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan], [5.0, np.nan]])
    assert encoder.transform([[np.nan, np.nan], [3.0, 4.0]]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_large_numbers_do_not_overflow() -> None:
    X = np.array([[-1e308], [0.0], [1e308], [1e308]])
    out = TabularEncoder().fit_transform(X)
    np.testing.assert_array_equal(out, TabularEncoder().fit_transform(X / 1e300))
    assert TabularEncoder().fit(np.array([[0.0], [1e-300], [3e-300]])).transform([[1e308]]) == 3.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("column", [[1e308, -1e308], [1.7e308, -1.7e308, 0.0], [-1e308, 1e308, 1e308, 1e308, 1e308, 1e308]])
def test_numbers_further_apart_than_any_number_is_large_are_scaled_like_others(column) -> None:
    X = np.array(column * 5)[:, None]
    out = TabularEncoder().fit_transform(X)
    assert (out != 0.0).any()
    np.testing.assert_allclose(out, TabularEncoder().fit_transform(X / 1e300), rtol=1e-6)


def test_categories_get_a_column_each_and_two_of_them_one_together() -> None:
    X = np.array([["a", "x"], ["b", "y"], ["c", "x"], ["a", "y"]], dtype=object)
    encoder = TabularEncoder().fit(X)
    encoded = np.array([[1, 0, 0, 1], [0, 1, 0, -1], [0, 0, 1, 1], [1, 0, 0, -1]])
    assert [list(c) for c in encoder.categories_] == [["a", "b", "c"], ["x", "y"]]
    np.testing.assert_allclose(encoder.transform(X), clipped((encoded - encoder.median_) * encoder.factor_), rtol=1e-6)


def test_missing_and_unknown_categories_are_zero() -> None:
    encoder = TabularEncoder().fit(np.array([["a", "x"], ["b", "y"], ["c", None], [np.nan, "y"]], dtype=object))
    rows = np.array([[None, np.nan], ["new", "new"]], dtype=object)
    expected = clipped((np.zeros(4) - encoder.median_) * encoder.factor_)
    np.testing.assert_allclose(encoder.transform(rows), [expected] * 2, rtol=1e-6)


FRAMES = {
    "pandas": pd.DataFrame(
        {
            "n": [1.0, np.nan, 3.0, 4.0],
            "i": pd.array([1, None, 2, 5], dtype="Int64"),
            "b": [True, False, True, True],
            "c": pd.Categorical(["u", "v", None, "w"]),
            "s": ["x", "y", None, "x"],
        }
    ),
    "polars": pl.DataFrame(
        {
            "n": [1.0, None, 3.0, 4.0],
            "i": [1, None, 2, 5],
            "b": [True, False, True, True],
            "c": pl.Series(["u", "v", None, "w"], dtype=pl.Categorical),
            "s": ["x", "y", None, "x"],
        }
    ),
    "array": np.array(
        [[1.0, 1, True, "u", "x"], [None, None, False, "v", "y"], [3.0, 2, True, np.nan, None], [4.0, 5, True, "w", "x"]],
        dtype=object,
    ),
}


def table(name: str):
    """One of these, or one whose last column is text of another dtype."""
    if name == "string[pyarrow]":
        pytest.importorskip("pyarrow")
    if name.startswith("string"):
        return FRAMES["pandas"].astype({"s": name})
    return FRAMES["polars"].with_columns(pl.col("s").cast(pl.Enum(["x", "y"]))) if name == "enum" else FRAMES[name]


@pytest.mark.parametrize("name", [*FRAMES, "string[python]", "string[pyarrow]", "enum"])
def test_every_kind_of_table_gives_the_same(name) -> None:
    X = table(name)
    encoder = TabularEncoder().fit(X)
    assert encoder.categorical_.tolist() == [False, False, False, True, True]
    np.testing.assert_array_equal(encoder.transform(X), TabularEncoder().fit_transform(FRAMES["pandas"]))
    # scikit-learn 1.6 does not see the names of a new polars.
    if name != "array" and (not isinstance(X, pl.DataFrame) or hasattr(encoder, "feature_names_in_")):
        assert encoder.feature_names_in_.tolist() == ["n", "i", "b", "c", "s"]


@pytest.mark.parametrize("chosen", [["i", "s"], [1, 4], [False, True, False, False, True]], ids=str)
def test_columns_may_be_chosen_by_name_number_and_mask(chosen) -> None:
    frame = FRAMES["pandas"].drop(columns="c").assign(c=[1.0, 2.0, np.nan, 4.0])[["n", "i", "b", "c", "s"]]
    encoder = TabularEncoder(chosen).fit(frame)
    assert encoder.categorical_.tolist() == [False, True, False, False, True]
    assert [list(c) for c in encoder.categories_] == [[1, 2, 5], ["x", "y"]]


def test_text_that_is_not_chosen_is_refused() -> None:
    with pytest.raises(ValueError, match=r"column 's' has text \('x'\).* categorical_features"):
        TabularEncoder(["c"]).fit(FRAMES["pandas"])
    # scikit-learn before 1.7 takes no names from polars.
    with pytest.raises(ValueError, match=r"column ('c'|3 of X) has text \('u'\)"):
        TabularEncoder(None).fit(FRAMES["polars"])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["z"], r"categorical_features names \['z'\], but X has the columns \['n', 'i', 'b', 'c', 's'\]"),
        ([5], r"categorical_features must be from 0 to 4; got \[5\]"),
        ([True], r"categorical_features has 1 value, but X has 5 columns"),
        (1.5, r"categorical_features must be 'from_dtype', None, or a list of column names"),
    ],
)
def test_wrong_choices_are_refused(chosen, message) -> None:
    with pytest.raises(ValueError, match=message):
        TabularEncoder(chosen).fit(FRAMES["pandas"])
    if chosen == ["z"]:
        with pytest.raises(ValueError, match="X has no column names"):
            TabularEncoder(chosen).fit(np.zeros((2, 2)))


def test_dates_are_refused_with_a_remedy() -> None:
    days = pd.to_datetime(["2020-01-01", "2020-01-02"])
    for frame in (pd.DataFrame({"day": days}), pl.DataFrame({"day": days.to_list()})):
        with pytest.raises(TypeError, match=r"column 'day' has dtype .* Pass dates as numbers"):
            TabularEncoder().fit(frame)
    for array in (days.to_numpy()[:, None], np.diff(days.to_numpy())[:, None]):
        with pytest.raises(TypeError, match=r"column 0 of X has dtype .*64.* Pass dates as numbers"):
            TabularEncoder().fit(array)
    # As objects, each would be a category of its own.
    periods = pd.DataFrame({"day": pd.period_range("2020", periods=2)})
    for frame in (pd.DataFrame({"day": [None, *days.date]}), pd.DataFrame({"day": days.astype(object)}), periods):
        with pytest.raises(TypeError, match=r"column 'day' holds dates or times, such as .*2020.* Pass dates as numbers"):
            TabularEncoder().fit(frame)


def test_a_category_for_each_row_is_warned_of() -> None:
    frame = pd.DataFrame({"n": np.arange(300.0), "id": [f"user {i}" for i in range(300)]})
    with pytest.warns(UserWarning, match=r"column 'id' has 300 different categories in 300 rows, .* Drop it"):
        TabularEncoder().fit(frame)
    TabularEncoder().fit(frame.assign(id=frame["id"].str[:7]))  # a dozen


def test_decimals_are_numbers_as_databases_return_them() -> None:
    prices = [Decimal("1.5"), None, Decimal("3"), Decimal("2.5")]
    expected = TabularEncoder().fit_transform(np.array([[1.5], [np.nan], [3.0], [2.5]]))
    for frame in (pd.DataFrame({"price": prices}, dtype=object), pl.DataFrame({"price": prices})):
        np.testing.assert_array_equal(TabularEncoder().fit_transform(frame), expected)
    assert TabularEncoder(["price"]).fit(pd.DataFrame({"price": prices})).categorical_.all()
    filled = [0.5, *prices]
    for order in (filled, filled[::-1]):
        assert not TabularEncoder().fit(pd.DataFrame({"price": order}, dtype=object)).categorical_.any()
    with pytest.raises(ValueError, match="column 'price': cannot convert signaling NaN"):
        TabularEncoder().fit(pd.DataFrame({"price": [Decimal("sNaN"), Decimal("1")]}, dtype=object))


def test_text_among_decimals_is_told_wherever_it_stands() -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"a": [1, 2, 3]}))
    for column in ([Decimal("1"), "3"], ["3", Decimal("1")]):
        with pytest.raises(ValueError, match=r"column 'a' has text \('3'\), which fit took for numbers"):
            encoder.transform(pd.DataFrame({"a": column}, dtype=object))


def test_lists_keep_numbers_beside_text() -> None:
    rows = [[0.5, "a"], [1.5, "b"], [2.5, "c"]]
    encoder = TabularEncoder().fit(rows)
    assert encoder.categorical_.tolist() == [False, True]
    np.testing.assert_array_equal(encoder.transform(rows), encoder.transform(np.array(rows, dtype=object)))
    assert TabularClassifier(epochs=1).fit(rows, [0, 1, 0]).predict([[1.0, "b"]]).shape == (1,)


def test_what_is_no_table_is_refused_with_a_remedy() -> None:
    columns = {"a": [1.0, 2.0]}
    for X, message in (
        (columns, r"got a dict\. Pass pandas"),
        (pl.LazyFrame(columns), r"got a LazyFrame\. Pass X\.collect\(\)"),
    ):
        with pytest.raises(TypeError, match=message):
            TabularEncoder().fit(X)
        with pytest.raises(TypeError, match=message):
            TabularClassifier().fit(X, [0, 1])


def test_infinity_is_refused_in_frames_too() -> None:
    for frame in (pd.DataFrame({"a": [1.0, np.inf]}), pl.DataFrame({"a": [1.0, np.inf]})):
        with pytest.raises(ValueError, match="Input X contains infinity"):
            TabularEncoder().fit(frame)


def test_whole_numbers_beyond_float64_are_refused_with_their_column() -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [1, 10**400]}, dtype=object)
    for X, name in ((table, "column 'b'"), (table.to_numpy(), "column 1 of X")):
        with pytest.raises(ValueError, match=rf"a value too large for dtype\('float64'\) in {name}\.$"):
            TabularEncoder(categorical_features=None).fit(X)


def test_numbers_where_fit_found_only_text_are_refused() -> None:
    """They could be none of the categories, so that all of them would count as unknown in silence."""
    encoder = TabularEncoder().fit(pd.DataFrame({"id": ["1", "2", "3", None]}))
    with pytest.raises(ValueError, match=r"column 'id' has 2, but had only text in fit.* astype\(str\)"):
        encoder.transform(pd.DataFrame({"id": [None, 2]}, dtype=object))
    assert (
        encoder.transform(pd.DataFrame({"id": [np.nan, np.nan]})) == encoder.transform(pd.DataFrame({"id": ["x", "y"]}))
    ).all()


@pytest.mark.parametrize(("known", "text"), [([10, 20, 30], "10"), ([True, False, True, False], "True")])
def test_text_where_fit_found_no_text_among_categories_is_refused(known, text) -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"zip": pd.Categorical(known)}))
    message = rf"column 'zip' has '{text}', but had no text in fit.* Pass what it had there, such as (10|False)\."
    with pytest.raises(ValueError, match=message):
        encoder.transform(pd.DataFrame({"zip": [None, text]}))
    assert (encoder.transform(pd.DataFrame({"zip": pd.Categorical([None])})) == 0.0).all()


def test_text_where_fit_found_numbers_is_refused() -> None:
    encoder = TabularEncoder().fit(np.array([[1.0], [2.0]]))
    with pytest.raises(ValueError, match=r"column 0 of X has text \('a'\)"):
        encoder.transform(np.array([["a"], [2.0]], dtype=object))
    with pytest.raises(ValueError, match=r"X has 2 features, but TabularEncoder is expecting 1 features"):
        encoder.transform(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (pd.DataFrame({"a": [None, None]}), [2.0, 2.0]),
        (pd.DataFrame({"a": [1.0, 3.0]}).astype(object), [1.0, 3.0]),
        (pd.DataFrame({"a": [1.0, 3.0]}).iloc[0].astype(object).to_frame().T, [1.0]),
        (pd.DataFrame({"a": [True, None]}), [1.0, 2.0]),
        (pd.DataFrame({"a": pd.Categorical([3, None])}), [3.0, 2.0]),
        (pl.DataFrame({"a": [None, None]}), [2.0, 2.0]),
        (np.array([[None], [3]], dtype=object), [2.0, 3.0]),
    ],
    ids=["all missing", "objects", "a row", "bools", "a category's dtype", "polars Null", "array"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_numbers_of_any_dtype_are_numbers_where_fit_found_numbers(table, expected) -> None:
    encoder = TabularEncoder().fit(pd.DataFrame({"a": [1.0, 2.0, 3.0]}))
    np.testing.assert_array_equal(encoder.transform(table)[:, 0], encoder.transform(np.array(expected, float)[:, None])[:, 0])


@pytest.mark.parametrize("chosen", [None, ["s"]])
def test_numbers_of_object_dtype_that_are_not_chosen_are_numbers(chosen) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, None], "s": [1.0, 2.0, 1.0]})
    np.testing.assert_array_equal(
        TabularEncoder(chosen).fit_transform(frame.astype(object)), TabularEncoder(chosen).fit_transform(frame)
    )


def test_categories_of_several_kinds_are_refused_with_a_remedy() -> None:
    for values in ([1, "a", 2.5], [pd.Interval(1, 2), 2.5, 1]):
        with pytest.raises(TypeError, match=r"column 'c' has categories without an order \(.*float, int.*\): .* astype\(str\)"):
            TabularEncoder().fit(pd.DataFrame({"n": [1, 2, 3], "c": pd.Series(values, dtype=object)}))


SEVERAL = {
    "lists": (pd.DataFrame({"c": [[1, 2], [3]]}), r"\[1, 2\] \(list\)"),
    "lists after nothing": (pd.DataFrame({"c": [None, [3]]}), r"\[3\] \(list\)"),
    "polars lists": (pl.DataFrame({"c": [[1, 2], [3]]}), r"\[1, 2\] \(list\)"),
    "arrays": (pd.DataFrame({"c": [np.zeros(2), np.ones(2)]}), r"array\(\[0., 0.\]\) \(ndarray\)"),
    "tuples": (pd.DataFrame({"c": [(1, 2), (3,)]}), r"\(1, 2\) \(tuple\)"),
    "tuples of one length": (np.array([[(1, 2)], [(3, 4)], [None]], object), r"\(1, 2\) \(tuple\)"),
    "tuples among numbers": (pd.DataFrame({"c": [1.0, (1, 2)]}), r"\(1, 2\) \(tuple\)"),
    "frozensets": (pd.DataFrame({"c": [frozenset({1}), frozenset({2})]}), r"frozenset\(\{1\}\) \(frozenset\)"),
    "structs": (pl.DataFrame({"c": [{"a": 1}, {"a": 2}]}), r"{'a': 1} \(dict\)"),
    "complex": (pd.DataFrame({"c": [1j, 2.0]}), r"1j \(complex\)"),
    "constant complex": (pd.DataFrame({"c": [1j, 1j]}), r"1j \(complex\)"),
    "in an array": (np.array([[1j], [2.0]], object), r"1j \(complex\)"),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_columns_that_hold_several_numbers_are_refused_for_what_they_are(name) -> None:
    X, what = SEVERAL[name]
    with pytest.raises(TypeError, match=rf"^column \S+( of X)? holds {what}, which is neither .* Leave the column out, or"):
        TabularEncoder().fit(X)


def test_pandas_has_three_values_for_nothing() -> None:
    for nothing in (None, pd.NA, pd.NaT):
        encoder = TabularEncoder().fit(pd.DataFrame({"c": pd.Series(["u", "v", nothing], dtype=object)}))
        assert encoder.categories_[0].tolist() == ["u", "v"]


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        TabularEncoder().fit(FRAMES["pandas"].iloc[:0])


def test_names_of_the_columns_after_it() -> None:
    X = pd.DataFrame({"size": [1.0, 2.0, 3.0], "kind": ["a", "b", "c"], "flag": ["no", "yes", "no"], "empty": [None] * 3})
    encoder = TabularEncoder().fit(X)
    assert encoder.get_feature_names_out().tolist() == ["size", "kind_a", "kind_b", "kind_c", "flag_no"]
    frame = make_pipeline(encoder).set_output(transform="pandas").fit_transform(X)
    assert frame.columns.tolist() == encoder.get_feature_names_out().tolist()
    assert frame["flag_no"].idxmin() == 1
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        encoder.get_feature_names_out(["a", "b", "c", "d"])


def test_a_fit_that_fails_leaves_what_was_learnt_before() -> None:
    encoder = TabularEncoder()
    good = np.array([[0.0, "a"], [1.0, "b"], [2.0, "c"]], dtype=object)
    bad = np.array([[0.0, "x"], [1.0, 2.0], [2.0, "z"]], dtype=object)
    with pytest.raises(TypeError, match="column 1 of X has categories without an order"):
        encoder.fit(bad)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        encoder.transform(good)
    before = encoder.fit_transform(good)
    with pytest.raises(TypeError, match="column 1 of X has categories without an order"):
        encoder.fit(bad)
    np.testing.assert_array_equal(encoder.transform(good), before)


@pytest.mark.parametrize("block", [1, 50, 1 << 17])
@pytest.mark.parametrize("rows", [1, 7, 40, 600])
def test_one_hot_codes_that_are_not_made_are_scaled_to_the_same_bits(rows, block, monkeypatch) -> None:
    """Codes have their quartiles counted and their two values looked up, in blocks of rows: as if they were numbers."""
    monkeypatch.setattr(preprocessing, "_BLOCK", block)
    rng = np.random.default_rng(rows)
    shares = {"rare": [0.9, 0.04, 0.03, 0.03], "often": [0.3, 0.25, 0.24, 0.21], "one": [1, 0, 0, 0], "half": [0.5, 0.5, 0, 0]}
    X = pd.DataFrame({name: rng.choice(list("abcd"), rows, p=share) for name, share in shares.items()}, dtype=object)
    X[rng.random(X.shape) < 0.1] = None
    X["all"] = [None] * rows
    X.insert(2, "number", np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)))
    codes = []
    for name in X:
        if name == "number":
            codes.append(X[[name]].to_numpy(float))
            continue
        one_hot = (X[[name]].to_numpy() == sorted(X[name].dropna().unique())).astype(float)
        codes.append(one_hot[:, :1] - one_hot[:, 1:] if one_hot.shape[1] == 2 else one_hot)
    categories = [name for name in X if name != "number"]
    encoder, dense = TabularEncoder(categories), TabularEncoder(None)
    assert (encoder.fit_transform(X) == dense.fit_transform(np.hstack(codes))).all()
    assert (encoder.median_ == dense.median_).all()
    assert (encoder.factor_ == dense.factor_).all()
    assert (encoder.transform(X) == dense.transform(np.hstack(codes))).all()


def test_with_max_one_hot_numbers_come_first_and_numbers_of_many_categories_last() -> None:
    X = pd.DataFrame(
        {
            "many": pd.Categorical(["c", "a", "b", None, "c"]),
            "x": [0.0, 1.0, 2.0, 3.0, 4.0],
            "two": pd.Categorical(["u", "v", "u", "v", "u"]),
            "more": pd.Categorical(["p", "q", "r", "s", "p"]),
            "y": [5.0, 4.0, 3.0, 2.0, 1.0],
        }
    )
    encoder, plain = TabularEncoder(max_one_hot=2), TabularEncoder()
    out, expected = encoder.fit_transform(X), plain.fit_transform(X)
    assert encoder.get_feature_names_out().tolist() == ["x", "y", "two_u", "many", "more"]
    names = plain.get_feature_names_out().tolist()
    np.testing.assert_array_equal(out[:, :3], expected[:, [names.index(name) for name in ("x", "y", "two_u")]])
    assert out[:, 3].tolist() == [3, 1, 2, 0, 3]  # 0 is for what is missing
    assert out[:, 4].tolist() == [5, 6, 7, 8, 5]  # behind the four of the other column
    assert (encoder.n_numbers_, encoder.n_codes_, encoder.n_entries_) == (2, 2, 9)
    odd = X.assign(many="unknown", more=None)
    assert encoder.transform(odd)[:, 3:].tolist() == [[0, 4]] * 5
    np.testing.assert_array_equal(encoder.transform(X), out)
    with pytest.raises(ValueError, match="max_one_hot"):
        TabularEncoder(max_one_hot=-1).fit(X)
