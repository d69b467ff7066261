"""Sweeps: many networks trained side by side and compared; :func:`fastmlp.sweep` is the way in."""

from .result import SweepResult
from .sweep import sweep

__all__ = ["SweepResult", "sweep"]
