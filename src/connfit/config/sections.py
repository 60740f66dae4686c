"""Everything that decides a run, as frozen values that read and write TOML and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from connfit._display import unstorable
from connfit.config.option_types import (
    AllDevices,
    Auto,
    Count,
    CountOrZero,
    FilePath,
    Fraction,
    NotNegative,
    Positive,
    RuleOrFile,
    Runs,
    Seconds,
    Seed,
    Share,
    Spread,
    StateForcing,
    TimeConstantStart,
    bad_numbers,
    literals,
    plain,
    shown,
    tangled,
    text_in,
    with_paths,
)  # fmt: skip
from connfit.errors import ConfigError, did_you_mean

AUTO = "auto"
"""Value of options that the recipe finds, on training and validation frames alone."""

OF_EACH_UNIT = "unit"
"""Of `model.time_constant_frames`: each recorded neuron starts from its own unit's past."""

FALLBACK: Mapping[str, Any] = {
    "drive_start": "persistence", "state_forcing": 0.0, "time_constant_frames": 0.5, "weights": "counts",
    "own_shrinkage": 0.0, "drive_ridge": 0.0,
}  # fmt: skip
"""Options that may be found, and the value of each where nothing can be chosen."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, keyword-only, unknown keys are errors, values as valid as from a file.

    Raises
    ------
    ConfigError
        If a value is of the wrong type, out of range or not finite: also where a section is made in Python.
    """

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            given = getattr(self, name)
            value = plain(given)
            if why := tangled(value):
                raise ConfigError(f"{self._where()}{name}: {why}")
            if (text := text_in(value)) and (why := unstorable(text)):
                raise ConfigError(f"{self._where()}{name} = {shown(value)} {why}")
            value = with_paths(value, hint)
            try:
                valid = msgspec.convert(value, hint)
            except msgspec.ValidationError as error:
                text, _, at = str(error).partition(" - at ")
                where = f"{self._where()}{name}{at.strip('`').removeprefix('$')}"
                allowed = literals(hint) if "enum value" in text else ()
                if allowed:
                    text = f"must be one of {', '.join(map(repr, allowed))}{did_you_mean(value, allowed)}"
                raise ConfigError(f"{where} = {shown(value)}: {text}") from error
            except (AttributeError, TypeError) as error:  # of a kind that no file has
                where = f"{self._where()}{name} = {shown(value)}"
                raise ConfigError(
                    f"{where}: must be what a configuration can hold, not {type(value).__name__}"
                ) from error
            if bad := next(bad_numbers(valid), None):
                raise ConfigError(f"{self._where()}{name} = {shown(valid)}: {bad}")
            if valid is not given:
                msgspec.structs.force_setattr(self, name, valid)
        self._check_together()

    def _check_together(self) -> None:
        """Raise a ConfigError for values that are valid one by one and not together."""

    def _where(self) -> str:
        """What messages write before an option: the section that a file would have."""
        section = _SECTION_NAMES.get(type(self).__name__, "")
        return f"{section}." if section else ""


_SECTION_NAMES = {
    "TableConnectome": "data.connectome",
    "FileRecordings": "data.recording_files",
    "DataConfig": "data",
    "ModelConfig": "model",
    "InputsConfig": "inputs",
    "ObservationConfig": "model.observation",
    "LearnerConfig": "learner",
    "TrainConfig": "train",
    "EvaluateConfig": "evaluate",
}


@cache
def _hints(section: type) -> dict[str, Any]:
    return get_type_hints(section, include_extras=True)


class TableConnectome(Section, frozen=True):
    """A connectome of the user's own; `format` and `options` are those of `connfit.connectome.formats`."""

    edges: FilePath
    neurons: FilePath | None = None
    format: str = "auto"
    pre: str | None = None
    post: str | None = None
    count: str | None = None
    weight: str | None = None
    sign: str | None = None
    id: str | None = None
    type: str | None = None
    region: str | None = None
    transmitter: str | None = None
    side: str | None = None
    connection_type: str | None = None
    options: dict[str, Any] = {}


class FileRecordings(Section, frozen=True):
    """Recordings of the user's own; `format` and `options` are a reader's (`connfit.recordings.readers`).

    `each` has what differs between files: a table for each, in their order, of `format`, `frame_rate`, `kind`,
    `missing`, `empty_units`, `time_unit` and options of its reader, as `name`; what it has is used instead of what the
    section and `options` have.
    `animals` names the animal of each file: files of one are its sessions, and become one recording.
    """

    files: tuple[FilePath, ...]
    format: str = "auto"
    frame_rate: Positive | None = None
    kind: str | None = None
    missing: Literal["error", "mask"] = "error"
    empty_units: Literal["error", "drop"] | None = None
    time_unit: Literal["s", "ms", "us", "min"] | None = None
    inputs: tuple[str, ...] = ()
    input_files: tuple[FilePath, ...] = ()
    epoch_files: tuple[FilePath, ...] = ()
    resample: Literal["mean", "last"] = "mean"
    unit_table: FilePath | None = None
    unit_names: str | None = None
    repeated_units: Literal["error", "mean"] = "error"
    animals: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    each: tuple[dict[str, Any], ...] = ()

    def _check_together(self) -> None:
        if self.each and len(self.each) != len(self.files):
            raise ConfigError(
                f"data.recording_files.each has {len(self.each)} tables for {len(self.files)} files: write one for "
                "each file, in the same order; {} changes nothing"
            )
        if self.animals and len(self.animals) != len(self.files):
            raise ConfigError(
                f"data.recording_files.animals has {len(self.animals)} names for {len(self.files)} files: write one "
                "for each file, in the same order"
            )


class DataConfig(Section, frozen=True):
    """What is fitted: a named dataset, or the user's own tables and recordings."""

    dataset: str | None = None
    recordings: tuple[str, ...] = ()
    connectome: TableConnectome | None = None
    recording_files: FileRecordings | None = None
    saved: FilePath | None = None
    held_out: tuple[str, ...] = ()
    scale: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    variant: str | None = None
    null: str | None = None
    null_options: dict[str, Any] = {}
    order: Literal["source", "local"] | None = None
    min_synapses: Count | None = None
    sign_rule: RuleOrFile | None = None
    unknown_transmitter: Literal["error", "excitatory", "inhibitory", "drop"] | None = None
    electrical: Literal["drop", "include"] = "drop"
    self_connections: Literal["keep", "drop"] = "keep"
    unmatched_units: Literal["report", "error"] = "report"
    preprocess: tuple[dict[str, Any], ...] | None = None
    crop_s: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    crop_frames: tuple[CountOrZero, Count] | dict[str, tuple[CountOrZero, Count]] | None = None
    epochs: tuple[str, ...] = ()
    train: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.6
    validation: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.15
    gap: CountOrZero = 0
    substeps: Count = 1

    def _check_together(self) -> None:
        if None not in (self.crop_s, self.crop_frames):
            raise ConfigError("data.crop_s and data.crop_frames are both set: keep one")
        for option in ("crop_s", "crop_frames"):
            given = getattr(self, option) or {}
            for name, (start, stop) in given.items() if isinstance(given, dict) else [("", given)]:
                if not start < stop:
                    where = f"data.{option}{f'.{name}' if name else ''}"
                    raise ConfigError(f"{where} = ({start:g}, {stop:g}) must be from and to, the second larger")
        if len(set(self.epochs)) != len(self.epochs):
            raise ConfigError(f"data.epochs = {self.epochs} names an epoch twice")
        if self.train + self.validation >= 1:
            raise ConfigError(
                f"data.train = {self.train:g} and data.validation = {self.validation:g} must be fractions whose sum is "
                "below 1, the rest is the test part"
            )


class ObservationConfig(Section, frozen=True):
    """How recordings see neurons: the indicator, what innovations move, drift, and the noise of what is recorded."""

    indicator: str = "none"
    decay_s: Seconds | None = None
    rise_s: Seconds | None = None
    learn: bool = True
    bounds: tuple[float, float] = (0.5, 2.0)
    per: Literal["all", "neuron"] = "all"
    gain: Literal["shared", "unit"] = "shared"
    drift_gain: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    noise: Literal["squared", "gaussian", "student-t"] = "squared"
    noise_degrees: Positive = 4.0

    def _check_together(self) -> None:
        low, high = self.bounds
        if not 0 < low <= 1 <= high:
            raise ConfigError(
                f"model.observation.bounds = ({low:g}, {high:g}) must be factors 0 < low <= 1 <= high of where time "
                "constants of the indicator start"
            )


class ModelConfig(Section, frozen=True):
    """Options of the model, and how its parameters start."""

    cell: str = "rate"
    cell_options: dict[str, Any] = {}
    delay: CountOrZero = 0
    observation: ObservationConfig = ObservationConfig()
    drive: Literal["dense", "anatomical", "none"] = "dense"
    readout: Literal["auto", "anatomical", "names", "types"] = "auto"
    learned_readout: bool = False
    nonlinearity: Literal["relu", "softplus"] = "relu"
    state_forcing: StateForcing | Auto = "auto"
    strengths: Literal["free", "fixed", "gain_per_neuron", "gain_per_type_pair"] = "free"
    type_column: str = "type"
    weights: str = AUTO
    weight_spread: Spread = 0.0
    spectral_radius: Positive | None = 0.1
    time_constant_frames: Positive | TimeConstantStart = "auto"
    hidden_time_constant_frames: tuple[float, float] | None = (0.5, 10.0)
    time_constant_bounds_frames: tuple[float, float] = (0.2, 50.0)
    drive_start: str = AUTO
    start_options: dict[str, Any] = {}
    own_shrinkage: Share | Auto = "auto"
    drive_ridge: NotNegative | Auto | None = "auto"
    bias_start: Literal["balanced", "zero"] = "balanced"
    learn: tuple[str, ...] | None = None

    def _check_together(self) -> None:
        low, high = self.time_constant_bounds_frames
        if not 0 < low < high:
            raise ConfigError(
                f"model.time_constant_bounds_frames = ({low:g}, {high:g}) must be bounds 0 < low < high in frames"
            )
        if self.hidden_time_constant_frames is not None:
            low, high = self.hidden_time_constant_frames
            if not 0 < low <= high:
                raise ConfigError(
                    f"model.hidden_time_constant_frames = ({low:g}, {high:g}) must be a range 0 < low <= high in frames"
                )


class InputsConfig(Section, frozen=True):
    """External inputs: which channels act on which neurons, and when; see docs/inputs.md."""

    channels: tuple[str, ...] | None = None
    lags: Annotated[tuple[CountOrZero, ...], msgspec.Meta(min_length=1)] | None = None
    exogenous: bool = False
    targets: str | tuple[str, ...] | dict[str, str | tuple[str, ...]] = "all"
    shared: bool = False
    free_run: Literal["recorded", "none"] = "recorded"
    start: Literal["regression", "zero"] = "regression"

    def _check_together(self) -> None:
        for name in ("channels", "lags"):
            values = getattr(self, name) or ()
            if len(set(values)) != len(values):
                raise ConfigError(f"inputs.{name} = {values} names a value twice")
        if 0 in (self.lags or ()) and not self.exogenous:
            wrong = "inputs.lags = 0 shows a frame that is to be predicted the input of the same frame: set "
            raise ConfigError(f"{wrong}inputs.exogenous = true if the animal cannot have made it, or leave 0 out")
        if isinstance(self.targets, dict) and self.channels is not None and set(self.targets) != set(self.channels):
            named, all_of_them = ", ".join(self.targets), ", ".join(self.channels)
            raise ConfigError(
                f"inputs.targets names {named}: it must name each of inputs.channels, which are {all_of_them}"
            )


class LearnerConfig(Section, frozen=True):
    """The learning rule by name, or the two dials of one, see `connfit.training.learners`."""

    preset: str | None = None
    rule_options: dict[str, Any] = {}
    window: Count = 16
    credit: Literal["neuron", "network", "none"] | None = None
    carry: Literal["trace", "history", "factorised", "none"] | None = None
    history: Count | None = None
    trace_dtype: Literal["float32", "bfloat16"] = "float32"
    trace_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9


class TrainConfig(Section, frozen=True):
    """Options of training: schedule, optimiser and penalties."""

    epochs: CountOrZero = 100
    free_run_epochs: CountOrZero = 0
    free_run_frames: Count = 20
    forced_frames: Count = 20
    warmup_frames: CountOrZero = 20
    batch: Count | None = None
    optimiser: Literal["adam", "rmsprop"] = "adam"
    learning_rate: Positive | Auto = "auto"
    free_run_rate_fraction: Fraction = 0.1
    rate_scale: dict[str, NotNegative] = {}
    final_learning_rate_fraction: Fraction = 0.1
    clip_norm: Positive | None = 1.0
    l1_weights: NotNegative = 0.0
    l2_weights: NotNegative = 0.0
    drive_distance: NotNegative = 0.0
    firing_rate_penalty: NotNegative = 0.0
    firing_rate_band_hz: tuple[float, float] = (0.1, 20.0)
    firing_rate_mean_s: Positive = 10.0
    patience: Count | None = 20
    select_on: Literal["one_step", "horizon", "near"] = "horizon"
    checkpoint_every: Count = 1
    check_memory: bool = True
    devices: Count | AllDevices = 1

    def _check_together(self) -> None:
        low, high = self.firing_rate_band_hz
        if not (0 <= low <= high and high > 0):
            raise ConfigError(
                f"train.firing_rate_band_hz = ({low:g}, {high:g}) must be rates 0 <= low <= high in hertz, the second "
                "above 0; a low of 0 lets neurons be silent"
            )


class EvaluateConfig(Section, frozen=True):
    """Options of evaluation: horizons, free runs and baselines."""

    horizons: tuple[Count, ...] = (1, 2, 5, 10, 30)
    free_run_warmup: CountOrZero = 250
    free_run_noise: Literal["residuals", "none"] = "residuals"
    free_run_runs: Runs = 16
    horizon_starts: Count = 128
    run_ahead: Literal["auto", "all", "test"] = "auto"
    var_lags: tuple[Count, ...] = (1, 2, 4)
    ar_orders: tuple[Count, ...] = (1, 2, 3, 4, 6, 8, 12)
    latent_dimensions: tuple[Count, ...] = (2, 4, 8, 16, 24)
    baseline_seed: Seed = 0
    left_out_units: CountOrZero = 128
    baselines: tuple[str, ...] = ("mean", "persistence", "ar", "var_ridge", "var_around_ar", "reduced_rank")
    baseline_options: dict[str, dict[str, Any]] = {}

    def _check_together(self) -> None:
        for name in ("horizons", "var_lags", "ar_orders", "latent_dimensions", "baselines"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ConfigError(f"evaluate.{name} = {values} names a value twice")
            if not values and name in ("var_lags", "ar_orders", "latent_dimensions"):
                raise ConfigError(f"evaluate.{name} is empty: name one value at least for baselines to choose from")


class Config(Section, frozen=True):
    """All options of one run."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    inputs: InputsConfig = InputsConfig()
    learner: LearnerConfig = LearnerConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    seed: Seed = 0
