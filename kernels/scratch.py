"""How much scratch memory the tasks on a network take: the larger of what rows and what columns need."""

from __future__ import annotations

from .columns import arrange_columns, column_block, narrow_up_to
from .grid import grid
from .ids import COLUMNS
from .jit import entry, inner
from .layout import _padded, n_params
from .network import PLACES, arrange, block_limit, few_parameters
from .stack import give_back, take
from .threads import N_SUMS


@inner
def room_of(table, rows, n):
    """Rows that the buffers must hold for any task on `rows` rows at once by n threads."""
    limit = block_limit(table)
    return limit * n if rows > limit and few_parameters(table) else max(1, min(rows, limit))


@inner
def scratch_size(table, inputs, rows, n, places):
    """Elements of scratch for any task on up to `rows` rows of `inputs` numbers at once by n threads; fills `places`."""
    columns = narrow_up_to(table, rows)
    gradients = 1
    if columns or (few_parameters(table) and rows > block_limit(table)):  # one for each group of `_side_by_side`
        block = min(column_block(table), block_limit(table))
        gradients += min(N_SUMS, (rows + block - 1) // block + 1)
    size = n * arrange_columns(table, column_block(table), places) if columns else 0
    return max(size, arrange(table, inputs, room_of(table, rows, n), n, places)) + gradients * _padded(n_params(table))


@entry
def _scratch_size(table, inputs, rows, n):
    """As `scratch_size`, for Python."""
    table = grid(table, COLUMNS)
    numbers = take((len(table) + 2) * PLACES)
    size = scratch_size(table, inputs, rows, n, grid(numbers.reshape(len(table) + 2, PLACES), PLACES))
    give_back(numbers)
    return size
