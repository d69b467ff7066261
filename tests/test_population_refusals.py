"""What a population refuses, before any network has changed."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import memory

X = np.random.default_rng(0).normal(size=(70, 3)).astype(np.float32)
Y = X[:, :1] * X[:, 1:2]


class Two(fm.Callback):
    def on_epoch_end(self, net, epoch, logs):
        return np.array([True, False])


class Says(fm.Callback):
    def __init__(self, answer):
        self.answer = answer

    def on_epoch_end(self, net, epoch, logs):
        return self.answer


def with_params(values) -> None:
    fm.Population([3, 1], size=2).params = values


REFUSALS = {
    "networks": (lambda: fm.Population([fm.MLP([2, 1])], size=2), "layers must be those of one .*use fm.Population.of"),
    "several": (lambda: fm.Population([[2, 1], [2, 2, 1]]), "layers must be those of one .*use fm.Population.of"),
    "no size": (lambda: fm.Population([2, 1]), "a population needs size="),
    "seeds": (lambda: fm.Population([2, 1], size=3, seeds=[1]), "seeds has 1 value, but size=3"),
    "dropout": (lambda: fm.Population([2, 4, 1], size=3, dropout=[0.1]), r"dropout has shape \(1,\), but there are 3"),
    "empty": (lambda: fm.Population.of([]), "at least one network"),
    "one network": (lambda: fm.Population.of(fm.MLP([2, 1])), "specs must be a list of networks, .*; got <MLP "),
    "no list": (lambda: fm.Population.of(None), "specs must be a list of networks, .*; got None"),
    "outputs": (lambda: fm.Population.of([{"layers": [2, 1]}, {"layers": [2, 2]}]), "network 1 is .* the same number of"),
    "argument": (lambda: fm.Population.of([{"layers": [4, 1], "foo": 1}]), r"^specs\[0\]: a key .*; got 'foo'"),
    "value": (lambda: fm.Population.of([fm.MLP([2, 1]), {"layers": [2, 0, 1]}]), r"^specs\[1\]: a layer's width"),
    "spec": (lambda: fm.Population.of([[2, 1]]), r"specs\[0\] must be an fm.MLP or a dict"),
    "params": (lambda: fm.Population.of([{"layers": [2, 1]}, {"layers": [2, 3, 1]}]).params, "different architectures"),
    "lr": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, optimizer=fm.SGD([0.1] * 3)),
        r"lr has shape \(3,\), but there are 2",
    ),
    "scheduled decay": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, optimizer=fm.AdamW(weight_decay=fm.schedules.FlatCosine(0.1))),
        r"^weight_decay=FlatCosine\(lr=0.1, flat=0.5\) is a schedule, but each network of a population .* Pass a number",
    ),
    "single": (lambda: fm.MLP([3, 1]).fit(X, Y, optimizer=fm.SGD([0.1] * 3)), "SGD has 3 values of lr, one for each network"),
    "weight": (lambda: fm.Population([3, 1], size=2).fit(X, Y, sample_weight=np.ones((3, 70))), "has 2 networks"),
    "targets": (lambda: fm.Population([3, 1], size=2).fit(X, np.ones((3, 70, 1))), "has 2 networks"),
    "lbfgs": (lambda: fm.Population([3, 1], size=2).fit(X, Y, optimizer=fm.LBFGS()), "L-BFGS trains one network at a time"),
    "shuffle": (lambda: fm.Population([3, 1], size=2).fit(X, Y, shuffle="all"), "shuffle must be one of 'shared', 'each'"),
    "shuffle 0": (lambda: fm.Population([3, 1], size=2).fit(X, Y, shuffle=0), "shuffle .* 'each', or True or False; got 0"),
    "shuffle None": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, shuffle=None),
        r"shuffle must be 'shared', 'each', True or False; got None\. Pass False to keep the rows in order",
    ),
    "complex": (lambda: with_params(np.zeros((2, 4), complex)), "params must be numbers; got an array of dtype complex128"),
    "text": (lambda: with_params(np.full((2, 4), "a")), "params must be numbers; got an array of dtype <U1"),
    "shape": (lambda: with_params(np.zeros((2, 3))), r"params must have shape \(2, 4\); got \(2, 3\)"),
    "large": (lambda: with_params(np.diag([1, 1, 1, 1e300])[2:]), r"params\[1, 3\] is 1e\+300, but must be finite in float32"),
    "ragged": (lambda: fm.Population([3, 1], size=2).fit(X, [Y.tolist(), Y[1:].tolist()]), "y does not form an array"),
    "weights": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, sample_weight=[[1.0] * 70, [-1.0] * 70]),
        r"sample_weight\[1\] has -1.0 in row 0",
    ),
    "validation weights": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, validation=(X[:9], Y[:9], np.ones(8))),
        r"^validation sample_weight has shape \(8,\), but its inputs have 9 rows\. Pass validation sample_weight of shape",
    ),
    "ragged weights": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, sample_weight=[[1.0] * 70, [1.0]]),
        "sample_weight does not form an array",
    ),
    "no weight": (
        lambda: fm.Population([3, 1], size=2).fit(X, Y, sample_weight=np.eye(2, 70), validation=0.2),
        "rows of a network have",
    ),
    "slice": (lambda: fm.Population([3, 1], size=4)[:2], r"gives one network by its number; got slice\(.* use select"),
    "slice of a history": (lambda: fm.PopulationHistory(4)[:2], r"one network by its number; .* as of history\.loss\[:, 2:5\]"),
    "list": (lambda: fm.Population([3, 1], size=4)[[0, 2]], r"gives one network by its number; got \[0, 2\]\. .* use select"),
    "metric": (lambda: fm.Population([3, 1], size=2).fit(X, Y, metrics=["accuracy"]), "metric 'accuracy' does not suit"),
    "answer": (
        lambda: fm.Population([3, 1], size=3).fit(X, Y, callbacks=[Two()]),
        r"Two.on_epoch_end answered with shape \(2,\), but there are 3 networks. Return True",
    ),
    "answers of several lengths": (
        lambda: fm.Population([3, 1], size=3).fit(X, Y, callbacks=[Says([[True], [True, False]])]),
        r"Says\.on_epoch_end must return True to end .*, or an array with one of them for each of 3 networks; got ",
    ),
    "a dict of answers": (
        lambda: fm.Population([3, 1], size=3).fit(X, Y, callbacks=[Says({0: False})]),
        r"Says\.on_epoch_end must return True to end .*; got \{0: False\} \(dict\)",
    ),
    "losses for answers": (
        lambda: fm.Population([3, 1], size=3).fit(X, Y, callbacks=[Says(np.ones(3))]),
        r"Says\.on_epoch_end answered with an array of float64, but it must be True or False for each of 3 networks\. Return",
    ),
    "a loss for an answer": (
        lambda: fm.Population([3, 1], size=1).fit(X, Y, callbacks=[Says([0.5])]),
        r"answered with an array of float64, but it must be True or False for each of 1 network\. Return a condition",
    ),
    "half a seed": (lambda: fm.Population([3, 1], seeds=2.5), r"seeds must be an integer, how many, or a list .*; got 2.5"),
    "no seeds": (lambda: fm.Population([3, 1], seeds=[]), "seeds is empty"),
    "targets of one": (lambda: fm.Population([3, 1], size=1).fit(X, np.ones((3, 70, 1))), "population has 1 network\\."),
    "weights of one": (lambda: fm.Population([3, 1], size=1).fit(X, Y, sample_weight=np.ones((3, 70))), "has 1 network\\."),
    "lr of one": (
        lambda: fm.Population([3, 1], size=1).fit(X, Y, optimizer=fm.SGD([0.1] * 3)),
        r"but there is 1 network\. Pass one number, or 1 of them",
    ),
    "select": (lambda: fm.Population([3, 1], size=2).select([0, 0]), "numbers from 0 to 1, each once"),
    "more networks than memory holds": (
        lambda: fm.Population([3, 1], size=10**12),
        r"size=1000000000000: networks of 4 parameters take [\d,]+ bytes each, together \d+\.\d GB, .* Take fewer networks",
    ),
    "more seeds than memory holds": (lambda: fm.Population([3, 1], seeds=10**12), "seeds=1000000000000: networks of 4 param"),
    "more networks than can be counted": (lambda: fm.Population([3, 1], size=10**30), "size=1000000000000000000000000000000: "),
    "a misspelt argument of one": (
        lambda: fm.Population.of([{"layers": [3, 1]}, {"layers": [3, 1], "activaton": "tanh"}]),
        r"^specs\[1\]: a key of a network's dict must be one of 'layers', .*; got 'activaton'\. Did you mean 'activation'",
    ),
    "index": (lambda: fm.Population([3, 1], size=2)["0"], "number of the network must be an integer; got '0'"),
    "a whole index as a float": (lambda: fm.Population([3, 1], size=2)[1.0], r"got 1\.0 \(float\)\. Pass 1\.$"),
    "targets of each in two dimensions": (
        lambda: fm.Population([3, 1], size=2).fit(X, np.ones((2, 70))),
        r"y has shape \(2, 70\), but .* three dimensions\. Pass them of shape \(2, 70, 1\), or .* of shape \(70,\)",
    ),
    "classes of each in two dimensions": (
        lambda: fm.Population([3, 2], size=2, output="softmax").fit(X, np.ones((2, 70), int)),
        r"y has shape \(2, 70\), but .* three dimensions\. Pass them of shape \(2, 70, 1\)",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused(name) -> None:
    action, message = REFUSALS[name]
    with pytest.raises((TypeError, ValueError), match=message):
        action()


def test_a_warning_of_one_network_that_diverged_speaks_of_one() -> None:
    population = fm.Population([3, 1], size=1)
    with pytest.warns(
        fm.DivergenceWarning, match=r"^1 of 1 network diverged: 0\. It did in epoch \d.* Its parameters are those of"
    ):
        population.fit(X, Y, epochs=200, optimizer=fm.SGD(1e6))
    population = fm.Population([3, 1], size=3)
    with pytest.warns(
        fm.DivergenceWarning, match=r"^2 of 3 networks diverged: 1, 2\. The first of them did .* Their parameters"
    ):
        population.fit(X, Y, epochs=200, optimizer=fm.SGD([0.01, 1e6, 1e6]))


@pytest.mark.parametrize("i", [2, -3])
def test_a_network_that_is_not_there_is_an_index_error(i) -> None:
    with pytest.raises(IndexError, match=f"the number of the network must be from -2 to 1; got {i}"):
        fm.Population([3, 1], size=2)[i]


def test_no_list_is_made_of_networks_that_memory_does_not_hold(monkeypatch) -> None:
    monkeypatch.setattr(memory, "installed", lambda: 1e6)
    monkeypatch.setattr(fm.checks, "each", None)
    with pytest.raises(
        ValueError, match=r"size=10000: networks of 4 parameters .* GB, but this machine has 0\.0 GB\. Take fewer"
    ):
        fm.Population([3, 1], size=10_000)


@pytest.mark.parametrize(("optimizer", "message"), [
    ("adam", "optimizer=Adam keeps 2 numbers for each parameter: .* training 40 networks takes .*pass optimizer='sgd'"),
    ("sgd", r"optimizer=SGD keeps 0 numbers for each parameter: .* as with population\.select\(range\(100\)\)\.$"),
])  # fmt: skip
def test_a_training_that_memory_does_not_hold_is_refused_before_anything_changes(monkeypatch, optimizer, message) -> None:
    population = fm.Population([3, 50, 1], size=40)
    before = population.params.copy()
    monkeypatch.setattr(memory, "installed", lambda: 50_000)
    with pytest.raises(ValueError, match=message):
        population.fit(X, Y, optimizer=optimizer)
    assert (population.params == before).all()
    assert population.history is None
    assert population._groups[0].slots.shape[1] == 0
