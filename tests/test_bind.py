"""Predictions of rows that are bound once: what ``predict`` answers, whatever has changed since."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import training
from tests.problems import data_for


def rows_for(net, n=7):
    """Inputs that a network takes as they are."""
    return data_for(net, n)[0].astype(net.dtype)


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_rows_are_predicted_as_others_are(n, dtype, engine) -> None:
    net = fm.MLP([3, 5, 2], output="softmax", dtype=dtype)
    X = rows_for(net, n)
    assert (net.bind(X)() == net.predict(X)).all()


def test_each_call_takes_the_numbers_and_the_parameters_of_its_moment(engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    X, y = data_for(net)
    predict = net.bind(X)
    first = predict().copy()
    X *= 2.0
    assert not np.allclose(predict(), first)
    for change in (lambda: net.fit(X, y, epochs=2), net.reset, lambda: setattr(net, "params", net.params / 2)):
        change()
        assert (predict() == net.predict(X)).all()


def test_the_answer_is_one_array_for_each_binding(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X = rows_for(net)
    first, second = net.bind(X), net.bind(X)
    assert first() is first()
    assert not np.shares_memory(first(), second())
    assert not np.shares_memory(first(), X)


def test_a_bound_array_may_get_another_shape(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X = rows_for(net, 6)
    predict, expected = net.bind(X), net.predict(X)
    X.shape = 2, 3, 3
    assert (predict() == expected).all()


def test_an_answer_may_get_another_shape_or_become_read_only(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X = rows_for(net, 6)
    predict = net.bind(X)
    predict().shape = (12,)
    predict().flags.writeable = False
    X *= 2.0
    assert (predict() == net.predict(X).ravel()).all()


def test_a_category_that_there_is_not_is_named_and_the_next_call_answers(engine) -> None:
    net = fm.MLP([3, fm.Embedding(2, codes=1, entries=5), 4, 2])
    X = np.array([[0.5, -1.0, 4.0]], np.float32)
    predict, expected = net.bind(X), net.predict(X)
    X[0, 2] = 5.0
    with pytest.raises(ValueError, match="X has 5 in row 0, column 2, where this network takes a category's number"):
        predict()
    X[0, 2] = 4.0
    assert (predict() == expected).all()


def test_a_number_that_is_not_finite_is_named_and_the_next_call_answers(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X = rows_for(net)
    predict, expected = net.bind(X), net.predict(X)
    kept, X[4, 1] = X[4, 1], np.nan
    with pytest.raises(ValueError, match="X has nan in row 4, column 1"):
        predict()
    X[4, 1] = kept
    assert (predict() == expected).all()


def test_a_binding_outlives_changes_of_engine_and_threads(any_threads) -> None:
    net = fm.MLP([64, 256, 256, 10])
    X = rows_for(net, 500)
    try:
        fm.use_engine("numpy")
        predict = net.bind(X)
        expected = predict().copy()
        fm.use_engine()
        np.testing.assert_allclose(predict(), expected, rtol=1e-4, atol=1e-5)
        for threads in (3, 1, 2):
            fm.set_threads(threads)
            assert (predict() == net.predict(X)).all()
    finally:
        fm.use_engine()


def test_threads_have_bindings_of_their_own(engine) -> None:
    net = fm.MLP([3, 50, 2])
    rows = [rows_for(net, 5) + shift for shift in range(4)]
    expected, wrong = [net.predict(x) for x in rows], []

    def ask(x, y):
        predict = net.bind(x)
        for _ in range(300):
            if (predict() != y).any():
                wrong.append(x)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(rows, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_binding_made_while_a_fit_judges_its_epochs_follows_the_network(engine, monkeypatch) -> None:
    """Another thread may make one at any moment, such as while the network has an earlier epoch's parameters."""
    net = fm.MLP([3, 5, 2])
    X, y = data_for(net)
    x, made, loss = rows_for(net), [], training.loss

    def bind_and_judge(net, *data):
        made.append(net.bind(x))
        return loss(net, *data)

    monkeypatch.setattr(training, "loss", bind_and_judge)
    net.fit(X, y, epochs=50, validation=0.2)
    expected = net.predict(x)
    assert len(made) == 50
    assert all((predict() == expected).all() for predict in made)


ROWS = np.zeros((4, 3), np.float32)
READ_ONLY = ROWS.copy()
READ_ONLY.flags.writeable = False
ASTRAY = np.ndarray((4, 3), np.float32, np.zeros(49, np.uint8), 1)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1.0, 2.0, 3.0]], TypeError, r"got \[\[1\.0, 2\.0, 3\.0\]\] \(list\)"),
        (ROWS.astype("float64"), ValueError, "its dtype is float64"),
        (ROWS.astype("int32"), ValueError, "its dtype is int32"),
        (ROWS[:, :2].copy(), ValueError, r"its shape is \(4, 2\)"),
        (ROWS[0], ValueError, r"its shape is \(3,\)"),
        (ROWS[:0], ValueError, r"its shape is \(0, 3\)"),
        (ROWS[::2], ValueError, "it is not C-contiguous"),
        (np.asfortranarray(ROWS), ValueError, "it is not C-contiguous"),
        (READ_ONLY, ValueError, "it is read-only"),
        (ASTRAY, ValueError, "it is not aligned"),
    ],
)
def test_what_would_have_to_be_copied_is_refused(X, error, message, engine) -> None:
    net = fm.MLP([3, 5, 2])
    with pytest.raises(error, match=message) as raised:
        net.bind(X)
    text = str(raised.value)
    assert text.startswith("X must be a writable, C-contiguous float32 array of shape (n, 3), as later changes to it count")
    assert text.endswith("Pass np.empty((n, 3), 'float32'), to be filled.")
