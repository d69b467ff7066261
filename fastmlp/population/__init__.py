"""Many networks at once."""

from .history import PopulationHistory
from .population import Population

__all__ = ["Population", "PopulationHistory"]
