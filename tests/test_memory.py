"""What is allocated, by Python and NumPy, by compiled code, by the whole process: a training step allocates nothing."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np

import fastmlp as fm
from tests.compiler import needs_compiler
from tests.problems import classes, classifier


def test_what_python_allocates_in_a_fit_does_not_grow_with_its_steps(engine) -> None:
    """The peak of what Python and NumPy allocate is the same for 100 steps and for many times as many."""

    def peak(epochs):
        net = classifier(dropout=0.1)
        net.fit(X, y, epochs=1, batch_size=4)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        net.fit(X, y, epochs=epochs, batch_size=4, callbacks=[fm.Callback()])
        most = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        return most

    X, y = classes(80)
    many = 500 if engine == "numba" else 50
    few = peak(5)
    # Each epoch adds two floats to the history, nothing else.
    assert peak(many) < few + many * 2 * 64


@needs_compiler
def test_compiled_code_allocates_as_often_for_one_step_as_for_thousands() -> None:
    """Numba counts what compiled code allocates."""
    from numba.core.runtime import _nrt_python, rtsys

    fm.use_engine("numba")
    X, y = classes(400)
    net = classifier(dropout=0.1)
    net.fit(X, y, epochs=1, batch_size=4)
    state, order, targets = net._state, np.zeros(400, np.int64), y[:, None].astype(float)
    desk = net._arena.take(400)
    counts = []
    _nrt_python.memsys_enable_stats()
    try:
        for steps in (1, 100, 5000):
            before = rtsys.get_allocation_stats().alloc
            desk.kernels.train_steps(
                net.plan.table, state.ints, state.reals, net.params, state.slots, X, targets, np.empty(0), order,
                np.full((steps, 1), 1e-3), np.zeros(steps), desk.scratch,
            )  # fmt: skip
            counts.append(rtsys.get_allocation_stats().alloc - before)
    finally:
        _nrt_python.memsys_disable_stats()
    assert counts[0] == counts[1] == counts[2]


@needs_compiler
def test_compiled_code_gives_back_what_it_takes() -> None:
    from numba.core.runtime import _nrt_python, rtsys

    fm.use_engine("numba")
    X, y = classes(400)
    net = fm.MLP([X.shape[1], *[4] * 30, 3], output="softmax", dtype=X.dtype)  # more layers than find room on the stack
    _nrt_python.memsys_enable_stats()
    try:
        for ask in (lambda: net.fit(X, y, epochs=2), lambda: net.predict(X[:1]), lambda: net.value_and_grad(X, y)):
            ask()
            before = rtsys.get_allocation_stats()
            for _ in range(10):
                ask()
            after = rtsys.get_allocation_stats()
            assert after.alloc > before.alloc
            assert after.alloc - after.free == before.alloc - before.free
    finally:
        _nrt_python.memsys_disable_stats()


def test_a_network_goes_when_nobody_has_it(engine) -> None:
    """Its scratch with it: the collector of cycles would come when many of them have filled the memory."""
    X, y = classes(100)
    net = classifier()
    net.fit(X, y, epochs=2)
    net.predict(X), net.value_and_grad(X, y), net.loss(X, y)
    gc.collect()
    gc.disable()
    try:
        desk = net._arena.take(1)
        left = [weakref.ref(net.params), weakref.ref(desk.scratch)]
        net._arena.give(desk)
        del net, desk
        assert all(array() is None for array in left)
    finally:
        gc.enable()


@needs_compiler
def test_the_process_does_not_grow_in_a_long_training() -> None:
    """The most memory that the process ever had is reached in the first steps."""
    import resource

    fm.use_engine("numba")
    X, y = classes(300)
    net = classifier(dropout=0.1, dtype="float32")
    net.fit(X, y, epochs=20, batch_size=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    net.fit(X, y, epochs=1000, batch_size=1)  # 300,000 steps
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048  # KiB: less than 7 bytes a step
