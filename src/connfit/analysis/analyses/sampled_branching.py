"""Branching ratios of the fitted model's activity, seen through its units and through samples of its neurons."""

from __future__ import annotations

from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.criticality.subsampling import SampleBranching, branching_by_sample
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain
from connfit.errors import ConnfitError


def examine(brain: FittedBrain) -> tuple[SampleBranching, ...]:
    """Estimate the branching ratio of each sample; none where the free run diverges."""
    try:
        runs = brain.runs("model")
    except ConnfitError:
        return ()
    return branching_by_sample(
        [run.units for run in runs],
        [run.neurons for run in runs if run.neurons is not None],
        frame_rate_hz=brain.frame_rate_hz, repeats=brain.options.repeats, seed=brain.options.seed,
    )  # fmt: skip


ANALYSES.register(
    Analyzer(
        name="branching",
        label="branching ratios",
        place=30,
        examine=examine,
        result=tuple,
        key="branching_by_sample",
        findings=sentences("branching"),
    )
)
