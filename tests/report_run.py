"""A run directory with every file that a report reads, made without a fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from connfit._io import as_result, plain, write_arrays, write_json
from connfit.analysis.measured.response_scores import Estimate
from connfit.analysis.measured.scored_responses import (
    Difference,
    DistanceScore,
    PredictorScores,
    ScoredResponses,
    TableFacts,
)
from connfit.analysis.measured.verdict_on_responses import judge
from connfit.analysis.record_next.record_next_results import Member, NeuronToRecord, NeuronToStimulate, RecordNext
from connfit.config import EvaluateConfig
from connfit.connectome import from_pairs
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.study.study import Study
from connfit.recordings import Recording
from connfit.training.learners import RULES

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
def results() -> tuple[Evaluation, Forecasts]:
    """Metrics and forecasts of an autoregression that plays the model, for one recording."""
    one = recording("a", 1)
    evaluation, forecasts = evaluate_all(
        VarRidge.fit(one), Persistence(), None, [one], EvaluateConfig(free_run_warmup=50)
    )
    performance = {"ms_per_step": 1.5, "first_step_s": None}
    counts = {"weights": 12_345, "bias": 20}
    return replace(
        evaluation, connfit="0.1.0", dataset="made", seed=7, parameters=counts, performance=performance
    ), forecasts


def changed(**changes: Any) -> Evaluation:
    """The metrics of `results` with other values at some keys."""

    def updated(old: Any, new: Any) -> Any:
        if not isinstance(new, dict) or not isinstance(old, dict):
            return new
        return old | {key: updated(old.get(key), value) for key, value in new.items()}

    return as_result(updated(plain(results()[0]), changes), Evaluation)


def run_directory(folder: Path) -> Path:
    """A run directory with every file that a report reads."""
    evaluation, forecasts = results()
    folder.mkdir(exist_ok=True)
    write_json(folder / "metrics.json", evaluation)
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
    rules = {"bptt": None, "d-rtrl": None, "pp-prop": None, "immediate": None, "hybrid": (4, 16), "tbptt": (4, 16)}

    def row(rule: str, window: int | None) -> dict[str, Any]:
        groups = {
            group: {**dict(zip(measures, rng.uniform(0.5, 1, len(measures)).tolist(), strict=True))}
            for group in ("weights", "bias")
        }
        label = rule if window is None else f"{rule}, K = {window}"
        return {
            "rule": rule, "label": label, "by_window": window is not None, "window": window or 16, "groups": groups,
            "credit": RULES[rule].dials[0],
            "carry": RULES[rule].dials[1], "ms_per_step": 0.5, "carried_bytes": 1000, "working_bytes": 2_000_000,
        }  # fmt: skip

    rows = [row(rule, window) for rule, windows in rules.items() for window in windows or (None,)]
    curve: dict[str, Any] = {
        "steps": [4, 8], "seconds": [1.0, 2.0], "train_loss": [2.0, 1.0], "window": 16, "optimiser": "adam"
    }  # fmt: skip
    one = {"value": 0.0125, "low": -0.0375, "high": 0.0625, "excludes_zero": False, "reason": None}
    far = {"value": -0.125, "low": -0.25, "high": -0.0625, "excludes_zero": True, "reason": None}
    ended = {
        "epochs": 2, "trained": True, "learning_rate": 0.003, "train_loss": 1.0, "validation_skill": -0.25,
        "validation_selection": -0.25,
    }  # fmt: skip
    at = {
        "rules": {
            "hybrid": {**ended, "test": {"1": 0.3125, "10": 0.125}},
            "immediate, K = 16": {**ended, "test": {"1": 0.3, "10": 0.25}, "difference": {"1": one, "10": far}},
        },
        "credit": {
            "with_credit": "hybrid", "without_credit": "immediate, K = 16", "difference": {"1": one, "10": far}
        },
    }  # fmt: skip
    curves: dict[str, Any] = {
        "reference": "hybrid", "epochs": 2, "select_on": "one_step", "left_out": [],
        "curves": [
            {"rule": "hybrid", "label": "hybrid", **curve},
            {"rule": "immediate", "label": "immediate, K = 16", **curve},
        ],
        "equal_steps": {"steps": 8} | at, "equal_seconds": {"seconds": 2.0} | at,
    }  # fmt: skip
    record = {
        "dataset": "made", "surrogate": False, "phase": "teacher-forced", "steps": 200, "segments": [{}, {}],
        "parameters": {"start": rows, "fitted": rows},
        "learning_curves": curves,
    }  # fmt: skip
    write_json(folder / "gradient_fidelity.json", record)


def add_recovery(folder: Path) -> None:
    """`recovery/recovery.json`, as `connfit recover` writes it."""
    keys = (
        "weights_r2", "weights_r2_at_start", "time_constants_r2", "recorded_r", "recorded_r_teacher", "unrecorded_r",
        "unrecorded_r_teacher", "unrecorded_r_at_start",
    )  # fmt: skip
    numbers = {key: {"mean": (k + 1) / 16, "low": k / 16, "high": 0.75, "seeds": 2} for k, key in enumerate(keys)}
    whole = {"seeds": 2, "observations": 9000, "parameters": 700, **dict(list(numbers.items())[:5])}
    few = {**whole, "recorded": 0.1, **numbers}
    curves = {
        "frames": [{"frames": frames, "recorded": 1.0, **whole} for frames in (4000, 1000)],
        "recorded": [{"frames": 4000, "recorded": 1.0, **whole}, {"frames": 4000, **few}],
    }
    (folder / "recovery").mkdir()
    record = {"surrogate": True, "design": {"neurons": 500, "seeds": 2}, "complete": True, "curves": curves}
    write_json(folder / "recovery" / "recovery.json", record)


def add_simulation(folder: Path, name: str) -> None:
    """One folder of `simulations`, as `connfit simulate` writes it."""
    changed = {"baseline": 1.5, "perturbed": 1.25, "change": -0.25}
    record = {
        "dataset": "made", "surrogate": False, "drive": "own", "drive_in_words": "the model's own predictions",
        "sets": [{"kind": "silenced", "set": "id:n1", "rate": 0.0, "neurons": 1, "baseline": 2.5}],
        "value_units": "", "seconds": 2.0, "averaged_s": [1.0, 2.0], "neurons": NEURONS, "held_neurons": 1,
        "cautions": [],
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


STUDY_ROWS = {
    "connectome": "connectome", "untrained": "untrained", "no_drive": "ablation", "learned_readout": "ablation",
    "frozen_time_constants": "ablation", "fixed_strengths": "ablation", "shuffle_signs": "null", "erdos_renyi": "null",
    "mean": "baseline", "gru": "baseline", "region_rnn": "baseline",
}  # fmt: skip


def study_record(outcomes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """`study.json` in which every row differs from the connectome model as `outcomes` says; `"better"` otherwise."""
    rng = np.random.default_rng(2)
    interval = {"better": (0.1, 0.05, 0.15), "tie": (0.01, -0.05, 0.07), "worse": (-0.1, -0.15, -0.05)}

    def difference(outcome: str) -> dict[str, Any]:
        value, low, high = interval[outcome]
        return {
            "value": value, "low": low, "high": high, "level": 0.95, "blocks": 20, "block_frames": 4, "seeds": [2, 2],
            "reason": None, "outcome": outcome, "excludes_zero": outcome != "tie", "excludes_zero_corrected": False,
            "low_corrected": low - 0.1, "high_corrected": high + 0.1, "diverged": False, "pooled_outcome": outcome,
            "median_unit": {
                "value": value / 2, "low": low / 2, "high": high / 2, "reason": None, "excludes_zero": outcome != "tie",
                "outcome": outcome, "units": 5, "ahead": 4, "behind": 1, "sign_p": 0.375, "wilcoxon_p": 0.3125,
                "lead_units": 4, "lead_of": 5, "strongest_share": 1.0,
            },
        }  # fmt: skip

    keys = ("one_step_skill", "one_step_median_unit", "horizon_10_skill", "horizon_10_median_unit", "one_step_fc",
            "free_run_fc", "free_run_std_ratio")  # fmt: skip
    units = {"one_step_skill": ("pooled", 1), "one_step_median_unit": ("median", 1),
             "horizon_10_skill": ("pooled", 10), "horizon_10_median_unit": ("median", 10)}  # fmt: skip
    rows: list[dict[str, Any]] = [
        {
            "name": name, "group": group, "keeps": "wiring & signs", "changes": NASTY, "seeds": [0, 1], "failed": {},
            "reason": None, "parameters": {"weights": 100, "all": 140}, "fit_seconds": 1.5, "epochs": [5, 5],
            "parameters_available": {"weights": 100, "all": 140}, "counts": True, "mark": "", "note": None,
            "trained": [True, True], "vacuous": None, "diverged": {}, "left_out": [], "recipe": None,
            "best_epoch": [4, 4],
            "validation_selection": [0.1, 0.2], "runs": [],
            "scores": {
                key: {"mean": float(rng.normal()), "std": 0.125, "low": -0.5, "high": 0.5, "seeds": [0.5, 0.75]}
                for key in keys
            },
            "difference": None if name == "connectome" else {
                h: difference((outcomes or {}).get(name, "better")) for h in ("1", "10")
            },
        }
        for name, group in STUDY_ROWS.items()
    ]  # fmt: skip
    rows.append({
        **rows[-1], "name": "gain_per_type_pair", "group": "ablation", "seeds": [], "difference": None,
        "reason": "there are no cell types", "parameters": None, "fit_seconds": None, "counts": False,
        "mark": "no numbers", "parameters_available": None,
        "scores": {key: {"mean": None, "std": None, "low": None, "high": None, "seeds": []} for key in keys},
    })  # fmt: skip
    agreement = {
        "count": 100, "seeds": 2, "start_pearson": 0.5, "start_spearman": 0.5, "pearson": 0.875, "spearman": 0.75,
        "log_pearson": 0.25, "positive": 1.0, "change_pearson": 0.0625, "change_spearman": 0.125, "change_low": 0.03,
        "change_high": 0.09, "moved": 0.5, "spread_ratio": 1.25, "reason": None,
    }  # fmt: skip
    return {
        "connfit": "0.1.0", "format": 2, "run": "run", "dataset": "made", "surrogate": False, "part": "test",
        "seeds": [0, 1], "weight_spread": 0.5,
        "recordings": ["a"], "neurons": NEURONS, "connections": 100, "units": UNITS,
        "observations": {"train": 900, "validation": 225, "test": 375},
        "budget": {"epochs": 5, "free_run_epochs": 0, "patience": None, "select_on": "horizon", "learning_rate": 0.01,
                   "batch": None},
        "measures": [
            {"key": key, "label": key.replace("_", " "), "better": "high",
             **dict(zip(("unit", "horizon"), units.get(key, ("", None)), strict=True))} for key in keys
        ],
        "strongest": {"1": None, "10": None}, "recordings_available": 1,
        "rows": rows,
        "comparisons": {"rows": 10, "horizons": [1, 10], "count": 20, "level": 0.95, "text": "20 intervals."},
        "verdict": ["One frame ahead the connectome model beats them all."],
        "reproducibility": {
            "seeds": [0, 1], "groups": [{"group": name, **agreement} for name in ("weights", "time_constants")],
            "weights_by_region": [{"group": "A", **agreement}],
            "predictions": [
                {"frames_ahead": h, "count": 300, "pearson": 0.99, "change_pearson": 0.5, "reason": None}
                for h in (1, 10)
            ],
            "flat": ["weights"], "text": ["weights: a flat direction."],
        },
        "performance": {"seconds": 60.0, "jobs": 2, "threads": {}},
    }  # fmt: skip


def made_study(outcomes: Mapping[str, str] | None = None) -> Study:
    """`study_record`, typed."""
    return as_result(study_record(outcomes), Study)


def add_study(folder: Path) -> None:
    """`study/study.json`, as `connfit evaluate --full` writes it."""
    (folder / "study").mkdir()
    write_json(folder / "study" / "study.json", study_record())


def measured_record() -> ScoredResponses:
    """Scores of a model that beats chance, loses to paths and is not distinguishable from the untrained model."""

    def row(name: str, kind: str, auroc: float, lead: Estimate | None) -> PredictorScores:
        at = Estimate(auroc, auroc - 0.0625, auroc + 0.0625)
        return PredictorScores(
            name, f"{name} of <{kind}> 0.5", kind, 400, 40, at, at, at, Estimate(0.25, 0.125, 0.375),
            Estimate(reason="it predicts no sign"),
            {"1": DistanceScore(100, 20, at), "3+": DistanceScore(300, 20, Estimate(reason="one stimulated neuron"))},
            lead, tuple(np.linspace(0, 1, 51).tolist()),
        )  # fmt: skip

    leads = {"untrained": Estimate(0.0125, -0.0375, 0.0625), "two_steps": Estimate(-0.125, -0.25, -0.0625)}
    rows = {
        "model": row("model", "model", 0.625, None),
        "untrained": row("untrained", "untrained", 0.6125, leads["untrained"]),
        "two_steps": row("two_steps", "wiring", 0.75, leads["two_steps"]),
    }  # fmt: skip
    table = TableFacts(
        NASTY, 500, 2, ("<b>", "ZZ"), 7, 6, 2, 3, 90, 12, 30, 400, 40, 0.9375, Estimate(0.25, 0.125, 0.375),
        Estimate(0.625, 0.5, 0.75),
    )  # fmt: skip
    verdict = judge(rows["model"].auroc, leads, {name: one.auroc.value for name, one in rows.items()})
    asked = (
        Difference("fitting", "model", "untrained", 400, leads["untrained"]),
        Difference("model_over_wiring", "model", "two_steps", 400, leads["two_steps"]),
    )
    return ScoredResponses(
        connfit="0.1.0", dataset="made", table=table, unit_of_strength=1.0, trained=True, resamples=2000,
        predictors=rows, differences=asked, verdict=verdict,
    )  # fmt: skip


def add_measured(folder: Path, name: str = "made") -> None:
    """`measured/NAME/scores.json`, as `connfit perturb-score` writes it."""
    (folder / "measured" / name).mkdir(parents=True)
    write_json(folder / "measured" / name / "scores.json", measured_record())


def record_next_record() -> RecordNext:
    """Three fits, of which one lags behind, that disagree about six neurons, four of them chosen."""
    record = tuple(
        NeuronToRecord(
            at + 1 if at < 4 else None, NASTY if at == 0 else f"n{at}", "T", "", 0.5, 0.25, 0.125 if at < 4 else None,
            0.875 - at / 8 if at < 4 else None,
        )
        for at in range(6)
    )  # fmt: skip
    stimulate = tuple(
        NeuronToStimulate(at + 1, f"s{at}", "", "", at == 0, 2.5 / (at + 1), 0.75, 0.375, "a") for at in range(3)
    )
    members = tuple(Member(f"runs/s{seed}", seed, skill) for seed, skill in enumerate((0.5, 0.25, None)))
    return RecordNext(
        connfit="0.1.0", dataset="made", members=members, neurons=NEURONS, recorded=UNITS, candidates=6, shortlisted=6,
        flat=2, frames=100, uncertainty=0.625, stimulated=3, stimulation_candidates=20, to_record=record,
        to_stimulate=stimulate, cautions=("3 fits are few: <b>",),
    )  # fmt: skip


def add_record_next(folder: Path) -> None:
    """`record_next/record_next.json`, as `connfit record-next` writes it."""
    (folder / "record_next").mkdir()
    write_json(folder / "record_next" / "record_next.json", record_next_record())


def complete_run(folder: Path) -> Path:
    """A run directory to which every other command has added its files."""
    run_directory(folder)
    add_gradients(folder)
    add_recovery(folder)
    add_study(folder)
    for name in ("silence-id-n1", "silence-id-n2"):
        add_simulation(folder, name)
    add_measured(folder)
    add_record_next(folder)
    return folder
