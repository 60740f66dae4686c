"""Open what commands left in a run directory, as typed results."""

from __future__ import annotations

from pathlib import Path

from connfit._system.paths import user_path
from connfit.analysis.brain_analysis import FILE, FOLDER, Analysis
from connfit.errors import DataError
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.study.study import Study, read_study


def load_evaluation(run_dir: str | Path) -> Evaluation:
    """Open the scores of a run directory, its `metrics.json`.

    Raises
    ------
    DataError
        If there are none, or the file is damaged.
    """
    return read_evaluation(_folder(run_dir))


def load_study(run_dir: str | Path) -> Study:
    """Open the study of a run directory, its `study/study.json`.

    Raises
    ------
    DataError
        If there is none, or it is in the format of another release.
    """
    return read_study(_folder(run_dir))


def load_analysis(run_dir: str | Path) -> Analysis:
    """Open the analysis of a run directory, its `analysis/analysis.json`.

    Raises
    ------
    DataError
        If there is none, or the file is damaged.
    """
    folder = _folder(run_dir)
    found = Analysis.read(folder)
    if found is None:
        raise DataError("no such file", path=folder / FOLDER / FILE, fix=f"Run `connfit analyze {folder}`")
    return found


def _folder(run_dir: str | Path) -> Path:
    folder = user_path(run_dir)
    if not folder.is_dir():
        raise DataError("no such run directory", path=folder, fix="Give the folder that `connfit fit --out` wrote")
    return folder
