"""Estimators: scikit-learn's MLPClassifier and MLPRegressor on fastmlp's engine."""

from .classifier import MLPClassifier
from .convert import from_sklearn, to_sklearn
from .cross_validation import cross_validate
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "cross_validate", "from_sklearn", "to_sklearn"]
