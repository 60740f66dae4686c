"""Can a fit be believed: the same budget for the model, its ablations, null connectomes and baselines, over seeds."""

from __future__ import annotations

from connfit.study.full import StudyOptions, run_study
from connfit.study.reproducibility import agreement, flat_groups, prediction_agreement
from connfit.study.rows import StudyRow, row_config, study_rows
from connfit.study.table import study_table
from connfit.study.verdict import verdict_sentences

__all__ = [
    "StudyOptions",
    "StudyRow",
    "agreement",
    "flat_groups",
    "prediction_agreement",
    "row_config",
    "run_study",
    "study_rows",
    "study_table",
    "verdict_sentences",
]
