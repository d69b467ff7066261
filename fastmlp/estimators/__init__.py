"""Estimators: scikit-learn's MLPClassifier and MLPRegressor on fastmlp's engine."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
