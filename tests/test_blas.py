"""L-BFGS: SciPy's BLAS has one thread meanwhile, and as many as before afterwards."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import threading
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastmlp as fm
from fastmlp import blas


class Watch(fm.Callback):
    """Notes how many threads SciPy's BLAS has after each epoch."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_epoch_end(self, net, epoch, logs) -> None:
        self.seen += threads()


def threads() -> list[int]:
    return [library["num_threads"] for library in blas._scipys().info()]


@pytest.fixture(params=[2, 3])
def several(request):
    """Give SciPy's BLAS several threads; skip if it has none that can be counted."""
    with blas._scipys().limit(limits=request.param):
        if not threads() or set(threads()) != {request.param}:
            pytest.skip("SciPy's BLAS has no number of threads that can be set")
        yield request.param


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 6)), rng.normal(size=40)


def test_a_network(several, engine) -> None:
    watch = Watch()
    fm.MLP([6, 3, 1]).fit(*data(), epochs=4, optimizer="lbfgs", callbacks=[watch])
    assert set(watch.seen) == {1}
    assert set(threads()) == {several}


def test_an_estimator(several) -> None:
    watch = Watch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fm.MLPRegressor(hidden_layer_sizes=3, solver="lbfgs", max_iter=4, callbacks=[watch]).fit(*data())
    assert set(watch.seen) == {1}
    assert set(threads()) == {several}


def test_an_error_sets_them_back(several) -> None:
    class Fail(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            raise RuntimeError("no further")

    with pytest.raises(RuntimeError, match="no further"):
        fm.MLP([6, 3, 1]).fit(*data(), epochs=4, optimizer="lbfgs", callbacks=[Fail()])
    assert set(threads()) == {several}


def interrupted_at(place: int) -> bool:
    """Be in it, and raise KeyboardInterrupt before the line of that number of those that this runs; whether there is one."""
    files, lines = (blas.__file__, contextlib.__file__), 0

    def trace(frame, event, arg):
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        # At its end, a with has a line again before it gives the lock back, where Python looks at no signal.
        giving_back = blas._lock._is_owned() and linecache.getline(files[0], frame.f_lineno).strip() == "with _lock:"
        if event == "line" and not giving_back:
            lines += 1
            if lines == place:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        with blas.one_thread():
            pass
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside another"])
def test_an_interruption_at_any_line_sets_them_back(several, inside) -> None:
    places = 0
    with blas.one_thread() if inside else contextlib.nullcontext():
        while interrupted_at(places + 1):
            places += 1
            assert set(threads()) == {1 if inside else several}, places
            assert len(blas._inside) == inside, places
            with blas.one_thread():
                assert set(threads()) == {1}, places
    assert places > 25
    assert set(threads()) == {several}
    assert blas._before is None
    free = []
    thread = threading.Thread(target=lambda: free.append(blas._lock.acquire(blocking=False) and not blas._lock.release()))
    thread.start()
    thread.join()
    assert free == [True]


def test_of_several_python_threads_the_last_one_sets_them_back(several) -> None:
    inside, leave, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with blas.one_thread():
            inside.set()
            leave.wait()
            seen.extend(threads())

    thread = threading.Thread(target=other)
    with blas.one_thread():
        thread.start()
        inside.wait()
    assert set(threads()) == {1}  # the first has left, the second is still in it
    leave.set()
    thread.join()
    assert set(seen) == {1}
    assert set(threads()) == {several}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_meanwhile_sets_them_back(several) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with blas.one_thread():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        with blas.one_thread():
            alone = set(threads()) == {1}
        os._exit(0 if alone and set(threads()) == {several} else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert set(threads()) == {several}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_waits_for_a_thread_that_sets_the_number(monkeypatch) -> None:
    """OpenBLAS would keep its lock in the forked process, which then waits for it for ever."""
    setting, done, give_control = threading.Event(), threading.Event(), blas._give_control

    def slowly() -> None:
        setting.set()
        done.wait()
        give_control()

    def other() -> None:
        with blas.one_thread():
            pass

    monkeypatch.setattr(blas, "_give_control", slowly)
    thread = threading.Thread(target=other)
    thread.start()
    setting.wait()
    timer = threading.Timer(0.1, done.set)
    timer.start()
    child = os.fork()
    waited = done.is_set()
    if child == 0:
        os._exit(0 if waited else 1)
    thread.join()
    timer.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert waited


def test_bits_do_not_depend_on_the_threads_there_were() -> None:
    """OpenBLAS parts sums of more than ten thousand numbers among its threads."""
    found = []
    for n in (1, 2):
        with blas._scipys().limit(limits=n):
            net = fm.MLP([6, 150, 150, 1], dtype="float64", seed=1)
            net.fit(*data(), epochs=8, optimizer=fm.LBFGS(l2=1e-3))
            found.append(net.params.copy())
    assert (found[0] == found[1]).all()
