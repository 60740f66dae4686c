"""How fast rules learn: the same fit with each of them, for equal numbers of steps and for equal seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from connfit.cohort import Cohort
from connfit.config import TrainConfig
from connfit.errors import DivergedError
from connfit.learn import Windowed
from connfit.models.base import Params
from connfit.models.rate import RateModel
from connfit.train import fit

MEASURES = ("train_loss", "validation_loss", "validation_skill")


def learning_curves(
    model: RateModel,
    params: Params,
    cohort: Cohort,
    learners: Mapping[str, Windowed],
    config: TrainConfig,
    *,
    trained: tuple[str, ...] | None = None,
    seed: int = 0,
    on_progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Fit with each learner from the same start: loss against steps, and against seconds.

    Learners with the same K change the parameters equally often. Seconds are those of training, without compilation
    and validation.

    Parameters
    ----------
    learners
        By name.
    config
        `epochs` of the teacher-forced phase are run; nothing stops them early, and nothing follows them.

    Returns
    -------
    dict
        `curves`: one per learner, lists `steps`, `seconds`, `train_loss`, `validation_loss`, `validation_skill` over
        epochs, or `diverged` with the reason. `equal_steps` and `equal_seconds`: the last epoch of each curve within
        the steps and seconds that all of them have.
    """
    config = msgspec.structs.replace(config, free_run_epochs=0, patience=None)
    curves = []
    for name, learner in learners.items():
        if on_progress is not None:
            on_progress(name)
        about = {"rule": name, "window": learner.window}
        try:
            fitted = fit(model, params, cohort, learner, config, trained=trained, seed=seed)
        except DivergedError as error:
            curves.append({**about, "diverged": str(error)})
            continue
        rows = fitted.history
        steps = int(fitted.performance["steps"] or 0) // max(len(rows), 1)
        curves.append(
            {
                **about,
                "steps": [steps * (k + 1) for k in range(len(rows))],
                "seconds": np.cumsum([row["seconds"] for row in rows]).tolist(),
                **{key: [row[key] for row in rows] for key in MEASURES},
            }
        )
    ended = [curve for curve in curves if curve.get("steps")]
    return {
        "curves": curves,
        **{f"equal_{axis}": _at_the_shortest(ended, axis) for axis in ("steps", "seconds")},
    }


def _at_the_shortest(curves: list[dict[str, Any]], axis: str) -> dict[str, Any] | None:
    if not curves:
        return None
    limit = min(curve[axis][-1] for curve in curves)
    at: dict[str, Any] = {}
    for curve in curves:
        done = int(np.searchsorted(curve[axis], limit, side="right"))
        at[curve["rule"]] = {"epochs": done, **{key: curve[key][done - 1] if done else None for key in MEASURES}}
    return {axis: limit, "rules": at}
