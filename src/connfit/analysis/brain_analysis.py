"""What `connfit analyze` finds of the brain of a run: the content of `analysis/analysis.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connfit._display import Displayed
from connfit._io import optional, present, read_json
from connfit._system.paths import user_path
from connfit.analysis.analyses.weight_summary import Weights
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.criticality.power import Power
from connfit.analysis.criticality.signature_table import SourceSignatures
from connfit.analysis.criticality.subsampling import SampleBranching
from connfit.analysis.dynamics.fit_stability import Stability
from connfit.analysis.parameters.time_constants import TimeConstantStatistics
from connfit.analysis.spiking.fitted_spikes_results import FittedSpikes

FOLDER, FILE = "analysis", "analysis.json"
"""Where an analysis lies in a run directory."""


@dataclass(frozen=True, repr=False)
class Analysis(Displayed):
    """What a fitted brain does, beside its data, the untrained model and surrogates.

    Parameters
    ----------
    connfit
        Version.
    dataset, surrogate, seed
        Of the fit; `surrogate` where its data were generated.
    options
        Of the analysis.
    frame_rate_hz, recordings
        Of the data: frames per second, and names.
    neurons, neurons_kept, recordings_of_neurons
        Neurons of the model, those whose rates were analysed, and in how many recordings.
    reference_threshold, bins, fewest_avalanches, floors
        Of the avalanches: the threshold that was chosen in advance, bin widths in frames, fewest avalanches of a power
        law, and what separates two.
    sources
        Signs of criticality of `data_units`, `model_units`, `model_neurons`, `untrained_units`, `untrained_neurons`.
    power
        How likely criticality would have been seen.
    branching_by_sample
        Branching ratios of the fitted model's activity, seen through units and samples of neurons.
    stability
        Eigenvalues and Lyapunov exponents.
    weights, time_constants
        What the fit did to them.
    spikes
        How the fitted model spikes; None of cells that do not.
    findings
        Sentences, each by a fixed rule from the numbers.
    analyses, analyses_left_out
        Results of analyses of other packages by name, and why some have none.
    """

    connfit: str = ""
    dataset: str = ""
    surrogate: bool = False
    seed: int = 0
    options: AnalysisOptions = field(default_factory=AnalysisOptions)
    frame_rate_hz: float = 1.0
    neurons: int = 0
    neurons_kept: int = 0
    recordings: tuple[str, ...] = ()
    recordings_of_neurons: int = 0
    reference_threshold: str = ""
    bins: tuple[int, ...] = ()
    fewest_avalanches: int = 0
    floors: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, SourceSignatures] = field(default_factory=dict)
    power: Power | None = None
    branching_by_sample: tuple[SampleBranching, ...] = ()
    stability: Stability = field(default_factory=Stability)
    weights: Weights = field(default_factory=Weights)
    time_constants: TimeConstantStatistics = field(default_factory=TimeConstantStatistics)
    spikes: FittedSpikes | None = optional()
    findings: tuple[str, ...] = ()
    analyses: Mapping[str, Mapping[str, Any]] = optional(dict)
    analyses_left_out: Mapping[str, str] = optional(dict)

    @classmethod
    def read(cls, run_folder: str | Path) -> Analysis | None:
        """Read the analysis of a run; None where it was not analysed.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        path = user_path(run_folder) / FOLDER / FILE
        return read_json(path, cls, fix="Run `connfit analyze` again") if present(path) else None

    def _display(self) -> tuple[str, Mapping[str, str]]:
        judged = {source.what: source.judgement for source in self.sources.values()}
        facts = {f"avalanches, {what}": word or "not analysed" for what, word in judged.items()}
        radius = self.stability.after.radius("jacobian_closed")
        facts |= {} if radius is None else {"spectral radius of a free run": f"{radius:.3f}"}
        facts |= {name: "analysed" for name in self.analyses}
        return f"{'SURROGATE ' if self.surrogate else ''}Analysis of {self.dataset!r}", facts
