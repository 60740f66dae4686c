"""What the rows of a study are: not trained, vacuous, diverged, failed; what the verdict says of them, to the word."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_run import complete_run
from small import regional_connectome, study_here, write_files
from test_intervals import errors

from connfit import config as configuration
from connfit._io import plain
from connfit.config import Config, ModelConfig, differences
from connfit.connectome import Connectome, from_pairs
from connfit.connectome.nulls import NULLS, make_null
from connfit.errors import DataError, DivergedError
from connfit.evaluation.evaluate_run import compare_with_nulls, evaluate_run, read_evaluation
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.evaluation.study.advice import what_to_try
from connfit.evaluation.study.messages import Failure
from connfit.evaluation.study.row_status import explosions, moved, row_status, why_identity, why_not_trained
from connfit.evaluation.study.rows import study_rows
from connfit.evaluation.study.run_study import StudyOptions, run_study
from connfit.evaluation.study.seed_result import Done, SeedResult
from connfit.evaluation.study.short_form import compact
from connfit.evaluation.study.study import Budget, Difference, StrongestBaseline, Study, StudyRow, UnitDifference
from connfit.evaluation.study.study_table import study_table
from connfit.evaluation.study.verdict import verdict_sentences
from connfit.recordings import Recording
from connfit.report.questions.questions import answer_all
from connfit.report.run_files import RunFiles
from connfit.report.sections.study_section import _best, study_blocks
from connfit.training import runs

FRAMES, UNITS = 160, 24
HISTORY = [{"epoch": 0, "selection": 0.1}, {"epoch": 1, "selection": 0.05}]


def forecast(rng: np.random.Generator, ratio: np.ndarray | float) -> tuple[PredictionErrors, ...]:
    """Errors of a forecaster whose units err `ratio` times as much as persistence, at 1 and 10 frames."""
    size = np.geomspace(1, 100, UNITS)
    reference = np.random.default_rng(0).gamma(4, size=(FRAMES, UNITS)) * size
    squared = reference * ratio * np.exp(0.02 * rng.normal(size=(FRAMES, UNITS)))
    whole = {h: errors(squared.sum(axis=1), reference.sum(axis=1), h) for h in (1, 10)}
    return (
        PredictionErrors(
            "movie", "test",
            *({h: getattr(one, key)[h] for h, one in whole.items()} for key in
              ("frames", "squared_error", "reference_error", "entries")),
            unit_squared_error=dict.fromkeys((1, 10), squared), unit_reference_error=dict.fromkeys((1, 10), reference),
        ),
    )  # fmt: skip


def done(made: tuple[PredictionErrors, ...], **facts: Any) -> Done:
    """What a task leaves, with scores that are those of its errors."""
    (one,) = made
    pooled = {str(h): one.skill(h) for h in one.horizons}
    medians = {str(h): float(np.median(one.unit_skill(h))) for h in one.horizons}  # pyright: ignore[reportArgumentType]
    scores = {
        "one_step": {"skill_vs_persistence": pooled["1"], "fc_corr": 0.5},
        "horizon_skill": pooled,
        "median_unit_skill": medians,
        "calibration": {"coverage": {"50": 0.5, "80": 0.8, "95": 0.95}, "crps": 1.0},
        "free_run": {
            "fc_corr": 0.4, "std_ratio": 1.0, "spectrum": {"log_spectral_distance_db": 2.0},
            "autocorrelation": {"rms_difference": 0.1},
        },
    }  # fmt: skip
    given = {"weights": 100, "bias": 40}
    known = {"parameters": given, "parameters_available": given, "fit_seconds": 1.0, "epochs": 2, **facts}
    return Done(SeedResult(scores=scores, **known), made, {})


UNTRAINED = {
    "trained": False,
    "untrained_reason": "no epoch was better on validation than the start",
    "parameters": {"weights": 0, "bias": 0},
    "best_epoch": -1,
}


def a_study() -> Study:
    """One of each kind: an untrained row, a vacuous null, seeds that diverged in training and on test, a failure."""
    rng = np.random.default_rng(1)
    config = configuration.from_dict({"data": {"dataset": "worm"}})
    names = ("learned_readout", "shuffle_signs", "rewire_degrees", "erdos_renyi", "ar", "var_ridge", "lds")
    rows = study_rows(config, ("ar", "var_ridge", "lds"), names)

    def seeds(ratio: np.ndarray | float, which: tuple[int, ...] = (0, 1, 2), **facts: Any) -> dict[int, Done]:
        return {seed: done(forecast(rng, ratio), **{"trained": True, **facts}) for seed in which}

    few = np.where(np.arange(UNITS) < UNITS - 5, 0.78, 0.95)  # of the five largest units the model has more
    results = {
        "connectome": seeds(0.8, recipe={"state_forcing": 1.5, "rates": {"drive": 0.12345}}),
        "learned_readout": seeds(0.9, **UNTRAINED),
        "shuffle_signs": seeds(0.8, vacuous="all signs are equal"),
        "rewire_degrees": seeds(0.85, (0, 1)),
        "erdos_renyi": {**seeds(0.85, (0, 1)), **seeds(40.0, (2,), exploded={1: 40.0, 10: 40.0})},
        "ar": {0: done(forecast(rng, few), trained=None)},
        "var_ridge": {0: done(forecast(rng, 0.7), trained=None)},
    }
    failed = {
        "rewire_degrees": {2: Failure("the loss is not finite in window 7 of epoch 3", True, 3)},
        "lds": {0: Failure("recording 'movie': there are fewer frames than units.")},
    }
    table = study_table(rows, results, failed)
    study = replace(table, recordings=("movie",), recordings_available=5)
    return replace(study, verdict=verdict_sentences(study, ModelConfig(strengths="free", drive="dense")))


@pytest.fixture(scope="module")
def study() -> Study:
    return a_study()


def row_of(study: Study, name: str) -> StudyRow:
    return next(row for row in study.rows if row.name == name)


def written(of: Difference | UnitDifference) -> str:
    return f"{of.value:+.3f} [{of.low:+.3f}, {of.high:+.3f}]".replace("-", "−")


def test_the_verdict_reads_right_to_the_word(study: Study) -> None:
    ridge, ar = (row_of(study, name).difference_at(1) for name in ("var_ridge", "ar"))
    ridge_far = row_of(study, "var_ridge").difference_at(10)
    units = ar.median_unit
    contradiction = (
        f"pooled {ar.value:+.3f}, median unit −{abs(units.value):.3f}: the pooled lead comes from 5 of 24 units, "
        f"and the five strongest carry {units.strongest_share:.0%} of it"
    )
    bar = "the strongest baseline is ridge VAR (skill 0.300 pooled, 0.300 of the median unit); the connectome model is "
    assert list(study.verdict) == [
        "This is a study of one of 5 recordings: it says nothing about the rest.",
        f"One frame ahead {bar}worse: pooled {written(ridge)}, median unit {written(ridge.median_unit)}, ahead in 0 "
        "of 24 units (sign test p < 0.001).",
        f"10 frames ahead {bar}worse: pooled {written(ridge_far)}, median unit {written(ridge_far.median_unit)}, "
        "ahead in 0 of 24 units (sign test p < 0.001).",
        "A linear baseline that predicts better leaves room: try more recordings (1 of 5 was fitted), fewer free "
        "parameters (model.strengths = fixed, model.drive = anatomical) or the automatic recipe, if an option was set "
        "by hand.",
        *(
            f"{ahead} the connectome model beats null rewire degrees and null Erdős–Rényi graph; is ahead of AR of "
            "each unit in pooled skill but not in the median unit; and loses to ridge VAR."
            for ahead in ("One frame ahead", "10 frames ahead")
        ),
        f"Against AR of each unit pooled skill and the median unit disagree: one frame ahead {contradiction}; 10 "
        f"frames ahead {contradiction}.",
        "Null connectomes that the real wiring beats: 2 of 2 at 1 frame, 2 of 2 at 10 frames.",
        "The real wiring beats every null connectome at 1 frame and 10 frames.",
        "Learned read-out was not trained: no epoch was better on validation than the start. It wins and loses "
        "nothing.",
        "Null shuffle signs is the real wiring here (all signs are equal). It wins and loses nothing.",
        "Null rewire degrees has numbers of 2 of 3 seeds: seed 2 diverged in epoch 3.",
        "Null Erdős–Rényi graph has numbers of 2 of 3 seeds: seed 2 diverges on the test part: one frame ahead its "
        "squared error is 40 times that of persistence or of the mean, whichever is larger.",
        "The linear dynamical system has no numbers: recording 'movie': there are fewer frames than units.",
    ]


def test_the_table_says_the_same(study: Study) -> None:
    readout, signs = row_of(study, "learned_readout"), row_of(study, "shuffle_signs")
    assert readout.trained == (False,) * 3 and readout.mark == "not trained" and not readout.counts
    assert readout.parameters == {"weights": 0, "bias": 0, "all": 0}
    assert (readout.parameters_available or {})["all"] == 140
    assert signs.vacuous == "all signs are equal" and signs.mark == "vacuous" and not signs.counts
    for row in (readout, signs):
        assert row.difference_at(1).value is not None and row.difference_at(1).outcome is None
        assert row.mean("one_step_skill") is not None, "it keeps its place"
    swapped, random = row_of(study, "rewire_degrees"), row_of(study, "erdos_renyi")
    assert swapped.seeds == (0, 1) and swapped.diverged == {2: "diverged in epoch 3"}
    assert swapped.mark == random.mark == "diverged in 1 of 3 seeds" and swapped.counts and random.counts
    skill = random.scores["one_step_skill"]
    assert (skill.seeds[2] or 0) < -30 and skill.mean == pytest.approx(np.mean(skill.seeds[:2]))
    assert skill.reason == "mean over 2 of 3 seeds: the others diverged"
    assert random.difference_at(1).seeds == (3, 2)
    assert row_of(study, "lds").mark == "no numbers"
    assert row_of(study, "connectome").recipe == "state_forcing = 1.5, rates.drive = 0.123"
    # Four rows win or lose: neither the untrained one nor the vacuous one is corrected for.
    assert study.comparisons.rows == 4
    assert row_of(study, "ar").difference_at(1).outcome == "mixed"
    assert (study.strongest[1] or StrongestBaseline()).name == "var_ridge"


def test_metrics_and_the_report_say_the_same(study: Study) -> None:
    whole = replace(study, seeds=(0, 1, 2), weight_spread=0.5, budget=Budget(epochs=2))
    short = compact(whole)
    found = json.loads(json.dumps(plain(short)))
    assert found["verdict"] == list(study.verdict) and found["recordings_available"] == 5
    assert found["comparisons"] == study.comparisons.text
    rows = {row.name: row for row in short.rows}
    for name, row in rows.items():
        full = row_of(study, name)
        for key in ("counts", "mark", "note", "trained", "vacuous", "diverged", "recipe"):
            assert getattr(row, key) == getattr(full, key), (name, key)
    assert rows["learned_readout"].parameters == 0 and rows["learned_readout"].parameters_available == 140
    assert rows["erdos_renyi"].seeds == 3 and str(rows["lds"].reason).startswith("recording 'movie'")
    (ar,) = [row for row in found["rows"] if row["name"] == "ar"]
    assert ar["difference"]["1"]["median_unit"]["ahead"] == 5 and "reason" not in ar
    assert found["strongest"]["1"]["name"] == "var_ridge"
    text = "".join(study_blocks(whole))
    assert "0 (140 available)" in text and "learned readout (not trained)" in text and "(vacuous)" in text
    assert "rewire degrees has numbers of 2 of 3 seeds: seed 2 diverged in epoch 3" in text


def test_no_star_goes_to_a_row_that_does_not_count() -> None:
    rng = np.random.default_rng(6)
    rows = study_rows(configuration.from_dict({"data": {"dataset": "worm"}}), (), ("learned_readout", "no_drive"))
    results = {
        "connectome": {0: done(forecast(rng, 0.8), trained=True)},
        "learned_readout": {0: done(forecast(rng, 0.3), **UNTRAINED)},
        "no_drive": {0: done(forecast(rng, 0.9), trained=True)},
    }
    table = study_table(rows, results, {})
    starred = [_best(table.rows, column) for column in table.measures if column.unit]
    assert starred and all(row is not None and row.name == "connectome" for row in starred)


def test_a_study_in_an_earlier_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = complete_run(tmp_path / "run")
    path = folder / "study" / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    with pytest.raises(DataError, match=r"format 1, this release reads 2\. Run `connfit evaluate .* --full` again"):
        RunFiles.read(folder)


def test_a_connectome_model_that_was_not_trained_is_said_first_and_wins_nothing() -> None:
    rng = np.random.default_rng(2)
    rows = study_rows(configuration.from_dict({"data": {"dataset": "worm"}}), ("ar",), ("ar", "rewire_degrees"))
    results = {
        "connectome": {seed: done(forecast(rng, 0.8), **UNTRAINED) for seed in (0, 1)},
        "rewire_degrees": {seed: done(forecast(rng, 0.9), trained=True) for seed in (0, 1)},
        "ar": {0: done(forecast(rng, 0.7))},
    }
    table = study_table(rows, results, {})
    found = verdict_sentences(table)
    assert found[:2] == (
        "The connectome model was not trained: no epoch was better on validation than the start.",
        "So nothing is won or lost here: numbers are those of its start.",
    )
    assert found[2].startswith("One frame ahead the strongest baseline is AR of each unit")
    assert "; the untrained connectome model is " in found[2] and "; the connectome model is" not in found[2]
    assert not any("beats" in one for one in found)
    assert all(row.difference_at(h).outcome is None for row in table.rows[1:] for h in (1, 10))


def test_some_seeds_that_were_not_trained_are_counted() -> None:
    results = {0: SeedResult(trained=True), 1: SeedResult(**UNTRAINED), 2: SeedResult(trained=True)}
    found = row_status("ablation", results, {})
    assert found.counts and found.mark == "not trained in 1 of 3 seeds"
    assert found.note == "was not trained in 1 of 3 seeds: no epoch was better on validation than the start there"


def test_an_ablation_that_predicts_what_the_model_does_is_vacuous() -> None:
    rng = np.random.default_rng(3)
    rows = study_rows(configuration.from_dict({"data": {"dataset": "worm"}}), (), ("frozen_time_constants",))
    ours = {seed: done(forecast(rng, 0.8), trained=True) for seed in (0, 1)}
    nearly = {
        seed: replace(one, errors=(replace(
            one.errors[0], squared_error={h: a * (1 + 1e-7) for h, a in one.errors[0].squared_error.items()}
        ),))
        for seed, one in ours.items()
    }  # fmt: skip
    table = study_table(rows, {"connectome": ours, "frozen_time_constants": nearly}, {})
    row = table.rows[1]
    assert row.vacuous and not row.counts and row.difference_at(1).outcome is None
    assert "Frozen time constants changes nothing here" in verdict_sentences(table)[-1]
    other = {seed: done(forecast(rng, 0.8), trained=True) for seed in (0, 1)}
    assert study_table(rows, {"connectome": ours, "frozen_time_constants": other}, {}).rows[1].vacuous is None


def test_a_baseline_that_diverges_far_ahead_counts_where_it_does_not() -> None:
    """One that explodes at 10 frames still wins one frame ahead: nothing is hidden, nothing won by its divergence."""
    rng = np.random.default_rng(4)
    rows = study_rows(configuration.from_dict({"data": {"dataset": "worm"}}), ("ar",), ("ar",))
    near, far = forecast(rng, 0.7)[0], forecast(rng, 50.0)[0]
    parts = {
        key: {1: getattr(near, key)[1], 10: getattr(far, key)[10]}
        for key in ("squared_error", "unit_squared_error")
    }  # fmt: skip
    ar = done((replace(near, **parts),), exploded={10: 50.0})
    table = study_table(rows, {"connectome": {0: done(forecast(rng, 0.8), trained=True)}, "ar": {0: ar}}, {})
    row = table.rows[1]
    assert row.difference_at(1).outcome == "worse" and row.difference_at(10).outcome is None
    assert row.difference_at(10).value is not None
    assert (table.strongest[1] or StrongestBaseline()).name == "ar" and table.strongest[10] is None
    assert row.counts and row.note == (
        "diverges on the test part: 10 frames ahead its squared error is 50 times that of persistence or of the mean, "
        "whichever is larger; at 10 frames it wins and loses nothing"
    )


def test_predictions_that_leave_the_range_of_the_recording_have_diverged() -> None:
    """Slow data: the mean errs much more than persistence one frame ahead, and has not diverged."""
    rng = np.random.default_rng(5)
    x = np.cumsum(rng.normal(size=(300, 4)), axis=0).astype(np.float32)
    recording = Recording("slow", x, tuple("abcd"), 1.0).split(train=0.5, validation=0.2)
    test = recording.require_parts()["test"]
    frames = np.arange(test.start, test.stop)
    last = ((x[frames] - x[frames - 1]) ** 2).sum(axis=1)
    mean = ((x[frames] - x[: recording.require_parts().train[1]].mean(axis=0)) ** 2).sum(axis=1)
    count = np.full(len(frames), 4)

    def one(squared: np.ndarray, **more: Any) -> PredictionErrors:
        return PredictionErrors("slow", "test", {1: frames}, {1: squared}, {1: last}, {1: count}, **more)

    assert mean.sum() > 20 * last.sum()
    assert explosions([one(mean)], [recording]) == {}
    assert explosions([one(12 * mean)], [recording]) == {1: pytest.approx(12)}
    broken = one(
        mean, reasons={10: "the squared error overflows: the prediction diverged", 30: "the part has 9 frames"}
    )
    assert explosions([broken], [recording]) == {10: None}


# Null connectomes that are the real one


def alike(brain: Connectome, signs: bool = True, counts: bool = True) -> Connectome:
    return replace(
        brain,
        signs=np.ones_like(brain.signs) if signs else brain.signs,
        counts=np.full_like(brain.counts, 3) if counts else brain.counts,
    )


def whole_graph(neurons: int) -> Connectome:
    pre, post = np.nonzero(~np.eye(neurons, dtype=bool))
    text = pd.Series([""] * neurons)
    table = pd.DataFrame({"id": np.arange(neurons), **dict.fromkeys(("type", "region", "transmitter", "side"), text)})
    return from_pairs("whole", pre, post, np.ones(len(pre), int), np.ones(neurons, int), table)


@pytest.mark.parametrize(
    ("null", "brain", "weights", "why"),
    [
        ("shuffle_signs", alike(regional_connectome()), "counts", "all signs are equal"),
        ("shuffle_counts", alike(regional_connectome()), "counts", "all synapse counts are equal"),
        ("shuffle_input_counts", alike(regional_connectome()), "counts", "all synapse counts are equal"),
        ("shuffle_counts", regional_connectome(), "truncated_normal",
         "weights do not start from counts (model.weights = truncated_normal)"),
        ("rewire_degrees", whole_graph(6), "counts", "no swap of connections is possible"),
        ("erdos_renyi", whole_graph(6), "counts", "every neuron is connected to every other"),
        ("no_recurrence", make_null(regional_connectome(), "no_recurrence"), "counts", "there are no connections"),
    ],
)  # fmt: skip
def test_a_null_that_is_the_real_wiring_is_found(null: str, brain: Connectome, weights: str, why: str) -> None:
    assert why_identity(brain, make_null(brain, null, 4), null, weights, 4) == why


@pytest.mark.parametrize("null", [*NULLS])
def test_a_null_that_differs_is_not_called_vacuous(null: str) -> None:
    brain = regional_connectome()
    assert why_identity(brain, make_null(brain, null, 4), null, "counts", 4) is None


def test_runs_on_a_null_that_is_the_real_wiring_are_not_compared(tmp_path: Path) -> None:
    """The same in `connfit compare`: equal fingerprints of the data are one connectome."""
    scores = {"test": {"one_step": {"skill_vs_persistence": 0.25}}}
    nulls = {"real": None, "signs": "shuffle_signs", "rewired": "rewire_degrees"}
    for name, null in nulls.items():
        (tmp_path / name).mkdir()
        options = {"seed": 1, "data": {"dataset": "demo", "null": null}}
        record = {"data_fingerprint": "b" if name == "rewired" else "a", "connectome": {"notes": {"null": {}}}}
        for file, content in (("metrics", {"parts": scores}), ("config", options), ("record", record)):
            (tmp_path / name / f"{file}.json").write_text(json.dumps(content))
    found = compare_with_nulls(tmp_path / "real", [tmp_path / "signs", tmp_path / "rewired"])
    assert found.nulls["shuffle_signs, seed 1"].vacuous and not found.nulls["rewire_degrees, seed 1"].vacuous
    (answer,) = [one for question, one in answer_all({"metrics.json": found}) if question.name == "null_connectomes"]
    assert "on null connectomes: rewire degrees, seed 1 0.250. At least as good" in answer.text
    assert "Not counted, because it equals the real wiring here: shuffle signs, seed 1." in answer.text


def test_signs_of_neurons_without_outputs_do_not_matter() -> None:
    brain = alike(regional_connectome())
    outputs = np.bincount(brain.indices, minlength=brain.n)
    pairs = brain.indices != 0  # neuron 0 loses its outputs
    table = brain.neurons
    cut = from_pairs("cut", brain.indices[pairs], brain.posts[pairs], brain.counts[pairs], brain.signs, table)
    other = replace(cut, signs=np.where(np.arange(cut.n) == 0, -1, cut.signs))
    assert outputs[0] and why_identity(cut, other, "shuffle_signs", "counts", 0) == "all signs are equal"


def test_trained_is_what_moved_bit_for_bit() -> None:
    start = {"weights": np.ones(3, np.float32), "bias": np.zeros(2, np.float32)}
    assert not moved(start, {key: value.copy() for key, value in start.items()})
    assert moved(start, {**start, "bias": np.array([0, np.nextafter(np.float32(0), np.float32(1))])})
    gains = {"gains": np.ones(2), "weights": np.ones(3)}
    assert not moved(gains, {"gains": np.ones(2), "weights": np.ones(3) + 1e-7})
    assert why_not_trained(HISTORY, 5) == "no epoch was better on validation than the start"
    assert why_not_trained(HISTORY, 0) == "it has no parameter to learn"
    assert why_not_trained([{"selection": None}], 5) == "no parameter was changed"


# The same from real fits


def files_of(folder: Path, settings: list[str]) -> tuple[Path, Config]:
    """A user's own files in which every neuron is excitatory, and the run on them."""
    write_files(folder)
    neurons = pd.read_csv(folder / "neurons.csv")
    neurons.assign(transmitter="acetylcholine").to_csv(folder / "neurons.csv", index=False)
    quick = ["train.epochs=2", "train.free_run_epochs=0", 'evaluate.baselines=["mean"]', *settings]
    config = configuration.override(configuration.read(folder / "own.toml"), quick)
    evaluate_run(runs.start(config, folder / "run"), folder / "run")
    return folder / "run", config


def test_fits_that_never_leave_their_start_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's steps of 1e-30 change no float32: the study of such a run says first that nothing was trained."""
    study_here(monkeypatch)
    folder, _ = files_of(tmp_path, ["train.learning_rate=1e-30"])
    found = run_study(folder, StudyOptions(seeds=1, rows=("shuffle_signs", "mean"), jobs=1))
    assert found.verdict[0] == (
        "The connectome model was not trained: no epoch was better on validation than the start."
    )
    rows = {row.name: row for row in found.rows}
    ours = rows["connectome"]
    assert ours.trained == (False,) and (ours.parameters or {})["all"] == 0
    assert (ours.parameters_available or {})["all"] > 500 and ours.best_epoch == (-1,)
    assert rows["shuffle_signs"].vacuous == "all signs are equal"
    kept = {row["name"]: row for row in (read_evaluation(folder).study or {})["rows"]}
    assert kept["connectome"]["parameters"] == 0 and kept["shuffle_signs"]["vacuous"] == "all signs are equal"


def test_a_fit_that_diverges_says_in_which_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study_here(monkeypatch)
    folder, config = files_of(tmp_path, [])
    with pytest.raises(DivergedError) as raised:
        runs.start(configuration.override(config, ["train.learning_rate=1e30"]), tmp_path / "other")
    assert raised.value.epoch == 0
    settings = ("train.learning_rate=1e30",)
    found = run_study(folder, StudyOptions(seeds=1, rows=("mean",), jobs=1, settings=settings))
    assert found.verdict == (
        "The connectome model could not be fitted (it diverged in epoch 0): nothing can be compared.",
    )


def test_advice_follows_what_the_fit_has() -> None:
    assert "more recordings (1 of 5 was fitted)" in what_to_try(recordings=1, available=5)
    bare = what_to_try("fixed", "anatomical", 5, 5)
    assert bare == (
        "A linear baseline that predicts better leaves room: try more recordings or the automatic recipe, if an option "
        "was set by hand."
    )


def test_a_study_of_a_version_without_an_option_goes_on_where_that_option_is_not_used() -> None:
    before, now = {"data": {"scale": None}}, {"data": {"scale": None, "null_options": {}}}
    assert differences(before, now) == []
    changed = differences(before, {"data": {"scale": None, "null_options": {"every": 2}}})
    assert changed == [("data.null_options.every", None, 2)]
