"""A job: all the pieces that a configuration stands for, before anything is fitted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec
import numpy as np

from connfit._display import Displayed
from connfit._system.devices import check_device
from connfit._system.heap import return_freed_arrays
from connfit._system.stages import stage
from connfit.config import Config, ModelConfig
from connfit.connectome import Connectome
from connfit.connectome.fingerprint import add_connectome
from connfit.connectome.matching import READOUTS, UnitMatch, find_column, match_units
from connfit.connectome.nulls import check_null, make_null
from connfit.datasets.given_data import GivenData
from connfit.datasets.loading import (
    connectome_from_config,
    held_out_from_config,
    preprocessing_steps,
    recordings_from_config,
)
from connfit.errors import ConfigError, first_ten
from connfit.models import Readout
from connfit.models.base import INNOVATION_GAINS, Model, Params, parameter_counts
from connfit.models.cells import find_cell
from connfit.models.forecaster import ModelForecaster
from connfit.models.gains import untyped_neurons
from connfit.models.observation import INDICATOR_GROUPS
from connfit.models.wired_neurons import reads_several
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.plausibility import CAUTIONS, negative_share, same_values
from connfit.recordings.stretches import BETWEEN
from connfit.training.firing_penalty import with_firing_penalty
from connfit.training.fit import FitState, Progress, train
from connfit.training.fitted import Fit
from connfit.training.input_start import regressed_inputs
from connfit.training.learners import RULES, configured_learner
from connfit.training.learners.learner import Learner
from connfit.training.long_recordings import tried
from connfit.training.memory import MemoryEstimate, estimate_memory
from connfit.training.recipe import Recipe, automatic, check_names, find_recipe, tuning_cohort
from connfit.training.spelt_out_options import (
    baseline_options,
    inputs_option,
    names_option,
    null_options,
    spelt_out,
)
from connfit.training.untrained_model import own_options, untrained_model, without_idle_drive
from connfit.training.validation import (
    Validation,
    check_parts_scored,
    horizons_fit,
    members_left_out,
    selection_measure,
    validate,
)

ALWAYS_COUNTED = dict.fromkeys(("weights", "time_constants", "bias", "drive"), 0)
"""Groups whose number of parameters is given even where a model lacks them."""


@dataclass(frozen=True, eq=False, repr=False)
class Job(Displayed):
    """All the pieces that a configuration stands for.

    Attributes
    ----------
    config
        Names of recordings and preprocessing are spelt out. What says `"auto"` stays so: a study finds it anew for each
        of its rows.
    options
        Section `model` as it was built: what says `"auto"` in `config` has been found.
    recipe
        How that was found.
    matches
        For each recording, held-out ones included, which units are which neurons (of a region: those that lie in it).
    regression
        What a start found, ready for JSON: by regression `own` past by unit, `factors` of excitatory and inhibitory
        connections, `growth` of the fastest growing pattern per frame; by balance rates, and halvings of weights.
    given
        Data that were given in Python; None where `config` says where they are.
    later, prepared_with
        Bytes of memory: those that what follows the fit will need, by what they are for, and the peak before it.
    """

    config: Config
    options: ModelConfig
    recipe: Recipe
    connectome: Connectome
    cohort: Cohort
    readout: Readout
    model: Model
    params: Params
    learner: Learner[Any]
    trained: tuple[str, ...]
    matches: dict[str, UnitMatch]
    regression: Mapping[str, object] | None = None
    given: GivenData | None = None
    later: Mapping[str, int] = field(default_factory=dict)
    prepared_with: int = 0

    def _display(self) -> tuple[str, Mapping[str, str]]:
        parts = {"connectome": self.connectome, "cohort": self.cohort, "model": self.model}
        return "Job", {name: repr(part) for name, part in parts.items()}

    def fit(
        self,
        *,
        state: FitState | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_epoch: Callable[[FitState], None] | None = None,
    ) -> Fit:
        """Fit the model; see `connfit.training.fit.train`."""
        self.connectome.release_pages()
        trained = train(
            self.model, self.params, self.cohort, self.learner, self.config.train,
            trained=self.trained, seed=self.config.seed, state=state, on_progress=on_progress, on_epoch=on_epoch,
        )  # fmt: skip
        return replace(trained, job=self)

    def parameter_counts(self) -> dict[str, int]:
        """Count the trained numbers of each group (0 for a group that is fixed or absent)."""
        sizes = parameter_counts(self.params)
        return {group: sizes.get(group, 0) if group in self.trained else 0 for group in {**ALWAYS_COUNTED, **sizes}}

    def cautions(self) -> list[str]:
        """Describe what in the data, or in its start, a model cannot follow, and what to do about it."""
        found = []
        if self.config.model.strengths == "gain_per_type_pair":
            if untyped := untyped_neurons(self.connectome, column := self.config.model.type_column):
                found.append(
                    f"{untyped:,} of {self.connectome.n:,} neurons have no {column}: they share gains as if of one type"
                )
        found += self.connectome.notes.get(CAUTIONS, ())
        found += cast("list[str]", (self.regression or {}).get(CAUTIONS, []))
        movies = (*self.cohort.recordings, *self.cohort.held_out)
        for recording in movies:
            found += (f"{recording.name}: {caution}" for caution in recording.notes.get(CAUTIONS, ()))
        for one, other in same_values((recording.name, recording.values) for recording in movies):
            found.append(f"recordings {one} and {other} have the same values: are they copies of one?")
        found += members_left_out(self.cohort, self.config.train)
        for recording in self.cohort.recordings:
            below = negative_share(*recording.part("train"))
            if below > 0.05:
                found.append(
                    f"{recording.name}: {below:.0%} of the observed training values are below 0, where rates cannot "
                    "go: add the preprocessing step scale"
                )
        for name, units in self.cohort.left_out.items():
            if units:
                found.append(
                    f"held-out {name}: {len(units)} units that no other recording has are left out of its scores: "
                    f"{first_ten(units)}"
                )
        return found

    def observations(self) -> dict[str, int]:
        """Count the values of each part that are scored: in the loss, or one frame ahead; see `Cohort.scored`."""
        warmup = self.config.train.warmup_frames
        return {part: sum(self.cohort.scored(part, warmup_frames=warmup)) for part in PART_NAMES}

    def memory(self) -> MemoryEstimate:
        """Estimate what the fit will need; see `connfit.training.memory.estimate_memory`."""
        learner = with_firing_penalty(self.learner, self.model, self.config.train)
        fit = estimate_memory(self.model, self.params, self.cohort, learner, self.config.train, self.trained)
        return replace(fit, later=self.later, so_far=self.prepared_with)

    def fingerprint(self) -> str:
        """Compute the SHA-256 over wiring, signs and prepared recordings: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        add_connectome(digest, self.connectome)
        for recording in (*self.cohort.recordings, *self.cohort.held_out):
            digest.update("\n".join((recording.name, repr(recording.frame_rate), *recording.units)).encode())
            values, mask = recording.values, recording.mask
            for block in frame_blocks(0, *values.shape):
                digest.update(np.ascontiguousarray(np.where(mask[block], values[block], 0)).data)
            for block in frame_blocks(0, *values.shape):
                digest.update(np.ascontiguousarray(mask[block]).data)
            if (inputs := recording.inputs) is not None:
                digest.update("\n".join(inputs.channels).encode())
                digest.update(np.ascontiguousarray(np.where(inputs.mask, inputs.values, 0)).data)
                digest.update(np.ascontiguousarray(inputs.mask).data)
        return digest.hexdigest()

    def neurons_fingerprint(self) -> str:
        """Compute the SHA-256 over the words and whole numbers of the neuron table, and over synapses by region."""
        digest = hashlib.sha256()
        for name, column in self.connectome.neurons.items():
            if column.dtype.kind != "f":  # Decimals are in no model, and a file may keep them in another precision.
                known = column.astype(object).where(~column.isna().to_numpy(), "").map(str)
                digest.update("\n".join((str(name), *known)).encode())
        if (regions := self.connectome.regions) is not None:
            digest.update("\n".join(regions.names).encode())
            for counts in (regions.outputs, regions.inputs):
                for array in (counts.indptr, counts.indices, counts.data):
                    digest.update(np.ascontiguousarray(array, np.int64).data)
        return digest.hexdigest()


def prepare(config: Config, recipe: Recipe | None = None) -> Job:
    """Load the data that a configuration names and build model, start and learner.

    Parameters
    ----------
    recipe
        What was found earlier for options that say `"auto"`; default: it is found now, from training and validation
        frames (`connfit.training.recipe`).

    Raises
    ------
    ConnfitError
        If data or options are wrong.
    """
    check_device()
    check_pieces(config)
    return_freed_arrays()
    check_names(config.model)
    # Passed on without a name of its own, so that a null connectome takes its place in memory.
    with stage("reading"):
        return build(
            config, connectome_from_config(config.data),
            recordings_from_config(config.data, config.inputs.channels or ()),
            held_out_from_config(config.data, config.inputs.channels or ()), recipe,
        )  # fmt: skip


def build(
    config: Config,
    connectome: Connectome,
    recordings: Sequence[Recording],
    held_out: Sequence[Recording] = (),
    recipe: Recipe | None = None,
) -> Job:
    """Build model, start and learner for data that are here.

    Parameters
    ----------
    connectome
        The one that `config.data.null` changes, if that is set.
    recordings, held_out
        Cut into parts and preprocessed.
    recipe
        As of `prepare`.

    Raises
    ------
    ConnfitError
        If data or options are wrong.
    """
    check_names(config.model)
    if config.data.null is not None:
        connectome = make_null(connectome, config.data.null, config.seed, config.data.null_options)
    if config.model.readout == "auto":
        column = find_column(recordings[0].units, connectome, name=recordings[0].name)
    else:
        column = READOUTS[config.model.readout]
    policy = config.data.unmatched_units
    matches = {
        recording.name: match_units(recording.units, connectome, column=column, unmatched=policy)
        for recording in (*recordings, *held_out)
    }
    cohort = Cohort.from_recordings(
        [recording.select_units(matches[recording.name].matched) for recording in recordings],
        held_out=[recording.select_units(matches[recording.name].matched) for recording in held_out],
        substeps=config.data.substeps,
        inputs=config.inputs,
    )
    if any(recording.blocks for recording in cohort.recordings) and max(config.evaluate.horizons, default=0) > BETWEEN:
        raise ConfigError(
            f"evaluate.horizons = {max(config.evaluate.horizons)} frames would reach from one block into the next: "
            f"{BETWEEN} lie between"
        )
    # What leaves nothing to fit is an error before anything is written.
    cohort.change_variance()
    check_parts_scored(cohort, config.train)
    if column == "region":
        readout = Readout.by_anatomy(connectome, cohort.units, learned=config.model.learned_readout)
    else:
        readout = Readout.by_name(connectome, cohort.units, column=column, learned=config.model.learned_readout)
    longest = max(recording.require_parts().train[1] for recording in cohort.recordings) * cohort.substeps
    learner = configured_learner(config.learner, longest)
    if recipe is None:
        with stage("finding a start"):
            recipe = _find_recipe(config, connectome, cohort, readout, learner)
    options = recipe.resolve(config.model)
    with stage("start"):
        model, params, regression = untrained_model(options, config.seed, connectome, cohort, readout, config.inputs)
        if config.inputs.start == "regression" and cohort.substeps == 1:
            params = regressed_inputs(model, params, cohort)
    with_firing_penalty(learner, model, config.train)  # refused before anything is written
    trained = _trained(config, model)
    resolved = msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(
            config.data,
            null_options=null_options(config),
            recordings=names_option(config, recordings),
            held_out=tuple(recording.name for recording in held_out),
            preprocess=preprocessing_steps(config.data),
        ),
        model=msgspec.structs.replace(
            config.model,
            readout=next(readout for readout, its in READOUTS.items() if its == column),
            learn=trained,
            cell=find_cell(config.model.cell).name,
            **own_options(config.model, options),
        ),
        inputs=inputs_option(config, cohort),
        learner=spelt_out(config, learner),
        evaluate=msgspec.structs.replace(config.evaluate, baseline_options=baseline_options(config)),
    )
    return Job(
        resolved, options, recipe, connectome, cohort, readout, model, params, learner, trained, matches, regression
    )


def check_pieces(config: Config) -> None:
    """Raise an error if a configuration names an unknown null connectome or learning rule.

    Raises
    ------
    ConfigError
        Names the option, and the nearest name that exists.
    """
    data = config.data
    if data.null is not None:
        check_null(data.null, data.null_options)
    elif data.null_options:
        raise ConfigError(f"data.null_options = {data.null_options} belong to a null connectome: set data.null too")
    if config.learner.preset is not None:
        RULES.find(config.learner.preset, "learner.preset")


def _find_recipe(
    config: Config, connectome: Connectome, cohort: Cohort, readout: Readout, learner: Learner[Any]
) -> Recipe:
    """Find what says `"auto"` by the predictions of untrained models on validation frames."""
    if not automatic(config.model):
        return Recipe({})
    tuned, tuned_on = tuning_cohort(cohort)
    tuned = tried(tuned, warmup_frames=config.train.warmup_frames)
    weights = np.nan_to_num(1 / tuned.change_variance())
    horizons, near = config.train.select_on != "one_step" and horizons_fit(tuned), config.train.select_on == "near"

    def score(options: ModelConfig) -> Validation:
        options = without_idle_drive(options, readout)
        model, params, _ = untrained_model(options, config.seed, connectome, tuned, readout, config.inputs)
        return validate(ModelForecaster(model, params, tuned), weights, horizons=horizons, near=near)

    single_steps = cohort.substeps == 1
    return find_recipe(
        config.model,
        score,
        forcible=single_steps
        and not readout.learned
        and (find_cell(config.model.cell).forcible or config.model.observation.indicator != "none")
        and (learner.follows_state_forcing or reads_several(readout)),
        regressible=single_steps,
        single_neurons=single_steps and not reads_several(readout),
        tuned_on=tuned_on,
        measure=selection_measure(horizons=horizons, near=near),
    )


def _trained(config: Config, model: Model) -> tuple[str, ...]:
    """Groups to train: those that are asked for, else all that are not fixed."""
    learn, strengths = config.model.learn, config.model.strengths
    seen = config.model.observation
    fixed = {"weights"} if strengths == "fixed" else set[str]()
    fixed.update(one.name for one in model.neuron.parameters if one.fixed)
    if seen.gain == "shared":
        fixed.add(INNOVATION_GAINS)
    if not seen.learn:
        fixed.update(INDICATOR_GROUPS)
    present = tuple(group for group in model.groups if group not in fixed)
    if learn is None:
        trained = present
    else:
        absent = [group for group in learn if group not in present]
        if absent:
            raise ConfigError(
                f"model.learn: there is no group {absent[0]!r} with model.strengths = {strengths!r}, model.drive = "
                f"{config.model.drive!r} and model.learned_readout = {str(config.model.learned_readout).lower()}; "
                f"there are {', '.join(present)}"
            )
        trained = tuple(learn)
    if (config.train.l1_weights or config.train.l2_weights) and "weights" not in trained:
        raise ConfigError("train.l1_weights and train.l2_weights are penalties on weights, which are not trained here")
    return trained
