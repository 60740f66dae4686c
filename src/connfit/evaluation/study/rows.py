"""The rows of a study, and the configuration that each stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from connfit import config as configuration
from connfit.config import Config, LearnerConfig, ModelConfig, ObservationConfig
from connfit.connectome.nulls import NULLS
from connfit.errors import ConfigError, first_ten, one_of
from connfit.evaluation.baselines import BASELINES
from connfit.models.base import INNOVATION_GAINS, NOISE_SCALE
from connfit.models.cells import CELLS, find_cell
from connfit.models.observation import INDICATOR_GROUPS, INDICATORS
from connfit.training.firing_penalty import follows_firing
from connfit.training.learners import RULES, configured_learner
from connfit.training.optimiser import LABELS

CONNECTOME = "connectome"
UNTRAINED = "untrained"

WEIGHT_SPREAD = 0.5
"""Standard deviation of the log-normal factor on starting weights where the fit itself has none.

Synapse counts are the same for every seed: without it seeds start so much alike that their agreement says nothing.
"""

FITTED = ("connectome", "ablation", "learning", "null")
"""Groups of rows that are fits of the connectome model."""

OPTIMISER_ROWS: Mapping[str, str] = MappingProxyType(
    {"adam": "gradients are averaged over steps too", "rmsprop": "gradients are not averaged over steps"}
)
"""Optimisers of a study, and what each does beside the other."""


@dataclass(frozen=True)
class PlannedRow:
    """One row of the table before it is computed.

    Parameters
    ----------
    name
        Also the name of its folders.
    group
        `"connectome"`, `"untrained"`, `"ablation"`, `"learning"`, `"null"` or `"baseline"`.
    keeps, changes
        In words, against the row `connectome`.
    model, learner, train, inputs
        Options of these sections that differ from the row `connectome`.
    null
        Null connectome that it is fitted to.
    frozen
        Groups of parameters that stay at their start.
    """

    name: str
    group: str
    keeps: str
    changes: str
    model: Mapping[str, Any] = field(default_factory=dict)
    learner: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    null: str | None = None
    frozen: tuple[str, ...] = ()

    @property
    def fitted(self) -> bool:
        """Whether it is a fit of the connectome model, with a run directory of its own."""
        return self.group in FITTED


def study_rows(config: Config, baselines: Sequence[str], only: Sequence[str] = ()) -> tuple[PlannedRow, ...]:
    """Return all rows of the study of a configuration, in the order of the table.

    Ablations are of what the configuration has: an option that it has already is not a row.

    Parameters
    ----------
    config
        Of the row `connectome`.
    baselines
        Names of the baselines to compare with.
    only
        Rows that are wanted; the row `connectome`, which all others are compared with, is always there.

    Raises
    ------
    ConfigError
        If a row that is wanted does not exist, or the configuration is itself of a null connectome.
    """
    if config.data.null is not None:
        raise ConfigError(
            f"the run is itself on a null connectome (data.null = {config.data.null!r}): study the real one"
        )
    same = "wiring, signs, counts, budget"
    rows = [
        PlannedRow(CONNECTOME, "connectome", "everything: the fit that is studied, from other seeds", "nothing"),
        PlannedRow(UNTRAINED, "untrained", "everything", "no training"),
        *_ablations(config, same),
        *_learning(config),
        *(
            PlannedRow(null.name, "null", null.keeps, f"{null.changes} (drawn anew for each seed)", null=null.name)
            for null in NULLS.values()
            if null.in_studies
        ),
        *(
            PlannedRow(name, "baseline", "recording and parts", BASELINES.find(name, "row of a study").does)
            for name in baselines
            if config.inputs.channels or not BASELINES.find(name, "row of a study").with_inputs_of
        ),
    ]
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise ConfigError(f"two rows of the study have the name {twice[0]!r}: one of the pieces needs another name")
    if not only:
        return tuple(rows)
    wanted = {CONNECTOME, *(one_of("row of a study", name, [row.name for row in rows]) for name in only)}
    return tuple(row for row in rows if row.name in wanted)


def _ablations(config: Config, same: str) -> list[PlannedRow]:
    model = config.model
    strengths = {
        "free": ("free_strengths", "one free magnitude per connection"),
        "fixed": ("fixed_strengths", "weights stay at the synapse counts; biases, time constants, drive are learned"),
        "gain_per_neuron": ("gain_per_neuron", "synapse counts times one learned gain per neuron"),
        "gain_per_type_pair": ("gain_per_type_pair", "synapse counts times one learned gain per pair of cell types"),
    }
    # Without a drive, time constants alone would carry on what goes beyond the recording, and much further.
    # A row whose state forcing says "auto" finds its own.
    forced = model.state_forcing != "auto" and model.state_forcing
    at_most_1 = {"state_forcing": 1.0} if forced and forced > 1 else {}
    no_further = "; states are forced to it and no further" if at_most_1 else ""
    drives = {
        "none": ("no_drive", f"no drive: recorded activity is not an input{no_further}", at_most_1),
        "anatomical": ("anatomical_drive", "units drive only the neurons that anatomy allows", {}),
        "dense": ("dense_drive", "every unit may drive every neuron", {}),
    }
    rows = [
        PlannedRow(name, "ablation", same, changes, {"drive": drive, **more})
        for drive, (name, changes, more) in drives.items()
        if drive != model.drive
    ]
    seen = model.observation
    own_gains = seen.gain == "unit" or seen.drift_gain > 0
    alike = {"observation": _replace(seen, gain="shared", drift_gain=0.0)} if own_gains else {}
    unforced = {**({"state_forcing": 0.0} if forced else {}), **alike}
    if model.state_forcing != 0 or own_gains:
        changes = "states are not moved to what was recorded: it acts through the drive alone"
        rows.append(PlannedRow("no_state_forcing", "ablation", same, changes, {"state_forcing": 0.0, **alike}))
    if seen != ObservationConfig():
        changes = "no observation model: recordings are activity, errors count by their squares"
        rows.append(PlannedRow("no_observation", "ablation", same, changes, {"observation": ObservationConfig()}))
    if config.inputs.channels:
        changes = f"no inputs: {first_ten(config.inputs.channels)} act on no neuron"
        rows.append(PlannedRow("no_inputs", "ablation", same, changes, inputs={"channels": ()}))
    if not model.learned_readout:
        changes = "a learned linear read-out in place of the anatomical one"
        changes += ", and no state forcing, which needs a given one" if unforced else ""
        rows.append(PlannedRow("learned_readout", "ablation", same, changes, {"learned_readout": True, **unforced}))
    if model.learn is None or "time_constants" in model.learn:
        changes = "time constants stay at their start"
        rows.append(PlannedRow("frozen_time_constants", "ablation", same, changes, frozen=("time_constants",)))
    for cell in CELLS.values():
        if cell.in_studies and cell.name != model.cell:
            default = {name: getattr(ModelConfig(), name) for name in _own_options(model.cell)}
            free, more = ("", {}) if cell.neuron.spikes else _unpenalised(config)
            rows.append(
                PlannedRow(
                    cell.row, "ablation", same, f"neurons of another kind: {cell.does}{free}",
                    {**default, "cell": cell.name, "cell_options": {}}, train=more,
                )
            )  # fmt: skip
    for kind, (name, changes) in strengths.items():
        if kind != model.strengths:
            # Fixed to the counts means without the factor by which the starts of seeds differ.
            spread = {"weight_spread": 0.0} if kind == "fixed" else {}
            rows.append(PlannedRow(name, "ablation", same, changes, {"strengths": kind, **spread}))
    return rows


def _unpenalised(config: Config) -> tuple[str, dict[str, Any]]:
    """What changes, in words and in section `train`, of a row that cannot have the run's penalty on firing rates."""
    if not config.train.firing_rate_penalty:
        return "", {}
    return ", without the penalty on firing rates, which it cannot have", {"firing_rate_penalty": 0.0}


def _own_options(cell: str) -> list[str]:
    """Options of section `model` that belong to a cell."""
    return [name for name in find_cell(cell).options.__struct_fields__ if hasattr(ModelConfig, name)]


def _learning(config: Config) -> list[PlannedRow]:
    """The learning rules and the optimiser that the configuration does not have."""
    options = config.learner
    own = configured_learner(options)
    same = "model, wiring, signs, counts, start, epochs, learning rate"
    rows = []
    # A run without credit through time has windows of one step: the others get the usual ones.
    window = options.window if own.through_time else LearnerConfig().window
    for rule in RULES.values():
        learner = rule.learner(window)
        alike = (type(learner), learner.dials) == (type(own), own.dials)
        if not rule.in_studies or (alike if own.through_time else not learner.through_time):
            continue
        free, more = ("", {}) if follows_firing(learner) else _unpenalised(config)
        changes = f"learning rule: {rule.does} (K = {learner.window}){free}"
        rows.append(PlannedRow(rule.row, "learning", same, changes, learner=rule.settings(window), train=more))
    for name, does in OPTIMISER_ROWS.items():
        if name != config.train.optimiser:
            changes = f"optimiser {LABELS[name]}: {does}"
            rows.append(PlannedRow(name, "learning", f"{same}, learning rule", changes, train={"optimiser": name}))
    return rows


def study_config(config: Config, settings: Sequence[str] = ()) -> Config:
    """Return the configuration of the row `connectome`: the run's, with what the study changes for all rows alike.

    Starting weights get a spread where they have none (`WEIGHT_SPREAD`), checkpoints are written less often, and each
    fit is trained on one device, for there are many fits.

    Parameters
    ----------
    settings
        `section.key=value`, for all rows.
    """
    model = config.model if config.model.weight_spread else _replace(config.model, weight_spread=WEIGHT_SPREAD)
    epochs = config.train.epochs + config.train.free_run_epochs
    train = _replace(config.train, checkpoint_every=max(1, epochs // 20), devices=1)
    return configuration.override(_replace(config, model=model, train=train), settings)


def row_config(row: PlannedRow, base: Config, seed: int) -> Config:
    """Return the configuration of one row and seed.

    Parameters
    ----------
    base
        Of the row `connectome`, see `study_config`.

    Raises
    ------
    ConfigError
        If the row is not a fit.
    """
    if not (row.fitted or row.group == "untrained"):
        raise ConfigError(f"row {row.name!r} is not a fit of a connectome model")
    model, inputs = _replace(base.model, **row.model), _replace(base.inputs, **row.inputs)
    if base.model.learn is not None:
        learn = _learned(base, model, row.frozen)
    else:
        learn = [group for group in _groups(model) if group not in row.frozen] if row.frozen else None
    if learn is not None:
        absent = () if inputs.channels else ("inputs",)
        model = _replace(model, learn=tuple(group for group in _present(model, learn) if group not in absent))
    learner, train = _replace(base.learner, **row.learner), _replace(base.train, **row.train)
    data = _replace(base.data, null=row.null)
    return _replace(base, data=data, model=model, inputs=inputs, learner=learner, train=train, seed=seed)


def _learned(base: Config, model: Any, frozen: Sequence[str]) -> list[str]:
    """Groups to learn: those of the base that the row's model has, and those that only the row's model has."""
    wanted = set(base.model.learn or ())
    strengths = wanted & {"weights", "gains"}
    if strengths or base.model.strengths == "fixed":
        wanted |= {"weights", "gains"}
    if base.model.drive == "none":
        wanted.add("drive")
    if not base.model.learned_readout:
        wanted.add("readout")
    return [group for group in _groups(model) if group in wanted and group not in frozen]


def _groups(model: Any) -> tuple[str, ...]:
    return *find_cell(model.cell).groups, *INDICATOR_GROUPS


def _present(model: Any, groups: Sequence[str]) -> tuple[str, ...]:
    """Those of the groups that a model with these options has."""
    absent = {"fixed": {"weights", "gains"}, "free": {"gains"}}.get(model.strengths, {"weights"})
    absent = {*absent, *(["drive"] if model.drive == "none" else [])}
    absent |= set() if model.learned_readout else {"readout"}
    seen = model.observation
    absent |= set() if seen.gain == "unit" else {INNOVATION_GAINS}
    absent |= {NOISE_SCALE} if seen.noise == "squared" else set()
    order = INDICATORS.find(seen.indicator, "model.observation.indicator").order if seen.learn else 0
    absent |= set(INDICATOR_GROUPS[: len(INDICATOR_GROUPS) - order])
    return tuple(group for group in groups if group not in absent)


def _replace(section: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(section, **changes)
