"""benchbird benchmarks segmenters of birds in noisy spectrograms under one identical protocol.

This is the façade for plugins and scripts. Nothing inside the package imports it.
"""

from benchbird.contract import (
    API_VERSION,
    DatasetSpec,
    GeneratedSample,
    Option,
    ReporterSpec,
    Sample,
    SegmenterSpec,
    hookimpl,
)
from benchbird.errors import BenchbirdError
from benchbird.notebook import load_results, run
from benchbird.pretrained_weights import hub_advice, loading_weights, publishable_path
from benchbird.records import TrialRecord
from benchbird.trial_summary import TrialSummary, summarise_trial

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "BenchbirdError",
    "DatasetSpec",
    "GeneratedSample",
    "Option",
    "ReporterSpec",
    "Sample",
    "SegmenterSpec",
    "TrialRecord",
    "TrialSummary",
    "__version__",
    "hookimpl",
    "hub_advice",
    "load_results",
    "loading_weights",
    "publishable_path",
    "run",
    "summarise_trial",
]
