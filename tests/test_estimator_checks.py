"""scikit-learn's own checks of estimators, whole."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastmlp as fm

ESTIMATORS = [
    fm.MLPClassifier(),
    fm.MLPRegressor(),
    fm.MLPClassifier(solver="lbfgs"),
    fm.MLPRegressor(solver="lbfgs"),
]


def expected(estimator) -> dict[str, str]:
    if isinstance(estimator, fm.MLPClassifier) and estimator.solver == "lbfgs":
        name = "check_classifiers_multilabel_output_format_predict_proba"
        return {name: "fitted to the end, probabilities round to 1; scikit-learn's MLPClassifier(solver='lbfgs') fails as well"}
    return {}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected)
def test_scikit_learn_checks(estimator, check) -> None:
    check(estimator)
