"""Baselines that a fit is compared with; each is a `connfit.evaluation.forecasts.Forecaster`.

Each is fitted to one recording, on its training part only, and predicts that recording's units. For an animal that was
held out of a fit there is a version that is fitted to the training parts of other animals.

A baseline is one module here, or in another package behind an entry point of the group `connfit.baselines`, that
registers a `Baseline` in `BASELINES`; configurations, `--help`, studies and reports know it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from connfit._registry import Entry, Options, Registry, read_options
from connfit.config import EvaluateConfig
from connfit.evaluation.forecasts import Forecaster
from connfit.recordings import Recording

OPTION, OPTIONS = "evaluate.baselines", "evaluate.baseline_options"
"""Where a configuration names them, and sets their own options."""

PooledFactory = Callable[[Sequence[Recording], Sequence[str], EvaluateConfig], Forecaster]

BaselineFactory = Callable[[Recording, EvaluateConfig], Forecaster]


@dataclass(frozen=True, kw_only=True)
class Baseline(Entry):
    """A model to compare with; calling it fits it.

    Parameters
    ----------
    fit
        Fits it to the training part of a recording, as `fit(recording, config)`, with the fields of `options` as
        further keywords. What it returns counts its own numbers as `parameters`.
    does
        What it does, in words for tables.
    parameters
        How its parameters are counted.
    knows
        What it predicts from beside the last value, for the table of what explains a recording: `"own_past"` of each
        unit, `"inputs"` beside that, `"other_units"` beside both; empty: it stands for nothing there.
    uses
        Options of the section `evaluate` that it reads.
    seeded
        Whether `evaluate.baseline_seed` changes it; of a baseline without chance a study fits one seed.
    linear
        Whether its predictions are linear in the past.
    pooled
        Fits it to other animals than the one whose units it is to predict.
    not_pooled
        Why there is no such version.
    colour
        In figures; None: the next that is free.
    options
        Its own options, for `evaluate.baseline_options`.
    with_inputs_of
        The baseline that it is with the external inputs: of recordings that have some it is fitted beside that.
    """

    fit: Callable[..., Forecaster]
    does: str
    parameters: str
    knows: Literal["", "own_past", "inputs", "other_units"] = ""
    uses: tuple[str, ...] = ()
    seeded: bool = False
    linear: bool = False
    pooled: PooledFactory | None = None
    not_pooled: str = "there is no version that is fitted to other animals"
    colour: str | None = None
    options: type[Options] = Options
    with_inputs_of: str | None = None

    def __call__(self, recording: Recording, config: EvaluateConfig) -> Forecaster:
        """Fit it, with its own options as the configuration has them."""
        return self.fit(recording, config, **self.options_of(config).as_dict())

    def options_of(self, config: EvaluateConfig) -> Options:
        """Return its own options.

        Raises
        ------
        ConfigError
            If one is unknown, of the wrong type or out of range.
        """
        return read_options(self.options, config.baseline_options.get(self.name), where=f"{OPTIONS}.{self.name}")


BASELINES: Registry[Baseline] = Registry("baseline", Baseline, room=__name__, group="connfit.baselines")
"""Baselines by name."""


def check_baselines(config: EvaluateConfig) -> None:
    """Raise an error if a configuration names unknown baselines or options of them.

    Raises
    ------
    ConfigError
        Names the option, and the nearest name that exists.
    """
    for name in config.baselines:
        BASELINES.find(name, OPTION)
    for name in config.baseline_options:
        BASELINES.find(name, OPTIONS).options_of(config)


def with_their_inputs(names: Sequence[str], recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Return the names, and behind each that there is with inputs that one, if the recordings have inputs."""
    if not any(recording.inputs is not None for recording in recordings):
        return tuple(names)
    found = list[str]()
    for name in names:
        beside = [other.name for other in BASELINES.values() if other.with_inputs_of == name]
        found += [name, *(other for other in beside if other not in names)]
    return tuple(found)


def chosen_baselines(
    chosen: Sequence[str] | Mapping[str, BaselineFactory], config: EvaluateConfig
) -> dict[str, BaselineFactory]:
    """Return the named baselines; a mapping of the user's own is passed through.

    Raises
    ------
    ConfigError
        If a name or an option is unknown.
    """
    if isinstance(chosen, Mapping):
        return dict(chosen)
    for name in config.baseline_options:
        BASELINES.find(name, OPTIONS).options_of(config)
    return {name: BASELINES.find(name, OPTION) for name in chosen}


def one_animal(what: str) -> str:
    """Return why a model of all units of one animal has no version that is fitted to others."""
    return f"{what} is trained on all units of one animal together; animals differ in which units were recorded"
