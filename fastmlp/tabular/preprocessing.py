"""From a table of numbers and categories to the numbers that a network takes: the preprocessing of RealMLP.

Holzmüller, Grinsztajn & Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data"
(NeurIPS 2024, arXiv 2407.04491), appendix A.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from .. import arrays, checks
from ..errors import counted, shown, warn
from ..estimators.refits import unchanged_by_errors

__all__ = ["TabularEncoder"]

# How many numbers are scaled at a time: as many as stay in the cache with what is made of them.
_BLOCK = 1 << 17
# Beyond about this many times a column's usual spread, values are squeezed.
CLIP = 3.0
MISSING = -1
# What becomes of a column, in the order in which they come with `max_one_hot`; two categories are one-hot, too.
NUMBERS, ONE_HOT, CODES = range(3)
# With more categories than this and than half the rows, a column is one of names or numbers of rows.
_FEW = 100
_DATES = "Pass dates as numbers, such as year, month and day."
_TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
_SEVERAL = (list, tuple, dict, set, frozenset, np.ndarray, complex, np.complexfloating)


class TabularEncoder(TransformerMixin, BaseEstimator):
    """One-hot codes for categories; then every column centred, scaled and smoothly clipped, robustly against outliers.

    A category of more than two gets a column each, two get one column of 1 and -1; missing and unknown ones are 0. Then
    x' = (x - median) / IQR (half the range where the IQR is 0, and 0 for a constant column), and x' / sqrt(1 + (x' / 3)²).
    Missing numbers become 0, where the median is. Masked elements of an array are missing.

    With `max_one_hot`, a column of more categories than that becomes one column of their numbers, for a
    :class:`fastmlp.Embedding`: those of the first such column from 0 on, where 0 is for missing and unknown ones, those of the
    next from where these end. Then all numbers come first, and such columns last.

    Parameters
    ----------
    categorical_features : "from_dtype", None, or array-like of bool, int or str
        Which columns are categories: those of a category, string or object dtype in a pandas or polars frame, but for Decimals,
        and those with text in an array; none; or the ones marked, numbered or named.
    max_one_hot : int, optional
        The most categories that get a column each; None is for any number, and leaves columns in their order.

    Attributes
    ----------
    n_numbers_, n_codes_, n_entries_ : int
        With `max_one_hot`: how many columns, the first ones, are numbers of X, how many, the last ones, are numbers of
        categories, and how many such numbers there are.
    categorical_ : (n_features_in_,) bool array
        Which columns are categories.
    categories_ : list of arrays
        The categories of each such column, without missing ones.
    median_, factor_ : (n_columns,) arrays
        x' = (x - median_) * factor_, of the columns after one-hot coding.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    TypeError, ValueError
        By `fit` and `transform`, if X is no table, has infinite numbers, or other columns than in `fit`.

    Warns
    -----
    UserWarning
        By `fit`, if a column has another category in most rows, such as a name or a row's number as text.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.tabular import TabularEncoder
    >>> X = [[0.0, "a"], [1.0, "b"], [2.0, "a"], [3.0, None]]
    >>> TabularEncoder().fit_transform(np.array(X, dtype=object)).astype(float).round(2).tolist()
    [[-0.95, 0.4], [-0.33, -1.11], [0.33, 0.4], [0.95, -0.4]]
    """

    def __init__(self, categorical_features: Any = "from_dtype", *, max_one_hot: int | None = None) -> None:
        self.categorical_features = categorical_features
        self.max_one_hot = max_one_hot

    def fit(self, X: Any, y: Any = None) -> TabularEncoder:
        """Learn categories, medians and spreads; an error leaves what was learnt before.

        Parameters
        ----------
        X : (n, columns) array or frame
        y : ignored
        """
        self._learn(X)
        return self

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> NDArray[np.float32]:
        """Learn from X and return what :meth:`transform` does."""
        return self._scaled(self._learn(X))

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the numbers for a network.

        Parameters
        ----------
        X : (n, columns) array or frame

        Returns
        -------
        (n, n_columns) float32 array
        """
        check_is_fitted(self)
        return self._transformed(noted(self, X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns after :meth:`transform`, (n_columns,).

        A number keeps its name; a category's column has that and the category, the first one of two.

        Parameters
        ----------
        input_features : (n_features_in_,) array-like of str, optional
            Names of X's columns, if X had none in `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp.tabular import TabularEncoder
        >>> X = np.array([[0.0, "a"], [1.0, "b"], [2.0, "c"]], dtype=object)
        >>> TabularEncoder().fit(X).get_feature_names_out(["size", "kind"]).tolist()
        ['size', 'kind_a', 'kind_b', 'kind_c']
        """
        check_is_fitted(self)
        names: list[list[str]] = []
        categories = iter(self.categories_)
        for name, categorical in zip(_check_feature_names_in(self, input_features), self.categorical_, strict=True):
            found = next(categories) if categorical else ()
            one_hot = categorical and not self._is_coded(found)
            names.append([f"{name}_{category}" for category in found[: 1 if len(found) == 2 else None]] if one_hot else [name])
        return np.array([name for i in self._order for name in names[i]], object)

    def _learn(self, X: Any) -> list[_Coded]:
        with unchanged_by_errors(self):
            return self._fit(X)

    def _is_coded(self, categories: Any) -> bool:
        """Whether a column of these categories becomes one of their numbers."""
        return self.max_one_hot is not None and len(categories) > self.max_one_hot

    def _fit(self, X: Any) -> list[_Coded]:
        if self.max_one_hot is not None:
            checks.integer("max_one_hot", self.max_one_hot, 0)
        X = noted(self, X, reset=True)
        text = [values.dtype == object for values in self._columns(X, np.zeros(X.shape[1], bool))]
        self.categorical_ = self._chosen(np.array(text, bool))
        columns = self._columns(X)
        self.categories_, self._encoders = [], {}
        for i in np.flatnonzero(self.categorical_).tolist():
            encoder = OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=MISSING, encoded_missing_value=MISSING, dtype=np.int64
            )
            try:
                encoder.fit(columns[i][:, None])
            except TypeError as error:
                kinds = sorted({type(value).__name__ for value in columns[i] if not arrays.is_missing(value)})
                raise TypeError(
                    f"{self._name(i)} has categories without an order ({', '.join(kinds)}): they must be all text or all "
                    "numbers. Pass all of them as text, such as by astype(str)."
                ) from error
            self._encoders[i] = encoder
            self.categories_.append(np.array([c for c in encoder.categories_[0] if not arrays.is_missing(c)], dtype=object))
            if (found := len(self.categories_[-1])) > max(_FEW, len(columns[i]) // 2):
                warn(
                    f"{self._name(i)} has {found} different categories in {len(columns[i])} rows, each of which gets numbers "
                    "of its own and says nothing of other rows. Drop it, or pass what is common to several rows instead."
                )
        encoded = self._encoded(columns)
        sizes = [1 + (column.n_categories or 0) for column in encoded if column.kind == CODES]
        self.n_numbers_ = sum(column.kind == NUMBERS for column in encoded)
        self.n_codes_, self.n_entries_ = len(sizes), sum(sizes)
        order = range(len(encoded))
        self._order = list(order) if self.max_one_hot is None else sorted(order, key=lambda i: encoded[i].kind)
        spreads = [spread for i in self._order for spread in encoded[i].spreads()]
        self.median_, self.factor_ = np.array(spreads, np.float64).reshape(-1, 2).T.copy()
        return encoded

    def _transformed(self, X: Any) -> NDArray[np.float32]:
        """Return the numbers for a network, of a frame or an array that :func:`noted` has seen."""
        return self._scaled(self._encoded(self._columns(X)))

    def _name(self, i: int) -> str:
        """Return what a column is called in messages."""
        names = getattr(self, "feature_names_in_", None)
        return f"column {i} of X" if names is None else f"column {names[i]!r}"

    def _chosen(self, text: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which columns are categories; `text` says which are no numbers."""
        wanted = self.categorical_features
        if isinstance(wanted, str) and wanted == "from_dtype":
            return text
        chosen = np.zeros(len(text), bool)
        if wanted is None:
            return chosen
        wanted = np.asarray(wanted)
        if wanted.dtype.kind in "UO" and wanted.size:
            names = getattr(self, "feature_names_in_", None)
            if names is None or not np.isin(wanted, names).all():
                known = "X has no column names" if names is None else f"X has the columns {list(names)}"
                raise ValueError(f"categorical_features names {wanted.tolist()}, but {known}.")
            wanted = np.isin(names, wanted)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "bui"):
            raise ValueError(
                "categorical_features must be 'from_dtype', None, or a list of column names, numbers or True and False; "
                f"got {self.categorical_features!r}."
            )
        if wanted.dtype.kind == "b":
            if len(wanted) != len(text):
                raise ValueError(
                    f"categorical_features has {counted(len(wanted), 'value')}, but X has {counted(len(text), 'column')}."
                )
            return wanted
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(text)):
            raise ValueError(f"categorical_features must be from 0 to {len(text) - 1}; got {wanted.tolist()}.")
        chosen[wanted.astype(np.int64)] = True
        return chosen

    def _columns(self, X: Any, categorical: NDArray[np.bool_] | None = None) -> list[NDArray]:
        """Return X's columns: float64 with NaN, or objects with NaN where they are categories."""
        categorical = self.categorical_ if categorical is None else categorical
        frame = is_frame(X)
        names = [f"column {name!r}" for name in X.columns] if frame else [self._name(i) for i in range(X.shape[1])]
        return [_column(X, i, name, frame, bool(categorical[i])) for i, name in enumerate(names)]

    def _encoded(self, columns: list[NDArray]) -> list[_Coded]:
        """Return numbers as they are, two categories as 1 and -1, and the numbers of the categories where there are others."""
        encoded, categories, entries = [], iter(self.categories_), 0
        for i, values in enumerate(columns):
            if not self.categorical_[i]:
                text = _first_text(values)
                if text is not None:
                    raise ValueError(
                        f"{self._name(i)} has text ({text!r}), which fit took for numbers. "
                        "Pass numbers, or name the column in categorical_features."
                    )
                encoded.append(_Coded(_numbers(values, self._name(i))))
                continue
            known = next(categories)
            self._check_kind(i, values, known)
            codes = self._encoders[i].transform(values[:, None])[:, 0]
            n = len(known)
            if self._is_coded(known):
                encoded.append(_Coded(codes + (1 + entries), n, CODES))  # MISSING + 1 is the first
                entries += n + 1
            else:
                encoded.append(_Coded(np.array([1.0, -1.0, 0.0])[codes], kind=ONE_HOT) if n == 2 else _Coded(codes, n, ONE_HOT))
        return encoded

    def _check_kind(self, i: int, values: NDArray, known: NDArray) -> None:
        """Raise if a column that had only text in fit has something else now, or text if it had none: none would match."""
        texts = [isinstance(category, str) for category in known]
        if not texts or any(texts) != all(texts):
            return
        other = next((value for value in values if isinstance(value, str) != texts[0] and not arrays.is_missing(value)), None)
        if other is None:
            return
        had, remedy = "only text", "text here too, such as by astype(str)"
        if not texts[0]:
            had, remedy = "no text", f"what it had there, such as {known[0]!r}"
        raise ValueError(
            f"{self._name(i)} has {other!r}, but had {had} in fit, so that it could be none of the categories. Pass {remedy}."
        )

    def _scaled(self, encoded: list[_Coded]) -> NDArray[np.float32]:
        """Return the columns side by side, centred, scaled and clipped."""
        widths = np.array([column.width for column in encoded])
        starts, rows, width = np.empty_like(widths), len(encoded[0].values), int(widths.sum())
        starts[self._order] = np.cumsum(widths[self._order]) - widths[self._order]
        scaled = np.empty((rows, width), np.float32)
        zeros, ones = self._clipped(np.zeros(width)), self._clipped(np.ones(width))
        numbers = [i for i, column in enumerate(encoded) if column.n_categories is None]
        step = max(1, _BLOCK // max(1, width))
        for block in (slice(first, first + step) for first in range(0, rows, step)):
            part = scaled[block]
            if numbers:
                values = np.stack([encoded[i].values[block] for i in numbers], axis=1)
                part[:, starts[numbers]] = self._clipped(values, starts[numbers])
            for column, start in zip(encoded, starts, strict=True):
                if column.n_categories is None:
                    continue
                whole, codes = slice(start, start + column.width), column.values[block]
                if column.kind == CODES:
                    part[:, start] = codes
                    continue
                part[:, whole] = zeros[whole]
                known = np.flatnonzero(codes != MISSING)
                part[known, start + codes[known]] = ones[start + codes[known]]
        return scaled

    def _clipped(self, x: NDArray[np.float64], columns: Any = slice(None)) -> NDArray[np.float32]:
        """Return numbers of these columns, (..., columns), centred, scaled and clipped."""
        # Two large numbers of opposite signs may be further apart than any number, but not their halves; the clip takes
        # infinity to CLIP.
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (x / 2 - self.median_[columns] / 2) * (2 * self.factor_[columns])
            clipped = scaled / np.hypot(1.0, scaled / CLIP)
        clipped = np.where(np.isinf(scaled), np.copysign(CLIP, scaled), clipped)
        return np.nan_to_num(clipped, nan=0.0).astype(np.float32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def is_frame(X: Any) -> bool:
    """Whether X is a pandas or polars frame."""
    return hasattr(X, "shape") and hasattr(X, "columns") and hasattr(X, "dtypes")


def noted(estimator: BaseEstimator, X: Any, reset: bool) -> Any:
    """Return X as a frame or an array; note its columns in an estimator, or compare them with those noted."""
    if not hasattr(X, "shape") and (isinstance(X, Mapping) or hasattr(X, "collect")):
        remedy = "X.collect()" if hasattr(X, "collect") else "pandas.DataFrame(X)"
        raise TypeError(f"X must be a pandas or polars frame or an array; got a {type(X).__name__}. Pass {remedy}.")
    if is_frame(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if 0 in X.shape:
            raise ValueError(f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s): 1 of each is required.")
        return X
    if isinstance(X, np.ma.MaskedArray):
        table: Any = X if X.dtype.kind == "f" else X.astype(object)
        X = table.filled(np.nan)
    if isinstance(X, list) and np.asarray(X).dtype.kind in "US":
        X = np.array(X, dtype=object)  # NumPy would make text of the numbers beside text
    return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")


def _column(X: Any, i: int, name: str, frame: bool, categorical: bool) -> NDArray:
    """Return a column: float64 with NaN, or objects with NaN if it is one of categories or has text."""
    if not frame:
        values = X[:, i]
        if values.dtype.kind in "mM":
            raise TypeError(f"{name} has dtype {values.dtype}. {_DATES}")
        if not categorical and values.dtype.kind in "biuf":
            return values.astype(np.float64)
        if not categorical and values.dtype.kind == "O" and _first_text(values) is None:
            _check_single(values, name)
            return _numbers(values, name)
        return _objects(values, name)
    pandas = hasattr(X, "iloc")
    series = X.iloc[:, i] if pandas else X[:, i]
    dtype = series.dtype
    numeric = getattr(dtype, "kind", "O") in "biuf" if pandas else dtype.is_numeric() or str(dtype) == "Boolean"
    if numeric and not categorical and str(dtype) != "category":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan) if pandas else series.cast(float).to_numpy()
        return _numbers(values, name)
    if getattr(dtype, "kind", "O") in "mM" or str(dtype).startswith(("Date", "Time", "Duration")):
        raise TypeError(f"{name} has dtype {dtype}. {_DATES}")
    objects = _objects(series.to_numpy(dtype=object) if pandas else np.array(series.to_list(), dtype=object), name)
    if categorical or _first_text(objects) is not None or not any(isinstance(value, Decimal) for value in objects):
        return objects
    return _numbers(objects, name)


def _numbers(values: NDArray, name: str) -> NDArray[np.float64]:
    """Return numbers, finite or NaN."""
    try:
        plain = [np.nan if arrays.is_missing(v) else v for v in values] if values.dtype == object else values
        numbers = np.array(plain, np.float64)
    except TypeError as error:
        raise TypeError(f"{name}: argument must be a string or a number ({error}).") from error
    except ValueError as error:  # such as a Decimal that signals NaN
        raise ValueError(f"{name}: {error}.") from error
    except OverflowError:  # whole numbers of Python, which have no end
        numbers = np.array(np.inf)
    if np.isinf(numbers).any():
        raise ValueError(f"Input X contains infinity or a value too large for dtype('float64') in {name}.")
    return numbers


def _objects(values: NDArray, name: str) -> NDArray:
    """Return objects, missing ones as NaN; dates, each of which would be a category of its own, and lists are refused."""
    objects = np.empty(len(values), object)
    objects[:] = [np.nan if arrays.is_missing(value) else value for value in values.tolist()]
    first = _first(objects)
    if isinstance(first, _TIMES) or type(first).__name__ == "Period":
        raise TypeError(f"{name} holds dates or times, such as {first!r}. {_DATES}")
    _check_single(objects, name)
    return objects


def _check_single(objects: NDArray, name: str) -> None:
    """Raise if one of a column's values is several numbers, if numbers at all."""
    several = next((value for value in objects if isinstance(value, _SEVERAL)), None)
    if several is not None:
        raise TypeError(
            f"{name} holds {shown(several)} ({type(several).__name__}), which is neither a number nor a category. Leave the "
            "column out, or pass what it holds as columns of numbers."
        )


def _first(objects: NDArray) -> Any:
    """Return the first value that is not missing, or None."""
    return next((value for value in objects if not arrays.is_missing(value)), None)


def _first_text(values: NDArray) -> str | bytes | None:
    """Return the first text among objects, if there is any."""
    if values.dtype != object:
        return None
    return next((value for value in values if isinstance(value, (str, bytes))), None)


class _Coded(NamedTuple):
    """What becomes of a column of X.

    Attributes
    ----------
    values : (n,) array
        Numbers, or those of categories, of which MISSING is none if they get a column each.
    n_categories : int or None
        How many categories there are; None for numbers.
    kind : int
        NUMBERS, ONE_HOT, which the 1 and -1 of two categories are too, or CODES.
    """

    values: NDArray
    n_categories: int | None = None
    kind: int = NUMBERS

    @property
    def width(self) -> int:
        """How many columns it gives."""
        return 1 if self.n_categories is None or self.kind == CODES else self.n_categories

    def spreads(self) -> list[tuple[float, float]]:
        """Return the median and the factor of each of its columns, as :func:`_spread` does."""
        if self.kind == CODES:
            return [(0.0, 1.0)]
        if self.n_categories is None:
            return [_spread(self.values)]
        rows = len(self.values)
        counts = np.bincount(self.values[self.values != MISSING], minlength=self.n_categories)
        # Of what fewer than a quarter of the rows have, the median and the quartiles are 0, and the range is 1.
        return [
            (0.0, 2.0) if 0 < 4 * count < rows - 4 else _spread((self.values == code).astype(np.float64))
            for code, count in enumerate(counts.tolist())
        ]


def _spread(x: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median of numbers (n,) and 1 / IQR, or 2 / range, or 0; NaN does not count."""
    values = x[~np.isnan(x)]
    if values.size == 0:
        return 0.0, 0.0
    # Halves, whose differences do not overflow.
    low, quarter, median, three, high = np.quantile(values / 2, (0.0, 0.25, 0.5, 0.75, 1.0)).tolist()
    spread = three - quarter
    if spread == 0.0:
        spread = (high - low) / 2
    # The rounding of a quantile may leave a spread of one unit in the last place, and 1 / spread must be finite.
    return 2 * median, 0.5 / spread if spread > 5e-301 else 0.0
