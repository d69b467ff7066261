"""Several networks from different seeds, whose predictions are averaged: an estimator's `n_ensemble`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from .. import checks, engine
from ..errors import counted
from ..interruption import side_by_side

if TYPE_CHECKING:
    from .base import BaseMLP

__all__ = ["fit_members", "is_heard"]

# Parameters that each member has its own value of.
_OWN = ("n_ensemble", "random_state", "max_time")


def fit_members(est: BaseMLP, method: str, goes_on: bool, *arguments: Any, **named: Any) -> None:
    """Fit the members of an ensemble by their `method`; the estimator's own attributes become the first one's.

    Parameters
    ----------
    est : BaseMLP
        Whose n_ensemble is above 1, or was when its networks were made that are to go on.
    method : {"fit", "partial_fit"}
        What is called of each member.
    goes_on : bool
        Whether members that there are go on, as with warm_start.
    arguments, named
        For that method.

    Raises
    ------
    KeyboardInterrupt
        If a Ctrl-C has ended one of them, which ends all. The estimator is what it was, or what its members are if they go on.
    ValueError
        If another number of networks is to go on.
    """
    given, goes_on = est.get_params(deep=False), goes_on and "network_" in est.__dict__
    members = _members_there(est, given) if goes_on else _new_members(est)
    # A network for each thread, unless something of the user's own wants to hear of each by itself.
    threads = checks.jobs(est.n_jobs) or engine.threads()
    together = 1 if is_heard(est) else min(len(members), threads)
    for member in members:  # those that follow each other share the time
        member.max_time = None if est.max_time is None else est.max_time / -(-len(members) // together)
    jobs = [(getattr(member, method), arguments, named) for member in members]
    done = False
    try:
        side_by_side(_trained, jobs, together)
        done = True
    finally:
        if done or goes_on:
            _take_over(est, members, given)


def is_heard(est: BaseMLP) -> bool:
    """Whether something of the user's own hears of each epoch: calls from several threads at once would be no good."""
    return bool(est.callbacks or est.verbose or est.progress or getattr(est, "_skl_callbacks", None))


def _new_members(est: BaseMLP) -> list[Any]:
    seeds = check_random_state(est.random_state).randint(np.iinfo(np.int32).max, size=est.n_ensemble)
    members = [clone(est) for _ in seeds]
    for member, seed in zip(members, seeds, strict=True):  # not by set_params: they may be no parameters of a subclass
        member.n_ensemble, member.random_state = 1, int(seed)
    return members


def _members_there(est: BaseMLP, given: dict[str, Any]) -> list[Any]:
    """Return the members that go on: what was set since they were made holds for them too, what was not stays theirs."""
    members, before = est.__dict__.get("estimators_", [est]), est.__dict__.get("_members_given", {})
    if len(members) != est.n_ensemble:
        raise ValueError(
            f"n_ensemble is {est.n_ensemble} by now, but there {'is' if len(members) == 1 else 'are'} "
            f"{counted(len(members), 'network')} to go on with. Set it back, or fit anew with warm_start=False."
        )
    same = {name for name, value in before.items() if given[name] is value}  # such as a callback that counts
    changed = [name for name in given if name not in _OWN and name not in same]
    for member in members:
        member.set_params(**{name: clone(given[name], safe=False) for name in changed})
    return members


def _trained(fit: Any, arguments: tuple, named: dict[str, Any]) -> None:
    """Fit a member, which may swallow a Ctrl-C: half of an ensemble is none."""
    member = fit(*arguments, **named)
    if member.network_.history.stopped == "interrupted":
        raise KeyboardInterrupt


def _take_over(est: BaseMLP, members: list[Any], given: dict[str, Any]) -> None:
    """Let the estimator's fitted attributes be the first member's, those alone."""
    own = {"estimators_", *given, *_OWN}
    first = {name: value for name, value in vars(members[0]).items() if name not in own}
    for name in [name for name in vars(est) if name.endswith("_") and name not in {*own, *first}]:
        delattr(est, name)
    est.__dict__.update(first, estimators_=members, _members_given=given)
