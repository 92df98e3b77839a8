"""Which charts a study has, each with the table behind it.

Owns what is drawn of what. How a chart looks is `svg.py`'s and `pdf.py`'s.
"""

from benchbird.report.figures.expense import expense_table, total_time, trial_table
from benchbird.report.figures.images import distribution_figure, duel, scatter_figure, stratum_figures, threshold_figure
from benchbird.report.figures.learning import learning_figures
from benchbird.report.figures.standing import cost_figures, pareto, standing_figure
from benchbird.report.figures.value import Figure, Table, extremes, styles

__all__ = [
    "Figure",
    "Table",
    "cost_figures",
    "distribution_figure",
    "duel",
    "expense_table",
    "extremes",
    "learning_figures",
    "pareto",
    "scatter_figure",
    "standing_figure",
    "stratum_figures",
    "styles",
    "threshold_figure",
    "total_time",
    "trial_table",
]
