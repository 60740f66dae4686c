"""`connfit analyze`: what the fitted brain of a run directory does, as `analysis/analysis.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from connfit import config as configuration
from connfit._io import write_arrays, write_json
from connfit.analysis.analysis_options import BINS, ENTRIES, REFERENCE, AnalysisOptions
from connfit.analysis.criticality.judgement import best_floor, judge, signal_in, signal_of
from connfit.analysis.criticality.power import criticality_power
from connfit.analysis.criticality.signature_table import FLOORS, LEAST, Source, examine_source
from connfit.analysis.criticality.subsampling import branching_by_sample, mean_of_observed
from connfit.analysis.dynamics.fit_stability import MATRICES, examine_stability, linear_controls
from connfit.analysis.dynamics.simulated_activity import DrivenRun, driven_run
from connfit.analysis.findings import findings
from connfit.analysis.parameters.parameter_summary import examine_time_constants, examine_weights
from connfit.connectome import Connectome
from connfit.errors import ConnfitError
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.models.forecaster import ModelForecaster
from connfit.training.fitted import Fit
from connfit.training.runs import load_fit

FOLDER = "analysis"


def analyze_run(
    folder: str | Path,
    options: AnalysisOptions | None = None,
    *,
    on_stage: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], Path]:
    """Analyse the fitted brain of a run and write its files.

    Parameters
    ----------
    folder
        Run directory of a finished fit.
    options
        See `AnalysisOptions`.
    on_stage
        Called with what is being done.

    Returns
    -------
    record
        What `analysis.json` holds.
    out
        Its folder, with `neurons.npz`. A short form is written to `metrics.json` of the run, if that
        exists, as `analysis`.

    Raises
    ------
    ConnfitError
        If there is no finished fit.
    """
    folder, options = Path(folder), options or AnalysisOptions()
    tell = on_stage or (lambda _: None)
    tell("reading the run")
    fitted = load_fit(folder)
    connectome = Connectome.load(folder / "connectome.h5")
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    record = analyze_fit(fitted, connectome, out, options, configuration.read(folder / "config.json"), tell)
    write_json(out / "analysis.json", record)
    if (folder / "metrics.json").exists():
        write_json(folder / "metrics.json", replace(read_evaluation(folder), analysis=in_short(record)))
    return record, out


def analyze_fit(
    fitted: Fit,
    connectome: Connectome,
    out: Path,
    options: AnalysisOptions,
    config: configuration.Config,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The record of an analysis; rates of neurons pass through files in `out`, and means stay in `neurons.npz`."""
    from connfit._version import __version__

    cohort, model = fitted.cohort, fitted.model
    data = [np.where(one.mask, one.values, np.float32(np.nan)) for one in cohort.recordings]
    watched, recordings = _kept(model.neurons, [one.frames for one in cohort.recordings], options)
    sources: dict[str, Any] = {}
    stability: dict[str, Any] = {"matrices": MATRICES}
    arrays: dict[str, np.ndarray] = {}
    rate = cohort.frame_rate
    tell("avalanches of the data")
    sources["data_units"] = _examined(Source("data_units", "data, units", data), options, rate)
    tell("power to see criticality")
    power = _power(sources["data_units"], data, options)
    samples: list[dict[str, Any]] = []
    driven_units: list[np.ndarray] | None = None
    whole = len(watched) == model.neurons
    neurons_word = "neurons" if whole else f"a sample of {len(watched):,} neurons"
    for name, word, forecaster, when in (
        ("model", "fitted model", fitted.forecaster(), "after"),
        ("untrained", "untrained model", fitted.initial_forecaster(), "before"),
    ):
        tell(f"free runs of the {word}")
        scratch = [out / f".{name}-{k}.part" for k in range(recordings)]
        try:
            runs, reason = _runs(forecaster, fitted, config, options, watched, scratch)
            for level in ("units", "neurons"):
                key, what = f"{name}_{level}", f"{word}, {'units' if level == 'units' else neurons_word}"
                if not runs:
                    sources[key] = {"what": what, "grid": None, "reason": reason}
                    continue
                tell(f"avalanches of the {what}")
                if level == "units":
                    source = Source(key, what, [one.units for one in runs])
                else:
                    kept = [one.neurons for one in runs if one.neurons is not None]
                    source = Source(key, what, kept, ("median",), ("shuffle", "phase_together"))
                if name == "untrained":
                    source = Source(key, what, source.arrays, source.floors, ())
                sources[key] = _examined(source, options, rate)
            if runs and name == "model":
                driven_units = [one.units for one in runs]
                tell("branching ratios of samples")
                samples = branching_by_sample(
                    driven_units,
                    [one.neurons for one in runs if one.neurons is not None],
                    frame_rate_hz=rate, repeats=options.repeats, seed=options.seed,
                )  # fmt: skip
            if runs:
                suffix = "" if name == "model" else "_untrained"
                arrays[f"mean_rate{suffix}"] = runs[0].mean.astype(np.float32)
                arrays[f"rate_deviation{suffix}"] = runs[0].deviation.astype(np.float32)
            tell(f"eigenvalues and Lyapunov exponents of the {word}")
            stability[when] = examine_stability(
                model, forecaster.params, runs[0] if runs else None, cohort.mean_activity(), options
            )
            del runs
        finally:
            for path in scratch:
                path.unlink(missing_ok=True)
    stability["linear_model"] = linear_controls(data, driven_units, 1 / rate)
    tell("strengths and time constants")
    record: dict[str, Any] = {
        "connfit": __version__,
        "dataset": config.data.dataset or connectome.name,
        "surrogate": any(bool(one.notes.get("surrogate")) for one in (connectome, *cohort.recordings)),
        "seed": config.seed,
        "options": asdict(options),
        "frame_rate_hz": rate,
        "neurons": model.neurons,
        "neurons_kept": len(watched),
        "recordings": [one.name for one in cohort.recordings],
        "recordings_of_neurons": recordings,
        "reference_threshold": str(REFERENCE),
        "bins": list(BINS),
        "fewest_avalanches": LEAST,
        "floors": FLOORS,
        "sources": sources,
        "power": power,
        "branching_by_sample": samples,
        "stability": stability,
        "weights": examine_weights(connectome, model, fitted.initial_params, fitted.params),
        "time_constants": examine_time_constants(connectome, model, fitted.initial_params, fitted.params),
    }
    record["findings"] = findings(record)
    write_arrays(out / "neurons.npz", arrays, {"order": "connectome.h5", "units": cohort.recordings[0].value_units})
    return _plain(record)


def _kept(neurons: int, frames: Sequence[int], options: AnalysisOptions) -> tuple[np.ndarray, int]:
    """Neurons whose rates are kept, and of how many recordings, within what the disk should hold."""
    most = min(options.neurons or neurons, neurons, max(1, ENTRIES // frames[0]))
    recordings = max(1, int((np.cumsum(np.asarray(frames) * most) <= ENTRIES).sum()))
    if most == neurons:
        return np.arange(neurons), recordings
    return np.sort(np.random.default_rng(options.seed).choice(neurons, most, replace=False)), recordings


def _runs(
    forecaster: ModelForecaster,
    fitted: Fit,
    config: configuration.Config,
    options: AnalysisOptions,
    watched: np.ndarray,
    scratch: Sequence[Path],
) -> tuple[list[DrivenRun], str | None]:
    runs = []
    for k, recording in enumerate(fitted.cohort.recordings):
        try:
            runs.append(
                driven_run(
                    forecaster, recording, warmup=config.evaluate.free_run_warmup, seed=(options.seed, k),
                    neurons=watched if k < len(scratch) else None, scratch=scratch[k] if k < len(scratch) else None,
                )
            )  # fmt: skip
        except ConnfitError as error:
            return [], str(error)
    return runs, None


def _examined(source: Source, options: AnalysisOptions, rate: float) -> dict[str, Any]:
    """A source's record, with what no threshold enters lifted out of it."""
    found = examine_source(source, options, rate)
    first = next((kinds["data"] for kinds in found["reference"].values() if "data" in kinds), None)
    signal = None
    if first is not None:
        branching = first["branching_signal"]
        courses = [mean_of_observed(one) for one in source.arrays]
        linear = signal_of(branching["interval"] if branching else None, courses, options.seed)
        tested = {"p": linear.p, "correlation": linear.correlation, "reason": linear.reason}
        signal = {"branching": branching, "memory": first["memory"], "linear": tested}
    for kinds in found["reference"].values():
        for kind, one in kinds.items():
            if kind == "data":
                del one["branching_signal"], one["memory"]
    return {**found, "signal": signal}


def _power(source: dict[str, Any], data: Sequence[np.ndarray], options: AnalysisOptions) -> dict[str, Any]:
    """How likely criticality would have been seen in the data; `draws` is 0, with a reason, where it is not known."""
    floor = best_floor(source) if source.get("grid") else None
    if not options.power_draws or floor is None:
        why = "no simulations were asked for" if floor is not None else "avalanches of the data were not analysed"
        return {"draws": 0, "reason": why}
    return criticality_power(data, floor, options.power_draws, options.seed)


def in_short(record: dict[str, Any]) -> dict[str, Any]:
    """What goes into `metrics.json` as `analysis`."""
    avalanches: dict[str, Any] = {}
    branching: dict[str, Any] = {}
    for name, source in record["sources"].items():
        floor = best_floor(source) if source.get("grid") is not None else None
        if floor is None:
            avalanches[name] = None
            continue
        at = source["reference"][floor].get("data", {}).get("row", {})
        keys = ("size_exponent", "duration_exponent", "size_p", "duration_p", "predicted", "gamma", "consistent")
        avalanches[name] = {
            "floor": floor,
            "judgement": judge(source["verdict"][floor], signal_in(source)),
            "cells": source["verdict"][floor],
            "reference": {key: at.get(key) for key in (*keys, "size_regression", "duration_regression")},
        }
        signal = source["signal"] or {}
        one, memory = signal.get("branching"), signal.get("memory")
        branching[name] = {
            "m": one["m"] if one else None,
            "interval": one["interval"] if one else None,
            "dfa": memory["exponent"] if memory else None,
        }
    stability: dict[str, Any] = {
        when: {
            **{name: (record["stability"][when].get(name) or {}).get("radius") for name in MATRICES},
            **{
                name: (record["stability"][when].get(name) or {}).get("per_second")
                for name in ("lyapunov_free", "lyapunov_driven")
            },
        }
        for when in ("before", "after")
    }
    stability["linear_model_of_data"] = (record["stability"]["linear_model"]["data"] or {}).get("radius")
    statistics = record["weights"]["statistics"]
    taus = record["time_constants"]
    middle = taus["after_s"]["probabilities"].index(0.5)
    rank = statistics["rank_correlation_with_counts"] if statistics else {}
    return {
        "avalanches": avalanches,
        "power": record["power"],
        "branching": branching,
        "radius_and_lyapunov_per_s": stability,
        "weights": {
            "rank_correlation_with_counts": {key: rank.get(key) for key in ("before", "after", "change")},
            "binned_count_correlation": statistics["by_count"]["correlation"] if statistics else None,
        },
        "time_constants": {
            "median_s": taus["after_s"]["quantiles"][middle],
            "moved_by_over_10_percent": taus["moved_by_over_10_percent"],
            "at_bounds_fraction": taus["at_bounds_fraction"],
        },
        "findings": record["findings"],
    }


def _plain(record: Any) -> Any:
    """As JSON has it: no NumPy types, and None for what is not finite (which has its reason beside it)."""
    return json.loads(json.dumps(record, default=_python), parse_constant=lambda _: None)


def _python(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in JSON")
