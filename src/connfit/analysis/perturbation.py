"""`connfit simulate`: a perturbation experiment on the fitted model of a run directory, and its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from connfit import config as configuration
from connfit._io import csv_text, replacing_together, write_arrays, write_bytes, write_json
from connfit._system.claim import claims
from connfit.analysis.perturbation_results import (
    HeldSet,
    InjectedSet,
    NeuronResponse,
    Perturbation,
    RateRange,
    Response,
)
from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models.base import Model, Params
from connfit.models.held_rates import (
    SILENCE_AT,
    SILENCE_IN_WORDS,
    OutsideTraining,
    TrainingRange,
    silence_of,
    silent_rates,
)
from connfit.models.perturb import (
    DRIVES,
    HeldNeurons,
    Responses,
    parse_neuron_set,
    per_rate,
    settled,
    simulate_perturbed,
)
from connfit.recordings.inputs import InputUse
from connfit.training.checkpoints import check_wiring
from connfit.training.runs import load_fit

LISTED = 50
"""Neurons that the JSON record lists; the CSV file has all of them."""


@dataclass(frozen=True)
class Experiment:
    """What to do to a fitted brain; see `connfit simulate --help`.

    Parameters
    ----------
    stimulate
        `SET=rate`, rate in the units of the recording; of cells that spike in Hz.
    inputs
        `CHANNEL=value`: external inputs that are at this value, in their own units, from the onset on, and not at their
        mean.
    silence, readout
        Sets, see `connfit.models.perturb.parse_neuron_set`.
    seconds
        Length of the simulation, from the onset on.
    drive
        One of `connfit.models.perturb.DRIVES`.
    silence_at
        One of `connfit.models.held_rates.SILENCE_AT`; None: the floor, and of cells that spike no spikes.
    inject
        `SET=input`, added to the input of these neurons, in the units of rates; of cells that spike in millivolts, at
        each step.
    """

    stimulate: tuple[str, ...] = ()
    silence: tuple[str, ...] = ()
    readout: tuple[str, ...] = ()
    seconds: float = 30.0
    drive: str = "own"
    silence_at: str | None = None
    inject: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()

    def held(
        self, connectome: Connectome, silent: Float[np.ndarray, "N"] | None = None
    ) -> tuple[HeldNeurons, list[tuple[str, str, Int[np.ndarray, "k"]]]]:
        """Find what is held, and of each set its kind, its name and its neurons' positions.

        Parameters
        ----------
        silent
            [N] rate of each neuron where it is silenced; default 0.

        Raises
        ------
        ConnfitError
            If a set or a rate is wrong, or sets that contradict each other share neurons.
        """
        if self.silence_at is not None:
            one_of("--silence-at", self.silence_at, SILENCE_AT)
        if not self.stimulate and not self.silence and not self.inject and not self.inputs:
            raise ConfigError(
                "nothing is perturbed: give --stimulate SET=rate, --inject SET=input, --silence SET or --input "
                "CHANNEL=value"
            )
        names = {text: _set_and_number(text, "--stimulate", "rate") for text in self.stimulate}
        stimulated = {
            text: (parse_neuron_set(name, connectome, option="--stimulate"), rate)
            for text, (name, rate) in names.items()
        }
        silenced = {text: parse_neuron_set(text, connectome, option="--silence") for text in self.silence}
        sets = [("stimulated", names[text][0], neurons) for text, (neurons, _) in stimulated.items()]
        sets += [("silenced", text, neurons) for text, neurons in silenced.items()]
        return HeldNeurons.of(stimulated, silenced, silent=silent), sets

    def injected(self, connectome: Connectome, held: HeldNeurons) -> dict[str, tuple[Int[np.ndarray, "k"], float]]:
        """Find into which neurons current is injected, and how much of it, by set.

        Raises
        ------
        ConnfitError
            If a set or an input is wrong, or a neuron is in two sets or held.
        """
        found: dict[str, tuple[np.ndarray, float]] = {}
        taken = {int(neuron): "what is held" for neuron in held.neurons}
        for text in self.inject:
            name, value = _set_and_number(text, "--inject", "input")
            if not np.isfinite(value):
                raise ConfigError(f"--inject {text!r}: its input is {value:g}, but must be finite")
            neurons = parse_neuron_set(name, connectome, option="--inject")
            for neuron in neurons.tolist():
                if neuron in taken:
                    raise ConfigError(f"--inject {text!r} and {taken[neuron]} share neurons")
                taken[neuron] = f"--inject {text!r}"
            found[name] = neurons, value
        return found

    def driven(self, use: InputUse | None) -> dict[str, float]:
        """Return the inputs that are driven, with their values.

        Raises
        ------
        ConfigError
            If one is no input of the fit, is named twice, or has no value.
        """
        found: dict[str, float] = {}
        for text in self.inputs:
            name, _, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError:
                value = float("nan")
            if not name or not np.isfinite(value) or name in found:
                raise ConfigError(f"--input {text!r} must be CHANNEL=value, as in light=1.5, each channel once")
            if use is None:
                raise ConfigError(f"--input {text!r}: the fit has no external inputs (docs/inputs.md)")
            found[one_of("--input: its channel", name, use.channels)] = value
        return found

    def folder_name(self) -> str:
        """Name a folder by what is done."""
        done = {"stimulate": self.stimulate, "inject": self.inject, "silence": self.silence, "input": self.inputs}
        sets = [f"{what}-{text}" for what, texts in done.items() for text in texts]
        parts = [text.replace(":", "-", 1) for text in sets]
        parts += [f"drive-{self.drive}"] if self.drive != "own" else []
        parts += [f"silence-at-{self.silence_at}"] if self.silence and self.silence_at not in (None, "floor") else []
        whole = "_".join(parts)
        name = re.sub(r"[^\w.=-]+", "-", whole).strip("-.")
        if name == whole and len(name.encode()) <= 80:
            return name
        # Names that a folder cannot have, or that are too long for one, would otherwise become the same.
        start = name.encode()[:71].decode(errors="ignore")
        return f"{start}-{hashlib.sha256(whole.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _set_and_number(text: str, option: str, what: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        if equals and name:
            return name, float(number)
    except ValueError:
        pass
    raise ConfigError(f"{option} {text!r} must be SET={what}, as in type:LB3=1.5")


@claims("folder")
def run_experiment(folder: str | Path, experiment: Experiment, *, name: str | None = None) -> tuple[Perturbation, Path]:
    """Simulate on the fitted model of a run and write `perturbation.json`, `.npz` and `perturbation_neurons.csv`.

    Parameters
    ----------
    folder
        Run directory of a finished fit.
    name
        Folder within its `simulations`; by default what is done. One that is there already is replaced.

    Returns
    -------
    perturbation
        What `perturbation.json` holds.
    out
        Where the files are.

    Raises
    ------
    ConnfitError
        If there is no finished fit, or a set or an option is wrong.
    """
    folder = Path(folder)
    if name is not None and not re.fullmatch(r"\w[\w.=-]*", name):
        raise ConfigError(f"--name is {name!r}, but must be a name of letters, digits, '.', '=', '_' and '-'")
    wiring = folder / "connectome.h5"
    if not wiring.exists():
        load_fit(folder)  # says what is not here
    # Before the fit is loaded, which takes long on a whole brain: a mistyped set is known at once.
    connectome = Connectome.load(wiring)
    experiment.injected(connectome, experiment.held(connectome)[0])
    watched = {text: parse_neuron_set(text, connectome, option="--readout") for text in experiment.readout}
    fitted = load_fit(folder)
    check_wiring(connectome, fitted.connectome, wiring)
    cohort, recording = fitted.cohort, fitted.cohort.recordings[0]
    if not (np.isfinite(experiment.seconds) and round(experiment.seconds * cohort.frame_rate) >= 2):
        raise ConfigError(
            f"--seconds is {experiment.seconds:g}, but must be at least {2 / cohort.frame_rate:.3g}: two frames"
        )
    frames, every = round(experiment.seconds * cohort.frame_rate), cohort.substeps
    mean = cohort.mean_activity()
    start = settled(fitted.model, fitted.params, mean, drive=experiment.drive)
    seen = TrainingRange.of(fitted.model, fitted.params, cohort)
    silence_at = silence_of(fitted.model, experiment.silence_at, "--silence-at")
    silent = silent_rates(seen, start.rates, silence_at)
    held, sets = experiment.held(connectome, silent)
    rates = np.full(connectome.n, np.nan)
    rates[held.neurons] = held.rates
    injected, inputs = experiment.injected(connectome, held), experiment.driven(cohort.inputs)
    current = _current(fitted.model, fitted.params, cohort.inputs, inputs)
    for neurons, value in injected.values():
        current[neurons] += value
    responses = simulate_perturbed(
        fitted.model, fitted.params, held, frames * every, start.neurons,
        mean=mean, drive=experiment.drive, watched=list(watched.values()),
        current=current if injected or inputs else None, substeps=every,
    )  # fmt: skip
    time = np.arange(1, frames + 1) / cohort.frame_rate
    traces = {
        "time_s": time,
        "unit_baseline": responses.baseline,
        "unit_perturbed": responses.perturbed,
        "set_baseline": responses.set_baseline,
        "set_perturbed": responses.set_perturbed,
    }
    from connfit._version import __version__

    spikes = fitted.model.neuron.spikes
    has_drive = fitted.model.drive is not None
    shown = _shown_of(fitted.model, fitted.params, rates)
    held_sets = [
        _held_set(kind, of, rates[where], responses.neuron_baseline[where], seen.distance(where, shown[where]))
        for kind, of, where in sets
    ]
    cautions = (each.outside_training.caution(f"{each.set} {each.kind}", each.neurons) for each in held_sets)
    perturbation = Perturbation(
        connfit=__version__,
        dataset=configuration.read(folder / "config.json").data.dataset or connectome.name,
        surrogate=any(bool(source.notes.get("surrogate")) for source in (connectome, *cohort.recordings)),
        sets=tuple(held_sets),
        injected=tuple(
            InjectedSet(name, value, len(where), float(responses.neuron_baseline[where].mean()))
            for name, (where, value) in injected.items()
        ),
        silence_at=silence_at if experiment.silence else None,
        silence_at_in_words=SILENCE_IN_WORDS[silence_at] if experiment.silence else None,
        drive=experiment.drive if has_drive else "none",
        drive_in_words=DRIVES[experiment.drive] if has_drive else "the model has no drive",
        value_units=recording.value_units,
        rate_units="Hz" if spikes else None,
        input_units="mV of synaptic current in each step" if spikes else None,
        seconds=frames / cohort.frame_rate,
        frame_rate_hz=cohort.frame_rate,
        steps=frames * every,
        settle_steps=start.steps,
        averaged_s=(frames // 2 / cohort.frame_rate, frames / cohort.frame_rate),
        neurons=connectome.n,
        held_neurons=len(held.neurons),
        units=_ranked_responses(cohort.units, traces["unit_baseline"], traces["unit_perturbed"], time),
        readouts=_ranked_responses(tuple(watched), traces["set_baseline"], traces["set_perturbed"], time),
        cautions=tuple(caution for caution in cautions if caution is not None),
        changed_neurons=tuple(_response_of(connectome, responses, k) for k in responses.ranked[:LISTED]),
        inputs=inputs or None,
    )
    silenced = np.concatenate([np.zeros(0, np.int64), *(where for kind, _, where in sets if kind == "silenced")])
    out = folder / "simulations" / (name or experiment.folder_name())
    out.mkdir(parents=True, exist_ok=True)
    names = ("perturbation.npz", "perturbation_neurons.csv", "perturbation.json")
    with replacing_together(*(out / name for name in names)) as (arrays, table, record):
        write_arrays(arrays, traces, {"units": list(cohort.units), "sets": list(watched)})
        write_bytes(table, _csv(connectome, responses, silenced, current != 0).encode())
        write_json(record, perturbation)
    return perturbation, out


def _current(model: Model, params: Params, use: InputUse | None, inputs: Mapping[str, float]) -> Float[np.ndarray, "N"]:
    """What neurons get of inputs that are at a value at every lag, beside those at their mean."""
    if use is None or model.inputs is None or not inputs:
        return np.zeros(model.neurons)
    at = np.array([inputs.get(name, use.mean[k]) for k, name in enumerate(use.channels)])
    features = np.repeat((at - use.mean) / use.spread, len(use.lags))
    return np.array(model.inputs.apply(params["inputs"], jnp.asarray(features[:, None], params["bias"].dtype)))[:, 0]


def _shown_of(model: Model, params: Params, rates: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """What read-outs see of neurons that are held at these rates for long, in the units of the recording."""
    sent = jnp.asarray(rates[:, None] * per_rate(model), params["bias"].dtype)
    return np.asarray(model.neuron.shown_at(model.constants(params), sent), np.float64)[:, 0]


def _held_set(
    kind: str, name: str, rates: Float[np.ndarray, "k"], baseline: Float[np.ndarray, "k"], outside: OutsideTraining
) -> HeldSet:
    """A set with the rates at which it is held, its own without the perturbation, and what training showed."""
    mean = float(rates.mean())
    return HeldSet(
        kind, name, float(rates[0]) if kind == "stimulated" else mean, len(rates), float(baseline.mean()),
        RateRange(float(rates.min()), mean, float(rates.max())), outside,
    )  # fmt: skip


def _ranked_responses(
    names: Sequence[str], baseline: Float[np.ndarray, "T P"], perturbed: Float[np.ndarray, "T P"], time: np.ndarray
) -> tuple[Response, ...]:
    """Each read-out, the most changed first: means over the last half, and the largest change at any time."""
    half = len(time) // 2
    before, after = (values[half:].mean(axis=0, dtype=np.float64) for values in (baseline, perturbed))
    difference = perturbed.astype(np.float64) - baseline
    found = []
    for k in map(int, np.argsort(-np.abs(after - before), kind="stable")):
        at = int(np.argmax(np.abs(difference[:, k])))
        found.append(
            Response(
                names[k], float(before[k]), float(after[k]), change=float(after[k] - before[k]),
                largest_change=float(difference[at, k]), largest_change_at_s=float(time[at]),
            )
        )  # fmt: skip
    return tuple(found)


def _response_of(connectome: Connectome, responses: Responses, neuron: int) -> NeuronResponse:
    return NeuronResponse(
        **{key: str(connectome.neurons[key].iat[neuron]) for key in ("id", "type", "region")},
        sign=int(connectome.signs[neuron]),
        baseline=float(responses.neuron_baseline[neuron]),
        perturbed=float(responses.neuron_perturbed[neuron]),
        change=float(responses.change[neuron]),
    )


def _csv(
    connectome: Connectome, responses: Responses, silenced: Int[np.ndarray, "k"], injected: Bool[np.ndarray, "N"]
) -> str:
    """All neurons, the most changed first; those that were held come last, and their role says so."""
    order: Int[np.ndarray, "N"] = np.concatenate([responses.ranked, responses.held.neurons])
    held = np.where(np.isin(responses.held.neurons, silenced), "silenced", "stimulated")
    roles = np.concatenate([np.where(injected[responses.ranked], "injected", ""), held])
    table = (connectome.neurons[key].to_numpy()[order] for key in ("id", "type", "region"))
    numbers = (responses.neuron_baseline, responses.neuron_perturbed, responses.change)
    rows = zip(*table, connectome.signs[order].tolist(), *(of[order].tolist() for of in numbers), roles, strict=True)
    return csv_text([("id", "type", "region", "sign", "baseline", "perturbed", "change", "role"), *rows])
