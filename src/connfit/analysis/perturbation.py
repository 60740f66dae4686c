"""`connfit simulate`: a perturbation experiment on the fitted model of a run directory, and its files."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from connfit import config as configuration
from connfit._io import write_arrays, write_bytes, write_json
from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models.held_rates import SILENCE_AT, OutsideTraining, TrainingRange, out_of_range, silent_rates
from connfit.models.perturb import (
    DRIVES,
    SETTLE,
    Perturbation,
    Responses,
    parse_neuron_set,
    settled_rates,
    simulate_perturbed,
)
from connfit.training.runs import load_fit

LISTED = 50
"""Neurons that the JSON record lists; the CSV file has all of them."""


@dataclass(frozen=True)
class Experiment:
    """What to do to a fitted brain; see `connfit simulate --help`.

    Parameters
    ----------
    stimulate
        `SET=rate`, rate in the units of the recording.
    silence, readout
        Sets, see `connfit.models.perturb.parse_neuron_set`.
    seconds
        Length of the simulation, from the onset on.
    drive
        One of `connfit.models.perturb.DRIVES`.
    silence_at
        One of `connfit.models.held_rates.SILENCE_AT`.
    """

    stimulate: tuple[str, ...] = ()
    silence: tuple[str, ...] = ()
    readout: tuple[str, ...] = ()
    seconds: float = 30.0
    drive: str = "own"
    silence_at: str = "floor"

    def perturbation(
        self, connectome: Connectome, silent: Float[np.ndarray, "N"] | None = None
    ) -> tuple[Perturbation, list[dict[str, Any]]]:
        """What is held, and per set its kind, name, neurons and the mean of the rates at which they are held.

        Parameters
        ----------
        silent
            [N] rate of each neuron where it is silenced; default 0.

        Raises
        ------
        ConnfitError
            If a set or a rate is wrong, or sets that contradict each other share neurons.
        """
        one_of("--silence-at", self.silence_at, SILENCE_AT)
        if not self.stimulate and not self.silence:
            raise ConfigError("nothing is perturbed: give --stimulate SET=rate or --silence SET")
        stimulated: dict[str, tuple[np.ndarray, float]] = {}
        for text in self.stimulate:
            name, rate = _set_and_rate(text)
            stimulated[text] = parse_neuron_set(name, connectome, option="--stimulate"), rate
        silenced = {text: parse_neuron_set(text, connectome, option="--silence") for text in self.silence}
        sets = [
            {"kind": "stimulated", "set": _set_and_rate(text)[0], "rate": rate, "neurons": neurons}
            for text, (neurons, rate) in stimulated.items()
        ]
        sets += [
            {
                "kind": "silenced",
                "set": text,
                "rate": 0.0 if silent is None else float(np.mean(silent[neurons])),
                "neurons": neurons,
            }
            for text, neurons in silenced.items()
        ]
        return Perturbation.of(stimulated, silenced, silent=silent), sets

    def folder_name(self) -> str:
        """A name that says what is done, fit for a folder."""
        parts = [*(f"stimulate-{one}" for one in self.stimulate), *(f"silence-{one}" for one in self.silence)]
        parts += [f"drive-{self.drive}"] if self.drive != "own" else []
        parts += [f"silence-at-{self.silence_at}"] if self.silence and self.silence_at != "floor" else []
        name = re.sub(r"[^\w.=-]+", "-", "_".join(parts)).strip("-.")
        return name if len(name) <= 80 else f"{name[:71]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _set_and_rate(text: str) -> tuple[str, float]:
    name, equals, rate = text.rpartition("=")
    try:
        if equals and name:
            return name, float(rate)
    except ValueError:
        pass
    raise ConfigError(f"--stimulate {text!r} must be SET=rate, as in type:LB3=1.5 (rate in units of the recording)")


def run_experiment(folder: str | Path, experiment: Experiment, *, name: str | None = None) -> tuple[dict, Path]:
    """Simulate on the fitted model of a run and write `perturbation.json`, `.npz` and `perturbation_neurons.csv`.

    Parameters
    ----------
    folder
        Run directory of a finished fit.
    name
        Folder within its `simulations`; by default what is done. One that is there already is replaced.

    Returns
    -------
    record
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
    _, _, watched = _sets(experiment, connectome)
    fitted = load_fit(folder)
    cohort, recording = fitted.cohort, fitted.cohort.recordings[0]
    if not (np.isfinite(experiment.seconds) and round(experiment.seconds * cohort.frame_rate) >= 2):
        raise ConfigError(
            f"--seconds is {experiment.seconds:g}, but must be at least {2 / cohort.frame_rate:.3g}: two frames"
        )
    frames, every = round(experiment.seconds * cohort.frame_rate), cohort.substeps
    mean = cohort.mean_activity()
    start = settled_rates(fitted.model, fitted.params, mean, drive=experiment.drive)
    seen = TrainingRange.of(fitted.model, fitted.params, cohort)
    silent = silent_rates(seen, start, experiment.silence_at)
    perturbation, sets = experiment.perturbation(connectome, silent)
    rates = np.full(connectome.n, np.nan)
    rates[perturbation.neurons] = perturbation.rates
    responses = simulate_perturbed(
        fitted.model, fitted.params, perturbation, frames * every, start,
        mean=mean, drive=experiment.drive, watched=list(watched.values()),
    )  # fmt: skip
    time = np.arange(1, frames + 1) / cohort.frame_rate
    traces = {
        "time_s": time,
        "unit_baseline": responses.baseline[every - 1 :: every],
        "unit_perturbed": responses.perturbed[every - 1 :: every],
        "set_baseline": responses.set_baseline[every - 1 :: every],
        "set_perturbed": responses.set_perturbed[every - 1 :: every],
    }
    from connfit._version import __version__

    surrogate = [bool(one.notes.get("surrogate")) for one in (connectome, *cohort.recordings)]
    record: dict[str, Any] = {
        "connfit": __version__,
        "dataset": configuration.read(folder / "config.json").data.dataset or connectome.name,
        "surrogate": any(surrogate),
        # A set that is stimulated below its own rate is in truth suppressed: its own rate stands beside it.
        "sets": [_set_record(one, rates[one["neurons"]], responses, seen) for one in sets],
        "silence_at": experiment.silence_at if experiment.silence else None,
        "silence_at_in_words": SILENCE_AT[experiment.silence_at] if experiment.silence else None,
        "drive": experiment.drive if fitted.model.drive is not None else "none",
        "drive_in_words": DRIVES[experiment.drive] if fitted.model.drive is not None else "the model has no drive",
        "value_units": recording.value_units,
        "seconds": frames / cohort.frame_rate,
        "frame_rate_hz": cohort.frame_rate,
        "steps": frames * every,
        "settle_steps": SETTLE,
        "averaged_s": [frames * every // 2 * cohort.step_s, frames / cohort.frame_rate],
        "neurons": connectome.n,
        "held_neurons": len(perturbation.neurons),
        "units": _ranked_responses(cohort.units, traces["unit_baseline"], traces["unit_perturbed"], time),
        "readouts": _ranked_responses(tuple(watched), traces["set_baseline"], traces["set_perturbed"], time),
        "cautions": [],
        "changed_neurons": [_neuron_row(connectome, responses, k) for k in responses.ranked[:LISTED]],
    }
    for one in record["sets"]:
        caution = out_of_range(
            f"{one['set']} {one['kind']}", OutsideTraining(**one["outside_training"]), one["neurons"]
        )
        record["cautions"] += [] if caution is None else [caution]
    silenced = np.concatenate([np.zeros(0, np.int64), *(one["neurons"] for one in sets if one["kind"] == "silenced")])
    out = folder / "simulations" / (name or experiment.folder_name())
    out.mkdir(parents=True, exist_ok=True)
    write_arrays(out / "perturbation.npz", traces, {"units": list(cohort.units), "sets": list(watched)})
    write_bytes(out / "perturbation_neurons.csv", _csv(connectome, responses, silenced).encode())
    write_json(out / "perturbation.json", record)
    return record, out


def _sets(
    experiment: Experiment, connectome: Connectome
) -> tuple[Perturbation, list[dict[str, Any]], dict[str, Int[np.ndarray, "k"]]]:
    """What is held, its sets, and the neurons of each set that is read out."""
    perturbation, sets = experiment.perturbation(connectome)
    watched = {text: parse_neuron_set(text, connectome, option="--readout") for text in experiment.readout}
    return perturbation, sets, watched


def _set_record(
    one: Mapping[str, Any], rates: Float[np.ndarray, "k"], responses: Responses, seen: TrainingRange
) -> dict[str, Any]:
    """A set of the record: rates at which it is held, its own without the perturbation, and what training showed."""
    neurons = one["neurons"]
    return {
        **one,
        "neurons": len(neurons),
        "baseline": float(responses.neuron_baseline[neurons].mean()),
        "held": {"lowest": float(rates.min()), "mean": float(rates.mean()), "highest": float(rates.max())},
        "outside_training": asdict(seen.distance(neurons, rates)),
    }


def _ranked_responses(
    names: Sequence[str], baseline: Float[np.ndarray, "T P"], perturbed: Float[np.ndarray, "T P"], time: np.ndarray
) -> list[dict[str, Any]]:
    """A row per read-out, the most changed first: means over the last half, and the largest change at any time."""
    half = len(time) // 2
    before, after = (values[half:].mean(axis=0, dtype=np.float64) for values in (baseline, perturbed))
    difference = perturbed.astype(np.float64) - baseline
    rows = []
    for k in np.argsort(-np.abs(after - before), kind="stable"):
        at = int(np.argmax(np.abs(difference[:, k])))
        rows.append(
            {
                "name": names[k],
                "baseline": float(before[k]),
                "perturbed": float(after[k]),
                "change": float(after[k] - before[k]),
                "largest_change": float(difference[at, k]),
                "largest_change_at_s": float(time[at]),
            }
        )
    return rows


def _neuron_row(connectome: Connectome, responses: Responses, neuron: int, role: str = "") -> dict[str, Any]:
    entry: Mapping[str, Any] = {key: str(connectome.neurons[key].iat[neuron]) for key in ("id", "type", "region")}
    return {
        **entry,
        "sign": int(connectome.signs[neuron]),
        "baseline": float(responses.neuron_baseline[neuron]),
        "perturbed": float(responses.neuron_perturbed[neuron]),
        "change": float(responses.change[neuron]),
        "role": role,
    }


def _csv(connectome: Connectome, responses: Responses, silenced: Int[np.ndarray, "k"]) -> str:
    """All neurons, the most changed first; those that were held come last, and their role says so."""
    order: Int[np.ndarray, "N"] = np.concatenate([responses.ranked, responses.perturbation.neurons])
    held = np.where(np.isin(responses.perturbation.neurons, silenced), "silenced", "stimulated")
    roles = np.concatenate([np.full(len(responses.ranked), ""), held])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "type", "region", "sign", "baseline", "perturbed", "change", "role"))
    table = (connectome.neurons[key].to_numpy()[order] for key in ("id", "type", "region"))
    numbers = (responses.neuron_baseline, responses.neuron_perturbed, responses.change)
    writer.writerows(
        zip(*table, connectome.signs[order].tolist(), *(one[order].tolist() for one in numbers), roles, strict=True)
    )
    return text.getvalue()
