"""What users pass in: accepted forms, and the messages that refuse the others."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

from fastmlp import arrays, checks, weighting

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
LAYERS = [2, 3, 1]
TAKES = "this network takes 2 inputs (layers=[2, 3, 1])"


def inputs(X: Any, dtype: np.dtype = F32) -> np.ndarray:
    return arrays.inputs(X, 2, dtype, LAYERS)


def targets(y: Any, kind: str, n_outputs: int, dtype: np.dtype = F32) -> np.ndarray:
    return arrays.targets(y, len(y), n_outputs, kind, dtype)


# Numbers, names and flags.


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_integer_takes_whole_numbers_of_any_type(value: Any) -> None:
    found = checks.integer("epochs", value, 1)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, [3]])
def test_integer_refuses_other_types(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^epochs must be an integer >= 1; got"):
        checks.integer("epochs", value, 1)


def test_integer_says_what_to_pass_for_a_whole_float() -> None:
    with pytest.raises(TypeError, match=r"got 3\.0 \(float\)\. Pass epochs=3\."):
        checks.integer("epochs", 3.0)


@pytest.mark.parametrize("value", [0, 6])
def test_integer_refuses_numbers_out_of_range(value: int) -> None:
    with pytest.raises(ValueError, match=f"^epochs must be an integer >= 1 and <= 5; got {value}\\."):
        checks.integer("epochs", value, 1, 5)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(1), np.array(0.5)])
def test_real_takes_numbers_of_any_type(value: Any) -> None:
    found = checks.real("rate", value, 0.0, 1.0)
    assert found == float(value)
    assert type(found) is float


@pytest.mark.parametrize("value", [True, np.False_, "0.5", None, 0.5j, np.ones(1)])
def test_real_refuses_other_types(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^rate must be a finite number >= 0; got"):
        checks.real("rate", value, 0.0)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, float("nan"), float("inf")])
def test_real_refuses_numbers_out_of_an_open_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"^rate must be a finite number > 0 and < 1; got"):
        checks.real("rate", value, 0.0, 1.0, open_low=True, open_high=True)


def test_real_takes_the_ends_of_a_closed_range() -> None:
    assert [checks.real("rate", end, 0.0, 1.0) for end in (0.0, 1.0)] == [0.0, 1.0]


def test_flag() -> None:
    assert checks.flag("bias", np.True_) is True
    with pytest.raises(TypeError, match=r"^bias must be True or False; got 1 \(int\)"):
        checks.flag("bias", 1)


def test_choice_suggests_the_nearest_names() -> None:
    with pytest.raises(ValueError, match=r"^shape must be one of 'cat', 'dog'; got 'Dg'\. Did you mean 'dog'\?$"):
        checks.choice("shape", "Dg", ("cat", "dog"))


def test_choice_suggests_nothing_far_fetched() -> None:
    with pytest.raises(ValueError, match=r"got 'elephant'\.$"):
        checks.choice("shape", "elephant", ("cat", "dog"))


@pytest.mark.parametrize("dtype", ["float32", np.float32, F32, "f4", "<f4"])
def test_floating_takes_every_name_of_float32(dtype: Any) -> None:
    assert checks.floating(dtype) is F32


@pytest.mark.parametrize("dtype", ["float16", "int32", ">f8", "complex64", "foo", None, object])
def test_floating_refuses_other_dtypes(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"^dtype must be 'float32' or 'float64'; got"):
        checks.floating(dtype)


# X.


def test_inputs_that_are_right_already_are_not_copied() -> None:
    X = np.ones((3, 2), F32)
    assert inputs(X) is X


@pytest.mark.parametrize(
    "X",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], np.int8),
        np.array([[1, 2], [3, 4]], np.uint64),
        np.array([[1, 2], [3, 4]], np.float16),
        np.array([[1, 2], [3, 4]], np.longdouble),
        np.array([[1, 2], [3, 4]], ">f4"),
        np.array([[1, 2], [3, 4]], F32, order="F"),
        np.array([[1, 0, 2, 0], [3, 0, 4, 0]], F32)[:, ::2],
        np.array([[3, 4], [1, 2]], F32)[::-1],
        np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=False),
        np.frombuffer(b"_" + np.array([1, 2, 3, 4], F32).tobytes(), F32, offset=1).reshape(2, 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_inputs_of_any_number_type_and_order_become_contiguous(X: Any, dtype: np.dtype) -> None:
    found = inputs(X, dtype)
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert type(found) is np.ndarray
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    assert found.flags.aligned


def test_inputs_may_be_booleans() -> None:
    assert inputs([[True, False]]).tolist() == [[1.0, 0.0]]


def test_inputs_whose_squares_overflow_are_finite_all_the_same() -> None:
    X = np.full((3, 2), 1e30, F32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert inputs(X) is X


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((4, 3)), f"X has 3 columns, but {TAKES}. Pass X of shape (n, 2)."),
        (np.ones(2), f"X has one dimension (shape (2,)), but {TAKES} in each row. "
                     "Pass X[None, :] if it is one row, or X[:, None] if it is one column."),
        (3.0, "X has shape (), but this network takes 2 inputs"),
        (np.ones((2, 2, 2)), "X has shape (2, 2, 2), but this network takes 2 inputs"),
        (np.ones((0, 2)), "X has no rows (shape (0, 2)). Pass at least one row."),
        (np.ones((0, 2), F32), "X has no rows (shape (0, 2)). Pass at least one row."),
        ([[1, 2], [3]], "X does not form an array: are its rows of different lengths?"),
        ([[0, 1], [2, np.nan]], "X has nan in row 1, column 1; every value must be finite."),
        (np.array([[0, 1], [-np.inf, 2]], F32), "X has -inf in row 1, column 0; every value must be finite."),
        ([[0, 1e300]], "X has 1e+300 in row 0, column 1, which is too large for float32. Scale X, "
                       "or use float64: the network's dtype, or that of an estimator's data."),
        (np.ma.array([[1, 2]], mask=[[True, False]]), "X has masked values. Pass X.filled(number), or drop"),
    ],
)  # fmt: skip
def test_inputs_of_wrong_shape_or_value_are_refused(X: Any, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            inputs(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([["1", "x"]], "X has dtype <U1, which is not numeric (element [0, 0] is '1')."),
        (np.array([[1, None]], object), "X has dtype object (element [0, 1] is None)."),
        (np.array([[1, 2]], object), "X has dtype object. If it holds numbers only, pass it as floats"),
        (np.array([["a", "b"]], np.dtypes.StringDType()), "X has dtype StringDType(), which is not numeric"),
        (np.array([["2020-01-01", "2020-01-02"]], "M8[D]"), "X has dtype datetime64[D], which is not numeric"),
        (np.ones((1, 2), complex), "X holds complex numbers (complex128). Pass real and imaginary parts as columns."),
    ],
)
def test_inputs_that_are_no_numbers_are_refused(X: Any, message: str) -> None:
    with pytest.raises(TypeError, match="^" + re.escape(message)):
        inputs(X)


def test_messages_show_long_values_in_one_short_line() -> None:
    with pytest.raises(TypeError, match=r"^rows must be an integer; got array\(\[\[0\., .{40,75}\.\.\. \(ndarray\)\.$"):
        checks.integer("rows", np.zeros((200, 3)))
    with pytest.raises(TypeError, match=r"^X has dtype object \(it is \{'a': array.{40,75}\.\.\.\)\."):
        arrays.inputs({"a": np.zeros((200, 3))}, 3, F32)
    with pytest.raises(TypeError, match=r"^X has dtype object \(it is None\)\."):
        arrays.inputs(None, 3, F32)


@pytest.mark.parametrize("value", [1e300, 1e39, -1e300])
def test_what_is_too_large_for_float32_fits_float64(value: float) -> None:
    assert inputs([[0.0, value]], F64)[0, 1] == value


def test_sparse_inputs_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"^X is sparse \(csr_array\), but must be dense\. Pass X\.toarray\(\)"):
        inputs(sparse.csr_array(np.eye(2)))


def test_another_name_goes_into_the_message() -> None:
    with pytest.raises(ValueError, match=r"^validation\[0\] has 3 columns, but this network takes 2 inputs\. Pass valid"):
        arrays.inputs(np.ones((2, 3)), 2, F32, name="validation[0]")


def test_pandas_frames_of_numbers_are_inputs() -> None:
    pd = pytest.importorskip("pandas")
    plain = pd.DataFrame({"a": [1, 3], "b": [2.0, 4.0]})
    mixed = pd.DataFrame({"a": [2, 3], "b": [True, False]})
    nullable = pd.DataFrame({"a": pd.array([1, 3], dtype="Int64"), "b": pd.array([True, False], dtype="boolean")})
    assert inputs(plain).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert inputs(mixed).tolist() == [[2.0, 1.0], [3.0, 0.0]]
    assert inputs(nullable).tolist() == [[1.0, 1.0], [3.0, 0.0]]


def test_pandas_frames_of_other_things_are_refused() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=r"^X has dtype object \(element \[0, 0\] is 'x'\)"):
        inputs(pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}))
    with pytest.raises(ValueError, match=r"^X has nan in row 1, column 0; every value must be finite"):
        inputs(pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [1, 2]}))


# y.


@pytest.mark.parametrize("y", [[0, 2, 1], [0.0, 2.0, 1.0], np.array([[0], [2], [1]]), np.array([0, 2, 1], np.uint8)], ids=repr)
def test_class_indices_become_a_column(y: Any) -> None:
    found = targets(y, "classes", 3)
    assert found.tolist() == [[0.0], [2.0], [1.0]]
    assert found.dtype == F32


def test_booleans_are_two_classes() -> None:
    assert targets([True, False], "classes", 2).tolist() == [[1.0], [0.0]]


def test_class_probabilities_stay_rows() -> None:
    rows = [[1.0, 0.0, 0.0], [0.25, 0.25, 0.5]]
    assert targets(rows, "classes", 3).tolist() == rows


@pytest.mark.parametrize("kind", ["binary", "regression", "counts"])
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_targets_of_one_output_become_a_column(kind: str, shape: tuple[int, ...]) -> None:
    assert targets(np.array([0, 1]).reshape(shape), kind, 1).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("kind", ["binary", "regression", "counts"])
def test_targets_that_are_right_already_are_not_copied(kind: str) -> None:
    y = np.ones((2, 3), F32)
    assert np.shares_memory(targets(y, kind, 3), y)


@pytest.mark.parametrize(
    ("y", "kind", "n_outputs", "message"),
    [
        ([0, 3, 1], "classes", 3, "y has label 3 in row 1, but this network has 3 outputs: class indices are whole"),
        ([0, -1, 1], "classes", 3, "y has label -1 in row 1,"),
        ([0, 1.5, 1], "classes", 3, "y has label 1.5 in row 1,"),
        ([0, np.nan, 1], "classes", 3, "y has label nan in row 1,"),
        ([[0.5, 0.6], [1, 0]], "classes", 2, "y row 0 is [0.5 0.6], which sums to 1.1; a row must be one-hot or prob"),
        ([[1, 0], [2, -1]], "classes", 2, "y row 1 is [ 2. -1.], which sums to 1; a row must be"),
        ([[1, 0], [0, 1]], "classes", 3, "y has shape (2, 2), but this network has 3 outputs: it must be class "
                                         "indices of shape (2,) or probabilities of shape (2, 3)."),
        ([0, 2], "binary", 1, "y has 2.0 in row 1, column 0, but this loss takes values in [0, 1]. "
                              "Pass 0 for one class and 1 for the other; more classes need output='softmax'"),
        ([-1, 1], "binary", 1, "y has -1.0 in row 0, column 0, but this loss takes values in [0, 1]."),
        ([0, -2], "counts", 1, "y has -2.0 in row 1, column 0, but this loss takes counts >= 0. Use another"),
        ([0.5, 1.5], "regression", 2, "y has shape (2,), but this network has 2 outputs: it must be of shape (2, 2)."),
        (np.ones((2, 2)), "regression", 1, "y has shape (2, 2), but this network has 1 output: it must be of shape"),
        ([0, np.inf], "regression", 1, "y has inf in row 1, column 0; every value must be finite."),
        ([0, 1e300], "regression", 1, "y has 1e+300 in row 1, column 0, which is too large for float32."),
        (np.ones((2, 1, 1)), "regression", 1, "y has shape (2, 1, 1), but must be of shape (2, 1) or (2,)."),
    ],
)  # fmt: skip
def test_targets_that_do_not_fit_are_refused(y: Any, kind: str, n_outputs: int, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        targets(y, kind, n_outputs)


def test_class_indices_for_another_loss_are_told_what_to_become() -> None:
    with pytest.raises(
        ValueError, match=r"use output='softmax' with loss='cross_entropy', or pass one-hot .*np\.eye\(2\)\[y\]"
    ):
        targets([0, 1], "regression", 2)


@pytest.mark.parametrize("kind", ["classes", "binary"])
def test_labels_that_are_text_are_told_where_to_go(kind: str) -> None:
    with pytest.raises(TypeError, match=r"^y has dtype <U3, which is not numeric .*LabelEncoder"):
        targets(["cat", "dog"], kind, 2)


def test_rows_of_targets_and_inputs_are_as_many() -> None:
    with pytest.raises(ValueError, match=r"^y has 3 rows, but X has 4\. Pass one target for each row"):
        arrays.targets([1, 2, 3], 4, 1, "regression", F32)
    with pytest.raises(ValueError, match=r"^validation\[1\] has 3 rows, but its inputs have 4\."):
        arrays.targets([1, 2, 3], 4, 1, "regression", F32, "validation[1]")


# Weights.


def test_n_jobs_is_a_number_of_threads_or_all_of_them() -> None:
    assert [checks.jobs(n) for n in (None, -1, 1, np.int64(3))] == [None, None, 1, 3]
    for wrong in (0, -2):
        with pytest.raises(ValueError, match=f"n_jobs must be an integer >= 1, or -1 or None for one .*; got {wrong}"):
            checks.jobs(wrong)
    with pytest.raises(TypeError, match=r"n_jobs must be an integer; got 0.5"):
        checks.jobs(0.5)


def test_no_weights_are_an_empty_array() -> None:
    found = weighting.sample_weight(None, 3, F32)
    assert found.shape == (0,)
    assert found.dtype == F32


def test_weights_become_contiguous() -> None:
    found = weighting.sample_weight(np.array([1, 9, 2, 9])[::2], 2, F32)
    assert found.tolist() == [1.0, 2.0]
    assert found.dtype == F32
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2], "sample_weight has shape (2,), but X has 3 rows. Pass sample_weight of shape (3,)."),
        ([[1], [2], [3]], "sample_weight has shape (3, 1), but X has 3 rows."),
        (2.0, "sample_weight has shape (), but X has 3 rows."),
        ([1, -1, 1], "sample_weight has -1.0 in row 1; weights must be >= 0. Pass 0 to leave a row out."),
        ([1, np.nan, 1], "sample_weight has nan in row 1; every value must be finite."),
        ([0, 0, 0], "sample_weight is zero in every row, so that none counts. Give some row a positive weight."),
        ([1, 1, 1e300], "the largest sample_weight is 1e+300, but must be from 1e-12 to 1e+12 in float32"),
        ([1, 1, np.inf], "sample_weight has inf in row 2; every value must be finite."),
        ([1e-60, 0, 0], "the largest sample_weight is 1e-60, but must be from 1e-12 to 1e+12 in float32"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        weighting.sample_weight(weight, 3, F32)


COLUMN = np.array([[0], [1], [1], [1]], F32)


def test_balanced_classes_have_equal_weights_in_sum() -> None:
    found = weighting.class_weight("balanced", COLUMN, 2, "classes")
    assert found is not None
    assert found.tolist() == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize("n_outputs", [2, 5])
def test_balanced_is_scikit_learn_s(n_outputs: int) -> None:
    """Classes that do not occur are not counted."""
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    found = weighting.class_weight("balanced", COLUMN, n_outputs, "classes")
    assert found == pytest.approx(sklearn.compute_sample_weight("balanced", COLUMN[:, 0]))


@pytest.mark.parametrize("y", [COLUMN, np.eye(2)[[0, 1, 1, 1]]], ids=["indices", "one-hot"])
def test_a_dict_of_class_weights(y: np.ndarray) -> None:
    found = weighting.class_weight({1: 0.5}, y, 2, "classes")
    assert found is not None
    assert found.tolist() == [1.0, 0.5, 0.5, 0.5]


def test_one_sigmoid_output_has_two_classes() -> None:
    found = weighting.class_weight({0: 3, 1: 2}, COLUMN, 1, "binary")
    assert found is not None
    assert found.tolist() == [3.0, 2.0, 2.0, 2.0]
    smoothed = weighting.class_weight({1: 2.0}, np.array([[0.9], [0.2]]), 1, "binary")
    assert smoothed is not None
    assert smoothed.tolist() == [2.0, 1.0]


def test_no_class_weights() -> None:
    assert weighting.class_weight(None, COLUMN, 2, "classes") is None


@pytest.mark.parametrize(
    ("value", "kind", "n_outputs", "message"),
    [
        (
            "ballanced",
            "classes",
            2,
            "class_weight must be one of 'balanced', or a dict from .* Did you mean 'balanced'",
        ),
        ({2: 1.0}, "classes", 2, "a key of class_weight must be an integer >= 0 and <= 1; got 2"),
        ({0: -1.0}, "classes", 2, r"class_weight\[0\] must be a finite number >= 0; got -1.0"),
        (
            "balanced",
            "regression",
            1,
            "class_weight='balanced' needs one class for each row: .* Pass sample_weight instead",
        ),
        ("balanced", "binary", 3, "class_weight='balanced' needs one class for each row"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(value: Any, kind: str, n_outputs: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        weighting.class_weight(value, COLUMN, n_outputs, kind)


@pytest.mark.parametrize("value", [3, [1.0, 2.0]])
def test_class_weights_are_a_name_or_a_dict(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^class_weight must be 'balanced', a dict from class index to weight, or None"):
        weighting.class_weight(value, COLUMN, 2, "classes")


def test_sample_and_class_weights_multiply() -> None:
    def combined(weight: Any, classes: Any) -> list[float]:
        return weighting.combined_weight(weight, classes, COLUMN, 2, "classes", F32).tolist()

    assert combined(None, None) == []
    assert combined([1, 2, 3, 4], None) == [1.0, 2.0, 3.0, 4.0]
    assert combined(None, {0: 2}) == [2.0, 1.0, 1.0, 1.0]
    assert combined([1, 2, 3, 4], {0: 2, 1: 10}) == [2.0, 20.0, 30.0, 40.0]


def test_weights_that_cancel_out_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^sample_weight times class_weight is zero in every row"):
        weighting.combined_weight([1, 0, 0, 0], {0: 0}, COLUMN, 2, "classes", F32)
    with pytest.raises(ValueError, match=r"^class_weight is zero in every row"):
        weighting.combined_weight(None, {0: 0, 1: 0}, COLUMN, 2, "classes", F32)
