"""What to try where a linear baseline predicts better than the model."""

from __future__ import annotations


def what_to_try(
    weights: str = "free", drive: str = "dense", recordings: int | None = None, available: int | None = None
) -> str:
    """Suggest in one sentence what may help a model that a linear baseline beats, from what its fit has not used.

    Parameters
    ----------
    weights, drive
        The options `model.strengths` and `model.drive` of the fit.
    recordings, available
        Recordings that were fitted, and that there are; None where that is not known.
    """
    more = "more recordings"
    if recordings is not None and available is not None and recordings < available:
        more += f" ({recordings} of {available} {'was' if recordings == 1 else 'were'} fitted)"
    fixed = "" if weights == "fixed" else "model.strengths = fixed"
    fewer = ", ".join(filter(None, [fixed, "model.drive = anatomical" if drive == "dense" else ""]))
    tries = [more, *([f"fewer free parameters ({fewer})"] if fewer else [])]
    return (
        f"A linear baseline that predicts better leaves room: try {', '.join(tries)} or the automatic recipe, if an "
        "option was set by hand."
    )
