"""The parts of a recording on which a model is run ahead: forecasts and free runs, which are most of an evaluation."""

from __future__ import annotations

import math

from connfit.config import EvaluateConfig
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.free_run import free_run_block
from connfit.models.base import Model
from connfit.recordings import PART_NAMES, Recording

PRODUCTS = 200_000_000_000
"""What free runs of the parts before the test part may multiply: about 20 s of two cores."""


def parts_run_ahead(forecaster: Forecaster, recording: Recording, config: EvaluateConfig) -> tuple[str, ...]:
    """Return the parts on which a fitted model is run ahead: all, or the test part alone.

    Parameters
    ----------
    config
        Decides by `run_ahead`; with `"auto"` the size of the brain and the length of the recording do.
    """
    if config.run_ahead == "test":
        return ("test",)
    brain = getattr(forecaster, "model", None)
    if config.run_ahead == "all" or brain is None:
        return PART_NAMES
    frames = sum(free_run_block(recording, part, config.free_run_warmup)[1] for part in PART_NAMES if part != "test")
    steps = frames * getattr(forecaster, "substeps", 1) * config.free_run_runs
    return ("test",) if steps * weights_of(brain) > PRODUCTS else PART_NAMES


def weights_of(brain: Model) -> int:
    """Count what a step multiplies: weights of the connections and of the drive."""
    return brain.connections + (0 if brain.drive is None else math.prod(brain.drive.strengths_shape))
