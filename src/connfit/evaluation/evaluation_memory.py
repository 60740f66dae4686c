"""Estimate what evaluation and report of a fit hold at their peak, from shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import jax

from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.baselines.wide_moments import MOST_DECOMPOSED, MOST_INPUTS
from connfit.evaluation.connectivity import MOST_COMPARED
from connfit.evaluation.free_run import LONGEST_RUN
from connfit.evaluation.left_out_mlp import fitting_bytes
from connfit.evaluation.predictions import longest_horizon
from connfit.evaluation.squared_errors import stretches
from connfit.recordings import PART_NAMES, Recording
from connfit.training.problem import Job

LIBRARIES = 655_000_000
"""Python, JAX, SciPy, Matplotlib and the others, with the programs of two models: bytes of resident memory (Linux)."""

NUMBER = 8

PAIRS = 9
"""Matrices of all compared units that one functional connectivity is computed in, with those that are kept."""

RUN = 6
"""Arrays of the frames of a free run that its scores are computed from, beside the data's."""

AHEAD = 3
"""Copies of predictions of all horizons: standardised, in units of the values, and one on the way."""

DECOMPOSITION = 4
"""Matrices of an eigendecomposition: what is decomposed, a copy, the vectors, the workspace."""


def evaluation_memory(job: Job) -> Mapping[str, int]:
    """Return bytes by what they are for; large arrays that grow with frames are on disk, and not among them."""
    recordings = (*job.cohort.recordings, *job.cohort.held_out)
    parameters = sum(value.size * value.dtype.itemsize for value in job.params.values())
    columns = 2 + len(job.config.evaluate.baselines)
    stages = [_stages(recording, job) for recording in recordings]
    largest = {name: max(stage[name] for stage in stages) for name in stages[0]}
    # Regressions share their moments, which stay while each of them is scored, and are gone before networks are fitted.
    moments, networks = largest.pop("moments of baselines"), largest.pop("networks")
    stage = max(largest, key=lambda name: largest[name])
    peak = {"moments of baselines": moments, stage: largest[stage]} if moments else {stage: largest[stage]}
    if networks > sum(peak.values()):
        peak = {"networks": networks}
    return MappingProxyType({
        "libraries and programs": LIBRARIES,
        "recordings": sum(recording.values.nbytes + recording.mask.nbytes for recording in recordings),
        "wiring": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(job.model.recurrent)),
        "parameters": 2 * parameters,
        "errors": columns * sum(_errors(recording, job, "test") for recording in recordings),
        **peak,
    })  # fmt: skip


def _stages(recording: Recording, job: Job) -> dict[str, int]:
    units, config = len(recording.units), job.config.evaluate
    parts = recording.require_parts()
    frames = {part: parts.length(part) for part in PART_NAMES}
    compared = min(units, MOST_COMPARED)
    ahead = sum(
        min(config.horizon_starts, frames[part]) * longest_horizon(recording, part, config) for part in PART_NAMES
    )
    run = min(max(frames.values()), LONGEST_RUN)
    moments = decomposition = 0
    if any(map(_is_regression, config.baselines)) or config.left_out_units:
        moments, decomposition = _regressions(units, frames["train"], config.var_lags)
    errors = sum(_errors(recording, job, part) for part in PART_NAMES)
    return {
        "moments of baselines": moments,
        "ahead": errors + AHEAD * NUMBER * ahead * units,
        "free runs": NUMBER * (ahead * units + RUN * run * units + PAIRS * compared**2),
        "decomposition": decomposition,
        "networks": fitting_bytes(units, config.var_lags, frames["train"], frames["validation"])
        if config.left_out_units
        else 0,
    }


def _errors(recording: Recording, job: Job, part: str) -> int:
    """Squared errors of a forecaster and of persistence, of every unit over stretches of frames."""
    config, units = job.config.evaluate, len(recording.units)
    frames = recording.require_parts().length(part)
    starts = min(config.horizon_starts, frames)
    return 2 * NUMBER * units * (stretches(frames, units) + starts * len(config.horizons))


def _regressions(units: int, frames: int, lags: tuple[int, ...]) -> tuple[int, int]:
    """Moments of every number of lags with their spectra on levels and on changes, and one decomposition on the way."""
    held, largest = 0, 0
    for lag in lags:
        inputs = lag * units
        rows = min(inputs, max(frames - lag, 0)) if inputs > MOST_INPUTS else inputs
        if rows > MOST_DECOMPOSED:
            continue
        held += NUMBER * (3 * inputs * rows + (inputs + units) * units * (rows == inputs))
        largest = max(largest, NUMBER * DECOMPOSITION * rows * max(rows, inputs if rows < inputs else rows))
    return held, largest


def _is_regression(name: str) -> bool:
    """Whether a baseline is a regression of all units on all."""
    return name in BASELINES and BASELINES[name].linear and "var_lags" in BASELINES[name].uses
