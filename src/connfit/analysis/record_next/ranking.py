"""Rank unrecorded neurons, and stimulations, by what they would tell fits of several seeds apart by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit._io import csv_text, replacing_together, write_bytes, write_json
from connfit.analysis.record_next.ensemble import Ensemble
from connfit.analysis.record_next.ensemble_activity import ensemble_activity
from connfit.analysis.record_next.information import CRITERIA, INPUTS, Deviations, choose, gains
from connfit.analysis.record_next.record_next_results import (
    FILE,
    NEURONS,
    STIMULATIONS,
    Member,
    NeuronToRecord,
    NeuronToStimulate,
    RecordNext,
)
from connfit.analysis.record_next.recorded_inputs import input_shares, known_inputs
from connfit.analysis.record_next.stimulation_information import DEFAULT, responses_of_members, told
from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models.perturb import parse_neuron_set
from connfit.models.pulse import Stimulations
from connfit.training.fitted import Fit

MOST_CANDIDATES = 2_000
"""Neurons whose covariances are computed: of large brains those that fits disagree about most."""

MOST_STIMULATED = 512
"""Neurons that are stimulated one by one: of large brains those with the most outgoing synapses."""

LISTED = 50
"""Neurons that the JSON file lists at least; the tables beside it have all of them."""

WORSE = 0.05
"""Validation skill by which a member may fall behind the best before it is named."""


@dataclass(frozen=True)
class RecordNextOptions:
    """What to look for.

    Parameters
    ----------
    count
        Neurons to choose.
    criterion
        One of `connfit.analysis.record_next.information.CRITERIA`.
    noise
        Standard deviation of what is measured, in units of a neuron's own over time.
    among
        Sets of neurons that can be recorded or stimulated, see `connfit.models.perturb.parse_neuron_set`; all if empty.
    stimulations
        Neurons that are stimulated at most; 0: none.
    how
        What every stimulation is, and over which time its responses are averaged.

    Raises
    ------
    ConfigError
        If an option is out of range.
    """

    count: int = 20
    criterion: str = INPUTS
    noise: float = 0.5
    among: tuple[str, ...] = ()
    stimulations: int = MOST_STIMULATED
    how: Stimulations = DEFAULT

    def __post_init__(self) -> None:
        one_of("criterion", self.criterion, CRITERIA)
        if self.count < 1:
            raise ConfigError(f"count = {self.count} must be 1 or more neurons")
        if self.stimulations < 0:
            raise ConfigError(f"stimulations = {self.stimulations} must be 0 (none) or more")
        if not (np.isfinite(self.noise) and self.noise > 0):
            raise ConfigError(f"noise = {self.noise:g} must be finite and above 0: no record is without")


def record_next(
    fits: Ensemble | Sequence[Fit] | Sequence[str | Path], options: RecordNextOptions | None = None
) -> RecordNext:
    """Rank unrecorded neurons by what their recording would tell, and neurons by what their stimulation would.

    Parameters
    ----------
    fits
        Fits of several seeds of one configuration, or their run directories, or one whose study has several seeds.

    Raises
    ------
    ConnfitError
        If there are no such fits, or an option is wrong.
    """
    options = options or RecordNextOptions()
    ensemble = _ensemble(fits)
    brain = ensemble.connectome
    allowed = _allowed(brain, options.among)
    activity = ensemble_activity(ensemble)
    deviations = Deviations.of(activity)
    varies = deviations.spread > 0
    able = allowed & ~ensemble.recorded
    candidates = np.flatnonzero(able & varies)
    short = _most(candidates, deviations.disagreement[candidates], MOST_CANDIDATES)
    recorded = _to_record(ensemble, deviations, short, options)
    stimulable = np.flatnonzero(allowed)
    outgoing = np.bincount(brain.indices, brain.counts, brain.n)
    stimulated = _most(stimulable, outgoing[stimulable], min(options.stimulations, MOST_STIMULATED))
    stimulations = _to_stimulate(ensemble, stimulated, options) if len(stimulated) else ()
    from connfit._version import __version__

    config = ensemble.members[0].require_job().config
    members = tuple(_member(name, fit) for name, fit in zip(ensemble.names, ensemble.members, strict=True))
    found = RecordNext(
        connfit=__version__,
        dataset=config.data.dataset or brain.name,
        surrogate=any(bool(source.notes.get("surrogate")) for source in (brain, *ensemble.cohort.recordings)),
        members=members,
        neurons=brain.n,
        recorded=int(ensemble.recorded.sum()),
        candidates=len(candidates),
        shortlisted=len(short),
        flat=int((able & ~varies).sum()),
        frames=activity.shape[1],
        criterion=options.criterion,
        criterion_in_words=CRITERIA[options.criterion],
        noise=options.noise,
        uncertainty=float(deviations.disagreement[short].mean()) if len(short) else 0.0,
        how=options.how,
        stimulated=len(stimulated),
        stimulation_candidates=len(stimulable),
        to_record=recorded[: max(options.count, LISTED)],
        to_stimulate=stimulations[: max(options.count, LISTED)],
        cautions=tuple(_cautions(members, len(candidates), len(short))),
    )
    object.__setattr__(found, "all_neurons", recorded)
    object.__setattr__(found, "all_stimulations", stimulations)
    return found


def write_record_next(found: RecordNext, out: str | Path) -> Path:
    """Write `record_next.json`, and all candidates as `neurons.csv` and `stimulations.csv`, into a folder."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with replacing_together(out / NEURONS, out / STIMULATIONS, out / FILE) as (neurons, stimulations, record):
        write_bytes(neurons, _csv(NeuronToRecord, found.all_neurons).encode())
        write_bytes(stimulations, _csv(NeuronToStimulate, found.all_stimulations).encode())
        write_json(record, found)
    return out / FILE


def _csv(kind: type, rows: Sequence[Any]) -> str:
    names = [each.name for each in fields(kind)]
    return csv_text(
        [names, *(["" if (value := getattr(row, name)) is None else value for name in names] for row in rows)]
    )


def _ensemble(fits: Ensemble | Sequence[Fit] | Sequence[str | Path]) -> Ensemble:
    if isinstance(fits, Ensemble):
        return fits
    loaded = [each for each in fits if isinstance(each, Fit)]
    if len(loaded) == len(fits):
        return Ensemble.of(loaded)
    return Ensemble.load([each for each in fits if not isinstance(each, Fit)])


def _allowed(brain: Connectome, among: Sequence[str]) -> Bool[np.ndarray, "N"]:
    if not among:
        return np.ones(brain.n, bool)
    allowed = np.zeros(brain.n, bool)
    for text in among:
        allowed[parse_neuron_set(text, brain, option="among")] = True
    return allowed


def _most(neurons: Int[np.ndarray, "c"], by: Float[np.ndarray, "c"], count: int) -> Int[np.ndarray, "s"]:
    """The `count` neurons with most of something, in the order of the connectome."""
    return np.sort(neurons[np.argsort(-by, kind="stable")[:count]])


def _to_record(
    ensemble: Ensemble, deviations: Deviations, short: Int[np.ndarray, "s"], options: RecordNextOptions
) -> tuple[NeuronToRecord, ...]:
    """Chosen neurons in their order, then the others of the short list by what they would tell alone."""
    brain = ensemble.connectome
    if options.criterion == INPUTS:
        chosen, alone = known_inputs(
            input_shares(ensemble, deviations.spread), np.asarray(brain.indices), np.asarray(brain.posts),
            deviations.disagreement, ensemble.recorded, short, options.count,
        )  # fmt: skip
    else:
        covariance = deviations.covariance(short)
        chosen = choose(covariance, options.noise, options.count, options.criterion)
        total = float(np.trace(covariance))
        alone = gains(covariance, options.noise, options.criterion)
        if options.criterion == "variance" and total > 0:
            alone = alone / total
    rest = np.setdiff1d(np.arange(len(short)), chosen.order)
    order = [*chosen.order.tolist(), *rest[np.argsort(-alone[rest], kind="stable")].tolist()]
    disagreement, taken = deviations.disagreement[short], len(chosen.order)
    rows = []
    for place, k in enumerate(order):
        name, kind, region = _named(brain, int(short[k]))
        chosen_at = place if place < taken else None
        rows.append(
            NeuronToRecord(
                None if chosen_at is None else place + 1, name, kind, region, float(disagreement[k]), float(alone[k]),
                None if chosen_at is None else float(chosen.gain[place]),
                None if chosen_at is None else float(chosen.left[place]),
            )
        )  # fmt: skip
    return tuple(rows)


def _to_stimulate(
    ensemble: Ensemble, neurons: Int[np.ndarray, "c"], options: RecordNextOptions
) -> tuple[NeuronToStimulate, ...]:
    each = told(responses_of_members(ensemble, neurons, options.how), options.noise)
    units, recorded = ensemble.cohort.units, ensemble.recorded
    rows = []
    for place, k in enumerate(np.argsort(-each.information, kind="stable").tolist()):
        neuron = int(neurons[k])
        name, kind, region = _named(ensemble.connectome, neuron)
        rows.append(
            NeuronToStimulate(
                place + 1, name, kind, region, bool(recorded[neuron]), float(each.information[k]),
                float(each.disagreement[k]), float(each.size[k]), units[each.unit[k]],
            )
        )  # fmt: skip
    return tuple(rows)


def _named(brain: Connectome, neuron: int) -> tuple[str, str, str]:
    name, kind, region = (str(brain.neurons[key].iat[neuron]) for key in ("id", "type", "region"))
    return name, kind, region


def _member(name: str, fit: Fit) -> Member:
    skill = None if fit.best_epoch is None else fit.history[fit.best_epoch].get("validation_skill")
    return Member(name, fit.require_job().config.seed, None if skill is None else float(skill))


def _cautions(members: Sequence[Member], candidates: int, shortlisted: int) -> list[str]:
    found = []
    skills = {each.name: each.validation_skill for each in members if each.validation_skill is not None}
    best = max(skills.values(), default=0.0)
    behind = [name for name, skill in skills.items() if skill < best - WORSE]
    if behind:
        found.append(
            f"{', '.join(behind)}: validation skill more than {WORSE:g} below the best fit's; what it disagrees about "
            "may be its own error and not what recordings leave open"
        )
    if len(members) < 4:
        found.append(f"{len(members)} fits are few: their variance is itself uncertain, so that ranks are coarse")
    if not candidates:
        found.append("there is no unrecorded neuron that varies in the fits, so that there is nothing to choose from")
    if shortlisted < candidates:
        found.append(
            f"of {candidates:,} candidates only the {shortlisted:,} that fits disagree about most were compared"
        )
    return found
