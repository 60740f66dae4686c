"""The types of all results in a run directory, or in a folder of a command that needs none, and their JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from connfit._io import json_schema, write_json
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.measured.scored_responses import ScoredResponses
from connfit.analysis.perturbation_results import Perturbation
from connfit.analysis.record_next.record_next_results import RecordNext
from connfit.analysis.recovery.recovery_results import Recovery
from connfit.analysis.spiking.spiking_results import FILE as SPIKING
from connfit.analysis.spiking.spiking_results import SpikingSimulation
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.study.study import Study
from connfit.report.questions.answer import Questions
from connfit.report.run_files import (
    ANALYSIS,
    GRADIENT,
    MEASURED,
    METRICS,
    RECORD_NEXT,
    RECOVERY,
    SIMULATIONS,
    STUDY,
)
from connfit.training.run_record import RECORD, RunRecord

RESULTS: Mapping[str, type] = {
    RECORD: RunRecord, METRICS: Evaluation, STUDY: Study, ANALYSIS: Analysis, GRADIENT: GradientFidelity,
    RECOVERY: Recovery, SIMULATIONS: Perturbation, MEASURED: ScoredResponses, RECORD_NEXT: RecordNext,
    SPIKING: SpikingSimulation, "questions.json": Questions,
}  # fmt: skip
"""By path; docs/schema/ has the JSON Schema of each."""


def write_schemas(folder: str | Path) -> None:
    """Write the JSON Schema of every type of `RESULTS` under the name of its file."""
    for path, kind in RESULTS.items():
        write_json(Path(folder) / Path(path).name, json_schema(kind))
