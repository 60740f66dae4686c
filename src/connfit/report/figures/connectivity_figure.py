"""Functional connectivity at a glance: the fit, the untrained model, null connectomes and the data themselves."""

from __future__ import annotations

from dataclasses import dataclass

from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.part_scores import PartScores

COLUMNS = ("one step, train", "one step, test", "free run, test", "skill, test")
"""What the numbers of a row are: three correlations of functional connectivities, and one-step skill."""


@dataclass(frozen=True)
class ConnectivityRow:
    """Agreement of one model with the data.

    Parameters
    ----------
    name
        Of the model.
    what
        In words, where the name does not say it.
    values
        One for each of `COLUMNS`; None where it is not defined.
    """

    name: str
    what: str
    values: tuple[float | None, ...]


def connectivity_rows(evaluation: Evaluation) -> list[ConnectivityRow]:
    """Return a row each for the fit, the untrained model, every null connectome and the data against themselves."""
    rows = [ConnectivityRow("model", "", _values(evaluation.part("train"), evaluation.part("test")))]
    if evaluation.at_initialisation:
        values = _values(evaluation.untrained("train"), evaluation.untrained("test"))
        rows.append(ConnectivityRow("untrained", "", values))
    for name, scores in evaluation.nulls.items():
        values = _values(scores.train, scores.test)
        rows.append(ConnectivityRow(f"null: {name.replace('_', ' ')}", scores.what, values))
    itself = evaluation.data.fc_corr_train_vs_test
    return [*rows, ConnectivityRow("data, train part", "", (None, None, itself, None))]


def connectivity_in_words(evaluation: Evaluation) -> str:
    """Describe how the rows are to be read."""
    driven = evaluation.part("test").free_run.is_driven
    return (
        "Correlation of functional connectivity with the data's: of predictions one step ahead (teacher-forced), and "
        f"of free runs {'with residuals' if driven else 'without noise'}. The last row is what a copy of the training "
        "part's reaches on the test part."
    )


def _values(train: PartScores | None, test: PartScores | None) -> tuple[float | None, ...]:
    train, test = train or PartScores(), test or PartScores()
    one_step = test.one_step
    return train.one_step.fc_corr, one_step.fc_corr, test.free_run.fc_corr, one_step.skill_vs_persistence
