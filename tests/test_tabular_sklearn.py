"""TabularClassifier, TabularRegressor and TabularEncoder as scikit-learn's checks see them."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmlp.tabular import TabularClassifier, TabularEncoder, TabularRegressor

# Small networks: what is checked is how they behave, not how good they are.
CLASSIFIER = TabularClassifier(hidden=(32, 32), epochs=32, batch_size=32, random_state=0)
REGRESSOR = TabularRegressor(hidden=(32, 32), epochs=48, batch_size=32, random_state=0)
WEIGHTS = "a row of weight 2 is one row, not two, for medians, the rows held out and minibatches"


def expected_failures(estimator) -> dict[str, str]:
    if isinstance(estimator, TabularEncoder):
        return {}
    return {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
        "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks([CLASSIFIER, REGRESSOR, TabularEncoder()], expected_failed_checks=expected_failures)
def test_scikit_learn_s_own_checks(estimator, check) -> None:
    check(estimator)
