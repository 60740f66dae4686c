"""What to try where a linear baseline predicts better than the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def what_to_try(model: Mapping[str, Any], recordings: int | None = None, available: int | None = None) -> str:
    """One sentence for the user of a model that a linear baseline beats, from what the fit has and has not used.

    Parameters
    ----------
    model
        Options of the section `model` as they were given or resolved; `strengths` and `drive` are read.
    recordings, available
        Recordings that were fitted, and that there are; None where that is not known.
    """
    tries = []
    if recordings is None or available is None or recordings >= available:
        tries.append("more recordings")
    else:
        tries.append(f"more recordings ({recordings} of {available} {'was' if recordings == 1 else 'were'} fitted)")
    fewer = []
    if model.get("strengths", "free") != "fixed":
        fewer.append("model.strengths = fixed")
    if model.get("drive", "dense") == "dense":
        fewer.append("model.drive = anatomical")
    if fewer:
        tries.append(f"fewer free parameters ({', '.join(fewer)})")
    tries.append("the automatic recipe, if an option was set by hand")
    return f"A linear baseline that predicts better leaves room: try {', '.join(tries[:-1])} or {tries[-1]}."
