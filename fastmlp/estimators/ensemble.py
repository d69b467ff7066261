"""Several networks from different seeds, whose predictions are averaged: an estimator's `n_ensemble`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from .. import checks, engine
from ..interruption import side_by_side

if TYPE_CHECKING:
    from .base import BaseMLP

__all__ = ["fit_members"]

# Parameters that each member has its own value of.
_OWN = ("n_ensemble", "random_state")


def fit_members(est: BaseMLP, method: str, goes_on: bool, *arguments: Any, **named: Any) -> None:
    """Fit the members of an ensemble by their `method`; the estimator's own attributes become the first one's.

    Parameters
    ----------
    est : BaseMLP
        Whose n_ensemble is above 1.
    method : {"fit", "partial_fit"}
        What is called of each member.
    goes_on : bool
        Whether members that there are go on, as with warm_start.
    arguments, named
        For that method.
    """
    given, before = est.get_params(deep=False), est.__dict__.get("_members_given", {})
    members = est.__dict__.get("estimators_") if goes_on else None
    if members is None or len(members) != est.n_ensemble:
        seeds = check_random_state(est.random_state).randint(np.iinfo(np.int32).max, size=est.n_ensemble)
        members = [clone(est) for _ in seeds]
        for member, seed in zip(members, seeds, strict=True):  # not by set_params: they may be no parameters of a subclass
            member.n_ensemble, member.random_state = 1, int(seed)
    else:  # what was set since they were made holds for them too; what was not, such as a callback that counts, stays theirs
        same = {name for name, value in before.items() if given[name] is value}
        changed = [name for name in given if name not in _OWN and name not in same]
        for member in members:
            member.set_params(**{name: clone(given[name], safe=False) for name in changed})
    # A network for each thread, unless something of the user's own wants to hear of each by itself.
    threads = checks.jobs(est.n_jobs) or engine.threads()
    together = 1 if est.callbacks or est.verbose or est.progress else min(len(members), threads)
    jobs = [(getattr(member, method), arguments, named) for member in members]
    side_by_side(lambda fit, arguments, named: fit(*arguments, **named), jobs, together)
    est.estimators_, est._members_given = members, given
    parameters = {*given, *_OWN}
    est.__dict__.update({name: value for name, value in members[0].__dict__.items() if name not in parameters})
