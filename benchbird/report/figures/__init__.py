"""Which charts a study has, each with the table behind it.

Owns what is drawn of what. How a chart looks is `svg.py`'s and `pdf.py`'s.
"""

from benchbird.report.figures.images import distribution_figure, scatter_figure, stratum_figures, threshold_figure
from benchbird.report.figures.learning import learning_figures
from benchbird.report.figures.standing import cost_figures, pareto, standing_figure
from benchbird.report.figures.value import Figure, Table, styles

__all__ = [
    "Figure",
    "Table",
    "cost_figures",
    "distribution_figure",
    "learning_figures",
    "pareto",
    "scatter_figure",
    "standing_figure",
    "stratum_figures",
    "styles",
    "threshold_figure",
]
