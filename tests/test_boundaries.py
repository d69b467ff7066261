"""Pictures of boundaries: colours and lines are where the model's answers change, for networks and estimators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC

import fastmlp as fm
from fastmlp import plots
from fastmlp.parts import tail
from fastmlp.plots.figures import figure
from tests.pictures import assert_readable, draw
from tests.test_plots import shown

SQUARE = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


def small():
    return figure(4, 3).subplots()


def step(output="sigmoid", slope=5.0, loss="auto"):
    """A network that says yes where x₁ > 0.25."""
    net = fm.MLP([2, 1], output=output, loss=loss, dtype="float64")
    net.params = [slope, 0.0, -0.25 * slope]
    return net


def line_of(ax):
    """The boundary's corner points."""
    (contour,) = ax.collections[:1]
    return np.concatenate([path.vertices for path in contour.get_paths()])


@pytest.mark.parametrize(("output", "y"), [("sigmoid", [0, 0, 1, 1]), ("tanh", [-1, -1, 1, 1])])
def test_the_line_is_where_the_class_changes(output, y):
    ax = plots.decision_boundary(step(output), SQUARE, y, small()).axes[0]
    np.testing.assert_allclose(line_of(ax)[:, 0], 0.25, atol=0.01)
    assert ax.get_title() == "Decision boundary, 100.0% right"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [str(y[0]), str(y[-1])]


def test_probabilities_of_two_classes_have_a_colour_bar():
    picture = plots.decision_boundary(step(), SQUARE, [0, 0, 1, 0], small(), names=["no", "yes"])
    ax, bar = picture.axes
    assert ax.get_title() == "Decision boundary, 75.0% right"
    assert bar.get_ylabel() == "probability of yes"
    values = ax.images[0].get_array()
    assert values[0, 0] < 0.01 < 0.9 < values[0, -1]


def test_marks_and_colours_differ_by_class():
    net = fm.MLP([2, 8, 12], output="softmax")
    X = np.random.default_rng(0).normal(size=(240, 2))
    ax = plots.decision_boundary(net, X, np.arange(240) % 12, small()).axes[0]
    points = [c for c in ax.collections if c.get_label()[0] != "_"]
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in points}
    assert len(points) == len(looks) == 12


def test_numbers_are_colours_on_the_scale_of_outputs_and_targets():
    net = step("identity")
    figure = plots.decision_boundary(net, SQUARE, [0.0, 1.0, 2.0, 99.0], small())
    assert figure.axes[0].images[0].norm.vmax == 99.0
    assert len(figure.axes) == 2


@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_hidden_space_shows_the_activations_and_the_next_layers_answer(width):
    net = fm.MLP([2, width, 1], activation="tanh", output="sigmoid", dtype="float64", seed=1)
    ax = plots.hidden_space(net, SQUARE, [0, 1, 1, 0], small()).axes[0]
    points = np.concatenate([c.get_offsets() for c in ax.collections if c.get_label()[0] != "_"])
    hidden = net.activations(SQUARE)[0]
    if width <= 2:
        shown = sorted(points[:, :width].tolist())
        np.testing.assert_allclose(shown, sorted(hidden.tolist()))
    else:
        assert "component 1" in ax.get_xlabel()
    if width == 2:  # the line is exactly w·h + b = 0
        weights, bias = net.weights[1], net.biases[1]
        vertices = [c for c in ax.collections if c.get_label()[0] == "_"]
        for contour in vertices:
            for path in contour.get_paths():
                np.testing.assert_allclose(path.vertices @ weights + bias, 0.0, atol=1e-3)


def test_hidden_layers_are_chosen_by_number():
    net = fm.MLP([2, 5, 2, 3], output="softmax")
    first, last = (plots.hidden_space(net, SQUARE, [0, 1, 2, 0], small(), layer=k).axes[0] for k in (0, 1))
    assert first.get_title() == "Hidden layer 1: 5 relu units"
    assert last.get_title() == "Hidden layer 2: 2 relu units"


def test_a_tail_answers_as_the_network_does():
    net = fm.MLP([3, 4, (5, False), 2], output="softmax", seed=2)
    X = np.random.default_rng(0).normal(size=(7, 3))
    for first in (1, 2):
        np.testing.assert_array_equal(tail(net, first).predict(net.activations(X)[first - 1]), net.predict(X))


@pytest.mark.parametrize("model", [MLPClassifier((8,), max_iter=3), SVC(), fm.MLPClassifier((8,), max_iter=3)])
@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"]])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_are_drawn_as_scikit_learn_draws_them(model, classes):
    X = np.random.default_rng(0).normal(size=(60, 2)) * 2
    y = np.array(classes)[(np.arange(60) % len(classes))]
    model.fit(X, y)
    ax = plots.decision_boundary(model, X, y, small()).axes[0]
    assert ax.get_title() == f"Decision boundary, {(model.predict(X) == y).mean():.1%} right"
    display = DecisionBoundaryDisplay.from_estimator(model, X, response_method="predict", ax=small(), grid_resolution=20)
    assert display.response.shape == (20, 20)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_scikit_learns_display_shows_our_classifiers_probabilities():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
    model = fm.MLPClassifier((8,), max_iter=20, random_state=0).fit(X, y)
    display = DecisionBoundaryDisplay.from_estimator(model, X, response_method="predict_proba", ax=small(), grid_resolution=9)
    places = np.stack([display.xx0.ravel(), display.xx1.ravel()], axis=1)
    np.testing.assert_allclose(display.response.ravel(), model.predict_proba(places)[:, 1], rtol=1e-6)
    ax, bar = plots.decision_boundary(model, X, y, small()).axes
    assert bar.get_ylabel() == "probability of yes"
    assert ax.get_title() == f"Decision boundary, {model.score(X, y):.1%} right"


def test_points_stand_out_from_regions_of_their_own_class():
    """By the lightness that all eyes see: the region is paler than the point on it."""
    net = fm.MLP([2, 1, 3], output="softmax")
    net.params = [0, 0, 0, 0, 0, 0, 9, 0, 0]  # sure of the first class everywhere
    ax = plots.decision_boundary(net, SQUARE, [0, 0, 0, 0], small()).axes[0]
    (points,) = (c for c in ax.collections if c.get_label()[0] != "_")
    region, point = ax.images[0].get_array()[5, 5], points.get_facecolor()[0][:3]
    assert region.mean() - point.mean() > 0.3


def test_points_of_numbers_have_a_dark_and_a_light_edge():
    ax = plots.decision_boundary(step("identity"), SQUARE, [0.0, 1.0, 2.0, 3.0], small()).axes[0]
    under, over = ax.collections
    assert under.get_facecolor()[0].tolist() == [0, 0, 0, 1]
    assert over.get_edgecolor()[0].tolist() == [1, 1, 1, 1]
    assert under.get_sizes()[0] > over.get_sizes()[0]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_of_numbers_are_drawn():
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=3).fit(SQUARE, [0.0, 1.0, 2.0, 3.0])
    assert plots.decision_boundary(model, SQUARE, [0.0, 1.0, 2.0, 3.0], small()).axes[0].get_title() == "Outputs"


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("name", ["{}", "class number {}"])
def test_small_pictures_are_readable(n_classes, name):
    net = fm.MLP([2, 8, n_classes], output="softmax")
    X = np.random.default_rng(0).normal(size=(90, 2))
    names = [name.format(k) for k in range(n_classes)]
    assert_readable(plots.decision_boundary(net, X, np.arange(90) % n_classes, small(), names=names))
    assert_readable(plots.hidden_space(net, X, np.arange(90) % n_classes, small(), names=names))


@pytest.mark.parametrize(
    ("layers", "output", "y", "error", "message"),
    [
        ([2, 1], "sigmoid", [0, 1, 2, 0], ValueError, r"y has 2\.0 in row 2, .* takes values in \[0, 1\]"),
        ([2, 1], "sigmoid", [0, 1, np.nan, 0], ValueError, "y has nan in row 2"),
        ([2, 1], "sigmoid", ["a", "b", "a", "b"], TypeError, r"Number the classes 0, 1"),
        ([2, 3], "softmax", ["a", "b", "a", "c"], TypeError, r"Number the classes 0, 1"),
        ([2, 3], "softmax", [0, 1, 2, 0.5], ValueError, r"y has label 0\.5 in row 3"),
        ([2, 2], "identity", np.eye(4)[:, :2] + 0.5, ValueError, r"y row 2 is \[0\.5 0\.5\], which marks no class"),
        ([2, 2], "sigmoid", [[0, 1], [1, 0], [0, 1], [1, 1]], ValueError, r"y row 3 is \[1\. 1\.\], which marks no class"),
        ([2, 2], "identity", [0, 1, 2, 0], ValueError, r"y has label 2 in row 2"),
    ],
)
def test_targets_that_do_not_fit_a_network(layers, output, y, error, message):
    net = fm.MLP(layers, output=output)
    with pytest.raises(error, match=message):
        plots.decision_boundary(net, SQUARE, y)


@pytest.mark.parametrize("y", [[1, 0, 1, 1], [[1], [0], [1], [1]], [[0, 1], [1, 0], [0, 1], [0, 1]]])
def test_classes_of_outputs_are_numbers_or_marks(y):
    net = fm.MLP([2, 2])
    net.params = [0, 0, 0, 0, 0, 1]  # always class 1
    assert plots.decision_boundary(net, SQUARE, y, small()).axes[0].get_title() == "Decision boundary, 75.0% right"


def test_targets_between_two_classes_are_numbers():
    assert plots.decision_boundary(step(), SQUARE, [0, 0.5, 1, 0.25], small()).axes[0].get_title() == "Outputs"


def test_a_network_without_finite_parameters_is_not_drawn():
    net = fm.MLP([2, 3, 1], output="sigmoid")
    net.weights[0][0, 0] = np.nan
    for draws in (plots.decision_boundary, plots.hidden_space):
        with pytest.raises(ValueError, match=r"parameters that are infinite or NaN.*net\.reset\(\)"):
            draws(net, SQUARE, [0, 1, 0, 1])


def test_a_population_is_not_one_network():
    population = fm.Population([2, 4, 1], size=3, output="sigmoid")
    with pytest.raises(TypeError, match=r"got a Population of 3\. Pass one of them: population\[i\]"):
        plots.decision_boundary(population, SQUARE, [0, 1, 1, 0])
    plots.decision_boundary(population[1], SQUARE, [0, 1, 1, 0])


def test_estimators_of_several_numbers_are_refused():
    model = LinearRegression().fit(SQUARE, SQUARE)
    ax = small()
    with pytest.raises(ValueError, match=r"LinearRegression predicts an array of shape \(\d+, 2\)"):
        plots.decision_boundary(model, SQUARE, ax=ax)
    assert not ax.has_data()
    with pytest.raises(ValueError, match="y has nan in row 1"):
        plots.decision_boundary(model, SQUARE, [0, np.nan, 1, 1])
    column = LinearRegression().fit(SQUARE, SQUARE[:, :1])
    assert plots.decision_boundary(column, SQUARE, SQUARE[:, :1]).axes[0].get_title() == "Outputs"


def test_names_of_classes_and_columns_are_shown_as_they_are():
    X = pd.DataFrame(SQUARE, columns=["price in $", "net $ % of $"])
    page = plots.decision_boundary(step(), X, [0, 1, 1, 0], small(), names=["_other", "$^$"])
    draw(page)
    ax, bar = page.axes
    assert [shown(t) for t in ax.get_legend().get_texts()] == ["_other", "$^$"]
    assert [shown(t) for t in (ax.xaxis.label, ax.yaxis.label)] == ["price in $", "net $ % of $"]
    assert shown(bar.yaxis.label) == "probability of $^$"
    net = fm.MLP([2, 2, 1], activation=fm.activation(lambda x: x**3, name="a $^$ b"))
    page = plots.hidden_space(net, SQUARE, [0, 1, 1, 0], small())
    draw(page)
    assert shown(page.axes[0].title) == "Hidden layer 1: 2 a $^$ b units"
    page = plots.architecture(net)
    draw(page)
    assert "a $^$ b" in [shown(t) for t in page.axes[0].texts]


def test_only_points_are_in_the_legend():
    ax = small()
    ax.plot([0, 1], [0, 1], label="mine")
    plots.decision_boundary(step(), SQUARE, [0, 1, 1, 0], ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["0", "1"]


def test_bad_arguments_of_boundaries():
    with pytest.raises(ValueError, match=r"X has shape \(4, 3\), but a plane has two axes"):
        plots.decision_boundary(step(), np.ones((4, 3)))
    with pytest.raises(ValueError, match="network takes 3 inputs"):
        plots.decision_boundary(fm.MLP([3, 1]), SQUARE)
    with pytest.raises(ValueError, match="one name for each of 2 classes; got 1"):
        plots.decision_boundary(step(), SQUARE, names=["a"])
    with pytest.raises(ValueError, match=r"X has no rows \(shape \(0, 2\)\)"):
        plots.decision_boundary(step(), np.empty((0, 2)))
    with pytest.raises(ValueError, match="y has 3 rows, but X has 4"):
        plots.decision_boundary(step(), SQUARE, [0, 1, 0])
    with pytest.raises(ValueError, match=r"class indices are whole numbers in 0\.\.2"):
        plots.decision_boundary(fm.MLP([2, 3], output="softmax"), SQUARE, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="no hidden layer to draw"):
        plots.hidden_space(step(), SQUARE)
    with pytest.raises(ValueError, match="layer must be an integer"):
        plots.hidden_space(fm.MLP([2, 3, 1]), SQUARE, layer=1)
    with pytest.raises(TypeError, match="fitted estimator with predict"):
        plots.decision_boundary("net", SQUARE)
