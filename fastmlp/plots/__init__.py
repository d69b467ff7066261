"""Pictures of networks, trainings and sweeps.

matplotlib is imported when a picture is drawn, and only its objects are used, never pyplot's state: figures need no
display, none stays open, and notebooks show them all the same. What draws on one axes takes `ax`, and
every picture's function returns the figure.
"""

from .animation import boundary_animation
from .boundary import decision_boundary, hidden_space
from .curves import loss_curves, lr_range
from .figures import check_name, save
from .structure import architecture, weights
from .sweep_curves import pareto, sweep_curves, sweep_rates
from .sweeps import heatmap, sweep

__all__ = [
    "architecture",
    "boundary_animation",
    "check_name",
    "decision_boundary",
    "heatmap",
    "hidden_space",
    "loss_curves",
    "lr_range",
    "pareto",
    "save",
    "sweep",
    "sweep_curves",
    "sweep_rates",
    "weights",
]
