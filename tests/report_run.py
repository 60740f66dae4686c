"""A run directory with every file that a report reads, made without a fit."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from connfit.checkpoint import write_arrays, write_json
from connfit.config import EvaluateConfig
from connfit.connectome import from_pairs
from connfit.evaluate import Persistence, VarRidge, evaluate_all, write_metrics
from connfit.recording import Recording

NASTY = '<script>alert("x")</script> & "units"'
UNITS, NEURONS = 5, 20


def recording(name: str, seed: int, frames: int = 300) -> Recording:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(UNITS, UNITS))
    x = np.zeros((frames, UNITS))
    for t in range(1, frames):
        x[t] = 0.8 * x[t - 1] + mix @ rng.normal(size=UNITS)
    units = (NASTY, *(f"u{k}" for k in range(1, UNITS)))
    return Recording(name, x, units, 1.5).split(train=0.6, validation=0.15)


@lru_cache(maxsize=1)
def results() -> tuple[dict[str, Any], Any]:
    """Metrics and forecasts of an autoregression that plays the model, for one recording."""
    one = recording("a", 1)
    metrics, forecasts = evaluate_all(VarRidge.fit(one), Persistence(), None, [one], EvaluateConfig(free_run_warmup=50))
    header = {"connfit": "0.1.0", "dataset": "made", "seed": 7, "surrogate": False}
    counts = {"weights": 12_345, "bias": 20}
    return {
        **header,
        **metrics,
        "parameters": counts,
        "performance": {"ms_per_step": 1.5, "first_step_s": None},
    }, forecasts


def run_directory(folder: Path) -> Path:
    """A run directory with every file that a report reads."""
    metrics, forecasts = results()
    folder.mkdir(exist_ok=True)
    write_metrics(folder / "metrics.json", metrics)
    forecasts.save(folder / "forecasts.npz")
    rng = np.random.default_rng(0)
    text = pd.Series([""] * NEURONS)
    table = pd.DataFrame({"id": np.arange(NEURONS), **dict.fromkeys(("type", "region", "transmitter", "side"), text)})
    pre, post = rng.integers(0, NEURONS, 100), rng.integers(0, NEURONS, 100)
    brain = from_pairs("made", pre, post, np.ones(100, int), rng.choice([-1, 1], NEURONS), table)
    brain.save(folder / "connectome.h5")
    before = {"weights": rng.lognormal(-2, 1, brain.m), "time_constants": np.full(NEURONS, 0.3)}
    np.savez(folder / "parameters_initial.npz", **before)
    np.savez(
        folder / "parameters.npz",
        weights=0.9 * before["weights"],
        log_time_constants=np.log(rng.lognormal(0, 0.5, NEURONS)),
    )
    (folder / "config.json").write_text(json.dumps({"model": {"drive": "dense"}, "learner": {"window": 16}}))
    step = {"step": "high_pass", "cutoff_hz": 0.01, "offsets": list(range(50))}
    matching = {"steps": [step], "matched": ["u1"], "unmatched": [NASTY]}
    (folder / "record.json").write_text(
        json.dumps({"versions": {"jax": "0.10"}, "command": ["connfit", "fit"], "recordings": {"a": matching}})
    )
    (folder / "history.csv").write_text(
        "epoch,phase,train_loss,validation_loss,validation_skill\n0,teacher-forced,2.0,,\n1,free-running,1.0,1.5,-0.5\n"
    )
    return folder


def add_gradients(folder: Path) -> None:
    """`gradient_fidelity.json` with learning curves, as `connfit gradcheck --curves` writes it."""
    rng = np.random.default_rng(1)
    measures = ("cosine", "cosine_min", "cosine_of_sum", "relative_norm", "relative_error", "bias", "spread")
    rules = {"bptt": None, "d-rtrl": None, "pp-prop": None, "hybrid": (4, 16), "tbptt": (4, 16)}

    def row(rule: str, window: int | None) -> dict[str, Any]:
        groups = {
            group: {**dict(zip(measures, rng.uniform(0.5, 1, len(measures)).tolist(), strict=True))}
            for group in ("weights", "bias")
        }
        label = rule if window is None else f"{rule}, K = {window}"
        return {
            "rule": rule, "label": label, "by_window": window is not None, "window": window or 16, "groups": groups,
            "ms_per_step": 0.5, "carried_bytes": 1000, "working_bytes": 2_000_000,
        }  # fmt: skip

    rows = [row(rule, window) for rule, windows in rules.items() for window in windows or (None,)]
    curve: dict[str, Any] = {"rule": "hybrid", "steps": [4, 8], "seconds": [1.0, 2.0], "train_loss": [2.0, 1.0]}
    at = {"rules": {"hybrid": {"epochs": 2, "train_loss": 1.0, "validation_skill": -0.25}}}
    record = {
        "dataset": "made", "surrogate": False, "phase": "teacher-forced", "steps": 200, "segments": [{}, {}],
        "parameters": {"start": rows, "fitted": rows},
        "learning_curves": {
            "curves": [curve], "equal_steps": {"steps": 8} | at, "equal_seconds": {"seconds": 2.0} | at
        },
    }  # fmt: skip
    write_json(folder / "gradient_fidelity.json", record)


def add_simulation(folder: Path, name: str) -> None:
    """One folder of `simulations`, as `connfit simulate` writes it."""
    changed = {"baseline": 1.5, "perturbed": 1.25, "change": -0.25}
    record = {
        "dataset": "made", "surrogate": False, "drive": "own", "drive_in_words": "the model's own predictions",
        "sets": [{"kind": "silenced", "set": "id:n1", "rate": 0.0, "neurons": 1, "baseline": 2.5}],
        "value_units": "", "seconds": 2.0, "averaged_s": [1.0, 2.0], "neurons": NEURONS, "held_neurons": 1,
        "units": [{"name": NASTY, **changed}], "readouts": [{"name": "region:B", **changed}],
        "changed_neurons": [{"id": "12", "type": NASTY, "region": "", "sign": -1, **changed}],
    }  # fmt: skip
    traces = {"time_s": np.array([1.0, 2.0])}
    for kind in ("unit", "set"):
        traces |= {f"{kind}_baseline": np.ones((2, 1)), f"{kind}_perturbed": np.zeros((2, 1))}
    out = folder / "simulations" / name
    out.mkdir(parents=True)
    write_json(out / "perturbation.json", record)
    write_arrays(out / "perturbation.npz", traces, {"units": [NASTY], "sets": ["region:B"]})


def complete_run(folder: Path) -> Path:
    """A run directory to which every other command has added its files."""
    run_directory(folder)
    add_gradients(folder)
    for name in ("silence-id-n1", "silence-id-n2"):
        add_simulation(folder, name)
    return folder
