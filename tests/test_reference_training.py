"""The NumPy engine's training and random numbers judged on their own: by hand, by textbooks, by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastmlp.reference import ids, optim, rng, train
from tests.nets import Data, make_data, make_net
from tests.reference import NO_ARENA, loss_of, steps, value_and_grad

# Training.


def test_an_sgd_step_worked_by_hand():
    # Two inputs, two ReLU units, one output, mse, one sample x = (1, 2) with target 0.25.
    #   W1 = [[1, -1], [0.5, 1]], b1 = (0, -1.5), W2 = [[0.5], [-1]], b2 = 0.25
    # Forward:
    #   z1 = (1 + 2*0.5, -1 + 2 - 1.5) = (2, -0.5), a1 = (2, 0)
    #   z2 = 2*0.5 + 0 + 0.25 = 1.25, error 1, loss 1
    # Backward:
    #   delta2 = 2 * 1 = 2
    #   dW2 = a1 delta2 = (4, 0), db2 = 2
    #   delta1 = delta2 W2 * (1, 0) = (1, 0)
    #   dW1 = x delta1 = [[1, 0], [2, 0]], db1 = (1, 0)
    # Step with learning rate 0.1:
    #   W1 = [[0.9, -1], [0.3, 1]], b1 = (-0.1, -1.5), W2 = [[0.1], [-1]], b2 = 0.05
    net = make_net([2, 2, 1], "RELU", batch=1)
    net.params[:] = [1, -1, 0.5, 1, 0, -1.5, 0.5, -1, 0.25]
    data = make_data(net, 1)
    data.x[:], data.y[:] = [1, 2], 0.25
    value, grad = value_and_grad(net, data)
    assert value == 1
    assert grad.tolist() == [1, 0, 2, 0, 1, 0, 4, 0, 2]
    losses = steps(net, data, np.empty((0, 9)), [0.1])
    np.testing.assert_allclose(net.params, [0.9, -1, 0.3, 1, -0.1, -1.5, 0.1, -1, 0.05], rtol=1e-15)
    assert losses.tolist() == [1]
    assert [net.ints[i] for i in (ids.EPOCH, ids.ROW, ids.STEP)] == [1, 0, 1]


class Textbook:
    """Optimizers as their papers have them, on one parameter, with numbers for settings."""

    beta1, beta2, eps = 0.9, 0.99, 1e-3

    @classmethod
    def sgd(cls, p, gradients, lr):
        for g in gradients:
            p -= lr * g
        return p

    @classmethod
    def momentum(cls, p, gradients, lr):
        """Sutskever et al., "On the importance of initialization and momentum" (ICML 2013), equations 1 and 2."""
        v = 0.0
        for g in gradients:
            v = cls.beta1 * v - lr * g
            p += v
        return p

    @classmethod
    def nesterov(cls, p, gradients, lr):
        """Their equations 3 and 4, for the parameter looked ahead, p + beta v, as which all implementations keep it."""
        v, behind = 0.0, p
        for g in gradients:
            v = cls.beta1 * v - lr * g
            behind += v
        return behind + cls.beta1 * v

    @classmethod
    def adam(cls, p, gradients, lr, maximum=False, hat=False):
        """Kingma and Ba, "Adam" (ICLR 2015), algorithm 1."""
        m = v = top = 0.0
        for t, g in enumerate(gradients, 1):
            m = cls.beta1 * m + (1 - cls.beta1) * g
            v = cls.beta2 * v + (1 - cls.beta2) * g**2
            top = max(top, v) if maximum else v
            if hat:
                p -= lr * math.sqrt(1 - cls.beta2**t) / (1 - cls.beta1**t) * m / (math.sqrt(top) + cls.eps)
            else:
                p -= lr * (m / (1 - cls.beta1**t)) / (math.sqrt(top / (1 - cls.beta2**t)) + cls.eps)
        return p

    @classmethod
    def amsgrad(cls, p, gradients, lr):
        return cls.adam(p, gradients, lr, maximum=True)

    @classmethod
    def adam_hat(cls, p, gradients, lr):
        return cls.adam(p, gradients, lr, hat=True)

    @classmethod
    def rmsprop(cls, p, gradients, lr):
        v = 0.0
        for g in gradients:
            v = cls.beta2 * v + (1 - cls.beta2) * g**2
            p -= lr * g / (math.sqrt(v) + cls.eps)
        return p

    @classmethod
    def adagrad(cls, p, gradients, lr):
        v = 0.0
        for g in gradients:
            v += g**2
            p -= lr * g / (math.sqrt(v) + cls.eps)
        return p


OPTIMIZERS = {
    "sgd": {"optimizer": "SGD"},
    "momentum": {"optimizer": "SGD", "beta1": Textbook.beta1},
    "nesterov": {"optimizer": "SGD", "beta1": Textbook.beta1, "nesterov": 1},
    "adam": {"optimizer": "ADAM", "beta1": Textbook.beta1},
    "amsgrad": {"optimizer": "ADAM", "beta1": Textbook.beta1, "amsgrad": 1},
    "adam_hat": {"optimizer": "ADAM", "beta1": Textbook.beta1, "eps_hat": 1},
    "rmsprop": {"optimizer": "RMSPROP"},
    "adagrad": {"optimizer": "ADAGRAD"},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_the_textbooks(name):
    net = make_net([2, 1], beta2=Textbook.beta2, eps=Textbook.eps, **OPTIMIZERS[name])
    slots, start = np.zeros((3, 3)), net.params.copy()
    gradients = np.random.default_rng(2).normal(size=(6, 3)) * [1, 0.01, 100]
    for g in gradients:
        train.step(net.table, net.ints, net.reals, net.params, slots, g.copy(), 0.1)
    expected = [getattr(Textbook, name)(p, gradients[:, i], 0.1) for i, p in enumerate(start.tolist())]
    if name == "nesterov":  # the network's parameters are the ones looked ahead, from p + beta 0 on
        assert net.params[0] != Textbook.momentum(start[0], gradients[:, 0], 0.1)
    np.testing.assert_allclose(net.params, expected, rtol=1e-12)
    assert net.ints[ids.STEP] == 6
    np.testing.assert_allclose(net.reals[ids.BETA2_POWER], Textbook.beta2**6)


def test_penalties_and_decay_touch_weights_only():
    net = make_net([2, 1], l1=0.5, l2=0.25, decay=0.125)
    net.params[:] = [2, -4, 8]
    grad = np.zeros(3)
    optim.condition(net.table, net.ints, net.reals, net.params, grad, 4.0)
    assert grad.tolist() == [0.5 + 0.5, -0.5 - 1, 0]
    optim.update(net.table, net.ints, net.reals, net.params, np.empty((0, 3)), grad, 0.5)
    assert net.params.tolist() == [2 * (1 - 0.0625) - 0.5, -4 * (1 - 0.0625) + 0.75, 8]


def test_l2_is_divided_by_the_batchs_weight_if_asked():
    net = make_net([2, 1], l2=0.5, l2_over_batch=1)
    net.params[:] = [2, -4, 8]
    grad = np.zeros(3)
    optim.condition(net.table, net.ints, net.reals, net.params, grad, 4.0)
    assert grad.tolist() == [0.25, -0.5, 0]


def test_clipping_by_value_comes_before_clipping_by_norm():
    net = make_net([2, 1], clip_value=3.0, clip_norm=2.5)
    grad = np.array([-100.0, 4.0, 0.0])
    optim.condition(net.table, net.ints, net.reals, net.params, grad, 0.0)
    np.testing.assert_allclose(grad, 2.5 / math.sqrt(18) * np.array([-3, 3, 0]), rtol=1e-15)


def test_step_conditions_the_gradient_first():
    net, by_hand = make_net([2, 1], l2=0.5, clip_norm=0.1), make_net([2, 1], l2=0.5, clip_norm=0.1)
    grad, same = np.array([1.0, 2, 3]), np.array([1.0, 2, 3])
    train.step(net.table, net.ints, net.reals, net.params, np.empty((0, 3)), grad, 0.1)
    optim.condition(by_hand.table, by_hand.ints, by_hand.reals, by_hand.params, same, 0.0)
    optim.update(by_hand.table, by_hand.ints, by_hand.reals, by_hand.params, np.empty((0, 3)), same, 0.1)
    np.testing.assert_array_equal(grad, same)
    np.testing.assert_array_equal(net.params, by_hand.params)
    np.testing.assert_allclose(np.linalg.norm(grad), 0.1)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 1e300])
def test_clipping_by_norm_neither_overflows_nor_vanishes(size):
    net = make_net([2, 1], clip_norm=size)
    grad = np.array([3 * size, 4 * size, 0])
    optim.condition(net.table, net.ints, net.reals, net.params, grad, 0.0)
    np.testing.assert_allclose(grad, [0.6 * size, 0.8 * size, 0], rtol=1e-14)


def test_a_short_gradient_and_one_that_is_not_finite_are_not_clipped():
    net = make_net([2, 1], clip_norm=10.0)
    for values in ([3.0, 4.0, 0.0], [np.nan, 4.0, 100.0], [np.inf, 4.0, 100.0], [0.0, 0.0, 0.0]):
        grad = np.array(values)
        optim.condition(net.table, net.ints, net.reals, net.params, grad, 0.0)
        np.testing.assert_array_equal(grad, values)


@pytest.mark.parametrize("loss", ["MSE", "SSE"])
def test_an_epoch_in_parts_is_the_epoch_in_one(loss):
    """Calls may end anywhere in an epoch: parameters, losses, counters and state come out the same."""
    results = []
    for parts in ([8], [1, 2, 1, 4], [1] * 8):
        net = make_net([3, 4, 2], loss=loss, batch=3, shuffle=1, seed=4, beta1=0.9, dropout=[0.4, 0], training=1)
        data, slots, losses = make_data(net, 10, weighted=True), np.zeros((1, net.params.size)), []
        order = np.empty(10, np.int64)
        for n in parts:
            of_epochs = np.empty(n)
            finished = train.train_steps(net.table, net.ints, net.reals, net.params, slots, *data.arrays, order,
                                         np.full((n, 1), 0.01), of_epochs, NO_ARENA)  # fmt: skip
            losses += of_epochs[:finished].tolist()
        assert [net.ints[i] for i in (ids.EPOCH, ids.ROW, ids.STEP)] == [2, 0, 8]
        results.append([*net.params, *slots[0], *losses, *net.reals])
    assert results[0] == results[1] == results[2]


def test_reported_loss_is_the_weighted_mean_over_the_epochs_rows():
    net = make_net([3, 4, 2], batch=3)
    data = make_data(net, 7, weighted=True)
    before = loss_of(net, data)
    losses = steps(net, data, np.empty((0, net.params.size)), [0, 0, 0.5, 0, 0, 0])
    np.testing.assert_allclose(losses, [before, loss_of(net, data)], rtol=1e-14)
    assert losses[1] != losses[0]


@pytest.mark.parametrize("loss", ["MSE", "SSE"])
def test_with_each_step_the_reported_losses_are_those_of_minibatches_before_their_steps(loss):
    net = make_net([3, 4, 2], loss=loss, batch=3, each_step=1)
    data, slots = make_data(net, 7, weighted=True), np.empty((0, net.params.size))
    told, expected = [], []
    for step in range(5):
        part = slice(3 * (step % 3), 3 * (step % 3) + 3)
        expected.append(loss_of(net, Data(data.x[part], data.y[part], data.weight[part])))
        told += steps(net, data, slots, [0.1]).tolist()
    np.testing.assert_allclose(told, expected, rtol=1e-14)
    other = make_net([3, 4, 2], loss=loss, batch=3, each_step=1)
    np.testing.assert_array_equal(steps(other, data, slots, [0.1] * 5), told)
    assert [other.ints[i] for i in (ids.EPOCH, ids.ROW, ids.STEP)] == [1, 6, 5]


def test_a_batch_larger_than_the_data_is_all_data():
    one, other = make_net([3, 4, 2], batch=1000), make_net([3, 4, 2], batch=7)
    for net in (one, other):
        steps(net, make_data(net, 7), np.empty((0, net.params.size)), [0.1, 0.1])
    np.testing.assert_array_equal(one.params, other.params)
    assert one.ints[ids.EPOCH] == 2


def test_training_ends_after_an_epoch_whose_loss_is_not_finite():
    net = make_net([3, 4, 2], "RELU", batch=2)
    data = make_data(net, 6)
    losses = steps(net, data, np.empty((0, net.params.size)), [1e200] * 30)
    assert len(losses) < 10
    assert np.isfinite(losses[:-1]).all()
    assert not math.isfinite(losses[-1])
    assert net.ints[ids.ROW] == 0
    assert net.ints[ids.STEP] == 3 * len(losses)


def test_shuffled_training_goes_through_the_permutation():
    net = make_net([3, 2], batch=2, shuffle=1, shuffle_seed=12, seed=11, epoch=5)
    sorted_net = make_net([3, 2], batch=2, seed=11, epoch=5)
    data = make_data(net, 7, weighted=True)
    order = np.empty(7, np.int64)
    rng.permutation(12, 5, order)
    assert order.tolist() != list(range(7))
    steps(net, data, np.empty((0, 8)), [0.1] * 4)
    data.x, data.y, data.weight = data.x[order], data.y[order], data.weight[order]
    steps(sorted_net, data, np.empty((0, 8)), [0.1] * 4)
    np.testing.assert_array_equal(net.params, sorted_net.params)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["MLPRegressor", "MLPClassifier"])
def test_an_epoch_is_scikit_learns_from_the_same_weights(kind, solver):
    neural_network = pytest.importorskip("sklearn.neural_network")
    classes = kind == "MLPClassifier"
    net = make_net(
        [4, 6, 5, 3] if classes else [4, 6, 5, 1], "TANH", "SOFTMAX" if classes else "IDENTITY",
        "CROSS_ENTROPY" if classes else "HALF_MSE", batch=8, l2=0.3, l2_over_batch=1, optimizer=solver.upper(),
        beta1=0.9 if solver == "adam" else 0.0, beta2=0.999, eps_hat=1,
    )  # fmt: skip
    data = make_data(net, 21, classes=classes)
    y = data.y[:, 0].astype(int) if classes else data.y[:, 0]
    model = getattr(neural_network, kind)(
        hidden_layer_sizes=(6, 5), activation="tanh", solver=solver, alpha=0.3, batch_size=8, learning_rate_init=0.01,
        momentum=0.0, shuffle=False,
    )  # fmt: skip
    model.partial_fit(data.x, y, **({"classes": range(3)} if classes else {}))
    del model._optimizer
    layers = train._layers(net.table, net.params)
    for (w, b, _), coef, intercept in zip(layers, model.coefs_, model.intercepts_, strict=True):
        coef[:], intercept[:] = w, b
    model.partial_fit(data.x, y)
    steps(net, data, np.zeros((2, net.params.size)), [0.01] * 3)
    for (w, b, _), coef, intercept in zip(layers, model.coefs_, model.intercepts_, strict=True):
        np.testing.assert_allclose(w, coef, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(b, intercept, rtol=1e-10, atol=1e-12)


def test_float32_stays_float32():
    net = make_net([3, 4, 2], dtype=np.float32, beta1=0.9, clip_norm=0.1, l1=0.1, decay=0.1)
    data, slots = make_data(net, 5, weighted=True), np.zeros((1, net.params.size), np.float32)
    wide = net.astype(np.float64)
    steps(net, data, slots, [0.1] * 4)
    steps(wide, data.astype(np.float64), np.zeros((1, net.params.size)), [0.1] * 4)
    np.testing.assert_allclose(net.params, wide.params, rtol=1e-5, atol=1e-6)


# Random numbers.


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        # Random123, kat_vectors, philox4x32 7.
        ((0, 0, 0, 0), (0, 0), (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A),
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, words):
    assert tuple(int(word) for word in rng._philox(*counter, key[0] | key[1] << 32)) == words


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 97])
def test_permutation_has_every_number_once(n):
    order = np.full(n, -1, np.int64)
    rng.permutation(3, 1, order)
    assert sorted(order.tolist()) == list(range(n))


def test_permutations_of_four_are_equally_likely():
    counts, order = {}, np.empty(4, np.int64)
    for epoch in range(4800):
        rng.permutation(7, epoch, order)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 24
    # χ² of 23 degrees of freedom: its 99.9% point is 49.7.
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 49.7


def test_permutation_depends_on_seed_and_epoch():
    orders = {(seed, epoch): np.empty(20, np.int64) for seed in (0, 1, 2**40, -1) for epoch in (0, 1)}
    for (seed, epoch), order in orders.items():
        rng.permutation(seed, epoch, order)
    assert len({tuple(order) for order in orders.values()}) == 8


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate):
    mask = np.empty((400, 150))
    rng.dropout_mask(5, 0, 0, 0, rate, mask)
    deviation = math.sqrt(rate * (1 - rate) / mask.size)
    assert abs((mask == 0).mean() - rate) < 4 * deviation
    np.testing.assert_allclose(mask[mask > 0], 1 / (1 - rate), rtol=1e-4)
    np.testing.assert_allclose((mask == 0).mean(axis=0), rate, atol=5 * math.sqrt(rate * (1 - rate) / 400))


def test_dropout_of_a_row_does_not_depend_on_the_batch():
    whole, part, other_layer = np.empty((9, 70)), np.empty((4, 70)), np.empty((9, 70))
    rng.dropout_mask(5, 2, 10, 1, 0.5, whole)
    rng.dropout_mask(5, 2, 13, 1, 0.5, part)
    rng.dropout_mask(5, 2, 10, 2, 0.5, other_layer)
    np.testing.assert_array_equal(whole[3:7], part)
    assert (whole != other_layer).any()


def test_columns_of_a_mask_take_their_sixteen_bits_in_the_documented_order():
    mask = np.empty((1, 70))
    rng.dropout_mask(5, 2, 10, 1, 0.5, mask)
    for column in range(70):
        group, half, place = column // 64, column % 64 // 16, column % 16
        word = int(rng._philox(group * 8 + place // 2, 10, 2, rng.DROPOUT + 1, 5)[half // 2 * 2 + place % 2])
        assert mask[0, column] == (2.0 if (word >> 16 * (half % 2)) & 0xFFFF >= 32768 else 0.0)
