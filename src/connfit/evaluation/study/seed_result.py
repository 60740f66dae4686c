"""What one row leaves with one seed: `scores.json` and `predictions.npz` of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import optional, read_arrays, read_json
from connfit._system.paths import user_path
from connfit.errors import DataError
from connfit.evaluation.squared_errors import PredictionErrors

SCORES, PREDICTIONS = "scores.json", "predictions.npz"
FORMAT_VERSION = 2
"""Of both files."""

_AGAIN = "Remove the folder of this file: its row is computed again"


@dataclass(frozen=True)
class SeedResult:
    """What is known of one row with one seed, as in `scores.json`.

    Parameters
    ----------
    format, row, seed
        Version of this layout, and whose it is.
    parameters, parameters_available
        Numbers by group that were learned, or could be; of a baseline their sum, `all`.
    trained, untrained_reason
        Whether any parameter moved, and why none did; None for what is not fitted.
    best_epoch
        The epoch whose parameters were kept, -1 for the start.
    null, vacuous
        Notes of the null connectome, and why it is the real one; None where it is not.
    recipe, chosen
        Options that the fit, or a baseline for each recording, chose on the validation part.
    fit_seconds, wall_seconds
        Of training, and of everything.
    epochs, validation_selection
        Epochs, and the highest value of what the kept epoch was chosen by.
    run
        The run directory; None where there is none.
    versions
        Of the packages that made the fit.
    exploded
        By horizon in frames at which predictions diverged, see `connfit.evaluation.study.row_status.explosions`.
    scores
        Of the test part, as in `metrics.json`, and `median_unit_skill` by horizon.
    """

    format: int = FORMAT_VERSION
    row: str = ""
    seed: int = 0
    parameters: Mapping[str, int] = field(default_factory=dict)
    parameters_available: Mapping[str, int] | None = optional()
    trained: bool | None = optional()
    untrained_reason: str | None = None
    best_epoch: int | None = None
    null: Any = None
    vacuous: str | None = None
    recipe: Mapping[str, Any] | None = None
    chosen: Mapping[str, Any] | None = optional()
    fit_seconds: float = 0.0
    wall_seconds: float | None = None
    epochs: int | None = None
    validation_selection: float | None = None
    run: str | None = None
    versions: Mapping[str, Any] | None = optional()
    exploded: Mapping[int, float | None] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Done:
    """What a finished task left.

    Parameters
    ----------
    result
        Content of `scores.json`.
    errors
        Of each recording.
    arrays
        Everything in `predictions.npz`.
    """

    result: SeedResult
    errors: tuple[PredictionErrors, ...]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, folder: str | Path) -> Done:
        """Read the folder of a finished task.

        Raises
        ------
        DataError
            If a file is absent or damaged.
        """
        folder = user_path(folder)
        path = folder / PREDICTIONS
        arrays, _ = read_arrays(path)
        count = arrays.get("recordings", np.array(0))
        if count.shape or count.dtype.kind not in "iu" or count > len(arrays):
            raise DataError(f"recordings is {count.dtype} of shape {count.shape}", path=path, fix=_AGAIN)
        try:
            errors = tuple(PredictionErrors.from_arrays(arrays, f"{number}.errors.") for number in range(int(count)))
        except DataError as error:
            raise DataError(str(error), path=path, fix=_AGAIN) from error
        return cls(read_json(folder / SCORES, SeedResult), errors, arrays)
