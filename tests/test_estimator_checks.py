"""scikit-learn's own checks of estimators, whole."""

from __future__ import annotations

import pytest
from sklearn import neural_network as theirs
from sklearn.utils.estimator_checks import check_classifiers_multilabel_output_format_predict_proba, parametrize_with_checks

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


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_fails_the_check_that_we_fail() -> None:
    with pytest.raises(AssertionError, match="strictly ordered"):
        check_classifiers_multilabel_output_format_predict_proba("MLPClassifier", theirs.MLPClassifier(solver="lbfgs"))
