"""Tabular: estimators for tables of numbers and categories, with defaults that are good without tuning."""

from .estimators import TabularClassifier, TabularRegressor
from .preprocessing import TabularEncoder

__all__ = ["TabularClassifier", "TabularEncoder", "TabularRegressor"]
