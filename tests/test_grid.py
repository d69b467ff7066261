"""Tables and named tuples by address, as kernels hand them on."""

from collections import namedtuple

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels.grid import grid
from fastmlp.kernels.kept import kept

from tests.compiler import needs_compiler

pytestmark = needs_compiler
COLUMNS = 3
Things = namedtuple("Things", "name numbers on table")


@numba.njit
def _numbers_of(array, row, column):
    table = grid(array, COLUMNS)
    return table[row, column], table[0, 1], len(table)


@numba.njit
def _set(array, row, column, number):
    grid(array, COLUMNS)[row, column] = number


@numba.njit
def _read(things):
    return things.name + things.table[1, 0], things.numbers[1], things.on


@numba.njit
def _keep(name, numbers, on, array):
    return _read(kept(Things(name, numbers, on, grid(array, COLUMNS))))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_a_grid_has_the_numbers_of_its_array(dtype):
    array = np.arange(-4, 8, dtype=dtype).reshape(4, 3)
    for row in range(4):
        for column in range(3):
            number, second, rows = _numbers_of(array, row, column)
            assert (number, second, rows) == (array[row, column], -3, 4)
    assert isinstance(number, int)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_a_number_is_written_to_the_array(dtype):
    array, wanted = np.zeros((4, 3), dtype), np.zeros((4, 3), dtype)
    _set(array, 2, 1, -7)
    wanted[2, 1] = -7
    assert (array == wanted).all()


def test_a_kept_tuple_has_its_fields():
    array, numbers = np.arange(6).reshape(2, 3), np.array([0.5, 0.25], np.float32)
    assert _keep(4, numbers, True, array) == (7, 0.25, True)
    assert _keep(4, numbers, False, array) == (7, 0.25, False)


def test_a_kept_tuple_has_no_other_fields():
    @numba.njit
    def ask(name):
        return kept(Things(name, 0.0, True, 1)).size

    with pytest.raises(numba.TypingError, match="size"):
        ask(1)
